"""Real stars that both telescopes have seen: how alike the transfer makes them, and what the network says.

    make demo && python benchmarks/real_pairs.py [--data ../shared/data/ondrejov-lamost] [--results results]

Prints a Markdown table: r of the Ondrejov and the LAMOST window before the transfer (air wavelengths, full
resolution) and after, the label in the Ondrejov dataset, and P(emission) from both sides, by the network of
the first round, which has learned from simulated Ondrejov spectra alone, and by the final one.
"""

import argparse
import csv
from pathlib import Path

import numpy as np

from starsift.searches.emission.classes import TARGETS
from starsift.searches.emission.dataset import read_label_codes
from starsift.searches.emission.inference import NumpyNetwork
from starsift.searches.emission.window import transfer, window
from starsift.settings import default_settings
from starsift.sky.air import vacuum_to_air
from starsift.spectra.batches import IDENTITY_NAMES, SpectrumBatch
from starsift.survey.readers.registry import read_spectrum

EMISSION = default_settings()["emission"]


def cut(wavelength: np.ndarray, flux: np.ndarray, ivar: np.ndarray | None = None) -> np.ndarray:
    """The window of one spectrum."""
    identity = {name: [None] for name in IDENTITY_NAMES} | {"spectrum_id": ["one"]}
    weight = np.ones(len(flux)) if ivar is None else ivar
    made = window(
        SpectrumBatch.from_arrays(identity, wavelength, flux[None], weight[None]), **EMISSION["window"]
    )
    if not made.ok[0]:
        raise ValueError(f"a spectrum has no window: {made.status[0]}")
    return made.flux[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data/ondrejov-lamost"))
    parser.add_argument("--results", type=Path, default=Path("results"), help="of the demo (%(default)s)")
    options = parser.parse_args()
    labels = read_label_codes(options.data / "ondrejov-dataset-labels.csv")
    networks = [
        NumpyNetwork.load(options.results / "emission" / stage / "model.keras")
        for stage in ("round-00", "final")
    ]
    print("| Ondrejov | LAMOST | label | r before | r after | P(emission), first round | final |")
    print("|---|---|---|---|---|---|---|")
    r, right = [], []
    for pair in csv.DictReader((options.data / "pairs.csv").read_text().splitlines()):
        theirs = read_spectrum(options.data / "ondrejov" / pair["ondrejov"], "ondrejov")
        ours = read_spectrum(options.data / "lamost" / pair["lamost"], "lrs")
        seen = cut(ours.wavelength, ours.flux, np.where(ours.mask, 0, ours.ivar))
        before = cut(vacuum_to_air(theirs.wavelength), theirs.flux)
        after = cut(theirs.wavelength, transfer(theirs.flux, sigma=EMISSION["labelled"]["blur"]))
        r.append([np.corrcoef(made, seen)[0, 1] for made in (before, after)])
        label = labels[pair["ondrejov"].removesuffix(".fits")] or "unlabelled"
        p = [network.predict(np.stack([after, seen]))[:, :TARGETS].sum(axis=1) for network in networks]
        right.append([(both > 0.5) == (label != "uninteresting") for both in p])
        cells = " | ".join(f"{one:.3f} / {other:.3f}" for one, other in p)
        names = f"{pair['ondrejov'].removesuffix('.fits')} | {pair['lamost'].removesuffix('.fits')}"
        print(f"| {names} | {label} | {r[-1][0]:.3f} | {r[-1][1]:.3f} | {cells} |")
    mean, better = np.mean(r, axis=0), sum(after > before for before, after in r)
    print(f"\nMean r {mean[0]:.3f} before, {mean[1]:.3f} after; better in {better} of {len(r)}.")
    told = np.sum(right, axis=0)
    for stage, (theirs_right, ours_right) in zip(("first round", "final"), told, strict=True):
        print(f"{stage}: right for {theirs_right} Ondrejov and {ours_right} LAMOST spectra of {len(r)}.")


if __name__ == "__main__":
    main()
