"""Tables of users in any format: catalogues, labels, sources.

The content decides the format, not the name: FITS, Parquet, VOTable, ECSV and delimited text, plain or
compressed (gzip, bzip2, xz). Text may have commas, semicolons, bars or tabs between its columns, comments,
a byte order mark, and decimal commas where semicolons leave no doubt.
"""

from __future__ import annotations

import csv
import io
import logging
import lzma
import os
import re
from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from starsift.errors import InputError
from starsift.io.columns import (
    is_identifier,
    is_kept,
    refuse_lost_digits,
    refuse_twice,
    to_degrees,
    unit_field,
)
from starsift.io.delimited import FORMATS, read_delimited
from starsift.io.files import open_unpacked

log = logging.getLogger(__name__)

# Files that are no tables, by their first bytes.
_OTHERS = {
    b"PK\x03\x04": "a zip archive or a spreadsheet (.xlsx, .ods): save the sheet as CSV",
    b"\xd0\xcf\x11\xe0": "a spreadsheet (.xls): save the sheet as CSV",
    b"SQLite format 3": "a SQLite database",
    b"\x89HDF": "an HDF5 file",
    b"\x28\xb5\x2f\xfd": "compressed by zstd: unpack it",
    b"%PDF": "a PDF document",
}
_VARIABLE = re.compile(r"[01]?[PQ]")  # FITS format of a column of arrays of any length
_COORDINATE = re.compile(r"(?:.*_)?(?:(?P<ra>ra)|dec?)(?:_?j2000|_?icrs|_obs|obj)?")
# What Arrow computes with, in place of types that it only stores.
_PLAIN = {pa.float16(): pa.float32(), pa.string_view(): pa.string()}


