"""How well hash codes find M stars: average precision by method and code length, on real mean spectra.

    python benchmarks/hashing.py [--templates templates.npz] [--splits 5] [--spectra 2000]

Mean spectra of SDSS stars (Kesseli et al. 2017) are redshifted within +-200 km/s, given 5 % of smooth error
of the flux calibration and noise, and hidden among others: for each M star three of other types and one of
featureless junk. Training and test spectra come of different templates: of every two that are neighbours in
type one goes to each side. Prints Markdown tables; the noise is the same in all pixels (`flat`) or that of
LAMOST-LRS, with sky lines and little light at both ends (`lamost`), at a median S/N a pixel in the r band.
"""

import argparse
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from starsift.searches.mstars.evaluation import evaluate_split
from starsift.searches.mstars.features import represent
from starsift.searches.mstars.model import METHODS
from starsift.searches.mstars.preprocess import prepare
from starsift.settings import default_settings
from starsift.spectra.batches import IDENTITY_NAMES, SpectrumBatch
from starsift.spectra.resample import LAMOST_LRS
from starsift.synthesis.degrade import WINDOW, add_noise, featureless, miscalibrate, shift

MSTARS = default_settings()["mstars"]

CLASSES = "OBAFGKML"


def split_templates(names: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Two halves: of every two neighbours in type and metallicity, among M and among others, one each."""
    halves: tuple[list[int], list[int]] = [], []
    is_m = np.char.startswith(names, "M")
    order = sorted(range(len(names)), key=lambda i: (CLASSES.index(names[i][0]), names[i]))
    for group in ([i for i in order if is_m[i]], [i for i in order if not is_m[i]]):
        for at in range(0, len(group), 2):
            pair = rng.permutation(group[at : at + 2])
            halves[0].append(int(pair[0]))
            halves[1].extend(int(i) for i in pair[1:])
    return np.array(halves[0]), np.array(halves[1])


def observe(
    names: np.ndarray,
    flux: np.ndarray,
    half: np.ndarray,
    n: int,
    snr: float,
    noise: str,
    rng: np.random.Generator,
) -> tuple[SpectrumBatch, np.ndarray, np.ndarray]:
    """n spectra of the templates of one half: a fifth M, three fifths others, a fifth junk.

    Returns the spectra, which are M (n,), and their classes (n,).
    """
    is_m = np.char.startswith(names[half], "M")
    fifth = n // 5
    chosen = np.concatenate([rng.choice(half[is_m], fifth), rng.choice(half[~is_m], 3 * fifth)])
    wavelength = LAMOST_LRS.wavelength
    spectra = shift(LAMOST_LRS, flux[chosen], rng.uniform(-200, 200, chosen.size))
    spectra = miscalibrate(np.concatenate([spectra, featureless(rng, fifth, wavelength)]), 0.05, rng)
    if noise == "lamost":
        spectra, ivar = add_noise(spectra, snr, rng, wavelength)
    else:
        inside = (wavelength > WINDOW[0]) & (wavelength < WINDOW[1])
        sigma = np.abs(np.median(spectra[:, inside], axis=1, keepdims=True)) / snr
        spectra = spectra + sigma * rng.standard_normal(spectra.shape, np.float32)
        ivar = np.broadcast_to(sigma**-2, spectra.shape)
    number = len(spectra)
    identity: dict[str, list] = {name: [None] * number for name in IDENTITY_NAMES}
    identity["spectrum_id"] = [str(i) for i in range(number)]
    batch = SpectrumBatch.from_arrays(identity, wavelength, spectra, ivar)
    classes = [f"dM{names[i][1]}" if names[i][0] == "M" else names[i][0] for i in chosen]
    return batch, np.arange(number) < fifth, np.array([*classes, *["UNKNOWN"] * fifth])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--templates", type=Path, default=Path("../shared/data/sdss-templates/templates.npz"))
    parser.add_argument("--splits", type=int, default=5)
    parser.add_argument("--spectra", type=int, default=2000, help="to train with, and as many to test with")
    parser.add_argument("--snr", type=float, nargs="+", default=[3, 5, 10])
    options = parser.parse_args()
    with np.load(options.templates) as file:
        names, flux = file["names"].astype(str), file["flux"].astype(np.float32)
    for noise in ("flat", "lamost"):
        print(
            f"\nNoise: {noise}. Average precision, mean and standard deviation of {options.splits} splits.\n"
        )
        tables = {snr: [] for snr in options.snr}
        for snr in options.snr:
            for split in range(options.splits):
                rng = np.random.default_rng([split, int(10 * snr)])
                halves = split_templates(names, np.random.default_rng(split))
                sets = [observe(names, flux, half, options.spectra, snr, noise, rng) for half in halves]
                ready = [prepare(batch) for batch, _, _ in sets]
                features = {
                    kind: [represent(p.flux, p.ivar, p.zero, kind) for p in ready]
                    for kind in ("flux", "bands")
                }
                (_, is_m, labels), (_, truth, _) = sets
                tables[snr].append(
                    evaluate_split(
                        features.__getitem__,
                        labels,
                        is_m,
                        truth,
                        split=split,
                        bits=MSTARS["evaluation"]["bits"],
                        seed=0,
                    )
                )
        report({snr: pa.concat_tables(parts) for snr, parts in tables.items()})


def report(tables: dict[float, pa.Table]) -> None:
    """A row a method and code length, a column a signal-to-noise ratio."""
    print("| method | bits |" + "".join(f" S/N {snr:g} |" for snr in tables))
    print("|---|---|" + "---|" * len(tables))
    first = next(iter(tables.values()))
    for method in METHODS:
        lengths = sorted({row["bits"] for row in first.to_pylist() if row["method"] == method}, reverse=True)
        for bits in lengths:
            cells = []
            for table in tables.values():
                rows = table.filter((pc.field("method") == method) & (pc.field("bits") == bits))
                values = rows.group_by("split").aggregate([("average_precision", "min")])
                found = values["average_precision_min"].to_numpy()
                cells.append(f"{found.mean():.3f} ± {found.std():.3f}")
            print(f"| {method} | {bits or '-'} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
