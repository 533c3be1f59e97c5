"""How pure and complete the decision is, on simulated spectra that it did not learn from.

    python benchmarks/decision.py results/binaries/decision/decision.json

Counts are for a survey of the proportions of the settings. A called SB2 is right if its two velocities are
those of two simulated stars, a called SB3 if all three are.
"""

import argparse

import numpy as np
from _arguments import existing_path, whole_number

from starsift.searches.binaries.decision import Decision
from starsift.searches.binaries.model_bank import build_models
from starsift.searches.binaries.model_dataset import Sample, simulate
from starsift.searches.binaries.settings import model_settings
from starsift.settings import default_settings
from starsift.spectra.templates import load_grid

BINARIES = default_settings()["binaries"]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("decision", type=existing_path, nargs="+")
    parser.add_argument("--spectra", type=whole_number(), nargs=3, default=(12000, 3000, 2500))
    parser.add_argument("--seed", type=whole_number(0), default=2027)
    options = parser.parse_args()
    samples = draw(options.spectra, options.seed)
    print("| decision | SB2: right velocities | SB2: not single | SB3: right | SB3: not single |", end="")
    print(" singles called SB2, SB3 | doubles | doubles, clear | triples |")
    print("|---|---|---|---|---|---|---|---|---|")
    for path in options.decision:
        report(path.stem, Decision.load(path), samples)


def draw(numbers: list[int], seed: int) -> list[Sample]:
    """Samples of one, two and three stars."""
    grid = load_grid()
    bank = build_models(grid, **model_settings(BINARIES))
    shared = {"resolution": BINARIES["ccf"]["resolution"], "snr": BINARIES["training"]["snr"], "seed": seed}
    return [simulate(grid, bank, stars=i, number=n, **shared) for i, n in enumerate(numbers, 1)]


def report(name: str, decision: Decision, samples: list[Sample]) -> None:
    """Print a row. Clear doubles: 60 km/s apart or more, light ratio 1/4 or more, S/N 10 or more."""
    called = [decision.multiplicity(sample.features) for sample in samples]
    total = np.array(BINARIES["decision"]["proportions"]) / [len(sample.stars) for sample in samples]

    def count(kind: str, stars: int | None = None) -> float:
        """Of a survey: those called `kind`; with `stars`, those whose so many velocities are right."""
        found = [c == kind for c in called]
        if stars:
            found = [f & (s.right[:, stars - 2] > 0) for f, s in zip(found, samples, strict=True)]
        return float(sum(weight * f.sum() for weight, f in zip(total, found, strict=True)))

    single = {kind: float(total[0] * (called[0] == kind).sum()) for kind in ("SB2", "SB3")}
    row = []
    for kind, stars in (("SB2", 2), ("SB3", 3)):
        found = count(kind)
        row += [percent(count(kind, stars), found, 1), percent(found - single[kind], found, 1)]
    _, double, triple = samples
    apart = np.abs(double.rv[:, 0] - double.rv[:, 1]) >= 60
    light = np.nanmin(double.light, axis=1) / np.nanmax(double.light, axis=1)
    clear = apart & (light >= 0.25) & (double.snr >= 10)
    wide = np.diff(np.sort(triple.rv, axis=1), axis=1).min(axis=1) >= 60
    false = " + ".join(str(int((called[0] == kind).sum())) for kind in ("SB2", "SB3"))
    row.append(f"{false} of {len(called[0])}")
    for kind, some in (("SB2", called[1][apart]), ("SB2", called[1][clear]), ("SB3", called[2][wide])):
        row.append(percent((some == kind).sum(), len(some)))
    print(f"| {' | '.join([name, *row])} |", flush=True)


def percent(part: float, total: float, digits: int = 0) -> str:
    """A share as a cell of the table."""
    return f"{100 * part / total:.{digits}f} %" if total else "-"


if __name__ == "__main__":
    main()
