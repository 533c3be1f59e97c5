"""The decision between one, two and three stars: its features, its regressions, and what they learn from."""

from dataclasses import asdict, fields, replace

import numpy as np
import pytest
from fixtures.settings import BINARIES
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

from starsift.errors import ResultsError, TrainingError
from starsift.io.files import write_json
from starsift.searches.binaries.decision import (
    DEGREE,
    FEATURES,
    LIMIT,
    STRENGTH,
    Decision,
    neighbours,
    purity_threshold,
    train_decision,
)
from starsift.searches.binaries.model_bank import build_models
from starsift.searches.binaries.model_dataset import (
    CLOSEST_KMS,
    TOLERANCE_KMS,
    Sample,
    read_samples,
    simulate,
    systematic_errors,
    write_sample,
)
from starsift.searches.binaries.settings import model_settings
from starsift.spectra.templates import load_grid

SYSTEMATIC = {"systematic": (0.1, 0.3, 1, 2), "systematic_light": (0, 0.03, 0.04, 0.1)}


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
    return train_decision(x, right, weight, purity=(0.95, 0.9), **SYSTEMATIC, seed=1), (x, right, weight)


def test_the_regression_is_scikit_learns(decision):
    model, (x, right, weight) = decision
    fitted = np.isfinite(x).all(axis=(1, 2))
    numbers, label, share = (
        x[fitted].reshape(-1, 2 * len(FEATURES)),
        right[fitted].sum(axis=1),
        weight[fitted],
    )
    reference = make_pipeline(
        StandardScaler(),
        PolynomialFeatures(DEGREE, include_bias=False),
        LogisticRegression(C=STRENGTH, max_iter=5000),
    ).fit(numbers, label)
    expected = reference.predict_proba(numbers) * np.bincount(label, share) / np.bincount(label)
    expected /= expected.sum(axis=1, keepdims=True)
    # The decision bounds its features, so that the farthest spectra differ.
    near = (np.abs((numbers - model.mean) / model.scale) < LIMIT).all(axis=1)
    np.testing.assert_allclose(model.predict(x)[fitted][near], expected[near], atol=1e-9)
    assert near.mean() > 0.99


def test_purity_is_that_asked_for_on_other_spectra(decision):
    model, _ = decision
    x, right, stars = made_up(20000, 2)
    weight = np.where(stars == 1, 20.0, 1.0)
    found = model.multiplicity(x)
    several, triple = found != "", found == "SB3"
    assert np.average(right[several, 0], weights=weight[several]) > 0.93
    assert np.average(right[triple, 1], weights=weight[triple]) > 0.85
    assert several[stars > 1].mean() > 0.6
    probability = model.predict(x)
    np.testing.assert_allclose(probability.sum(axis=1), 1.0)
    # Calibrated at the proportions of the survey.
    for number in (1, 2, 3):
        expected = np.average(stars == number, weights=weight)
        assert np.average(probability[:, number - 1], weights=weight) == pytest.approx(expected, rel=0.2)
    unfitted = np.isnan(x).all(axis=(1, 2))
    assert (probability[unfitted] == [1.0, 0.0, 0.0]).all()


def test_a_pair_beside_which_no_third_star_fits_is_decided_all_the_same(decision):
    model, (x, right, _) = decision
    double = np.flatnonzero(np.isfinite(x).all(axis=(1, 2)) & (right.sum(axis=1) == 1))
    alone = x[double].copy()
    alone[:, 1] = np.nan
    probability = model.predict(alone)
    assert np.median(probability[:, 1]) > 0.9
    assert probability[:, 2].mean() < model.predict(x[double])[:, 2].mean() + 0.02


def test_a_decision_is_written_and_read(decision, tmp_path):
    decision[0].save(tmp_path / "decision.json")
    assert asdict(Decision.load(tmp_path / "decision.json")) == asdict(decision[0])


