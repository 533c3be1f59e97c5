"""How fast MRS files are read and packed, on one core: `python benchmarks/packing.py`.

Files hold both arms, two coadds and three exposures of 4 136 pixels, gzipped, as LAMOST publishes them; the
blue exposures are packed. CPU time, the best of three passes, files in the page cache.
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"

import argparse
import gzip
import io
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from astropy.io import fits

from starsift.spectra.packing import pack_bundle
from starsift.survey.index import index_folder
from starsift.survey.partition import make_manifest
from starsift.survey.readers.registry import read_exposures
from starsift.survey.selection import apply_cuts
from starsift.survey.settings import Partition

PIXELS = 4136
LMJMS = (84420171, 84420194, 84420217)
BLUE = [{"column": "band", "op": "==", "value": "B"}, {"column": "coadd", "op": "==", "value": 0}]


def table(name: str, one_row: bool, rng: np.random.Generator) -> fits.BinTableHDU:
    x = np.linspace(0.0, 1.0, PIXELS)
    wavelength = (4898.0 if name[-1] == "B" or name[0] == "B" else 6300.0) + 491.0 * (x + 0.03 * x**2)
    masks = {"PIXMASK": "J"} if name[1] == "-" else {"ANDMASK": "J", "ORMASK": "J"}
    arrays = {
        "FLUX": ("E", rng.normal(1000, 20, PIXELS).astype(np.float32)),
        "IVAR": ("E", rng.normal(0.0025, 0.0001, PIXELS).astype(np.float32)),
        **(
            {"WAVELENGTH": ("D", wavelength)}
            if one_row
            else {"LOGLAM": ("E", np.log10(wavelength).astype(np.float32))}
        ),
        **{mask: (form, (rng.random(PIXELS) < 0.01).astype(np.int32)) for mask, form in masks.items()},
    }
    columns = [
        fits.Column(key, f"{PIXELS}{form}", array=array[None])
        if one_row
        else fits.Column(key, form, array=array)
        for key, (form, array) in arrays.items()
    ]
    made = fits.BinTableHDU.from_columns(columns, name=name)
    made.header["SNR"], made.header["EXPTIME"] = 30.0, 1200.0
    for i in range(30):  # about as many cards as the real headers have
        made.header[f"CARD{i}"] = (i * 0.5, "a card that nobody reads")
    return made


def write_files(folder: Path, count: int, one_row: bool) -> list[Path]:
    """``count`` files of 20 different contents."""
    rng = np.random.default_rng(1)
    names = ["COADD_B", "COADD_R", *(f"{band}-{lmjm}" for band in "BR" for lmjm in LMJMS)]
    contents = []
    for _ in range(20):
        primary = fits.PrimaryHDU()
        for i in range(100):
            primary.header[f"CARD{i}"] = (i * 0.5, "a card that nobody reads")
        buffer = io.BytesIO()
        fits.HDUList([primary, *(table(name, one_row, rng) for name in names)]).writeto(buffer)
        contents.append(gzip.compress(buffer.getvalue(), 6, mtime=0))
    paths = [folder / f"med-58625-HD1_sp{i // 250 + 1:02d}-{i % 250 + 1:03d}.fits.gz" for i in range(count)]
    for i, path in enumerate(paths):
        path.write_bytes(contents[i % len(contents)])
    return paths


def rate(work: Callable[[], object], files: int) -> float:
    """Files a CPU second, the best of three passes."""
    times = []
    for _ in range(3):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return files / min(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=500)
    count = parser.parse_args().files
    pa.set_cpu_count(1)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[0]})
    wanted = {f"B-{lmjm}" for lmjm in LMJMS}
    print(f"MRS files a second on one core ({len(LMJMS)} blue exposures of {PIXELS} pixels each)")
    print(f"{'layout':<14}{'read':>8}{'astropy':>9}{'index':>8}{'pack':>8}{'aim':>6}")
    for layout, one_row in (("a row a pixel", False), ("one row", True)):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name) / "files"
            folder.mkdir()
            paths = write_files(folder, count, one_row)
            some = paths[: max(1, count // 10)]
            kept, _ = apply_cuts(index_folder(folder), BLUE)
            manifest = Path(name) / "manifest.parquet"
            pq.write_table(
                make_manifest(kept, survey="mrs", root=folder, **Partition().model_dump()), manifest
            )
            out = Path(name) / "bundle.arrow"
            read = rate(lambda paths=paths: [read_exposures(path, "mrs", wanted) for path in paths], count)
            slow = rate(
                lambda some=some: [read_exposures(path, "mrs", wanted, fast=False) for path in some],
                len(some),
            )
            index = rate(lambda folder=folder: index_folder(folder), count)
            pack = rate(lambda m=manifest, f=folder, o=out: pack_bundle(m, f, "mrs", o), count)
            print(f"{layout:<14}{read:>8.0f}{slow:>9.0f}{index:>8.0f}{pack:>8.0f}{400:>6}")


if __name__ == "__main__":
    main()