def read_table(
    path: str | os.PathLike[str], keep: Collection[str] | None = None, text: Collection[str] = ()
) -> pa.Table:
    """Read a table as it is; missing values are null.

    Parameters
    ----------
    path : path
        FITS (its first table), Parquet, VOTable, ECSV or CSV, also compressed.
    keep : collection of str, optional
        Names in lower case of the columns to read; by default all. The table has them as they are written.
    text : collection of str
        Names in lower case of columns of a CSV that are text although they may look like numbers: a plan
        called 0012 is not the number 12.

    Returns
    -------
    pyarrow.Table
        Units in the metadata of its fields where the file has them. Columns of vectors are left out, except
        of Parquet. Sexagesimal text in columns of coordinates (ra, dec, RAJ2000, ...) is degrees, the right
        ascension taken in hours unless it says d.

    Raises InputError: there is no such file, it is no table or a damaged one, a column occurs twice, a
    coordinate cannot be understood, or a column of identifiers (a name that ends in "id") holds numbers that
    have lost their last digits.
    """
    source = Path(path)
    try:
        table = _read(source, keep, text)
    except InputError:
        raise
    except FileNotFoundError:
        raise InputError(f"{source}: no such file") from None
    except (
        OSError,
        EOFError,
        ValueError,
        KeyError,
        IndexError,
        TypeError,
        csv.Error,
        lzma.LZMAError,
        pa.ArrowException,
    ) as error:
        raise InputError(f"{source}: cannot be read as a table ({error}); expected {FORMATS}") from error
    for name in table.column_names:
        kind, coordinate = table[name].type, _COORDINATE.fullmatch(name.lower())
        if is_identifier(name) and pa.types.is_floating(kind):
            refuse_lost_digits(source, name, table[name])
        elif coordinate and (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
            at = table.column_names.index(name)
            degrees = to_degrees(source, name, table[name], in_hours=coordinate["ra"] is not None)
            table = table.set_column(at, unit_field(name, degrees.type, "deg"), degrees)
    return table


def _read(path: Path, keep: Collection[str] | None, text: Collection[str]) -> pa.Table:
    with open_unpacked(path) as stream:
        start = stream.read(4096)
    for magic, what in _OTHERS.items():
        if start.startswith(magic):
            raise InputError(f"{path}: this is {what}; expected {FORMATS}")
    if start.startswith(b"SIMPLE  ="):
        return _read_fits(path, keep)
    if start.startswith(b"PAR1"):
        return _read_parquet(path, keep)
    if re.match(rb"(\xef\xbb\xbf)?\s*<(!doctype\s+)?html", start, re.IGNORECASE):
        raise InputError(
            f"{path}: this is a web page, such as a site sends in place of a file; expected {FORMATS}"
        )
    if re.match(rb"(\xef\xbb\xbf)?\s*<", start):
        return _read_votable(path, keep)
    if not start.strip():
        raise InputError(f"{path}: the file is empty")
    if binary := re.search(r"\.(fits|fit|parquet|parq)(\.\w+)?$", path.name.lower()):
        raise InputError(f"{path}: this is not a {binary[1]} file but text, or damaged; copy the file again")
    return read_delimited(path, keep, text)


def _read_parquet(path: Path, keep: Collection[str] | None) -> pa.Table:
    file = pq.ParquetFile(path)
    wanted = [name for name in file.schema_arrow.names if is_kept(name, keep)]
    refuse_twice(path, wanted)
    table = file.read(columns=wanted)
    for at, field in enumerate(table.schema):
        kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
        kind = _PLAIN.get(kind, kind)
        if kind != field.type:
            table = table.set_column(at, field.with_type(kind), table[at].cast(kind))
    return table


def _read_fits(path: Path, keep: Collection[str] | None) -> pa.Table:
    from astropy.io import fits

    with fits.open(path) as hdus:
        table = next((hdu for hdu in hdus if isinstance(hdu, fits.BinTableHDU | fits.TableHDU)), None)
        if table is None:
            raise InputError(f"{path}: no table in this FITS file, or it is cut short")
        refuse_twice(path, [name for name in table.columns.names if is_kept(name, keep)])
        found: dict[str, tuple[pa.Array, str | None]] = {}
        for column in table.columns:
            if is_kept(column.name, keep) and not _VARIABLE.match(column.format):
                values, null, mask = np.asarray(table.data[column.name]), column.null, None
                if null not in (None, ""):
                    # TNULL is what the file holds, before TSCAL and TZERO; in text tables it is text.
                    stored = table.data.view(np.ndarray)[column.name]
                    is_text = stored.dtype.kind == "S"
                    mask = np.char.strip(stored) == null.strip().encode() if is_text else stored == null
                _add_column(found, column.name, values, mask, column.unit)
    return _table(found)


def _read_votable(path: Path, keep: Collection[str] | None) -> pa.Table:
    from astropy.io import votable

    try:
        with open_unpacked(path) as stream:
            document = votable.parse(io.BytesIO(stream.read()))
        # How archives say that a query failed, or found more than they send (IVOA DALI 1.1, section 4.4).
        said = {
            str(info.value).upper(): (info.content or "").strip() or "no reason given"
            for resource in document.resources
            for info in resource.infos
            if info.name == "QUERY_STATUS"
        }
        if "ERROR" in said:
            raise InputError(f"{path}: holds no table but the error of a query: {said['ERROR']}")
        table = document.get_first_table().to_table(use_names_over_ids=True)
    except InputError:
        raise
    except Exception as error:  # of expat and of astropy, without a common base
        raise InputError(f"{path}: cannot be read as a VOTable ({error})") from error
    if "OVERFLOW" in said:
        log.warning("%s: the archive cut the result at its limit of %d rows; query for all", path, len(table))
    found: dict[str, tuple[pa.Array, str | None]] = {}
    for column in table.itercols():
        if is_kept(column.name, keep):
            mask = np.ma.getmaskarray(column) if hasattr(column, "mask") else None
            unit = str(column.unit) if column.unit else None
            _add_column(found, column.name, np.asarray(column), mask, unit)
    return _table(found)


def _add_column(
    found: dict[str, tuple[pa.Array, str | None]],
    name: str,
    values: np.ndarray,
    mask: np.ndarray | None,
    unit: str | None,
) -> None:
    if values.ndim != 1 or values.dtype.kind == "c":
        return  # vectors and complex numbers are nothing to select on
    if values.dtype.kind == "S":
        values = np.char.decode(values, "ascii", "replace")
    if values.dtype.kind in "UO":
        values = np.char.strip(values.astype(str)).astype(object)
    elif values.dtype.kind in "iuf":
        values = values.astype(values.dtype.newbyteorder("="), copy=False)
    found[name] = (pa.array(values, mask=mask), unit)


def _table(found: Mapping[str, tuple[pa.Array, str | None]]) -> pa.Table:
    fields = [unit_field(name, array.type, unit) for name, (array, unit) in found.items()]
    return pa.table([array for array, _ in found.values()], schema=pa.schema(fields))
