"""Noisy copies of a sample: what its spectra would look like among those that no pipeline could classify.

A labelled survey is labelled because its spectra are good. The pool's are not, and codes of spectra that are
mostly noise lie elsewhere. So the sample is given copies at the pool's signal-to-noise ratios; docs/mstars.md
tells what they gain.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from starsift.searches.mstars.preprocess import R_BAND, median_snr
from starsift.spectra.resample import LAMOST_LRS

ROWS = 2048


def noisy_copies(
    flux: np.ndarray,
    ivar: np.ndarray,
    zero: np.ndarray,
    *,
    copies: int,
    snr: Sequence[float],
    rng: np.random.Generator,
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Add noise to prepared spectra.

    Parameters
    ----------
    flux, ivar : (n, p) on `LAMOST_LRS`; zero : (n,), where no flux lies in `flux`
    copies : of each spectrum
    snr : lowest and highest median S/N a pixel in r; each copy gets one at random, uniform in its logarithm.
        Spectra that are worse already stay as they are

    Yields
    ------
    rows (m,) that were copied, and their new flux and ivar (m, p), copy by copy, a part at a time. The noise
    has the shape that ivar tells.
    """
    low, high = snr
    wavelength = LAMOST_LRS.wavelength
    for _ in range(copies):
        for start in range(0, len(flux), ROWS):
            rows = np.arange(start, min(start + ROWS, len(flux)))
            now = median_snr(wavelength, flux[rows] - zero[rows, None], ivar[rows], R_BAND)
            wanted = np.exp(rng.uniform(np.log(low), np.log(high), rows.size))
            factor = np.maximum(np.nan_to_num(now, nan=0.0) / wanted, 1.0).astype(np.float32)[:, None]
            good = ivar[rows] > 0
            sigma = np.where(good, 1.0 / np.sqrt(np.where(good, ivar[rows], 1.0)), 0.0).astype(np.float32)
            noise = rng.standard_normal(sigma.shape, np.float32) * sigma * np.sqrt(factor**2 - 1.0)
            yield rows, flux[rows] + noise, ivar[rows] / factor**2
