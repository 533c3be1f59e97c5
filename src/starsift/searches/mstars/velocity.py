"""Radial velocities of M stars in low-resolution spectra, by cross-correlation with mean M spectra.

The bands of an M star leave no continuum to fit. Instead its spectrum and the templates are divided by their
own running mean over some 200 Angstrom, twice taken; what remains are bandheads and lines. Pixels count by
their inverse variance, softened by what templates and stars differ anyway, so that at each signal-to-noise
ratio the best part of the spectrum decides. The engine is that of `starsift.spectra.ccf`.
"""

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from scipy.interpolate import CubicSpline

from starsift.errors import TrainingError
from starsift.kernels import njit
from starsift.parallel import map_chunks
from starsift.searches.mstars.dataset import Sample
from starsift.sky.constants import C_KMS
from starsift.spectra.batches import SpectrumBatch
from starsift.spectra.ccf import (
    CHUNK,
    TemplateBank,
    best_curves,
    grid_position,
    pearson,
    shift_curves,
    spread,
)
from starsift.spectra.resample import LAMOST_LRS, LogGrid, interpolate_gaps

RESOLUTION = 1800.0  # LAMOST-LRS
# Angstrom in vacuum. The Ca II triplet beyond would gain 4 % of the error, but in LAMOST spectra of the pilot
# survey (DR10, plan B7708, spectrographs 6 and 13) it lies 80-100 km/s redward of H alpha.
RANGE = (4800.0, 8400.0)
# Excluded ranges, Angstrom in vacuum: H alpha (in emission in active stars only), and the A band of O2, of
# which LAMOST's division by standard stars leaves a tenth (the B band and H2O it removes to 1 %).
MASKED = ((6550.0, 6580.0), (7590.0, 7720.0))
SMOOTH_KMS = 8800.0  # width of the running mean: 200 Angstrom at 6800 Angstrom
# Relative rms by which templates and stars of one subtype differ: no pixel counts more than with such noise.
MISMATCH = 0.03
MINIMUM_PIXELS = 1000  # good ones in the bank's range, of a spectrum with a velocity
SPIKE_SIGMAS, SPIKE_HEIGHT, SPIKE_PIXELS = 5.0, 0.5, 4  # a cosmic ray: noise sigmas, continua, its reach
# Measured by benchmarks/mstar_velocities.py: what the errors of Zucker's formula lack; and the rms in km/s by
# which real mean spectra disagree without noise (1.7 without two of type M2 that are 9 km/s apart).
ERROR_SCALE = 1.12
SECURE = 0.9
MEMBER_SNR = 20.0
ZERO_POINT = 2.0  # km/s, largest velocity of a template against itself: noise moves the peak by some 0.5 km/s
MERGED = 2  # subtypes: rare ones join neighbours as near as this
# Spectra that a template should be the mean of. The noise of fewer is taken for features: with ten to fifty
# spectra of S/N 9 a subtype, velocities of simulated giants scatter by 1.5 of their errors at S/N 3, else by
# 1.2 (benchmarks/mstar_velocities.py).
ENOUGH = 100

SUBTYPE = re.compile(r"\s*(?P<luminosity>d|g|sd|esd|usd)?(?P<letter>[OBAFGKML])(?P<digit>\d)")
LETTERS = "OBAFGKML"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Velocities:
    """Radial velocities of n spectra; NaN (and template -1) where there is none.

    Attributes
    ----------
    rv, rv_err : (n,) float32
        km/s, positive receding, in the frame of the wavelengths.
    ccf_max : (n,) float32
        Pearson's r at the peak.
    probability : (n,) float32
        That the velocity is in this peak of the CCF and not elsewhere in the bank's range. Present, as is
        `ccf_max`, also where it is too low for a velocity; NaN where there is no CCF.
    template : (n,) int16
        Index into the bank's `names`.
    """

    rv: np.ndarray
    rv_err: np.ndarray
    ccf_max: np.ndarray
    probability: np.ndarray
    template: np.ndarray


