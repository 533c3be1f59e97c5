"""Common parts of the layouts of LAMOST; `docs/formats.md` lists the releases card by card."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from starsift.errors import SpectrumError
from starsift.survey.exposure import checked, pixels, snap_grid
from starsift.survey.fitsfile import Hdu, float_card, int_card, number, text_card

# Fibre flag: an 8-character card until DR8, another name later.
FIBER_FLAGS = ("FIB_MASK", "FIBERMAS", "FIBMASK")
# S/N of a low-resolution spectrum in g: DR3 to now, DR1 and DR2.
LRS_SNR = ("SNRG", "SN_G", "SNR")
# In LRS coadds ORMASK marks a pixel that any exposure lost, although the sum is good; ANDMASK is fair.
LRS_MASKS = ("ANDMASK", "AND_MASK", "ORMASK", "OR_MASK")

_MIN_OBSID = 100_000  # plan, spectrograph and fibre in one number; less is what is left of an overflow


def is_lamost(header: Mapping[str, Any]) -> bool:
    """Whether a primary header says that the file is an observation of LAMOST's, or imitates one."""
    named = "LAMOST" in str(header.get("TELESCOP")).upper()
    return named or all(key in header for key in ("PLANID", "SPID", "FIBERID", "LMJD"))


def check_lrs(path: str, hdus: Sequence[Hdu]) -> None:
    """Raise `SpectrumError` other_survey or not_vacuum for what is no low-resolution spectrum of LAMOST."""
    header = hdus[0].header
    telescope = str(header.get("TELESCOP") or "LAMOST")
    if "LAMOST" not in telescope.upper():
        raise SpectrumError("other_survey", f"{path}: TELESCOP is {telescope}; not LRS")
    if header.get("VACUUM") is False:
        raise SpectrumError("not_vacuum", f"{path}: VACUUM = F, expected wavelengths in vacuum")


def read_columns(
    where: str, hdu: Hdu, masks: Sequence[str], *, snap: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Wavelength, flux, ivar and mask of a table: a row a pixel, or one row of arrays.

    Parameters
    ----------
    where : file and extension, for messages
    masks : names of columns of masks, the first one that there is counts
    snap : whether the grid is one of 1e-4 dex, see `snap_grid`

    Raises SpectrumError: columns are missing, or the spectrum cannot be used.
    """
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


def index_cards(header: Mapping[str, Any]) -> dict[str, Any]:
    """Columns of the index that a primary header of LAMOST's holds; those it lacks are left out."""
    obsid = int_card(header, "OBSID")
    known = {
        "obsid": None if obsid is None or obsid < _MIN_OBSID else obsid,
        "planid": text_card(header, "PLANID"),
        "spid": int_card(header, "SPID"),
        "fiberid": int_card(header, "FIBERID"),
        "lmjd": int_card(header, "LMJD"),
        "mjd": int_card(header, "MJD"),
        "fibermask": int_card(header, *FIBER_FLAGS),
        "ra": float_card(header, "RA"),
        "dec": float_card(header, "DEC"),
        "exptime": float_card(header, "EXPTIME"),
        "class": text_card(header, "CLASS"),
        "subclass": text_card(header, "SUBCLASS"),
    }
    return {"bad_b": 0, "bad_r": 0} | {k: v for k, v in known.items() if v is not None}


def release(header: Mapping[str, Any]) -> int:
    """Number of the data release that made a file, 0 where it does not say (until DR2)."""
    found = re.search(r"DR(\d+)", str(header.get("DATA_V")))
    return int(found[1]) if found else 0


def index_lrs(hdus: Sequence[Hdu]) -> list[dict[str, Any]]:
    """The index row of a low-resolution file, of either layout."""
    header = hdus[0].header
    cards = " ".join(str(header.get(f"LMJMLIS{end}") or "") for end in ("T", *range(10)))
    known = {
        "survey": "lrs",
        "band": "",
        "coadd": 1,
        "snr": float_card(header, *LRS_SNR),
        "release": release(header),
        "minutes": {int(minute) for minute in re.findall(r"\d+", cards)},
    }
    return [index_cards(header) | known]


def lrs_snr(header: Mapping[str, Any]) -> float:
    """Signal-to-noise ratio of a low-resolution spectrum in g, NaN where the header has none."""
    return number(header, *LRS_SNR)
