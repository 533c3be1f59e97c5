"""Every figure of the report can be drawn, from tables with much, little or nothing in them."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from starsift.report.plots import save
from starsift.searches.binaries.examples import EXAMPLES
from starsift.searches.binaries.figures import FIGURES, INPUTS

RNG = np.random.default_rng(1)


def spectra(n: int) -> pa.Table:
    number = np.arange(n)
    snr = np.exp(RNG.uniform(np.log(5), np.log(200), n)).astype(np.float32)
    kind = np.where(number % 4 == 3, "SB3", "SB2")
    error = (20 / snr).astype(np.float32)
    return pa.table(
        {
            "snr": snr,
            "phot_g_mean_mag": RNG.uniform(10, 15, n).astype(np.float32),
            "multiplicity": pa.array(kind, pa.string()),
            "rv_1": np.zeros(n, np.float32),
            "rv_2": RNG.uniform(60, 250, n).astype(np.float32),
            "rv_1_err": error,
            "rv_2_err": error,
            "rv_3_err": pa.array(error, pa.float32(), mask=kind == "SB2"),
        }
    )


def example(title: str, count: int) -> dict[str, object]:
    velocity = np.arange(-500.0, 501.0)
    curve = np.exp(-0.5 * (velocity / 30) ** 2)
    return {
        "title": title,
        "spectrum_id": "med-58625-P01_sp01-001/84420171",
        "snr": 50.0,
        "sigma": 13.0,
        "rv": [0.0] * count,
        "wavelength": np.linspace(4900, 5400, 100),
        "flux": np.where(np.arange(100) % 10, 1.0, np.nan),
        "velocity": velocity,
        **dict.fromkeys(("ccf", "smooth", "first", "second", "third"), curve),
    }


RATES = {
    "teff": [5000.0, 5000.0],
    "logg": [4.5, 4.5],
    "delta_rv": [60.0, 80.0],
    "snr": [20.0, 20.0],
    "rate": [0.0, 1.0],
}
RATIOS = {
    "teff_1": [4000.0, 4000.0, 5000.0, 5000.0],
    "teff_2": [4000.0, 5000.0, 4000.0, 5000.0],
    "flux_ratio": [1.0, 3.0, 0.33, 1.0],
    "detected": [True, False, False, True],
}
TABLES = {
    "snr_magnitude": {"manifest": spectra(5000), "spectra": spectra(40)},
    "examples": {"examples": pa.Table.from_pylist([example("SB2", 2), example("noise", 0)], EXAMPLES)},
    "rv_errors": {"spectra": spectra(4000)},
    "detection_rates": {"rates": pa.table(RATES)},
    "flux_ratio": {"flux_ratios": pa.table(RATIOS)},
    "exposures": {"objects": pa.table({"multiplicity": ["SB2", "SB2", "SB3"], "n_exposures": [1, 121, 3]})},
    "rv_differences": {"spectra": spectra(400)},
}


def test_every_figure_is_tested() -> None:
    assert set(TABLES) == set(FIGURES) == set(INPUTS)
    assert all(set(INPUTS[name]) == set(tables) for name, tables in TABLES.items())


@pytest.mark.parametrize("name", list(FIGURES))
@pytest.mark.parametrize("rows", [None, 1, 0])
def test_a_figure_is_drawn(name: str, rows: int | None, tmp_path: Path) -> None:
    tables = {key: table.slice(0, rows) for key, table in TABLES[name].items()}
    save(FIGURES[name](**tables), tmp_path / "figure.svg")
    assert (tmp_path / "figure.svg").read_text().rstrip().endswith("</svg>")


def test_no_magnitudes_is_said(tmp_path: Path) -> None:
    nothing = pa.table({"snr": [5.0], "phot_g_mean_mag": pa.nulls(1, pa.float32())})
    figure = FIGURES["snr_magnitude"](nothing, spectra(0))
    assert any("no Gaia magnitudes" in text.get_text() for axis in figure.axes for text in axis.texts)


def test_the_same_table_makes_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a.svg", "b.svg"):
        save(FIGURES["rv_differences"](**TABLES["rv_differences"]), tmp_path / name)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_axes_have_labels_with_units() -> None:
    for name, word in {"rv_errors": "(km/s)", "rv_differences": "(km/s)", "flux_ratio": "(K)"}.items():
        axes = FIGURES[name](**TABLES[name]).axes
        assert any(word in axis.get_xlabel() + axis.get_ylabel() for axis in axes), name
