"""Networks that turn a spectrum, or an image in five bands, into tokens (Wei et al. 2023, sections 4.1, 4.2).

Choices where the paper is open:

- The weight of a segment is the mean attention that it receives (the columns of S_w, equation 4): seven
  numbers of sum 1, as in figure 9. A segment is multiplied by one plus its weight, so that none is lost.
  Queries and keys are computed from standardized segments; otherwise only their levels would count.
- Each spectrum is standardized first: its scale by equation 16 depends on two pixels, which may be spikes.
- The segments are rows, (7, 503), so that kernels of three pixels do not cross them. Each segment becomes one
  token with its own bias, so that k is 7.
- Batch normalization after every convolution: nineteen layers do not train without it.
- The weight of a band (equation 2) multiplies the band of the standardized image. The layers are those of
  `keras.applications.ResNet50`, so that its weights fit; a token is a pixel of its last feature map.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from starsift.errors import InputError
from starsift.learning.backend import load_keras
from starsift.searches.bhb.inputs import BANDS, PIXELS, SEGMENT, SEGMENTS

CHANNELS = len(BANDS)
SEGMENT_WEIGHTS, BAND_WEIGHTS = "segment_weights", "band_weights"  # layers that figure 9 shows
# Of batch normalization: epsilon of keras.applications' ResNet50; momentum of PyTorch, which the paper used.
_EPSILON, _MOMENTUM = 1.001e-5, 0.9


@dataclass(frozen=True)
class Preset:
    """Sizes of the networks; `tokens` is the dimension d of their tokens."""

    tokens: int
    binning: int  # pixels averaged at the start
    vgg_filters: tuple[int, ...]
    vgg_layers: tuple[int, ...]
    vgg_pools: tuple[int, ...]
    attention: int  # d_k of equation 4
    resnet_filters: tuple[int, ...]
    resnet_blocks: tuple[int, ...]
    squeeze: int  # units between the two layers of equation 2
    blocks: int
    heads: int
    feed_forward: int
    dropout: float  # in the Transformer
    encoder_dropout: float  # before the classifier of a single encoder


PRESETS = {
    "paper": Preset(
        tokens=512,
        binning=1,
        vgg_filters=(64, 128, 256, 512, 512),
        vgg_layers=(2, 2, 4, 4, 4),
        vgg_pools=(2, 2, 2, 2, 2),
        attention=512,
        resnet_filters=(64, 128, 256, 512),
        resnet_blocks=(3, 4, 6, 3),
        squeeze=16,
        blocks=8,
        heads=8,
        feed_forward=2048,
        dropout=0.1,
        encoder_dropout=0.5,
    ),
    "tiny": Preset(
        tokens=64,
        binning=4,
        vgg_filters=(16, 32, 32),
        vgg_layers=(1, 1, 1),
        vgg_pools=(2, 2, 2),
        attention=32,
        resnet_filters=(8, 16),
        resnet_blocks=(1, 1),
        squeeze=16,
        blocks=2,
        heads=4,
        feed_forward=128,
        dropout=0.3,
        encoder_dropout=0.3,
    ),
}


def spectrum_encoder(preset: Preset, *, attention: bool = True) -> Any:
    """VGG of one dimension: spectra (n, 3522) to tokens (n, 7, d) and a vector (n, d).

    Without `attention`, segments have no weights: the first line of Table 6. Source: Wei et al. 2023, section
    4.2, equations 3 and 4, figure 5; Simonyan & Zisserman 2014.
    """
    keras = load_keras()
    layers, ops = keras.layers, keras.ops
    inputs = keras.Input((PIXELS,), name="spectrum")
    x = layers.Reshape((PIXELS, 1))(inputs)
    x = layers.Cropping1D((0, PIXELS - SEGMENTS * SEGMENT))(x)
    x = layers.LayerNormalization(axis=(1, 2), center=False, scale=False, name="level")(x)
    x = layers.Reshape((SEGMENTS, SEGMENT), name="segments")(x)

    def small() -> Any:  # so that training starts from equal weights
        return keras.initializers.TruncatedNormal(stddev=0.02)

    if attention:
        shape = layers.LayerNormalization(center=False, scale=False, name="shape")(x)
        query = layers.Dense(preset.attention, use_bias=False, kernel_initializer=small(), name="query")(
            shape
        )
        key = layers.Dense(preset.attention, use_bias=False, kernel_initializer=small(), name="key")(shape)
        scores = ops.matmul(query, ops.transpose(key, (0, 2, 1))) / preset.attention**0.5
        weights = ops.mean(ops.softmax(scores), axis=1)
        weights = layers.Activation("linear", name=SEGMENT_WEIGHTS)(weights)
        x = layers.Multiply()([x, 1 + layers.Reshape((SEGMENTS, 1))(weights)])
    x = layers.Reshape((SEGMENTS, SEGMENT, 1))(x)
    if preset.binning > 1:
        x = layers.AveragePooling2D((1, preset.binning))(x)
    x = vgg(x, preset)
    x = layers.Reshape((SEGMENTS, -1))(x)
    tokens = layers.EinsumDense(
        "nsf,fd->nsd", (SEGMENTS, preset.tokens), activation="relu", bias_axes="sd", name="tokens"
    )(x)
    vector = layers.Dense(preset.tokens, activation="relu", name="vector")(layers.Flatten()(tokens))
    return keras.Model(inputs, [tokens, vector], name="spectrum_encoder")


def vgg(x: Any, preset: Preset) -> Any:
    """The convolutions of VGG along the last axis but one of (n, rows, pixels, 1)."""
    layers = load_keras().layers
    stages = zip(preset.vgg_filters, preset.vgg_layers, preset.vgg_pools, strict=True)
    for filters, number, pool in stages:
        for _ in range(number):
            x = layers.Conv2D(filters, (1, 3), padding="same", use_bias=False)(x)
            x = layers.BatchNormalization(momentum=_MOMENTUM)(x)
            x = layers.ReLU()(x)
        x = layers.MaxPooling2D((1, pool))(x)
    return x


def image_encoder(
    preset: Preset, size: int, *, squeeze: bool = True, pretrained: str | os.PathLike[str] | None = None
) -> Any:
    """ResNet over five bands: images (n, size, size, 5) to tokens (n, k, d) and their mean (n, d).

    Parameters
    ----------
    squeeze : weight the bands; without it, the third line of Table 6
    pretrained : weights of `keras.applications.ResNet50` without top (three channels), a local file

    Raises InputError: the file of weights is missing or does not fit.

    Source: Wei et al. 2023, section 4.1, equations 1 and 2, figure 4; He et al. 2015; Hu et al. 2017.
    """
    keras = load_keras()
    layers = keras.layers
    inputs = keras.Input((size, size, CHANNELS), name="image")
    x = inputs
    if squeeze:
        weights = layers.GlobalAveragePooling2D(name="squeeze")(x)
        weights = layers.Dense(preset.squeeze, activation="relu", name="excite1")(weights)
        weights = layers.Dense(CHANNELS, activation="sigmoid", name=BAND_WEIGHTS)(weights)
        x = layers.Multiply()([x, layers.Reshape((1, 1, CHANNELS))(weights)])
    backbone = resnet(preset.resnet_filters, preset.resnet_blocks, size)
    if pretrained is not None:
        _load_pretrained(backbone, pretrained)
    x = backbone(x)
    x = layers.Reshape((-1, x.shape[-1]))(x)
    tokens = layers.Dense(preset.tokens, name="tokens")(x)
    vector = layers.GlobalAveragePooling1D(name="vector")(tokens)
    return keras.Model(inputs, [tokens, vector], name="image_encoder")


def resnet(filters: Sequence[int], blocks: Sequence[int], size: int, channels: int = CHANNELS) -> Any:
    """The convolutions of ResNet, version 1 with bottlenecks: (n, size, size, channels) to feature maps.

    With filters 64, 128, 256, 512 and blocks 3, 4, 6, 3 it is `keras.applications.ResNet50` without top, the
    same weights in the same order.
    """
    keras = load_keras()
    layers = keras.layers

    def convolution(x: Any, n: int, kernel: int, name: str, stride: int = 1, padding: str = "valid") -> Any:
        x = layers.Conv2D(n, kernel, strides=stride, padding=padding, name=f"{name}_conv")(x)
        return layers.BatchNormalization(momentum=_MOMENTUM, epsilon=_EPSILON, name=f"{name}_bn")(x)

    inputs = keras.Input((size, size, channels))
    x = layers.ZeroPadding2D(3)(inputs)
    x = layers.ReLU()(convolution(x, filters[0], 7, "conv1", stride=2))
    x = layers.MaxPooling2D(3, strides=2)(layers.ZeroPadding2D(1)(x))
    for stage, (n, number) in enumerate(zip(filters, blocks, strict=True), 2):
        for block in range(1, number + 1):
            name = f"conv{stage}_block{block}"
            stride = 2 if block == 1 and stage > 2 else 1
            shortcut = convolution(x, 4 * n, 1, f"{name}_0", stride) if block == 1 else x
            x = layers.ReLU()(convolution(x, n, 1, f"{name}_1", stride))
            x = layers.ReLU()(convolution(x, n, 3, f"{name}_2", padding="same"))
            x = convolution(x, 4 * n, 1, f"{name}_3")
            x = layers.ReLU()(layers.Add()([shortcut, x]))
    return keras.Model(inputs, x, name="resnet")


def _load_pretrained(backbone: Any, path: str | os.PathLike[str]) -> None:
    """Weights of three channels: each band starts from their mean, with the same total response."""
    if not Path(path).is_file():
        raise InputError(
            f"{path}: no such file; expected weights of keras.applications.ResNet50 without top, "
            "or null in bhb.image.pretrained"
        )
    keras = load_keras()
    size = backbone.input_shape[1]
    if "conv5_block3_3_conv" not in [layer.name for layer in backbone.layers]:
        raise InputError(f"{path}: weights of ResNet50 fit the preset paper only")
    try:
        donor = keras.applications.ResNet50(
            weights=None, include_top=False, input_shape=(max(size, 32),) * 2 + (3,)
        )
        donor.load_weights(path)
    # Keras raises many kinds of errors here, also those of HDF5.
    except Exception as error:
        raise InputError(f"{path}: not the weights of keras.applications.ResNet50 without top") from error
    for layer in donor.layers:
        if layer.weights:
            values = layer.get_weights()
            if layer.name == "conv1_conv":
                values[0] = np.repeat(values[0].mean(axis=2, keepdims=True), CHANNELS, axis=2) * (
                    3 / CHANNELS
                )
            backbone.get_layer(layer.name).set_weights(values)


def classifier(encoder: Any, preset: Preset) -> Any:
    """A single encoder with a linear classifier on its vector: to probabilities (n, 2) of `CLASSES`."""
    keras = load_keras()
    vector = keras.layers.Dropout(preset.encoder_dropout)(encoder(encoder.inputs[0])[1])
    return keras.Model(encoder.inputs[0], _softmax(vector), name="single")


def _softmax(x: Any) -> Any:
    return load_keras().layers.Dense(2, activation="softmax", name="softmax")(x)
