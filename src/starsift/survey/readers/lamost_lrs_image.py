"""Low-resolution spectra of LAMOST (LRS) as files until DR7, and some of DR8, have them.

The primary unit is an image (5, pixel) whose rows are flux, ivar, wavelength, andmask and ormask.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from starsift.survey.exposure import Exposure, checked, log_grid, snap_grid
from starsift.survey.fitsfile import Hdu, image_shape
from starsift.survey.readers.base import Reader
from starsift.survey.readers.lamost import check_lrs, index_lrs, is_lamost, lrs_snr

_ROWS = 5


def _holds(hdus: Sequence[Hdu]) -> bool:
    shape = image_shape(hdus[0].header)
    return len(shape) == 2 and shape[0] >= _ROWS


def _recognizes(hdus: Sequence[Hdu]) -> bool:
    header = hdus[0].header
    shape = image_shape(header)
    return is_lamost(header) and len(shape) == 2 and shape[0] == _ROWS


def _read(path: str, hdus: Sequence[Hdu], extensions: Collection[str] | None) -> list[Exposure]:
    header = hdus[0].header
    flux, ivar, wavelength, andmask = np.asarray(hdus[0].image())[:4]
    wave = wavelength.astype(np.float64)
    if (wave > 1000.0).all():
        log_wavelength = snap_grid(np.log10(wave))
    else:  # the first releases have no wavelengths in row three
        log_wavelength = log_grid(
            path, header, len(flux), "no row of wavelengths and no cards COEFF0, COEFF1"
        )
    arrays = checked(path, 10.0**log_wavelength, flux, ivar, andmask)
    return [Exposure("PRIMARY", "", None, True, lrs_snr(header), *arrays, header=header)]


READER = Reader("lrs", "LRS", "primary image (5, n)", _recognizes, _holds, _read, index_lrs, check_lrs)
