"""Speed and memory of the BHB search on a CPU: networks of both presets, and a simulated bundle.

    python benchmarks/bhb.py [--spectra 3000]

Weights are random: speed does not depend on them. Prints two Markdown tables: networks, in batches as the
workflow's, against the rate of float32 matrix products measured on the spot; and the stages from packed files
to probabilities, with the preset tiny. Each row is made in a process of its own, whose peak memory it gives.
"""

import argparse
import logging
import resource
import subprocess
import sys
import tempfile
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from kernels import best_time

from starsift.demo.sdss import simulate_sdss
from starsift.io.parquet import write_parquet
from starsift.learning.backend import load_keras, predict_batches
from starsift.searches.bhb.encoders import PRESETS, classifier, image_encoder, spectrum_encoder
from starsift.searches.bhb.fusion import fusion_head, join_networks
from starsift.searches.bhb.inputs import BANDS, PIXELS, scale_images, windows
from starsift.searches.bhb.predict import ROWS, predict_bundle
from starsift.searches.bhb.training import BATCH
from starsift.settings import default_settings
from starsift.spectra.batches import read_bundle
from starsift.spectra.packing import pack_bundle
from starsift.survey.catalog import read_catalog
from starsift.survey.cutouts import iter_cutouts, pack_cutouts
from starsift.survey.partition import make_manifest
from starsift.survey.settings import Partition

BHB = default_settings()["bhb"]
LIMITS = {key: BHB["image"][key] for key in ("max_offset", "max_bad")}

SIZES = {"tiny": 32, "paper": 64}  # pixels a side, as in config/
NUMBERS = {"tiny": 8 * BATCH, "paper": BATCH}  # stars that are timed
REPEATS = {"tiny": 3, "paper": 1}
PARTS = ("spectrum", "image", "fusion", "joined")
SPECTRA = "{planid:0>4}/spec-{planid:0>4}-{lmjd}-{fiberid:04d}.fits"
CUTOUTS = "{planid:0>4}/cutout-{planid:0>4}-{lmjd}-{fiberid:04d}.fits"


def gemm_rate() -> float:
    """GFLOP/s of a large float32 matrix product."""
    a, b = (np.random.default_rng(0).standard_normal((2048, 2048), np.float32) for _ in range(2))
    return 2e-9 * 2048**3 / best_time(lambda: a @ b, 10)


def flop(model: Any) -> int:
    """Floating-point operations of the matrix products and convolutions of a network, for one star."""
    layers = load_keras().layers
    total = 0
    for layer in model.layers:
        if hasattr(layer, "layers"):
            total += flop(layer)
        elif isinstance(layer, layers.MultiHeadAttention):
            query, key = (prod(layer.input[i].shape[1:-1]) for i in (0, -1))
            d = layer.input[0].shape[-1]
            total += 2 * (2 * (query + key) * d * d + 2 * query * key * d)
        elif isinstance(layer, layers.Conv2D | layers.Dense | layers.EinsumDense):
            total += 2 * prod(layer.output.shape[1:-1]) * prod(layer.kernel.shape)
    return total


def networks(preset: str) -> dict[str, Any]:
    """The networks of `PARTS`; `spectrum` and `image` end in a classifier of their own."""
    sizes = PRESETS[preset]
    encoders = spectrum_encoder(sizes), image_encoder(sizes, SIZES[preset])
    head = fusion_head("batmm", sizes, encoders[1].output_shape[0][1])
    single = [classifier(encoder, sizes) for encoder in encoders]
    return dict(zip(PARTS, (*single, head, join_networks(*encoders, head)), strict=True))


def network(preset: str, part: str, rate: float) -> str:
    """A row: one network, timed."""
    model = networks(preset)[part]
    n, rng = NUMBERS[preset], np.random.default_rng(0)
    inputs = [rng.standard_normal((n, *one.shape[1:]), np.float32) for one in model.inputs]
    speed = n / best_time(lambda: predict_batches(model, inputs, BATCH), REPEATS[preset])
    limit = rate * 1e9 / flop(model)
    return (
        f"{preset} | {part} | {model.count_params():,} | {flop(model) / 1e6:,.1f} | {limit:,.0f} | "
        f"{speed:,.0f} | {speed / limit:.2f}"
    )


