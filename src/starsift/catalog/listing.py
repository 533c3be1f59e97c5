"""Columns that catalogues of spectra share: the survey's, the star's, links; and numbers for CSV."""

from __future__ import annotations

from collections.abc import Sequence
from string import Formatter
from typing import Any
from urllib.parse import quote

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from starsift.catalog.columns import TableSchema
from starsift.errors import ResultsError
from starsift.survey.identity import MISSING


def listed_columns(listed: pa.Table, names: Sequence[str], schema: TableSchema) -> dict[str, Any]:
    """Columns of the survey's catalogue, null where it has none, says -9999, or Gaia's source is 0.

    `listed` are rows of a manifest, `names` columns of `schema`, which says their types.
    """
    columns = {}
    for name in names:
        kind = schema.arrow.field(name).type
        if name not in listed.column_names:
            columns[name] = pa.nulls(listed.num_rows, kind)
        elif pa.types.is_string(kind):
            columns[name] = listed[name].cast(kind)
        else:
            values = listed[name].cast(kind)
            lowest = 0 if pa.types.is_integer(kind) else MISSING
            good = pc.fill_null(pc.greater(values, pa.scalar(lowest).cast(kind)), False)
            columns[name] = pc.if_else(good, values, pa.scalar(None, kind))
    return columns


def star_columns(rows: pa.Table, name: pa.Array, group: np.ndarray, kept: np.ndarray) -> dict[str, Any]:
    """Number, name and spectra of each row's star, named after the first night's.

    Parameters
    ----------
    rows : n rows with spectrum_id and lmjd
    name : (n,) designations
    group : (n,) int, from 0, of `starsift.catalog.crossmatch.group_exposures`
    kept : (n,) bool, spectra that count
    """
    order = pc.sort_indices(rows, [("lmjd", "ascending"), ("spectrum_id", "ascending")]).to_numpy()
    first = np.empty(int(group.max(initial=-1)) + 1, np.int64)
    first[group[order[::-1]]] = order[::-1]
    number = np.bincount(group, kept, minlength=len(first))
    return {
        "group_id": pa.array(group + 1, pa.int32()),
        "group_name": name.take(pa.array(first[group])),
        "n_exposures": pa.array(number[group].astype(np.int32)),
    }


def fill_links(rows: pa.Table, template: str | None, setting: str) -> pa.Array:
    """Addresses (n,) filled from each row, null where a value that they need is.

    The template is such as "https://archive.org/view?obsid={obsid}"; None: no links. `setting` says where it
    comes from. Raises ResultsError if it names a column that there is not.
    """
    if template is None:
        return pa.nulls(rows.num_rows, pa.string())
    names = sorted({str(name) for _, name, _, _ in Formatter().parse(template) if name is not None})
    unknown = [name for name in names if name not in rows.column_names]
    if unknown:
        raise ResultsError(
            f"{setting}: {template!r} names {', '.join(unknown)}; columns are {', '.join(rows.column_names)}"
        )
    links = []
    for row in rows.select(names).to_pylist() if names else [{}] * rows.num_rows:
        known = all(value is not None for value in row.values())
        safe = {name: quote(value) if isinstance(value, str) else value for name, value in row.items()}
        links.append(template.format(**safe) if known else None)
    return pa.array(links, pa.string())


def plain_text(table: pa.Table) -> pa.Table:
    """A table for CSV: single-precision numbers with the digits that they have, 0.9 and not 0.8999999761."""
    for place, field in enumerate(table.schema):
        if pa.types.is_float32(field.type):
            table = table.set_column(place, field.name, table[field.name].cast(pa.string()))
    return table
