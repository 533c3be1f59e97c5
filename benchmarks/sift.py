"""Time of `starsift sift` from the command to the report, with all that Python and TensorFlow take to start.

python benchmarks/sift.py
"""

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pyarrow.parquet as pq

from starsift.demo.lrs import simulate_lrs
from starsift.demo.mrs import simulate_survey

ONE = {"n_plans": 1, "n_spectrographs": 2, "seed": 3, "layout": "both"}


def sift(folder: Path, output: Path) -> tuple[float, float, int]:
    """Seconds of time and of processors, and the number of candidates."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    command = [sys.executable, "-m", "starsift.cli", "sift", str(folder), "--output", str(output)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    elapsed = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return elapsed, used, pq.read_metadata(output / "candidates.parquet").num_rows


def main() -> None:
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        simulate_survey(root / "mrs", n_stars=15, exposures=2, n_nights=0, **ONE)
        simulate_lrs(root / "lrs", n_released=1, n_unknown=299, **ONE)
        print("| spectra | run | time (s) | processors (s) | candidates |\n|---|---|---|---|---|")
        for name, what in (("mrs", "30 MRS exposures"), ("lrs", "300 LRS spectra")):
            # The first one compiles kernels, unless another run on this machine did.
            for run in ("first", "second"):
                elapsed, used, found = sift(root / name / "spectra", root / f"{name}-{run}")
                print(f"| {what} | {run} | {elapsed:.1f} | {used:.1f} | {found} |", flush=True)


if __name__ == "__main__":
    main()
