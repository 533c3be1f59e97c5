"""SDSS spectra until DR7, ``spSpec-{mjd}-{plate}-{fiber}.fit``: a primary image.

Its rows are flux, the same without its continuum, noise and mask
(https://classic.sdss.org/dr7/dm/flatFiles/spSpec.html); some files have a fifth row.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from starsift.survey.exposure import Exposure, checked, log_grid
from starsift.survey.fitsfile import Hdu, number
from starsift.survey.readers.base import Reader
from starsift.survey.readers.sdss import index_sdss, is_old, is_plate

_EMISSION_LINE = 0x40000000  # the one bit of the mask that says nothing against a pixel


def _holds(hdus: Sequence[Hdu]) -> bool:
    return is_old(hdus[0].header)


def _recognizes(hdus: Sequence[Hdu]) -> bool:
    return is_plate(hdus[0].header) and _holds(hdus)


def _read(path: str, hdus: Sequence[Hdu], extensions: Collection[str] | None) -> list[Exposure]:
    header = hdus[0].header
    flux, _, noise, mask = hdus[0].image()[:4]
    wavelength = 10.0 ** log_grid(path, header, len(flux), "no cards COEFF0 and COEFF1 of its wavelengths")
    # No noise means no measurement there.
    good = np.isfinite(noise) & (noise > 0)
    ivar = np.where(good, 1 / np.where(good, noise, 1).astype(np.float64) ** 2, 0.0)
    bad = np.nan_to_num(mask).astype(np.int64) & ~_EMISSION_LINE
    arrays = checked(path, wavelength, flux, ivar, bad)
    return [Exposure("PRIMARY", "", None, True, number(header, "SN_G"), *arrays, header=header)]


READER = Reader(
    "sdss", "an SDSS spec file", "image with PLATEID and COEFF0", _recognizes, _holds, _read, index_sdss
)
