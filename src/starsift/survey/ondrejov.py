"""Spectra of the Ondrejov 2 m Perek telescope (CCD700): a table of air wavelengths and fluxes, no errors."""

import os
from collections.abc import Sequence

import numpy as np

from starsift.errors import SpectrumError
from starsift.sky.air import air_to_vacuum
from starsift.survey.fitsfile import Exposure, Hdu, checked, open_fits, pixels


def is_ondrejov(hdus: Sequence[Hdu]) -> bool:
    """Whether a file says that it comes from the archive of the CCD700 camera."""
    return len(hdus) > 1 and "ccd700" in " ".join(
        str(hdus[1].header.get(key)) for key in ("DS_IDPUB", "TITLE")
    )


def read_ondrejov(path: str | os.PathLike[str], *, fast: bool = True) -> Exposure:
    """The spectrum of a CCD700 file, its wavelengths converted to vacuum.

    Pixels have no errors: ivar is 1 everywhere, so S/N ratios are not known (NaN).

    Raises
    ------
    SpectrumError
        The file cannot be read or its spectrum cannot be used.
    """
    hdus = open_fits(path, fast=fast)
    names = ("SPECTRAL", "FLUX")
    if len(hdus) < 2:
        raise SpectrumError("missing_extension", f"{path}: no table in extension 1; not a CCD700 spectrum")
    columns = hdus[1].columns(names)
    missing = [name for name in names if name not in columns]
    if missing:
        raise SpectrumError("missing_column", f"{path}[1]: no column {', '.join(missing).lower()}")
    air, flux = (pixels(f"{path}[1]", name, columns[name]).astype(np.float64) for name in names)
    arrays = checked(
        f"{path}[1]", air_to_vacuum(air), flux, np.ones_like(flux), np.zeros(len(flux), dtype=bool)
    )
    return Exposure("1", "", None, True, float("nan"), *arrays, header=hdus[0].header)
