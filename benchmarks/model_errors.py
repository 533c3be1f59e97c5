"""Errors of the models' velocities and shares of the light, beside noisy copies and the truth.

    python benchmarks/model_errors.py --decision results/binaries/decision/decision.json [--spectra 768]

Simulated singles, binaries and triples with the imperfections of real spectra and vsini below 30 km/s get
their noise once more, `--copies` times. The scatter of the fits over the copies (Monte Carlo: its standard
deviation and, robustly, its median absolute deviation) is compared with the error from the curvature of
chi-square for the same noise. A pull is (measured - true) / error, with the error of the catalogue, which has
the decision's systematic part: its standard deviation, and robustly.
"""

import argparse
import itertools
from dataclasses import replace

import numpy as np
from _arguments import existing_path, whole_number

from starsift.robust import MAD_TO_SIGMA
from starsift.searches.binaries.decision import Decision, neighbours
from starsift.searches.binaries.fits import summarise
from starsift.searches.binaries.model_bank import ModelBank, build_models
from starsift.searches.binaries.model_dataset import GROUP, SLOW_KMS, TOLERANCE_KMS, draw_exposures
from starsift.searches.binaries.model_fit import STARS, fit_models
from starsift.searches.binaries.settings import model_settings
from starsift.settings import default_settings
from starsift.spectra.batches import SpectrumBatch
from starsift.spectra.templates import TemplateGrid, load_grid

BINARIES = default_settings()["binaries"]
PLACES = ("none", "> 80", "60-80", "< 60")  # of `decision.neighbours`
SNR = (5.0, 20.0, 60.0, 200.0)
FEWEST = 10  # copies, and values of a line of the table


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--decision", type=existing_path, required=True)
    parser.add_argument(
        "--spectra", type=whole_number(), default=768, help="of each number of stars, in groups of 64"
    )
    parser.add_argument("--copies", type=whole_number(FEWEST), default=30)
    parser.add_argument("--seed", type=whole_number(0), default=2024)
    options = parser.parse_args()
    grid, decision = load_grid(), Decision.load(options.decision)
    bank = build_models(grid, **model_settings(BINARIES))
    quantity = "Monte Carlo / curvature | robust | deviation | robust | pull | robust |"
    print(f"| stars | next star km/s | S/N | stars fitted | velocity: {quantity} share: {quantity}")
    print("|---" * 16 + "|")
    for stars in range(1, STARS + 1):
        rng = np.random.default_rng([options.seed, stars])
        groups = range(0, options.spectra, GROUP)
        parts = [measure(grid, bank, decision, stars, options.copies, rng) for _ in groups]
        place, snr, velocity, share = (np.concatenate(arrays, axis=-1) for arrays in zip(*parts, strict=True))
        for i, name in enumerate(PLACES):
            for low, high in itertools.pairwise(SNR):
                use = (place == i) & (snr >= low) & (snr < high)
                if use.sum() >= FEWEST:
                    cells = summary(velocity[:, use]) + (summary(share[:, use]) if stars > 1 else " |" * 6)
                    print(f"| {stars} | {name} | {low:g}-{high:g} | {use.sum()} |{cells}", flush=True)


def measure(
    grid: TemplateGrid,
    bank: ModelBank,
    decision: Decision,
    stars: int,
    copies: int,
    rng: np.random.Generator,
) -> tuple[np.ndarray, ...]:
    """Neighbours and S/N of the m stars of a group that were found, and (5, m) of velocities and of shares.

    Of each: measured - true, the error of noise, the error of the catalogue, standard deviation and robust
    scatter over the copies.
    """
    model = (slice(None), stars - 1, slice(stars))
    resolution, ends = BINARIES["ccf"]["resolution"], (SNR[0], SNR[-1])
    batch, systems, light, snr = draw_exposures(
        grid, rng, GROUP, stars, resolution=resolution, snr=ends, apart=True
    )
    order = np.argsort(systems.rv, axis=1)
    true, light = (np.take_along_axis(a, order, axis=1) for a in (systems.rv, light))
    fits = fit_models(batch, bank)
    near = (np.abs(fits.rv[model] - true) < TOLERANCE_KMS).all(axis=1)
    rows = np.flatnonzero(near & (systems.vsini.max(axis=1) < SLOW_KMS))
    again = summarise(fit_models(noisy_copies(batch.take(rows), copies, rng), bank), bank)
    rv_copies, share_copies = (a[model].reshape(-1, copies, stars) for a in (again.rv, again.light))
    # As in the CCF's Monte Carlo, copies that show other stars do not count.
    same = (np.abs(rv_copies - fits.rv[model][rows, None]) < TOLERANCE_KMS).all(axis=2)
    enough = same.sum(axis=1) >= FEWEST
    rows, same = rows[enough], same[enough][..., None]
    found = summarise(fits, bank)
    rv, rv_err, share, share_err = (
        getattr(found, name)[model][rows] for name in ("rv", "rv_err", "light", "light_err")
    )
    # Copies have the noise that the ivar says: without the scaling of errors by the reduced chi-square.
    scale = np.sqrt(np.maximum(fits.chi2[rows, stars - 1] / fits.pixels[rows], 1.0))[:, None]
    results = (
        (rv - true[rows], rv_err, decision.velocity_errors(rv, rv_err), rv_copies),
        (share - light[rows], share_err, decision.light_errors(rv, share_err), share_copies),
    )
    quantities = [
        np.stack([away, error / scale, complete, *scatter(np.where(same, values[enough], np.nan))])
        for away, error, complete, values in results
    ]
    return neighbours(rv).ravel(), np.repeat(snr[rows], stars), *(q.reshape(5, -1) for q in quantities)


def noisy_copies(batch: SpectrumBatch, copies: int, rng: np.random.Generator) -> SpectrumBatch:
    """Copies of each spectrum with Gaussian noise of its ivar added."""
    many = batch.take(np.repeat(np.arange(batch.n), copies))
    good = many.ivar > 0
    noise = np.divide(1.0, np.sqrt(many.ivar), out=np.zeros_like(many.ivar), where=good)
    return replace(many, flux=many.flux + noise * rng.standard_normal(many.flux.shape, np.float32))


def scatter(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Standard deviation and robust scatter (n, star) of values (n, copy, star), without NaN."""
    away = np.abs(values - np.nanmedian(values, axis=1, keepdims=True))
    return np.nanstd(values, axis=1, ddof=1), MAD_TO_SIGMA * np.nanmedian(away, axis=1)


def summary(values: np.ndarray) -> str:
    """Cells of the table of (5, m) values, see `measure`."""
    away, noise, complete, deviation, robust = values
    numbers = [np.median(deviation / noise), np.median(robust / noise)]
    pull = away / complete
    numbers += [away.std(), MAD_TO_SIGMA * np.median(np.abs(away))]
    numbers += [pull.std(), MAD_TO_SIGMA * np.median(np.abs(pull))]
    return "".join(f" {number:.2f} |" if abs(number) >= 0.2 else f" {number:.3f} |" for number in numbers)


if __name__ == "__main__":
    main()
