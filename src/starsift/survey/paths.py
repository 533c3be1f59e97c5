"""Paths of files from a template over a catalogue's columns."""

import re
import string
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from starsift.errors import SettingsError
from starsift.sky.dates import MJD_EPOCH


def iter_values(column: pa.ChunkedArray) -> Iterator[Any]:
    # Python objects of one chunk at a time: a survey has millions of rows.
    for start in range(0, len(column), 65_536):
        yield from column.slice(start, 65_536).to_pylist()


def template_columns(template: str) -> set[str]:
    """The columns that a path template is made of, and ``date``, which follows from lmjd.

    Raises SettingsError if the braces of the template do not match, or it has none.
    """
    try:
        parts = string.Formatter().parse(template)
        fields = {re.split(r"[.\[]", name)[0] for _, name, _, _ in parts if name}
    except ValueError as error:
        raise SettingsError(f"path_template {template!r}: {error}") from error
    if not fields:
        raise SettingsError(
            f"path_template {template!r} gives all spectra one file; name columns of the catalogue in "
            "braces, such as {fiberid:03d}"
        )
    return fields


def format_paths(table: pa.Table, template: str) -> Iterator[str | None]:
    """The path of each row from a template over the table's columns; None where one of them is null.

    Raises SettingsError if the template names a column that there is not, or does not fit a row.
    """
    fields = template_columns(template)
    unknown = sorted(fields - {"date"} - set(table.column_names))
    if unknown:
        raise SettingsError(
            f"path_template {template!r} uses {', '.join(unknown)}; "
            f"the catalogue has: {', '.join(table.column_names)}"
        )
    source = sorted((fields - {"date"}) | ({"lmjd"} if "date" in fields else set()))
    for values in zip(*(iter_values(table[name]) for name in source), strict=True):
        row = dict(zip(source, values, strict=True))
        if None in values:
            yield None  # becomes a row with status missing_file
            continue
        if "date" in fields:
            row["date"] = str(MJD_EPOCH + row["lmjd"]).replace("-", "")
        try:
            yield template.format_map(row)
        except (ValueError, KeyError, IndexError, AttributeError) as error:
            raise SettingsError(f"path_template {template!r} does not fit the row {row}: {error}") from error
