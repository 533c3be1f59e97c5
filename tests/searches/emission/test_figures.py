"""Every figure and page of the emission search can be made, of much, little or nothing."""

import re
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from fixtures.figure_words import cells, words
from matplotlib.figure import Figure

from starsift.report.plots import save
from starsift.resources import workflow_root
from starsift.searches.emission.classes import CLASSES, PIXELS
from starsift.searches.emission.columns import EMISSION
from starsift.searches.emission.figures import FIGURES
from starsift.searches.emission.report import (
    Run,
    baseline_page,
    candidates_page,
    confusion_page,
    partial_confusion,
    rounds_page,
)
from starsift.searches.emission.window import WAVELENGTH
from starsift.spectra.resample import min_max

RNG = np.random.default_rng(2)
SINGLE, DOUBLE, DULL = CLASSES
WINDOW = pa.list_(pa.float32(), PIXELS)


def windows(kinds: list[str]) -> pa.Array:
    """Windows with one emission peak, with two in an absorption line, and with absorption alone."""

    def bump(velocity: float, sigma: float) -> np.ndarray:
        return np.exp(-0.5 * ((WAVELENGTH - 6564.61 - velocity / 46) / sigma) ** 2)

    made = []
    for kind in kinds:
        v, apart = RNG.normal(0, 60), RNG.uniform(130, 200)
        flux = {
            SINGLE: 1 + RNG.uniform(0.3, 3) * bump(v, RNG.uniform(2, 5)),
            DOUBLE: 1 - 0.5 * bump(v, 9) + bump(v - apart, 2) + RNG.uniform(0.6, 1) * bump(v + apart, 2),
            DULL: 1 - 0.5 * bump(v, RNG.uniform(3, 9)),
        }[kind]
        made.append(flux + RNG.uniform(0.01, 0.08) * RNG.normal(size=WAVELENGTH.size))
    scaled = min_max(np.array(made).reshape(-1, PIXELS), -1.0, 1.0)
    return pa.FixedSizeListArray.from_arrays(pa.array(scaled.ravel()), type=WINDOW)


def softmax(kinds: list[str], sure: float) -> dict[str, pa.Array]:
    """Probabilities of a network that is mostly right, and too sure."""
    logits = sure * (
        np.eye(3)[[CLASSES.index(kind) for kind in kinds]].reshape(-1, 3)
        + RNG.normal(size=(len(kinds), 3)) / 2
    )
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return {
        name: pa.array(p[:, k], pa.float32())
        for k, name in enumerate(("p_single", "p_double", "p_uninteresting"))
    }


def candidates(n: int) -> pa.Table:
    """Single and double peaks, a few found by the oracle, half looked at and a few of these rejected."""
    kinds = RNG.choice(CLASSES, n, p=(0.75, 0.2, 0.05)).tolist()
    seen = RNG.random(n) < 0.5
    predicted = [kind if kind != DULL else SINGLE for kind in kinds]
    oracle = RNG.random(n) < 0.06
    star = np.sort(RNG.integers(0, max(1, int(0.8 * n)), n))
    p = softmax(predicted, 4.0)
    columns: dict[str, Any] = {
        "spectrum_id": [f"spec-56{i % 1000:03d}-GAC080N33B101_sp{i % 16 + 1:02d}-{i:03d}" for i in range(n)],
        "obsid": range(n),
        "lmjd": [56300 + i % 400 for i in range(n)],
        "designation": [f"J05{i % 60:02d}02.81+334101.7" for i in range(n)],
        "obsdate": [f"201{i % 3 + 2}-0{i % 9 + 1}-1{i % 10}" for i in range(n)],
        "phot_g_mean_mag": pa.array(RNG.normal(14, 1.3, n), pa.float32(), mask=RNG.random(n) < 0.1),
        "snr": np.exp(RNG.normal(3.3, 0.8, n)),
        "profile": [
            kind if look else guess for kind, look, guess in zip(kinds, seen, predicted, strict=True)
        ],
        "predicted": predicted,
        **p,
        "p_emission": np.minimum(1, p["p_single"].to_numpy() + p["p_double"].to_numpy()),
        "origin": np.where(oracle, "oracle", "predicted").tolist(),
        "round": pa.array([2 if found else None for found in oracle], pa.int16()),
        "vetted": seen,
        "label": [kind if look else None for kind, look in zip(kinds, seen, strict=True)],
        "vetted_by": ["A. Reader" if look else None for look in seen],
        "group_id": star + 1,
        "group_name": [f"J05{k % 60:02d}02.81+334101.7" for k in star],
        "n_exposures": np.bincount(star, minlength=1)[star] if n else [],
        "ewha": RNG.normal(8, 3, n),
        "peak_velocity": RNG.normal(0, 80, n),
        "peak_separation": pa.array(
            RNG.normal(300, 40, n), mask=np.array([k != DOUBLE for k in kinds], dtype=bool)
        ),
        "link": [f"https://archive.example/view?obsid={i}&x=1" for i in range(n)],
    }
    table = pa.table(
        {
            field.name: pa.array(columns[field.name]).cast(field.type, safe=False)
            if field.name in columns
            else pa.nulls(n, field.type)
            for field in EMISSION.arrow
        }
    )
    return table.append_column("window", windows(kinds))


