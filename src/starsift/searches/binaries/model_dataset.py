"""Simulated spectra with models fitted to them, from which `decision` learns.

The stars' templates are not those of the fits: lines are wrong in strength, the resolution is another one,
and the errors of the pixels are off, as they are in real spectra.
"""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from scipy.optimize import brentq

from starsift.io.parquet import write_parquet
from starsift.robust import MAD_TO_SIGMA
from starsift.searches.binaries.decision import FEATURES, Decision, neighbours, train_decision
from starsift.searches.binaries.fits import array_of, fixed_lists, summarise
from starsift.searches.binaries.model_bank import ModelBank
from starsift.searches.binaries.model_fit import STARS, ModelFits, fit_models
from starsift.spectra.batches import SpectrumBatch
from starsift.spectra.templates import TemplateGrid
from starsift.synthesis.exposures import anonymous_batch, draw_snr
from starsift.synthesis.mismatch import perturb_lines
from starsift.synthesis.mrs import observe
from starsift.synthesis.stars import Synthesizer, Systems, draw_binaries, draw_singles, draw_triples

GROUP = 64  # spectra that share the errors of their templates
# Ranges of imperfections, drawn log-uniform for each group.
LINE_ERROR = (0.05, 0.35)  # relative, of depths
LINE_ERROR_WIDTH = (0.3, 1.5)  # Angstrom
RESOLUTION_SPREAD = 0.13  # of the instrument, either way
IVAR_SPREAD = 0.35  # natural logarithm, of a spectrum's ivar
TOLERANCE_KMS = 20.0  # a companion is right if the velocities are this near the truth
SLOW_KMS = 30.0  # v sin i below which velocities are promised
CLOSEST_KMS = 35.0  # and as far apart: closer ones are one line


@dataclass(frozen=True)
class Sample:
    """n simulated spectra, with float32 arrays.

    Attributes
    ----------
    stars, snr : (n,) number of stars; signal-to-noise ratio
    rv, light, vsini : (n, 3) of the stars, km/s, share of the light, km/s; NaN beyond
    features : (n, 2, feature) of the fits, see `decision.features`
    right : (n, 2) 1 where the velocities of the second, third star are those of simulated stars, else 0
    found, found_err : (n, 3, 3) fitted velocities, ascending, and their errors, as in `ModelFits`
    found_light, found_light_err : (n, 3, 3) fitted shares of the light and their errors, as in `Fits`
    """

    stars: np.ndarray
    snr: np.ndarray
    rv: np.ndarray
    light: np.ndarray
    vsini: np.ndarray
    features: np.ndarray
    right: np.ndarray
    found: np.ndarray
    found_err: np.ndarray
    found_light: np.ndarray
    found_light_err: np.ndarray


_MODELS = (STARS, STARS)
SHAPES: dict[str, tuple[int, ...]] = {
    **dict.fromkeys(("stars", "snr"), ()),
    **dict.fromkeys(("rv", "light", "vsini"), (STARS,)),
    "features": (STARS - 1, len(FEATURES)),
    "right": (STARS - 1,),
    **dict.fromkeys(("found", "found_err", "found_light", "found_light_err"), _MODELS),
}


def write_sample(path: str | os.PathLike[str], sample: Sample) -> None:
    """Write a sample as Parquet, a row a spectrum."""
    write_parquet(pa.table({name: fixed_lists(getattr(sample, name)) for name in SHAPES}), path)


def read_samples(paths: Iterable[str | os.PathLike[str]]) -> Sample:
    """Read and join what `write_sample` wrote."""
    table = pa.concat_tables([pq.read_table(path) for path in paths])
    return Sample(**{name: array_of(table[name], shape) for name, shape in SHAPES.items()})


def simulate(
    grid: TemplateGrid,
    bank: ModelBank,
    *,
    resolution: float,
    stars: int,
    number: int,
    snr: tuple[float, float],
    seed: int,
) -> Sample:
    """Spectra of `stars` stars, with imperfections, and their fits.

    Half of the binaries and triples are drawn with any velocities, half with lines that are apart.
    """
    rng = np.random.default_rng([seed, stars])
    parts = []
    for start in range(0, number, GROUP):
        n, apart = min(GROUP, number - start), start // GROUP % 2 == 0
        drawn = draw_exposures(grid, rng, n, stars, resolution=resolution, snr=snr, apart=apart)
        parts.append(_fit(drawn, bank))
    return Sample(*(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(Sample)))


class SimulatedExposures(NamedTuple):
    """n exposures that share the errors of their templates, in `batch`, and their truth.

    `light` (n, star) is each star's share of the light, `snr` (n,) the signal-to-noise ratio.
    """

    batch: SpectrumBatch
    systems: Systems
    light: np.ndarray
    snr: np.ndarray


def draw_exposures(
    grid: TemplateGrid,
    rng: np.random.Generator,
    n: int,
    stars: int,
    *,
    resolution: float,
    snr: tuple[float, float],
    apart: bool,
) -> SimulatedExposures:
    """SimulatedExposures with imperfections of n systems of 1, 2 or 3 stars, see `draw_systems`."""
    synthesizer = imperfect_stars(grid, resolution, rng)
    systems = draw_systems(rng, n, stars, apart=apart)
    ratio = draw_snr(rng, n, *snr)
    batch = imperfect_exposures(synthesizer.wavelength, synthesizer.system_flux(systems), ratio, rng)
    return SimulatedExposures(batch, systems, synthesizer.flux_fractions(systems), ratio)


