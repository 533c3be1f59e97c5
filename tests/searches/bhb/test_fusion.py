"""What joins the encoders: sizes, parts, and the equations in NumPy."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from fixtures.bhb_data import SMALL, synthetic

from starsift.errors import TrainingError
from starsift.learning.backend import load_keras, set_seed
from starsift.searches.bhb.encoders import PRESETS, image_encoder, spectrum_encoder
from starsift.searches.bhb.fusion import FUSIONS, TRANSFORMERS, fusion_head, join_networks

DEEP = replace(SMALL, blocks=2)
K = 5  # image tokens


def tokens(seed: int = 0, n: int = 3, d: int = SMALL.tokens) -> list[np.ndarray]:
    """What the encoders give: tokens and vector of spectra, and of images."""
    rng = np.random.default_rng(seed)
    return [rng.normal(size=(n, *shape)).astype(np.float32) for shape in ((7, d), (d,), (K, d), (d,))]


def probability(model: Any, inputs: list[np.ndarray]) -> np.ndarray:
    return np.asarray(load_keras().ops.convert_to_numpy(model(inputs, training=False)))


def built(name: str, seed: int = 0) -> Any:
    """A network whose biases, too, do something."""
    set_seed(seed)
    model = fusion_head(name, DEEP, K)
    rng = np.random.default_rng(seed)
    moves = (rng.uniform(0.05, 0.3, w.shape) * rng.choice([-1, 1], w.shape) for w in model.get_weights())
    model.set_weights([w + move for w, move in zip(model.get_weights(), moves, strict=True)])
    return model


def transformer_size(d: int, feed_forward: int, blocks: int, *, cross: bool) -> int:
    attention, norm = 4 * (d * d + d), 2 * d
    block = attention + 2 * norm + d * feed_forward + feed_forward + feed_forward * d + d
    block += (attention + 2 * norm) * cross
    return 3 * d + blocks * block + norm + 2 * d + 2  # embeddings, blocks, last norm, classifier


def test_sizes_of_the_published_transformer() -> None:
    paper = PRESETS["paper"]
    model = fusion_head("batmm", paper, 4)
    assert model.count_params() == transformer_size(512, 2048, 8, cross=True)
    assert [one.shape for one in model.inputs] == [(None, 7, 512), (None, 512), (None, 4, 512), (None, 512)]
    assert model.output_shape == (None, 2)
    layers = [one for one in model.layers if isinstance(one, load_keras().layers.MultiHeadAttention)]
    assert sorted(one.name for one in layers) == sorted(
        f"{kind}{i}" for kind in ("cross", "self") for i in range(1, 9)
    )
    for one in layers:
        assert (one.num_heads, one.key_dim, one.dropout) == (8, 64, 0.1)
        assert one.output.shape[1] == (4 if one.name.startswith("cross") else 1 + 4 + 7)


@pytest.mark.parametrize("name", FUSIONS)
def test_sizes_and_parts(name: str) -> None:
    model = fusion_head(name, DEEP, K)
    d = DEEP.tokens
    names = {one.name for one in model.layers}
    if name in TRANSFORMERS:
        parts = TRANSFORMERS[name]
        size = transformer_size(d, DEEP.feed_forward, DEEP.blocks, cross=parts.cross)
        assert ({"cross1", "cross2"} <= names) == ("cross1" in names) == parts.cross
        assert model.get_layer("self2").output.shape == (None, 1 + 7 + K * parts.image, d)
    elif name == "vgg1d":
        (f1, f2), pixels = DEEP.vgg_filters, 2 * d // np.prod(DEEP.vgg_pools)
        size = 3 * f1 + 4 * f1 + 3 * f1 * f2 + 4 * f2 + (pixels * f2 + 1) * d + 2 * d + 2
    else:
        size = 2 * (d if name == "add" else 2 * d) + 2
    assert model.count_params() == size
    p = probability(model, tokens())
    assert p.shape == (3, 2)
    np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-5)


def test_parts_of_table_7() -> None:
    have = {name: (one.image, one.semantic, one.cross) for name, one in TRANSFORMERS.items()}
    assert have == {
        "transformer-spectrum": (False, False, False),
        "transformer": (True, False, False),
        "transformer-sem": (True, True, False),
        "transformer-ca": (True, False, True),
        "batmm": (True, True, True),
    }


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_equations_5_to_13(name: str) -> None:
    model = built(name)
    parts = TRANSFORMERS[name]
    spectrum, _, image, _ = (values.astype(np.float64) for values in tokens())

    def norm(x: np.ndarray, layer: str) -> np.ndarray:
        gamma, beta = model.get_layer(layer).get_weights()
        scaled = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6)
        return np.asarray(scaled * gamma + beta)

    def attention(layer: str, query: np.ndarray, source: np.ndarray) -> np.ndarray:
        weights = model.get_layer(layer).get_weights()
        (wq, bq), (wk, bk), (wv, bv), (wo, bo) = zip(weights[::2], weights[1::2], strict=True)
        q, k, v = (
            np.einsum("nid,dhe->nhie", x, w) + b[:, None, :]
            for x, w, b in ((query, wq, bq), (source, wk, bk), (source, wv, bv))
        )
        scores = np.einsum("nhie,nhje->nhij", q, k) / np.sqrt(DEEP.tokens // DEEP.heads)
        share = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
        return np.asarray(np.einsum("nhij,nhje,hed->nid", share, v, wo) + bo)

    semantic_s, semantic_i, cls = model.get_layer("embedding").get_weights()[0]
    if parts.semantic:
        spectrum, image = spectrum + semantic_s, image + semantic_i
    x = np.concatenate([np.tile(cls, (3, 1, 1)), image, spectrum], axis=1)
    if not parts.image:
        x = np.delete(x, range(1, 1 + K), axis=1)
    for i in (1, 2):
        if parts.cross:
            image, spectrum = x[:, 1 : 1 + K], x[:, 1 + K :]
            found = attention(f"cross{i}", norm(image, f"norm{i}_image"), norm(spectrum, f"norm{i}_spectrum"))
            x = np.concatenate([x[:, :1], image + found, spectrum], axis=1)
        inner = norm(x, f"norm{i}_self")
        x = x + attention(f"self{i}", inner, inner)
        (w1, b1), (w2, b2) = (model.get_layer(f"ffn{i}_{j}").get_weights() for j in (1, 2))
        x = x + np.maximum(norm(x, f"norm{i}_ffn") @ w1 + b1, 0) @ w2 + b2
    kernel, bias = model.get_layer("softmax").get_weights()
    expected = norm(x, "norm")[:, 0] @ kernel + bias
    p = probability(model, tokens()).astype(np.float64)
    np.testing.assert_allclose(
        np.log(p[:, 1] / p[:, 0]), expected[:, 1] - expected[:, 0], rtol=1e-3, atol=1e-3
    )


@pytest.mark.parametrize("name", ["add", "concat", "vgg1d"])
def test_early_fusion_joins_the_vectors(name: str) -> None:
    model = built(name)
    given = tokens()
    p = probability(model, given)
    other = tokens(9)
    np.testing.assert_array_equal(probability(model, [other[0], given[1], other[2], given[3]]), p)
    for k in (1, 3):
        changed = [new if k == i else old for i, (old, new) in enumerate(zip(given, other, strict=True))]
        assert np.abs(probability(model, changed) - p).max() > 1e-4
    # Only a sum does not tell spectrum and image apart.
    swapped = probability(model, [given[0], given[3], given[2], given[1]])
    assert np.allclose(swapped, p, atol=1e-6) == (name == "add")
    if name != "vgg1d":
        joined = given[1] + given[3] if name == "add" else np.concatenate([given[1], given[3]], axis=1)
        kernel, bias = model.get_layer("softmax").get_weights()
        expected = joined @ kernel + bias
        np.testing.assert_allclose(
            np.log(p[:, 1] / p[:, 0]), expected[:, 1] - expected[:, 0], rtol=1e-3, atol=1e-4
        )


def test_unknown_model() -> None:
    with pytest.raises(
        TrainingError, match="model 'sum' is not one of add, concat, vgg1d, transformer-spect"
    ):
        fusion_head("sum", SMALL, K)


def test_the_joined_network_is_its_parts_in_turn() -> None:
    data = synthetic(10)
    parts = [spectrum_encoder(SMALL), image_encoder(SMALL, 16)]
    joined = fusion_head("batmm", SMALL, parts[1].output_shape[0][1])
    model = join_networks(*parts, joined)
    assert [one.shape for one in model.inputs] == [(None, 3522), (None, 16, 16, 5)]
    assert model.count_params() == sum(part.count_params() for part in (*parts, joined))
    between = [*parts[0](data.spectrum, training=False), *parts[1](data.image, training=False)]
    p = probability(model, [data.spectrum, data.image])
    np.testing.assert_allclose(probability(joined, between), p, atol=1e-6)
    other = probability(model, [data.spectrum, data.image[::-1]])
    assert np.abs(other - p).max() > 0
