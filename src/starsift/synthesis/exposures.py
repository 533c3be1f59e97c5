"""Simulated exposures as batches of spectra."""

import numpy as np

from starsift.spectra.batches import SpectrumBatch


def anonymous_batch(
    wavelength: np.ndarray, flux: np.ndarray, ivar: np.ndarray, mask: np.ndarray, snr: np.ndarray
) -> SpectrumBatch:
    """A batch of (n, pixel) arrays whose spectra have numbers in place of an identity."""
    n = len(flux)
    identity = {
        "spectrum_id": [f"simulated-{i}" for i in range(n)],
        "obsid": np.arange(n),
        "planid": ["simulated"] * n,
        "spid": np.ones(n, np.int8),
        "fiberid": np.ones(n, np.int16),
        "lmjd": np.zeros(n, np.int32),
        "lmjm": np.zeros(n, np.int64),
        "band": ["B"] * n,
        "snr": snr,
    }
    return SpectrumBatch.from_arrays(identity, wavelength, flux, ivar, mask)


def draw_snr(rng: np.random.Generator, n: int, low: float, high: float) -> np.ndarray:
    """Signal-to-noise ratios (n,), log-uniform."""
    return np.exp(rng.uniform(np.log(low), np.log(high), n))
