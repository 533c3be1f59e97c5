"""Observation of noiseless spectra by a low-resolution survey: velocity, flux calibration, noise; and junk.

Batches (n, pixel) on one grid uniform in log10(wavelength), vacuum Angstrom. The noise has the shape of
LAMOST-LRS: two arms that meet near 5850 Angstrom, an efficiency that falls towards both ends, a sky that
adds photons (and residuals) in its emission lines. It is schematic: tuned by eye to released spectra.
"""

from typing import Protocol

import numpy as np
import numpy.typing as npt
from numba import prange

from starsift.kernels import njit
from starsift.sky.air import air_to_vacuum
from starsift.sky.constants import C_KMS

WINDOW = (5600.0, 6950.0)  # Angstrom, the r band: where signal-to-noise ratios are quoted
JOINT = 5850.0  # Angstrom, where the blue and the red arm meet
SKY_ELECTRONS, READ_ELECTRONS = 60.0, 20.0  # a pixel: dark sky at full efficiency; read-out noise squared
SKY_ERROR, LINE_ERROR = 0.02, 0.04  # what sky subtraction leaves, as shares of the sky's continuum and lines
ORDER = 6  # of the Legendre series of calibration errors
CHUNK = 512

# Sky lines, air Angstrom, and their peaks over the sky's continuum as a spectrograph of R = 1800 sees them:
# mercury (city lights), [O I], Na D, and the strongest OH lines (wavelengths: Osterbrock et al. 1996, PASP
# 108, 277). The heights are coarse; the real ones change by the hour.
SKY_LINES = np.array(
    [
        (4358.33, 1.5),
        (5460.74, 2.0),
        (5577.34, 10.0),
        (5892.94, 3.0),
        (6300.30, 4.0),
        (6363.78, 1.5),
        (6863.96, 0.8),
        (6923.22, 0.7),
        (7244.91, 0.7),
        (7276.41, 1.8),
        (7284.44, 0.8),
        (7316.28, 2.5),
        (7329.15, 0.8),
        (7340.89, 2.0),
        (7750.64, 2.5),
        (7794.11, 3.0),
        (7821.50, 2.2),
        (7913.71, 4.0),
        (7964.65, 3.5),
        (7993.33, 4.0),
        (8025.81, 2.0),
        (8344.60, 4.5),
        (8399.17, 5.5),
        (8430.17, 5.0),
        (8465.36, 3.0),
        (8493.39, 1.5),
        (8778.33, 3.0),
        (8827.10, 6.0),
        (8885.85, 6.0),
        (8919.64, 4.5),
        (8943.40, 3.5),
        (8958.08, 3.0),
        (8988.37, 2.5),
    ]
)
SKY_FWHM_KMS = 165.0  # R = 1800


class LogGrid(Protocol):
    """A grid uniform in log10(wavelength)."""

    @property
    def dlog10_lambda(self) -> float:
        """Step, dex."""


NODES = np.arange(-2, 4)  # of the interpolation, pixels


@njit(parallel=True, cache=True)
def _shift(flux: np.ndarray, whole: np.ndarray, weight: np.ndarray, out: np.ndarray) -> None:
    n, p = flux.shape
    for s in prange(n):
        w = weight[s]
        for i in range(p):
            k = i + whole[s]
            if 2 <= k < p - 3:
                total = np.float32(0)
                for j in range(6):
                    total += w[j] * flux[s, k - 2 + j]
                out[s, i] = total
            else:
                out[s, i] = flux[s, min(max(k, 0), p - 1)]


def shift(grid: LogGrid, flux: npt.ArrayLike, rv: npt.ArrayLike) -> np.ndarray:
    """Move spectra to a radial velocity; wavelengths grow by 1 + rv/c, and the grid stays.

    Parameters
    ----------
    flux : (n, p) array
    rv : (n,) or one number, km/s, positive to the red; c z for a redshift z

    Returns (n, p) float32: Lagrange interpolation over six pixels; where nothing is known, the end pixel is
    repeated. Raises ValueError if a velocity is not finite or not above -c.
    """
    spectra = np.ascontiguousarray(flux, dtype=np.float32)
    velocity = np.broadcast_to(np.asarray(rv, dtype=np.float64), len(spectra))
    if not (velocity > -C_KMS).all() or not np.isfinite(velocity).all():
        raise ValueError("rv must be finite and above -c, km/s")
    out = np.empty_like(spectra)
    pixels = -np.log10(1 + velocity / C_KMS) / grid.dlog10_lambda
    whole = np.floor(pixels).astype(np.int64)
    # One set of weights a spectrum, as its shift is the same in every pixel.
    apart = (pixels - whole)[:, None] - NODES
    weight = np.stack(
        [
            np.prod(np.delete(apart, j, axis=1) / np.delete(NODES[j] - NODES, j), axis=1)
            for j in range(NODES.size)
        ],
        axis=1,
    )
    _shift(spectra, whole, weight.astype(np.float32), out)
    return out


