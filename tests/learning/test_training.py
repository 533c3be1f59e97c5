"""The training loop: batches, losses, callbacks."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from starsift.errors import TrainingError
from starsift.learning.backend import load_keras, set_seed
from starsift.learning.training import shuffle_batches, train_epochs


def toy() -> tuple[Any, np.ndarray, np.ndarray]:
    """A linear classifier, 32 examples (n, 2) and their classes."""
    keras = load_keras()
    set_seed(0)
    x = np.random.default_rng(0).normal(size=(32, 2)).astype(np.float32)
    inputs = keras.Input((2,))
    outputs = keras.layers.Dense(2, activation="softmax")(inputs)
    return keras.Model(inputs, outputs), x, (x[:, 0] > 0).astype(int)


def cross_entropy(model: Any, x: np.ndarray, label: np.ndarray) -> np.ndarray:
    return -np.log(np.asarray(model.predict_on_batch(x))[np.arange(len(x)), label])


def test_batches_are_full_and_in_another_order_every_epoch() -> None:
    rng = np.random.default_rng(0)
    first, second = (shuffle_batches(30, 8, rng) for _ in range(2))
    assert first.shape == second.shape == (3, 8)
    assert len(set(first.ravel())) == len(set(second.ravel())) == 24
    assert not np.array_equal(first, second)
    assert sorted(shuffle_batches(3, 8, rng)[0]) == [0, 1, 2]  # few rows are one batch


def test_losses_are_those_of_the_batches() -> None:
    model, x, label = toy()
    # Weights do not move: losses are those of the model as it is.
    still = load_keras().optimizers.SGD(0.0)
    rows = np.arange(32).reshape(4, 8)
    weight = np.linspace(0, 2, 32, dtype=np.float32)

    def batches() -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        return ((x[some], label[some], weight[some]) for some in rows)

    history = train_epochs(model, still, batches, 2, validate=lambda: 3.0)
    loss = (cross_entropy(model, x, label) * weight).reshape(4, 8).mean(axis=1)
    assert history["loss"] == pytest.approx([loss.mean()] * 2, rel=1e-5)
    assert history["last_batch_loss"] == pytest.approx([loss[-1]] * 2, rel=1e-5)
    assert history["validation_loss"] == [3.0, 3.0]


def test_callbacks_see_every_step_and_end_the_training() -> None:
    model, x, label = toy()
    keras = load_keras()
    validation = iter([3.0, 1.0, 2.0, 2.0, 2.0])
    kept: list[np.ndarray] = []
    steps: list[int] = []

    def validate() -> float:
        kept.append(model.get_weights()[0])
        return next(validation)

    callbacks = [
        keras.callbacks.LambdaCallback(on_train_batch_begin=lambda batch, logs: steps.append(batch)),
        keras.callbacks.EarlyStopping("validation_loss", 0, 2, mode="min", restore_best_weights=True),
    ]
    optimizer = keras.optimizers.Adam(0.1)
    history = train_epochs(
        model, optimizer, lambda: [(x, label)] * 3, 9, validate=validate, callbacks=callbacks
    )
    assert history["validation_loss"] == [3.0, 1.0, 2.0, 2.0]
    assert steps == [0, 1, 2] * 4
    np.testing.assert_array_equal(model.get_weights()[0], kept[1])
    assert history["loss"] == sorted(history["loss"], reverse=True)


def test_a_loss_that_is_not_finite_ends_the_training() -> None:
    model, x, label = toy()
    with pytest.raises(TrainingError, match="epoch 1: the loss is nan; lower learning_rate"):
        train_epochs(model, load_keras().optimizers.SGD(0.1), lambda: [(x * np.nan, label)], 3)
