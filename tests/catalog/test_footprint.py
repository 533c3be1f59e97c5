"""The footprint of a search: every spectrum is inside, the rest of the sky is not, equal bytes."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from astropy import units as u
from mocpy import MOC

from starsift.catalog.footprint import ORDER, footprint, write_footprint
from starsift.io.parquet import write_parquet

RA = np.array([0.0, 359.99, 83.8, 83.8, 200.0])
DEC = np.array([-90.0, 0.01, -5.4, -5.5, 60.0])


@pytest.fixture
def manifests(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / "a.parquet", tmp_path / "b.parquet"]
    for path, some in zip(paths, (slice(0, 3), slice(3, 5)), strict=True):
        ra, dec = [*RA[some], None], [*DEC[some], 10.0]
        write_parquet(pa.table({"ra": pa.array(ra, pa.float64()), "dec": pa.array(dec)}), path)
    return paths


def test_every_spectrum_is_inside_and_empty_sky_is_not(manifests: list[Path], tmp_path: Path) -> None:
    write_footprint(footprint(manifests), tmp_path / "x.moc.fits")
    moc = MOC.from_fits(tmp_path / "x.moc.fits")
    assert moc.max_order == ORDER
    assert moc.contains_lonlat(RA * u.deg, DEC * u.deg).all()
    assert not moc.contains_lonlat([10, 200] * u.deg, [10, 61] * u.deg).any()
    assert moc.sky_fraction == pytest.approx(len(RA) / (12 * 4**ORDER))


def test_the_same_spectra_make_the_same_bytes(manifests: list[Path], tmp_path: Path) -> None:
    paths = [tmp_path / "one.fits", tmp_path / "two.fits"]
    for path, order in zip(paths, (manifests, manifests[::-1]), strict=True):
        write_footprint(footprint(order), path)
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_without_coordinates_the_map_is_empty(tmp_path: Path) -> None:
    none = pa.array([None, float("nan")], pa.float64())
    write_parquet(pa.table({"ra": none, "dec": none}), tmp_path / "a.parquet")
    write_footprint(footprint([tmp_path / "a.parquet"]), tmp_path / "a.moc.fits")
    assert MOC.from_fits(tmp_path / "a.moc.fits").empty()
