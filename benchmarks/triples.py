"""What hierarchical triples and hard cases in the training set gain (Li et al. 2023: SB3 precision of 26 %).

    python benchmarks/triples.py [--per-class 1500] [--systems 3000] [--seed 99]

Four training sets: triples drawn at random as in the paper or hierarchical, without or with CCFs that show
more components than there are stars. Each trains the five networks, which vote on the same independent test
spectra: single stars, a quarter of them rotators, binaries and hierarchical triples of any orbit, S/N 5-200.
Precision is for a sky in which 90 % of the spectra are single, 8 % double and 2 % triple; recall is of the
spectra in which the CCF shows the right number of components.
"""

import argparse

import numpy as np
from _arguments import whole_number

from starsift.searches.binaries.dataset import Laboratory, training_set
from starsift.searches.binaries.predict import classify
from starsift.searches.binaries.training import CLASSIFIERS, train_classifier
from starsift.settings import default_settings
from starsift.spectra.templates import load_grid
from starsift.synthesis.exposures import draw_snr
from starsift.synthesis.stars import Systems, draw_binaries, draw_singles, draw_triples

BINARIES = default_settings()["binaries"]

SKY = {1: 0.90, 2: 0.08, 3: 0.02}


def draw_sky(rng: np.random.Generator, number: int, n: int) -> Systems:
    """Systems of `number` stars whose orbits are as they come."""
    if number == 1:
        return draw_singles(rng, n, rotator_fraction=0.25)
    return draw_binaries(rng, n, None) if number == 2 else draw_triples(rng, n, delta_rv=None)


def main() -> None:
    """Train, vote and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--per-class", type=whole_number(), default=1500)
    parser.add_argument("--systems", type=whole_number(), default=3000, help="test spectra of each kind")
    parser.add_argument("--seed", type=whole_number(0), default=99)
    options = parser.parse_args()
    laboratory = Laboratory.build(load_grid(), peaks=BINARIES["peaks"], **BINARIES["ccf"])
    curves, counts, stars, weights = [], [], [], []
    for number, share in SKY.items():
        rng = np.random.default_rng([options.seed, number])
        for start in range(0, options.systems, 1000):
            n = min(1000, options.systems - start)
            found, components = laboratory.measure(
                laboratory.observe(draw_sky(rng, number, n), draw_snr(rng, n, 5, 200), rng)
            )
            curves.append(found.ccf)
            counts.append(components.count)
            stars.append(np.full(n, number))
            weights.append(np.full(n, share / options.systems))
    ccf, count, true, weight = (np.concatenate(parts) for parts in (curves, counts, stars, weights))

    print("| triples | hard cases | SB2 precision | SB2 recall | SB3 precision | SB3 recall | false alarms |")
    print("|---|---|---|---|---|---|---|")

    def row(first: str, second: str, called2: np.ndarray, called3: np.ndarray) -> None:
        cells = []
        for number, called in ((2, called2), (3, called3)):
            right = (true >= 2) if number == 2 else (true == 3)
            seen = (true == number) & (count == number)
            cells.append(weight[called & right].sum() / max(weight[called].sum(), 1e-12))
            cells.append((called & seen).sum() / max(seen.sum(), 1))
        false = (called2 | called3)[true == 1].mean()
        print(
            f"| {first} | {second} | {' | '.join(f'{cell:.3f}' for cell in cells)} | {false:.4f} |",
            flush=True,
        )

    row("no vote: the CCF alone", "-", count == 2, count == 3)
    for hierarchical in (False, True):
        for hard in (0.0, BINARIES["training"]["hard_fraction"]):
            table = training_set(
                laboratory,
                seed=options.seed + 1,
                **BINARIES["training"]
                | {"per_class": options.per_class, "hierarchical": hierarchical, "hard_fraction": hard},
            )
            examples = np.stack(table["ccf"].to_numpy())
            networks = {
                name: train_classifier(
                    examples, table["label"].to_numpy(), name, seed=1, **BINARIES["network"]
                )
                for name in CLASSIFIERS
            }
            kind = np.array(
                [
                    value or ""
                    for value in classify(ccf, count, networks, **BINARIES["vote"])["vote"].to_pylist()
                ]
            )
            row("hierarchical" if hierarchical else "random", f"{hard:g}", kind == "SB2", kind == "SB3")


if __name__ == "__main__":
    main()
