"""Common parts of the layouts of SDSS."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from starsift.survey.fitsfile import Hdu, float_card, image_shape, int_card, number
from starsift.survey.names import sdss_identity

# The row of the pipeline's classification: one name for SDSS-I/II, one for BOSS.
CLASSIFICATIONS = ("SPECOBJ", "SPALL")
# SPEC_CLN of the files until DR7; the others are 0 unknown and 5 sky.
_OLD_CLASSES = {1: "STAR", 2: "GALAXY", 3: "QSO", 4: "QSO", 6: "STAR"}


def is_plate(header: Mapping[str, Any]) -> bool:
    """Whether a primary header says that the file is of a fibre of an SDSS plate."""
    return all(np.isfinite(number(header, key)) for key in ("PLATEID", "MJD", "FIBERID"))


def is_old(header: Mapping[str, Any]) -> bool:
    """Whether a primary header describes the image of the releases until DR7."""
    shape = image_shape(header)
    return len(shape) == 2 and shape[0] in (4, 5) and "PLATEID" in header and "COEFF0" in header


def classification(hdus: Sequence[Hdu]) -> Hdu | None:
    """The table that holds the pipeline's classification, if the file has one."""
    return next((hdu for hdu in hdus if hdu.name in CLASSIFICATIONS), None)


def index_sdss(hdus: Sequence[Hdu]) -> list[dict[str, Any]]:
    """The index row of an SDSS file, of either layout."""
    header = hdus[0].header
    plate, mjd, fiber = (int(number(header, key)) for key in ("PLATEID", "MJD", "FIBERID"))
    # RA and DEC are those of the plate; the star is at PLUG_RA and PLUG_DEC, until DR7 at RAOBJ and DECOBJ.
    row = sdss_identity(plate, mjd, fiber) | {
        "ra": float_card(header, "PLUG_RA", "RAOBJ"),
        "dec": float_card(header, "PLUG_DEC", "DECOBJ"),
        "exptime": float_card(header, "EXPTIME"),
        "snr": float_card(header, "SN_G"),
        "class": _OLD_CLASSES.get(int_card(header, "SPEC_CLN") or 0),
    }
    found = classification(hdus)
    if found is not None:
        columns = found.columns(["CLASS", "SUBCLASS", "SN_MEDIAN_ALL"])
        for ours in ("class", "subclass"):
            if ours.upper() in columns:
                value = columns[ours.upper()][0]
                text = value.decode("ascii", "replace") if isinstance(value, bytes) else str(value)
                row[ours] = text.strip()
        if "SN_MEDIAN_ALL" in columns:
            snr = float(columns["SN_MEDIAN_ALL"][0])
            row["snr"] = snr if np.isfinite(snr) else None
    return [row]
