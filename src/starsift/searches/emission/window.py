"""Windows of 140 fluxes around H alpha, the input of the network; domain transfer from Ondrejov to LAMOST.

Skoda et al. 2020, section 3.2.
"""

import numpy as np
from scipy.ndimage import gaussian_filter1d

from starsift.kernels import njit
from starsift.parallel import map_chunks
from starsift.searches.emission.classes import PIXELS
from starsift.spectra.batches import MASK_IVAR, OK, SpectrumBatch
from starsift.spectra.resample import min_max
from starsift.spectra.windows import Windows, give_reasons

WAVELENGTH = np.linspace(6519.0, 6732.0, PIXELS)  # vacuum Angstrom
CHUNK = 256


@njit(nogil=True, cache=True)
def _good(flux: float, ivar: float, mask: int) -> bool:
    # The peak of a strong emission line often has a flux but no weight: the survey takes it for a cosmic ray.
    return ivar > 0.0 or (mask == MASK_IVAR and flux != 0.0)


@njit(nogil=True, cache=True, error_model="numpy")
def _interpolate(
    wavelength: np.ndarray,
    flux: np.ndarray,
    ivar: np.ndarray,
    mask: np.ndarray,
    target: np.ndarray,
    out: np.ndarray,
) -> np.ndarray:
    """Fluxes at `target`, linear between good pixels; returns the share of good pixels, -1 if not covered."""
    n, q = flux.shape
    share = np.empty(n)
    for s in range(n):
        out[s, :] = 0.0
        first = np.searchsorted(wavelength[s], target[0], side="right") - 1
        last = np.searchsorted(wavelength[s], target[-1], side="left")
        share[s] = -1.0
        if first < 0 or last >= q:
            continue
        good = 0
        for j in range(first, last + 1):
            good += _good(flux[s, j], ivar[s, j], mask[s, j])
        share[s] = good / (last + 1 - first)
        if good == 0:
            continue
        # The good pixels on both sides of each target; beyond the outermost ones their values are repeated.
        left, right = -1, first
        for i in range(target.size):
            while right <= last:
                if _good(flux[s, right], ivar[s, right], mask[s, right]):
                    if wavelength[s, right] >= target[i]:
                        break
                    left = right
                right += 1
            if left < 0:
                out[s, i] = flux[s, right]
            elif right > last:
                out[s, i] = flux[s, left]
            else:
                f = (target[i] - wavelength[s, left]) / (wavelength[s, right] - wavelength[s, left])
                out[s, i] = (1.0 - f) * flux[s, left] + f * flux[s, right]
    return share


def window(batch: SpectrumBatch, *, min_good: float) -> Windows:
    """Cut and scale the windows of a batch of n spectra.

    Fluxes are interpolated linearly between good pixels to `WAVELENGTH`, then scaled to [-1, 1]. Pixels with
    a flux but no weight count as good: often they are the peak of an emission line.

    Parameters
    ----------
    min_good : share of the window's observed pixels that must be good

    Returns Windows. The status of a spectrum without a window is that of the batch, ``no_window`` (its
    wavelengths do not cover the window), ``too_few_pixels`` or ``constant``.

    Source: Skoda et al. 2020, section 3.2 and equation 3.
    """
    flux = np.empty((batch.n, PIXELS), np.float32)
    status = np.array(batch.identity["status"].to_pylist(), dtype=object)

    def work(part: slice) -> None:
        share = _interpolate(
            batch.wavelength[part],
            batch.flux[part],
            batch.ivar[part],
            batch.mask[part],
            WAVELENGTH,
            flux[part],
        )
        span = np.ptp(flux[part], axis=1)
        flux[part] = min_max(flux[part], -1.0, 1.0)
        reasons = (
            (share < 0, "no_window"),
            (share < min_good, "too_few_pixels"),
            (~((span > 0) & np.isfinite(span)), "constant"),
        )
        give_reasons(status[part], reasons)

    map_chunks(work, batch.n, CHUNK)
    flux[status != OK] = -1.0
    return Windows(flux, status)


def transfer(flux: np.ndarray, *, sigma: float) -> np.ndarray:
    """Blur a CCD700 spectrum (p,) to the resolution of LAMOST, float64, by a Gaussian of `sigma` pixels.

    With its wavelengths in vacuum (`starsift.survey.readers.ondrejov`) and `window`, this is the whole
    transfer from one telescope to the other. Source: Skoda et al. 2020, section 3.2.
    """
    flux = np.asarray(flux, np.float64)
    return np.asarray(gaussian_filter1d(flux, sigma, mode="nearest")) if sigma > 0 else flux