def simulate(folder: Path, n: int) -> str:
    """A survey as a bundle: manifest and packed spectra."""
    simulate_sdss(folder, seed=1, n_labelled=1, n_pool=n - 1, size=SIZES["tiny"])
    catalog = read_catalog(folder / "catalog.fits", "sdss")
    manifest = make_manifest(
        catalog, survey="sdss", root=folder / "spectra", path_template=SPECTRA, **Partition().model_dump()
    )
    pq.write_table(manifest, folder / "manifest.parquet")
    seconds = best_time(
        lambda: pack_bundle(
            folder / "manifest.parquet", folder / "spectra", "sdss", folder / "spectra.arrow"
        ),
        1,
    )
    return f"FITS spectra to packed spectra | {n / seconds:,.0f}"


def cutouts(folder: Path, n: int) -> str:
    """Cutouts in FITS files are read, checked and packed."""
    size = SIZES["tiny"]
    seconds = best_time(
        lambda: pack_cutouts(
            folder / "manifest.parquet",
            folder / "cutouts",
            CUTOUTS,
            folder / "cutouts.parquet",
            size=size,
            **LIMITS,
        ),
        1,
    )
    return f"FITS cutouts to packed cutouts | {n / seconds:,.0f}"


def cut(folder: Path, n: int) -> str:
    """Windows of packed spectra."""

    def work() -> None:
        for batch in read_bundle(folder / "spectra.arrow", rows=ROWS):
            windows(batch, **BHB["spectrum"])

    return f"packed spectra to windows | {n / best_time(work, 2):,.0f}"


def images(folder: Path, n: int) -> str:
    """Scaled images of packed cutouts."""

    def work() -> None:
        for status, found in iter_cutouts(folder / "cutouts.parquet", ROWS):
            scale_images(found[status == "ok"])

    return f"packed cutouts to images | {n / best_time(work, 2):,.0f}"


def predict(folder: Path, n: int) -> str:
    """What a job of the workflow does with a bundle."""
    made = networks("tiny")

    def work() -> None:
        found = predict_bundle(
            folder / "spectra.arrow",
            folder / "cutouts.parquet",
            made["joined"],
            made["spectrum"],
            **BHB["spectrum"],
        )
        write_parquet(found, folder / "predictions.parquet")

    return f"packed spectra and cutouts to probabilities on disk, tiny | {n / best_time(work, 2):,.0f}"


STAGES = {stage.__name__: stage for stage in (simulate, cutouts, cut, images, predict)}


def row(*options: str) -> None:
    """One row, of a process of its own."""
    subprocess.run([sys.executable, __file__, *options], check=True)


def main() -> None:
    """Run every part in a process, or one part in this."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--spectra", type=int, default=3000, help="of the bundle (%(default)s)")
    for name, kind in (("preset", str), ("part", str), ("rate", float), ("stage", str), ("folder", Path)):
        parser.add_argument(f"--{name}", type=kind, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part or options.stage:
        logging.disable(logging.WARNING)  # of simulated faults
        if options.part:
            cells = network(options.preset, options.part, options.rate)
        else:
            cells = STAGES[options.stage](options.folder, options.spectra)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"| {cells} | {peak:,.0f} |", flush=True)
        return
    rate = gemm_rate()
    print(
        f"float32 matrix product, 2048 x 2048: {rate:.0f} GFLOP/s; spectra of {PIXELS} pixels, images of "
        f"{len(BANDS)} bands, {SIZES['tiny']} (tiny) and {SIZES['paper']} (paper) pixels a side; batches of "
        f"{BATCH}\n"
    )
    print(
        "| preset | network | parameters | MFLOP a star | limit, stars/s | stars/s | of the limit | "
        "peak memory, MB |\n|---|---|---|---|---|---|---|---|",
        flush=True,
    )
    for preset in SIZES:
        for part in PARTS:
            row("--preset", preset, "--part", part, "--rate", str(rate))
    print(f"\n| a bundle of {options.spectra} | spectra/s | peak memory, MB |\n|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for stage in STAGES:
            row("--stage", stage, "--folder", folder, "--spectra", str(options.spectra))


if __name__ == "__main__":
    main()
