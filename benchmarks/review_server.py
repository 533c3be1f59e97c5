"""How fast the review app answers, and how its memory grows: `python benchmarks/review_server.py [RESULTS]`.

Without RESULTS a folder is made: 100 000 candidates in a survey of a million spectra, of which the first
bundle is packed (10 000 spectra of 4 136 pixels, wavelengths stored for each, as in LAMOST-MRS); only its
candidates are opened. Requests go one after another to `starsift review` in a process of its own.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import quantiles
from typing import Any

import httpx
import numpy as np
import pyarrow as pa

from starsift.io.parquet import write_parquet
from starsift.spectra.batches import SpectrumBatch, write_bundle, write_index

PIXELS, BUNDLE, SURVEY, CANDIDATES = 4136, 10_000, 1_000_000, 100_000


def make_results(folder: Path) -> None:
    """A survey, one packed bundle of it, and its candidates, every tenth spectrum."""
    rng = np.random.default_rng(5)
    number = np.arange(SURVEY)
    names = [
        f"spec-56{n // 4000:03d}-HD{n // 4000:05d}_sp{n // 250 % 16 + 1:02d}-{n % 250 + 1:03d}"
        for n in number
    ]
    ra, dec = rng.uniform(0, 360, SURVEY), rng.uniform(-10, 60, SURVEY)
    columns: dict[str, Any] = {
        "spectrum_id": names,
        "obsid": number,
        "planid": ["HD"] * SURVEY,
        "spid": np.ones(SURVEY, np.int8),
        "fiberid": np.ones(SURVEY, np.int16),
        "lmjd": (56_000 + number // 4000).astype(np.int32),
        "lmjm": pa.nulls(SURVEY, pa.int64()),
        "band": [""] * SURVEY,
        "ra": ra,
        "dec": dec,
        "snr": rng.uniform(5, 100, SURVEY).astype(np.float32),
    }
    manifest = pa.table({**columns, "bundle": [f"bundle-{n // BUNDLE:03d}" for n in number]})
    write_parquet(manifest, folder / "manifest/lrs.parquet")
    wavelength = np.linspace(3690.0, 9100.0, PIXELS) + 0.1 * np.sin(np.arange(PIXELS))
    batches = (
        SpectrumBatch.from_arrays(
            {name: values[at : at + 1000] for name, values in columns.items()},
            wavelength + rng.uniform(0, 0.01, (1000, 1)),
            rng.normal(1000, 30, (1000, PIXELS)),
            rng.uniform(0.9, 1.1, (1000, PIXELS)) / 900,
        )
        for at in range(0, BUNDLE, 1000)
    )
    arrow = folder / "spectra/lrs/bundle-000.arrow"
    write_bundle(arrow, batches)
    write_index(arrow, arrow.with_suffix(".parquet"))
    # The first thousand are in the bundle that is there.
    chosen = manifest.take(pa.array(number[:: SURVEY // CANDIDATES])).drop_columns(["bundle"])
    for name in ("p_single", "p_double", "p_uninteresting"):
        chosen = chosen.append_column(name, pa.array(rng.uniform(size=CANDIDATES), pa.float32()))
    write_parquet(chosen, folder / "catalogs/emission.parquet")


def resident(pid: int) -> float:
    """Memory of a process, MB, without the pages of files that it maps: those are the system's cache."""
    line = next(x for x in Path(f"/proc/{pid}/status").read_text().splitlines() if x.startswith("RssAnon"))
    return int(line.split()[1]) / 1024


def processor(pid: int) -> float:
    """Processor time of a process so far, ms: unlike its answers it does not depend on what else runs."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return 1e3 * (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def timed(call: Callable[[], httpx.Response]) -> float:
    """Milliseconds until an answer is here, which must be good."""
    start = time.perf_counter()
    call().raise_for_status()
    return 1e3 * (time.perf_counter() - start)


def row(name: str, times: list[float]) -> None:
    cuts = quantiles(times, n=20, method="inclusive")
    print(f"{name:<46}{cuts[9]:>9.1f}{cuts[18]:>9.1f}{max(times):>9.1f}", flush=True)


def measure(folder: Path, queue: str, packed: int, requests: int, labels: Path) -> None:
    """Print the table of one queue; `packed`: so many positions from the start can be opened."""
    command = [sys.executable, "-m", "starsift.cli", "review", str(folder), "--labels", str(labels)]
    start = time.perf_counter()
    with subprocess.Popen([*command, "--no-browser"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().split()[-1]
        print(f"\n{queue}: URL after {time.perf_counter() - start:.1f} s")
        print(f"{'':<46}{'median':>9}{'95 %':>9}{'worst':>9}   ms")
        try:
            with httpx.Client(base_url=f"{url}api/", timeout=120) as client:
                here = f"queues/{queue}"
                print(f"{'session':<46}{timed(lambda: client.get('session')):>9.1f}")
                print(f"{'first item':<46}{timed(lambda: client.get(f'{here}/items/0')):>9.1f}")
                rng = np.random.default_rng(0)
                orders = {"next": np.arange(requests) % packed, "anywhere": rng.integers(0, packed, requests)}
                for name, order in orders.items():
                    before = processor(process.pid)
                    row(f"item, {name}", [timed(partial(client.get, f"{here}/items/{at}")) for at in order])
                    spent = (processor(process.pid) - before) / requests
                    print(f"{'  processor time of the server':<46}{spent:>9.1f}")
                    name = f"  memory after {requests} items, MB"
                    print(f"{name:<46}{resident(process.pid):>9.0f}")
                for name, order in orders.items():
                    parts = [",".join(map(str, order[at : at + 24])) for at in range(0, 20 * 24, 24)]
                    small = [partial(client.get, f"{here}/thumbnails?at={part}") for part in parts]
                    row(f"24 small plots, {name}", [timed(call) for call in small])
                queries = {
                    "sorted": "sort=-snr",
                    "snr, no label, sorted": "where=snr:20..&label=none&sort=-snr",
                }
                queries |= {"a circle on the sky": "find=180 30 10 deg"}
                for name, query in queries.items():
                    row(name, [timed(partial(client.get, f"{here}/selection?{query}")) for _ in range(10)])
                claim = partial(client.post, f"{here}/claim", json={"user": "ann", "count": 5})
                row("claim five", [timed(claim) for _ in range(20)])
                save = f"{here}/items/0/label"
                said = [{"user": "ann", "flag": bool(i % 2)} for i in range(100)]
                row("save", [timed(partial(client.post, save, json=body)) for body in said])
        finally:
            process.terminate()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path, nargs="?")
    parser.add_argument("--requests", type=int, default=2000)
    options = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with tempfile.TemporaryDirectory() as name:
        labels = Path(name) / "labels.sqlite"
        if options.results is None:
            folder = Path(name) / "results"
            make_results(folder)
            measure(folder, "emission-candidates", BUNDLE * CANDIDATES // SURVEY, options.requests, labels)
            return
        from starsift.review.results import Results

        for queue in Results(options.results).queues().values():
            measure(options.results, queue.id, len(queue.ids), options.requests, labels)


if __name__ == "__main__":
    main()
