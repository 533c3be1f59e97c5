"""Every real file of every release, read by astropy here and by the readers and the index there."""

import re
import warnings
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from fixtures.survey_files import DATA, assert_same_arrays, real

from starsift.survey.index import index_folder
from starsift.survey.readers.registry import read_exposures, read_spectrum

# Folder, and what its release has: a good OBSID, the fibre flag, S/N in g, header MJD minus LMJD.
LRS = {
    "lamost-lrs-dr1": (False, None, "SN_G", 1),
    "lamost-lrs-dr2-dr3": (False, None, "SNRG SN_G", None),  # DR2 counts up, DR3 down
    "lamost-lrs-dr7": (True, "FIBERMAS", "SNRG", -1),
    "lamost-lrs-dr8": (True, "FIBERMAS", "SNRG", -1),
    "lamost-lrs-dr10": (True, "FIB_MASK", "SNRG", -1),
    "ondrejov-lamost/lamost": (False, None, "SN_G", 1),
}


def files(*folders: str) -> list[Any]:
    """Parameters: one a file, or one that skips where there are none."""
    found = [path for folder in folders for path in sorted((DATA / folder).glob("*.fit*"))]
    return [pytest.param(path, id=f"{path.parent.name}/{path.name}") for path in found] or [
        pytest.param(None, id="none", marks=pytest.mark.skip(f"no real spectra: {DATA} is absent"))
    ]


@cache
def index_of(folder: Path) -> dict[str, list[dict[str, Any]]]:
    rows: dict[str, list[dict[str, Any]]] = {}
    for row in index_folder(folder).to_pylist():
        rows.setdefault(row["path"], []).append(row)
    return rows


def number_of(value: Any) -> float | None:
    return None if value is None else float(value)


@pytest.mark.parametrize("path", files(*LRS))
def test_lamost_low_resolution(path: Path) -> None:
    folder = path.parent.relative_to(DATA).as_posix()
    good_obsid, flag, snr, days = LRS[folder]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # cards that some releases write against the standard
        with fits.open(path, memmap=False) as hdus:
            header = hdus[0].header.copy()
            if "COADD" in hdus:
                row = hdus["COADD"].data[0]
                flux, ivar, wave, andmask = (
                    np.array(row[c]) for c in ("FLUX", "IVAR", "WAVELENGTH", "ANDMASK")
                )
            else:
                flux, ivar, wave, andmask = np.array(hdus[0].data[:4])
    exposure = read_spectrum(path, "lrs")
    assert_same_arrays(exposure, read_spectrum(path, "lrs", fast=False))
    np.testing.assert_array_equal(exposure.flux, flux.astype(np.float32))
    np.testing.assert_array_equal(exposure.ivar, ivar.astype(np.float32))
    np.testing.assert_array_equal(exposure.mask, andmask != 0)
    # The third row of the first releases is the spectrum without its continuum, or 1.
    assert (np.median(wave) < 1000) == (
        "Subcontinuum" in header.get("EXTEN0", "") or folder.endswith("/lamost")
    )
    if np.median(wave) < 1000:
        wave = 10 ** (header["COEFF0"] + header["COEFF1"] * np.arange(len(flux)))
    np.testing.assert_allclose(exposure.wavelength, wave, rtol=5e-7)
    [row] = index_of(path.parent)[path.name]
    assert row.items() >= {"status": "ok", "survey": "lrs", "band": "", "coadd": 1, "lmjm": None}.items()
    assert row["obsid"] == (header["OBSID"] if good_obsid else None)
    if good_obsid:
        # Plan, spectrograph and fibre are in the number.
        assert row["obsid"] % 100_000 == 1000 * header["SPID"] + int(header["FIBERID"])
    else:
        assert header.get("OBSID", -28762) == -28762
    assert row["fibermask"] == (None if flag is None else header[flag])
    assert row["snr"] == pytest.approx(next(header[name] for name in snr.split() if name in header))
    assert exposure.snr == pytest.approx(row["snr"], rel=1e-6)
    # The name is made of the header's identity, and the index takes it from the header.
    lmjd, planid, spid, fiberid = re.match(r"spec-(\d+)-(.+)_sp(\d+)-(\d+)\.", path.name).groups()
    assert (row["lmjd"], row["planid"]) == (header["LMJD"], header["PLANID"].strip()) == (int(lmjd), planid)
    assert (row["spid"], row["fiberid"]) == (int(spid), int(fiberid))
    assert (header["SPID"], int(header["FIBERID"])) == (int(spid), int(fiberid))
    assert row["mjd"] == header["MJD"]
    if days is not None:
        assert row["mjd"] - row["lmjd"] == days
    for name in ("ra", "dec", "exptime"):
        assert row[name] == pytest.approx(float(header[name.upper()]), rel=1e-7), name
    assert (row["class"], row["subclass"]) == (header["CLASS"].strip(), header["SUBCLASS"].strip())


