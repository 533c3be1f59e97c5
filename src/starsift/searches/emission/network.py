"""The network that classifies spectra by the shape of H alpha.

Skoda et al. 2020, section 3.4 and figure 4: twelve layers with weights, after VGGNet. The paper does not give
padding or dropout. Here, convolutions have no padding and a dropout of 0.5 follows each fully connected
layer: 2 481 731 weights.
"""

from typing import Any

import numpy as np

from starsift.learning.backend import load_keras, predict_batches
from starsift.searches.emission.classes import CLASSES, PIXELS

FILTERS = (64, 128, 256)  # of two convolutions each, before a pooling
UNITS = 512  # of each fully connected layer
DROPOUT = 0.5
BATCH = 256  # windows at a time: the fastest measured
PRECISIONS = ("float32", "bfloat16")


def build(*, seed: int = 0, precision: str = "float32") -> Any:
    """The untrained network: (n, 140) windows to (n, 3) probabilities. bfloat16 is not for training."""
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


def in_precision(model: Any, precision: str) -> Any:
    """The network that computes in `precision`: float32, as it was trained, or bfloat16."""
    if precision == "float32":
        return model
    other = build(precision=precision)
    other.set_weights(model.get_weights())
    return other


def predict(model: Any, windows: np.ndarray, batch_size: int = BATCH) -> np.ndarray:
    """Probabilities (n, 3) float32 of `CLASSES` for windows (n, 140)."""
    return predict_batches(model, windows, batch_size).astype(np.float32)
