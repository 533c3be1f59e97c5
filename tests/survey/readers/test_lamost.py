"""Readers of LAMOST spectra: both ways of reading, every layout, bad files."""

import gzip
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from fixtures.survey_files import (
    ARRAYS,
    LAYOUTS,
    ROWS,
    assert_same_arrays,
    mrs_name,
    mrs_table,
    mrs_tables,
    real,
    write_mrs,
)

from starsift.errors import SpectrumError
from starsift.survey import fitsfile
from starsift.survey.exposure import Exposure
from starsift.survey.fitsfile import open_fits
from starsift.survey.readers.registry import read_exposures, read_spectrum


def assert_same(a: Exposure, b: Exposure) -> None:
    assert (a.extname, a.band, a.lmjm, a.coadd, a.snr) == (b.extname, b.band, b.lmjm, b.coadd, b.snr)
    assert [x.dtype.str[1:] for x in (a.wavelength, a.flux, a.ivar, a.mask)] == ["f8", "f4", "f4", "b1"]
    assert_same_arrays(a, b)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("ending", [".fits", ".fits.gz"])
def test_mrs_fast_reader_equals_astropy(tmp_path: Path, layout: str, ending: str) -> None:
    path = write_mrs(tmp_path / f"med-58625-HD1_sp01-001{ending}", mrs_tables(layout=layout))
    fast, slow = read_exposures(path, "mrs"), read_exposures(path, "mrs", fast=False)
    names = "COADD_B COADD_R B-84420171 B-84420194 R-84420171 R-84420194"
    assert [e.extname for e in fast] == names.split()
    for a, b in zip(fast, slow, strict=True):
        assert_same(a, b)
        assert dict(a.header) == {k: v for k, v in b.header.items() if k not in ("", "COMMENT", "HISTORY")}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_mrs_exposures_are_what_was_written(tmp_path: Path, layout: str) -> None:
    table = mrs_table("B-84420171", layout, 4136, seed=3)
    path = write_mrs(tmp_path / mrs_name(), [mrs_table("COADD_B", layout), table])
    coadd, exposure = read_exposures(path, "mrs")
    assert (coadd.coadd, coadd.lmjm, coadd.band) == (True, None, "B")
    assert (exposure.coadd, exposure.lmjm, exposure.band, exposure.snr) == (False, 84420171, "B", 28.5)
    np.testing.assert_array_equal(exposure.flux, np.ravel(table.data["FLUX"]))
    np.testing.assert_array_equal(exposure.mask, np.ravel(table.data["PIXMASK"]) != 0)
    np.testing.assert_array_equal(coadd.mask, read_exposures(path, "mrs", ["COADD_B"])[0].mask)
    assert coadd.mask.any()  # ORMASK, not ANDMASK
    assert (np.diff(exposure.wavelength) > 0).all()
    assert 4897 < exposure.wavelength[0] < exposure.wavelength[-1] < 5405


def test_only_the_extensions_asked_for_are_read(tmp_path: Path) -> None:
    path = write_mrs(tmp_path / mrs_name(), mrs_tables())
    assert [e.extname for e in read_exposures(path, "mrs", ["B-84420194", "B-1"])] == ["B-84420194"]


def test_pixels_listed_from_red_to_blue_are_turned(tmp_path: Path) -> None:
    plain = mrs_table("B-84420171", ROWS)
    turned = mrs_table("B-84420171", ROWS, **{n: plain.data[n][::-1].copy() for n in plain.data.names})
    a = read_exposures(write_mrs(tmp_path / "a.fits", [plain]), "mrs")[0]
    b = read_exposures(write_mrs(tmp_path / "b.fits", [turned]), "mrs")[0]
    assert_same(a, b)


def test_unusual_tables_go_to_astropy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = mrs_table("B-84420171", ROWS)
    bits = np.array(table.data["PIXMASK"])
    unsigned = fits.Column("PIXMASK", "I", array=bits.astype(np.uint16), bzero=32768)
    others = [fits.Column(name, "E", array=table.data[name]) for name in ("FLUX", "IVAR", "LOGLAM")]
    odd = fits.BinTableHDU.from_columns([*others, unsigned], name="B-84420171")
    path = write_mrs(tmp_path / mrs_name(), [odd])
    assert "TZERO4" in open_fits(path)[1].header
    np.testing.assert_array_equal(read_exposures(path, "mrs")[0].mask, bits != 0)
    # A plain table must not need astropy.
    monkeypatch.setattr(fitsfile, "_open_astropy", None)
    assert len(read_exposures(write_mrs(tmp_path / "plain.fits.gz", [table]), "mrs")) == 1


@pytest.mark.parametrize(
    ("columns", "status"),
    [
        ({"FLUX": np.zeros(300, np.float32)}, "zero_flux"),
        ({"FLUX": np.full(300, np.nan, np.float32)}, "nan_flux"),
        ({"PIXMASK": np.ones(300, np.int32)}, "all_masked"),
        ({"IVAR": np.full(300, -1, np.float32)}, "all_masked"),
        ({"IVAR": np.full(300, np.nan, np.float32)}, "all_masked"),
        ({"LOGLAM": np.random.default_rng(1).uniform(3.69, 3.73, 300)}, "wavelength_order"),
        ({"LOGLAM": np.full(300, np.nan)}, "wavelength_order"),
        ({"LOGLAM": np.full(300, 3.7)}, "wavelength_order"),
        ({"IVAR": None}, "missing_column"),
        ({"LOGLAM": None}, "missing_column"),
        ({"PIXMASK": None}, "missing_column"),
    ],
)
def test_a_useless_exposure_does_not_lose_the_others(
    tmp_path: Path, columns: dict[str, np.ndarray], status: str
) -> None:
    tables = [mrs_table("B-84420171", ROWS, **columns), mrs_table("B-84420194", ROWS)]
    bad, good = read_exposures(write_mrs(tmp_path / mrs_name(), tables), "mrs")
    assert (bad.status, good.status) == (status, "ok")
    assert "B-84420171" in bad.message
    assert mrs_name() in bad.message
    assert len(bad.flux) == 0


