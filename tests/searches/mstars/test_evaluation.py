"""Precision-recall curves against naive ones, calibrated scores, and the issue's targets on real spectra."""

import importlib.util
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pytest
from fixtures.survey_files import real
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit
from sklearn.metrics import average_precision_score

from starsift.searches.mstars import evaluation
from starsift.searches.mstars.evaluation import (
    EVALUATION,
    RECALLS,
    Calibration,
    calibrate,
    evaluate,
    evaluate_split,
    pool_prior,
    precision_at,
    query_curves,
    score_unseen,
)
from starsift.searches.mstars.model import METHODS, Method, represent, train
from starsift.searches.mstars.preprocess import prepare

DISCRIMINANT = Method("flux", "discriminant", "contrast")


def sample(n: int = 300, p: int = 40, noise: float = 2.0, seed: int = 0):
    """Noisy features (n, p) of four classes, these (n,), and which are M stars."""
    rng = np.random.default_rng(seed)
    number = rng.integers(0, 4, n)
    means = np.random.default_rng(99).standard_normal((4, p))
    labels = np.array(["dM3", "K", "GALAXY", "UNKNOWN"])[number]
    features = means[number] + noise * rng.standard_normal((n, p))
    return features.astype(np.float32), labels, labels == "dM3"


def naive_precision(truth: np.ndarray, score: np.ndarray) -> np.ndarray:
    """For each recall, the best precision of all thresholds that reach it, one by one."""
    best = np.zeros(len(RECALLS))
    for threshold in np.unique(score):
        kept = score >= threshold
        recall, precision = truth[kept].sum() / truth.sum(), truth[kept].mean()
        best = np.where(recall >= RECALLS - 1e-9, np.maximum(best, precision), best)
    return best


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.booleans(), st.integers(-5, 5)), min_size=1, max_size=60).filter(
        lambda rows: any(truth for truth, _ in rows)
    )
)
def test_precision_at_each_recall(rows: list[tuple[bool, int]]) -> None:
    truth, score = np.array([row[0] for row in rows]), np.array([float(row[1]) for row in rows])
    found = precision_at(truth, score)
    np.testing.assert_allclose(found, naive_precision(truth, score))
    assert (np.diff(found) <= 0).all()


def test_curves_of_single_queries() -> None:
    features, labels, is_m = sample(120)
    unseen, _, truth = sample(90, seed=1)
    for bits in (8, 64):  # few bits: many distances tie
        method = Method("flux", "random", "query")
        average, curve = query_curves(features, labels, is_m, unseen, truth, method, bits, 4)
        hasher = train(features, labels, method, bits=bits, seed=4).hasher
        queries, pool = (np.unpackbits(hasher.transform(rows), axis=1) for rows in (features[is_m], unseen))
        scores = [-(pool != query).sum(axis=1).astype(float) for query in queries]
        assert len(scores) == is_m.sum() > 10
        assert average == pytest.approx(np.mean([average_precision_score(truth, each) for each in scores]))
        np.testing.assert_allclose(curve, np.mean([naive_precision(truth, each) for each in scores], axis=0))


def test_cosine_is_that_of_the_nearest_positive() -> None:
    features, labels, is_m = sample(60)
    unseen, _, _ = sample(25, seed=1)
    found = score_unseen(features, labels, is_m, unseen, METHODS["cosine (no code)"], 0, 0)
    expected = [max(np.corrcoef(row, other)[0, 1] for other in features[is_m]) for row in unseen]
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_scores_do_not_know_the_unseen_and_know_the_classes() -> None:
    features, labels, is_m = sample(400)
    unseen, _, truth = sample(200, seed=1)
    score = score_unseen(features, labels, is_m, unseen, DISCRIMINANT, 64, 0)
    few = score_unseen(features, labels, is_m, unseen[:50], DISCRIMINANT, 64, 0)
    # Products of other sizes round differently, so a bit at its threshold may change, and a distance by one.
    np.testing.assert_allclose(few, score[:50], atol=2)
    assert (few == score[:50]).mean() > 0.9
    assert average_precision_score(truth, score) > 0.8
    shuffled = np.random.default_rng(0).permutation(len(labels))
    blind = score_unseen(features, labels[shuffled], is_m[shuffled], unseen, DISCRIMINANT, 64, 0)
    assert average_precision_score(truth, blind) < 0.5


def test_evaluation_is_a_curve_a_method_a_length_and_a_split() -> None:
    features, labels, is_m = sample(200)
    asked = []

    def represented(representation: str) -> np.ndarray:
        asked.append(representation)
        return features

    chosen = ("discriminant", "PIL, query by query", "cosine (no code)")
    table = evaluate(represented, labels, is_m, methods=chosen, bits=(8, 32), splits=3)
    assert table.schema == EVALUATION
    assert set(asked) == {"bands", "flux"}
    curves = {}
    for row in table.to_pylist():
        curves.setdefault((row["method"], row["bits"], row["split"]), []).append(row)
    lengths = {"discriminant": (8, 32), "PIL, query by query": (8, 32), "cosine (no code)": (0,)}
    assert set(curves) == {(name, bits, k) for name in chosen for bits in lengths[name] for k in range(3)}
    for rows in curves.values():
        assert [row["recall"] for row in rows] == RECALLS.tolist()
        assert len({row["average_precision"] for row in rows}) == 1
        assert all(0 < row["precision"] <= 1 for row in rows)
    # The seed of a split is not that of another.
    first, second = ([row["precision"] for row in curves["PIL, query by query", 8, k]] for k in (0, 1))
    assert first != second
    again = evaluate(represented, labels, is_m, methods=chosen, bits=(8, 32), splits=3)
    assert again.equals(table)
    assert not evaluate(represented, labels, is_m, methods=chosen, bits=(8, 32), splits=3, seed=1).equals(
        table
    )