def smooth_curves(rng: np.random.Generator, n: int, pixels: int, order: int = ORDER) -> np.ndarray:
    """Random smooth curves (n, pixels) float32 of mean 0 and rms 1: Legendre series, high orders weaker."""
    x = np.linspace(-1, 1, pixels)
    basis = np.polynomial.legendre.legvander(x, order)[:, 1:].T.astype(np.float32)
    coefficients = rng.standard_normal((n, order), dtype=np.float32) / np.arange(1, order + 1)
    curves = coefficients.astype(np.float32) @ basis
    curves -= curves.mean(axis=1, keepdims=True)
    curves /= np.sqrt((curves**2).mean(axis=1, keepdims=True))
    return curves


def miscalibrate(flux: npt.ArrayLike, amplitude: npt.ArrayLike, rng: np.random.Generator) -> np.ndarray:
    """Multiply spectra (n, p) by smooth errors of flux calibration, exponentials of smooth curves.

    `amplitude`, (n,) or one number, is their relative rms over the spectrum, 0.05 for 5 %. Returns float32.
    """
    spectra = np.asarray(flux, dtype=np.float32)
    n, p = spectra.shape
    size = np.broadcast_to(np.asarray(amplitude, dtype=np.float32), n)[:, None]
    return spectra * np.exp(size * smooth_curves(rng, n, p))


def efficiency(wavelength: npt.ArrayLike) -> np.ndarray:
    """Relative throughput (p,) of the two arms: 1 at best, a dip where they meet, little at the ends."""
    lam = np.asarray(wavelength, dtype=np.float64)
    blue = 0.85 * np.exp(-0.5 * ((lam - 5150) / 700) ** 2)
    red = np.exp(-0.5 * ((lam - 7000) / 1150) ** 2)
    share = 1 / (1 + np.exp(-(lam - JOINT) / 40))
    return np.maximum((1 - share) * blue + share * red, 0.02)


def sky_lines(wavelength: npt.ArrayLike) -> np.ndarray:
    """Emission lines of the night sky (p,), over its continuum."""
    lam = np.asarray(wavelength, dtype=np.float64)
    centre = air_to_vacuum(SKY_LINES[:, 0])[:, None]
    sigma = centre * SKY_FWHM_KMS / C_KMS / 2.3548
    return (SKY_LINES[:, 1:] * np.exp(-0.5 * ((lam - centre) / sigma) ** 2)).sum(axis=0)


def _scale(signal: np.ndarray, background: np.ndarray, snr: np.ndarray) -> np.ndarray:
    """Factors (n,) on the signal (n, q) that give the median ratio signal / sqrt(signal + background)."""
    level = np.median(signal, axis=1)
    dark = level <= 0  # no light: a source of flux 1 would have this ratio
    level = np.where(dark, 1.0, level)
    typical = np.median(background)
    electrons = 0.5 * (snr**2 + np.sqrt(snr**4 + 4 * snr**2 * typical))
    scale = electrons / level
    for _ in range(4):  # the ratio grows with a power of the signal between 1/2 and 1
        counts = scale[:, None] * signal
        ratio = np.median(counts / np.sqrt(np.maximum(counts, 0) + background), axis=1)
        scale *= np.where(dark, 1.0, (snr / np.where(dark, 1.0, ratio)) ** 1.4)
    return scale


def add_noise(
    flux: npt.ArrayLike,
    snr: npt.ArrayLike,
    rng: np.random.Generator,
    wavelength: npt.ArrayLike,
    window: tuple[float, float] = WINDOW,
    sky: bool = True,
) -> tuple[np.ndarray, np.ndarray]:
    """Noise of photons, sky and read-out, as in LAMOST-LRS.

    Parameters
    ----------
    flux : (n, p) noiseless
    snr : (n,) or one number, median signal-to-noise ratio a pixel in `window`. In a spectrum without light
        (median flux 0 there) it is that of a source of flux 1.
    wavelength : (p,) Angstrom
    window : (low, high) Angstrom
    sky : also leave residuals of sky subtraction, which ivar does not know of: a share of the sky's lines and
        continuum, the same sign all over a spectrum

    Returns
    -------
    flux, ivar : (n, p) float32

    Raises ValueError if shapes do not fit, a ratio is not positive, or the window holds no pixel.
    """
    spectra = np.asarray(flux, dtype=np.float32)
    lam = np.asarray(wavelength, dtype=np.float64)
    n, p = spectra.shape
    ratio = np.broadcast_to(np.asarray(snr, dtype=np.float64), n)
    inside = np.flatnonzero((lam >= window[0]) & (lam <= window[1]))
    if lam.shape != (p,):
        raise ValueError(f"flux has {p} pixels, wavelength has shape {lam.shape}: they must agree")
    if not (ratio > 0).all():
        raise ValueError("snr must be positive")
    if not inside.size:
        raise ValueError(f"no pixel lies in the window {window[0]:g} to {window[1]:g} Angstrom")
    through = efficiency(lam)
    lines = sky_lines(lam)
    background = SKY_ELECTRONS * through * (1 + lines) + READ_ELECTRONS
    residual = np.stack([SKY_ERROR * SKY_ELECTRONS * through, LINE_ERROR * SKY_ELECTRONS * through * lines])
    noisy, ivar = np.empty((2, n, p), dtype=np.float32)
    some = inside[::3]  # neighbours are alike
    for start in range(0, n, CHUNK):  # what lies between two steps stays small
        part = slice(start, start + CHUNK)
        counts = spectra[part] * through.astype(np.float32)
        factor = _scale(counts[:, some].astype(np.float64), background[some], ratio[part])
        counts *= factor[:, None].astype(np.float32)
        variance = np.maximum(counts, 0) + background.astype(np.float32)
        counts += np.sqrt(variance) * rng.standard_normal(counts.shape, dtype=np.float32)
        if sky:
            counts += (rng.standard_normal((len(counts), 2)) @ residual).astype(np.float32)
        response = factor[:, None].astype(np.float32) * through.astype(np.float32)
        noisy[part] = counts / response
        ivar[part] = response**2 / variance
    return noisy, ivar


