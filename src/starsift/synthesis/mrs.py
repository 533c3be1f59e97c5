"""Simulated exposures of the LAMOST medium-resolution spectrographs, as arrays."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numba import prange

from starsift.kernels import njit
from starsift.sky.air import air_to_vacuum
from starsift.sky.constants import C_KMS
from starsift.synthesis.stars import Systems

RESOLUTION = 7500.0


@dataclass(frozen=True)
class Arm:
    """One arm of the spectrographs: wavelengths of its first and last pixel (vacuum Angstrom), and pixels."""

    first: float
    last: float
    pixels: int


ARMS = {"B": Arm(4898.0, 5389.0, 4136), "R": Arm(6298.0, 6804.0, 4136)}

# Dispersion falls from blue to red by about 7 % along an arm; grids differ a little from fibre to fibre.
CURVATURE = -0.018
READ_NOISE = 80.0  # variance a pixel, electrons squared: read-out and sky, after extraction
COSMIC_RAYS = 3.0  # hits an exposure
COSMIC_FLAGGED = 0.5  # share that the pipeline finds
BAD_RUNS = 1.5  # runs of bad pixels an exposure
BAD_BLOCKS = 0.02  # exposures with a long bad block

# Where sky subtraction leaves residuals, air Angstrom: [N I] airglow and high-pressure sodium lamps; OH and
# [O I] in the red.
SKY_LINES = {
    "B": (4978.54, 4982.81, 5148.84, 5153.40, 5197.90, 5200.26),
    "R": (6300.30, 6363.78, 6498.73, 6533.04, 6553.61, 6577.28),
}
COADD_RANGE = {"B": (4950.0, 5350.0), "R": (6302.0, 6798.0)}
COADD_STEP = 1e-5  # dex
SKY_SIGMA_PIXELS = 2.3  # the line spread function of R = 7500
CHUNK = 256


class Observation(NamedTuple):
    """n exposures of one arm.

    wavelength : (n, pixel) float64, vacuum, heliocentric, Angstrom, ascending, not uniform
    flux, ivar : (n, pixel) float32, electrons and their inverse variance (0 in dead pixels)
    mask : (n, pixel) bool, True where the pipeline calls a pixel bad
    """

    wavelength: np.ndarray
    flux: np.ndarray
    ivar: np.ndarray
    mask: np.ndarray

    @property
    def snr(self) -> np.ndarray:
        """Median signal-to-noise ratio a pixel (n,), over good pixels; 0 where there are none."""
        ratio = np.where(self.mask | (self.ivar <= 0), np.nan, self.flux * np.sqrt(self.ivar))
        empty = np.isnan(ratio).all(axis=1)
        ratio[empty] = 0.0
        return np.nanmedian(ratio, axis=1)


def native_wavelength(rng: np.random.Generator, helio_rv: np.ndarray, arm: str = "B") -> np.ndarray:
    """Heliocentric vacuum wavelengths (n, pixel) of n exposures whose correction was `helio_rv` (n,) km/s."""
    n = len(helio_rv)
    spec = ARMS[arm]
    x = np.linspace(-1.0, 1.0, spec.pixels)
    centre, half = 0.5 * (spec.first + spec.last), 0.5 * (spec.last - spec.first)
    offset = np.clip(rng.normal(0, 0.1, n), -0.3, 0.3)
    scale = 1 + np.clip(rng.normal(0, 1e-4, n), -3e-4, 3e-4)
    curvature = CURVATURE + np.clip(rng.normal(0, 1e-3, n), -3e-3, 3e-3)
    shape = x + curvature[:, None] * (x**2 - 1)
    wavelength = centre + offset[:, None] + half * scale[:, None] * shape
    return wavelength * (1 + helio_rv / C_KMS)[:, None]


def throughput(rng: np.random.Generator, n: int, pixels: int) -> np.ndarray:
    """Blaze, fibre losses and ripple (n, pixel) float32, about 1 at the peak and half that at the ends."""
    x = np.linspace(-1.0, 1.0, pixels, dtype=np.float32)
    peak = rng.normal(0.05, 0.1, (n, 1)).astype(np.float32)
    width = rng.uniform(0.8, 1.0, (n, 1)).astype(np.float32)
    tilt = rng.normal(0, 0.1, (n, 1)).astype(np.float32)
    waves = rng.uniform(1.0, 3.0, (n, 1)).astype(np.float32)
    phase = rng.uniform(0, 2 * np.pi, (n, 1)).astype(np.float32)
    blaze = np.exp(-0.5 * ((x - peak) / width) ** 2)
    return blaze * (1 + tilt * x) * (1 + np.float32(0.015) * np.sin(np.float32(np.pi) * waves * x + phase))


@njit(parallel=True, cache=True)
def _sample(
    log_start: float, log_step: float, model: np.ndarray, wavelength: np.ndarray, out: np.ndarray
) -> None:
    """Four-point Lagrange interpolation of spectra that are uniform in ln(wavelength)."""
    n, pixels = wavelength.shape
    last = model.shape[1]
    for s in prange(n):
        for p in range(pixels):
            u = (np.log(wavelength[s, p]) - log_start) / log_step
            i = min(max(int(np.floor(u)) - 1, 0), last - 4)
            t = u - i
            a, b, c, d = t, t - 1.0, t - 2.0, t - 3.0
            out[s, p] = (
                -b * c * d / 6.0 * model[s, i]
                + a * c * d / 2.0 * model[s, i + 1]
                - a * b * d / 2.0 * model[s, i + 2]
                + a * b * c / 6.0 * model[s, i + 3]
            )


def sample(wavelength_model: np.ndarray, flux_model: np.ndarray, wavelength: np.ndarray) -> np.ndarray:
    """Model spectra (n, p), uniform in ln(wavelength), at other wavelengths (n, pixel); float32.

    Raises ValueError if the model is not uniform, has the wrong shape, or does not cover `wavelength`.
    """
    log = np.log(wavelength_model)
    step = (log[-1] - log[0]) / (len(log) - 1)
    if np.abs(np.diff(log) - step).max() > 1e-3 * step:
        raise ValueError("the model's wavelengths are not uniform in ln(wavelength): resample it first")
    if flux_model.shape != (len(wavelength), len(log)):
        raise ValueError(f"the model has shape {flux_model.shape}, expected {(len(wavelength), len(log))}")
    lowest, highest = wavelength.min(initial=np.inf), wavelength.max(initial=-np.inf)
    if lowest < wavelength_model[0] or highest > wavelength_model[-1]:
        raise ValueError(
            f"the model covers {wavelength_model[0]:.1f} to {wavelength_model[-1]:.1f} Angstrom, the "
            f"exposures need {lowest:.1f} to {highest:.1f}: use templates of a wider range"
        )
    out = np.empty(wavelength.shape, dtype=np.float32)
    _sample(log[0], step, np.ascontiguousarray(flux_model, dtype=np.float32), wavelength, out)
    return out


def _electrons(snr: np.ndarray, background: np.ndarray) -> np.ndarray:
    """Electrons N that give a signal-to-noise ratio N / sqrt(N + background)."""
    return 0.5 * (snr**2 + np.sqrt(snr**4 + 4 * snr**2 * background))


def observe(
    wavelength_model: np.ndarray,
    flux_model: np.ndarray,
    *,
    snr: np.ndarray,
    rng: np.random.Generator,
    arm: str = "B",
    helio_rv: np.ndarray | None = None,
    cosmic_rays: bool = True,
    masked: bool = True,
    sky: bool = True,
    blaze: bool = True,
) -> Observation:
    """Expose model spectra with the LAMOST-MRS spectrographs.

    Parameters
    ----------
    wavelength_model : (p,) array
        Vacuum, heliocentric, Angstrom, uniform in ln(wavelength) (`Synthesizer.wavelength`).
    flux_model : (n, p) noiseless spectra at R = 7500, in any unit
    snr : (n,) signal-to-noise ratio wanted at the median pixel
    arm : {"B", "R"}
    helio_rv : (n,), correction to the heliocentre, km/s: moves the pixel grid and the sky lines. Drawn
        from +-30 when absent.
    cosmic_rays, masked, sky, blaze : add hits by cosmic rays (half of them flagged), bad pixels (flagged,
        ivar 0), residuals of sky lines, the blaze

    Returns Observation. Raises ValueError if the model does not fit (see `sample`) or a signal-to-noise ratio
    is not positive.
    """
    snr = np.asarray(snr, dtype=np.float64)
    n = len(flux_model)
    if snr.shape != (n,) or not (snr > 0).all():
        raise ValueError(f"snr must be {n} positive numbers, one a spectrum")
    helio = rng.uniform(-30, 30, n) if helio_rv is None else np.asarray(helio_rv, dtype=np.float64)
    parts = []
    for start in range(0, n, CHUNK):  # what lies between two steps stays in the cache
        part = slice(start, start + CHUNK)
        wavelength = native_wavelength(rng, helio[part], arm)
        signal = sample(wavelength_model, flux_model[part], wavelength)
        if blaze:
            signal *= throughput(rng, *signal.shape)
        defects = (cosmic_rays, masked, sky)
        exposed = _expose(rng, signal, wavelength, snr[part], helio[part], arm, *defects)
        parts.append((wavelength, *exposed))
    if not parts:
        shape = (0, ARMS[arm].pixels)
        empty = np.empty(shape, np.float32)
        return Observation(np.empty(shape), empty, empty, np.empty(shape, bool))
    return Observation(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


def _expose(
    rng: np.random.Generator,
    signal: np.ndarray,
    wavelength: np.ndarray,
    snr: np.ndarray,
    helio: np.ndarray,
    arm: str,
    cosmic_rays: bool,
    masked: bool,
    sky: bool,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Flux, ivar and mask of one chunk; `signal` is overwritten."""
    n, pixels = len(signal), signal.shape[1]
    background = READ_NOISE * rng.lognormal(0.0, 0.3, n)
    # The ratio grows with the signal, so its median is that of the median pixel; every fourth is enough.
    median = np.median(signal[:, ::4], axis=1)
    lit = median > 0
    scale = np.where(lit, _electrons(snr, background) / np.where(lit, median, 1.0), 0.0)
    signal *= scale[:, None].astype(np.float32)
    variance = np.maximum(signal, 0) + background[:, None].astype(np.float32)
    sigma = np.sqrt(variance)
    flux = signal
    flux += sigma * rng.standard_normal(signal.shape, dtype=np.float32)
    ivar = 1 / variance
    mask = np.zeros(signal.shape, dtype=bool)
    if sky:
        for line in air_to_vacuum(SKY_LINES[arm]):
            centre = line * (1 + helio / C_KMS)
            pixel = np.array([np.searchsorted(w, c) for w, c in zip(wavelength, centre, strict=True)])
            window = np.arange(-8, 9)
            profile = np.exp(-0.5 * (window / SKY_SIGMA_PIXELS) ** 2)
            strength = rng.normal(0, 1.5, n)
            at = np.clip(pixel[:, None] + window, 0, pixels - 1)
            rows = np.arange(n)[:, None]
            # Residuals scale with the noise of the sky, not with the star.
            flux[rows, at] += (strength * np.sqrt(background))[:, None] * profile
    if cosmic_rays:
        hits = rng.poisson(COSMIC_RAYS * n)
        row, column = rng.integers(0, n, hits), rng.integers(0, pixels - 2, hits)
        height = rng.lognormal(np.log(15.0), 0.8, hits)
        flagged = rng.random(hits) < COSMIC_FLAGGED
        for offset, share in ((0, 1.0), (1, 0.5), (2, 0.1)):
            np.add.at(flux, (row, column + offset), share * height * sigma[row, column])
            mask[row[flagged], column[flagged] + offset] = True
    if masked:
        runs = rng.poisson(BAD_RUNS * n)
        row, first = rng.integers(0, n, runs), rng.integers(0, pixels, runs)
        length = rng.geometric(0.3, runs)
        blocks = rng.random(n) < BAD_BLOCKS
        row = np.concatenate([row, np.flatnonzero(blocks)])
        first = np.concatenate([first, rng.integers(0, pixels, blocks.sum())])
        length = np.concatenate([length, rng.integers(50, 200, blocks.sum())])
        for r, a, m in zip(row, first, length, strict=True):
            mask[r, a : a + m] = True
            flux[r, a : a + m] = 0.0
            ivar[r, a : a + m] = 0.0
    return flux, ivar, mask


