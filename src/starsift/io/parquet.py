"""Parquet files of every stage, and small CSV files: the same table makes the same bytes.

A module of its own, so that editing how catalogues are published reruns no stage before that.
"""

import csv
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from starsift.errors import InputError
from starsift.io.files import atomic_path

# Fixed, so that a later pyarrow with other defaults does not change the bytes.
_WRITER = {
    "compression": "zstd",
    "compression_level": 3,
    "version": "2.6",
    "data_page_version": "1.0",
    "use_dictionary": True,
    "write_statistics": True,
    "row_group_size": 131_072,  # rows that a reader with a filter can skip
}


def write_parquet(
    table: pa.Table,
    path: str | os.PathLike[str],
    *,
    sort_by: Sequence[str] = (),
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write a table as Parquet: the same rows make the same bytes, and the file appears only when complete.

    Rows are sorted by the columns of `sort_by`, ascending, nulls last; by default they stay in their order.
    The footer has `metadata` besides that of the schema. Raises KeyError if a column of `sort_by` is not in
    the table.
    """
    missing = [name for name in sort_by if name not in table.column_names]
    if missing:
        raise KeyError(
            f"{path}: cannot sort by {', '.join(missing)}; columns: {', '.join(table.column_names)}"
        )
    if sort_by:
        table = table.sort_by([(name, "ascending") for name in sort_by])
    if metadata:
        more = {key.encode(): value.encode() for key, value in metadata.items()}
        table = table.replace_schema_metadata({**(table.schema.metadata or {}), **more})
    with atomic_path(path) as temporary:
        # Chunks left by concatenation would end up as pages of other sizes.
        pq.write_table(table.combine_chunks(), temporary, **_WRITER)


def write_csv(table: pa.Table, path: str | os.PathLike[str]) -> None:
    """Write a small table as CSV; null becomes an empty cell, a time is written as in ISO 8601."""
    with atomic_path(path) as temporary, temporary.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(table.column_names)
        columns = (c.cast(pa.string()) if pa.types.is_timestamp(c.type) else c for c in table.columns)
        writer.writerows(zip(*(column.to_pylist() for column in columns), strict=True))


def write_counts(counts: Mapping[str, int], path: str | os.PathLike[str], what: str = "step") -> None:
    """Write numbers of spectra as CSV, with the columns `what` and spectra."""
    write_csv(pa.table({what: list(counts), "spectra": list(counts.values())}), path)


def table_writer(path: str | os.PathLike[str]) -> Callable[[pa.Table, str | os.PathLike[str]], None]:
    """`write_parquet` or `write_csv`, as the end of a file's name says; InputError if it is neither."""
    writers = {".parquet": write_parquet, ".csv": write_csv}
    suffix = Path(path).suffix.lower()
    if suffix not in writers:
        raise InputError(f"{path}: the name of a table to write must end in {' or '.join(writers)}")
    return writers[suffix]
