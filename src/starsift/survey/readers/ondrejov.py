"""Spectra of the Ondrejov 2 m Perek telescope (CCD700): a table of air wavelengths and fluxes, no errors."""

from collections.abc import Collection, Sequence
from typing import NoReturn

import numpy as np

from starsift.errors import SpectrumError
from starsift.sky.air import air_to_vacuum
from starsift.survey.exposure import Exposure, checked, pixels
from starsift.survey.fitsfile import Hdu
from starsift.survey.identity import UNSUPPORTED
from starsift.survey.readers.base import Reader

_COLUMNS = ("SPECTRAL", "FLUX")


def _holds(hdus: Sequence[Hdu]) -> bool:
    return len(hdus) > 1


def _recognizes(hdus: Sequence[Hdu]) -> bool:
    """By the names that the archive of the CCD700 camera gives."""
    return _holds(hdus) and "ccd700" in " ".join(
        str(hdus[1].header.get(key)) for key in ("DS_IDPUB", "TITLE")
    )


def _read(path: str, hdus: Sequence[Hdu], extensions: Collection[str] | None) -> list[Exposure]:
    """Wavelengths are converted to vacuum. Pixels have no errors: ivar is 1, and the S/N ratio is NaN."""
    where = f"{path}[1]"
    columns = hdus[1].columns(_COLUMNS)
    missing = [name for name in _COLUMNS if name not in columns]
    if missing:
        raise SpectrumError("missing_column", f"{where}: no column {', '.join(missing).lower()}")
    air, flux = (pixels(where, name, columns[name]).astype(np.float64) for name in _COLUMNS)
    arrays = checked(where, air_to_vacuum(air), flux, np.ones_like(flux), np.zeros(len(flux), dtype=bool))
    return [Exposure("1", "", None, True, float("nan"), *arrays, header=hdus[0].header)]


def _index(hdus: Sequence[Hdu]) -> NoReturn:
    raise SpectrumError(
        UNSUPPORTED,
        "a spectrum of Ondrejov's CCD700; the emission search learns from such files: "
        "set emission.labelled.root to their folder",
    )


READER = Reader("ondrejov", "a CCD700 spectrum", "table in extension 1", _recognizes, _holds, _read, _index)
