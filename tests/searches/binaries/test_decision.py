"""The decision between one, two and three stars: its features, its regressions, and what they learn from."""

from dataclasses import asdict

import numpy as np
import pytest
from fixtures.settings import BINARIES
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

from starsift.errors import TrainingError
from starsift.searches.binaries.decision import (
    DEGREE,
    FEATURES,
    Decision,
    purity_threshold,
    train_decision,
)
from starsift.searches.binaries.model_bank import build_models
from starsift.searches.binaries.model_dataset import CLOSEST_KMS, TOLERANCE_KMS, simulate
from starsift.spectra.templates import load_grid


def made_up(n, seed):
    """Features and truth of n spectra: three tenths have two stars or three, told by the gains."""
    rng = np.random.default_rng(seed)
    stars = 1 + (rng.random(n) < 0.3).astype(int)
    stars += (stars == 2) & (rng.random(n) < 0.3)
    x = rng.standard_normal((n, 2, len(FEATURES)))
    for model in (0, 1):
        x[:, model, 0] += np.where(stars > model + 1, 4.0, 0.0)
    x[(stars == 1) & (rng.random(n) < 0.4)] = np.nan  # nothing was fitted
    return x, np.column_stack([stars > 1, stars > 2]), stars


@pytest.fixture(scope="module")
def decision():
    x, right, stars = made_up(20000, 1)
    weight = np.where(stars == 1, 20.0, 1.0)
    return train_decision(x, right, weight, purity=(0.95, 0.9), seed=1), (x, right, weight)


def test_the_regression_is_scikit_learns(decision):
    model, (x, right, weight) = decision
    fitted = np.isfinite(x[:, 0]).all(axis=1)
    x, y, weight = x[fitted, 0], right[fitted, 0], weight[fitted]
    reference = make_pipeline(
        StandardScaler(), PolynomialFeatures(DEGREE, include_bias=False), LogisticRegression(max_iter=5000)
    ).fit(x, y)
    shift = np.log(weight[y].sum() / weight[~y].sum()) - np.log(y.sum() / (~y).sum())
    expected = 1 / (1 + np.exp(-(reference.decision_function(x) + shift)))
    np.testing.assert_allclose(model.pair.predict(x), expected, atol=1e-9)


def test_purity_is_that_asked_for_on_other_spectra(decision):
    model, _ = decision
    x, right, stars = made_up(20000, 2)
    weight = np.where(stars == 1, 20.0, 1.0)
    found = model.multiplicity(x)
    double, triple = found != "", found == "SB3"
    assert np.average(right[double, 0], weights=weight[double]) > 0.93
    assert np.average(right[triple, 1], weights=weight[triple]) > 0.85
    assert double[stars > 1].mean() > 0.6
    probability = model.predict(x)
    np.testing.assert_allclose(probability.sum(axis=1), 1.0)
    # Calibrated at the proportions of the survey.
    assert np.average(1 - probability[:, 0], weights=weight) == pytest.approx(
        np.average(stars > 1, weights=weight), rel=0.1
    )
    unfitted = np.isnan(x).any(axis=(1, 2))
    assert (probability[unfitted] == [1.0, 0.0, 0.0]).all()


def test_a_decision_is_written_and_read(decision, tmp_path):
    decision[0].save(tmp_path / "decision.json")
    assert asdict(Decision.load(tmp_path / "decision.json")) == asdict(decision[0])


def test_too_few_companions_are_no_training_set():
    x, right, _ = made_up(60, 3)
    with pytest.raises(TrainingError, match=r"companions.*per_class"):
        train_decision(x, right, np.ones(60), purity=(0.98, 0.9), seed=1)


def test_purity_threshold_counts_one_more_wrong_one():
    probability = np.array([0.9, 0.8, 0.7, 0.6, 0.5])
    right = np.array([True, True, True, True, False])
    assert purity_threshold(probability, right, np.ones(5), 0.8) == 0.6
    assert purity_threshold(probability, right, np.ones(5), 0.75) == 0.6
    assert purity_threshold(probability, right, np.ones(5), 0.99) == 1.0
    assert purity_threshold(probability, right, np.where(right, 1.0, 9.0), 0.8) == 1.0


@pytest.mark.parametrize("stars", [1, 2, 3])
def test_simulated_spectra_say_what_was_found(stars):
    ccf = {k: v for k, v in BINARIES["ccf"].items() if k not in ("templates", "velocity_step")}
    few = {"teff": (5250, 6250), "logg": (4.2,), "feh": (0.0,), "vsini": (0, 30, 60)}
    grid = load_grid()
    bank = build_models(grid, **{**BINARIES["model"], **few}, **ccf)
    options = {"resolution": 7500, "stars": stars, "number": 24, "snr": (40, 100)}
    sample = simulate(grid, bank, seed=4, **options)
    np.testing.assert_array_equal(simulate(grid, bank, seed=4, **options).rv, sample.rv)
    assert np.isfinite(sample.rv).sum(axis=1).tolist() == [stars] * 24
    np.testing.assert_allclose(np.nansum(sample.light, axis=1), 1.0)
    if stars == 1:
        assert not sample.right.any()
    else:
        assert sample.right[:, 0].mean() > 0.3
    for row in np.flatnonzero(sample.right[:, 0]):
        found = np.sort(sample.found[row, 1, :2])
        assert np.diff(found) >= CLOSEST_KMS
        distance = np.abs(found[:, None] - sample.rv[row])
        assert (np.nanmin(distance, axis=1) < TOLERANCE_KMS).all()