def queries(rounds: int, batch: int = 20) -> pa.Table:
    parts = []
    for k in range(rounds):
        kinds = RNG.choice(CLASSES, batch + 5, p=(0.1 + 0.02 * k, 0.1, 0.8 - 0.02 * k)).tolist()
        parts.append(
            pa.table(
                {
                    "round": pa.array([k] * (batch + 5), pa.int16()),
                    "purpose": ["query"] * batch + ["precision"] * 5,
                    "rank": pa.array([*range(batch), *range(5)], pa.int32()),
                    "spectrum_id": [f"spec-56{k:03d}-P_sp01-{i:03d}" for i in range(batch + 5)],
                    **softmax(kinds, 0.7),
                    "label": kinds,
                    "window": windows(kinds),
                }
            )
        )
    return pa.concat_tables(parts)


def round_states(number: int) -> list[dict[str, Any]]:
    found = [2, 4, 9, 8, 15, 16, 22, 19, 25, 21, 27, 28][:number]
    return [
        {
            "round": k,
            "precision": n / 30,
            "n_precision": 30,
            "true_positives": n,
            "passed": sum(m > 24 for m in found[: k + 1]),
            "stop": k == 11,
            "n_training": 12936 + 100 * k,
            "n_labelled": 100 * (k + 1),
            "epochs": 30 + k,
            "loss": 0.1 / (k + 1),
            "predicted": {SINGLE: 1000 // (k + 1), DOUBLE: 300 // (k + 1), DULL: 40000},
        }
        for k, n in enumerate(found)
    ]


def held_out(n: int) -> pa.Table:
    kinds = RNG.choice(CLASSES, n).tolist()
    return pa.table({**softmax(kinds, 6.0), "label": kinds})


KINDS = RNG.choice(CLASSES, 60).tolist()
MANY = candidates(400)
DATA: dict[str, Any] = {
    "rounds": round_states(12),
    "queries": queries(12),
    "initial": pa.table(
        {"spectrum_id": [f"uc{i:06d}" for i in range(60)], "label": KINDS, "window": windows(KINDS)}
    ),
    "candidates": MANY,
    "held_out": held_out(300),
    "calibration": {"temperature": 2.1},
}


def draw(name: str, rows: int | None = None, **other: Any) -> Figure:
    """A figure of all data, of the first rows of each table, or with some data replaced."""
    data = {key: value if isinstance(value, dict) else value[:rows] for key, value in DATA.items()} | other
    return FIGURES[name](**{key: data[key] for key in signature(FIGURES[name]).parameters if key in data})


def put(table: pa.Table, **columns: list[Any]) -> pa.Table:
    for name, values in columns.items():
        place = table.column_names.index(name)
        table = table.set_column(place, name, pa.array(values, table.schema.field(name).type))
    return table


# Figures


def test_every_figure_has_its_inputs_and_caption() -> None:
    assert {key for draw in FIGURES.values() for key in signature(draw).parameters} >= set(DATA)
    for name in FIGURES:
        assert (workflow_root() / f"workflow/report/emission/{name}.rst").read_text().strip(), name


@pytest.mark.parametrize("name", list(FIGURES))
@pytest.mark.parametrize("rows", [None, 1, 0])
def test_a_figure_is_drawn(name: str, rows: int | None, tmp_path: Path) -> None:
    save(draw(name, rows), tmp_path / "figure.svg")
    assert (tmp_path / "figure.svg").read_text().rstrip().endswith("</svg>")


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
    gap = [
        one | {"precision": None, "n_precision": 0} if one["round"] == 3 else one for one in round_states(6)
    ]
    assert draw("precision", rounds=gap).axes[0].lines[0].get_xdata().tolist() == [0, 1, 2, 4, 5]


def test_the_last_round_is_shown() -> None:
    figure = draw("queries")
    said = words(figure)
    assert "round 11: label by the oracle" in said
    first = DATA["queries"].filter(pc.equal(DATA["queries"]["round"], pa.scalar(11, pa.int16())))
    for name, label in zip(
        first["spectrum_id"].to_pylist()[:12], first["label"].to_pylist()[:12], strict=True
    ):
        assert name in said
        assert f"{label}; P = " in said
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


# Pages


def small() -> pa.Table:
    """Predicted single: two right, one double, one bad, one not seen; double: one right; one the oracle's."""
    return put(
        MANY.slice(0, 7),
        predicted=[SINGLE] * 5 + [DOUBLE, DULL],
        origin=["predicted"] * 6 + ["oracle"],
        profile=[SINGLE, SINGLE, DOUBLE, DULL, SINGLE, DOUBLE, SINGLE],
        vetted=[True] * 4 + [False, True, True],
    )


def test_the_partial_confusion_matrix() -> None:
    assert [tuple(row) for row in partial_confusion(small())] == [
        (SINGLE, (2, 1, 1), 1),
        (DOUBLE, (0, 1, 0), 0),
    ]
    page = confusion_page(small())
    assert "people have looked at 5 of 6" in page
    assert cells(page)[1:] == [
        [SINGLE, "50.0 % (2)", "25.0 % (1)", "25.0 % (1)", "4", "1"],
        [DOUBLE, "0.0 % (0)", "100.0 % (1)", "0.0 % (0)", "1", "0"],
    ]
    unseen = put(small(), vetted=[False] * 7)
    assert cells(confusion_page(unseen))[1] == [SINGLE, "–", "–", "–", "0", "5"]


def test_the_page_of_rounds() -> None:
    first = round_states(1)[0] | {"precision": None, "n_precision": 0, "true_positives": 0}
    rows = cells(rounds_page([round_states(2)[1], first], 0.8))
    assert [row[0] for row in rows] == ["round", "0", "1"]
    assert rows[1][-3:] == ["–", "–", "0"]
    assert rows[2] == [
        "1",
        "13,036",
        "200",
        "31",
        "0.0500",
        "500",
        "150",
        "30",
        "4",
        "13.3 %",
        "5 to 30 %",
        "0",
    ]
    assert len(cells(rounds_page([], 0.8))) == 1


def test_the_page_without_active_learning() -> None:
    sample = pa.table(
        {
            "spectrum_id": list("abcdefg"),
            "predicted": [SINGLE] * 4 + [DOUBLE] * 3,
            "label": [SINGLE, DULL, DULL, DULL, SINGLE, DULL, None],
        }
    )
    empty = Run({SINGLE: 0, DOUBLE: 0, DULL: 9}, sample.slice(0, 0))
    rows = cells(baseline_page([Run({SINGLE: 3000, DOUBLE: 1000, DULL: 9}, sample), empty], small()))
    # Either: a quarter of 3000 and a half of 1000.
    assert rows[1] == ["No. 1", "25.0 %", "4", "3,000", "0.0 %", "2", "1,000", "31.2 %", "6", "4,000"]
    assert rows[2] == ["No. 2", "–", "0", "0", "–", "0", "0", "–", "0", "0"]
    assert rows[3][:7] == ["active learning", "50.0 %", "4", "5", "100.0 %", "1", "1"]
    assert rows[3][7] == f"{100 * (0.75 * 5 + 1) / 6:.1f} %"


def test_the_page_of_candidates_links_to_spectra() -> None:
    table = put(
        MANY.slice(0, 6),
        profile=[SINGLE] * 4 + [DULL] * 2,
        p_emission=[0.1, 0.9, 0.5, 0.7, 0.8, None],
        link=["https://a.example/?x=1&y=2"] * 5 + [None],
    )
    page = candidates_page(table, number=3)
    names = table["spectrum_id"].to_pylist()
    first = f'<a href="https://a.example/?x=1&amp;y=2">{names[1]}</a>'
    rows = cells(page)
    assert [row[0] for row in rows[1:4]] == [
        first,
        first.replace(names[1], names[3]),
        first.replace(names[1], names[2]),
    ]
    assert names[0] not in page
    assert "the first 3 of 4 spectra" in page
    assert "Rejected: 2 spectra" in page
    assert rows[-1][0] == names[5]


@pytest.mark.parametrize("rows", [0, 1])
def test_pages_of_little(rows: int) -> None:
    for page in (confusion_page(MANY[:rows]), candidates_page(MANY[:rows]), baseline_page([], MANY[:rows])):
        assert page.rstrip().endswith("</html>")