@njit(parallel=True, cache=True)
def _coadd(
    wavelength: np.ndarray,
    flux: np.ndarray,
    ivar: np.ndarray,
    bad: np.ndarray,
    grid: np.ndarray,
    out_flux: np.ndarray,
    out_ivar: np.ndarray,
    and_mask: np.ndarray,
    or_mask: np.ndarray,
) -> None:
    n, exposures, pixels = flux.shape
    for s in prange(n):
        total = np.zeros(grid.size)
        weight = np.zeros(grid.size)
        for e in range(exposures):
            i = 0
            for p in range(grid.size):
                while i < pixels - 2 and wavelength[s, e, i + 1] < grid[p]:
                    i += 1
                t = (grid[p] - wavelength[s, e, i]) / (wavelength[s, e, i + 1] - wavelength[s, e, i])
                lost = bad[s, e, i] or bad[s, e, i + 1] or ivar[s, e, i] <= 0 or ivar[s, e, i + 1] <= 0
                if lost:
                    or_mask[s, p] = True
                    continue
                and_mask[s, p] = False
                w = 1.0 / ((1 - t) ** 2 / ivar[s, e, i] + t**2 / ivar[s, e, i + 1])
                total[p] += w * ((1 - t) * flux[s, e, i] + t * flux[s, e, i + 1])
                weight[p] += w
        for p in range(grid.size):
            if weight[p] > 0:
                out_flux[s, p] = total[p] / weight[p]
                out_ivar[s, p] = weight[p]


