"""How honest the Monte Carlo errors are, and the systematic part that makes them so (errors.systematic).

    python benchmarks/rv_errors.py [--systems 600] [--seed 2024]

Simulated stars, binaries and triples (not those of the demo) with vsini below 30 km/s and S/N 5-200 go
through the CCF, the peak finding and the Monte Carlo errors. The systematic part is what, added in quadrature
to every error, gives (measured - true) / error a standard deviation of one.
"""

import argparse

import numpy as np
from _arguments import whole_number
from scipy.optimize import brentq

from starsift.searches.binaries.dataset import Laboratory, recovered
from starsift.searches.binaries.errors import monte_carlo
from starsift.searches.binaries.peaks import Components
from starsift.settings import default_settings
from starsift.spectra.templates import load_grid
from starsift.synthesis.exposures import draw_snr
from starsift.synthesis.stars import draw_binaries, draw_singles, draw_triples

BINARIES = default_settings()["binaries"]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--systems", type=whole_number(), default=600, help="recovered ones of each kind")
    parser.add_argument("--seed", type=whole_number(0), default=2024)
    options = parser.parse_args()
    laboratory = Laboratory.build(load_grid(), peaks=BINARIES["peaks"], **BINARIES["ccf"])
    draws = {"one": draw_singles, "two": draw_binaries, "three": draw_triples}
    print(
        "| components | velocities | bias km/s | scatter | median error | systematic | pull without | with |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for number, (name, draw) in enumerate(draws.items(), 1):
        rng = np.random.default_rng([options.seed, number])
        differences, sigmas = [], []
        while sum(map(len, differences)) < options.systems:
            systems = draw(rng, 512)
            snr = draw_snr(rng, systems.n, 5, 200)
            batch = laboratory.observe(systems, snr, rng)
            _, found = laboratory.measure(batch)
            rows = np.flatnonzero(recovered(found, systems.rv) & (systems.vsini.max(axis=1) < 30))
            some = Components(*(getattr(found, key)[rows] for key in ("count", "rv", "sigma", "converged")))
            errors, _ = monte_carlo(
                batch.take(rows),
                laboratory.bank,
                some,
                n_copies=BINARIES["errors"]["n_copies"],
                seed=options.seed,
                systematic=[0.0],
                **BINARIES["peaks"],
            )
            differences.append(some.rv[:, :number] - np.sort(systems.rv[rows], axis=1))
            sigmas.append(errors[:, :number])
        difference, sigma = np.concatenate(differences).ravel(), np.concatenate(sigmas).ravel()
        use = np.isfinite(sigma)
        difference, sigma = difference[use], sigma[use]

        def pull(systematic: float, d: np.ndarray = difference, s: np.ndarray = sigma) -> float:
            return float((d / np.hypot(s, systematic)).std())

        needed = brentq(lambda x: pull(x) - 1.0, 0.0, 50.0) if pull(0.0) > 1 else 0.0
        print(
            f"| {name} | {difference.size} | {difference.mean():.2f} | {difference.std():.2f} "
            f"| {np.median(sigma):.2f} | {needed:.2f} | {pull(0.0):.2f} | {pull(needed):.2f} |"
        )


if __name__ == "__main__":
    main()