def test_some_bad_pixels_are_kept_as_they_are(tmp_path: Path) -> None:
    flux = np.ones(300, np.float32)
    flux[5] = np.nan
    ivar = np.ones(300, np.float32)
    ivar[6] = -1
    table = mrs_table("B-84420171", ARRAYS, FLUX=flux, IVAR=ivar)
    (made,) = read_exposures(write_mrs(tmp_path / mrs_name(), [table]), "mrs")
    assert (made.status, made.ivar[6]) == ("ok", -1)
    assert np.isnan(made.flux[5])


def test_bad_files(tmp_path: Path) -> None:
    packed = write_mrs(tmp_path / "whole.fits.gz", mrs_tables(layout=ARRAYS)).read_bytes()
    plain, text = gzip.decompress(packed), b"<html>404 not found</html>"
    path = tmp_path / mrs_name()
    for content, status in (
        (packed[: len(packed) // 2], "truncated"),
        (packed[:400] + bytes(50) + packed[450:], "corrupt"),
        (plain[: len(plain) // 2 // 2880 * 2880 + 17], "truncated"),
        (plain[:2000], "truncated"),  # within the first header
        (plain[:2880], "missing_extension"),
        (text, "not_fits"),
        (gzip.compress(text), "not_fits"),
        (b"", "not_fits"),
    ):
        path.write_bytes(content)
        with pytest.raises(SpectrumError, match=path.name) as caught:
            read_exposures(path, "mrs")
        assert caught.value.status == status


def test_damage_behind_the_exposures_wanted_does_not_matter(tmp_path: Path) -> None:
    path = write_mrs(tmp_path / mrs_name(), mrs_tables(pixel=4136))
    whole = read_exposures(path, "mrs", ["B-84420171"])
    packed = path.read_bytes()
    path.write_bytes(packed[:-2000])
    assert_same(*read_exposures(path, "mrs", ["B-84420171"]), *whole)
    for wanted in (None, ["B-84420171", "B-1"]):
        with pytest.raises(SpectrumError) as caught:
            read_exposures(path, "mrs", wanted)
        assert caught.value.status == "truncated"


def test_gzip_in_several_streams_and_padded(tmp_path: Path) -> None:
    path = write_mrs(tmp_path / mrs_name(), mrs_tables(pixel=4136))
    whole = read_exposures(path, "mrs")
    plain = gzip.decompress(path.read_bytes())
    for cut in (100, 2880, len(plain) // 2):
        path.write_bytes(gzip.compress(plain[:cut]) + gzip.compress(plain[cut:]) + bytes(512))
        for a, b in zip(read_exposures(path, "mrs"), whole, strict=True):
            assert_same(a, b)


def test_missing_and_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(SpectrumError, match="no such file") as caught:
        read_exposures(tmp_path / "none.fits", "mrs")
    assert caught.value.status == "missing_file"
    with pytest.raises(SpectrumError, match="cannot be read") as caught:
        read_exposures(tmp_path, "mrs")
    assert caught.value.status == "unreadable"


def test_header_values(tmp_path: Path) -> None:
    path = write_mrs(tmp_path / mrs_name(), mrs_tables())
    header = open_fits(path)[0].header
    assert (header["OBJNAME"], header["SIMPLE"], header["LMJD"]) == ("it's a star", True, 58625)
    assert header["RA"] == pytest.approx(290.51)
    assert header.get("NOTHING") is None


def test_truncated_real_file(tmp_path: Path) -> None:
    source = sorted(real("lamost-lrs-dr10").glob("*.fits"))[0]
    path = tmp_path / source.name
    path.write_bytes(source.read_bytes()[:60_000])
    with pytest.raises(SpectrumError) as caught:
        read_spectrum(path, "lrs")
    assert caught.value.status == "truncated"


def test_air_wavelengths_are_refused(tmp_path: Path) -> None:
    header = fits.Header({"COEFF0": 3.5682, "COEFF1": 1e-4, "VACUUM": False})
    fits.PrimaryHDU(np.ones((5, 3900), np.float32), header).writeto(tmp_path / "spec.fits")
    with pytest.raises(SpectrumError, match="VACUUM"):
        read_spectrum(tmp_path / "spec.fits", "lrs")


def test_lrs_image_with_and_without_wavelengths(tmp_path: Path) -> None:
    loglam = 3.5682 + 1e-4 * np.arange(3900)
    image = np.ones((5, 3900), np.float32)
    image[3:] = 0
    for name, row, cards in (("with", 10**loglam, {}), ("without", 1, {"COEFF0": 3.5682, "COEFF1": 1e-4})):
        image[2] = row
        fits.PrimaryHDU(image, fits.Header(cards)).writeto(tmp_path / f"{name}.fits")
        made = read_spectrum(tmp_path / f"{name}.fits", "lrs")
        np.testing.assert_allclose(made.wavelength, 10**loglam, rtol=1e-9)
    fits.PrimaryHDU(image).writeto(tmp_path / "neither.fits")
    with pytest.raises(SpectrumError, match="COEFF0"):
        read_spectrum(tmp_path / "neither.fits", "lrs")