def mean_templates(
    flux: np.ndarray, ivar: np.ndarray, subclass: Sequence[str | None], *, minimum: int, enough: int = ENOUGH
) -> tuple[tuple[str, ...], np.ndarray]:
    """Mean spectra by luminosity class and subtype, of a sample in the rest frame.

    Parameters
    ----------
    flux, ivar : (n, p) on one grid; ivar is 0 in bad pixels
    subclass : n strings such as "dM3", "M3" (a dwarf too), "gM3"; rows with any other are not used
    minimum : a subtype with fewer members joins the nearest of its luminosity class, at most `MERGED`
        subtypes away; where there is none it is left out
    enough : a template of fewer members is the mean of its neighbours' members too, at most `MERGED` subtypes
        away

    Returns
    -------
    names : of each template, such as "dM3": its most frequent subtype
    flux : (len(names), p) float32, median of a member 1. A member counts by its inverse variance, but hardly
        more beyond a signal-to-noise ratio of `MEMBER_SNR`, so that no bright star stands for its subtype.

    Raises TrainingError: no subtype has enough members.
    """
    if not len(flux) == len(ivar) == len(subclass):
        raise ValueError(
            f"mean templates need one subclass a spectrum: flux {len(flux)}, ivar {len(ivar)}, "
            f"subclass {len(subclass)} rows"
        )
    groups: dict[tuple[str, float], list[int]] = {}
    for row, name in enumerate(subclass):
        kind = SUBTYPE.match(name or "")
        if kind:
            subtype = 10.0 * LETTERS.index(kind["letter"]) + int(kind["digit"])
            groups.setdefault((kind["luminosity"] or "d", subtype), []).append(row)
    for key in sorted(
        groups, key=lambda key: (len(groups[key]), key)
    ):  # so that the rarer joins the commoner
        if len(groups[key]) < minimum:
            near = [k for k in groups if k != key and k[0] == key[0] and abs(k[1] - key[1]) <= MERGED]
            if near:
                groups[min(near, key=lambda k: (abs(k[1] - key[1]), -len(groups[k]), k))] += groups[key]
            del groups[key]
    if not groups:
        raise TrainingError(
            f"no subtype such as dM3 or gM3 has {minimum} members among {len(flux)} spectra; "
            "give more labelled spectra, or templates"
        )
    keys = sorted(groups)
    means = np.stack([_mean(flux, ivar, _with_neighbours(groups, key, enough)) for key in keys])
    return tuple(f"{luminosity}{LETTERS[int(t // 10)]}{int(t % 10)}" for luminosity, t in keys), means


def velocity_templates(sample: Sample, minimum_members: int) -> pa.Table:
    """Mean spectra of M stars by subtype and luminosity class, of `minimum_members` spectra or more each.

    Returns a Table of `name` and `flux` on the grid of LAMOST (`starsift.spectra.resample.LAMOST_LRS`).
    """
    m = sample.is_m
    flux = sample.flux[m] - sample.zero[m, None]
    names, templates = mean_templates(flux, sample.ivar[m], sample.subclass[m], minimum=minimum_members)
    flux = pa.FixedSizeListArray.from_arrays(pa.array(templates.ravel(), pa.float32()), templates.shape[1])
    return pa.table({"name": pa.array(names, pa.string()), "flux": flux})


def _with_neighbours(
    groups: Mapping[tuple[str, float], Sequence[int]], key: tuple[str, float], enough: int
) -> list[int]:
    """Rows of a subtype, and of the next ones on both sides until there are `enough`."""
    luminosity, subtype = key
    rows = list(groups[key])
    for step in range(1, MERGED + 1):
        if len(rows) < enough:
            for near in (subtype - step, subtype + step):
                rows += groups.get((luminosity, near), [])
    return rows


def _mean(flux: np.ndarray, ivar: np.ndarray, rows: Sequence[int]) -> np.ndarray:
    total, weights = np.zeros(flux.shape[1]), np.zeros(flux.shape[1])
    for start in range(0, len(rows), CHUNK):  # a sample may hold thousands of one subtype
        part = rows[start : start + CHUNK]
        some, weight = flux[part], ivar[part]
        good = (weight > 0) & np.isfinite(some)
        level = np.array([[np.median(f[g]) if g.any() else 0.0] for f, g in zip(some, good, strict=True)])
        good &= level > 0
        level[level <= 0] = 1.0
        weight = np.where(good, weight * level**2, 0.0)
        weight /= 1.0 + weight / MEMBER_SNR**2
        total += (weight * np.where(good, some, 0.0) / level).sum(axis=0)
        weights += weight.sum(axis=0)
    mean = total / np.where(weights > 0, weights, 1.0)
    return np.asarray(interpolate_gaps(mean[None].astype(np.float32), weights[None])[0])


