"""Scores over runs, differences between models and their errors, against numbers worked out by hand."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from starsift.errors import TrainingError
from starsift.searches.bhb.evaluation import (
    ALL,
    BHB,
    COLLECTED,
    LADDER,
    METRICS,
    MODELS,
    NOT_BHB,
    PAIRS,
    SUMMARY,
    Run,
    calibrate,
    collect,
    compare,
    evaluate,
    ladder,
    read_examples,
    read_runs,
    select,
    summarize,
)

# Three of four BHBs found, and one of six others taken for one.
TRUTH = [1, 1, 1, 1, 0, 0, 0, 0, 0, 0]
P = [0.9, 0.8, 0.6, 0.4, 0.7, 0.3, 0.2, 0.1, 0.1, 0.05]


def predictions(p: Any = P, truth: Any = TRUTH, stars: Any = None) -> pa.Table:
    """A test set, in no order, and two validation rows that would change every score."""
    n = len(p)
    names = [f"spec-{k:04d}" for k in range(n)]
    table = pa.table(
        {
            "spectrum_id": [*names, "spec-v1", "spec-v2"],
            "star": [*(stars or names), "v1", "v2"],
            "split": ["test"] * n + ["validation"] * 2,
            "class": [BHB if one else NOT_BHB for one in [*truth, 1, 0]],
            "p_bhb": pa.array([*p, 0.0, 1.0], pa.float32()),
        }
    )
    return table.take(pa.array(np.random.default_rng(1).permutation(n + 2)))


def changed(**which: float) -> pa.Table:
    """`predictions` with other probabilities: changed(n3=0.6) has the fourth BHB found too."""
    p = list(P)
    for name, value in which.items():
        p[int(name[1:])] = value
    return predictions(p)


def replaced(table: pa.Table, name: str, values: list[Any]) -> pa.Table:
    return table.set_column(table.column_names.index(name), name, pa.array(values))


def f1(tp: int, fp: int, fn: int, tn: int) -> float:
    return (2 * tp / (2 * tp + fp + fn) + 2 * tn / (2 * tn + fp + fn)) / 2


# One run


def test_scores_by_hand() -> None:
    found = evaluate(predictions())
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
    found = evaluate(predictions(), threshold=0.65)  # TP 2, FP 1, FN 2, TN 5
    assert (found[BHB]["precision"], found[BHB]["recall"]) == pytest.approx((2 / 3, 2 / 4))
    assert (found[NOT_BHB]["precision"], found[NOT_BHB]["recall"]) == pytest.approx((5 / 7, 5 / 6))
    assert found[ALL]["f1"] == pytest.approx(f1(2, 1, 2, 5))
    assert found[BHB]["auc"] == pytest.approx(22 / 24)  # no threshold in it


def test_a_probability_at_the_threshold_is_a_bhb() -> None:
    assert evaluate(changed(n3=0.5))[BHB]["recall"] == 1.0


def test_nothing_found_scores_nothing() -> None:
    found = evaluate(predictions([0.1] * 10))
    assert found[BHB] == {"precision": 0, "recall": 0, "f1": 0, "auc": 0.5, "average_precision": 0.4}


def test_tiny_probabilities_keep_their_order() -> None:
    """1 - p would make these the same."""
    found = evaluate(predictions([1e-20] * 4 + [1e-25] * 6))
    assert found[NOT_BHB]["average_precision"] == 1.0


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (predictions(truth=[0] * 10), "the test set holds no spectrum that is BHB"),
        (predictions(truth=[1] * 10), "the test set holds no spectrum that is not BHB"),
        (predictions().drop_columns(["star"]), "predictions lack star"),
        (replaced(predictions(), "class", ["quasar"] * 12), "class 'quasar' is none of not BHB, BHB"),
        (changed(n2=float("nan")), "p_bhb of spec-0002 is nan, expected 0 to 1"),
        (changed(n2=1.2), "p_bhb of spec-0002 is 1.2"),
        (pa.concat_tables([predictions(), predictions()]), "spectrum spec-0000 is predicted twice"),
    ],
)
def test_predictions_that_cannot_be_evaluated(table: pa.Table, message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        evaluate(table)
    with pytest.raises(TrainingError, match=f"model image, run 3: .*{message}"):
        collect([("batmm", 0, predictions()), ("image", 3, table)])


def test_a_null_probability_is_named() -> None:
    table = predictions()
    p = [None if name == "spec-0007" else 0.5 for name in table["spectrum_id"].to_pylist()]
    with pytest.raises(TrainingError, match="spec-0007 is nan"):
        evaluate(replaced(table, "p_bhb", p))


# Several


def test_runs_are_collected_in_order() -> None:
    table = collect(
        [("spectrum", 1, changed(n3=0.6)), ("spectrum", 0, predictions()), ("add", 0, predictions())]
    )
    assert table.schema == COLLECTED
    keys = list(zip(*(table[name].to_pylist() for name in ("model", "run", "class")), strict=True))
    assert keys == [
        (*run, kind) for run in (("add", 0), ("spectrum", 0), ("spectrum", 1)) for kind in (BHB, NOT_BHB, ALL)
    ]
    row = table.to_pylist()[-1]
    assert row["f1"] == pytest.approx(f1(4, 1, 0, 5))
    assert {name: row[name] for name in METRICS} == evaluate(changed(n3=0.6))[ALL]


def test_runs_of_other_test_sets_are_refused() -> None:
    short = predictions().filter(pc.not_equal(predictions()["spectrum_id"], "spec-0009"))
    runs = [("batmm", 0, predictions()), ("spectrum", 2, short)]
    message = "model spectrum, run 2: its test set is not that of model batmm, run 0; 1 spectra .* spec-0009"
    with pytest.raises(TrainingError, match=message):
        collect(runs)
    other = [("batmm", 0, predictions()), ("spectrum", 2, predictions(truth=[0, *TRUTH[1:]]))]
    with pytest.raises(TrainingError, match="model spectrum, run 2: class or star of spec-0000"):
        collect(other)
    with pytest.raises(TrainingError, match="model batmm, run 0: given twice"):
        collect(runs[:1] * 2)


def test_no_runs_make_empty_tables() -> None:
    table = collect([])
    assert (table.num_rows, table.schema) == (0, COLLECTED)
    assert summarize(table).schema == SUMMARY
    assert ladder(table).schema == LADDER


def metrics(**scores: list[float]) -> pa.Table:
    """A table as of `collect`, with F1 (ALL) of each run of each model, and of the classes something else."""
    rows = [
        {"model": model, "run": run, "class": kind}
        | dict.fromkeys(METRICS, score if kind == ALL else score / 2)
        for model, found in scores.items()
        for run, score in enumerate(found)
        for kind in (BHB, NOT_BHB, ALL)
    ]
    return pa.Table.from_pylist(rows, COLLECTED)


def test_means_and_sample_deviations() -> None:
    table = summarize(metrics(add=[0.9, 0.92, 0.97], svm=[0.8]))
    assert table.schema == SUMMARY
    rows = {(row["model"], row["class"]): row for row in table.to_pylist()}
    assert len(rows) == 6
    # Deviations from 0.93: -0.03, -0.01, 0.04; their squares sum to 0.0026.
    assert rows["add", ALL]["f1_mean"] == pytest.approx(0.93)
    assert rows["add", ALL]["f1_std"] == pytest.approx(0.0013**0.5)
    assert rows["add", BHB]["recall_std"] == pytest.approx(0.0013**0.5 / 2)
    assert rows["add", ALL]["n_runs"] == 3
    assert (rows["svm", ALL]["n_runs"], rows["svm", ALL]["f1_std"]) == (1, None)


# Differences


def test_a_paired_difference() -> None:
    """Runs that go up and down together: the scatter of their difference counts, not of each."""
    table = metrics(batmm=[0.91, 0.95, 0.99, 0.93], spectrum=[0.90, 0.93, 0.98])
    found = compare(table, "batmm", "spectrum")
    assert found["n_runs"] == 3  # equal runs
    assert found["difference"] == pytest.approx(0.04 / 3)
    # Differences 0.01, 0.02, 0.01: their sample deviation is 0.01 / sqrt(3).
    assert found["se_runs"] == pytest.approx(0.01 / 3)
    assert found["se_stars"] is None
    assert compare(table, "spectrum", "batmm")["difference"] == pytest.approx(-0.04 / 3)


def test_one_run_has_no_scatter() -> None:
    found = compare(metrics(batmm=[0.9], spectrum=[0.8]), "batmm", "spectrum")
    assert (found["n_runs"], found["se_runs"]) == (1, None)
    row = ladder(metrics(batmm=[0.9], spectrum=[0.8])).to_pylist()[0]
    assert (row["exceeds"], row["exceeds_both"]) == (None, None)


def test_models_without_a_common_run() -> None:
    table = metrics(batmm=[0.9, 0.9], spectrum=[0.8])
    table = table.filter(pc.field("run") == pc.if_else(pc.field("model") == "batmm", 1, 0))
    with pytest.raises(TrainingError, match="no run is of both batmm and spectrum"):
        compare(table, "batmm", "spectrum")
    assert ladder(table).num_rows == 0


def large(
    seed: int, right: float, n: int = 400, copies: int = 1, truth: np.ndarray | None = None
) -> tuple[pa.Table, np.ndarray]:
    """Predictions of `n` stars, right with a given probability, each with `copies` spectra; and which are."""
    truth = np.arange(n) % 2 if truth is None else truth
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
    found = compare(collect(runs), "batmm", "spectrum", runs)
    gain = hit.astype(float) - missed
    assert found["difference"] == pytest.approx(gain.mean(), abs=0.005)
    assert found["se_stars"] == pytest.approx(gain.std() / n**0.5, rel=0.1)
    assert found == compare(collect(runs), "batmm", "spectrum", runs[::-1])  # the same seed


def test_runs_do_not_lessen_the_error_of_the_test_set() -> None:
    """The same predictions in all runs: no scatter, and the error of the stars stays."""
    one, other = large(1, 0.9)[0], large(2, 0.8)[0]
    runs = [(model, run, table) for run in range(5) for model, table in (("batmm", one), ("spectrum", other))]
    once = compare(collect(runs[:2]), "batmm", "spectrum", runs[:2])
    found = compare(collect(runs), "batmm", "spectrum", runs)
    assert found["se_runs"] == pytest.approx(0, abs=1e-15)
    assert found["se_stars"] == pytest.approx(once["se_stars"], rel=1e-12)


def test_a_star_counts_once_however_many_its_spectra() -> None:
    single = [("batmm", 0, large(1, 0.9)[0]), ("spectrum", 0, large(2, 0.8)[0])]
    fourfold = [("batmm", 0, large(1, 0.9, copies=4)[0]), ("spectrum", 0, large(2, 0.8, copies=4)[0])]
    a = compare(collect(single), "batmm", "spectrum", single)["se_stars"]
    b = compare(collect(fourfold), "batmm", "spectrum", fourfold)["se_stars"]
    assert b == pytest.approx(a, rel=0.1)  # not half of it


def test_the_same_model_twice_differs_by_nothing() -> None:
    runs = [("batmm", 0, large(1, 0.9)[0]), ("spectrum", 0, large(1, 0.9)[0])]
    found = compare(collect(runs), "batmm", "spectrum", runs)
    assert (found["difference"], found["se_stars"]) == (0, 0)


def test_the_ladder() -> None:
    assert {model for pair in PAIRS for model in pair} == set(MODELS)
    assert PAIRS[:2] == (("batmm", "spectrum"), ("spectrum", "image"))
    table = metrics(
        batmm=[0.95, 0.96, 0.97],
        spectrum=[0.90, 0.92, 0.93],
        image=[0.7, 0.7, 0.75],
        svm=[0.80, 0.99, 0.93],
        unheard=[0.1, 0.1, 0.1],
    )
    rows = ladder(table).to_pylist()
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
            start = 0 if model == "batmm" else 20
            p[start : start + wrong + (run == 0)] = 1 - p[start : start + wrong + (run == 0)]
            runs.append((model, run, predictions(p, truth)))
    row = ladder(collect(runs), runs).to_pylist()[0]
    assert 0 <= row["se_runs"] < row["difference"] < row["se_stars"]
    assert (row["exceeds"], row["exceeds_both"]) == (True, False)


# Files


def test_runs_are_read_from_their_folders(tmp_path: Path) -> None:
    paths = []
    for model, run in (("spectrum", 1), ("batmm", 10), ("batmm", 2)):
        path = tmp_path / model / f"run-{run}" / "predictions.parquet"
        path.parent.mkdir(parents=True)
        pq.write_table(predictions(), path)
        paths.append(path)
    runs = read_runs(paths)
    assert [(run.model, run.run) for run in runs] == [("batmm", 2), ("batmm", 10), ("spectrum", 1)]
    assert runs[0].predictions.equals(predictions())
    stray = tmp_path / "predictions.parquet"
    pq.write_table(predictions(), stray)
    with pytest.raises(TrainingError, match="lie in a folder such as batmm/run-0"):
        read_runs([stray])


def test_calibration_moves_towards_one_half() -> None:
    p = np.array([0.0, 0.1, 0.5, 0.9, 1.0])
    np.testing.assert_allclose(calibrate(p, 1.0), p, atol=1e-7)
    # Odds 9 become their square root.
    np.testing.assert_allclose(calibrate(p, 2.0)[[1, 2, 3]], [0.25, 0.5, 0.75])
    assert calibrate(p, 2.0)[[0, -1]].tolist() == pytest.approx([0, 1], abs=1e-12)
    assert np.isnan(calibrate([np.nan], 2.0)).all()


def test_examples_are_certain_and_uncertain(tmp_path: Path) -> None:
    runs = [Run("batmm", 0, predictions([0.5] * 10)), Run("batmm", 2, predictions())]
    fitted = {
        "run": 2,
        "models": {"spectrum+image": "batmm"},
        "modalities": {"spectrum+image": {"temperature": 1.0}},
    }
    names = [f"spec-{k:04d}" for k in range(9, -1, -1)]
    data = {
        "spectrum_id": names,
        "spectrum": [[k, k] for k in range(9, -1, -1)],
        "image": [[k] for k in range(10)],
    }
    pq.write_table(pa.table(data), tmp_path / "dataset.parquet")
    table = read_examples(tmp_path / "dataset.parquet", runs, fitted, number=2)
    # BHBs: 0.9, and 0.6 or 0.4; others: 0.05, and 0.7 or 0.3.
    assert table["class"].to_pylist() == [BHB] * 2 + [NOT_BHB] * 2
    assert table["certain"].to_pylist() == [True, False] * 2
    assert table["spectrum_id"].to_pylist()[::2] == ["spec-0000", "spec-0009"]
    assert table["p_bhb"].to_pylist()[::2] == pytest.approx([0.9, 0.05])
    for name, p, spectrum in zip(
        *(table[k].to_pylist() for k in ("spectrum_id", "p_bhb", "spectrum")), strict=True
    ):
        number = int(name[-4:])
        assert p == pytest.approx(P[number])
        assert spectrum == [number, number]
    assert read_examples(tmp_path / "dataset.parquet", runs, fitted | {"run": 7}).num_rows == 0
    # More than there are: each once.
    every = read_examples(tmp_path / "dataset.parquet", runs, fitted, number=20)
    assert sorted(every["spectrum_id"].to_pylist()) == names[::-1]
    pq.write_table(pa.table(data).slice(0, 5), tmp_path / "dataset.parquet")
    with pytest.raises(TrainingError, match="spectrum spec-0000 of the test set is not there"):
        read_examples(tmp_path / "dataset.parquet", runs, fitted, number=2)


def test_the_validation_set_is_another() -> None:
    scored = select(predictions(), "validation")
    assert scored.spectrum_id.tolist() == ["spec-v1", "spec-v2"]
    assert scored.truth.tolist() == [1, 0]