def draw_systems(rng: np.random.Generator, n: int, stars: int, *, apart: bool) -> Systems:
    """Systems of 1, 2 or 3 stars; `apart`: their velocities differ by 30 km/s or more."""
    if stars == 1:
        return draw_singles(rng, n, rotator_fraction=0.15)
    gaps = (30.0, 250.0) if apart else None
    return draw_binaries(rng, n, gaps) if stars == 2 else draw_triples(rng, n, delta_rv=gaps)


def imperfect_stars(grid: TemplateGrid, resolution: float, rng: np.random.Generator) -> Synthesizer:
    """Stars whose lines and resolution are not those of the templates."""
    wrong = perturb_lines(
        grid, rng, amplitude=_between(rng, LINE_ERROR), width=_between(rng, LINE_ERROR_WIDTH)
    )
    return Synthesizer(wrong, resolution * (1 + RESOLUTION_SPREAD * rng.uniform(-1, 1)))


def imperfect_exposures(
    wavelength: np.ndarray, flux: np.ndarray, snr: np.ndarray, rng: np.random.Generator
) -> SpectrumBatch:
    """Blue-arm exposures of model spectra (n, pixel) at S/N `snr` (n,), whose ivar is off by a factor."""
    batch = anonymous_batch(*observe(wavelength, flux, snr=snr, rng=rng), snr)
    wrong = np.exp(rng.normal(0.0, IVAR_SPREAD, (batch.n, 1)))
    return replace(batch, ivar=(batch.ivar * wrong).astype(np.float32))


def _between(rng: np.random.Generator, limits: Sequence[float]) -> float:
    return float(np.exp(rng.uniform(*np.log(limits))))


def _fit(drawn: SimulatedExposures, bank: ModelBank) -> Sample:
    fits = fit_models(drawn.batch, bank)
    kept = summarise(fits, bank)

    def padded(values: np.ndarray) -> np.ndarray:
        return np.pad(values, ((0, 0), (0, STARS - values.shape[1])), constant_values=np.nan)

    rv = padded(drawn.systems.rv)
    return Sample(
        features=kept.features,
        right=np.column_stack([matches(fits, rv, stars) for stars in (2, 3)]),
        stars=np.full(drawn.batch.n, float(drawn.systems.n_components)),
        rv=rv,
        light=padded(drawn.light),
        vsini=padded(drawn.systems.vsini),
        found=kept.rv,
        found_err=kept.rv_err,
        found_light=kept.light,
        found_light_err=kept.light_err,
        snr=drawn.snr,
    )


def matches(fits: ModelFits, rv: np.ndarray, stars: int) -> np.ndarray:
    """Whether the model with so many stars has the velocities of different simulated ones, `rv` (n, 3)."""
    found = np.sort(fits.rv[:, stars - 1, :stars], axis=1)
    true = np.sort(rv, axis=1)
    apart = (np.diff(found, axis=1) >= CLOSEST_KMS).all(axis=1)
    choices = [(0, 1), (0, 2), (1, 2)] if stars == 2 else [(0, 1, 2)]
    near = [(np.abs(found - true[:, list(c)]) < TOLERANCE_KMS).all(axis=1) for c in choices]
    return apart & np.any(near, axis=0)


def decide(sample: Sample, *, proportions: Sequence[float], purity: Sequence[float], seed: int) -> Decision:
    """Learn the decision from spectra of one, two and three stars.

    Parameters
    ----------
    proportions : (3,) of one, two and three stars in the survey; they need not add up to 1
    purity : see `train_decision`
    """
    number = np.bincount(sample.stars.astype(int), minlength=STARS + 1)[1:]
    weight = (np.asarray(proportions) / np.maximum(number, 1))[sample.stars.astype(int) - 1]
    systematic, systematic_light = systematic_errors(sample)
    return train_decision(
        sample.features,
        sample.right > 0,
        weight,
        purity=purity,
        systematic=systematic,
        systematic_light=systematic_light,
        seed=seed,
    )


def systematic_errors(sample: Sample) -> tuple[list[float], list[float]]:
    """What is to be added in quadrature to the errors of velocities (km/s) and of shares of the light, by
    `decision.neighbours`.

    With it, (found - true) / error scatters by 1 (by its median: blends have long tails) among spectra whose
    stars were found and rotate slowly; 0 where the errors suffice as they are, or no spectrum tells.
    """
    slow = np.nan_to_num(sample.vsini).max(axis=1) < SLOW_KMS
    parts = []
    for stars in range(1, STARS + 1):
        good = slow & (sample.stars == stars)
        if stars > 1:
            good &= sample.right[:, stars - 2] > 0
        model = (good, stars - 1, slice(stars))
        rv, light = sample.rv[good, :stars], sample.light[good, :stars]
        order = np.argsort(rv, axis=1)
        columns = (
            np.abs(sample.found[model] - np.take_along_axis(rv, order, axis=1)),
            sample.found_err[model],
            np.abs(sample.found_light[model] - np.take_along_axis(light, order, axis=1)),
            sample.found_light_err[model],
            neighbours(sample.found[model]),
        )
        parts.append(np.stack(columns).reshape(len(columns), -1))
    away, found_err, light_away, light_err, place = np.concatenate(parts, axis=1)
    classes = [(place == i) & (away < TOLERANCE_KMS) for i in range(4)]
    return (
        [_systematic(away[use], found_err[use]) for use in classes],
        [_systematic(light_away[use], light_err[use]) for use in classes],
    )


def _systematic(away: np.ndarray, error: np.ndarray) -> float:
    def excess(systematic: float) -> float:
        return float(np.median(away / np.hypot(error, systematic)) * MAD_TO_SIGMA - 1.0)

    return float(brentq(excess, 0.0, TOLERANCE_KMS)) if away.size and excess(0.0) > 0 else 0.0
