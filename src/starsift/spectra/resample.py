"""Spectra of any sampling on one fixed grid: rebinning, gaps filled, fluxes scaled.

The grid is uniform in log10(wavelength), so a velocity is the same shift in every pixel.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from starsift.kernels import njit
from starsift.parallel import map_chunks
from starsift.sky.constants import C_KMS

CHUNK = 256  # spectra a thread takes at a time
# A target within this fraction of a pixel of an observed pixel is that pixel: wavelengths in single precision
# are off by 2e-4 of an LRS pixel, which must neither lose the end pixels nor spread a mask.
SNAP = 1e-3


@dataclass(frozen=True)
class LogGrid:
    """Wavelengths uniform in log10: `log10_lambda0` of the first pixel (Angstrom), step `dlog10_lambda`."""

    log10_lambda0: float
    dlog10_lambda: float
    pixels: int

    @property
    def wavelength(self) -> np.ndarray:
        """float64 (pixels,), Angstrom."""
        return np.asarray(10.0 ** (self.log10_lambda0 + self.dlog10_lambda * np.arange(self.pixels)))


# 3700-9099 Angstrom in vacuum: the sampling of LAMOST low-resolution files (COEFF0, COEFF1) and of SDSS.
LAMOST_LRS = LogGrid(3.5682, 1e-4, 3909)


@njit(nogil=True, cache=True, error_model="numpy")
def _resample(
    wavelength: np.ndarray,
    flux: np.ndarray,
    ivar: np.ndarray,
    target: np.ndarray,
    factor: np.ndarray,
    out_flux: np.ndarray,
    out_ivar: np.ndarray,
) -> None:
    n, q = flux.shape
    for s in range(n):
        j = 0
        for i in range(target.size):
            out_flux[s, i] = 0.0
            out_ivar[s, i] = 0.0
            t = target[i] * factor[s]
            while j < q - 2 and wavelength[s, j + 1] <= t:
                j += 1
            width = wavelength[s, j + 1] - wavelength[s, j]
            f = (t - wavelength[s, j]) / width
            if not (-SNAP <= f <= 1.0 + SNAP):
                continue
            # The variance of a sum; an observed pixel without weight does not count, masked or not.
            left = float(ivar[s, j])
            right = float(ivar[s, j + 1])
            if f < SNAP:
                value, weight = float(flux[s, j]), left
            elif f > 1.0 - SNAP:
                value, weight = float(flux[s, j + 1]), right
            elif left > 0.0 and right > 0.0:
                value = (1.0 - f) * flux[s, j] + f * flux[s, j + 1]
                weight = left * right / ((1.0 - f) * (1.0 - f) * right + f * f * left)
            else:
                continue
            if weight > 0.0 and weight < np.inf and np.isfinite(value):
                out_flux[s, i] = value
                out_ivar[s, i] = weight


def resample(
    wavelength: np.ndarray, flux: np.ndarray, ivar: np.ndarray, grid: LogGrid, rv: npt.ArrayLike | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Interpolate spectra linearly onto a grid in their rest frame.

    Parameters
    ----------
    wavelength : (n, q) float64, Angstrom, ascending
    flux, ivar : (n, q); pixels whose flux is not finite or whose ivar is not positive and finite are masked
    grid : LogGrid of p pixels
    rv : (n,) or scalar, km/s, positive receding: the spectrum is read at grid * (1 + rv / c); where NaN (not
        known) and by default it is not shifted

    Returns
    -------
    flux, ivar : (n, p) float32
        Both 0 where the spectrum does not reach or a neighbour that counts is masked. ivar is that of the
        interpolated value; it does not include the correlated noise of neighbouring values.

    Raises ValueError: the shapes do not agree, or there are fewer than two pixels.
    """
    n, q = flux.shape
    if wavelength.shape != (n, q) or ivar.shape != (n, q) or q < 2:
        raise ValueError(
            "spectra to resample must be (n, pixel) with two pixels or more: "
            f"wavelength {wavelength.shape}, flux {flux.shape}, ivar {ivar.shape}"
        )
    velocity = np.zeros(n) if rv is None else np.nan_to_num(np.asarray(rv, np.float64), nan=0.0)
    factor = np.array(np.broadcast_to(1.0 + velocity / C_KMS, (n,)))
    target = grid.wavelength
    out_flux = np.empty((n, grid.pixels), np.float32)
    out_ivar = np.empty((n, grid.pixels), np.float32)

    def work(part: slice) -> None:
        _resample(
            wavelength[part], flux[part], ivar[part], target, factor[part], out_flux[part], out_ivar[part]
        )

    map_chunks(work, n, CHUNK)
    return out_flux, out_ivar


@njit(nogil=True, cache=True)
def _interpolate_gaps(flux: np.ndarray, ivar: np.ndarray, out: np.ndarray) -> None:
    n, pixels = flux.shape
    for s in range(n):
        last = -1  # the good pixel before
        for i in range(pixels):
            if ivar[s, i] > 0.0 and np.isfinite(flux[s, i]):
                out[s, i] = flux[s, i]
                if last < 0:
                    out[s, :i] = flux[s, i]
                elif i - last > 1:
                    slope = (float(flux[s, i]) - float(flux[s, last])) / (i - last)
                    for k in range(last + 1, i):
                        out[s, k] = flux[s, last] + slope * (k - last)
                last = i
        if last < 0:
            out[s, :] = 0.0
        else:
            out[s, last + 1 :] = flux[s, last]


def interpolate_gaps(flux: np.ndarray, ivar: np.ndarray) -> np.ndarray:
    """Fill bad pixels (ivar not positive, flux not finite) linearly between the good ones around them.

    Arrays are (n, p), the result float32; ends take the nearest good pixel, a spectrum without any is all 0.
    """
    out = np.empty(flux.shape, np.float32)
    map_chunks(lambda part: _interpolate_gaps(flux[part], ivar[part], out[part]), len(flux), CHUNK)
    return out


def min_max(flux: np.ndarray, low: float = 0.0, high: float = 1.0) -> np.ndarray:
    """Scale each spectrum (n, p) so that its least flux is `low` and its greatest `high`, float32.

    A spectrum that is constant or not finite becomes all `low`.

    Source: Guo et al. 2019, equation 1.
    """
    least = flux.min(axis=1, keepdims=True)
    span = flux.max(axis=1, keepdims=True) - least
    usable = (span > 0) & np.isfinite(span)
    # Divided, not multiplied by an inverse: the greatest becomes `high` exactly.
    scaled = (flux - least) / np.where(usable, span, 1.0) * (high - low) + low
    return np.where(usable, scaled, low).astype(np.float32)
