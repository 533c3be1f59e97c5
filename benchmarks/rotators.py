"""Which single stars that rotate fast are called double or triple.

    python benchmarks/rotators.py results/binaries/decision/decision.json

Simulated single stars with the imperfections of the training set, S/N 10 to 150, by kind of star and v sin i.
"""

import argparse
from dataclasses import replace

import numpy as np
from _arguments import existing_path, whole_number

from starsift.searches.binaries.decision import Decision, features
from starsift.searches.binaries.model_bank import build_models
from starsift.searches.binaries.model_dataset import GROUP, draw_systems, imperfect_exposures, imperfect_stars
from starsift.searches.binaries.model_fit import fit_models
from starsift.searches.binaries.settings import model_settings
from starsift.settings import default_settings
from starsift.spectra.templates import load_grid
from starsift.synthesis.exposures import draw_snr

BINARIES = default_settings()["binaries"]
ROTATION = ((0, 25), (25, 50), (50, 80), (80, 120), (120, 200))  # km/s


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("decision", type=existing_path)
    parser.add_argument(
        "--groups", type=whole_number(), default=10, help=f"of {GROUP} stars, of each v sin i"
    )
    options = parser.parse_args()
    decision = Decision.load(options.decision)
    grid = load_grid()
    bank = build_models(grid, **model_settings(BINARIES))
    rng = np.random.default_rng(5)
    print("| v sin i km/s | dwarfs above 6200 K | dwarfs 5200-6200 K | cooler dwarfs | giants |")
    print("|---|---|---|---|---|")
    for limits in ROTATION:
        hot, middle, cool, giant = [], [], [], []
        for _ in range(options.groups):
            stars = imperfect_stars(grid, BINARIES["ccf"]["resolution"], rng)
            systems = draw_systems(rng, GROUP, 1, apart=False)
            systems = replace(systems, vsini=rng.uniform(*limits, systems.vsini.shape))
            snr = draw_snr(rng, GROUP, 10.0, 150.0)
            batch = imperfect_exposures(stars.wavelength, stars.system_flux(systems), snr, rng)
            called = decision.multiplicity(features(fit_models(batch, bank), bank)) != ""
            teff, dwarf = systems.teff[:, 0], systems.logg[:, 0] > 3.7
            hot += called[dwarf & (teff > 6200)].tolist()
            middle += called[dwarf & (teff <= 6200) & (teff > 5200)].tolist()
            cool += called[dwarf & (teff <= 5200)].tolist()
            giant += called[~dwarf].tolist()
        cells = [
            f"{100 * np.mean(some):.1f} % of {len(some)}" if some else "-"
            for some in (hot, middle, cool, giant)
        ]
        print(f"| {limits[0]}-{limits[1]} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
