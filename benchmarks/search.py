"""Speed of the search for M stars at the paper's size: training, encoding, Hamming search.

    OMP_NUM_THREADS=2 python benchmarks/search.py [table ...]

Tables: training, encoding, hamming, faiss; all by default, each in a process of its own. Spectra are random
or simulated, for speed alone; codes have 256 bits and are related to one another, as those of spectra are.
FAISS is compared where it can be imported: `pip install --target FOLDER --no-deps faiss-cpu`, and
`PYTHONPATH=FOLDER`.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from kernels import best_time

from starsift.parallel import thread_count
from starsift.searches.mstars.features import represent
from starsift.searches.mstars.hamming import (
    contrast,
    count_distances,
    cut_distances,
    mark_union,
    nearest_codes,
)
from starsift.searches.mstars.hashing import DiscriminantHasher
from starsift.searches.mstars.pil import PILHasher
from starsift.searches.mstars.preprocess import prepare
from starsift.spectra.batches import IDENTITY_NAMES, SpectrumBatch, read_bundle, write_bundle
from starsift.spectra.resample import LAMOST_LRS
from starsift.synthesis.degrade import add_noise, featureless

# Guo et al. 2019: spectra to train with, positive ones among them, UNKNOWN ones to search.
TRAINING, QUERIES, POOL = 21_737, 6_737, 642_178
NEGATIVES = TRAINING - QUERIES
BITS = 256
BUNDLE = 20_000  # codes in memory at a time
CLASSES = 30


def training() -> None:
    """Both hashers on a sample of the paper's size."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, CLASSES, TRAINING)
    print("| training | spectra | features | seconds | limit |\n|---|---|---|---|---|")
    for name, hasher, width, limit in (
        ("PIL on fluxes, as published", PILHasher(BITS, encoder="random"), LAMOST_LRS.pixels, "12"),
        ("PIL on fluxes, beta as encoder", PILHasher(BITS), LAMOST_LRS.pixels, "-"),
        (f"discriminant on bands, {CLASSES} classes", DiscriminantHasher(BITS), LAMOST_LRS.pixels // 8, "-"),
    ):
        X = rng.random((TRAINING, width), dtype=np.float32)
        taken = best_time(lambda: hasher.fit(X, labels), 2)  # noqa: B023
        print(f"| {name} | {TRAINING:,} | {width:,} | {taken:.2f} | {limit} |", flush=True)


def simulated(rng: np.random.Generator, n: int) -> SpectrumBatch:
    """Smooth and fringed spectra with the noise of LAMOST-LRS and a few masked pixels."""
    wavelength = LAMOST_LRS.wavelength
    flux, ivar = add_noise(featureless(rng, n, wavelength), 5.0, rng, wavelength)
    ivar[rng.random(ivar.shape) < 0.01] = 0.0
    identity: dict[str, list] = {name: [None] * n for name in IDENTITY_NAMES}
    identity["spectrum_id"] = [str(i) for i in range(n)]
    return SpectrumBatch.from_arrays(identity, wavelength, flux, ivar)


def encoding() -> None:
    """From a packed bundle to codes, step by step."""
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bundle.arrow"
        write_bundle(path, (simulated(rng, 1024) for _ in range(4)))
        batches = list(read_bundle(path))
        read = best_time(lambda: list(read_bundle(path)))
    n = sum(batch.n for batch in batches)
    ready = [prepare(batch) for batch in batches]
    print("| step of encoding | discriminant on bands | PIL on fluxes |\n|---|---|---|")
    steps: list[dict[str, float]] = []
    for kind, hasher in (("bands", DiscriminantHasher(BITS)), ("flux", PILHasher(BITS))):
        features = [represent(each.flux, each.ivar, each.zero, kind) for each in ready]
        hasher.fit(features[0], rng.integers(0, CLASSES, len(features[0])))
        steps.append(
            {
                "read the packed bundle": read,
                "prepare: grid, gaps, scale, defects": best_time(lambda: [prepare(b) for b in batches]),
                "represent": best_time(
                    lambda: [represent(each.flux, each.ivar, each.zero, kind) for each in ready]  # noqa: B023
                ),
                "transform to codes": best_time(lambda: [hasher.transform(each) for each in features]),  # noqa: B023
            }
        )
    for step in steps[0]:
        cells = [f"{n / each[step]:,.0f}/s" if each[step] > 1e-4 else "-" for each in steps]
        print(f"| {step} | {cells[0]} | {cells[1]} |")
    totals = [n / sum(each.values()) for each in steps]
    print(f"| all (limit: 2 000/s) | {totals[0]:,.0f}/s | {totals[1]:,.0f}/s |", flush=True)


def related_codes(n: int, seed: int) -> np.ndarray:
    """Codes (n, 32) uint8 of random points in 20 dimensions, cut by random planes."""
    planes = np.random.default_rng(99).standard_normal((20, BITS), np.float32)
    points = np.random.default_rng(seed).standard_normal((n, 20), np.float32)
    parts = [np.packbits(points[at : at + BUNDLE] @ planes > 0, axis=1) for at in range(0, n, BUNDLE)]
    return np.concatenate(parts)


def bundles(pool: np.ndarray) -> Iterator[np.ndarray]:
    return (pool[at : at + BUNDLE] for at in range(0, len(pool), BUNDLE))


def hamming() -> None:
    """The union of all queries' lists, and the contrast, bundle by bundle."""
    pool, queries = related_codes(POOL, 1), related_codes(QUERIES, 2)
    negatives = related_codes(NEGATIVES, 3)
    few = pool[:100]
    mark_union(few, queries[:10], cut_distances(count_distances(few, queries[:10]), fraction=0.1))  # compiles
    contrast(few, queries[:10], queries[10:20])
    start = time.perf_counter()
    counts = sum(count_distances(part, queries) for part in bundles(pool))
    counted = time.perf_counter() - start
    cuts = cut_distances(counts, 0.10)
    kept = sum(int(mark_union(part, queries, cuts).n_queries.sum()) for part in bundles(pool))
    union = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    start = time.perf_counter()
    for part in bundles(pool):
        contrast(part, queries, negatives)
    contrasted = time.perf_counter() - start
    pairs = POOL * QUERIES
    rows = (
        ("count distances", pairs, counted, "-"),
        ("mark the nearest 10 %", pairs, union - counted, "-"),
        ("both: the union", pairs, union, "15"),
        (f"contrast, {QUERIES:,} + {NEGATIVES:,} codes, k = 10", POOL * TRAINING, contrasted, "-"),
    )
    print(f"{QUERIES:,} queries, a pool of {POOL:,} codes, {BITS} bits, in bundles of {BUNDLE:,}\n")
    print("| search | million pairs | seconds | limit | million pairs/s |\n|---|---|---|---|---|")
    for name, number, taken, limit in rows:
        print(f"| {name} | {number / 1e6:,.0f} | {taken:.1f} | {limit} | {number / taken / 1e6:,.0f} |")
    print(
        f"\nEach query keeps {kept / pairs:.1%}, ties included; "
        f"peak memory {peak:,.0f} MB (limit: 1 000 MB).",
        flush=True,
    )


def faiss() -> None:
    """The k nearest of a part of the pool for every query, against FAISS on the same codes."""
    print("| k nearest of a pool for every query | queries | starsift | FAISS IndexBinaryFlat |")
    print("|---|---|---|---|")
    try:
        import faiss as library
    except ImportError:
        print("| FAISS is not installed | - | - | - |", flush=True)
        return
    library.omp_set_num_threads(thread_count())

    def row(title: str, pool: np.ndarray, queries: np.ndarray, k: int, ours: Callable[[], object]) -> None:
        index = library.IndexBinaryFlat(BITS)
        index.add(pool)
        rates = [
            len(pool) * len(queries) / best_time(call, 2) / 1e6
            for call in (ours, lambda: index.search(queries, k))
        ]
        print(f"| {title} | {len(queries):,} | {rates[0]:,.0f} | {rates[1]:,.1f} |", flush=True)

    def union(pool: np.ndarray, queries: np.ndarray) -> None:
        mark_union(pool, queries, cut_distances(count_distances(pool, queries), 0.10))

    everything, queries = related_codes(POOL, 1), related_codes(QUERIES, 2)
    part = everything[:100_000]
    index = library.IndexBinaryFlat(BITS)
    index.add(part)
    found, expected = index.search(queries[:100], 10)[0], nearest_codes(queries[:100], part, 10)[0]
    assert (found == expected).all()
    row("k = 10, of 100,000", part, queries, 10, lambda: nearest_codes(queries, part, 10))
    row("10 %, of 100,000 (k = 10,000)", part, queries[:512], 10_000, lambda: union(part, queries[:512]))
    row(
        f"10 %, of {POOL:,} (k = {POOL // 10:,})",
        everything,
        queries[:64],
        POOL // 10,
        lambda: union(everything, queries[:64]),
    )
    print("\nMillion pairs/s. Of 10 %, starsift gives the union with ranks, FAISS a sorted list a query.")


TABLES = {table.__name__: table for table in (training, encoding, hamming, faiss)}


def main() -> None:
    """Every table in a process, so that its peak memory is its own; or one in this."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tables", nargs="*", help=", ".join(TABLES))
    parser.add_argument("--here", choices=TABLES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.here:
        TABLES[options.here]()
        return
    if unknown := set(options.tables) - set(TABLES):
        parser.error(f"no such table: {', '.join(sorted(unknown))}; there are {', '.join(TABLES)}")
    print(f"{thread_count()} threads")
    for table in options.tables or TABLES:
        print(f"\n## {table}\n", flush=True)
        subprocess.run([sys.executable, __file__, "--here", table], check=True)


if __name__ == "__main__":
    main()
