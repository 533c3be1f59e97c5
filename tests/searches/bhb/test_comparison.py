"""Scores over runs, differences between models and their errors, against numbers worked out by hand."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from fixtures.bhb_data import TRUTH, P, predictions
from fixtures.figures import put

from starsift.errors import TrainingError
from starsift.searches.bhb.comparison import (
    ALL,
    GAPS,
    METRICS,
    MODELS,
    PAIRS,
    SCORES,
    SUMMARY,
    model_gap,
    model_gaps,
    score_model,
    score_runs,
    summarize_runs,
)
from starsift.searches.bhb.evaluation import select
from starsift.searches.bhb.inputs import BHB, NOT_BHB


def changed(**which: float) -> pa.Table:
    """`predictions` with other probabilities: changed(n3=0.6) has the fourth BHB found too."""
    p = list(P)
    for name, value in which.items():
        p[int(name[1:])] = value
    return predictions(p)


def f1(tp: int, fp: int, fn: int, tn: int) -> float:
    return (2 * tp / (2 * tp + fp + fn) + 2 * tn / (2 * tn + fp + fn)) / 2


def test_scores_by_hand() -> None:
    found = score_model(select(predictions()))
    assert list(found) == [BHB, NOT_BHB, ALL]
    for name in METRICS[:3]:
        assert found[BHB][name] == pytest.approx(3 / 4)
        assert found[NOT_BHB][name] == pytest.approx(5 / 6)
        assert found[ALL][name] == pytest.approx((3 / 4 + 5 / 6) / 2)
    # Of the 24 pairs of a BHB and another star, two are in the wrong order.
    assert [found[kind]["auc"] for kind in found] == pytest.approx([22 / 24] * 3)
    area = [(1 + 1 + 3 / 4 + 4 / 5) / 4, (5 + 6 / 8) / 6]
    assert found[BHB]["average_precision"] == pytest.approx(area[0])
    assert found[NOT_BHB]["average_precision"] == pytest.approx(area[1])
    assert found[ALL]["average_precision"] == pytest.approx(sum(area) / 2)


def test_precision_and_recall_differ() -> None:
    found = score_model(select(predictions([0.75 * p for p in P])))  # TP 2, FP 1, FN 2, TN 5
    assert (found[BHB]["precision"], found[BHB]["recall"]) == pytest.approx((2 / 3, 2 / 4))
    assert (found[NOT_BHB]["precision"], found[NOT_BHB]["recall"]) == pytest.approx((5 / 7, 5 / 6))
    assert found[ALL]["f1"] == pytest.approx(f1(2, 1, 2, 5))
    assert found[BHB]["auc"] == pytest.approx(22 / 24)  # no threshold in it


def test_a_probability_at_the_threshold_is_a_bhb() -> None:
    assert score_model(select(changed(n3=0.5)))[BHB]["recall"] == 1.0


def test_nothing_found_scores_nothing() -> None:
    found = score_model(select(predictions([0.1] * 10)))
    assert found[BHB] == {"precision": 0, "recall": 0, "f1": 0, "auc": 0.5, "average_precision": 0.4}


def test_tiny_probabilities_keep_their_order() -> None:
    """1 - p would make these the same."""
    found = score_model(select(predictions([1e-20] * 4 + [1e-25] * 6)))
    assert found[NOT_BHB]["average_precision"] == 1.0


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (predictions(truth=[0] * 10), "test set: no spectrum is BHB"),
        (predictions(truth=[1] * 10), "test set: no spectrum is not BHB"),
        (predictions().drop_columns(["star"]), "predictions lack star"),
        (put(predictions(), **{"class": ["quasar"] * 12}), "class 'quasar' is not one of not BHB, BHB"),
        (changed(n2=float("nan")), "p_bhb of spec-0002 is nan, expected 0 to 1"),
        (changed(n2=1.2), "p_bhb of spec-0002 is 1.2"),
        (pa.concat_tables([predictions(), predictions()]), "spectrum spec-0000 is predicted twice"),
    ],
)
def test_predictions_that_cannot_be_evaluated(table: pa.Table, message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        select(table)
    with pytest.raises(TrainingError, match=f"model image, run 3: .*{message}"):
        score_runs([("batmm", 0, predictions()), ("image", 3, table)])


def test_a_null_probability_is_named() -> None:
    table = predictions()
    p = [None if name == "spec-0007" else 0.5 for name in table["spectrum_id"].to_pylist()]
    with pytest.raises(TrainingError, match="spec-0007 is nan"):
        select(put(table, p_bhb=p))


def test_runs_are_collected_in_order() -> None:
    table = score_runs(
        [("spectrum", 1, changed(n3=0.6)), ("spectrum", 0, predictions()), ("add", 0, predictions())]
    )
    assert table.schema == SCORES
    keys = list(zip(*(table[name].to_pylist() for name in ("model", "run", "class")), strict=True))
    runs = ("add", 0), ("spectrum", 0), ("spectrum", 1)
    assert keys == [(*run, kind) for run in runs for kind in (BHB, NOT_BHB, ALL)]
    row = table.to_pylist()[-1]
    assert row["f1"] == pytest.approx(f1(4, 1, 0, 5))
    assert {name: row[name] for name in METRICS} == score_model(select(changed(n3=0.6)))[ALL]


def test_runs_of_other_test_sets_are_refused() -> None:
    short = predictions().filter(pc.not_equal(predictions()["spectrum_id"], "spec-0009"))
    runs = [("batmm", 0, predictions()), ("spectrum", 2, short)]
    message = "model spectrum, run 2: its test set is not that of model batmm, run 0; 1 spectra .* spec-0009"
    with pytest.raises(TrainingError, match=message):
        score_runs(runs)
    other = [("batmm", 0, predictions()), ("spectrum", 2, predictions(truth=[0, *TRUTH[1:]]))]
    with pytest.raises(TrainingError, match="model spectrum, run 2: class or star of spec-0000"):
        score_runs(other)
    with pytest.raises(TrainingError, match="model batmm, run 0: listed twice"):
        score_runs(runs[:1] * 2)


def test_no_runs_make_empty_tables() -> None:
    table = score_runs([])
    assert (table.num_rows, table.schema) == (0, SCORES)
    assert summarize_runs(table).schema == SUMMARY
    assert model_gaps(table).schema == GAPS


def metrics(**scores: list[float]) -> pa.Table:
    """A table of `score_runs` with these F1 (ALL) of each run of each model, and others of the classes."""
    rows = [
        {"model": model, "run": run, "class": kind}
        | dict.fromkeys(METRICS, score if kind == ALL else score / 2)
        for model, found in scores.items()
        for run, score in enumerate(found)
        for kind in (BHB, NOT_BHB, ALL)
    ]
    return pa.Table.from_pylist(rows, SCORES)


def test_means_and_sample_deviations() -> None:
    table = summarize_runs(metrics(add=[0.9, 0.92, 0.97], svm=[0.8]))
    assert table.schema == SUMMARY
    rows = {(row["model"], row["class"]): row for row in table.to_pylist()}
    assert len(rows) == 6
    # Deviations from 0.93: -0.03, -0.01, 0.04; their squares sum to 0.0026.
    assert rows["add", ALL]["f1_mean"] == pytest.approx(0.93)
    assert rows["add", ALL]["f1_std"] == pytest.approx(0.0013**0.5)
    assert rows["add", BHB]["recall_std"] == pytest.approx(0.0013**0.5 / 2)
    assert rows["add", ALL]["n_runs"] == 3
    assert (rows["svm", ALL]["n_runs"], rows["svm", ALL]["f1_std"]) == (1, None)


def test_a_paired_difference() -> None:
    """Runs that go up and down together: the scatter of their difference counts, not of each."""
    table = metrics(batmm=[0.91, 0.95, 0.99, 0.93], spectrum=[0.90, 0.93, 0.98])
    found = model_gap(table, "batmm", "spectrum")
    assert found["n_runs"] == 3  # equal runs
    assert found["difference"] == pytest.approx(0.04 / 3)
    # Differences 0.01, 0.02, 0.01: their sample deviation is 0.01 / sqrt(3).
    assert found["se_runs"] == pytest.approx(0.01 / 3)
    assert found["se_stars"] is None
    assert model_gap(table, "spectrum", "batmm")["difference"] == pytest.approx(-0.04 / 3)


def test_one_run_has_no_scatter() -> None:
    row = model_gaps(metrics(batmm=[0.9], spectrum=[0.8])).to_pylist()[0]
    assert [row[name] for name in ("n_runs", "se_runs", "exceeds", "exceeds_both")] == [1, None, None, None]


def test_models_without_a_common_run() -> None:
    table = metrics(batmm=[0.9, 0.9], spectrum=[0.8])
    table = table.filter(pc.field("run") == pc.if_else(pc.field("model") == "batmm", 1, 0))
    with pytest.raises(TrainingError, match="batmm and spectrum have no run in common"):
        model_gap(table, "batmm", "spectrum")
    assert model_gaps(table).num_rows == 0


def large(seed: int, right: float, n: int = 400, copies: int = 1) -> tuple[pa.Table, np.ndarray]:
    """Predictions of `n` stars, right with a given probability, each with `copies` spectra; and which are."""
    truth = np.arange(n) % 2
    hit = np.random.default_rng(seed).random(n) < right
    p = np.where(hit == (truth == 1), 0.9, 0.1)
    stars = [f"star-{k}" for k in range(n) for _ in range(copies)]
    return predictions(np.repeat(p, copies), np.repeat(truth, copies), stars), hit


def test_the_error_of_the_test_set() -> None:
    """Of balanced classes F1 is about the accuracy, whose paired error is known."""
    n = 400
    one, hit = large(1, 0.9, n)
    other, missed = large(2, 0.8, n)
    runs = [("batmm", 0, one), ("spectrum", 0, other)]
    found = model_gap(score_runs(runs), "batmm", "spectrum", runs)
    gain = hit.astype(float) - missed
    assert found["difference"] == pytest.approx(gain.mean(), abs=0.005)
    assert found["se_stars"] == pytest.approx(gain.std() / n**0.5, rel=0.1)
    assert found == model_gap(score_runs(runs), "batmm", "spectrum", runs[::-1])  # the same seed


def test_runs_do_not_lessen_the_error_of_the_test_set() -> None:
    """The same predictions in all runs: no scatter, and the error of the stars stays."""
    one, other = large(1, 0.9)[0], large(2, 0.8)[0]
    runs = [(model, run, table) for run in range(5) for model, table in (("batmm", one), ("spectrum", other))]
    once = model_gap(score_runs(runs[:2]), "batmm", "spectrum", runs[:2])
    found = model_gap(score_runs(runs), "batmm", "spectrum", runs)
    assert found["se_runs"] == pytest.approx(0, abs=1e-15)
    assert found["se_stars"] == pytest.approx(once["se_stars"], rel=1e-12)


def test_a_star_counts_once_however_many_its_spectra() -> None:
    error = {}
    for n in (1, 4):
        runs = [("batmm", 0, large(1, 0.9, copies=n)[0]), ("spectrum", 0, large(2, 0.8, copies=n)[0])]
        error[n] = model_gap(score_runs(runs), "batmm", "spectrum", runs)["se_stars"]
    assert error[4] == pytest.approx(error[1], rel=0.1)  # not half of it


def test_the_gaps() -> None:
    assert {model for pair in PAIRS for model in pair} == set(MODELS)
    assert PAIRS[:2] == (("batmm", "spectrum"), ("spectrum", "image"))
    table = metrics(
        batmm=[0.95, 0.96, 0.97],
        spectrum=[0.90, 0.92, 0.93],
        image=[0.7, 0.7, 0.75],
        svm=[0.80, 0.99, 0.93],
        unheard=[0.1, 0.1, 0.1],
    )
    rows = model_gaps(table).to_pylist()
    assert [(row["first"], row["second"]) for row in rows] == [
        ("batmm", "spectrum"),
        ("spectrum", "image"),
        ("spectrum", "svm"),
        ("batmm", "image"),
    ]
    assert [row["exceeds"] for row in rows] == [True, True, False, True]
    assert [row["exceeds_both"] for row in rows] == [None] * 4  # no predictions
    # Differences 0.10, -0.07, 0.00.
    assert rows[2]["difference"] == pytest.approx(0.01)
    assert rows[2]["se_runs"] == pytest.approx(np.std([0.10, -0.07, 0.0], ddof=1) / 3**0.5)


def test_a_gap_may_exceed_one_error_and_not_both() -> None:
    """Five runs alike but for a little: training hardly scatters; of 40 stars the test set says little."""
    runs = []
    for run in range(5):
        extra = np.random.default_rng(run).random(40) * 0.01
        for model, wrong in (("batmm", 5), ("spectrum", 6)):
            truth = np.arange(40) % 2
            p = np.where(truth == 1, 0.8, 0.2) + extra
            # The models are wrong about different stars.
            some = (0 if model == "batmm" else 20) + np.arange(wrong + (run == 0))
            p[some] = 1 - p[some]
            runs.append((model, run, predictions(p, truth)))
    row = model_gaps(score_runs(runs), runs).to_pylist()[0]
    assert 0 <= row["se_runs"] < row["difference"] < row["se_stars"]
    assert (row["exceeds"], row["exceeds_both"]) == (True, False)