@pytest.mark.parametrize("path", files("lamost-mrs-dr7"))
def test_lamost_medium_resolution(path: Path) -> None:
    exposures, rows = read_exposures(path, "mrs"), index_of(path.parent)[path.name]
    with fits.open(path, memmap=False) as hdus:
        header, tables = hdus[0].header, hdus[1:]
        assert [e.extname for e in exposures] == [table.name for table in tables]
        assert len(rows) == len(tables)
        for exposure, other, row, table in zip(
            exposures, read_exposures(path, "mrs", fast=False), rows, tables, strict=True
        ):
            assert_same_arrays(exposure, other)
            single = "LMJM" in table.header
            assert exposure.lmjm == row["lmjm"] == (int(table.header["LMJM"]) if single else None)
            assert isinstance(table.header.get("LMJM", ""), str)
            assert row["coadd"] == int(not single)
            assert row["band"] == exposure.band == table.name.removeprefix("COADD_")[0]
            assert row["snr"] == pytest.approx(table.header["SNR"])
            assert row["exptime"] == number_of(table.header.get("EXPTIME"))
            assert row["fibermask"] == header["FIBERMAS"]
            assert row["obsid"] == header["OBSID"]
            assert row["obsid"] % 100_000 == 1000 * header["SPID"] + header["FIBERID"]
            for name in ("lmjd", "mjd", "planid", "spid", "fiberid", "ra", "dec"):
                assert row[name] == header[name.upper()], name
            assert row["status"] == "ok"
            if exposure.status == "ok":
                # Exposures of the red arm are written from red to blue.
                data = table.data[::-1] if single and exposure.band == "R" else table.data
                np.testing.assert_array_equal(exposure.flux, data["FLUX"])
                np.testing.assert_array_equal(exposure.ivar, data["IVAR"])
                np.testing.assert_array_equal(exposure.mask, data["PIXMASK" if single else "ORMASK"] != 0)
                np.testing.assert_allclose(
                    exposure.wavelength, 10.0 ** data["LOGLAM"].astype(float), rtol=1e-12
                )
            else:
                assert not table.data["FLUX"].any() or not (table.data["IVAR"] > 0).any()


@pytest.mark.parametrize("path", files("sdss-spec"))
def test_sdss(path: Path) -> None:
    exposure, [row] = read_spectrum(path, "sdss"), index_of(path.parent)[path.name]
    assert_same_arrays(exposure, read_spectrum(path, "sdss", fast=False))
    with fits.open(path, memmap=False) as hdus:
        header, table, line = hdus[0].header, hdus["COADD"].data, hdus[2].data[0]
        np.testing.assert_array_equal(exposure.flux, table["flux"])
        np.testing.assert_array_equal(exposure.ivar, table["ivar"])
        np.testing.assert_array_equal(exposure.mask, table["and_mask"] != 0)
        np.testing.assert_allclose(exposure.wavelength, 10.0 ** table["loglam"].astype(float), rtol=1e-6)
        np.testing.assert_allclose(np.diff(np.log10(exposure.wavelength)), 1e-4, atol=1e-12)
        assert exposure.snr == row["snr"] == pytest.approx(float(line["SN_MEDIAN_ALL"]))
        assert (row["ra"], row["dec"]) == pytest.approx((line["PLUG_RA"], line["PLUG_DEC"]), abs=1e-9)
        assert (row["class"], row["subclass"]) == (line["CLASS"].strip(), line["SUBCLASS"].strip())
        plate, mjd, fiber = header["PLATEID"], header["MJD"], header["FIBERID"]
    assert (row["planid"], row["lmjd"], row["mjd"], row["fiberid"]) == (str(plate), mjd, mjd, fiber)
    assert path.name == f"spec-{plate:04d}-{mjd}-{fiber:04d}.fits"
    assert row["obsid"] == (plate * 100_000 + mjd) * 10_000 + fiber
    assert (row["survey"], row["status"], row["fibermask"]) == ("sdss", "ok", None)


