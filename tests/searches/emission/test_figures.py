"""Figures of the emission search show the right numbers."""

import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from fixtures.emission_figures import DATA, DULL, MANY, SINGLE, draw, round_states
from fixtures.figures import put, words

from starsift.report.plots import save


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("precision", "no round has an estimate"),
        ("answers", "no spectrum was queried"),
        ("queries", "no spectrum was queried"),
        ("initial", "is empty"),
        ("single_peaks", "no single peak in the catalogue"),
        ("double_peaks", "no double peak in the catalogue"),
        ("calibration", "all labels are in the training set"),
        ("snr_magnitude", "no spectrum has it"),
        ("exposures", "no star has two spectra"),
    ],
)
def test_a_figure_of_nothing_says_so(name: str, reason: str) -> None:
    assert reason in words(draw(name, 0))


def test_the_same_tables_make_the_same_bytes(tmp_path: Path) -> None:
    turned = MANY.take(pa.array(np.random.default_rng(0).permutation(MANY.num_rows)))
    save(draw("single_peaks"), tmp_path / "a.svg")
    save(draw("single_peaks", candidates=turned), tmp_path / "b.svg")
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_rounds_that_pass_are_counted() -> None:
    figure = draw("precision")
    assert "threshold, passed 3 of 3 times" in words(figure)
    assert "(30 spectra a round)" in words(figure)
    line = figure.axes[0].lines[0]
    np.testing.assert_allclose(line.get_ydata(), np.array([2, 4, 9, 8, 15, 16, 22, 19, 25, 21, 27, 28]) / 30)
    gap = round_states(6)
    gap[3] |= {"precision": None, "n_precision": 0}
    assert draw("precision", rounds=gap).axes[0].lines[0].get_xdata().tolist() == [0, 1, 2, 4, 5]


def test_the_last_round_is_shown() -> None:
    figure = draw("queries")
    said = words(figure)
    assert "round 11: label by the oracle" in said
    first = DATA["queries"].filter(pc.equal(DATA["queries"]["round"], pa.scalar(11, pa.int16())))
    for row in first.to_pylist()[:12]:
        assert row["spectrum_id"] in said
        assert f"{row['label']}; P = " in said
    assert first["spectrum_id"][12].as_py() not in said


def test_the_likeliest_come_first_and_rejected_ones_never() -> None:
    table = put(
        MANY.slice(0, 20), profile=[SINGLE] * 15 + [DULL] * 5, p_single=np.linspace(0.3, 0.9, 20).tolist()
    )
    said = words(draw("single_peaks", candidates=table))
    assert "single peak: the 6 most probable of 15, 6 others at random" in said
    assert said.index(table["spectrum_id"][14].as_py()) < said.index(table["spectrum_id"][13].as_py())
    for rejected in table["spectrum_id"].to_pylist()[15:]:
        assert rejected not in said


def test_stars_of_most_exposures() -> None:
    table = put(
        MANY.slice(0, 8),
        profile=[SINGLE] * 7 + [DULL],
        group_id=[1, 1, 2, 2, 2, 3, 4, 4],
        group_name=["a", "a", "b", "b", "b", "c", "d", "d"],
    )
    figure = draw("exposures", candidates=table)
    assert [axis.get_title() for axis in figure.axes] == ["b: 3 spectra", "a: 2 spectra", ""]


def test_calibration_lowers_the_error() -> None:
    before, after = (float(x) for x in re.findall(r"calibration error ([\d.]+)", words(draw("calibration"))))
    assert after < before


def test_axes_have_labels_with_units() -> None:
    for name in ("queries", "initial", "single_peaks", "exposures"):
        assert "(Å)" in words(draw(name)), name
    assert "(mag)" in words(draw("snr_magnitude"))
