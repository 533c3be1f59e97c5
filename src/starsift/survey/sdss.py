"""SDSS spectra, both layouts, vacuum wavelengths.

From DR8 on ``spec-{plate}-{mjd}-{fiber}.fits``: table ``COADD``, a row a pixel. Until DR7
``spSpec-{mjd}-{plate}-{fiber}.fit``: a primary image whose rows are flux, the same without its continuum,
noise and mask (https://classic.sdss.org/dr7/dm/flatFiles/spSpec.html); some files have a fifth row.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from starsift.errors import SpectrumError
from starsift.survey.fitsfile import Exposure, Hdu, checked, image_shape, number, open_fits, pixels, snap_grid

FILE_NAME = re.compile(r"spec-(?P<plate>\d{4,5})-(?P<mjd>\d{5})-(?P<fiber>\d{4})$")
OLD_FILE_NAME = re.compile(r"spSpec-(?P<mjd>\d{5})-(?P<plate>\d{4,5})-(?P<fiber>\d{3,4})$")
# The row of the pipeline's classification: one name for SDSS-I/II, one for BOSS.
CLASSIFICATIONS = ("SPECOBJ", "SPALL")
# SPEC_CLN of the files until DR7; the others are 0 unknown and 5 sky.
OLD_CLASSES = {1: "STAR", 2: "GALAXY", 3: "QSO", 4: "QSO", 6: "STAR"}

_COLUMNS = ("LOGLAM", "FLUX", "IVAR", "AND_MASK")
_EMISSION_LINE = 0x40000000  # the one bit of the old mask that says nothing against a pixel


def obsid(plate: int, mjd: int, fiber: int) -> int:
    """One number for one SDSS observation; SDSS's own specObjID does not fit a signed 64-bit integer."""
    return (plate * 100_000 + mjd) * 10_000 + fiber


def is_sdss_name(stem: str) -> bool:
    """Whether a file without its ending, or a spectrum, has a name of SDSS's."""
    return (FILE_NAME.match(stem) or OLD_FILE_NAME.match(stem)) is not None


def is_sdss(hdus: Sequence[Hdu]) -> bool:
    """Whether a file says that it holds one spectrum of an SDSS plate, in either layout."""
    header = hdus[0].header
    plate = all(np.isfinite(number(header, key)) for key in ("PLATEID", "MJD", "FIBERID"))
    return plate and (any(hdu.name == "COADD" for hdu in hdus) or _is_old(header))


def _is_old(header: Mapping[str, Any]) -> bool:
    """Whether a primary header describes the image of the releases until DR7."""
    shape = image_shape(header)
    return len(shape) == 2 and shape[0] in (4, 5) and "PLATEID" in header and "COEFF0" in header


def read_sdss(path: str | os.PathLike[str], *, fast: bool = True) -> Exposure:
    """The coadded spectrum of an SDSS file.

    Masked are pixels that are bad in all exposures (``and_mask``), and until DR7 those with any bit of the
    mask but that of a detected emission line.

    Raises
    ------
    SpectrumError
        The file cannot be read or its spectrum cannot be used.
    """
    hdus = open_fits(path, fast=fast)
    header = hdus[0].header
    table = next((hdu for hdu in hdus if hdu.name == "COADD"), None)
    if table is None and _is_old(header):
        arrays = _old_spectrum(str(path), hdus[0])
        return Exposure("PRIMARY", "", None, True, number(header, "SN_G"), *arrays, header=header)
    if table is None:
        raise SpectrumError(
            "missing_extension",
            f"{path}: no extension COADD and no image with PLATEID and COEFF0; not an SDSS spec file",
        )
    where = f"{path}[COADD]"
    columns = table.columns(_COLUMNS)
    missing = [name for name in _COLUMNS if name not in columns]
    if missing:
        raise SpectrumError("missing_column", f"{where}: no column {', '.join(missing)}")
    loglam, flux, ivar, bad = (pixels(where, name, columns[name]) for name in _COLUMNS)
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
        float(snr[0]) if snr is not None and len(snr) else number(header, "SNR"),
        *arrays,
        header=header,
    )


def _old_spectrum(where: str, hdu: Hdu) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    flux, _, noise, mask = hdu.image()[:4]
    start, step = number(hdu.header, "COEFF0", "CRVAL1"), number(hdu.header, "COEFF1", "CD1_1")
    if not (start > 0 and step > 0):
        raise SpectrumError("missing_column", f"{where}: no cards COEFF0 and COEFF1 of its wavelengths")
    # No noise means no measurement there.
    good = np.isfinite(noise) & (noise > 0)
    ivar = np.where(good, 1 / np.where(good, noise, 1).astype(np.float64) ** 2, 0.0)
    bad = np.nan_to_num(mask).astype(np.int64) & ~_EMISSION_LINE
    return checked(where, 10.0 ** (start + step * np.arange(len(flux))), flux, ivar, bad)
