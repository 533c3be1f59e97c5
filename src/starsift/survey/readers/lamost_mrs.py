"""Medium-resolution spectra of LAMOST (MRS).

Extensions ``COADD_B``, ``COADD_R`` and one for each exposure and arm (``B-84420171``). Until DR8 a table row
is a pixel, from DR9 on one row holds arrays; the columns are the same. Wavelengths are vacuum and
heliocentric.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from starsift.errors import SpectrumError
from starsift.survey.exposure import Exposure
from starsift.survey.fitsfile import Hdu, column_names, float_card, number
from starsift.survey.identity import OK
from starsift.survey.readers.base import Reader
from starsift.survey.readers.lamost import index_cards, is_lamost, read_columns, release

_EXTENSION = re.compile(r"(?:COADD_([BR])|([BR])-(\d+))$")
# Exposures carry PIXMASK; of a coadd's two masks the stricter one is that of the survey's own users.
_MASKS = ("PIXMASK", "ORMASK", "OR_MASK", "ANDMASK", "AND_MASK")
_NO_PIXELS = (np.empty(0), np.empty(0, np.float32), np.empty(0, np.float32), np.empty(0, bool))


def _recognizes(hdus: Sequence[Hdu]) -> bool:
    """By the header, or by the columns."""
    lamost = is_lamost(hdus[0].header)
    return any(
        _EXTENSION.match(hdu.name) and (lamost or {"FLUX", "IVAR"} <= set(column_names(hdu.header)))
        for hdu in hdus
    )


def _holds(hdus: Sequence[Hdu]) -> bool:
    return any(_EXTENSION.match(hdu.name) for hdu in hdus)


def _read(path: str, hdus: Sequence[Hdu], extensions: Collection[str] | None) -> list[Exposure]:
    exposures = []
    for hdu in hdus:
        match = _EXTENSION.match(hdu.name)
        if not match or (extensions is not None and hdu.name not in extensions):
            continue
        status, message = OK, ""
        try:
            arrays = read_columns(f"{path}[{hdu.name}]", hdu, _MASKS, snap=False)
        except SpectrumError as error:
            arrays, status, message = _NO_PIXELS, error.status, str(error)
        minute = int(match[3]) if match[3] else None
        snr = number(hdu.header, "SNR")
        exposures.append(
            Exposure(
                hdu.name,
                match[1] or match[2],
                minute,
                minute is None,
                snr,
                *arrays,
                hdu.header,
                status,
                message,
            )
        )
    return exposures


def _index(hdus: Sequence[Hdu]) -> list[dict[str, Any]]:
    """A row an exposure and arm, coadds included."""
    header = hdus[0].header
    shared = index_cards(header) | {"survey": "mrs", "release": release(header)}
    rows = []
    for hdu in hdus:
        if match := _EXTENSION.match(hdu.name):
            row = shared | {
                "band": match[1] or match[2],
                "coadd": 0 if match[3] else 1,
                "lmjm": int(match[3]) if match[3] else None,
                "snr": float_card(hdu.header, "SNR"),
            }
            exptime = float_card(hdu.header, "EXPTIME")
            rows.append(row if exptime is None else row | {"exptime": exptime})
    minutes = {row["lmjm"] for row in rows} - {None}
    for row in rows:
        row["minutes"] = minutes
    return rows


READER = Reader(
    "mrs", "an MRS file", "extension COADD_B, COADD_R, B-... or R-...", _recognizes, _holds, _read, _index
)