def test_all_lengths_are_tried_for_some_methods_only() -> None:
    features, labels, is_m = sample(120)
    unseen, _, truth = sample(80, seed=1)

    def lengths(**settings) -> set[tuple[str, int]]:
        chosen = ("discriminant", "PCA signs", "cosine (no code)")
        both = features, unseen
        table = evaluate_split(
            lambda _: both, labels, is_m, truth, methods=chosen, bits=(8, 16, 32), **settings
        )
        return {(row["method"], row["bits"]) for row in table.to_pylist()}

    whole = {("discriminant", bits) for bits in (8, 16, 32)}
    longest = {("PCA signs", 32), ("cosine (no code)", 0)}
    assert lengths() == whole | longest
    assert lengths(curves=("PCA signs",)) == {
        ("discriminant", 32),
        ("cosine (no code)", 0),
        *(("PCA signs", bits) for bits in (8, 16, 32)),
    }


def test_a_method_that_a_small_sample_does_not_allow_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    features, labels, is_m = sample(30)
    both = features, sample(40, seed=1)[0]
    chosen = ("PCA signs", "random projections")
    table = evaluate_split(lambda _: both, labels, is_m, sample(40, seed=1)[2], methods=chosen, bits=(64,))
    assert set(table["method"].to_pylist()) == {"random projections"}
    assert "PCA signs is not evaluated: PCAHasher makes at most 30 bits of 30 spectra" in caplog.text


def test_the_seed_of_a_split() -> None:
    features, labels, is_m = sample(120)
    unseen, _, truth = sample(80, seed=1)
    sets = (features, unseen), labels, is_m, truth

    def average(**settings) -> float:
        both, *rest = sets
        table = evaluate_split(lambda _: both, *rest, methods=("random projections",), bits=(32,), **settings)
        return table["average_precision"][0].as_py()

    assert average(split=1, seed=4) == average(split=0, seed=5) != average(split=0, seed=4)


def test_what_is_easy_is_found_whole() -> None:
    features, labels, is_m = sample(200, noise=0.01)
    chosen = ("discriminant", "PIL", "random projections", "cosine (no code)")
    table = evaluate(lambda _: features, labels, is_m, methods=chosen, bits=(32,), splits=2)
    assert pc.min(table["average_precision"]).as_py() > 0.999
    assert pc.min(table["precision"]).as_py() > 0.98


# Calibration


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

    monkeypatch.setattr(evaluation, "score_unseen", simulated)
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
    # Where M stars are rarer than in the sample, the prior tells.
    rare = fresh_m & (rng.random(fresh_m.size) < 0.1)
    kept = rare | ~fresh_m
    share = rare[kept].mean()
    expected, observed, number = reliability(expit(found.log_odds(fresh[kept], share)), rare[kept]).T
    assert np.average(np.abs(observed - expected), weights=number) < 0.01
    assert pool_prior(found.log_odds(fresh[kept]), found.prior) == pytest.approx(share, rel=0.1)


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

    monkeypatch.setattr(evaluation, "score_unseen", simulated)
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
    features, labels, is_m = sample(1500, noise=4.0)
    unseen, _, truth = sample(3000, noise=4.0, seed=1)
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


# The real thing


def load_benchmark():
    path = Path(__file__).parents[3] / "benchmarks" / "hashing.py"
    spec = importlib.util.spec_from_file_location("hashing_benchmark", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(("snr", "target"), [(3, 0.93), (5, 0.97), (10, 0.995)])
def test_the_default_method_finds_real_m_stars(snr: int, target: float) -> None:
    """Mean SDSS spectra with velocities, calibration errors and noise, among junk; trained on other ones."""
    with np.load(real("sdss-templates") / "templates.npz") as file:
        names, flux = file["names"].astype(str), file["flux"].astype(np.float32)
    benchmark = load_benchmark()
    averages = {"discriminant": [], "PIL": []}
    for split in range(2):
        rng = np.random.default_rng([split, 10 * snr])
        halves = benchmark.split_templates(names, np.random.default_rng(split))
        assert not set(halves[0]) & set(halves[1])
        sets = [benchmark.observe(names, flux, half, 1500, snr, "flat", rng) for half in halves]
        ready = [prepare(batch) for batch, _, _ in sets]
        features = {
            kind: [represent(each.flux, each.ivar, each.zero, kind) for each in ready]
            for kind in ("flux", "bands")
        }
        (_, is_m, labels), (_, truth, _) = sets
        assert truth.sum() == 300
        table = evaluate_split(
            features.__getitem__, labels, is_m, truth, split=split, methods=tuple(averages), bits=(256,)
        )
        for name, values in averages.items():
            values.append(table.filter(pc.field("method") == name)["average_precision"][0].as_py())
    assert np.mean(averages["discriminant"]) >= target
    assert np.mean(averages["discriminant"]) > np.mean(averages["PIL"])