def coadd(observation: Observation, exposures: int, arm: str) -> tuple[np.ndarray, ...]:
    """Combine every `exposures` consecutive rows on a grid uniform in log10(wavelength).

    Returns wavelength (pixel,), flux, ivar (m, pixel) float32, and_mask, or_mask (m, pixel) bool.
    """
    first, last = np.log10(COADD_RANGE[arm])
    grid = 10 ** np.arange(first, last, COADD_STEP)
    n, pixels = observation.flux.shape
    m = n // exposures
    wavelength, flux_in, ivar_in, bad = (array.reshape(m, exposures, pixels) for array in observation)
    flux, ivar = np.zeros((2, m, grid.size), dtype=np.float32)
    and_mask, or_mask = np.ones((m, grid.size), dtype=bool), np.zeros((m, grid.size), dtype=bool)
    _coadd(wavelength, flux_in, ivar_in, bad, grid, flux, ivar, and_mask, or_mask)
    return grid, flux, ivar, and_mask, or_mask


RED_STEP_KMS = 8.0
HALPHA = 6564.61  # vacuum Angstrom


def red_model(systems: Systems, rv: np.ndarray, fraction: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A schematic red arm, for which there are no templates: continua and an H alpha line a star.

    `rv` (n, k) is in km/s, `fraction` (n, k) the share of the light. Returns wavelength (p,), vacuum
    Angstrom, uniform in ln(wavelength), and relative flux (n, p).
    """
    pixels = int(np.log(6830.0 / 6275.0) / (RED_STEP_KMS / C_KMS))
    wavelength = 6275.0 * np.exp(RED_STEP_KMS / C_KMS * np.arange(pixels))
    velocity = C_KMS * np.log(wavelength / HALPHA)
    flux = np.zeros((systems.n, pixels), dtype=np.float32)
    for k in range(systems.n_components):
        teff = np.maximum(systems.teff[:, k], 3000.0)[:, None]
        # Deeper and broader in hotter stars, as the Balmer lines are to 9000 K.
        depth = np.clip(0.25 + 0.45 * (teff - 4500) / 3500, 0.15, 0.7)
        sigma = np.hypot(40 + 110 * np.clip((teff - 5000) / 3000, 0, 1), 0.5 * systems.vsini[:, k, None])
        line = np.exp(-0.5 * ((velocity - rv[:, k, None]) / sigma) ** 2)
        slope = (wavelength / 6550.0) ** (21_970.0 / teff - 5)  # of a black body at 6550 Angstrom
        flux += fraction[:, k, None] * slope * (1 - depth * line)
    return wavelength, flux


def featureless(rng: np.random.Generator, n: int, pixels: int) -> np.ndarray:
    """Light without lines (n, pixels): smooth undulations of a few per cent, as a failed reduction leaves."""
    x = np.linspace(0, 2 * np.pi, pixels)
    flux = np.ones((n, pixels), dtype=np.float32)
    for waves in (0.5, 1.0, 1.7):
        flux += rng.normal(0, 0.03, (n, 1)) * np.sin(waves * x + rng.uniform(0, 6.28, (n, 1)))
    return flux
