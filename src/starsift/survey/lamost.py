"""LAMOST spectra, every layout from DR1 on.

Medium resolution (MRS): extensions ``COADD_B``, ``COADD_R`` and one for each exposure and arm
(``B-84420171``). Until DR8 a table row is a pixel, from DR9 on one row holds arrays. Low resolution (LRS): an
image (5, pixel) in the primary unit until DR7 and in files of DR8, a one-row table ``COADD`` later. All
wavelengths are vacuum and heliocentric. `docs/formats.md` lists the releases card by card.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from starsift.errors import SpectrumError
from starsift.survey.fitsfile import (
    Exposure,
    Hdu,
    checked,
    column_names,
    image_shape,
    number,
    open_fits,
    pixels,
    snap_grid,
)

MRS_EXTENSION = re.compile(r"(?:COADD_([BR])|([BR])-(\d+))$")
FILE_NAME = re.compile(r"(med|spec)-(\d{5})-(.+)_sp(\d{2})-(\d{3})$")

# Exposures carry PIXMASK; of a coadd's two masks the stricter one is that of the survey's own users.
_MRS_MASKS = ("PIXMASK", "ORMASK", "OR_MASK", "ANDMASK", "AND_MASK")
# In LRS coadds ORMASK marks a pixel that any exposure lost, although the sum is good; ANDMASK is fair.
_LRS_MASKS = ("ANDMASK", "AND_MASK", "ORMASK", "OR_MASK")

# Fibre flag: an 8-character card until DR8, another name later.
FIBER_FLAGS = ("FIB_MASK", "FIBERMAS", "FIBMASK")
# S/N in g: DR3 to now, DR1 and DR2.
LRS_SNR = ("SNRG", "SN_G", "SNR")


def is_lamost(header: Mapping[str, Any]) -> bool:
    """Whether a primary header says that the file is an observation of LAMOST's, or imitates one."""
    named = "LAMOST" in str(header.get("TELESCOP")).upper()
    return named or all(key in header for key in ("PLANID", "SPID", "FIBERID", "LMJD"))


def is_mrs(hdus: Sequence[Hdu]) -> bool:
    """Whether a file holds medium-resolution spectra of LAMOST: by its header, or by its columns."""
    lamost = is_lamost(hdus[0].header)
    return any(
        MRS_EXTENSION.match(hdu.name) and (lamost or {"FLUX", "IVAR"} <= set(column_names(hdu.header)))
        for hdu in hdus
    )


def is_lrs(hdus: Sequence[Hdu]) -> bool:
    """Whether a file holds a low-resolution spectrum of LAMOST, in either layout."""
    header = hdus[0].header
    if not is_lamost(header):
        return False
    shape = image_shape(header)
    return any(hdu.name == "COADD" for hdu in hdus) or (len(shape) == 2 and shape[0] == 5)


def read_mrs(
    path: str | os.PathLike[str], extensions: Collection[str] | None = None, *, fast: bool = True
) -> list[Exposure]:
    """Spectra of a medium-resolution file.

    Parameters
    ----------
    extensions : collection of str, optional
        Names of those to decode, e.g. ``B-84420171``; by default all. Names that the file lacks are left out.
    fast : bool
        False reads with astropy only.

    Returns
    -------
    list of Exposure
        In file order. A useless exposure has a ``status`` and empty arrays, the others are not lost with it.

    Raises
    ------
    SpectrumError
        The file as a whole cannot be read, or has no MRS extension.
    """
    hdus = open_fits(path, extensions, fast=fast)
    found = [(hdu, match) for hdu in hdus if (match := MRS_EXTENSION.match(hdu.name))]
    if not found:
        raise SpectrumError(
            "missing_extension", f"{path}: no extension COADD_B, COADD_R, B-... or R-...; not an MRS file"
        )
    exposures = []
    for hdu, match in found:
        if extensions is not None and hdu.name not in extensions:
            continue
        known: dict[str, Any] = {
            "extname": hdu.name,
            "band": match[1] or match[2],
            "lmjm": int(match[3]) if match[3] else None,
            "coadd": match[3] is None,
            "snr": number(hdu.header, "SNR"),
            "header": hdu.header,
        }
        try:
            wavelength, flux, ivar, mask = _table_spectrum(f"{path}[{hdu.name}]", hdu, _MRS_MASKS, snap=False)
        except SpectrumError as error:
            none = np.empty(0)
            exposures.append(
                Exposure(
                    **known,
                    wavelength=none,
                    flux=none.astype(np.float32),
                    ivar=none.astype(np.float32),
                    mask=none.astype(bool),
                    status=error.status,
                    message=str(error),
                )
            )
            continue
        exposures.append(Exposure(**known, wavelength=wavelength, flux=flux, ivar=ivar, mask=mask))
    return exposures