def test_sdss_until_dr7() -> None:
    path = real("cases") / "spSpec-52203-0685-425.fit"
    exposure, [row] = read_spectrum(path, "sdss"), index_of(path.parent)[path.name]
    assert_same_arrays(exposure, read_spectrum(path, "sdss", fast=False))
    with fits.open(path) as hdus:
        header = hdus[0].header
        flux, without, noise, mask = np.array(hdus[0].data[:4])
    np.testing.assert_array_equal(exposure.flux, flux)
    np.testing.assert_array_equal(exposure.ivar == 0, noise == 0)
    seen = noise > 0
    np.testing.assert_allclose(exposure.ivar[seen], 1 / noise[seen].astype(float) ** 2, rtol=1e-6)
    assert not np.allclose(exposure.ivar, without)
    np.testing.assert_array_equal(exposure.mask, mask != 0)
    np.testing.assert_allclose(
        np.log10(exposure.wavelength), header["COEFF0"] + header["COEFF1"] * np.arange(len(flux)), atol=1e-12
    )
    expected = {"survey": "sdss", "status": "ok", "planid": "685", "lmjd": 52203, "fiberid": 425}
    expected |= {"ra": 1.0, "dec": 2.0, "obsid": 685522030425, "snr": None}
    assert {name: row[name] for name in expected} == expected


@pytest.mark.parametrize("path", files("ondrejov-lamost/ondrejov"))
def test_ondrejov(path: Path) -> None:
    exposure = read_spectrum(path, "ondrejov")
    assert_same_arrays(exposure, read_spectrum(path, "ondrejov", fast=False))
    with fits.open(path, memmap=False) as hdus:
        np.testing.assert_array_equal(exposure.flux, hdus[1].data["flux"].astype(np.float32))
        air = np.array(hdus[1].data["spectral"])
    # Morton 1991: 1.000276 at H alpha.
    np.testing.assert_allclose(exposure.wavelength / air, 1.000276, atol=2e-6)
    [row] = index_of(path.parent)[path.name]
    assert (row["status"], row["survey"]) == ("unsupported_spectrum", None)
    assert "Ondrejov" in row["message"]


def test_index_of_all_real_files() -> None:
    """Each file is named for what it is; those of no survey are few and known."""
    real("lamost-lrs-dr1")
    rows = index_folder(DATA).to_pylist()
    found: dict[tuple[str, str | None, str], set[str]] = {}
    for row in rows:
        folder = row["path"].rsplit("/", 1)[0]
        found.setdefault((folder, row["survey"], row["status"]), set()).add(row["path"])
    expected = {(folder, "lrs", "ok") for folder in LRS} | {
        ("ondrejov-lamost", "lrs", "ok"),  # bt-cmi-lamost.fits
        ("ondrejov-lamost", None, "unsupported_spectrum"),
        ("ondrejov-lamost/ondrejov", None, "unsupported_spectrum"),
        ("harps", None, "unsupported_spectrum"),
        ("lamost-mrs-dr7", "mrs", "ok"),
        ("sdss-spec", "sdss", "ok"),
        ("cases", "sdss", "ok"),
        ("cases", None, "not_a_spectrum"),
        ("sdss-frame", None, "not_a_spectrum"),
    }
    ours = {place for place, _, _ in expected}
    assert {key for key in found if key[0] in ours} == expected
    assert len(found["lamost-lrs-dr1", "lrs", "ok"]) == 24
    assert found["cases", "sdss", "ok"] == {"cases/spSpec-52203-0685-425.fit"}
    assert found["cases", None, "not_a_spectrum"] == {"cases/an-image.fits"}
    for row in rows:
        assert (row["message"] is None) == (row["status"] == "ok")
        assert row["message"] is None or row["message"].startswith(row["path"])