JUNK = ("smooth", "fringes", "step", "sky")


def featureless(rng: np.random.Generator, n: int, wavelength: npt.ArrayLike) -> np.ndarray:
    """Junk without any line of a source: what failed reductions and empty fibres leave.

    A quarter each of: smooth shapes; fringes that grow to the red; a step at the joint of the arms; sky lines
    subtracted too little or too much. All lie on a random smooth shape.

    Parameters
    ----------
    wavelength : (p,) Angstrom

    Returns (n, p) float32, noiseless, of mean 1.
    """
    lam = np.asarray(wavelength, dtype=np.float32)
    slope = rng.normal(0, 1.5, (n, 1)).astype(np.float32)
    flux = (lam / np.float32(6000)) ** slope
    flux *= np.exp(rng.uniform(0.05, 0.4, (n, 1)).astype(np.float32) * smooth_curves(rng, n, lam.size))
    kind = np.asarray(JUNK)[rng.permutation(n) % len(JUNK)]

    rows = np.flatnonzero(kind == "fringes")
    period = rng.uniform(80, 400, (rows.size, 1)).astype(np.float32)
    phase = rng.uniform(0, 2 * np.pi, (rows.size, 1)).astype(np.float32)
    depth = rng.uniform(0.05, 0.3, (rows.size, 1)) * np.clip((lam - 4500) / 4500, 0, 1)
    flux[rows] *= 1 + depth.astype(np.float32) * np.sin(2 * np.float32(np.pi) * lam / period + phase)

    rows = np.flatnonzero(kind == "step")
    height = np.exp(rng.choice([-1, 1], rows.size) * rng.uniform(0.2, 1.2, rows.size)).astype(np.float32)
    flux[rows] *= np.where(lam > JOINT, height[:, None], np.float32(1))

    rows = np.flatnonzero(kind == "sky")
    level = np.median(flux[rows], axis=1, keepdims=True) * rng.normal(0, 0.15, (rows.size, 1))
    flux[rows] += level.astype(np.float32) * sky_lines(lam).astype(np.float32)
    return flux / flux.mean(axis=1, keepdims=True)


def bad_runs(rng: np.random.Generator, mask: np.ndarray, mean: float) -> None:
    """Set short runs of pixels in masks (n, p), in place; `mean` is their number a spectrum."""
    n, p = mask.shape
    runs = rng.poisson(mean * n)
    row, first, length = rng.integers(0, n, runs), rng.integers(0, p, runs), rng.geometric(0.25, runs)
    for i, a, m in zip(row, first, length, strict=True):
        mask[i, a : a + m] = True


def damage(
    flux: np.ndarray, ivar: np.ndarray, rng: np.random.Generator, wavelength: npt.ArrayLike
) -> tuple[np.ndarray, np.ndarray]:
    """Defective spectra, as in Figure 6 of Guo et al. (2019): flux gaps and arms that do not meet.

    Every spectrum gets one defect, in equal shares: a gap of 60 to 600 pixels without data (flux and ivar 0);
    a blue arm lost altogether; an arm scaled wrongly by 0.5 to 1.5 mag; a gap whose ivar claims good pixels.

    Parameters
    ----------
    flux, ivar : (n, p) arrays, left as they are
    wavelength : (p,) Angstrom

    Returns
    -------
    flux, ivar : (n, p) float32
    """
    lam = np.asarray(wavelength, dtype=np.float64)
    flux, ivar = np.array(flux, dtype=np.float32), np.array(ivar, dtype=np.float32)
    n, p = flux.shape
    kind = rng.permutation(n) % 4
    first = rng.integers(0, max(p - 600, 1), (n, 1))
    pixel = np.arange(p)
    gap = (pixel >= first) & (pixel < first + rng.integers(60, 600, (n, 1)))
    blue = lam < JOINT
    gap[kind == 1] = blue
    gap[kind == 2] = False
    step = np.exp(rng.choice([-1, 1], n) * rng.uniform(0.46, 1.4, n)).astype(np.float32)
    factor = np.where(blue & (kind == 2)[:, None], step[:, None], np.float32(1))
    flux, ivar = flux * factor, ivar / factor**2
    flux[gap] = 0.0
    ivar[gap & (kind != 3)[:, None]] = 0.0
    return flux, ivar
