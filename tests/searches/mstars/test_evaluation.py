"""Precision-recall curves against naive ones, and the default method on real spectra."""

import numpy as np
import pyarrow.compute as pc
import pytest
from fixtures.mstars_data import noisy_classes
from fixtures.spectra import load_benchmark, sdss_templates
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from starsift.searches.mstars.evaluation import (
    EVALUATION,
    RECALLS,
    evaluate,
    evaluate_split,
    precision_at,
    query_curves,
)
from starsift.searches.mstars.features import represent
from starsift.searches.mstars.model import Method, train
from starsift.searches.mstars.preprocess import prepare


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
    features, labels, is_m = noisy_classes(120)
    unseen, _, truth = noisy_classes(90, seed=1)
    for bits in (8, 64):  # few bits: many distances tie
        method = Method("flux", "random", "query")
        average, curve = query_curves(features, labels, is_m, unseen, truth, method, bits, 4)
        hasher = train(features, labels, method, bits=bits, seed=4).hasher
        queries, pool = (np.unpackbits(hasher.transform(rows), axis=1) for rows in (features[is_m], unseen))
        scores = [-(pool != query).sum(axis=1).astype(float) for query in queries]
        assert len(scores) == is_m.sum() > 10
        assert average == pytest.approx(np.mean([average_precision_score(truth, each) for each in scores]))
        np.testing.assert_allclose(curve, np.mean([naive_precision(truth, each) for each in scores], axis=0))


def test_evaluation_is_a_curve_a_method_a_length_and_a_split() -> None:
    features, labels, is_m = noisy_classes(200)
    asked = []

    def represented(representation: str) -> np.ndarray:
        asked.append(representation)
        return features

    chosen = ("discriminant", "PIL, query by query", "cosine (no code)")
    table = evaluate(represented, labels, is_m, methods=chosen, bits=(8, 32), splits=3, seed=0)
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
    for seed in (0, 1):
        again = evaluate(represented, labels, is_m, methods=chosen, bits=(8, 32), splits=3, seed=seed)
        assert again.equals(table) == (seed == 0)


def test_all_lengths_are_tried_for_some_methods_only() -> None:
    features, labels, is_m = noisy_classes(120)
    unseen, _, truth = noisy_classes(80, seed=1)

    chosen = ("discriminant", "PCA signs", "cosine (no code)")
    both = features, unseen
    table = evaluate_split(lambda _: both, labels, is_m, truth, methods=chosen, bits=(8, 16, 32), seed=0)
    lengths = {(row["method"], row["bits"]) for row in table.to_pylist()}
    whole = {("discriminant", bits) for bits in (8, 16, 32)}
    longest = {("PCA signs", 32), ("cosine (no code)", 0)}
    assert lengths == whole | longest


def test_a_method_that_a_small_sample_does_not_allow_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    features, labels, is_m = noisy_classes(30)
    both = features, noisy_classes(40, seed=1)[0]
    chosen = ("PCA signs", "random projections")
    table = evaluate_split(
        lambda _: both, labels, is_m, noisy_classes(40, seed=1)[2], methods=chosen, bits=(64,), seed=0
    )
    assert set(table["method"].to_pylist()) == {"random projections"}
    assert "PCA signs is not evaluated: PCAHasher makes at most 30 bits of 30 spectra" in caplog.text


def test_the_seed_of_a_split() -> None:
    features, labels, is_m = noisy_classes(120)
    unseen, _, truth = noisy_classes(80, seed=1)
    sets = (features, unseen), labels, is_m, truth

    def average(**settings) -> float:
        both, *rest = sets
        table = evaluate_split(lambda _: both, *rest, methods=("random projections",), bits=(32,), **settings)
        return table["average_precision"][0].as_py()

    assert average(split=1, seed=4) == average(split=0, seed=5) != average(split=0, seed=4)


def test_what_is_easy_is_found_whole() -> None:
    features, labels, is_m = noisy_classes(200, noise=0.01)
    chosen = ("discriminant", "PIL", "random projections", "cosine (no code)")
    table = evaluate(lambda _: features, labels, is_m, methods=chosen, bits=(32,), splits=2, seed=0)
    assert pc.min(table["average_precision"]).as_py() > 0.999
    assert pc.min(table["precision"]).as_py() > 0.98


@pytest.mark.parametrize(
    ("snr", "target"),
    [(3, 0.93), *(pytest.param(*one, marks=pytest.mark.slow) for one in ((5, 0.97), (10, 0.995)))],
)
def test_the_default_method_finds_real_m_stars(snr: int, target: float) -> None:
    """Mean SDSS spectra with velocities, calibration errors and noise, among junk; trained on other ones."""
    names, _, flux = sdss_templates()
    benchmark = load_benchmark("hashing")
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
        settings = {"split": split, "methods": tuple(averages), "bits": (256,), "seed": 0}
        table = evaluate_split(features.__getitem__, labels, is_m, truth, **settings)
        for name, values in averages.items():
            values.append(table.filter(pc.field("method") == name)["average_precision"][0].as_py())
    assert np.mean(averages["discriminant"]) >= target
    assert np.mean(averages["discriminant"]) > np.mean(averages["PIL"])
