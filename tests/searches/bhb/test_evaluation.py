"""Predictions of held-out stars: the run to use, thresholds, calibration, examples."""

import json
import logging
import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fixtures.bhb_data import P, predictions, too_sure
from fixtures.figures import put

from starsift.errors import ResultsError, TrainingError
from starsift.searches.bhb.evaluation import (
    Run,
    calibrate,
    choose_run,
    fit_calibration,
    purity_threshold,
    read_examples,
    read_runs,
    select,
)
from starsift.searches.bhb.inputs import BHB, NOT_BHB

BOTH, ALONE = "spectrum+image", "spectrum"


def test_the_run_with_the_lowest_loss() -> None:
    fitted = [
        {"run": 2, "validation_loss": [0.5, 0.2, 0.4]},
        {"run": 1, "validation_loss": [0.3, 0.2]},
        {"run": 0, "validation_loss": [0.3, float("nan")]},
    ]
    assert choose_run(fitted) == 1
    assert choose_run(fitted[::2]) == 2
    for bad in ([], [{"run": 0}], [{"run": 0, "validation_loss": None}], [{"run": 0, "validation_loss": []}]):
        with pytest.raises(ResultsError, match=f"none of {len(bad)} runs has a validation loss"):
            choose_run(bad)


def test_the_lowest_threshold_by_hand() -> None:
    p = [0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3]
    y = [1, 1, 1, 0, 1, 1, 0]
    # (1 + false) / (1 + all): 1/2, 1/3, 1/4, 2/5, 2/6, 2/7, 3/8
    assert purity_threshold(p, y, 0.75) == 0.7
    assert purity_threshold(p, y, 0.7) == 0.4
    assert purity_threshold(p, y, 0.6) == 0.3
    assert purity_threshold(p, y, 0.76) is None
    shuffled = np.random.default_rng(0).permutation(7)
    assert purity_threshold(np.array(p)[shuffled], np.array(y)[shuffled], 0.7) == 0.4


def test_a_threshold_lets_all_of_its_equals_pass() -> None:
    # Three true and one false one at 0.9: 2/5 of them, however they are sorted.
    for y in ([1, 1, 1, 0, 0], [0, 1, 1, 1, 0]):
        assert purity_threshold([0.9] * 4 + [0.1], y, 0.6) == 0.9
        assert purity_threshold([0.9] * 4 + [0.1], y, 0.61) is None


def test_how_many_stars_a_purity_takes() -> None:
    """Of nineteen right ones a purity of 0.95 is reached exactly, of eighteen it is not."""
    assert purity_threshold(np.linspace(0.5, 0.9, 19), [1] * 19, 0.95) == 0.5
    assert purity_threshold(np.linspace(0.5, 0.9, 18), [1] * 18, 0.95) is None
    assert purity_threshold([], [], 0.5) is None
    for purity in (0.0, 1.0, 1.5, float("nan")):
        with pytest.raises(ResultsError, match="expected more than 0 and less than 1"):
            purity_threshold([0.5], [1], purity)


@pytest.mark.parametrize(("stars", "apart"), [(50, 2.0), (200, 1.0), (200, 2.0), (1000, 3.0)])
@pytest.mark.parametrize("purity", [0.8, 0.95])
def test_the_purity_asked_for_holds_on_average(stars: int, apart: float, purity: float) -> None:
    """Over samples; and the bound of the docstring, which is exact, on the next star of each."""
    rng = np.random.default_rng(stars)
    n = 400

    def draw(number: int) -> tuple[np.ndarray, np.ndarray]:
        true = rng.random(number) < 0.35
        return rng.normal(size=number) + apart * true, true

    false = np.zeros(n)  # share of false ones among the published
    wrong, allowed = np.zeros(n), np.zeros(n)
    for k in range(n):
        score, true = draw(stars)
        threshold = purity_threshold(score, true, purity)
        new, sure = draw(2000)
        if threshold is not None:
            above = new >= threshold
            false[k] = (above & ~sure).sum() / max(1, above.sum())
            wrong[k] = (above & ~sure).mean()
        joined, both = np.append(score, new[0]), np.append(true, sure[0])
        order = np.argsort(-joined)
        share = np.cumsum(~both[order]) / np.arange(1, stars + 2)
        good = np.flatnonzero(share <= 1 - purity)
        if len(good):
            # Averaged over which of them is the new one.
            allowed[k] = (1 - purity) * (joined >= joined[order][good[-1]]).mean()
    spread = 3 / math.sqrt(n)
    assert false.mean() <= 1 - purity + spread * false.std()
    assert wrong.mean() <= allowed.mean() + spread * (wrong - allowed).std()
    if stars * (1 - purity) > 30 and apart > 1.5:  # no more careful than it needs to be
        assert false.mean() >= 0.75 * (1 - purity)


def overconfident(stars: int = 400, seed: int = 0) -> pa.Table:
    """Validation and test stars of a network that gives twice the log odds that it should."""
    rng = np.random.default_rng(seed)
    logit = rng.normal(0, 2, 2 * stars)
    true = rng.random(2 * stars) < 1 / (1 + np.exp(-logit))
    return too_sure(true, logit, 2, ["validation"] * stars + ["test"] * stars)