def test_a_decision_of_another_version_is_named(decision, tmp_path):
    old = asdict(decision[0])
    del old["systematic_light"]
    write_json(old, tmp_path / "decision.json")
    with pytest.raises(ResultsError, match=r"decision\.json: a decision of another version; delete it"):
        Decision.load(tmp_path / "decision.json")


def test_too_few_companions_are_no_training_set():
    x, right, _ = made_up(60, 3)
    with pytest.raises(TrainingError, match=r"wrong companion.*raise decision\.spectra"):
        train_decision(x, right, np.ones(60), purity=(0.98, 0.9), **SYSTEMATIC, seed=1)


def test_purity_threshold_counts_one_more_wrong_one():
    probability = np.array([0.9, 0.8, 0.7, 0.6, 0.5])
    right = np.array([True, True, True, True, False])
    assert purity_threshold(probability, right, np.ones(5), 0.8) == 0.6
    assert purity_threshold(probability, right, np.ones(5), 0.75) == 0.6
    assert purity_threshold(probability, right, np.ones(5), 0.99) == 1.0
    assert purity_threshold(probability, right, np.where(right, 1.0, 9.0), 0.8) == 1.0


@pytest.mark.parametrize("stars", [1, 2, 3])
def test_simulated_spectra_say_what_was_found(stars, tmp_path):
    few = {"teff": (5250, 6250), "logg": (4.2,), "feh": (0.0,), "vsini": (0, 30, 60)}
    grid = load_grid()
    bank = build_models(grid, **(model_settings(BINARIES) | few))
    options = {"resolution": 7500, "stars": stars, "number": 24, "snr": (40, 100)}
    sample = simulate(grid, bank, seed=4, **options)
    np.testing.assert_array_equal(simulate(grid, bank, seed=4, **options).rv, sample.rv)
    write_sample(tmp_path / "sample.parquet", sample)
    twice = read_samples([tmp_path / "sample.parquet"] * 2)
    for field in fields(sample):
        one = getattr(sample, field.name).astype(np.float32)
        np.testing.assert_array_equal(getattr(twice, field.name), np.concatenate([one, one]))
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


def test_systematic_errors_complete_those_of_noise():
    rng = np.random.default_rng(1)
    n, noise, more = 6000, 0.8, np.array([0.1, 0.5, 1.5, 3.0])
    light_noise, light_more = 0.02, np.array([0.0, 0.03, 0.05, 0.1])
    stars = rng.integers(1, 4, n)
    beyond = np.arange(3) >= stars[:, None]
    true = np.cumsum(rng.choice([50.0, 70.0, 120.0], (n, 3)), axis=1)
    true[beyond] = np.nan
    place, cube = neighbours(true), np.full((n, 3, 3), np.nan)
    found, found_light, model = cube.copy(), cube.copy(), (np.arange(n), stars - 1)
    found[model] = true + rng.normal(0, np.hypot(noise, more[place]))
    light = np.where(beyond, np.nan, 1 / stars[:, None])
    found_light[model] = light + rng.normal(0, np.hypot(light_noise, light_more[place]))
    sample = Sample(
        stars=stars,
        snr=np.ones(n),
        rv=true,
        light=light,
        vsini=np.where(beyond, np.nan, 5.0),
        features=np.zeros((n, 2, len(FEATURES))),
        right=np.ones((n, 2)),
        found=found,
        found_err=np.full((n, 3, 3), noise),
        found_light=found_light,
        found_light_err=np.full((n, 3, 3), light_noise),
    )
    velocity, share = systematic_errors(sample)
    np.testing.assert_allclose(velocity, more, atol=0.25)
    np.testing.assert_allclose(share, light_more, atol=0.01)
    large = np.full((n, 3, 3), 9.0)
    none = systematic_errors(replace(sample, found_err=large, found_light_err=large))
    assert none == ([0.0] * 4, [0.0] * 4)


def test_the_next_star_may_disturb():
    rv = np.array([[0.0, np.nan, np.nan], [0.0, 200.0, np.nan], [-70.0, 0.0, 50.0]])
    assert neighbours(rv).tolist() == [[0, 0, 0], [1, 1, 0], [2, 3, 3]]
