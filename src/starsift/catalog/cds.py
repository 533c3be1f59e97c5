"""Tables of fixed width with a ReadMe that describes them byte by byte, as the CDS takes catalogues.

The standard is that of VizieR, https://cds.unistra.fr/doc/catstd.htx. A blank is a missing value, which the
explanation of its column announces with "?"; logicals are 1 and 0. astropy's format `ascii.cds` reads both
files. Its writer `ascii.mrt` is not used: it cannot write a table without rows, and takes the precision of a
column from its values.
"""

from __future__ import annotations

import re
import textwrap

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from astropy.units import Unit

from starsift.catalog.columns import Column, TableSchema

_WIDTH = 80  # of the ReadMe
_RULE, _END = "-" * _WIDTH, "=" * _WIDTH


def fixed_width(table: pa.Table, schema: TableSchema) -> tuple[str, str]:
    """The lines of a table, and the ReadMe of the file `<name>.dat` that holds them.

    Parameters
    ----------
    table : of `starsift.catalog.columns.conform`; texts are ASCII
    """
    columns, rows, start = [], [], 1
    for column in schema.columns:
        values = _text(table[column.name], column)
        width = max(1, int(np.strings.str_len(values).max(initial=0)))
        side = "-" if pa.types.is_string(column.type) else ""
        columns.append(np.char.mod(f"%{side}{width}s", values).astype(str))
        rows += _description(column, start, width)
        start += width + 1
    lines = columns[0]
    for values in columns[1:]:
        lines = np.strings.add(np.strings.add(lines, " "), values)
    file = f"{schema.name}.dat"
    readme = [
        f"{schema.name}    {schema.description}",
        _END,
        "File Summary:",
        _RULE,
        f" {'FileName':<32} {'Lrecl':>6} {'Records':>9}  Explanations",
        _RULE,
        f" {schema.name + '_ReadMe.txt':<32} {_WIDTH:>6} {'.':>9}  This file",
        f" {file:<32} {start - 2:>6} {table.num_rows:>9}  Data",
        _RULE,
        "",
        f"Byte-by-byte Description of file: {file}",
        _RULE,
        f"{'Bytes':>9} {'Format':<6} {'Units':<8} {'Label':<22} Explanations",
        _RULE,
        *rows,
        _RULE,
        _END,
    ]
    return "".join(f"{line}\n" for line in lines), "".join(f"{line}\n" for line in readme)


def _text(values: pa.ChunkedArray, column: Column) -> np.ndarray:
    """Values (n,) as texts, empty where one is missing."""
    null = np.asarray(values.is_null().to_numpy(), dtype=bool)
    if pa.types.is_string(column.type):
        return values.fill_null("").to_numpy().astype(str)
    if pa.types.is_floating(column.type):
        form = f"%.{column.decimals}f" if column.decimals is not None else f"%.{(column.digits or 1) - 1}e"
        text = np.char.mod(form, values.cast(pa.float64()).fill_null(0.0).to_numpy())
    else:
        text = pc.fill_null(values.cast(pa.int64()), 0).to_numpy().astype(str)
    return np.where(null, "", text)


def _description(column: Column, start: int, width: int) -> list[str]:
    """Lines of the ReadMe on a column that begins at a byte, counted from 1."""
    if pa.types.is_string(column.type):
        form = f"A{width}"
    elif pa.types.is_floating(column.type):
        form = (
            f"F{width}.{column.decimals}"
            if column.decimals is not None
            else f"E{width}.{(column.digits or 1) - 1}"
        )
    else:
        form = f"I{width}"
    end = start + width - 1
    place = f"{start:>4}-{end:>4}" if width > 1 else f"{start:>9}"
    unit = Unit(column.unit).to_string("cds") if column.unit else "---"
    head = f"{place} {form:<6} {unit:<8} {column.name:<22} "
    # No line begins with a number, which would be read as another column.
    words = f"{'? ' if column.nullable else ''}{column.description} [ucd={column.ucd}]"
    glued = re.sub(r" (?=[\d-])", "\0", words)
    lines = textwrap.wrap(glued, max(_WIDTH - len(head), 20), break_long_words=False, break_on_hyphens=False)
    space = " " * len(head)
    return [(space if at else head) + line.replace("\0", " ") for at, line in enumerate(lines)]
