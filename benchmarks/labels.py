"""Speed of the label store: labels saved a second, and what a queue of 100 000 spectra costs.

    python benchmarks/labels.py [--spectra 100000] [--folder FOLDER]

Prints Markdown tables. A label counts as saved when it is on disk (synchronous=FULL), so the disk sets the
pace: the yardstick is SQLite alone, one row a transaction. FOLDER should be where labels will be; by default
a temporary one is made.
"""

import argparse
import sqlite3
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
from kernels import best_time

from starsift.io.parquet import write_parquet
from starsift.learning.labels import read_labels
from starsift.review.labels import LabelStore
from starsift.searches.registry import SEARCHES

SAVED = 1000  # labels saved one by one
QUEUE = "emission-round-01"


def latencies(call: Callable[[int], object], count: int = SAVED) -> np.ndarray:
    """Duration (count,) of each call in ms; a call gets its number."""
    times = np.empty(count)
    for i in range(count):
        start = time.perf_counter()
        call(i)
        times[i] = time.perf_counter() - start
    return times * 1e3


def saving(folder: Path) -> None:
    """One label after another, against SQLite alone."""
    print("| saving one by one | a second | median, ms | 99 %, ms |\n|---|---|---|---|")

    def row(name: str, call: Callable[[int], object]) -> None:
        taken = latencies(call)
        cells = f"{1e3 / taken.mean():,.0f} | {np.median(taken):.2f} | {np.quantile(taken, 0.99):.2f}"
        print(f"| {name} | {cells} |", flush=True)

    plain = sqlite3.connect(folder / "plain.sqlite", isolation_level=None)
    plain.execute("PRAGMA journal_mode = WAL")
    plain.execute("PRAGMA synchronous = FULL")
    plain.execute("CREATE TABLE rows (id INTEGER PRIMARY KEY, spectrum_id TEXT, label TEXT)")
    row("SQLite alone", lambda i: plain.execute("INSERT INTO rows VALUES (?, ?, ?)", (i, f"s{i}", "bad")))
    plain.close()
    ids = tuple(f"s{i}" for i in range(SAVED))
    with LabelStore(folder / "saving.sqlite") as store:
        row("label", lambda i: store.add("emission", ids[i], "Ann", queue=QUEUE, label="bad"))
        row("undo", lambda _: store.undo(QUEUE, "Ann"))
        store.release(QUEUE, "Ann")
        row("claim one", lambda i: store.claim("emission", QUEUE, "Bob", ids[i:], 1))
        row(
            "label and progress",
            lambda i: (
                store.add("emission", ids[i], "Bob", queue=QUEUE, label="bad"),
                store.progress("emission", ids),
            ),
        )


def queue(folder: Path, n: int) -> None:
    """A queue of n spectra of which more and more are labelled, by two people."""
    ids = tuple(f"spec-58625-TD192102N424113K01_sp{i % 16 + 1:02d}-{i:07d}" for i in range(n))
    print(f"\n| a queue of {n:,} spectra, ms | none labelled | 5 % | all |\n|---|---|---|---|")
    shares = (0, n // 20, n)
    table: dict[str, list[float]] = {}
    imported = 0.0
    with LabelStore(folder / "queue.sqlite") as store:
        for count in shares:
            half = pa.array(["Ann", "Bob"] * (count // 2) + ["Ann"] * (count % 2), pa.string())
            labels = {
                "search": pa.array(["emission"] * count, pa.string()),
                "spectrum_id": pa.array(ids[:count], pa.string()),
                "label": pa.array(["absorption"] * count, pa.string()),
                "vetted_by": half,
            }
            write_parquet(pa.table(labels), folder / "labels.parquet")
            start = time.perf_counter()
            store.import_labels(folder / "labels.parquet")
            imported = time.perf_counter() - start
            store.progress("emission", ids)
            for name, call in {
                "progress, nothing new": lambda: store.progress("emission", ids),
                "progress, for the first time": lambda: store.progress("emission", list(ids)),
                "claim 5, from the beginning": lambda: store.claim("emission", QUEUE, "Cy", ids, 5),
                "claim 5, second opinion": lambda: store.claim(
                    "emission", QUEUE, "Dan", ids, 5, second_opinion=True
                ),
                "labels of 200 rows": lambda: store.current("emission", ids[:200]),
            }.items():
                table.setdefault(name, []).append(1e3 * best_time(call))
        added = n - shares[1]
        exported = best_time(lambda: store.export(folder / "export.parquet"), 3)
        read = best_time(lambda: read_labels(folder / "export.parquet", SEARCHES["emission"]), 3)
    for name, cells in table.items():
        print(f"| {name} | {' | '.join(f'{cell:,.2f}' for cell in cells)} |")
    print("\n| all labels at once | labels | seconds |\n|---|---|---|")
    print(f"| import from Parquet | {added:,} | {imported:.1f} |")
    print(f"| export to Parquet | {n:,} | {exported:.1f} |")
    print(f"| one label a spectrum, from Parquet | {n:,} | {read:.1f} |")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--spectra", type=int, default=100_000)
    parser.add_argument("--folder", type=Path, help="where the stores are made")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        saving(Path(folder))
        queue(Path(folder), options.spectra)


if __name__ == "__main__":
    main()
