"""Hashers: balanced and reproducible bits and scikit-learn's conventions."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

from starsift.errors import TrainingError
from starsift.searches.mstars.hashing import (
    DiscriminantHasher,
    Hasher,
    ITQHasher,
    PCAHasher,
    RandomProjectionHasher,
    unpack,
)
from starsift.searches.mstars.pil import PILHasher

ANY_WIDTH = [RandomProjectionHasher(8), DiscriminantHasher(8), PILHasher(8)]
NOT_WIDER = [PCAHasher(8), ITQHasher(8, n_iterations=5)]  # need as many features as bits
HASHERS = [hasher.set_params(n_bits=16) for hasher in map(clone, ANY_WIDTH + NOT_WIDER)]
every_hasher = pytest.mark.parametrize("hasher", HASHERS, ids=lambda hasher: type(hasher).__name__)


def sample(n: int = 400, p: int = 40, classes: int = 4, noise: float = 0.5, seed: int = 0):
    """Noisy rows (n, p) about a mean row a class, and the classes (n,)."""
    rng = np.random.default_rng(seed)
    means = np.random.default_rng(99).standard_normal((classes, p))
    number = rng.integers(0, classes, n)
    rows = means[number] + noise * rng.standard_normal((n, p))
    return rows.astype(np.float32), np.array(["K", "M", "GALAXY", "UNKNOWN", "A", "F"])[number]


@every_hasher
def test_bits_are_balanced_and_packed(hasher: Hasher) -> None:
    X, y = sample()
    fitted = clone(hasher).fit(X, y)
    codes = fitted.transform(X)
    assert codes.dtype == np.uint8
    assert codes.shape == (400, 2)
    assert fitted.transform(X[:0]).shape == (0, 2)
    share = unpack(codes).mean(axis=0)
    np.testing.assert_allclose(share, 0.5, atol=1.01 / 400)


@every_hasher
def test_a_bit_is_one_where_its_feature_is_above_the_median(hasher: Hasher) -> None:
    X, y = sample()
    fitted = clone(hasher).fit(X, y)
    unseen, _ = sample(50, seed=3)
    features = fitted.features(unseen)
    clear = np.abs(features - fitted.medians_) > 1e-4
    assert clear.mean() > 0.95
    bits = unpack(fitted.transform(unseen))
    np.testing.assert_array_equal(bits[clear], (features > fitted.medians_)[clear])
    # Levels are the mean features of the bits.
    on = fitted.features(X)[:, 5] > fitted.medians_[5]
    np.testing.assert_allclose(fitted.levels_[1, 5], fitted.features(X)[on, 5].mean(), rtol=1e-3)
    np.testing.assert_allclose(fitted.levels_[0, 5], fitted.features(X)[~on, 5].mean(), rtol=1e-3)


@every_hasher
def test_the_seed_decides_the_codes(hasher: Hasher) -> None:
    X, y = sample()
    codes = clone(hasher).fit(X, y).transform(X)
    np.testing.assert_array_equal(clone(hasher).fit(X, y).transform(X), codes)
    other = clone(hasher).set_params(random_state=1).fit(X, y).transform(X)
    assert (other == codes).all() == isinstance(hasher, PCAHasher)  # principal components are not drawn


@every_hasher
def test_codes_depend_neither_on_threads_nor_on_the_other_spectra(
    hasher: Hasher, monkeypatch: pytest.MonkeyPatch
) -> None:
    X, y = sample()
    fitted = clone(hasher).fit(X, y)
    many = np.concatenate([X + seed for seed in np.linspace(-0.1, 0.1, 4, dtype=np.float32)])
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    codes = fitted.transform(many)
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    np.testing.assert_array_equal(fitted.transform(many), codes)
    # Products of other sizes round differently, so a bit at its threshold may change.
    alone = np.concatenate([fitted.transform(part) for part in np.array_split(many, 37)])
    assert (unpack(alone) != unpack(codes)).mean() < 1e-3


@every_hasher
def test_scikit_learn_can_clone_pickle_and_chain_it(hasher: Hasher) -> None:
    X, y = sample()
    assert clone(hasher).get_params() == hasher.get_params()
    assert clone(hasher).set_params(n_bits=32).n_bits == 32
    with pytest.raises(NotFittedError):
        clone(hasher).transform(X)
    fitted = clone(hasher).fit(X, y)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(fitted)).transform(X), fitted.transform(X))
    np.testing.assert_array_equal(clone(hasher).fit_transform(X, y), fitted.transform(X))
    chain = make_pipeline(StandardScaler(), clone(hasher)).fit(X, y)
    scaled = chain[0].transform(X)
    np.testing.assert_array_equal(chain.transform(X), clone(hasher).fit(scaled, y).transform(scaled))


@pytest.mark.parametrize("hasher", ANY_WIDTH, ids=lambda hasher: type(hasher).__name__)
def test_scikit_learn_finds_nothing_wrong(hasher: Hasher) -> None:
    check_estimator(hasher, on_skip=None)


@pytest.mark.parametrize("hasher", NOT_WIDER, ids=lambda hasher: type(hasher).__name__)
def test_scikit_learn_finds_nothing_wrong_but_too_few_features(hasher: Hasher) -> None:
    """Most checks have fewer features than the shortest code has bits: the error has to say so."""
    results = check_estimator(hasher, on_skip=None, on_fail=None)
    failed = [result for result in results if result["status"] == "failed"]
    for result in failed:
        errors = f"{result['exception']} {result['exception'].__cause__}"
        assert "use fewer" in errors, result["check_name"]
    assert len(results) - len(failed) > 15


@every_hasher
def test_unusable_input_is_one_sentence(hasher: Hasher) -> None:
    X, y = sample()
    for n_bits in (0, 4, 12, -8):
        with pytest.raises(TrainingError, match=f"n_bits is {n_bits}: expected a multiple of 8"):
            clone(hasher).set_params(n_bits=n_bits).fit(X, y)
    bad = X.copy()
    bad[3, 4] = np.nan
    with pytest.raises(ValueError, match="contains NaN"):
        clone(hasher).fit(bad, y)
    fitted = clone(hasher).fit(X, y)
    with pytest.raises(ValueError, match="contains NaN"):
        fitted.transform(bad)
    with pytest.raises(ValueError, match=r"39 features, but .* is expecting 40"):
        fitted.transform(X[:, 1:])


def test_more_bits_than_features_is_one_sentence() -> None:
    X, y = sample()
    for hasher in NOT_WIDER:
        with pytest.raises(TrainingError, match="at most 40 bits of 400 spectra of 40 features, not 64"):
            clone(hasher).set_params(n_bits=64).fit(X, y)
        with pytest.raises(TrainingError, match="at most 10 bits of 10 spectra"):
            clone(hasher).set_params(n_bits=16).fit(X[:10], y[:10])


def test_the_discriminant_wants_classes() -> None:
    X, y = sample()
    with pytest.raises(TrainingError, match="requires y"):
        DiscriminantHasher(16).fit(X)
    with pytest.raises(TrainingError, match=r"1 classes: expected \(400,\) and two or more"):
        DiscriminantHasher(16).fit(X, np.full(400, "M"))
    with pytest.raises(TrainingError, match=r"shape \(399,\)"):
        DiscriminantHasher(16).fit(X, y[1:])


def test_principal_axes_and_their_signs() -> None:
    X, _ = sample()
    for rows in (X, X[:30]):  # more and fewer spectra than features
        fitted = PCAHasher(8).fit(rows)
        centred = rows - rows.mean(axis=0)
        axes = np.linalg.svd(centred, full_matrices=False)[2][:8]
        np.testing.assert_allclose(np.abs((fitted.weights_.T * axes).sum(axis=1)), 1.0, atol=1e-3)
        largest = np.abs(fitted.weights_).argmax(axis=0)
        assert (fitted.weights_[largest, np.arange(8)] > 0).all()


def test_itq_turns_the_components_until_their_signs_lose_less() -> None:
    X, _ = sample(classes=6)

    def loss(hasher: Hasher) -> float:
        values = hasher.features(X)
        return float(((np.sign(values) - values) ** 2).sum())

    pca, itq = PCAHasher(16).fit(X), ITQHasher(16).fit(X)
    np.testing.assert_allclose(itq.weights_.T @ itq.weights_, np.eye(16), atol=1e-4)
    # The same space, other axes.
    inside = pca.weights_ @ (pca.weights_.T @ itq.weights_)
    np.testing.assert_allclose(inside, itq.weights_, atol=1e-4)
    losses = [loss(ITQHasher(16, n_iterations=k).fit(X)) for k in (0, 1, 5, 50)]
    assert losses == sorted(losses, reverse=True)
    assert loss(itq) < 0.97 * loss(pca)


def test_random_projections_measure_angles() -> None:
    """Charikar 2002: the share of differing bits is the angle over pi."""
    rng = np.random.default_rng(1)
    X = rng.standard_normal((300, 20))
    X = np.concatenate([X, -X])  # so that the thresholds lie at 0
    bits = unpack(RandomProjectionHasher(4096).fit_transform(X))[:40].astype(float)
    apart = (bits[:, None] != bits[None]).mean(axis=2)
    unit = X[:40] / np.linalg.norm(X[:40], axis=1, keepdims=True)
    np.testing.assert_allclose(apart, np.arccos(np.clip(unit @ unit.T, -1, 1)) / np.pi, atol=0.05)


def test_the_discriminant_is_ridge_regression_cut_by_random_planes() -> None:
    X, y = sample()
    fitted = DiscriminantHasher(32, ridge=0.3, random_state=5).fit(X, y)
    centred = X.astype(float) - X.mean(axis=0)
    indicator = (y[:, None] == np.unique(y)).astype(float)
    penalty = 0.3 * (centred**2).sum() / X.shape[1]
    regression = Ridge(alpha=penalty, fit_intercept=False).fit(centred, indicator - indicator.mean(axis=0))
    values = centred @ regression.coef_.T
    planes = np.random.default_rng(5).standard_normal((4, 32))
    expected = values / values.std(axis=0) @ planes
    np.testing.assert_allclose(fitted.features(X), expected, atol=1e-3)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 12), st.integers(1, 9), st.integers(0, 10_000))
def test_unpack_undoes_packing(n: int, size: int, seed: int) -> None:
    bits = np.random.default_rng(seed).integers(0, 2, (n, 8 * size), dtype=np.uint8)
    np.testing.assert_array_equal(unpack(np.packbits(bits, axis=1)), bits)
