"""The template grid: what ships, the round trip, and grids that must be refused."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from starsift.errors import InputError
from starsift.spectra.templates import FOOTER_KEY, load_grid, main, write_grid

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "resources/templates/grid.parquet"
SOURCE = ROOT.parent / "shared/data/templates/grid.npz"


def small_grid() -> dict[str, Any]:
    """Three spectra of 50 pixels, as keyword arguments of write_grid."""
    wavelength = 5000.0 + 0.1 * np.arange(50)
    continuum = np.array([1e6, 2e6, 3e6])[:, None] * (1 + 1e-4 * (wavelength - 5000))
    normalized = 1 - 0.5 * np.exp(-0.5 * ((wavelength - np.array([[5001.0], [5002.0], [5003.0]])) / 0.3) ** 2)
    params = np.array([[6000, 4, 0, 1.2], [5000, 4, 0, 1.2], [5000, 2, 0, 2.0]])
    arrays = {"params": params, "wavelength": wavelength, "normalized": normalized, "continuum": continuum}
    return arrays | {"resolution": 20_000.0, "provenance": "made up"}


def test_shipped_grid_has_the_three_templates_of_the_paper() -> None:
    grid = load_grid(SHIPPED)
    assert SHIPPED.stat().st_size < 15e6
    for star in ((8000, 4.0, 0.0), (5000, 4.0, 0.0), (5000, 2.0, 0.0)):
        assert tuple(grid.params[grid.nearest(*star), :3]) == star
    assert grid.wavelength[0] < 4898
    assert grid.wavelength[-1] > 5389
    assert "Turbospectrum" in grid.provenance


def test_shipped_grid_is_in_vacuum() -> None:
    grid = load_grid(SHIPPED)
    star = grid.normalized[grid.nearest(8000, 4.0, 0.0)]
    window = np.abs(grid.wavelength - 5185.0) < 1.0  # Mg b1: 5183.604 in air, 5185.048 in vacuum
    assert grid.wavelength[window][np.argmin(star[window])] == pytest.approx(5185.05, abs=0.1)


@pytest.mark.skipif(not SOURCE.exists(), reason="the uncompressed grid is not here")
def test_compact_form_keeps_the_spectra() -> None:
    grid = load_grid(SHIPPED)
    with np.load(SOURCE) as arrays:
        np.testing.assert_array_equal(grid.params, arrays["params"])
        assert np.abs(grid.normalized - arrays["normalized"]).max() < 1e-5
        error = np.abs(grid.flux / arrays["flux"] - 1)
    assert error.max() < 0.011
    assert np.median(error) < 1e-4


def test_round_trip_sorts_and_repeats_its_bytes(tmp_path: Path) -> None:
    arrays = small_grid()
    write_grid(tmp_path / "a.parquet", **arrays)
    write_grid(tmp_path / "b.parquet", **arrays)
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()
    grid = load_grid(tmp_path / "a.parquet")
    np.testing.assert_array_equal(grid.params[:, 0], [5000, 5000, 6000])
    np.testing.assert_allclose(grid.wavelength, arrays["wavelength"])
    np.testing.assert_allclose(grid.normalized[grid.nearest(6000, 4)], arrays["normalized"][0], atol=1e-5)
    np.testing.assert_allclose(grid.continuum[grid.nearest(6000, 4)], arrays["continuum"][0], rtol=1e-5)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.parquet", "b.parquet"]


def test_emission_above_the_continuum_survives(tmp_path: Path) -> None:
    arrays = small_grid()
    arrays["normalized"][0, 10] = 3.0
    write_grid(tmp_path / "grid.parquet", **arrays)
    assert load_grid(tmp_path / "grid.parquet").normalized.max() == pytest.approx(3.0, rel=1e-4)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("normalized", lambda a: a * np.nan, "normalized of spectrum 0 is negative or not finite"),
        ("continuum", lambda a: -a, "continuum of spectrum 0 is negative"),
        ("continuum", lambda a: a[:, :-1], "expected \\(3, 50\\)"),
        ("params", lambda a: a[:, :3], "expected \\(3, 4\\)"),
        ("params", lambda a: a[[0, 0, 1]], "occurs 2 times"),
        ("wavelength", lambda a: a[::-1], "strictly ascending"),
        ("wavelength", lambda a: a**30, "not uniformly spaced"),
        ("resolution", lambda a: -1.0, "expected a positive resolving power"),
        ("medium", lambda a: "water", "expected 'air' or 'vacuum'"),
    ],
)
def test_bad_arrays_are_refused(tmp_path: Path, name: str, change: Any, message: str) -> None:
    arrays = small_grid()
    arrays[name] = change(arrays.get(name))
    with pytest.raises(InputError, match=message):
        write_grid(tmp_path / "grid.parquet", **arrays)
    assert not (tmp_path / "grid.parquet").exists()


def rewrite(path: Path, footer: dict[str, Any] | None = None, **columns: pa.Array) -> None:
    """Change a written grid behind the writer's back."""
    table = pq.read_table(path)
    metadata = json.loads(table.schema.metadata[FOOTER_KEY]) | (footer or {})
    for name, column in columns.items():
        table = table.set_column(table.column_names.index(name), name, column)
    metadata = {key: value for key, value in metadata.items() if value is not None}
    pq.write_table(table.replace_schema_metadata({FOOTER_KEY: json.dumps(metadata)}), path)


@pytest.mark.parametrize(
    ("footer", "message"),
    [
        ({"resolution": None}, "footer lacks resolution"),
        ({"resolution": "high"}, "expected a positive number"),
        ({"version": 9}, "format version 9"),
        ({"wavelength_medium": "glass"}, "expected air or vacuum"),
        ({"pixels": 49}, "normalized of row 0 has 50 values, expected 49"),
    ],
)
def test_bad_footers_are_refused(tmp_path: Path, footer: dict[str, Any], message: str) -> None:
    path = tmp_path / "grid.parquet"
    write_grid(path, **small_grid())
    rewrite(path, footer)
    with pytest.raises(InputError, match=message):
        load_grid(path)


def test_bad_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "grid.parquet"
    with pytest.raises(InputError, match="no such template grid"):
        load_grid(path)
    path.write_bytes(b"SIMPLE  = T")
    with pytest.raises(InputError, match="not a Parquet file"):
        load_grid(path)
    pq.write_table(pa.table({"teff": [5000.0]}), path)
    with pytest.raises(InputError, match="write_grid"):
        load_grid(path)
    write_grid(path, **small_grid())
    rewrite(path, normalized=pa.array([[1], [1], [1, 2]], pa.list_(pa.uint16())))
    with pytest.raises(InputError, match="normalized of row 0 has 1 values, expected 50"):
        load_grid(path)
    rewrite(path, continuum=pa.array([[5000.0], [1.0], [1.0]]))
    with pytest.raises(InputError):
        load_grid(path)


def test_conversion_from_numpy(tmp_path: Path) -> None:
    arrays = small_grid()
    arrays |= {"wave": arrays["wavelength"], "flux": arrays["normalized"] * arrays["continuum"]}
    names = ("params", "wave", "normalized", "flux")
    np.savez(tmp_path / "grid.npz", **{name: arrays[name] for name in names})
    main([str(tmp_path / "grid.npz"), str(tmp_path / "grid.parquet"), "--medium", "vacuum"])
    assert load_grid(tmp_path / "grid.parquet").n == 3
