"""The scorecard of the binaries search, worked out by hand."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from starsift.demo.score_binaries import score

TRUTH: list[dict[str, Any]] = [
    {"kind": "single", "rv": [10.0], "flux_fraction": [1.0], "vsini": [5.0]},
    {"kind": "rotator", "rv": [20.0], "flux_fraction": [1.0], "vsini": [150.0]},
    {"kind": "sb2", "rv": [-60.0, 60.0], "flux_fraction": [0.6, 0.4], "vsini": [5.0, 5.0]},
    {"kind": "sb2", "rv": [70.0, -70.0], "flux_fraction": [0.5, 0.5], "vsini": [5.0, 5.0]},
    {"kind": "sb3", "rv": [-120.0, 0.0, 120.0], "flux_fraction": [0.4, 0.3, 0.3], "vsini": [5.0] * 3},
    {"kind": "noise", "rv": [], "flux_fraction": [], "vsini": []},
    {"kind": "moon", "rv": [80.0], "flux_fraction": [1.0], "vsini": [5.0], "suspect": "moonlight"},
    {"kind": "crosstalk", "rv": [0.0], "flux_fraction": [1.0], "vsini": [5.0], "suspect": "crosstalk"}
    | {"partner": "s2"},
]
PERIODS = {"sb2": [5.0], "sb3": [3.0, 40.0]}
# Over 50 days, periods of 4.7 to 5.3 days are within 4 radians of phase of one of 5 days.
ORBITS = pa.table(
    {
        "gaia_source_id": [2, 3, 4, 0],
        "period": [5.3, 5.2, 40.0, 2.0],
        "period_probability": [0.95, 0.5, 0.99, 0.91],
        "time_span": [50.0] * 4,
    }
)


@pytest.fixture
def truth(tmp_path: Path) -> Path:
    rows = [
        {"spectrum_id": f"s{i}", "n_components": len(row["rv"]), "suspect": None, "partner": None}
        | {"gaia_source_id": i, "period": PERIODS.get(row["kind"], [])}
        | row
        for i, row in enumerate(TRUTH)
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "truth.parquet")
    return tmp_path / "truth.parquet"


def results(**changes: dict[int, Any]) -> pa.Table:
    """Results that are right in everything, but for other values in some rows."""
    kind = {"sb2": "SB2", "sb3": "SB3"}
    columns: dict[str, list[Any]] = {
        "spectrum_id": [f"s{i}" for i in range(8)],
        "snr": [50.0] * 8,
        "n_components": [1, 1, 2, 2, 3, 0, 2, 2],
        # The light that comes from elsewhere shows, too.
        "rv": [*(sorted(row["rv"]) for row in TRUTH[:6]), [0.0, 80.0], [-60.0, 60.0]],
        "rv_err": [*([1.0] * len(row["rv"]) for row in TRUTH[:6]), [1.0, 1.0], [1.0, 1.0]],
        "multiplicity": [kind.get(row["kind"]) for row in TRUTH],
        "vote": [None, None, "SB2", None, None, None, None, None],
        "suspect_moonlight": [None, None, False, False, False, None, True, False],
        "suspect_crosstalk": [None, None, False, False, False, None, False, True],
    }
    for name, values in changes.items():
        for row, value in values.items():
            columns[name][row] = value
    return pa.table(columns)


def values(truth: Path, table: pa.Table) -> dict[str, Any]:
    published = pa.table({"spectrum_id": ["s2", "s4"], "multiplicity": ["SB2", "SB3"]})
    card = score(truth, table, published, ORBITS)
    assert card["spectra"] == 8
    lines: list[dict[str, Any]] = card["lines"]  # type: ignore[assignment]
    return {line["name"].split(":")[0]: line for line in lines}


def test_perfect_results_score_one(truth: Path) -> None:
    lines = values(truth, results())
    assert lines["SB2 found"]["value"] == lines["SB3 found"]["value"] == 1
    assert lines["SB2 found"]["number"] == 2
    for name, found in (
        ("SB2 found, all with delta RV >= 60", 1),
        ("SB3 found, all with both delta RV >= 60", 1),
    ):
        assert lines[name]["value"] == found
    listed = lines["SB2 in the catalogue, by all exposures of a star, all with delta RV >= 60"]
    assert (listed["value"], listed["number"]) == (0.5, 2)
    by_vote = lines["SB2 found by the vote on the CCF, all with delta RV >= 60"]
    assert (by_vote["value"], by_vote["number"]) == (0.5, 2)
    assert lines["SB3 found by the vote on the CCF, all of these"]["value"] == 0
    assert lines["precision of SB2 (unflagged; exactly two stars)"]["value"] == 1
    assert lines["precision of SB3 (unflagged)"]["value"] == 1
    single = lines["false SB2 or SB3 among single stars"]
    assert (single["value"], single["number"], single["target"], single["passed"]) == (0, 2, "<= 0.002", True)
    assert lines["moonlight flagged, of double-lined spectra with moonlight"]["value"] == 1
    assert lines["cross-talk flagged, of double-lined spectra with cross-talk"]["value"] == 1
    # Of candidates without: s2 is the neighbour that leaks, s3, s4 and the moonlit one are left.
    other = lines["cross-talk flagged, of candidates that neither leak nor are leaked into"]
    assert (other["value"], other["number"]) == (0, 3)


def test_mistakes_are_counted(truth: Path) -> None:
    lines = values(truth, results(multiplicity={0: "SB2", 3: None, 5: "SB3"}))
    assert lines["SB2 found"]["value"] == 0.5
    assert lines["SB2 found"]["passed"] is False
    assert lines["false SB2 or SB3 among single stars"]["value"] == 0.5
    assert lines["false SB2 or SB3 among noise"]["value"] == 1
    assert lines["precision of SB2 (unflagged; at least two stars)"]["value"] == 0.5
    # What is flagged does not count.
    lines = values(truth, results(multiplicity={0: "SB2"}, suspect_moonlight={0: True}))
    assert lines["precision of SB2 (unflagged; at least two stars)"]["value"] == 1


def test_certain_orbits_are_compared_with_true_periods(truth: Path) -> None:
    """Of triples, either orbit counts; a single star has none."""
    lines = values(truth, results())
    certain = lines["orbits whose period is certain (probability > 0.9)"]
    assert (certain["value"], certain["number"]) == (0.75, 4)
    right = lines["right periods, of certain ones"]
    assert (right["value"], right["number"]) == (pytest.approx(2 / 3, abs=1e-5), 3)


def test_spectra_of_another_survey_are_refused(truth: Path) -> None:
    with pytest.raises(ValueError, match="1 spectra are not in the truth, the first is t0"):
        score(
            truth, results(spectrum_id={0: "t0"}), pa.table({"spectrum_id": [], "multiplicity": []}), ORBITS
        )