def test_calibration_of_two_modalities() -> None:
    table = overconfident(2000)
    fitted = fit_calibration({BOTH: table, ALONE: overconfident(100, seed=1)}, 0.8, run=3)
    assert json.loads(json.dumps(fitted)) == fitted
    assert (fitted["run"], fitted["purity"], list(fitted["modalities"])) == (3, 0.8, [BOTH, ALONE])
    one = fitted["modalities"][BOTH]
    assert one["temperature"] == pytest.approx(2, rel=0.1)
    assert (one["n"], one["n_test"]) == (2000, 2000)
    assert one["purity"] == pytest.approx(0.8, abs=0.04)
    # What it says of the test part, counted again.
    test = table.filter(pa.array([name == "test" for name in table["split"].to_pylist()]))
    kept = calibrate(test["p_bhb"].to_numpy(), one["temperature"]) >= one["threshold"]
    true = np.array(test["class"].to_pylist()) == "BHB"
    assert one["purity"] == (kept & true).sum() / kept.sum()
    assert one["completeness"] == (kept & true).sum() / true.sum()
    assert fitted["modalities"][ALONE]["n"] == 100
    # The threshold is a published probability: comparing those gives the same stars.
    assert one["threshold"] == float(np.float32(one["threshold"]))


def test_a_star_counts_once() -> None:
    table = overconfident(50)
    names = [f"{name}-b" for name in table["spectrum_id"].to_pylist()]
    both = pa.concat_tables([put(table, spectrum_id=names, p_bhb=np.full(100, 0.5)), table])
    assert fit_calibration({BOTH: both}, 0.7, run=0) == fit_calibration({BOTH: table}, 0.7, run=0)


def test_no_threshold_reaches_the_purity(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        fitted = fit_calibration({ALONE: overconfident(60)}, 0.999, run=0)["modalities"][ALONE]
    names = ("threshold", "purity", "completeness", "n_above")
    assert [fitted[name] for name in names] == [None, None, 0.0, 0]
    assert "spectrum: no threshold reaches a purity of 0.999 for 60 validation stars" in caplog.text


def test_a_network_that_the_validation_part_flatters(caplog: pytest.LogCaptureFixture) -> None:
    table = overconfident(400)
    label = ["BHB" if p > 0.4 else "not BHB" for p in table["p_bhb"].to_pylist()]
    label[400:] = ["BHB", *["not BHB"] * 399]
    with caplog.at_level(logging.WARNING):
        fit_calibration({BOTH: put(table, **{"class": label})}, 0.9, run=0)
    assert "test stars above the threshold are BHB, fewer than expected for a purity of 0.9" in caplog.text


def test_parts_without_a_class() -> None:
    table = overconfident(60)
    with pytest.raises(TrainingError, match="validation set: no spectrum is"):
        fit_calibration({BOTH: table.slice(60)}, 0.9, run=0)
    with pytest.raises(ResultsError, match="purity is 1, expected"):
        fit_calibration({BOTH: table}, 1, run=0)


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
    with pytest.raises(TrainingError, match="should be in a folder such as batmm/run-0"):
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
    fitted = {"run": 2, "models": {BOTH: "batmm"}, "modalities": {BOTH: {"temperature": 1.0}}}
    names = [f"spec-{k:04d}" for k in range(9, -1, -1)]
    spectra, images = [[k, k] for k in range(9, -1, -1)], [[k] for k in range(10)]
    data = pa.table({"spectrum_id": names, "spectrum": spectra, "image": images})
    path = tmp_path / "dataset.parquet"
    pq.write_table(data, path)
    table = read_examples(path, runs, fitted, number=2)
    # BHBs: 0.9, and 0.6 or 0.4; others: 0.05, and 0.7 or 0.3.
    assert table["class"].to_pylist() == [BHB] * 2 + [NOT_BHB] * 2
    assert table["certain"].to_pylist() == [True, False] * 2
    assert table["spectrum_id"].to_pylist()[::2] == ["spec-0000", "spec-0009"]
    assert table["p_bhb"].to_pylist()[::2] == pytest.approx([0.9, 0.05])
    for row in table.to_pylist():
        number = int(row["spectrum_id"][-4:])
        assert row["p_bhb"] == pytest.approx(P[number])
        assert row["spectrum"] == [number, number]
    assert read_examples(path, runs, fitted | {"run": 7}).num_rows == 0
    # More than there are: each once.
    every = read_examples(path, runs, fitted, number=20)
    assert sorted(every["spectrum_id"].to_pylist()) == names[::-1]
    pq.write_table(data.slice(0, 5), path)
    with pytest.raises(TrainingError, match="spectrum spec-0000 of the test set is missing"):
        read_examples(path, runs, fitted, number=2)


def test_the_validation_set_is_another() -> None:
    scored = select(predictions(), "validation")
    assert scored.spectrum_id.tolist() == ["spec-v1", "spec-v2"]
    assert scored.truth.tolist() == [1, 0]
