"""Training of the network on labelled windows, balanced by SMOTE.

Choices where Skoda et al. 2020, section 3.4, is open:

- Batches of 64, full ones only; the examples left over change with every epoch.
- The loss that decides about stopping, and which weights are kept, is that of the last batch of an epoch.
- A network starts from random weights, or from those of the round before (`start`).
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from imblearn.over_sampling import SMOTE

from starsift.errors import TrainingError
from starsift.learning.backend import load_keras, load_network, set_seed
from starsift.learning.training import shuffle_batches, train_epochs
from starsift.searches.emission.classes import CLASSES
from starsift.searches.emission.network import build

NEIGHBOURS = 5  # of SMOTE


@dataclass(frozen=True)
class Trained:
    """A network; epochs trained; loss of the epoch whose weights it has; examples after balancing."""

    model: Any
    epochs: int
    loss: float
    n_examples: int


def balance(windows: np.ndarray, labels: np.ndarray, *, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """As many examples of every class as the largest has, by SMOTE.

    Parameters
    ----------
    windows : (n, 140) float32
    labels : (n,) class numbers

    Returns windows (m, 140) float32, labels (m,); the real examples first. Raises TrainingError: a class has
    fewer than two examples.

    Source: Skoda et al. 2020, section 2.2; Chawla et al. 2002.
    """
    counts = np.bincount(labels, minlength=len(CLASSES))
    if counts.min() < 2:
        few = ", ".join(f"{name} {n}" for name, n in zip(CLASSES, counts, strict=True))
        raise TrainingError(
            f"the training set has too few examples of a class ({few}): label at least 2 of each"
        )
    sampler = SMOTE(random_state=seed, k_neighbors=min(NEIGHBOURS, int(counts.min()) - 1))
    x, y = sampler.fit_resample(windows, labels)
    return np.asarray(x, np.float32), np.asarray(y)


def train(
    windows: np.ndarray,
    labels: np.ndarray,
    *,
    seed: int,
    min_delta: float,
    patience: int,
    max_epochs: int,
    batch_size: int,
    learning_rate: float,
    start: str | os.PathLike[str] | None = None,
) -> Trained:
    """Train on a balanced set until the loss stops falling, and keep the best weights.

    Parameters
    ----------
    windows : (n, 140) float32, from -1 to 1
    labels : (n,) class numbers
    seed : of the weights, the synthetic examples, the order and the dropout
    min_delta, patience : training ends when the loss has not improved by `min_delta` in `patience` epochs;
        the long training of section 3.4 has 1e-5 and 100
    max_epochs : training ends then at the latest
    learning_rate : of Adam, whose other settings are those of Keras
    start : file of a network to begin with

    Raises
    ------
    TrainingError : a class has too few examples, or the loss is not finite.
    ResultsError : `start` is no network.

    Source: Skoda et al. 2020, section 3.4.
    """
    set_seed(seed)
    keras = load_keras()
    x, y = balance(windows, labels, seed=seed)
    model = build(seed=seed)
    if start is not None:
        model.set_weights(load_network(start).get_weights())
    rng = np.random.default_rng(seed)

    def batches() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        return ((x[rows], y[rows]) for rows in shuffle_batches(len(x), batch_size, rng))

    stopping = keras.callbacks.EarlyStopping(
        "last_batch_loss", min_delta, patience, mode="min", restore_best_weights=True
    )
    history = train_epochs(
        model, keras.optimizers.Adam(learning_rate), batches, max_epochs, callbacks=[stopping]
    )
    return Trained(model, len(history["loss"]), float(stopping.best), len(x))
