"""SDSS spectra from DR8 on, ``spec-{plate}-{mjd}-{fiber}.fits``: table ``COADD``, a row a pixel."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from starsift.errors import SpectrumError
from starsift.survey.exposure import Exposure, checked, pixels, snap_grid
from starsift.survey.fitsfile import Hdu, find_hdu, number
from starsift.survey.readers.base import Reader
from starsift.survey.readers.sdss import classification, index_sdss, is_plate

# Masked are the pixels that are bad in all exposures.
_COLUMNS = ("LOGLAM", "FLUX", "IVAR", "AND_MASK")


def _holds(hdus: Sequence[Hdu]) -> bool:
    return find_hdu(hdus, "COADD") is not None


def _recognizes(hdus: Sequence[Hdu]) -> bool:
    return is_plate(hdus[0].header) and _holds(hdus)


def _read(path: str, hdus: Sequence[Hdu], extensions: Collection[str] | None) -> list[Exposure]:
    table, header = find_hdu(hdus, "COADD"), hdus[0].header
    assert table is not None
    where = f"{path}[COADD]"
    columns = table.columns(_COLUMNS)
    missing = [name for name in _COLUMNS if name not in columns]
    if missing:
        raise SpectrumError("missing_column", f"{where}: no column {', '.join(missing)}")
    loglam, flux, ivar, bad = (pixels(where, name, columns[name]) for name in _COLUMNS)
    with np.errstate(over="ignore"):
        wavelength = np.power(10.0, snap_grid(loglam.astype(np.float64)))
    arrays = checked(where, wavelength, flux, ivar, bad)
    row = classification(hdus)
    median = row.columns(["SN_MEDIAN_ALL"]).get("SN_MEDIAN_ALL") if row is not None else None
    snr = float(median[0]) if median is not None and len(median) else number(header, "SNR")
    return [Exposure("COADD", "", None, True, snr, *arrays, header=header)]


READER = Reader("sdss", "an SDSS spec file", "extension COADD", _recognizes, _holds, _read, index_sdss)
