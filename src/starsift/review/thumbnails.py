"""Small plots of spectra: of each column of pixels the lowest and the highest flux."""

import numpy as np

COLUMNS = 200  # at most
LEAST = 10  # pixels in a window; with fewer, the middle fifth of the spectrum is its window
SPIKES = 2e-3  # of the pixels are cut off at either end: cosmic rays
LEVELS = 254  # of the flux above the lowest, which is 1; 0 is a column without a good pixel


def thumbnail(
    wavelength: np.ndarray, flux: np.ndarray, good: np.ndarray, window: tuple[float, float] | None
) -> tuple[np.ndarray, tuple[float, float]]:
    """The envelope of a spectrum, and the wavelengths (Angstrom) at its ends.

    Parameters
    ----------
    wavelength, flux, good : (n,) ascending; flux in any unit; bool
    window : Angstrom, the part that is drawn; None draws the whole spectrum

    Returns (2, columns) uint8, the lowest and the highest flux in each column as a share of the range:
    1 to 255 from bottom to top, 0 where no pixel is good.
    """
    first, last = 0, len(wavelength)
    if window is not None:
        first, last = np.searchsorted(wavelength, window)
        if last - first < LEAST:
            start, end = wavelength[0], wavelength[-1]
            middle = start + 0.4 * (end - start), start + 0.6 * (end - start)
            first, last = np.searchsorted(wavelength, middle)
    flux, good = flux[first:last].astype(float), good[first:last] & np.isfinite(flux[first:last])
    ends = float(wavelength[first]), float(wavelength[last - 1])
    edges = np.linspace(0, last - first, min(COLUMNS, last - first) + 1).astype(int)[:-1]
    if not good.any():
        return np.zeros((2, len(edges)), np.uint8), ends
    cut = SPIKES if len(flux) > 1000 else 0.0
    bottom, top = np.quantile(flux[good], [cut, 1 - cut])
    level = np.clip((flux - bottom) / ((top - bottom) or 1.0), 0.0, 1.0) * LEVELS + 1
    low = np.minimum.reduceat(np.where(good, level, np.inf), edges)
    high = np.maximum.reduceat(np.where(good, level, -np.inf), edges)
    filled = np.isfinite(low)
    return np.round(np.where(filled, [low, high], 0)).astype(np.uint8), ends
