"""Precision of rounds, held-out labels, calibration, samples without active learning."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from fixtures.emission_run import DOUBLE, DULL, IDS, SINGLE, write_round

from starsift.errors import ResultsError
from starsift.searches.emission.evaluation import (
    evaluate_round,
    fit_calibration,
    held_out_labels,
    sample_predicted_emission,
)
from starsift.searches.emission.labels import read_round_labels


def rounds(precisions: list[float | None], **stop: Any) -> list[dict[str, Any]]:
    before: list[dict[str, Any]] = []
    for precision in precisions:
        n = 0 if precision is None else 10
        right = 0 if precision is None else round(precision * n)
        answered = pa.table(
            {
                "purpose": ["query"] * 4 + ["precision"] * n,
                "label": ["uninteresting"] * 4 + ["double peak"] * right + ["uninteresting"] * (n - right),
            }
        )
        settings = {"threshold": 0.8, "passes": 3, "max_rounds": 20} | stop
        before.append(evaluate_round(answered, before, **settings))
    return before


def test_learning_stops_at_the_third_pass() -> None:
    story = rounds([None, 0.5, 0.9, 0.8, 1.0, 0.3, 0.9])
    assert [state["passed"] for state in story] == [0, 0, 1, 1, 2, 2, 3]
    assert [state["stop"] for state in story] == [False] * 6 + [True]
    assert [state["n_labelled"] for state in story] == [4, 8, 12, 16, 20, 24, 28]
    assert story[0]["precision"] is None
    assert story[1]["precision"] == 0.5
    assert story[1]["true_positives"] == 5


def test_learning_stops_after_the_last_round() -> None:
    assert [state["stop"] for state in rounds([0.1, 0.1, 0.1], max_rounds=3)] == [False, False, True]


def test_held_out_labels_taught_nobody(run: dict[str, Any], tmp_path: Path) -> None:
    more = write_round(tmp_path, 2, [("query", 3, DULL), ("precision", 12, SINGLE)])
    answers = read_round_labels([*run["rounds"], more])
    n_predicted = {0: 10, 1: 8, 2: 6}
    rows = held_out_labels(answers, run["predictions"], n_predicted).to_pylist()
    assert [(row["spectrum_id"], row["label"]) for row in rows] == [(IDS[1], DOUBLE), (IDS[12], SINGLE)]
    assert [row["p_double"] for row in rows] == pytest.approx([0.7, 0.1])
    # Labels of round 1 stand for 8 predicted spectra and two labels, that of round 2 for 6 spectra.
    assert [row["weight"] for row in rows] == [4, 6]
    with pytest.raises(ResultsError, match="2 labelled spectra should be in them, 1 are"):
        held_out_labels(answers, run["predictions"][:1], n_predicted)
    nothing = held_out_labels(read_round_labels([]), run["predictions"], {})
    told = {"temperature": 1.0, "n_labels": 0, "error_before": None, "error_after": None}
    assert fit_calibration(nothing) == told


def test_a_calibration_of_many_labels() -> None:
    """Of spectra predicted with 0.99 to be single, one in five is not: the network is too sure."""
    p = np.tile([0.99, 0.005, 0.005], (100, 1))
    table = pa.table(dict(zip(("p_single", "p_double", "p_uninteresting"), p.T, strict=True)))
    table = table.append_column("label", pa.array([SINGLE] * 80 + [DULL] * 20))
    table = table.append_column("weight", pa.array(np.ones(100)))
    told = fit_calibration(table)
    assert told["temperature"] > 2
    # Where the wrong ones stand for few, it is less wrong; where all are right, it is not too modest.
    few = table.set_column(4, "weight", pa.array([1.0] * 80 + [0.1] * 20))
    assert 1 < fit_calibration(few)["temperature"] < told["temperature"] - 0.3
    right = table.set_column(3, "label", pa.array([SINGLE] * 100))
    assert fit_calibration(right)["temperature"] == 1
    assert told["error_before"] == pytest.approx(0.195)
    assert told["error_after"] < 0.11
    assert told["n_labels"] == 100


def test_a_sample_without_active_learning(run: dict[str, Any]) -> None:
    labels = pa.table({"spectrum_id": [IDS[4], IDS[1]], "class": [DULL, DOUBLE]})
    sample, counts = sample_predicted_emission(run["predictions"], labels, 3, seed=1)
    assert counts == {SINGLE: 6, DOUBLE: 2, DULL: 6}
    assert sample["predicted"].to_pylist() == [SINGLE] * 3 + [DOUBLE] * 2
    assert sample["spectrum_id"].to_pylist()[3:] == [IDS[1], IDS[13]]
    known = dict(zip(sample["spectrum_id"].to_pylist(), sample["label"].to_pylist(), strict=True))
    assert (known[IDS[1]], known[IDS[13]]) == (DOUBLE, None)
    again, _ = sample_predicted_emission(run["predictions"][::-1], labels, 3, seed=1)
    assert again.equals(sample)
    assert sample_predicted_emission(run["predictions"], labels, 100, seed=1)[0].num_rows == 8
    assert sample_predicted_emission([], labels, 100, seed=1)[0].num_rows == 0
