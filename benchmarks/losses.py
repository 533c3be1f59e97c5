"""Where the M stars of the demo's pool are lost: by stage of the search, and by what they are.

    python benchmarks/losses.py [results] [--probability 0.5]

To be run after `make demo`: which spectra of the pool are M stars is known from the simulation's truth.
Prints a Markdown table; each M star that is not in the catalogue is counted where it was lost first.
"""

import argparse
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

STAGES = ("unusable", "not in the union", "p_m too low to measure", "p_m too low", "not of type M")


def lost_at(folder: Path, names: pa.ChunkedArray, probability: float) -> np.ndarray:
    """Where in `STAGES` each of the spectra `names` (n,) was lost; the number of stages where it was not."""
    pool = pq.read_table(folder / "mstars/pool.parquet")
    vetting = pq.read_table(folder / "catalogs/mstars_vetting.parquet")
    catalog = pq.read_table(folder / "catalogs/mstars.parquet", columns=["spectrum_id"])
    passed = (
        pool.filter(pc.is_valid(pool["score"])),
        pool.filter(pc.is_valid(pool["n_queries"])),
        vetting,
        vetting.filter(pc.greater_equal(vetting["p_m"], probability)),
        catalog,
    )
    there = [pc.is_in(names, value_set=table["spectrum_id"].combine_chunks()).to_numpy() for table in passed]
    lost = ~np.array([*there, np.zeros(len(names))], dtype=bool)
    return lost.argmax(axis=0)


def main() -> None:
    """Count and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path, nargs="?", default=Path("results"))
    parser.add_argument("--probability", type=float, default=0.5, help="mstars.catalog.probability")
    options = parser.parse_args()
    truth = pq.read_table(options.results / "simulated/lrs/truth.parquet")
    truth = truth.filter(pc.and_(truth["is_m"], pc.equal(truth["role"], "pool")))
    stage = lost_at(options.results, truth["spectrum_id"], options.probability)
    subtype, feh, snr = (truth[name].to_numpy() for name in ("subtype", "feh", "snr"))
    giant, defective = (truth[name].to_numpy().astype(bool) for name in ("giant", "defective"))
    m0 = subtype < 0.5
    groups = {
        "all": np.ones(len(stage), dtype=bool),
        "dwarfs, M0": ~giant & m0,
        "dwarfs, M1 to M4": ~giant & ~m0 & (subtype < 4.5),
        "dwarfs, M5 and later": ~giant & (subtype >= 4.5),
        "giants, M0": giant & m0,
        "giants, M1 and later": giant & ~m0,
        "[Fe/H] < -0.6": feh < -0.6,
        "defective": defective,
        **{f"S/N {low} to {low + 1}": (snr >= low) & (snr < low + 1) for low in (0, 1, 2)},
        "S/N 3 and more": snr >= 3,
    }
    header = ("M stars", "number", *STAGES, "in the catalogue")
    print(f"| {' | '.join(header)} |\n{'|---' * len(header)}|")
    for name, chosen in groups.items():
        counts = np.bincount(stage[chosen], minlength=len(STAGES) + 1)
        share = counts[-1] / max(1, chosen.sum())
        print(f"| {name} | {chosen.sum()} | {' | '.join(map(str, counts[:-1]))} | {share:.0%} |")


if __name__ == "__main__":
    main()
