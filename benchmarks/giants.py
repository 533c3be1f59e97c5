"""How many of the stars that each separator calls giants are dwarfs, in the simulated sky.

    python benchmarks/giants.py [--sources 40000] [--seed 1]

No spectra are needed: the photometry and the parallaxes of the simulated survey's M stars, with their errors,
are put to the separators by colour. Guo et al. (2019, section 4.1 and figure 16) find by parallax that about
12 % of the giants by J-K against W1-W2 are dwarfs, and fewer of those by H against J-K. The second table
tells what reverses this: too many late dwarfs, and a line in H that stays low where stars are faint.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from unittest.mock import patch

import numpy as np
import pyarrow as pa

from starsift.demo import lrs_sky
from starsift.searches.mstars.kinematics import absolute_magnitude
from starsift.searches.mstars.luminosity import GAIA_LIMIT, Separator, separate, separators
from starsift.searches.mstars.settings import Settings
from starsift.settings import default_settings

MSTARS = default_settings()["mstars"]

GIANTS = Settings().model_dump()["giants"]
GIANT_SHARE = GIANTS["giant_share"]
BY_COLOUR = tuple(one for one in separators(GIANTS["separators"]) if one.evidence == "photometry")
# What the survey drew before, 13 % of its dwarfs later than M5; and a line in H that rises slowly.
LATE_SUBTYPES = {
    "released": (0.20, 0.15, 0.17, 0.17, 0.11, 0.07, 0.05, 0.035, 0.025, 0.02),
    "unknown": (0.22, 0.13, 0.16, 0.17, 0.12, 0.08, 0.05, 0.03, 0.02, 0.02),
}
FLAT_LINE = ((8.0, 0.83, 0.97), (12.0, 0.84, 1.02), (16.0, 0.86, 1.18))


def draw_m_stars(sources: int, seed: int) -> tuple[pa.Table, np.ndarray, np.ndarray]:
    """What Gaia, 2MASS and WISE say of the M stars of a simulated survey, m of them.

    Returns
    -------
    the columns of `starsift.demo.lrs_sky.gaia_table`; which are giants (m,); their absolute magnitudes
    (m,), NaN where the parallax is poor
    """
    rng = np.random.default_rng(seed)
    fields = lrs_sky.make_plans(rng, 6)[1]
    sky = lrs_sky.draw_sources(rng, fields, list(range(1, 17)), sources // 2, sources // 2)
    table, listed = lrs_sky.gaia_table(rng, sky)
    place = {name: i for i, name in enumerate(table["gaia_source_id"].to_pylist())}
    rows = np.flatnonzero(sky.is_m & listed)
    stars = table.take([place[name] for name in sky.gaia[rows].tolist()])
    names = ("phot_g_mean_mag", "parallax", "parallax_error")
    m_g = absolute_magnitude(
        *(stars[name].cast(pa.float64()).to_numpy() for name in names),
        max_relative_error=MSTARS["kinematics"]["max_relative_error"],
    )
    return stars, sky.kind[rows] == "giant", m_g


def count_dwarfs(
    stars: pa.Table, giant: np.ndarray, m_g: np.ndarray, lines: Sequence[Separator] = BY_COLOUR
) -> dict[str, dict[str, float]]:
    """Shares by separator: giants that it finds, dwarfs that it calls giants, and of its giants those that
    are dwarfs by parallax, in truth, and in truth if giants were as rare as in LAMOST."""
    votes, shares = separate(stars, lines, giant_share=GIANT_SHARE), {}
    for one in lines:
        vote = votes[f"giant_{one.name}"].cast(pa.float64()).to_numpy()
        found, wrong = vote[giant & np.isfinite(vote)].mean(), vote[~giant & np.isfinite(vote)].mean()
        rare = wrong * (1 - GIANT_SHARE)
        shares[one.name] = {
            "giants found": found,
            "dwarfs called giants": wrong,
            "dwarfs by parallax": float(
                (m_g[vote == 1] > GAIA_LIMIT).sum() / np.isfinite(m_g[vote == 1]).sum()
            ),
            "dwarfs in truth": float((~giant[vote == 1]).mean()),
            f"dwarfs, {GIANT_SHARE:.0%} giants": rare / (rare + found * GIANT_SHARE),
        }
    return shares


def report(shares: Mapping[str, Mapping[str, float]]) -> None:
    """A Markdown table, a row a separator."""
    header = ["", *next(iter(shares.values()))]
    print(f"| {' | '.join(header)} |\n{'|---' * len(header)}|")
    for name, row in shares.items():
        print(f"| {name} | {' | '.join(f'{value:.1%}' for value in row.values())} |")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sources", type=int, default=40_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    report(count_dwarfs(*draw_m_stars(options.sources, options.seed)))
    print()
    flat = [replace(one, points=FLAT_LINE) if one.x == "h" else one for one in BY_COLOUR]
    causes = {}
    for types, subtypes in (("as simulated", lrs_sky.DWARF_SUBTYPES), ("13 % later than M5", LATE_SUBTYPES)):
        with patch.object(lrs_sky, "DWARF_SUBTYPES", subtypes):
            stars = draw_m_stars(options.sources, options.seed)
        for line, drawn in (("as set", BY_COLOUR), ("flat", flat)):
            shares = count_dwarfs(*stars, drawn)
            causes[f"dwarfs {types}, line in H {line}"] = {
                f"by {name}": row["dwarfs by parallax"] for name, row in shares.items()
            }
    report(causes)


if __name__ == "__main__":
    main()
