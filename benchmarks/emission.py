"""Speed of the emission search on a simulated LAMOST pool, and what bfloat16 changes.

    python benchmarks/emission.py [--spectra 8000] [--results results]

Prints a Markdown table: spectra a second on all cores, and their share of the limit that the rate of float32
matrix products sets, measured on the spot. With the results of a finished run its final network and its pool
are taken, otherwise simple simulated ones.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
from kernels import best_time

from starsift.io.parquet import write_parquet
from starsift.learning.backend import load_network, save_network
from starsift.searches.emission.classes import PIXELS
from starsift.searches.emission.dataset import read_usable, window_bundle
from starsift.searches.emission.inference import NumpyNetwork
from starsift.searches.emission.network import PRECISIONS, in_precision, predict
from starsift.searches.emission.predict import predict_bundle
from starsift.searches.emission.training import train
from starsift.settings import default_settings
from starsift.spectra.batches import write_bundle
from starsift.spectra.resample import LAMOST_LRS
from starsift.synthesis.exposures import anonymous_batch

EMISSION = default_settings()["emission"]

# Length, channels, filters of each convolution but the first, which is negligible; and the connected layers.
CONVOLUTIONS = ((136, 64, 64), (66, 64, 128), (64, 128, 128), (30, 128, 256), (28, 256, 256))
CONNECTED = ((3584, 512), (512, 512))


def flop() -> float:
    """Floating-point operations of one spectrum."""
    convolutions = sum(2 * n * 3 * channels * filters for n, channels, filters in CONVOLUTIONS)
    return convolutions + 2 * 138 * 3 * 64 + sum(2 * a * b for a, b in CONNECTED) + 2 * 512 * 3


def gemm_limit() -> tuple[float, float]:
    """GFLOP/s of a large float32 matrix product, and spectra a second if all of the network ran so."""
    a, b = (np.random.default_rng(0).standard_normal((2048, 2048), np.float32) for _ in range(2))
    rate = 2e-9 * 2048**3 / best_time(lambda: a @ b, 10)
    return rate, rate * 1e9 / flop()


def pool(folder: Path, n: int) -> Path:
    """A packed bundle of n spectra of an A star with and without emission, and noise."""
    rng = np.random.default_rng(1)
    grid = LAMOST_LRS.wavelength
    depth, width = rng.uniform(-0.7, 2, (n, 1)), rng.uniform(3, 20, (n, 1))
    flux = 1 + depth * np.exp(-(((grid - 6564.6) / width) ** 2) / 2)
    noise = rng.uniform(0.01, 0.2, (n, 1))
    flux = (flux + noise * rng.standard_normal(flux.shape)).astype(np.float32)
    ivar = np.broadcast_to(1 / noise**2, flux.shape)
    wavelength, bad = np.tile(grid, (n, 1)), np.zeros(flux.shape, bool)
    batch = anonymous_batch(wavelength, flux, ivar, bad, np.full(n, 10.0))
    path = folder / "pool.arrow"
    write_bundle(path, [batch])
    return path


def network() -> object:
    """A network that has learned something, so that its probabilities are not all alike."""
    rng = np.random.default_rng(2)
    labels = rng.integers(0, 3, 600)
    middle = np.abs(np.arange(PIXELS) - 30)
    shape = np.exp(-((middle / 4) ** 2)) - (labels == 1)[:, None] * np.exp(-((middle / 2) ** 2)) * 0.8
    windows = np.where((labels < 2)[:, None], shape, -shape) + rng.normal(0, 0.2, (600, PIXELS))
    return train(windows.astype(np.float32), labels, seed=0, **EMISSION["training"] | {"max_epochs": 3}).model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--spectra", type=int, default=8000, help="of the pool (%(default)s)")
    parser.add_argument("--results", type=Path, help="of a finished run: its network and its pool")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if options.results:
            bundle = sorted(options.results.glob("spectra/demo-pool/*.arrow"))[0]
            model = load_network(options.results / "emission/final/model.keras")
        else:
            bundle = pool(folder, options.spectra)
            model = network()
        save_network(model, folder / "model.keras")
        windows = folder / "windows.parquet"
        write_parquet(window_bundle(bundle, **EMISSION["window"]), windows)
        _, x = read_usable(windows)
        n = len(x)
        rate, limit = gemm_limit()
        rows = [("float32 matrix product, 2048 x 2048", f"{rate:.0f} GFLOP/s", limit)]
        path = folder / "model.keras"
        numpy_network = NumpyNetwork.load(path)
        for label, call in (
            ("network alone, Keras, batches of 256", lambda: predict(model, x)),
            ("network alone", lambda: numpy_network.predict(x)),
        ):
            rows.append((label, "", n / best_time(call)))
        for precision in PRECISIONS:
            settings = {"strategy": "entropy", "precision": precision, "kind": "numpy"}
            spent = best_time(lambda: predict_bundle(windows, path, **settings), 3)  # noqa: B023
            rows.append((f"windows on disk to probabilities, {precision}", "", n / spent))

        def everything() -> None:
            write_parquet(window_bundle(bundle, **EMISSION["window"]), windows)
            predict_bundle(windows, path, strategy="entropy", kind="numpy", precision="float32")

        rows.append(
            (
                "packed spectra to probabilities on disk, as the workflow does",
                "",
                n / best_time(everything, 3),
            )
        )
        cut = n / best_time(lambda: window_bundle(bundle, **EMISSION["window"]), 3)
        print(f"| {flop() / 1e6:.1f} MFLOP a spectrum, {n} spectra | | spectra/s | of the limit |")
        print("|---|---|---|---|")
        for label, note, value in rows:
            print(f"| {label} | {note} | {value:.0f} | {value / limit:.2f} |")
        print(f"| packed spectra to windows | | {cut:.0f} | |")
        exact, coarse = (predict(in_precision(model, p), x) for p in PRECISIONS)
        same, apart = (exact.argmax(axis=1) == coarse.argmax(axis=1)).mean(), np.abs(exact - coarse).max()
        print(f"\nbfloat16: same class for {same:.3%}; probabilities differ by at most {apart:.3f}")


if __name__ == "__main__":
    main()
