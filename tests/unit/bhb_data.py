"""A small made-up data set of blue horizontal branch stars, and networks that learn it in seconds."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest

from starsift.bhb.dataset import GRID, Dataset, scale_images
from starsift.bhb.encoders import PRESETS
from starsift.learning.backend import load_keras

# Sizes of its own, so that those of the preset `tiny` can change.
SMALL = replace(
    PRESETS["tiny"],
    tokens=32,
    vgg_filters=(4, 8),
    vgg_layers=(1, 1),
    vgg_pools=(4, 4),
    attention=8,
    resnet_filters=(8,),
    resnet_blocks=(1,),
    squeeze=4,
    blocks=1,
    heads=2,
    feed_forward=64,
    dropout=0.1,
    encoder_dropout=0.1,
)
BALMER = (4102.9, 4341.7, 4862.7, 6564.6)  # Angstrom, vacuum


def synthetic(n: int = 100, size: int = 16, seed: int = 0) -> Dataset:
    """Stars with narrow lines and little u (class 1), and with wide lines and more of it (class 0).

    Every other object is of class 1; of five pairs, three are for training and one for each other part.
    """
    rng = np.random.default_rng(seed)
    at = np.arange(n)
    label = at % 2
    width = np.where(label, 12, 24) * rng.lognormal(0, 0.15, n)
    flux = rng.normal(1, 0.03, (n, GRID.pixels)) * np.linspace(1.3, 0.7, GRID.pixels)
    for line in BALMER:
        flux *= 1 - 0.7 * np.exp(-(((GRID.wavelength - line) / width[:, None]) ** 2) / 2)
    low, high = flux.min(axis=1, keepdims=True), flux.max(axis=1, keepdims=True)
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    colour = np.tile([0.0, 1.0, 1.0, 0.9, 0.8], (n, 1))
    colour[:, 0] = np.where(label, 0.3, 0.7) * rng.lognormal(0, 0.15, n)
    image = colour[:, :, None, None] * np.exp(-(x**2 + y**2) / 8) + rng.normal(0, 0.02, (n, 5, size, size))
    names = np.array([f"spec-{i:03d}" for i in at], dtype=object)
    return Dataset(
        spectrum=((flux - low) / (high - low)).astype(np.float32),
        image=scale_images(image.astype(np.float32)),
        label=label,
        spectrum_id=names,
        star=np.array([f"J{i:03d}" for i in at], dtype=object),
        split=np.array(["train", "train", "train", "validation", "test"], dtype=object)[at // 2 % 5],
    )


@contextmanager
def small_preset() -> Iterator[None]:
    """Within it there is a preset `small`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PRESETS, "small", SMALL)
        yield


@contextmanager
def uncompiled() -> Iterator[None]:
    """Within it TensorFlow computes operation by operation: the same, without a minute of compiling."""
    if load_keras().backend.backend() != "tensorflow":
        yield
        return
    import tensorflow

    tensorflow.config.run_functions_eagerly(True)
    try:
        with warnings.catch_warnings():
            # Compiled, it does not mind that one input is not in a list.
            warnings.filterwarnings("ignore", "The structure of `inputs`")
            yield
    finally:
        tensorflow.config.run_functions_eagerly(False)
