"""The two encoders: their sizes, what each weight means, and weights from elsewhere."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from fixtures.bhb_data import SMALL, synthetic
from scipy.special import expit

from starsift.errors import InputError
from starsift.learning.backend import load_keras, set_seed
from starsift.searches.bhb.encoders import (
    BAND_WEIGHTS,
    PRESETS,
    SEGMENT_WEIGHTS,
    classifier,
    image_encoder,
    resnet,
    spectrum_encoder,
)

PAPER = PRESETS["paper"]
# Configuration E of Simonyan & Zisserman 2014: filters of the convolutions of VGG-19 between the poolings.
VGG19 = ((64,) * 2, (128,) * 2, (256,) * 4, (512,) * 4, (512,) * 4)
WEIGHS = {"query", "key", SEGMENT_WEIGHTS, "squeeze", "excite1", BAND_WEIGHTS}


def outputs(model: Any, x: np.ndarray) -> list[np.ndarray]:
    keras = load_keras()
    return [
        np.asarray(keras.ops.convert_to_numpy(one)) for one in keras.tree.flatten(model(x, training=False))
    ]


def layer_output(model: Any, name: str, x: np.ndarray, side: str = "output") -> np.ndarray:
    return outputs(load_keras().Model(model.inputs[0], getattr(model.get_layer(name), side)), x)[0]


def randomized(model: Any, seed: int = 0) -> Any:
    """Give batch normalization and biases, which start from 0 and 1, weights as after training."""
    rng = np.random.default_rng(seed)
    model.set_weights([w if w.ndim > 1 else rng.uniform(0.5, 1.5, w.shape) for w in model.get_weights()])
    return model


def copy_common(source: Any, target: Any) -> None:
    """Weights of the layers that both have, in order; those that weigh are in one only."""
    kept = [w for layer in source.layers if layer.name not in WEIGHS for w in layer.get_weights()]
    target.set_weights(kept)


@pytest.fixture(scope="module")
def published() -> Any:
    """The network of `keras.applications` for three colours."""
    set_seed(3)
    keras = load_keras()
    return randomized(keras.applications.ResNet50(weights=None, include_top=False, input_shape=(32, 32, 3)))


@pytest.fixture(scope="module")
def weights(published: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "resnet50.weights.h5"
    published.save_weights(path)
    return path


def test_sizes_of_the_published_spectrum_encoder() -> None:
    encoder = spectrum_encoder(PAPER)
    convolutions, channels = 0, 1
    for stage in VGG19:
        for filters in stage:
            convolutions += 3 * channels * filters + 4 * filters  # a kernel; batch normalization for its bias
            channels = filters
    pixels = 503 // 2**5
    attention, vector = 2 * 503 * 512, (7 * 512 + 1) * 512
    tokens = pixels * 512 * 512 + 7 * 512  # a kernel for all segments, biases for each
    assert encoder.count_params() == attention + convolutions + tokens + vector
    plain = spectrum_encoder(PAPER, attention=False)
    assert encoder.count_params() - plain.count_params() == attention

    assert encoder.input_shape == (None, 3522)
    assert encoder.output_shape == [(None, 7, 512), (None, 512)]
    assert encoder.get_layer("segments").output.shape == (None, 7, 503)
    layers = load_keras().layers
    kernels = [layer for layer in encoder.layers if isinstance(layer, layers.Conv2D)]
    assert [layer.filters for layer in kernels] == [filters for stage in VGG19 for filters in stage]
    assert {layer.kernel_size for layer in kernels} == {(1, 3)}
    pools = [layer.output.shape[1:3] for layer in encoder.layers if isinstance(layer, layers.MaxPooling2D)]
    assert pools == [(7, 251), (7, 125), (7, 62), (7, 31), (7, 15)]


def test_sizes_of_the_published_image_encoder() -> None:
    encoder = image_encoder(PAPER, 64)
    # That of keras.applications for three colours; its first kernel has two channels more here.
    backbone = 23_587_712 + 2 * 7 * 7 * 64
    assert encoder.get_layer("resnet").count_params() == backbone
    squeeze, tokens = (5 + 1) * 16 + (16 + 1) * 5, (2048 + 1) * 512
    assert encoder.count_params() == squeeze + backbone + tokens
    assert encoder.input_shape == (None, 64, 64, 5)
    assert encoder.output_shape == [(None, 4, 512), (None, 512)]
    assert image_encoder(PAPER, 224, squeeze=False).output_shape == [(None, 49, 512), (None, 512)]
    assert image_encoder(SMALL, 16).output_shape[0] == (None, 16, 32)


def test_the_backbone_is_resnet_50(published: Any) -> None:
    keras = load_keras()
    five = keras.applications.ResNet50(weights=None, include_top=False, input_shape=(32, 32, 5))
    for theirs in (published, randomized(five)):
        shape = theirs.input_shape[1:]
        ours = resnet(PAPER.resnet_filters, PAPER.resnet_blocks, 32, shape[2])
        assert ours.count_params() == theirs.count_params()
        ours.set_weights(theirs.get_weights())
        x = np.random.default_rng(1).normal(size=(2, *shape)).astype(np.float32)
        expected, found = (outputs(model, x)[0] for model in (theirs, ours))
        assert expected.std() > 0
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())


def after_segments(encoder: Any) -> Any:
    return load_keras().Model(encoder.get_layer("segments").output, encoder.outputs)


def test_segments_are_weighed_by_the_attention_that_they_receive() -> None:
    encoder = spectrum_encoder(SMALL)
    rng = np.random.default_rng(0)
    for name in ("query", "key"):
        encoder.get_layer(name).set_weights([rng.normal(0, 0.1, (503, SMALL.attention))])
    spectra = synthetic(10).spectrum
    segments = layer_output(encoder, "segments", spectra)
    sequence = layer_output(encoder, "query", spectra, "input")
    assert sequence.shape == segments.shape == (10, 7, 503)
    query, key = (encoder.get_layer(name).get_weights()[0] for name in ("query", "key"))
    scores = (sequence @ query) @ (sequence @ key).transpose(0, 2, 1) / np.sqrt(SMALL.attention)
    attention = np.exp(scores - scores.max(axis=2, keepdims=True))
    attention /= attention.sum(axis=2, keepdims=True)
    found = layer_output(encoder, SEGMENT_WEIGHTS, spectra)
    assert found.std(axis=1).min() > 0.01
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(found, attention.mean(axis=1), atol=1e-5)

    # The more of it, the more of the segment does what follows see, which is the encoder without attention.
    multiply = next(one for one in encoder.layers if isinstance(one, load_keras().layers.Multiply))
    weighed = layer_output(encoder, multiply.name, spectra)
    factor = (weighed * segments).sum(axis=2) / (segments**2).sum(axis=2)
    np.testing.assert_allclose(weighed, factor[:, :, None] * segments, rtol=1e-4, atol=1e-5)
    assert np.diff(np.take_along_axis(factor, found.argsort(axis=1), axis=1), axis=1).min() > -1e-5
    plain = spectrum_encoder(SMALL, attention=False)
    copy_common(encoder, plain)
    for a, b in zip(outputs(encoder, spectra), outputs(after_segments(plain), weighed), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_bands_are_weighed() -> None:
    encoder = image_encoder(SMALL, 16)
    image = synthetic(10).image * np.array([1, 3, -2, 0.5, 2], np.float32)
    (w1, b1), (w2, b2) = (encoder.get_layer(name).get_weights() for name in ("excite1", BAND_WEIGHTS))
    expected = expit(np.maximum(image.mean(axis=(1, 2)) @ w1 + b1, 0) @ w2 + b2)
    found = layer_output(encoder, BAND_WEIGHTS, image)
    assert found.std(axis=1).min() > 0.01
    np.testing.assert_allclose(found, expected, rtol=1e-4)

    plain = image_encoder(SMALL, 16, squeeze=False)
    copy_common(encoder, plain)
    for a, b in zip(outputs(encoder, image), outputs(plain, image * found[:, None, None]), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_seven_segments_of_the_spectrum_without_its_last_pixel() -> None:
    spectrum = synthetic(10).spectrum[:1]
    encoder = spectrum_encoder(SMALL)
    segments = layer_output(encoder, "segments", spectrum)
    # In order; nothing but level and scale of the whole spectrum may differ.
    assert np.corrcoef(segments.ravel(), spectrum[0, :3521])[0, 1] > 0.99999
    last = spectrum.copy()
    last[:, 3521] += 5
    for a, b in zip(outputs(encoder, last), outputs(encoder, spectrum), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_token_sees_its_segment_only() -> None:
    encoder = after_segments(spectrum_encoder(SMALL, attention=False))
    segments = np.random.default_rng(0).normal(size=(1, 7, 503)).astype(np.float32)
    tokens, vector = outputs(encoder, segments)
    for segment, pixels in ((0, slice(430, 440)), (1, slice(10)), (6, slice(200, 210))):
        changed = segments.copy()
        changed[:, segment, pixels] += 5
        there, whole = outputs(encoder, changed)
        assert np.flatnonzero((there != tokens).any(axis=(0, 2))).tolist() == [segment]
        assert (whole != vector).any()


def test_the_vector_of_an_image_is_the_mean_of_its_tokens() -> None:
    tokens, vector = outputs(image_encoder(SMALL, 16), synthetic(10).image)
    assert tokens.std(axis=1).max() > 0
    np.testing.assert_allclose(tokens.mean(axis=1), vector, atol=1e-5)


def test_classifier_of_one_encoder() -> None:
    data = synthetic(10)
    set_seed(0)
    for encoder, x in ((spectrum_encoder(SMALL), data.spectrum), (image_encoder(SMALL, 16), data.image)):
        model = classifier(encoder, SMALL)
        p = outputs(model, x)[0]
        assert p.shape == (10, 2)
        kernel, bias = model.get_layer("softmax").get_weights()
        expected = outputs(encoder, x)[1] @ kernel + bias
        np.testing.assert_allclose(np.log(p[:, 1] / p[:, 0]), expected[:, 1] - expected[:, 0], atol=1e-4)
        assert model.get_layer(encoder.name) is encoder


def test_weights_of_three_colours_are_taken_to_five_bands(published: Any, weights: Path) -> None:
    backbone = image_encoder(PAPER, 32, pretrained=weights).get_layer("resnet")
    for layer in published.layers:
        own = backbone.get_layer(layer.name).get_weights() if layer.weights else []
        for k, (found, given) in enumerate(zip(own, layer.get_weights(), strict=True)):
            if (layer.name, k) == ("conv1_conv", 0):
                given = np.repeat(given.sum(axis=2, keepdims=True) / 5, 5, axis=2)
                np.testing.assert_allclose(found, given, rtol=1e-5, atol=1e-7)
            else:
                np.testing.assert_array_equal(found, given)
    # A grey star is to it what it was to the given network.
    grey = np.random.default_rng(0).normal(size=(2, 32, 32, 1)).astype(np.float32)
    networks = (backbone, 5), (published, 3)
    found, expected = (outputs(network, np.repeat(grey, n, axis=3))[0] for network, n in networks)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())


def test_weights_as_keras_distributes_them(published: Any, tmp_path: Path) -> None:
    legacy = pytest.importorskip("keras.src.legacy.saving.legacy_h5_format")
    path = tmp_path / "resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5"
    with h5py.File(path, "w") as file:
        legacy.save_weights_to_hdf5_group(file, published)
    backbone = image_encoder(PAPER, 32, pretrained=path).get_layer("resnet")
    for found, given in zip(backbone.get_weights()[1:], published.get_weights()[1:], strict=True):
        np.testing.assert_array_equal(found, given)


@pytest.mark.filterwarnings("ignore:Skipping nested container")
def test_other_files_of_weights_are_named(weights: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.h5: no such file; expected .*ResNet50"):
        image_encoder(PAPER, 32, pretrained=tmp_path / "none.h5")
    broken, other = (tmp_path / name for name in ("broken.weights.h5", "other.weights.h5"))
    broken.write_bytes(b"no weights")
    image_encoder(SMALL, 16).save_weights(other)
    for path in (broken, other):
        with pytest.raises(InputError, match=f"{path.name}: not the weights of keras.applications.ResNet50"):
            image_encoder(PAPER, 32, pretrained=path)
    with pytest.raises(InputError, match=rf"{weights.name}: .* fit the preset paper only"):
        image_encoder(SMALL, 16, pretrained=weights)
