"""The network that tells emission from the rest by the shape of H alpha.

Skoda et al. 2020, section 3.4 and figure 4: twelve layers with weights, after VGGNet. What the paper leaves
open, and what was chosen:

- Convolutions without padding, dropout of 0.5 after each fully connected layer: 2 481 731 weights.
- Batches of 64, full ones only; who is left over changes with every epoch.
- The loss that decides about stopping, and which weights are kept, is that of the last batch of an epoch.
- A network starts from random weights, or from those of the round before (`start`).
"""

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
from imblearn.over_sampling import SMOTE

from starsift.errors import TrainingError
from starsift.learning.backend import load_keras, load_network, predict_batches, set_seed
from starsift.searches.emission.window import CLASSES, PIXELS

FILTERS = (64, 128, 256)  # of two convolutions each, before a pooling
UNITS = 512  # of each fully connected layer
DROPOUT = 0.5
NEIGHBOURS = 5  # of SMOTE
BATCH = 256  # windows at a time: the fastest measured
PRECISIONS = ("float32", "bfloat16")


@dataclass(frozen=True)
class Trained:
    """A network; epochs trained; mean loss of the epoch whose weights it has; examples after balancing."""

    model: Any
    epochs: int
    loss: float
    n_examples: int


def build(*, seed: int = 0, precision: str = "float32") -> Any:
    """The untrained network: (n, 140) windows to (n, 3) probabilities.

    Parameters
    ----------
    seed : of the weights
    precision : float32, or bfloat16 to compute, not to train, in that
    """
    if precision not in PRECISIONS:
        raise ValueError(f"precision is {precision!r}: expected one of {', '.join(PRECISIONS)}")
    keras = load_keras()
    layers = keras.layers
    seeds = iter(np.random.default_rng(seed).integers(2**31, size=11).tolist())
    options = {"dtype": precision}

    def weights() -> Any:
        return keras.initializers.GlorotUniform(seed=next(seeds))

    x = inputs = keras.Input((PIXELS,), name="window")
    x = layers.Reshape((PIXELS, 1), name="channel")(x)
    for i, filters in enumerate(FILTERS, 1):
        for j in (1, 2):
            x = layers.Conv1D(
                filters, 3, activation="relu", kernel_initializer=weights(), name=f"conv{i}_{j}", **options
            )(x)
        x = layers.MaxPooling1D(2, name=f"pool{i}", **options)(x)
    x = layers.Flatten(name="flatten")(x)
    for i in (1, 2):
        x = layers.Dense(UNITS, activation="relu", kernel_initializer=weights(), name=f"fc{i}", **options)(x)
        x = layers.Dropout(DROPOUT, seed=next(seeds), name=f"dropout{i}", **options)(x)
    softmax = layers.Dense(len(CLASSES), activation="softmax", kernel_initializer=weights(), name="softmax")
    return keras.Model(inputs, softmax(x), name="emission")


def balance(windows: np.ndarray, labels: np.ndarray, *, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """As many examples of every class as the largest has, by SMOTE.

    Parameters
    ----------
    windows : (n, 140) float32
    labels : (n,) class numbers

    Returns
    -------
    windows (m, 140) float32, labels (m,); the given ones first.

    Raises
    ------
    TrainingError : a class has fewer than two examples.

    Source: Skoda et al. 2020, section 2.2; Chawla et al. 2002.
    """
    counts = np.bincount(labels, minlength=len(CLASSES))
    if counts.min() < 2:
        few = ", ".join(f"{name} {n}" for name, n in zip(CLASSES, counts, strict=True))
        raise TrainingError(
            f"the training set has too few examples of a class ({few}): at least 2 are needed"
        )
    sampler = SMOTE(random_state=seed, k_neighbors=min(NEIGHBOURS, int(counts.min()) - 1))
    x, y = sampler.fit_resample(windows, labels)
    return np.asarray(x, np.float32), np.asarray(y)


def train(
    windows: np.ndarray,
    labels: np.ndarray,
    *,
    seed: int,
    min_delta: float = 1e-4,
    patience: int = 10,
    max_epochs: int = 1000,
    batch_size: int = 64,
    learning_rate: float = 0.001,
    start: str | os.PathLike[str] | None = None,
) -> Trained:
    """Train on a balanced set until the loss stops falling, and keep the best weights.

    Parameters
    ----------
    windows : (n, 140) float32, from -1 to 1
    labels : (n,) class numbers
    seed : of the weights, the synthetic examples, the order and the dropout
    min_delta, patience : training ends when the loss has not improved by so much in so many epochs; the long
        training of section 3.4 has 1e-5 and 100
    max_epochs : it ends then at the latest
    learning_rate : of Adam, whose other settings are those of Keras
    start : file of a network to begin with

    Raises
    ------
    TrainingError : no such training set; ResultsError : no such network.

    Source: Skoda et al. 2020, section 3.4.
    """
    set_seed(seed)
    keras = load_keras()
    x, y = balance(windows, labels, seed=seed)
    model = build(seed=seed)
    if start is not None:
        model.set_weights(load_network(start).get_weights())
    # The same layers under another name, so that no optimiser is saved with the network.
    learner = keras.Model(model.inputs, model.outputs)
    learner.compile(keras.optimizers.Adam(learning_rate), keras.losses.SparseCategoricalCrossentropy())
    rng = np.random.default_rng(seed)
    batch_size = min(batch_size, len(x))
    best, best_epoch, epoch = np.inf, 0, 0
    weights = model.get_weights()
    while epoch < max_epochs and epoch - best_epoch < patience:
        epoch += 1
        order = rng.permutation(len(x))[: len(x) // batch_size * batch_size]
        learner.reset_metrics()
        for rows in order.reshape(-1, batch_size):
            # Quicker than `fit`, which hands small batches through tf.data, slow when deterministic.
            loss = float(learner.train_on_batch(x[rows], y[rows]))
        if loss < best - min_delta:
            best, best_epoch, weights = loss, epoch, model.get_weights()
        print(f"epoch {epoch}: loss {loss:.5f}", flush=True)
    model.set_weights(weights)
    return Trained(model, epoch, float(best), len(x))


def in_precision(model: Any, precision: str) -> Any:
    """The network, to compute in float32 as it was trained, or in bfloat16."""
    if precision == "float32":
        return model
    other = build(precision=precision)
    other.set_weights(model.get_weights())
    return other


def predict(model: Any, windows: np.ndarray, batch_size: int = BATCH) -> np.ndarray:
    """Probabilities (n, 3) float32 of `CLASSES` for windows (n, 140)."""
    return predict_batches(model, windows, batch_size).astype(np.float32)
