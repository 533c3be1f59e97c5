"""One training loop for every network, with the optimisers, schedules and callbacks of Keras."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from starsift.errors import TrainingError
from starsift.learning.backend import load_keras

Batch = tuple[Any, np.ndarray] | tuple[Any, np.ndarray, np.ndarray]


def shuffle_batches(n: int, batch_size: int, rng: np.random.Generator) -> np.ndarray:
    """Row numbers (step, batch_size) of the batches of one epoch, in random order.

    Batches are full ones only, so that one shape is compiled; the rows left over change with every epoch.
    With fewer rows than `batch_size` there is one batch of all.
    """
    size = min(batch_size, n)
    return rng.permutation(n)[: n // size * size].reshape(-1, size)


def train_epochs(
    model: Any,
    optimizer: Any,
    batches: Callable[[], Iterable[Batch]],
    epochs: int,
    *,
    from_logits: bool = False,
    validate: Callable[[], float] | None = None,
    callbacks: Sequence[Any] = (),
) -> dict[str, list[float]]:
    """Train a classifier on the sparse categorical cross-entropy.

    Parameters
    ----------
    model : keras.Model that ends in a softmax, or in its logits (`from_logits`)
    optimizer : keras.optimizers.Optimizer
    batches : gives the batches of an epoch: inputs, class numbers and, if wanted, weights of the examples
    epochs : to train, unless a callback sets `stop_training`
    validate : gives the loss on the validation set after an epoch
    callbacks : keras.callbacks.Callback, such as EarlyStopping, which see the values that are returned

    Returns a value an epoch of `loss`, the mean over its batches, `last_batch_loss`, and with `validate`
    `validation_loss`. Raises TrainingError: the loss is not finite.
    """
    keras = load_keras()
    # The same layers in a model of its own, so that no optimiser is saved with the network.
    learner = keras.Model(model.inputs, model.outputs)
    learner.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=from_logits))
    # Otherwise the first step does this, and everything is compiled twice.
    learner.optimizer.build(learner.trainable_variables)
    history: dict[str, list[float]] = {}
    watchers = keras.callbacks.CallbackList(list(callbacks), model=learner)
    watchers.on_train_begin()
    for epoch in range(epochs):
        watchers.on_epoch_begin(epoch)
        losses: list[float] = []
        for step, batch in enumerate(batches()):
            watchers.on_train_batch_begin(step)
            # Twice as quick as Keras' `fit`, which passes batches through tf.data, slow when deterministic.
            losses.append(float(learner.train_on_batch(*batch)))
        logs = {"loss": sum(losses) / len(losses), "last_batch_loss": losses[-1]}
        if not np.isfinite(logs["loss"]):
            raise TrainingError(f"epoch {epoch + 1}: the loss is {logs['loss']}; lower learning_rate")
        if validate is not None:
            logs["validation_loss"] = validate()
        for name, value in logs.items():
            history.setdefault(name, []).append(value)
        print(f"epoch {epoch + 1}:", *(f"{name} {value:.5f}" for name, value in logs.items()), flush=True)
        watchers.on_epoch_end(epoch, logs)
        if learner.stop_training:
            break
    watchers.on_train_end()
    return history
