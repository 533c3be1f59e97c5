"""One spectrum as a survey file has it, and the checks that every layout shares."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from starsift.errors import SpectrumError
from starsift.survey.fitsfile import number
from starsift.survey.identity import OK

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Exposure:
    """One spectrum of a survey file; arrays are all of one length."""

    extname: str  # extension that it came from
    band: str  # B, R, or empty where the arms are joined
    lmjm: int | None  # local modified Julian minute; None for a coadd
    coadd: bool  # whether several exposures are summed
    snr: float  # signal-to-noise ratio of the header, NaN where there is none
    wavelength: np.ndarray  # (pixel,) float64: vacuum Angstrom, ascending
    # flux, ivar: (pixel,) float32, as in the file
    flux: np.ndarray
    ivar: np.ndarray
    mask: np.ndarray  # (pixel,) bool: true where the survey calls the pixel bad
    header: Mapping[str, Any] = field(repr=False)  # header cards of the extension
    # status, message: ok, or the reason why the arrays are empty
    status: str = OK
    message: str = ""

    def usable(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray] | None:
        """Wavelength, flux, ivar and mask; a warning, and None, where they cannot be used."""
        if self.status != OK:
            log.warning("%s: %s", self.status, self.message)
            return None
        return self.wavelength, self.flux, self.ivar, self.mask


def pixels(where: str, name: str, column: np.ndarray) -> np.ndarray:
    """A column of numbers as (pixel,): one value a row, or one row of values."""
    if column.dtype.kind not in "fiub":
        raise SpectrumError("corrupt", f"{where}: column {name} holds {column.dtype}, expected numbers")
    if column.ndim == 1:
        return column
    if column.ndim == 2 and column.shape[0] == 1:
        return column[0]
    raise SpectrumError(
        "length_mismatch", f"{where}: column {name} has shape {column.shape}, expected one spectrum"
    )


def snap_grid(log_wavelength: np.ndarray) -> np.ndarray:
    """Undo the float32 rounding of a survey's grid of 1e-4 dex.

    LAMOST low-resolution and SDSS spectra are sampled at log10 lambda = c0 + 1e-4 i with c0 of four decimals,
    but the files hold it to float32, which is wrong by up to 0.1 km/s. Other grids are returned unchanged.
    """
    grid = np.round(log_wavelength[:1], 4) + 1e-4 * np.arange(len(log_wavelength))
    # 3e-7 dex: float32 keeps log10 lambda to 1.2e-7, and the pipelines rounded twice.
    return grid if np.abs(grid - log_wavelength).max(initial=0.0) < 3e-7 else log_wavelength


def log_grid(where: str, header: Mapping[str, Any], n: int, without: str) -> np.ndarray:
    """log10 of n wavelengths from the cards COEFF0 and COEFF1, or CRVAL1 and CD1_1.

    Raises SpectrumError, status missing_column and message `without`, if there are no such cards.
    """
    start, step = number(header, "COEFF0", "CRVAL1"), number(header, "COEFF1", "CD1_1")
    if not (start > 0 and step > 0):
        raise SpectrumError("missing_column", f"{where}: {without}")
    return np.asarray(start + step * np.arange(n))


def checked(
    where: str, wavelength: np.ndarray, flux: np.ndarray, ivar: np.ndarray, bad: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Arrays of one spectrum in native types, ascending.

    Raises SpectrumError: status length_mismatch, wavelength_order, nan_flux, zero_flux or all_masked.
    """
    if not len(wavelength) == len(flux) == len(ivar) == len(bad):
        lengths = f"{len(wavelength)}, {len(flux)}, {len(ivar)}, {len(bad)}"
        raise SpectrumError(
            "length_mismatch", f"{where}: wavelength, flux, ivar and mask have {lengths} pixels"
        )
    wave = np.asarray(wavelength, dtype=np.float64)
    # Some releases list the pixels from red to blue.
    order = slice(None, None, -1) if len(wave) > 1 and wave[0] > wave[-1] else slice(None)
    wave = wave[order]
    with np.errstate(invalid="ignore"):
        rising = len(wave) > 1 and wave[0] > 0 and wave[-1] < np.inf and bool((wave[1:] > wave[:-1]).all())
    if not rising:
        raise SpectrumError("wavelength_order", f"{where}: wavelengths are not in order")
    values = flux[order].astype(np.float32)
    weights = ivar[order].astype(np.float32)
    mask = (bad[order] != 0).astype(bool)
    finite = np.isfinite(values)
    if not finite.any():
        raise SpectrumError("nan_flux", f"{where}: no flux is a finite number")
    if not values[finite].any():
        raise SpectrumError("zero_flux", f"{where}: every flux is zero")
    with np.errstate(invalid="ignore"):
        good = finite & (weights > 0) & (weights < np.inf) & ~mask
    if not good.any():
        raise SpectrumError("all_masked", f"{where}: no pixel has a usable flux, inverse variance and mask")
    return wave, values, weights, mask