@njit(nogil=True, cache=True)
def _running_mean(values: np.ndarray, half: int, out: np.ndarray) -> None:
    """Mean of the pixels within `half` of each, fewer at the ends."""
    n = values.size
    total = 0.0
    left = 0
    right = -1
    for i in range(n):
        while right < min(i + half, n - 1):
            right += 1
            total += values[right]
        while left < i - half:
            total -= values[left]
            left += 1
        out[i] = total / (right - left + 1)


@njit(nogil=True, cache=True)
def _smooth(
    flux: np.ndarray, good: np.ndarray, half: int, filled: np.ndarray, once: np.ndarray, out: np.ndarray
) -> None:
    """Bad pixels interpolated (`filled`), then the running mean twice (`out`)."""
    last = -1
    for i in range(flux.size):
        if good[i]:
            filled[i] = flux[i]
            if last < 0:
                filled[:i] = flux[i]
            elif i - last > 1:
                slope = (filled[i] - filled[last]) / (i - last)
                for k in range(last + 1, i):
                    filled[k] = filled[last] + slope * (k - last)
            last = i
    if last < 0:
        filled[:] = 0.0
    else:
        filled[last + 1 :] = filled[last]
    _running_mean(filled, half, once)
    _running_mean(once, half, out)


@njit(nogil=True, cache=True)
def _high_pass(
    wavelength: np.ndarray,
    flux: np.ndarray,
    ivar: np.ndarray,
    masked: np.ndarray,
    width: float,
    out: np.ndarray,
    out_ivar: np.ndarray,
) -> None:
    n, pixels = flux.shape
    good = np.empty(pixels, np.bool_)
    filled = np.empty(pixels)
    once = np.empty(pixels)
    level = np.empty(pixels)
    near = np.empty(2 * SPIKE_PIXELS + 1)
    for s in range(n):
        step = np.log(wavelength[s, pixels - 1] / wavelength[s, 0]) / (pixels - 1)
        half = min(pixels, max(1, round(0.5 * width / step)))
        for i in range(pixels):
            good[i] = 0.0 < ivar[s, i] < np.inf and np.isfinite(flux[s, i])
        for m in range(masked.shape[0]):
            low = np.searchsorted(wavelength[s], masked[m, 0])
            high = np.searchsorted(wavelength[s], masked[m, 1])
            good[low:high] = False
        _smooth(flux[s], good, half, filled, once, level)
        spikes = 0
        for i in range(SPIKE_PIXELS, pixels - SPIKE_PIXELS):
            if good[i]:
                height = max(SPIKE_HEIGHT * level[i], SPIKE_SIGMAS / np.sqrt(ivar[s, i]))
                # Two neighbours first: the median of all is worth its price for few pixels only.
                if 2.0 * filled[i] - filled[i - SPIKE_PIXELS] - filled[i + SPIKE_PIXELS] > height:
                    near[:] = filled[i - SPIKE_PIXELS : i + SPIKE_PIXELS + 1]
                    near.sort()
                    if filled[i] - near[SPIKE_PIXELS] > height:
                        good[i] = False
                        spikes += 1
        if spikes > 0:
            _smooth(flux[s], good, half, filled, once, level)
        least = 1e-3 * np.abs(level).mean()
        for i in range(pixels):
            if good[i] and level[i] > least:
                out[s, i] = flux[s, i] / level[i]
                out_ivar[s, i] = min(ivar[s, i] * level[i] * level[i], 1e12)
            else:
                out[s, i] = 1.0
                out_ivar[s, i] = 0.0


