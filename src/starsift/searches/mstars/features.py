"""Features of spectra, input of the hashers: fluxes as published, or the depths of broad bands."""

import numpy as np

from starsift.errors import TrainingError
from starsift.parallel import map_chunks
from starsift.spectra.resample import min_max

REPRESENTATIONS = ("bands", "flux")
CHUNK = 512  # spectra at a time
# Gaussian sigmas of bands and of the continuum, pixels; depth of bands relative to the continuum.
NARROW, WIDE, DEPTH = 10.0, 250.0, 0.05
BIN = 8  # pixels: the features' sampling; bands are wider, velocities of stars shift them by less


def represent(flux: np.ndarray, ivar: np.ndarray, zero: np.ndarray, representation: str) -> np.ndarray:
    """Features of prepared spectra, input of the hashers: (n, p) or (n, p // 8) float32.

    `flux` and `ivar` (n, p) are those of `mstars.preprocess.Prepared`, `zero` (n,) is where no flux lies in
    `flux`.
    """
    if representation == "flux":
        return min_max(flux)  # added noise may have left the range
    if representation == "bands":
        return spectral_features(flux - zero[:, None], ivar)
    raise TrainingError(f"representation is {representation!r}: expected one of {', '.join(REPRESENTATIONS)}")


def spectral_features(flux: np.ndarray, ivar: np.ndarray) -> np.ndarray:
    """Depths of broad bands, free of flux calibration and with the noise shrunk away.

    Inverse-variance weighted means over `NARROW` pixels are divided by those over `WIDE` ones, the shape that
    calibration and reddening change. Each depth is then shrunk by 1 / (1 + variance / DEPTH^2), the weight of
    a Wiener filter for bands of typical depth `DEPTH`: where noise outweighs signal, it is near 0.

    Parameters
    ----------
    flux, ivar : (n, p) float32 on a grid uniform in log wavelength, any flux units; ivar 0 in bad pixels,
        whose flux is not used

    Returns (n, p // 8) float32, each row scaled to unit mean square; 0 where a spectrum has no good pixels.
    """
    bins = flux.shape[1] // BIN
    kernels = [_kernel(bins, sigma / BIN) for sigma in (NARROW, WIDE)]
    squared = kernels[0] ** 2

    def work(part: slice) -> np.ndarray:
        shape = (-1, bins, BIN)
        values, w = flux[part, : bins * BIN], ivar[part, : bins * BIN]
        good = (w > 0) & np.isfinite(values)
        # In units of the spectrum's own flux, because survey units overflow single precision when squared.
        ordered = np.sort(np.where(good, np.abs(values), np.inf), axis=1)
        middle = np.maximum(good.sum(axis=1, keepdims=True) - 1, 0) // 2
        scale = np.take_along_axis(ordered, middle, axis=1)
        scale[~((scale > 0) & np.isfinite(scale))] = 1.0
        w = np.where(good, w, np.float32(0.0)) * scale * scale
        sums = (np.where(good, values, np.float32(0.0)) / scale * w).reshape(shape).sum(axis=2)
        weights = w.reshape(shape).sum(axis=2)
        total = np.maximum(weights @ kernels[0], 1e-9)
        means = (sums @ kernels[0]) / total
        continuum = (sums @ kernels[1]) / np.maximum(weights @ kernels[1], 1e-9)
        floor = 0.1 * np.median(np.abs(continuum), axis=1, keepdims=True)
        continuum = np.maximum(continuum, np.maximum(floor, 1e-6))
        variance = (weights @ squared) / total**2 / continuum**2
        known = weights @ kernels[0] > 1e-9
        depths = np.clip(means / continuum - 1.0, -2.0, 2.0) * known / (1.0 + variance / DEPTH**2)
        norm = np.sqrt((depths**2).mean(axis=1, keepdims=True))
        return (depths / np.where(norm > 0, norm, 1.0)).astype(np.float32)

    parts = map_chunks(work, len(flux), CHUNK)
    return np.concatenate(parts) if parts else np.zeros((0, bins), np.float32)


def _kernel(bins: int, sigma: float) -> np.ndarray:
    x = np.arange(bins)
    kernel = np.exp(-0.5 * ((x[:, None] - x) / sigma) ** 2)
    kernel[kernel < 1e-4] = 0.0
    return kernel.astype(np.float32)
