"""ML-PIL: pseudo-inverse, orthogonal weights, and what codes keep of spectra."""

from itertools import pairwise

import numpy as np
import pytest
from scipy.special import expit

from starsift.errors import TrainingError
from starsift.searches.mstars.pil import PILHasher, least_squares


def spectra(n: int = 500, p: int = 60, seed: int = 0) -> np.ndarray:
    """Mixtures of four smooth shapes from 0 to 1, with a little noise."""
    rng = np.random.default_rng(seed)
    x = np.linspace(0, 1, p)
    shapes = np.stack([np.exp(-0.5 * ((x - c) / 0.12) ** 2) for c in (0.15, 0.4, 0.65, 0.9)])
    flux = rng.random((n, 4)) @ shapes + 0.02 * rng.standard_normal((n, p))
    return np.clip(flux, 0, 1).astype(np.float32)


def mean_square(difference: np.ndarray) -> float:
    return float((difference.astype(float) ** 2).mean())


@pytest.mark.parametrize("hidden", [None, (40, 24), (100,), ()])
def test_random_weights_are_orthonormal(hidden: tuple[int, ...] | None) -> None:
    fitted = PILHasher(16, hidden=hidden, encoder="random").fit(spectra())
    sizes = [60, *((16, 16) if hidden is None else hidden), 16]
    assert [weight.shape for weight in fitted.weights_] == list(pairwise(sizes))
    assert [decoder.shape for decoder in fitted.decoders_] == [pair[::-1] for pair in pairwise(sizes)]
    for weight in fitted.weights_:
        rows, columns = weight.shape
        product = weight.T @ weight if rows >= columns else weight @ weight.T
        np.testing.assert_allclose(product, np.eye(min(rows, columns)), atol=1e-5)


@pytest.mark.parametrize("encoder", ["random", "beta"])
def test_decoders_are_least_squares(encoder: str) -> None:
    X = spectra()
    fitted = PILHasher(8, hidden=(12, 8), encoder=encoder, ridge=0.0).fit(X)
    data = X
    for weight, bias, decoder in zip(fitted.weights_, fitted.biases_, fitted.decoders_, strict=True):
        hidden = expit(data @ weight + bias)
        expected = np.linalg.lstsq(hidden.astype(float), data.astype(float))[0]
        np.testing.assert_allclose(hidden @ decoder, hidden @ expected, atol=2e-4)
        np.testing.assert_allclose(decoder, expected, atol=5e-3 * np.abs(expected).max())
        data = hidden
    np.testing.assert_allclose(fitted.features(X), data, atol=1e-5)


def test_the_encoder_of_beta_is_a_decoder_turned_round() -> None:
    X = spectra()
    random, beta = (PILHasher(16, hidden=(), encoder=encoder).fit(X) for encoder in ("random", "beta"))
    # The same random layer gives the weights, which then encode without a bias.
    np.testing.assert_allclose(beta.weights_[0], random.decoders_[0].T, rtol=1e-5)
    assert not beta.biases_[0].any()
    np.testing.assert_allclose(beta.features(X), expit(X @ beta.weights_[0]), atol=1e-6)


@pytest.mark.parametrize("ridge", [0.0, 1e-3])
def test_least_squares(ridge: float) -> None:
    rng = np.random.default_rng(1)
    hidden, target = rng.random((9000, 7)), rng.random((9000, 3))  # more rows than are summed at a time
    penalty = ridge * (hidden**2).sum(axis=0).mean()
    expected = np.linalg.solve(hidden.T @ hidden + penalty * np.eye(7), hidden.T @ target)
    np.testing.assert_allclose(least_squares(hidden, target, ridge), expected, rtol=1e-5)


@pytest.mark.parametrize("kind", ["twins", "more nodes than spectra", "dead node", "nearly the same"])
def test_nodes_that_say_the_same_share_the_weight(kind: str) -> None:
    rng = np.random.default_rng(2)
    hidden = rng.random((6 if kind == "more nodes than spectra" else 50, 8))
    if kind == "twins":
        hidden[:, 7] = hidden[:, 2]
    if kind == "dead node":
        hidden[:, 4] = 0.0
    if kind == "nearly the same":
        hidden[:, 7] = hidden[:, 2] + 1e-9 * rng.standard_normal(50)
    target = rng.random((len(hidden), 3))
    found = least_squares(hidden, target, 0.0)
    expected = np.linalg.lstsq(hidden, target, rcond=1e-6)[0]
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("encoder", ["random", "beta"])
def test_codes_keep_more_than_the_mean_spectrum(encoder: str) -> None:
    X, unseen = spectra(), spectra(200, seed=1)
    fitted = PILHasher(32, encoder=encoder).fit(X)
    blind = mean_square(unseen - X.mean(axis=0))
    rebuilt = fitted.reconstruct(unseen)
    assert rebuilt.shape == unseen.shape
    assert mean_square(unseen - rebuilt) < 0.2 * blind
    decoded = fitted.inverse_transform(fitted.transform(unseen))
    assert decoded.shape == unseen.shape
    assert mean_square(unseen - decoded) < 0.75 * blind
    # Another spectrum's code does not.
    assert mean_square(unseen - decoded[::-1]) > blind


def test_parameters_and_codes_that_cannot_be() -> None:
    X = spectra(50)
    with pytest.raises(TrainingError, match="encoder is 'gamma': expected one of random, beta"):
        PILHasher(16, encoder="gamma").fit(X)
    with pytest.raises(TrainingError, match=r"hidden is \(16, 0\)"):
        PILHasher(16, hidden=(16, 0)).fit(X)
    fitted = PILHasher(16).fit(X)
    for codes in (np.zeros((3, 4), np.uint8), np.zeros((3, 2), int), np.zeros(2, np.uint8)):
        with pytest.raises(TrainingError, match=r"expected uint8 \(n, 2\)"):
            fitted.inverse_transform(codes)
    with pytest.raises(ValueError, match="59 features, but PILHasher is expecting 60"):
        fitted.reconstruct(X[:, 1:])
