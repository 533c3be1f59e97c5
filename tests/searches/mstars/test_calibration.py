"""Scores of spectra that a hasher has not seen, and probabilities from them."""

from pathlib import Path

import numpy as np
import pytest
from fixtures.mstars_data import noisy_classes
from scipy.special import expit
from sklearn.metrics import average_precision_score

from starsift.searches.mstars import calibration
from starsift.searches.mstars.calibration import (
    Calibration,
    calibrate,
    pool_prior,
    read_calibration,
    score_unseen,
    write_calibration,
)
from starsift.searches.mstars.model import METHODS, Method

DISCRIMINANT = Method("flux", "discriminant", "contrast")


def test_cosine_is_that_of_the_nearest_positive() -> None:
    features, labels, is_m = noisy_classes(60)
    unseen, _, _ = noisy_classes(25, seed=1)
    found = score_unseen(features, labels, is_m, unseen, METHODS["cosine (no code)"], 0, 0)
    expected = [max(np.corrcoef(row, other)[0, 1] for other in features[is_m]) for row in unseen]
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_scores_do_not_know_the_unseen_and_know_the_classes() -> None:
    features, labels, is_m = noisy_classes(400)
    unseen, _, truth = noisy_classes(200, seed=1)
    score = score_unseen(features, labels, is_m, unseen, DISCRIMINANT, 64, 0)
    few = score_unseen(features, labels, is_m, unseen[:50], DISCRIMINANT, 64, 0)
    # Products of other sizes round differently, so a bit at its threshold may change, and a distance by one.
    np.testing.assert_allclose(few, score[:50], atol=2)
    assert (few == score[:50]).mean() > 0.9
    assert average_precision_score(truth, score) > 0.8
    shuffled = np.random.default_rng(0).permutation(len(labels))
    blind = score_unseen(features, labels[shuffled], is_m[shuffled], unseen, DISCRIMINANT, 64, 0)
    assert average_precision_score(truth, blind) < 0.5


def test_probabilities_of_known_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    """Scores from two Gaussians of unit width, 2 apart: log odds are 2 x - 2 + log(0.2 / 0.8)."""
    rng = np.random.default_rng(0)
    is_m = np.arange(20_000) < 4000
    score = rng.standard_normal(is_m.size) + 2.0 * is_m
    folds = []

    def simulated(features, labels, is_m, unseen, method, bits, seed):
        assert np.intersect1d(features, unseen).size == 0
        folds.append(len(unseen))
        return 40.0 * unseen[:, 0]  # bits

    monkeypatch.setattr(calibration, "score_unseen", simulated)
    found = calibrate(score[:, None], np.full(is_m.size, "x"), is_m, DISCRIMINANT, 64, 0)
    assert folds == [4000] * 5
    assert found.prior == pytest.approx(0.2)
    assert 40 * found.slope == pytest.approx(2.0, rel=0.03)
    assert found.intercept == pytest.approx(-2.0 + np.log(0.25), abs=0.1)
    fresh_m = rng.random(50_000) < 0.2
    fresh = 40 * (rng.standard_normal(fresh_m.size) + 2.0 * fresh_m)
    expected, observed, number = reliability(expit(found.log_odds(fresh)), fresh_m).T
    assert len(number) == 10
    np.testing.assert_allclose(observed, expected, atol=0.03)


def test_copies_of_a_spectrum_are_not_on_both_sides_and_only_some_rows_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(1500), 2)
    is_m = group < 500
    # The originals' scores say something, those of their copies nothing.
    original = np.arange(group.size) % 2 == 0
    score = rng.standard_normal(group.size) + 2.0 * (is_m & original)
    features = np.stack([group, score], axis=1)

    def simulated(features, labels, is_m, unseen, method, bits, seed):
        assert np.intersect1d(features[:, 0], unseen[:, 0]).size == 0
        assert is_m.any()
        assert not is_m.all()
        return unseen[:, 1]

    monkeypatch.setattr(calibration, "score_unseen", simulated)
    labels = np.full(group.size, "x")
    found = calibrate(features, labels, is_m, DISCRIMINANT, 64, 0, groups=group, used=original)
    assert found.slope == pytest.approx(2.0, rel=0.15)
    assert found.prior == pytest.approx(1 / 3)
    everything = calibrate(features, labels, is_m, DISCRIMINANT, 64, 0, groups=group)
    assert everything.slope < 1.5
    # Rows of one kind alone teach nothing, so all are used.
    assert calibrate(features, labels, is_m, DISCRIMINANT, 64, 0, groups=group, used=is_m) == everything
    mixed = np.arange(group.size)  # without groups, a spectrum is its own
    with pytest.raises(AssertionError):
        calibrate(features, labels, is_m, DISCRIMINANT, 64, 0, groups=mixed)