def high_pass(wavelength: np.ndarray, flux: np.ndarray, ivar: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Divide spectra by their running mean, twice taken, across gaps.

    Spikes (cosmic rays) and `MASKED` are masked first.

    Parameters
    ----------
    wavelength : (n, pixel) float64, Angstrom, uniform in its logarithm
    flux, ivar : (n, pixel); pixels whose ivar is not positive do not count

    Returns
    -------
    flux, ivar : (n, pixel) float32, flux around 1; ivar is 0 in all that is masked, and where the mean is not
        positive.
    """
    out, out_ivar = np.empty(flux.shape, np.float32), np.empty(flux.shape, np.float32)
    ranges = np.asarray(MASKED)
    _high_pass(wavelength, flux, ivar, ranges, SMOOTH_KMS / C_KMS, out, out_ivar)
    return out, out_ivar


def build_velocity_bank(
    names: Sequence[str],
    flux: np.ndarray,
    *,
    grid: LogGrid = LAMOST_LRS,
    resolution: float = RESOLUTION,
    wavelength_range: tuple[float, float] = RANGE,
    velocity_max: float,
    velocity_step: float = 10.0,
) -> TemplateBank:
    """High-pass templates and shift them to every velocity node.

    Parameters
    ----------
    names, flux : of n templates in the rest frame, flux (n, grid.pixels), from `mean_templates` or a library
    grid : LogGrid of the templates
    resolution : of the instrument, which the templates have already
    wavelength_range : Angstrom in vacuum, what is correlated
    velocity_max, velocity_step : km/s; the CCF is known every `velocity_step`, the peak between these

    Raises
    ------
    TrainingError : a flux is not finite, or no template finds itself at 0 km/s. If only some do not, they
        are left out, with a warning.
    ValueError : names and fluxes do not agree, or the grid does not reach the range at every velocity.
    """
    spectra = np.ascontiguousarray(flux, np.float32)
    if spectra.shape != (len(names), grid.pixels) or not len(names):
        raise ValueError(
            f"templates must be ({len(names)} names, {grid.pixels} pixels of the grid); "
            f"flux has shape {spectra.shape}"
        )
    bad = ~np.isfinite(spectra).all(axis=1)
    if bad.any():
        raise TrainingError(
            f"template {names[int(bad.argmax())]} has pixels that are not finite; fill or drop it"
        )
    wavelength = np.tile(grid.wavelength, (len(names), 1))
    ivar = np.full(spectra.shape, 1e8, np.float32) / np.maximum(
        np.median(np.abs(spectra), axis=1, keepdims=True) ** 2, np.float32(1e-30)
    )
    logs = np.log(grid.wavelength)
    bank = shift_curves(
        [CubicSpline(logs, row) for row in high_pass(wavelength, spectra, ivar)[0]],
        (float(grid.wavelength[0]), float(grid.wavelength[-1])),
        names=names,
        resolution=resolution,
        wavelength_range=wavelength_range,
        velocity_max=velocity_max,
        velocity_step=velocity_step,
    )
    own = _measure(wavelength, spectra, ivar, bank, 2).rv
    wrong = ~(np.abs(own) <= ZERO_POINT)
    if not wrong.any():
        return bank
    which = int(wrong.argmax())
    message = f"template {names[which]} finds itself at {own[which]:.1f} km/s, expected 0"
    if wrong.all():
        raise TrainingError(f"{message}, and no other is better: they have no features, or too much noise")
    log.warning("%s; it has no features, or too much noise, and is left out", message)
    rest = np.arange(len(names)) != which
    return build_velocity_bank(
        [name for name, kept in zip(names, rest, strict=True) if kept],
        spectra[rest],
        grid=grid,
        resolution=resolution,
        wavelength_range=wavelength_range,
        velocity_max=velocity_max,
        velocity_step=velocity_step,
    )


def measure_velocities(
    batch: SpectrumBatch, bank: TemplateBank, *, floor: float, minimum_probability: float = SECURE
) -> Velocities:
    """Radial velocity of each spectrum: the highest peak of its CCFs with all templates.

    Parameters
    ----------
    batch : SpectrumBatch of n spectra, sampled uniformly in log(wavelength)
    bank : from `build_velocity_bank`
    floor : km/s, systematic error added in quadrature
    minimum_probability : a spectrum has no velocity whose highest peak is less probable than this

    Returns Velocities of the n spectra, in order.

    Notes
    -----
    For noise of known shape and unknown strength, the log-likelihood of a velocity is -N/2 ln(1 - C^2), with
    N good pixels and C Pearson's r with weights. Its curvature gives the error,
    rv_err^-2 = -N (C''/C) C^2 / (1 - C^2) (Zucker 2003, MNRAS 342, 1291); the integral of the likelihood over
    the peak, against that over the range, gives the probability. Residuals smaller than the noise (rebinned
    spectra have such) lessen neither: the log-likelihood is then -chi^2/2. Simulated stars ask for the
    factor `ERROR_SCALE`.
    """

    def work(part: slice) -> Velocities:
        return _measure(batch.wavelength[part], batch.flux[part], batch.ivar[part], bank, MINIMUM_PIXELS)

    nothing = np.zeros(0)
    parts = map_chunks(work, batch.n, CHUNK) or [Velocities(nothing, nothing, nothing, nothing, nothing)]
    rv, error, ccf_max, probability, template = (
        np.concatenate([getattr(part, name) for part in parts])
        for name in ("rv", "rv_err", "ccf_max", "probability", "template")
    )
    secure = probability >= minimum_probability
    error = np.hypot(ERROR_SCALE * error, floor)
    return Velocities(
        np.where(secure, rv, np.nan).astype(np.float32),
        np.where(secure, error, np.nan).astype(np.float32),
        ccf_max.astype(np.float32),
        probability.astype(np.float32),
        np.where(secure, template, -1).astype(np.int16),
    )


def _measure(
    wavelength: np.ndarray, flux: np.ndarray, ivar: np.ndarray, bank: TemplateBank, minimum_pixels: int
) -> Velocities:
    """One chunk, float64: errors without scale and floor, velocities however improbable."""
    flux, ivar = high_pass(wavelength, flux, ivar)
    position = grid_position(wavelength, bank)
    used = (ivar > 0) & (position >= 2.0) & (position <= bank.last)
    count = np.maximum(used.sum(axis=1), 1)
    # The softened inverse variance, scaled to mean 1, so that sums stay counts of pixels.
    weight = np.where(used, ivar / (1.0 + ivar * np.float32(MISMATCH**2)), np.float32(0.0))
    scale = np.maximum(weight.sum(axis=1, dtype=np.float64) / count, 1e-30)
    weight = (weight / scale[:, None]).astype(np.float32)
    spread_flux, spread_weight, sums = spread(position, flux, weight, bank)
    r = pearson(spread_flux, spread_weight, sums.astype(np.float32), bank)
    curve, template = best_curves(r, bank)

    last = bank.velocities.size - 1
    step = float(bank.velocities[1] - bank.velocities[0])
    wide = max(1, round(float(np.median(np.diff(bank.nodes))) / step))  # curvature over the CCF's own scale
    peak = curve.argmax(axis=1)
    usable = (used.sum(axis=1) >= minimum_pixels) & (peak > 0) & (peak < last)
    before, at, after = _around(curve, np.clip(peak, 1, last - 1), 1)
    usable &= (at > 0.0) & (before + after < 2.0 * at)
    rv = bank.velocities[np.clip(peak, 1, last - 1)]
    rv = rv + 0.5 * step * (before - after) / np.minimum(before - 2.0 * at + after, -1e-12)

    before, at, after = _around(curve, np.clip(peak, wide, last - wide), wide)
    second = np.minimum((before - 2.0 * at + after) / (wide * step) ** 2, -1e-12)
    c = np.clip(at, 1e-6, 1.0 - 1e-6)
    # chi^2 a pixel would be `power` without a template, and is power (1 - C^2) with it.
    power = scale * np.maximum(sums[:, 1] - sums[:, 0] ** 2 / np.maximum(sums[:, 2], 1.0), 1e-12) / count
    excess = np.maximum(power * (1.0 - c**2), 1.0)
    error = np.sqrt(excess / (count * power * c * -second))

    chi2 = power[:, None] * (1.0 - np.clip(curve, 0.0, 1.0).astype(np.float64) ** 2)
    likelihood = np.where(
        chi2 > 1.0, np.log(np.maximum(chi2, 1.0)), chi2 - 1.0
    )  # its derivative is continuous
    likelihood *= -0.5 * count[:, None]
    likelihood = np.exp(likelihood - likelihood.max(axis=1, keepdims=True))
    near = np.abs(bank.velocities - rv[:, None]) <= np.maximum(3.0 * error, 3.0 * step)[:, None]
    probability = (likelihood * near).sum(axis=1) / likelihood.sum(axis=1)
    rv, error, at, probability = (np.where(usable, x, np.nan) for x in (rv, error, at, probability))
    return Velocities(rv, error, at, probability, np.where(usable, template, -1))


def _around(curve: np.ndarray, at: np.ndarray, apart: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Values (n,) of the curves (n, velocity) before, at and after a position, float64."""
    rows = np.arange(len(curve))
    before, here, after = (curve[rows, at + shift].astype(np.float64) for shift in (-apart, 0, apart))
    return before, here, after
