"""The scorecard of the emission path against small truths whose numbers are known."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from starsift.demo.score_emission import score_emission
from starsift.demo.scorecard import describe, write_card
from starsift.searches.emission.classes import CLASSES

SINGLE, DOUBLE, OTHER = CLASSES
LABELS = [SINGLE, SINGLE, DOUBLE, DOUBLE, *[OTHER] * 6]
IDS = [f"spec-1-X_sp01-{k:03d}" for k in range(10)]


@pytest.fixture
def truth(tmp_path: Path) -> Path:
    emission = [label != OTHER for label in LABELS]
    table = pa.table(
        {
            "spectrum_id": IDS,
            "label": LABELS,
            "emission": emission,
            "kind": ["disc", "young", "disc", "disc", "star", "star", "dwarf", "junk", "star", "dwarf"],
            "defect": [*["none"] * 8, "spike", "none"],
            "bump_snr": pa.array([10.0, 20.0, 50.0, 60.0, *[None] * 6], pa.float32()),
            "snr": pa.array([3.0, 20.0, 50.0, 60.0, 3.0, 10.0, 20.0, 2.0, 50.0, 6.0], pa.float32()),
            "rv": pa.array([0.0, 400.0, 0.0, 0.0, 0.0, 0.0, 0.0, None, 0.0, 0.0], pa.float32()),
        }
    )
    pq.write_table(table, tmp_path / "truth.parquet")
    return tmp_path / "truth.parquet"


def predictions(classes: list[str], sure: float = 0.8, ids: list[str] = IDS) -> pa.Table:
    """Probabilities `sure` of these classes, the rest shared by the others."""
    p = np.full((len(ids), 3), (1 - sure) / 2, np.float32)
    p[np.arange(len(ids)), [CLASSES.index(name) for name in classes]] = sure
    names = ("p_single", "p_double", "p_uninteresting")
    return pa.table({"spectrum_id": ids} | {name: p[:, k] for k, name in enumerate(names)})


def catalog(rows: dict[int, str], oracle: tuple[int, ...] = ()) -> pa.Table:
    return pa.table(
        {
            "spectrum_id": pa.array([IDS[k] for k in rows], pa.string()),
            "profile": pa.array(list(rows.values()), pa.string()),
            "origin": pa.array(["oracle" if k in oracle else "predicted" for k in rows], pa.string()),
        }
    )


def told(number: int, precision: float | None = 0.5) -> dict[str, Any]:
    counts = dict.fromkeys(CLASSES, 1)
    return {"round": number, "precision": precision, "n_precision": 30, "predicted": counts}


def values(card: dict[str, Any]) -> dict[str, Any]:
    return {line["name"]: line["value"] for line in card["lines"]}


def test_a_perfect_search_scores_one(truth: Path) -> None:
    found = catalog(dict(enumerate(LABELS[:4])), oracle=(2,))
    card = score_emission(truth, predictions(LABELS), [predictions(LABELS)], [told(0)], found)
    got = values(card)
    for what in ("emission", "single peaks", "double peaks", "emission without active learning"):
        for measure in ("precision", "recall", "F1"):
            assert got[f"{measure} of {what}"] == 1
    assert got["class right, of emission in the catalogue"] == 1
    assert got["spectra that the oracle found"] == 1
    assert got["gain in precision by active learning"] == 0
    assert card["false"] == card["missed"] == {}
    assert card["spectra"] == 10
    passed = {line["name"]: line["passed"] for line in card["lines"] if line["target"]}  # type: ignore
    assert passed == {"precision of emission": True, "recall of emission": True}


def test_numbers_of_an_imperfect_search(truth: Path) -> None:
    # One single missed, one double called single, three others called emission, one of them by the oracle.
    found = catalog({0: SINGLE, 2: SINGLE, 3: DOUBLE, 6: SINGLE, 8: DOUBLE, 4: SINGLE}, oracle=(4,))
    blind = [predictions([SINGLE] * 10), predictions([OTHER] * 10)]
    card = score_emission(truth, predictions(LABELS), blind, [], found)
    got = values(card)
    expected = {
        "precision of emission": 3 / 6,
        "recall of emission": 3 / 4,
        "F1 of emission": 6 / 10,
        "precision of single peaks": 1 / 4,
        "recall of double peaks": 1 / 2,
        "class right, of emission in the catalogue": round(2 / 3, 5),
        "precision of emission without active learning": 0.4,  # a run that finds nothing has no precision
        "recall of emission without active learning": 0.5,
        "gain in recall by active learning": 0.25,
        "false: star, spike": 1,
        "recall, S/N of the peak 0 to 15": 1,
        "recall, S/N of the peak 15 to 40": 0,
        "recall, velocities above 250 km/s": 0,
        "share of others in the catalogue, S/N 0 to 5": 1 / 2,
    }
    assert {name: got[name] for name in expected} == pytest.approx(expected)
    assert card["false"] == {"dwarf": 1, "star": 1, "star, spike": 1}
    assert card["missed"] == {"young": 1}
    names = ["active learning", "no active learning, run 1", "no active learning, run 2"]
    assert [row["name"] for row in card["comparison"]] == names  # type: ignore[attr-defined]


def test_the_class_is_the_profile(truth: Path) -> None:
    found, wrong = catalog({0: SINGLE, 2: DOUBLE}), catalog({0: DOUBLE, 2: DOUBLE})
    assert values(score_emission(truth, predictions(LABELS), [], [], found))["precision of double peaks"] == 1
    got = values(score_emission(truth, predictions(LABELS), [], [], wrong))
    assert got["precision of double peaks"] == pytest.approx(0.5)


def test_rounds_tell_what_was_estimated_and_what_is_true(truth: Path) -> None:
    rounds = [told(0, 0.1), told(1, None)]
    guesses = [predictions([SINGLE] * 10), predictions([*LABELS[:3], OTHER, SINGLE, *[OTHER] * 5])]
    card = score_emission(truth, predictions(LABELS), [], rounds, catalog({}), predictions=guesses)
    got = values(card)
    assert got["round 0: precision, estimate"] == pytest.approx(0.1)
    assert got["round 0: precision, true"] == pytest.approx(0.4)
    assert got["round 1: precision, estimate"] is None
    assert got["round 1: precision, true"] == pytest.approx(0.75)
    assert card["rounds"][1]["recall"] == pytest.approx(0.75)  # type: ignore[index]
    without = score_emission(truth, predictions(LABELS), [], rounds, catalog({}))
    assert "round 0: precision, true" not in values(without)
    with pytest.raises(ValueError, match="predictions of 1 rounds, and 2 rounds"):
        score_emission(truth, predictions(LABELS), [], rounds, catalog({}), predictions=guesses[:1])


def test_calibration_error_uses_the_temperature(truth: Path) -> None:
    # Right always, and 80 % sure: softmax(log p / T) goes to 1 with a low temperature.
    timid = predictions(LABELS, sure=0.8)
    got = values(score_emission(truth, timid, [], [], catalog({}), temperature=0.1))
    assert got["calibration error, uncalibrated, all spectra"] == pytest.approx(0.16, abs=0.002)
    assert got["calibration error, calibrated, all spectra"] < 1e-4


def test_an_empty_catalogue_and_a_pool_without_emission(truth: Path, tmp_path: Path) -> None:
    card = score_emission(truth, predictions(LABELS), [], [], catalog({}))
    got = values(card)
    assert got["precision of emission"] is None
    assert got["recall of emission"] == 0
    assert card["missed"] == {"disc": 3, "young": 1}
    # Without a window a spectrum has no prediction, and is not missed.
    readable = predictions(LABELS[2:], ids=IDS[2:])
    assert values(score_emission(truth, readable, [], [], catalog({2: DOUBLE})))["recall of emission"] == 0.5
    none = predictions([OTHER] * 6, ids=IDS[4:])
    assert values(score_emission(truth, none, [], [], catalog({})))["recall of emission"] is None
    write_card(card, tmp_path / "card.json", tmp_path / "card.txt")
    assert "MISS    0.0000  recall of emission [n = 4], >= 0.9" in (tmp_path / "card.txt").read_text()
    assert describe(card)[0] == "Scorecard: 10 spectra against the truth"


def test_foreign_spectra_are_named(truth: Path) -> None:
    foreign = predictions([SINGLE], ids=["spec-2-Y_sp01-001"])
    with pytest.raises(ValueError, match="1 spectra are not in the truth, the first is spec-2-Y_sp01-001"):
        score_emission(truth, foreign, [], [], catalog({}))
    with pytest.raises(ValueError, match=f"1 spectra of the catalogue have no prediction: {IDS[0]}"):
        score_emission(truth, predictions(LABELS[2:], ids=IDS[2:]), [], [], catalog({0: SINGLE}))
