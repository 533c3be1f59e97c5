"""What became of a survey's spectra: counted, listed, told to people."""

import csv
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from starsift.catalog.parquet import write_parquet
from starsift.spectra.batches import OK, atomic_path

LISTED = 40  # rows that people read; more are for programs, in the files
STAGES = (
    *(f"binaries/{stage}" for stage in ("ccf", "components", "errors", "classes", "suspects")),
    *(f"mstars/{stage}" for stage in ("codes", "measurements", "released")),
)
DESCRIPTIVE = ("class", "subclass", "snr", "z", "exptime")


def summarize_reading(
    index: Iterable[str | os.PathLike[str]],
    manifest: str | os.PathLike[str],
    counts: str | os.PathLike[str],
    unusable: str | os.PathLike[str],
) -> dict[str, int]:
    """Count the spectra of a survey by status, and list those that could not be used.

    Parameters
    ----------
    index : index files of all packed bundles
    manifest : the survey's manifest, for the name of each spectrum's file
    counts : CSV file to write: status, number of spectra
    unusable : Parquet file to write: spectrum_id, band, status, file
    """
    columns = ["spectrum_id", "band", "status"]
    tables = [pq.read_table(path, columns=columns) for path in index]
    table = pa.concat_tables(tables)
    found = pc.value_counts(table["status"]).to_pylist()
    number = dict(sorted((row["values"], row["counts"]) for row in found))
    with atomic_path(counts) as temporary, temporary.open("w", newline="") as file:
        csv.writer(file).writerows([("status", "spectra"), *number.items()])
    bad = table.filter(pc.not_equal(table["status"], OK))
    files = pq.read_table(manifest, columns=["spectrum_id", "band", "file"])
    files = files.filter(pc.is_in(files["spectrum_id"], bad["spectrum_id"].combine_chunks()))
    listed = bad.join(files, keys=["spectrum_id", "band"], join_type="left outer")
    listed = listed.sort_by([("spectrum_id", "ascending"), ("band", "ascending")])
    write_parquet(listed.select([*columns, "file"]), unusable)
    return number


def describe_results(results: str | os.PathLike[str]) -> Iterator[str]:
    """Lines that tell how far a run is: cuts, bundles of each stage, statuses, and what each file was.

    Parameters
    ----------
    results : the folder that the workflow writes

    Raises
    ------
    FileNotFoundError : there is no manifest yet.
    """
    folder = Path(results)
    manifests = sorted(folder.glob("manifest/*-selection.csv"))
    if not manifests:
        raise FileNotFoundError(f"{folder}: no manifest here; is this the results folder of a run?")
    for path in manifests:
        name = path.name.removesuffix("-selection.csv")
        bundles = sorted(p.stem for p in (folder / "manifest" / name).glob("*.parquet"))
        packed = sum((folder / "spectra" / name / f"{b}.arrow").exists() for b in bundles)
        yield f"survey {name}"
        yield from _indented(_read_csv(path))
        yield f"  bundles packed: {packed} of {len(bundles)}"
        for stage in STAGES:
            done = sum(any((folder / stage).glob(f"{b}.*")) for b in bundles)
            if done:
                yield f"  {stage.replace('/', ', ')}: {done} of {len(bundles)} bundles"
        status = folder / "manifest" / f"{name}-status.csv"
        if status.exists():
            yield from _indented(_read_csv(status))
        yield from _describe_files(folder, name)


def _describe_files(folder: Path, name: str) -> Iterator[str]:
    """What each file was, or for a large survey only what could not be used."""
    index, unusable = folder / f"manifest/{name}-index.parquet", folder / f"manifest/{name}-unusable.parquet"
    if index.exists():
        table = pq.read_table(index)
        columns = [c for c in ("path", "band", *DESCRIPTIVE, "status") if c in table.column_names]
        yield from _listing("  what each file was", table.select(columns))
    elif unusable.exists():
        table = pq.read_table(unusable)
        if table.num_rows:
            yield from _listing("  could not be used", table)


def _listing(title: str, table: pa.Table) -> Iterator[str]:
    yield f"{title}:"
    rows = table.slice(0, LISTED).to_pylist()
    yield from _indented([table.column_names, *([_text(v) for v in row.values()] for row in rows)])
    if table.num_rows > LISTED:
        yield f"  ... and {table.num_rows - LISTED} more"


def _text(value: object) -> str:
    return "" if value is None else f"{value:.5g}" if isinstance(value, float) else str(value)


def _read_csv(path: Path) -> list[list[str]]:
    with path.open(newline="") as file:
        return list(csv.reader(file))


def _indented(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(len(str(cell)) for cell in column) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = "  ".join(str(cell).ljust(width) for cell, width in zip(row, widths, strict=True))
        yield f"    {cells.rstrip()}"
