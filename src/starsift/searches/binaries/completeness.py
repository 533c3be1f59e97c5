"""Completeness: which share of double-lined spectra is found, by injection and recovery.

Pairs are simulated, with the imperfections of `model_dataset`, and made of the survey's own exposures: two
single-lined ones, the second one moved and weakened, with noise added.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from scipy.interpolate import RegularGridInterpolator

from starsift.searches.binaries.decision import Decision, features
from starsift.searches.binaries.model_bank import ModelBank
from starsift.searches.binaries.model_dataset import GROUP, imperfect_exposures, imperfect_stars
from starsift.searches.binaries.model_fit import fit_models
from starsift.sky.constants import C_KMS
from starsift.spectra.batches import SpectrumBatch, read_rows
from starsift.spectra.continuum import fit_continuum, normalize
from starsift.spectra.templates import TemplateGrid

NEAR_KMS = 20.0  # a pair is found if both velocities are this near the truth
# Temperatures (K) of the brighter star; the other one's falls with its light as on the main sequence, where
# the luminosity grows with about the sixth power of the temperature.
TEFF, LIGHT_POWER = (5000.0, 7000.0), 1 / 6
LOGG, FEH = 4.3, (-0.5, 0.2)
# Single-lined exposures of the survey: probability of one star, error of the lines' depth, S/N.
SINGLE, CLEAR, BRIGHT = 0.99, 0.02, 20.0
AXES = ("delta_rv", "light_ratio", "snr", "vsini")


def simulated_completeness(
    grid: TemplateGrid,
    bank: ModelBank,
    decision: Decision,
    *,
    resolution: float,
    trials: int,
    seed: int,
    axes: Mapping[str, Sequence[float]],
) -> pa.Table:
    """Share of simulated pairs that is found, at every point of a grid.

    Parameters
    ----------
    resolution : of the instrument
    trials : pairs at each point
    axes : values of `AXES`: velocity difference (km/s), light of the fainter star over the brighter one's,
        S/N, v sin i of both (km/s)

    Returns a Table with the axes, `trials` and `found`, their number.
    """
    rng = np.random.default_rng([seed, 8])
    points = np.stack(np.meshgrid(*(axes[name] for name in AXES), indexing="ij"), axis=-1).reshape(-1, 4)
    every = np.tile(points, (trials, 1))
    found = np.empty(len(every), bool)
    for start in range(0, len(every), GROUP):
        part = slice(start, start + GROUP)
        delta_rv, ratio, snr, vsini = every[part].T
        stars = imperfect_stars(grid, resolution, rng)
        light = np.stack([np.ones_like(ratio), ratio], axis=1)
        teff = rng.uniform(*TEFF, (len(snr), 1)) * light**LIGHT_POWER
        feh = rng.uniform(*FEH, (len(snr), 1))
        level = stars.flux(teff.ravel(), LOGG, feh.repeat(2), 0.0, 0.0, 1.0).mean(axis=1).reshape(-1, 2)
        radius = np.sqrt(light / level)
        rv = _around(rng, delta_rv)
        flux = stars.flux(teff, LOGG, feh, vsini[:, None], rv, radius)
        batch = imperfect_exposures(stars.wavelength, flux, snr, rng)
        found[part] = find_pairs(batch, rv, bank, decision)
    return _counted("simulated", every, found)


def survey_completeness(
    spectra: Sequence[Any],
    classes: Sequence[Any],
    bank: ModelBank,
    decision: Decision,
    *,
    pairs: int,
    seed: int,
    axes: Mapping[str, Sequence[float]],
) -> pa.Table:
    """Share found of pairs made of single-lined exposures of the survey.

    Parameters
    ----------
    spectra, classes : files of all bundles, in the same order
    pairs : number of pairs; each has values of `axes` drawn at random, but v sin i, which is the stars' own

    Returns a Table as `simulated_completeness`, vsini null. Pairs of an S/N that fewer than two single
    exposures have are left out.
    """
    rng = np.random.default_rng([seed, 9])
    singles, rv = single_exposures(spectra, classes, most=2 * pairs)
    if singles is None:
        return _counted("survey", np.zeros((0, 3)), np.zeros(0, bool))
    weight = normalize(singles, degree=bank.continuum_degree)[1]
    own = np.sqrt(np.nanmedian(np.where(weight > 0, weight, np.nan), axis=1))
    best = np.argsort(-own, kind="stable")
    draws = np.column_stack([rng.choice(axes[name], pairs) for name in AXES[:3]])
    # Noise can be added, not removed: both exposures have the S/N of the pair or a higher one.
    enough = np.searchsorted(-own[best], -draws[:, 2], side="right")
    draws, enough = draws[enough > 1], enough[enough > 1]
    one = rng.integers(0, enough)
    other = (one + rng.integers(1, enough)) % enough
    one, other = best[one], best[other]
    found = np.empty(len(draws), bool)
    for start in range(0, len(draws), GROUP):
        part = slice(start, start + GROUP)
        a, b, (delta_rv, ratio, snr) = one[part], other[part], draws[part].T
        sign = rng.choice([-1.0, 1.0], a.size)
        true = np.stack([rv[a], rv[a] + sign * delta_rv], axis=1)
        shift, degree = true[:, 1] - rv[b], bank.continuum_degree
        batch = add_spectra(singles.take(a), singles.take(b), shift, ratio, snr, rng, degree=degree)
        found[part] = find_pairs(batch, true, bank, decision)
    return _counted("survey", draws, found)


def find_pairs(batch: SpectrumBatch, rv: np.ndarray, bank: ModelBank, decision: Decision) -> np.ndarray:
    """Whether spectra (n,) are SB2 at the velocities `rv` (n, 2), km/s."""
    fits = fit_models(batch, bank)
    near = np.abs(fits.rv[:, 1, :2] - np.sort(rv, axis=1)) < NEAR_KMS
    return near.all(axis=1) & (decision.multiplicity(features(fits, bank)) == "SB2")


def single_exposures(
    spectra: Sequence[Any], classes: Sequence[Any], *, most: int
) -> tuple[SpectrumBatch | None, np.ndarray]:
    """Single-lined exposures of high S/N with their velocities (n,) km/s: at most so many, the same in each
    run; None where there are fewer than two."""
    parts, velocities = [], []
    for packed, called in zip(spectra, classes, strict=True):
        table = pq.read_table(called, columns=["spectrum_id", "p_single", "rv", "light_err"])
        one = pc.equal(pc.list_value_length(table["rv"]), 1).fill_null(False)
        sure = pc.and_(one, pc.greater(table["p_single"], SINGLE).fill_null(False))
        rows = np.flatnonzero(sure.to_numpy(zero_copy_only=False))
        chosen = table.take(pa.array(rows))
        names = chosen["spectrum_id"].to_pylist()
        order = np.argsort([hashlib.sha1(name.encode()).digest() for name in names], kind="stable")
        # The vote alone knows no light.
        clear = np.array([bool(e) and e[0] < CLEAR for e in chosen["light_err"].to_pylist()], bool)
        keep = order[clear[order]][: -(-most // len(classes))]
        if keep.size:
            batch = read_rows(packed, rows[keep])
            bright = pc.greater_equal(batch.identity["snr"], BRIGHT).fill_null(False)
            use = np.flatnonzero(bright.to_numpy(zero_copy_only=False))
            parts.append(batch.take(use))
            velocities += [chosen["rv"][int(keep[i])].as_py()[0] for i in use]
    if len(velocities) < 2:
        return None, np.array(velocities)
    return _join(parts), np.array(velocities)


def add_spectra(
    one: SpectrumBatch,
    other: SpectrumBatch,
    shift: np.ndarray,
    ratio: np.ndarray,
    snr: np.ndarray,
    rng: np.random.Generator,
    *,
    degree: int,
) -> SpectrumBatch:
    """n sums of two spectra, the other one moved by `shift` (n,) km/s, with `ratio` (n,) times the light.

    White noise brings each sum to the S/N `snr` (n,), which is not above that of both spectra. `degree` is
    that of the continuum by which spectra are divided before.
    """
    continuum = fit_continuum(one.wavelength, one.flux, one.ivar, degree=degree)
    flux, ivar = normalize(one, degree=degree)
    second, second_ivar = normalize(other, degree=degree)
    moved, variance = np.empty_like(flux), np.empty_like(flux)
    for i in range(one.n):
        at = one.wavelength[i] / (1.0 + shift[i] / C_KMS)
        good = second_ivar[i] > 0
        x = other.wavelength[i]
        moved[i] = np.interp(at, x[good], second[i, good], left=np.nan, right=np.nan)
        # A pixel is as good as the worst one beside it.
        weight = np.interp(at, x, second_ivar[i], left=0.0, right=0.0) * (np.interp(at, x, good) > 0.99)
        variance[i] = np.where(weight > 0, 1.0 / np.maximum(weight, 1e-12), np.inf)
    share = (ratio / (1.0 + ratio))[:, None].astype(np.float32)
    good = (ivar > 0) & np.isfinite(variance) & np.isfinite(moved)
    total = np.where(good, (1 - share) * flux + share * moved, 0.0)
    noise = np.where(good, (1 - share) ** 2 / np.where(good, ivar, 1.0) + share**2 * variance, 1.0)
    typical = np.nanmedian(np.where(good, noise, np.nan), axis=1, keepdims=True)
    more = np.maximum(snr[:, None] ** -2.0 - typical, 0.0)
    total = total + np.sqrt(more) * rng.standard_normal(total.shape, np.float32)
    ivar = np.where(good, 1.0 / (noise + more) / continuum**2, 0.0)
    return SpectrumBatch.from_arrays(one.identity, one.wavelength, total * continuum, ivar)


def completeness(
    table: pa.Table,
    delta_rv: npt.ArrayLike,
    light_ratio: npt.ArrayLike,
    snr: npt.ArrayLike,
    vsini: npt.ArrayLike = 5.0,
) -> np.ndarray:
    """Share of SB2 that the search finds, interpolated in the published table of simulated pairs.

    Parameters
    ----------
    table : catalogue binaries_completeness
    delta_rv, light_ratio, snr, vsini : km/s, faint over bright, S/N a pixel, km/s

    Returns an array of the broadcast shape, from 0 to 1. It is NaN for pairs that are harder to find than any
    of the table (nearer velocities, less light, lower S/N or faster rotation), and where a value is missing.
    Beyond its other ends, where pairs are easier to find, the table's last values hold.

    Raises ValueError: a light ratio is above 1.
    """
    table = table.filter(pc.equal(table["source"], "simulated")).sort_by(
        [(name, "ascending") for name in AXES]
    )
    scales: tuple[Any, ...] = (np.asarray, np.log, np.log, np.asarray)
    axes = [np.unique(table[name].to_numpy()).astype(np.float64) for name in AXES]
    rate = (table["found"].to_numpy() / table["trials"].to_numpy()).reshape([axis.size for axis in axes])
    # As the table, in single precision: 0.3 is not less than its 0.3.
    points = np.broadcast_arrays(*(np.asarray(x, np.float32) for x in (delta_rv, light_ratio, snr, vsini)))
    missing = np.any(np.isnan(points), axis=0)
    if np.any(points[1] > 1):
        raise ValueError(
            "light_ratio is above 1: give the light of the fainter star over that of the brighter"
        )
    harder = missing | np.any([x < axis[0] for x, axis in zip(points[:3], axes, strict=False)], axis=0)
    harder |= points[3] > axes[3][-1]
    inside = [np.clip(np.nan_to_num(x), axis[0], axis[-1]) for x, axis in zip(points, axes, strict=True)]
    many = [axis.size > 1 for axis in axes]
    grid = [scale(axis) for scale, axis, use in zip(scales, axes, many, strict=True) if use]
    at = [scale(x) for scale, x, use in zip(scales, inside, many, strict=True) if use]
    value = RegularGridInterpolator(grid, np.squeeze(rate))(np.stack(at, axis=-1))
    return np.where(harder, np.nan, value.reshape(harder.shape))


def _around(rng: np.random.Generator, delta_rv: np.ndarray) -> np.ndarray:
    """Velocities (n, 2) so far apart, either star the bluer one, about any centre within 60 km/s."""
    half = 0.5 * rng.choice([-1.0, 1.0], delta_rv.size) * delta_rv
    centre = rng.uniform(-60.0, 60.0, delta_rv.size)
    return np.stack([centre - half, centre + half], axis=1)


def _counted(source: str, draws: np.ndarray, found: np.ndarray) -> pa.Table:
    """Trials and successes at each different point of draws (n, axes); axes that are not drawn are null."""
    points, place = np.unique(draws, axis=0, return_inverse=True)
    place = place.ravel()
    columns = {"source": pa.array([source] * len(points), pa.string())}
    for i, name in enumerate(AXES):
        known = i < draws.shape[1]
        columns[name] = pa.array(points[:, i], pa.float32()) if known else pa.nulls(len(points), pa.float32())
    columns["trials"] = pa.array(np.bincount(place, minlength=len(points)), pa.int32())
    success = np.bincount(place, found, len(points))
    return pa.table({**columns, "found": pa.array(success.astype(np.int32))})


def _join(parts: Iterable[SpectrumBatch]) -> SpectrumBatch:
    """Batches of spectra of one arm as one; those of fewer pixels are padded."""
    parts = list(parts)
    rows = [
        (batch.wavelength[i], batch.flux[i], batch.ivar[i], batch.mask[i])
        for batch in parts
        for i in range(batch.n)
    ]
    identity = pa.concat_tables([batch.identity for batch in parts])
    return SpectrumBatch.from_ragged(identity, rows)
