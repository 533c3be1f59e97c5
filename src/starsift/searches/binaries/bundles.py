"""Tables of several stages, joined by position.

The tables of a bundle have one row a spectrum, in the order of the packed bundle.
"""

import os
from collections.abc import Iterable, Iterator, Mapping

import pyarrow as pa
import pyarrow.parquet as pq

from starsift.errors import ResultsError


def join_bundles(stages: Mapping[str, Iterable[str | os.PathLike[str]]]) -> Iterator[pa.Table]:
    """Join the tables of several stages by position, one table a bundle.

    Each stage has the files of all bundles, in the same order; of columns that several stages have, the first
    one's is kept. Raises ResultsError, with the names of the files, if those of a bundle hold different
    spectra.
    """
    for files in zip(*stages.values(), strict=True):
        joined = pq.read_table(files[0])
        for file in files[1:]:
            table = pq.read_table(file)
            if any(not table[key].equals(joined[key]) for key in ("spectrum_id", "band")):
                raise ResultsError(f"{files[0]} and {file} hold different spectra; delete both and run again")
            for field in table.schema:
                if field.name not in joined.column_names:
                    joined = joined.append_column(field, table[field.name])
        yield joined


def join_stages(stages: Mapping[str, Iterable[str | os.PathLike[str]]]) -> pa.Table:
    """All bundles of `join_bundles` in one table."""
    return pa.concat_tables(join_bundles(stages))
