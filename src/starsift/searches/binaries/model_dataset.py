"""Simulated spectra with models fitted to them, from which `decision` learns.

The stars' templates are not those of the fits: lines are wrong in strength, the resolution is another one,
and the errors of the pixels are off, as they are in real spectra.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np

from starsift.searches.binaries.dataset import anonymous_batch, draw_snr
from starsift.searches.binaries.decision import features
from starsift.searches.binaries.model_bank import ModelBank
from starsift.searches.binaries.model_fit import STARS, ModelFits, fit_models
from starsift.spectra.templates import TemplateGrid
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
CLOSEST_KMS = 35.0  # and as far apart: closer ones are one line


@dataclass(frozen=True)
class Sample:
    """n simulated spectra: `features` (n, 2, feature); `right` (n, 2); `stars` (n,) 1 to 3; `rv`, `light`,
    `vsini` (n, 3), NaN beyond; `found` (n, 3, 3) fitted velocities; `found_err`; `snr` (n,)."""

    features: np.ndarray
    right: np.ndarray
    stars: np.ndarray
    rv: np.ndarray
    light: np.ndarray
    vsini: np.ndarray
    found: np.ndarray
    found_err: np.ndarray
    snr: np.ndarray


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
        n = min(GROUP, number - start)
        wrong = perturb_lines(
            grid, rng, amplitude=_between(rng, LINE_ERROR), width=_between(rng, LINE_ERROR_WIDTH)
        )
        synthesizer = Synthesizer(wrong, resolution * (1 + RESOLUTION_SPREAD * rng.uniform(-1, 1)))
        systems = draw_systems(rng, n, stars, apart=start // GROUP % 2 == 0)
        parts.append(_observe_and_fit(synthesizer, bank, systems, draw_snr(rng, n, *snr), rng))
    return Sample(*(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(Sample)))


def draw_systems(rng: np.random.Generator, n: int, stars: int, *, apart: bool) -> Systems:
    """Systems of 1, 2 or 3 stars; `apart`: their velocities differ by 30 km/s or more."""
    if stars == 1:
        return draw_singles(rng, n, rotator_fraction=0.15)
    gaps = (30.0, 250.0) if apart else None
    return draw_binaries(rng, n, gaps) if stars == 2 else draw_triples(rng, n, delta_rv=gaps)


def _between(rng: np.random.Generator, limits: Sequence[float]) -> float:
    return float(np.exp(rng.uniform(*np.log(limits))))


def _observe_and_fit(
    synthesizer: Synthesizer, bank: ModelBank, systems: Systems, snr: np.ndarray, rng: np.random.Generator
) -> Sample:
    exposures = observe(synthesizer.wavelength, synthesizer.system_flux(systems), snr=snr, rng=rng)
    batch = anonymous_batch(*exposures, snr)
    wrong = np.exp(rng.normal(0.0, IVAR_SPREAD, (batch.n, 1)))
    fits = fit_models(replace(batch, ivar=(batch.ivar * wrong).astype(np.float32)), bank)

    def padded(values: np.ndarray) -> np.ndarray:
        return np.pad(values, ((0, 0), (0, STARS - values.shape[1])), constant_values=np.nan)

    rv = padded(systems.rv)
    return Sample(
        features=features(fits, bank),
        right=np.column_stack([matches(fits, rv, stars) for stars in (2, 3)]),
        stars=np.full(batch.n, systems.rv.shape[1]),
        rv=rv,
        light=padded(synthesizer.flux_fractions(systems)),
        vsini=padded(systems.vsini),
        found=fits.rv,
        found_err=fits.rv_err,
        snr=snr,
    )


def matches(fits: ModelFits, rv: np.ndarray, stars: int) -> np.ndarray:
    """Whether the model with so many stars has the velocities of different simulated ones, `rv` (n, 3)."""
    found = np.sort(fits.rv[:, stars - 1, :stars], axis=1)
    true = np.sort(rv, axis=1)
    apart = (np.diff(found, axis=1) >= CLOSEST_KMS).all(axis=1)
    choices = [(0, 1), (0, 2), (1, 2)] if stars == 2 else [(0, 1, 2)]
    near = [(np.abs(found - true[:, list(c)]) < TOLERANCE_KMS).all(axis=1) for c in choices]
    return apart & np.any(near, axis=0)
