"""What noisy copies of the sample gain: average precision and calibration in the demo's pool.

    python benchmarks/copies.py [results]

To be run after `make demo`: which spectra of the pool are M stars is known from the simulation's truth.
Prints a Markdown table.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from sklearn.metrics import average_precision_score

from starsift.searches.mstars.dataset import read_sample
from starsift.searches.mstars.model import METHODS
from starsift.searches.mstars.predict import encode_bundle, rank_pool
from starsift.searches.mstars.training import train_reference

COPY_SNR = (0.7, 4.0)
CASES = [("discriminant", copies) for copies in (0, 1, 2, 4)] + [
    (method, copies)
    for method in ("PIL", "PIL + contrast", "PIL + bands + contrast", "random projections + bands + contrast")
    for copies in (0, 2)
]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path, nargs="?", default=Path("results"))
    parser.add_argument("--survey", default="demo-unknown")
    options = parser.parse_args()
    folder = options.results
    sample = read_sample(folder / "mstars/sample.arrow", folder / "mstars/sample.parquet")
    truth = pq.read_table(folder / "simulated/lrs/truth.parquet", columns=["spectrum_id", "is_m", "snr"])
    known = {row["spectrum_id"]: row for row in truth.to_pylist()}
    bundles = sorted((folder / "spectra" / options.survey).glob("*.arrow"))
    header = ("method", "copies", "average precision", "S/N 1-2", "above 2", "sum of p_m", "true")
    header += ("precision, p_m >= 0.5", "recall")
    print(f"| {' | '.join(header)} |")
    print("|---" * len(header) + "|")
    for method, copies in CASES:
        model, reference, calibration = train_reference(
            sample, method=method, bits=256, copies=copies, copy_snr=COPY_SNR, seed=1
        )
        with tempfile.TemporaryDirectory() as scratch:
            files = [Path(scratch, f"{bundle.stem}.parquet") for bundle in bundles]
            for bundle, file in zip(bundles, files, strict=True):
                encode_bundle(bundle, model, file)
            settings = {"fraction": 0.1, "probability": 0.1, "ranking": METHODS[method].ranking}
            pool = rank_pool(files, reference, calibration, **settings)[0]
        pool = pool.filter(pool["score"].is_valid())
        rows = [known[name] for name in pool["spectrum_id"].to_pylist()]
        is_m, snr = np.array([row["is_m"] for row in rows]), np.array([row["snr"] for row in rows])
        score, p_m = pool["score"].to_numpy(), pool["p_m"].to_numpy()
        cells = [
            f"{average_precision_score(is_m[part], score[part]):.3f}"
            for part in (snr > 0, (snr >= 1) & (snr < 2), snr >= 2)
        ]
        likely = p_m >= 0.5
        cells += [f"{p_m.sum():.0f}", f"{is_m.sum()}"]
        cells += [f"{is_m[likely].mean():.3f}" if likely.any() else "-", f"{likely[is_m].mean():.3f}"]
        print(f"| {method} | {copies} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
