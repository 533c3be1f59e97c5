"""Orbits of simulated binaries: how often the period is certain, and right, and whether errors hold.

    python benchmarks/orbits.py

Binaries of periods from 0.6 to 100 days are observed on 2 to 16 nights within 600 days, three exposures a
night, with errors of 1 km/s; pairs closer than 45 km/s give one velocity. A period is certain where 90 % of
the posterior has it, and right where it is within 4 radians of phase over the time span of the true one.
"Within the errors" is the share of truths within the stated errors (68 % expected), of right periods.
"""

import argparse
import time

import numpy as np
from _arguments import whole_number

from starsift.parallel import map_chunks
from starsift.searches.binaries.orbit_catalog import summarise_orbits
from starsift.searches.binaries.orbits import ONE_PERIOD, Velocities, sample_orbits
from starsift.searches.binaries.settings import Settings
from starsift.synthesis.stars import draw_binaries
from starsift.synthesis.velocities import measure_binary, night_times

SPAN = 600.0  # days


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stars", type=whole_number(), default=100)
    parser.add_argument("--single-lined", action="store_true", help="velocities of the brighter star alone")
    parser.add_argument("--nights", type=whole_number(1, int(SPAN)), nargs="+", default=[2, 4, 8, 16])
    options = parser.parse_args()
    print("| nights | exposures | certain | of these right | P, e, K1, K2, q within the errors | s a star |")
    print("|---|---|---|---|---|---|")
    for nights in options.nights:
        report(nights, options.stars, options.single_lined)


def report(nights: int, number: int, single_lined: bool) -> None:
    settings = Settings().orbits
    rng = np.random.default_rng([nights, 3])
    binaries = draw_binaries(rng, 4 * number, None)
    truths, data = [], []
    for i in range(binaries.n):
        binary = binaries.take([i])
        when = night_times(rng, nights, 3, SPAN)
        closest = 1e9 if single_lined else 45.0
        measured = measure_binary(rng, binary, when, error=1.0, closest=closest)
        if single_lined:
            measured["rv"][:, 0] = binary.orbits.take([0] * len(when)).velocities(when)[:, 0]
            measured["rv"][:, 0] += rng.normal(0, 1, len(when))
        if single_lined or np.isfinite(measured["rv"][:, 1]).sum() >= 2:
            truths.append(binary)
            data.append(Velocities(when, **measured))
    truths, data = truths[:number], data[:number]
    if not data:
        print(f"| {nights} | {3 * nights} | - | - | - | - |", flush=True)
        return
    start = time.perf_counter()

    def one(part: slice) -> dict:
        found = data[part.start]
        orbits = sample_orbits(found, settings.period, samples=settings.samples, seed=part.start)
        return summarise_orbits(*orbits, found)

    rows = map_chunks(one, len(data), 1)
    took = (time.perf_counter() - start) / len(data)
    period = np.array([binary.orbits.period[0, 0] for binary in truths])
    found = np.array([row["period"] for row in rows])
    right = np.abs(1 / found - 1 / period) * SPAN < ONE_PERIOD / (2 * np.pi)
    certain = np.array([row["period_probability"] for row in rows]) > 0.9
    used, shares = np.flatnonzero(right & certain), []
    for name, true in true_elements(truths).items():
        value, error = (np.array([rows[i][key] for i in used], float) for key in (name, f"{name}_err"))
        if np.isfinite(value).any():
            shares.append(f"{100 * np.mean(np.abs(value - true[used]) < error):.0f}")
    within = f"{', '.join(shares)} %" if shares else "-"
    print(
        f"| {nights} | {3 * nights} | {100 * certain.mean():.0f} % | {(certain & right).sum()} of "
        f"{certain.sum()} | {within} | {took:.2f} |",
        flush=True,
    )


def true_elements(binaries: list) -> dict[str, np.ndarray]:
    """Period, eccentricity, amplitudes and mass ratio (n,) of binaries; star 1 is the heavier one."""
    orbits = [binary.orbits for binary in binaries]
    period = np.array([orbit.period[0, 0] for orbit in orbits])
    mass = np.array([orbit.mass[0] for orbit in orbits])
    unit = np.array([orbit.amplitude_per_mass(orbit.mass.sum(axis=1), 0)[0] for orbit in orbits])
    return {
        "period": period,
        "eccentricity": np.array([orbit.eccentricity[0, 0] for orbit in orbits]),
        "semi_amplitude_1": unit * mass[:, 1],
        "semi_amplitude_2": unit * mass[:, 0],
        "mass_ratio": mass[:, 1] / mass[:, 0],
    }


if __name__ == "__main__":
    main()
