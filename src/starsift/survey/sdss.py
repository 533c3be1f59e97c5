"""SDSS spectra, ``spec-{plate}-{mjd}-{fiber}.fits`` of DR8 on: table ``COADD``, a row a pixel, vacuum."""

from __future__ import annotations

import os
import re

import numpy as np

from starsift.survey.fitsfile import Exposure, SpectrumError, checked, number, open_fits, pixels, snap_grid

FILE_NAME = re.compile(r"spec-(\d{4,5})-(\d{5})-(\d{4})$")
# The row of the pipeline's classification: one name for SDSS-I/II, one for BOSS.
CLASSIFICATIONS = ("SPECOBJ", "SPALL")


def obsid(plate: int, mjd: int, fiber: int) -> int:
    """One number for one SDSS observation; SDSS's own specObjID does not fit a signed 64-bit integer."""
    return (plate * 100_000 + mjd) * 10_000 + fiber


def read_sdss(path: str | os.PathLike[str], *, fast: bool = True) -> Exposure:
    """The coadded spectrum of an SDSS file; pixels that are bad in all exposures (``and_mask``) are masked.

    Raises
    ------
    SpectrumError
        The file cannot be read or its spectrum cannot be used.
    """
    hdus = open_fits(path, fast=fast)
    table = next((hdu for hdu in hdus if hdu.name == "COADD"), None)
    if table is None:
        raise SpectrumError("missing_extension", f"{path}: no extension COADD; not an SDSS spec file")
    where = f"{path}[COADD]"
    names = ("LOGLAM", "FLUX", "IVAR", "AND_MASK")
    columns = table.columns(names)
    missing = [name for name in names if name not in columns]
    if missing:
        raise SpectrumError("missing_column", f"{where}: no column {', '.join(missing)}")
    loglam, flux, ivar, bad = (pixels(where, name, columns[name]) for name in names)
    with np.errstate(over="ignore"):
        wavelength = np.power(10.0, snap_grid(loglam.astype(np.float64)))
    arrays = checked(where, wavelength, flux, ivar, bad)
    row = next((hdu for hdu in hdus if hdu.name in CLASSIFICATIONS), None)
    snr = row.columns(["SN_MEDIAN_ALL"]).get("SN_MEDIAN_ALL") if row is not None else None
    return Exposure(
        "COADD",
        "",
        None,
        True,
        float(snr[0]) if snr is not None and len(snr) else number(hdus[0].header, "SNR"),
        *arrays,
        header=hdus[0].header,
    )