def reliability(probability: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Rows of mean probability, share that is true, and number, for tenths of the probability."""
    tenth = np.digitize(probability, np.linspace(0, 1, 11)[1:-1])
    inside = [tenth == k for k in range(10) if (tenth == k).any()]
    return np.array([(probability[rows].mean(), truth[rows].mean(), rows.sum()) for rows in inside])


def test_probabilities_of_a_hasher_on_spectra_that_it_has_not_seen() -> None:
    features, labels, is_m = noisy_classes(1500, noise=4.0)
    unseen, _, truth = noisy_classes(3000, noise=4.0, seed=1)
    found = calibrate(features, labels, is_m, DISCRIMINANT, 64, 0)
    score = score_unseen(features, labels, is_m, unseen, DISCRIMINANT, 64, 0)
    probability = expit(found.log_odds(score))
    assert found.slope > 0
    order = np.argsort(score)
    assert (np.diff(probability[order]) >= 0).all()
    expected, share, number = reliability(probability, truth).T
    assert len(expected) >= 8
    assert np.average(np.abs(share - expected), weights=number) < 0.07
    assert probability.mean() == pytest.approx(truth.mean(), abs=0.03)


def test_scores_of_bright_spectra_are_more_decisive(monkeypatch: pytest.MonkeyPatch) -> None:
    """Scores of bright spectra are 4 apart instead of 2: their odds grow twice as fast with the score."""
    rng = np.random.default_rng(0)
    group = np.arange(40_000)
    bright = group % 2 == 0
    # Among the labelled bright ones M stars are as frequent as others, among the faint ones they are a fifth.
    is_m = rng.random(group.size) < np.where(bright, 0.5, 0.2)
    score = rng.standard_normal(group.size) + np.where(is_m, 1.0, -1.0) * np.where(bright, 2.0, 1.0)
    monkeypatch.setattr(calibration, "score_unseen", lambda *known: known[3][:, 0])
    labels, snr = np.full(group.size, "x"), np.where(bright, 100.0, np.where(group % 4 == 1, 2.0, np.nan))
    settings = {"snr": snr, "used": ~bright}
    found = calibrate(score[:, None], labels, is_m, DISCRIMINANT, 64, 0, **settings)
    assert found.prior == pytest.approx(0.2, abs=0.01)
    at = np.array([-1.0, 0.0, 1.0])
    expected = np.log(0.25) + np.array([[2.0], [4.0]]) * at
    odds = [found.log_odds(at, snr=np.full(3, ratio)) for ratio in (3.0, 30.0)]
    np.testing.assert_allclose(odds, expected, atol=0.25)
    np.testing.assert_array_equal(odds[0], found.log_odds(at))
    assert (found.log_odds(at, snr=np.full(3, 11.0)) > odds[0])[2]


def test_another_prior_shifts_the_odds() -> None:
    found = Calibration(0.5, 0.1, 0.25)
    score = np.array([-10.0, 0.0, 30.0])
    np.testing.assert_allclose(found.log_odds(score), [-0.5, 0.5, 3.5])
    np.testing.assert_allclose(found.log_odds(score, 0.25), found.log_odds(score))
    # Odds of 1 : 99 instead of 1 : 3.
    np.testing.assert_allclose(found.log_odds(score, 0.01), found.log_odds(score) - np.log(33.0))


@pytest.mark.parametrize("share", [0.002, 0.02, 0.1, 0.4])
def test_the_share_in_a_pool_is_recovered(share: float) -> None:
    rng = np.random.default_rng(1)
    truth = rng.random(40_000) < share
    score = rng.standard_normal(truth.size) + 3.0 * truth
    log_odds = 3.0 * score - 4.5 + np.log(0.25 / 0.75)  # as if a quarter were M stars
    tolerance = 3 / np.sqrt(truth.sum()) + 0.05
    assert pool_prior(log_odds, 0.25) == pytest.approx(truth.mean(), rel=tolerance)


def test_the_share_in_a_pool_has_limits() -> None:
    assert pool_prior(np.full(1000, -30.0), 0.25) == pytest.approx(1 / 1000)
    assert pool_prior(np.full(1000, 30.0), 0.25) == 0.5
    assert pool_prior(np.full(1, -30.0), 0.25) == 0.5
    assert pool_prior(np.zeros(0), 0.25) == 0.25


def test_calibration_written_and_read_back(tmp_path: Path) -> None:
    calibration = Calibration(-0.2, 0.6, 0.4, 0.1, 0.3)
    write_calibration(calibration, tmp_path / "c.json")
    assert read_calibration(tmp_path / "c.json") == calibration
