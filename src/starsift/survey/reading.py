"""The status of a survey's spectra: counts, and a list of the unusable ones."""

import csv
import os
from collections.abc import Iterable

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from starsift.errors import InputError
from starsift.io.files import atomic_path
from starsift.io.parquet import write_parquet
from starsift.survey.identity import OK


def summarize_reading(
    index: Iterable[str | os.PathLike[str]],
    manifest: str | os.PathLike[str],
    counts: str | os.PathLike[str],
    unusable: str | os.PathLike[str],
) -> dict[str, int]:
    """Count the spectra of a survey by status, and list those that could not be used.

    Parameters
    ----------
    index, manifest : index files of all packed bundles; the survey's manifest, for the names of files
    counts, unusable : to write: a CSV of status and number; a Parquet file of spectrum_id, band, status, file

    Raises InputError if not one of the files is there.
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
    if set(number) == {"missing_file"}:
        raise InputError(
            f"all {listed.num_rows} files of the survey are missing, the first is {listed['file'][0]}; "
            "correct root, or the paths in the catalogue"
        )
    return number