def read_lrs(path: str | os.PathLike[str], *, fast: bool = True) -> Exposure:
    """The spectrum of a low-resolution file, both layouts.

    Raises
    ------
    SpectrumError
        The file cannot be read or its spectrum cannot be used.
    """
    hdus = open_fits(path, fast=fast)
    header = hdus[0].header
    telescope = str(header.get("TELESCOP") or "LAMOST")
    if "LAMOST" not in telescope.upper():
        raise SpectrumError("other_survey", f"{path}: TELESCOP is {telescope}; not LRS")
    if header.get("VACUUM") is False:
        raise SpectrumError("not_vacuum", f"{path}: VACUUM = F, expected wavelengths in vacuum")
    table = next((hdu for hdu in hdus if hdu.name == "COADD"), None)
    if table is not None:
        arrays = _table_spectrum(f"{path}[COADD]", table, _LRS_MASKS, snap=True)
    elif len(shape := image_shape(header)) == 2 and shape[0] >= 5:
        arrays = _image_spectrum(str(path), hdus[0])
    else:
        raise SpectrumError(
            "missing_extension",
            f"{path}: no extension COADD and no primary image (5, n); not LRS",
        )
    return Exposure(
        "COADD" if table is not None else "PRIMARY",
        "",
        None,
        True,
        number(header, *LRS_SNR),
        *arrays,
        header=header,
    )


def _table_spectrum(
    where: str, hdu: Hdu, masks: Sequence[str], *, snap: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    columns = hdu.columns(["FLUX", "IVAR", "WAVELENGTH", "LOGLAM", *masks])
    missing = [name for name in ("FLUX", "IVAR") if name not in columns]
    if "WAVELENGTH" not in columns and "LOGLAM" not in columns:
        missing.append("WAVELENGTH or LOGLAM")
    mask = next((name for name in masks if name in columns), None)
    if mask is None:
        missing.append(" or ".join(name for name in masks if "_" not in name))
    if missing or mask is None:
        raise SpectrumError("missing_column", f"{where}: no column {', '.join(missing)}")
    if "WAVELENGTH" in columns:
        wavelength = pixels(where, "WAVELENGTH", columns["WAVELENGTH"]).astype(np.float64)
        if snap:
            with np.errstate(invalid="ignore", divide="ignore"):
                log_wavelength = np.log10(wavelength)
            snapped = snap_grid(log_wavelength)
            wavelength = wavelength if snapped is log_wavelength else 10.0**snapped
    else:
        log_wavelength = pixels(where, "LOGLAM", columns["LOGLAM"]).astype(np.float64)
        with np.errstate(over="ignore"):
            wavelength = np.power(10.0, snap_grid(log_wavelength) if snap else log_wavelength)
    flux, ivar, bad = (pixels(where, name, columns[name]) for name in ("FLUX", "IVAR", mask))
    return checked(where, wavelength, flux, ivar, bad)


def _image_spectrum(where: str, hdu: Hdu) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Rows flux, ivar, wavelength, andmask, ormask; the first releases have no wavelengths in row three."""
    flux, ivar, wavelength, andmask = np.asarray(hdu.image())[:4]
    wave = wavelength.astype(np.float64)
    if (wave > 1000.0).all():
        log_wavelength = snap_grid(np.log10(wave))
    else:
        start, step = number(hdu.header, "COEFF0", "CRVAL1"), number(hdu.header, "COEFF1", "CD1_1")
        if not (start > 0 and step > 0):
            raise SpectrumError(
                "missing_column", f"{where}: no row of wavelengths and no cards COEFF0, COEFF1"
            )
        log_wavelength = start + step * np.arange(len(flux))
    return checked(where, 10.0**log_wavelength, flux, ivar, andmask)
