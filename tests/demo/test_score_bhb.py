"""The scorecard of the bhb path against a small truth whose numbers are known."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from starsift.demo.score_bhb import score_bhb
from starsift.demo.scorecard import describe, write_card

BHB, STRAGGLER, YOUNG = "BHB", "blue straggler", "A main sequence"
BOTH, ONE = "spectrum+image", "spectrum"
# Ten of the pool, one with a label, and another spectrum of that one's star.
KINDS = [BHB, BHB, BHB, BHB, STRAGGLER, STRAGGLER, STRAGGLER, YOUNG, YOUNG, BHB, BHB, BHB]
IDS = [f"spec-2303-53700-{k:04d}" for k in range(12)]
MODALITY = [BOTH, BOTH, ONE, BOTH, BOTH, ONE, BOTH, BOTH, ONE, None, BOTH, BOTH]
P = [0.9, 0.9, 0.9, 0.1, 0.9, 0.1, 0.1, 0.1, 0.1, None, 0.9, 0.9]


@pytest.fixture
def truth(tmp_path: Path) -> Path:
    table = pa.table(
        {
            "spectrum_id": IDS,
            "star": pa.array([*range(11), 10], pa.int32()),
            "labelled": [*[False] * 10, True, False],
            "kind": KINDS,
            "class": ["BHB" if kind == BHB else "not BHB" for kind in KINDS],
            "snr": pa.array([4.0, 8.0, 15.0, 30.0, 4.0, 8.0, 15.0, 30.0, 4.0, 8.0, 8.0, 8.0], pa.float32()),
            "distance": pa.array([10.0, 20.0, 30.0, *[5.0] * 9], pa.float32()),
            "spectrum_defect": [*["none"] * 9, "short", "none", "none"],
            "image_defect": ["none", "none", "gap", *["none"] * 9],
        }
    )
    pq.write_table(table, tmp_path / "truth.parquet")
    return tmp_path / "truth.parquet"


def predictions() -> pa.Table:
    return pa.table(
        {
            "spectrum_id": IDS,
            "image_status": ["gaps" if m == ONE else "ok" for m in MODALITY],
            "modality": pa.array(MODALITY, pa.string()),
            "p_bhb": pa.array(P, pa.float32()),
        }
    )


def catalog(rows: list[int]) -> pa.Table:
    """Distances 2 % too great, of errors of 1 kpc; none of the blue straggler."""
    true = {0: 10.0, 1: 20.0, 2: 30.0}
    return pa.table(
        {
            "spectrum_id": pa.array([IDS[k] for k in rows], pa.string()),
            "distance": pa.array([1.02 * true[k] if k in true else None for k in rows], pa.float64()),
            "distance_err": pa.array([1.0 if k in true else None for k in rows], pa.float64()),
        }
    )


def lines(card: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {line["name"]: line for line in card["lines"]}


def test_the_pool_is_counted_and_nothing_else(truth: Path) -> None:
    card = score_bhb(truth, catalog([0, 1, 2, 4, 10, 11]), predictions())
    assert card["spectra"] == 10
    known = lines(card)
    assert [known["precision, all"][key] for key in ("value", "number", "target")] == [0.75, 4, ""]
    assert known["recall, all"]["number"] == 5
    assert known["recall, spectrum+image"]["number"] == 3
    expected = {
        "recall, all": 0.6,  # one cannot be used, one is missed
        "recall, usable spectra": 0.75,
        "F1, all": 2 * 3 / (4 + 5),
        "precision, spectrum": 1,
        "precision, spectrum+image": 2 / 3,
        "precision, S/N 0 to 5": 0.5,
        "recall, S/N above 20": 0,
        f"share of {STRAGGLER} stars in the catalogue": 1 / 3,
        f"share of {YOUNG} stars in the catalogue": 0,
    }
    assert {name: known[name]["value"] for name in expected} == {k: round(v, 5) for k, v in expected.items()}
    assert known["precision, S/N above 20"]["value"] is None
    assert card["false"] == {STRAGGLER: 1}
    rows = {row["name"]: row for row in card["comparison"]}  # type: ignore[attr-defined]
    assert list(rows) == ["all", ONE, BOTH, "S/N 0 to 5", "S/N 5 to 10", "S/N 10 to 20", "S/N above 20"]
    assert rows["all"]["false"] == 1
    assert rows[BOTH]["bhb"] == 3


def test_purity_is_held_against_what_was_asked(truth: Path) -> None:
    temperature = {BOTH: {"temperature": 1.0, "threshold": 0.5}, ONE: {"temperature": 2.0, "threshold": 0.6}}
    told = {"run": 1, "purity": 0.97, "modalities": temperature}
    known = lines(score_bhb(truth, catalog([0, 1, 2, 4]), predictions(), calibration=told))
    line = known["purity reached, all, 0.97 required"]
    assert line["value"] == 0.75
    assert line["passed"] is False  # 0.97 less two standard deviations of four: 0.80
    assert line["target"].startswith(">= 0.7994")
    assert known["purity reached, spectrum, 0.97 required"]["passed"] is True
    # Seven with p 0.9 or 0.1 that are right in 5, of two spectra one: shares against probabilities.
    assert known["calibration error, uncalibrated, spectrum+image"]["value"] == pytest.approx(
        (3 * abs(0.9 - 2 / 3) + 3 * abs(0.1 - 1 / 3)) / 6, abs=1e-5
    )
    assert known["calibration error, calibrated, spectrum"]["value"] == pytest.approx(0.25, abs=1e-5)
    assert known["calibration error, uncalibrated, spectrum"]["value"] == pytest.approx(0.1, abs=1e-5)
    assert known["calibration error, calibrated, all"]["number"] == 9


def test_distances_of_bhb_stars(truth: Path) -> None:
    known = lines(score_bhb(truth, catalog([0, 1, 2, 3, 4]), predictions()))
    assert known["share of BHB stars with a distance"]["value"] == 0.75
    median = known["distance, measured over true: median"]
    assert median["value"] == pytest.approx(1.02, abs=1e-5)
    assert (median["passed"], median["number"]) == (True, 3)
    assert known["distance, measured over true: scatter, robust"]["value"] == pytest.approx(0, abs=1e-5)
    pull = known["distance: standard deviation of (measured - true) / error"]
    assert pull["value"] == pytest.approx(np.std([0.2, 0.4, 0.6]), abs=1e-5)
    assert pull["passed"] is False


def test_cuts_on_quality_are_judged(truth: Path) -> None:
    known = lines(score_bhb(truth, catalog([0]), predictions()))
    names = [f"{what} dropped, of those" for what in ("spectra", "images")]
    assert known[f"{names[0]} that cannot be used"]["value"] == 1
    assert known[f"{names[1]} with a defect"]["value"] == 1
    assert [known[f"{name} without a defect"]["value"] for name in names] == [0, round(2 / 9, 5)]


def test_an_empty_catalogue_has_no_purity(truth: Path, tmp_path: Path) -> None:
    told = {"run": 1, "purity": 0.9, "modalities": {BOTH: {"temperature": 1.0, "threshold": None}}}
    card = score_bhb(truth, catalog([]), predictions(), calibration=told)
    known = lines(card)
    assert known["precision, all"]["value"] is None
    assert known["precision, all"]["passed"] is None
    assert known["recall, all"]["value"] == 0
    assert known["distance, measured over true: median"]["value"] is None
    write_card(card, tmp_path / "card.json", tmp_path / "card.txt")
    assert (tmp_path / "card.txt").read_text().startswith("Scorecard: 10 spectra against the truth")
    assert describe(card)


def test_strangers_are_refused(truth: Path) -> None:
    message = "1 spectra of the catalogue have no prediction: spec-2303-53700-0004"
    with pytest.raises(ValueError, match=message):
        score_bhb(truth, catalog([4]), predictions().slice(0, 4))
    other = predictions().set_column(0, "spectrum_id", pa.array([f"x{name}" for name in IDS]))
    with pytest.raises(ValueError, match="12 spectra are not in the truth, the first is xspec"):
        score_bhb(truth, catalog([]), other)
