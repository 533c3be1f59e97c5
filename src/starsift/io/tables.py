"""Tables that people bring, in whatever format and spelling they come: catalogues, labels, sources.

The content decides about the format, not the name: FITS, Parquet, VOTable, ECSV and delimited text, plain or
compressed (gzip, bzip2, xz). Text may have commas, semicolons, bars or tabs between its columns, comments,
a byte order mark, and decimal commas where semicolons leave no doubt.
"""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import logging
import lzma
import os
import re
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from starsift.errors import InputError

log = logging.getLogger(__name__)

FORMATS = "FITS, Parquet, VOTable, ECSV or CSV, plain or compressed by gzip, bzip2 or xz"

_COMPRESSIONS: dict[bytes, Callable[..., Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ": lzma.open,
}
# What people name as a table although it is none, by its first bytes.
_OTHERS = {
    b"PK\x03\x04": "a zip archive or a spreadsheet (.xlsx, .ods): save the sheet as CSV",
    b"\xd0\xcf\x11\xe0": "a spreadsheet (.xls): save the sheet as CSV",
    b"SQLite format 3": "a SQLite database",
    b"\x89HDF": "an HDF5 file",
    b"\x28\xb5\x2f\xfd": "compressed by zstd: unpack it",
    b"%PDF": "a PDF document",
}
_DELIMITERS = ",|;\t"
_EXCERPT = 80  # characters of a row in a message
_SAMPLE = 200  # lines that tell how numbers are written
_NULLS = ["", "NULL", "null", "NaN", "nan", "N/A", "None", "--", "\\N"]
_ECSV_TYPES = {
    "string": pa.string(),
    "bool": pa.bool_(),
    **{name: pa.type_for_alias(name) for name in ("float32", "float64")},
    **{
        f"{sign}int{bits}": pa.type_for_alias(f"{sign}int{bits}")
        for sign in ("", "u")
        for bits in (8, 16, 32, 64)
    },
}
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_VARIABLE = re.compile(r"[01]?[PQ]")  # FITS format of a column of arrays of any length
_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+([eE][+-]?\d+)?")
_THOUSANDS = re.compile(r"[+-]?\d{1,3}([,.' \N{NO-BREAK SPACE}\N{NARROW NO-BREAK SPACE}]\d{3})+([.,]\d+)?")
_MINUS = "^[\N{MINUS SIGN}\N{EN DASH}]"  # as texts are typeset
_WHOLE = re.compile(r"[+-]?\d+(\.0*)?")
_SCIENTIFIC = re.compile(r"[+-]?\d+(?:\.(?P<decimals>\d*))?[eE]\+?(?P<exponent>\d+)")
_COORDINATE = re.compile(r"(?:.*_)?(?:(?P<ra>ra)|dec?)(?:_?j2000|_?icrs|_obs|obj)?")
_SEXAGESIMAL = re.compile(r"\d\s*[:hd\N{DEGREE SIGN}\s]\s*\d")
# What Arrow computes with, in place of types that it only stores.
_PLAIN = {pa.float16(): pa.float32(), pa.string_view(): pa.string()}
# Above these a floating-point number does not tell one whole number from the next.
_EXACT = {pa.float16(): 2**11, pa.float32(): 2**24, pa.float64(): 2**53}


def read_table(
    path: str | os.PathLike[str], keep: Collection[str] | None = None, text: Collection[str] = ()
) -> pa.Table:
    """Read a table as it is; what is missing is null.

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

    Raises
    ------
    InputError
        There is no such file, it is no table or a damaged one, a column is there twice, a coordinate cannot
        be understood, or a column of identifiers (a name that ends in "id") holds numbers that have lost
        their last digits.
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
        if _is_identifier(name) and pa.types.is_floating(kind):
            _refuse_lost_digits(source, name, table[name])
        elif coordinate and (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
            at = table.column_names.index(name)
            degrees = _degrees(source, name, table[name], in_hours=coordinate["ra"] is not None)
            table = table.set_column(at, _field(name, degrees.type, "deg"), degrees)
    return table


def _read(path: Path, keep: Collection[str] | None, text: Collection[str]) -> pa.Table:
    with _unpacked(path) as stream:
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
        raise InputError(f"{path}: this is no {binary[1]} file but text, or damaged; copy the file again")
    return _read_text(path, keep, text)


def _unpacked(path: Path) -> IO[bytes]:
    with path.open("rb") as stream:
        start = stream.read(8)
    opener = next((found for magic, found in _COMPRESSIONS.items() if start.startswith(magic)), open)
    return opener(path, "rb")


def _wanted(name: str, keep: Collection[str] | None) -> bool:
    return keep is None or name.lower() in keep


def _refuse_twice(path: Path, names: Sequence[str]) -> None:
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise InputError(f"{path}: column {', '.join(twice)} is there twice; rename or delete one")


def _read_parquet(path: Path, keep: Collection[str] | None) -> pa.Table:
    file = pq.ParquetFile(path)
    wanted = [name for name in file.schema_arrow.names if _wanted(name, keep)]
    _refuse_twice(path, wanted)
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
        _refuse_twice(path, [name for name in table.columns.names if _wanted(name, keep)])
        found: dict[str, tuple[pa.Array, str | None]] = {}
        for column in table.columns:
            if _wanted(column.name, keep) and not _VARIABLE.match(column.format):
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
        with _unpacked(path) as stream:
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
        if _wanted(column.name, keep):
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
    fields = [_field(name, array.type, unit) for name, (array, unit) in found.items()]
    return pa.table([array for array, _ in found.values()], schema=pa.schema(fields))


def _field(name: str, kind: pa.DataType, unit: str | None) -> pa.Field:
    return pa.field(name, kind, metadata={"unit": unit} if unit else None)


class _Text(NamedTuple):
    """How a text file is laid out."""

    skip: int  # lines before the data
    names: list[str]
    delimiter: str
    decimal_point: str
    types: dict[str, pa.DataType | None]  # that the file declares; None: a vector
    units: dict[str, str]
    empty: bool


def _read_text(path: Path, keep: Collection[str] | None, text: Collection[str]) -> pa.Table:
    with _utf8(path) as stream:
        layout = _text_layout(path, stream)
    wanted = [n for n in layout.names if n and _wanted(n, keep) and layout.types.get(n, True) is not None]
    _refuse_twice(path, wanted)
    types = {n: kind for n, kind in layout.types.items() if n in wanted}
    types |= {n: pa.string() for n in wanted if n.lower() in text}
    if layout.empty:
        return pa.table({name: pa.array([], types.get(name, pa.null())) for name in wanted})
    table = _parse_text(path, layout, wanted, types)
    _refuse_open_quotes(path, layout, table.num_rows)
    if binary := next((n for n in wanted if pa.types.is_binary(table[n].type)), None):
        raise InputError(f"{path}: column {binary}: not UTF-8 text; save it as CSV in UTF-8")
    # Identifiers that look like floats: digits tell what is lost. Angles that look like times: 09:49:17.
    guessed = {n: table[n].type for n in wanted if n not in types}
    floats = [n for n, kind in guessed.items() if _is_identifier(n) and pa.types.is_floating(kind)]
    spelt = [*floats, *(n for n, kind in guessed.items() if pa.types.is_time(kind))]
    as_text = _parse_text(path, layout, spelt, dict.fromkeys(spelt, pa.string())) if spelt else table
    for name in spelt:
        _refuse_lost_digits(path, name, as_text[name])
        if name not in floats or _all_digits(as_text[name]):
            table = table.set_column(table.column_names.index(name), name, as_text[name])
    fields = [_field(n, table[n].type, layout.units.get(n)) for n in table.column_names]
    return table.cast(pa.schema(fields))


def _parse_text(
    path: Path, layout: _Text, columns: Sequence[str], types: Mapping[str, pa.DataType | None]
) -> pa.Table:
    wrong: list[pyarrow.csv.InvalidRow] = []

    def skip_comment(row: pyarrow.csv.InvalidRow) -> str:
        if row.text.lstrip().startswith("#"):
            return "skip"
        wrong.append(row)
        return "error"

    with _utf8(path) as stream:
        for _ in range(layout.skip):
            stream.readline()
        try:
            return pyarrow.csv.read_csv(
                stream,
                read_options=pyarrow.csv.ReadOptions(column_names=layout.names),
                parse_options=pyarrow.csv.ParseOptions(
                    delimiter=layout.delimiter,
                    newlines_in_values=True,
                    invalid_row_handler=skip_comment,
                ),
                convert_options=pyarrow.csv.ConvertOptions(
                    include_columns=list(columns),
                    column_types=dict(types),
                    null_values=_NULLS,
                    strings_can_be_null=True,
                    decimal_point=layout.decimal_point,
                ),
            )
        except pa.ArrowInvalid:
            if not wrong:
                raise
    _refuse_open_quotes(path, layout, 0)
    row = wrong[0]
    text = row.text if len(row.text) <= _EXCERPT else f"{row.text[:_EXCERPT]}..."
    raise InputError(
        f"{path}: a row of {row.actual_columns} in place of {row.expected_columns} values: {text!r}; "
        "complete it, quote a value that holds the delimiter, or delete what is above the names of columns"
    )


def _refuse_open_quotes(path: Path, layout: _Text, n_rows: int) -> None:
    """Raise where a quotation mark that nobody closed has made one value of many rows."""
    with _utf8(path) as stream:
        for _ in range(layout.skip):
            stream.readline()
        filled = sum(1 for line in stream if line.strip())
    if filled <= n_rows:
        return
    with _utf8(path) as stream:
        for _ in range(layout.skip):
            stream.readline()
        lines = io.TextIOWrapper(stream, "utf-8", "replace", newline="")
        rows = csv.reader(lines, delimiter=layout.delimiter)
        before = 0
        try:
            for row in rows:
                # A value of several lines may hold anything but a whole row.
                inside = [line for value in row if "\n" in value for line in value.splitlines()[1:]]
                if any(line.count(layout.delimiter) >= max(1, len(layout.names) - 1) for line in inside):
                    break
                before = rows.line_num
            else:
                return
        except csv.Error:  # a value too long to be one
            pass
    raise InputError(
        f"{path}: line {layout.skip + before + 1}: a quotation mark is opened and not closed, which makes "
        "one value of this row and the next; delete it, or double it"
    )


def _utf8(path: Path) -> IO[bytes]:
    """The bytes of a text file as UTF-8 without byte order mark; only other encodings are read as a whole."""
    stream = _unpacked(path)
    start = stream.read(65_536)
    if start.startswith((b"\xff\xfe", b"\xfe\xff")):
        content = start + stream.read()
        stream.close()
        return io.BytesIO(content.decode("utf-16").encode())
    if b"\r" in start and b"\n" not in start:  # as Macintosh computers ended lines
        content = start + stream.read()
        stream.close()
        return io.BytesIO(content.removeprefix(b"\xef\xbb\xbf").replace(b"\r", b"\n"))
    stream.seek(3 if start.startswith(b"\xef\xbb\xbf") else 0)
    return stream


def _text_layout(path: Path, stream: IO[bytes]) -> _Text:
    comments: list[str] = []
    first = ""
    for line in stream:
        if b"\0" in line:
            raise InputError(f"{path}: neither a table nor text; expected {FORMATS}")
        first = _decoded(path, line)
        if first and not first.startswith("#"):
            break
        comments.append(first)
        first = ""
    rows = [_decoded(path, line) for line in islice(stream, _SAMPLE)]
    if comments and comments[0].startswith("# %ECSV"):
        return _ecsv_layout(path, comments, first, rows)
    # The names may be in the last comment; then the first line that is none is data.
    commented = comments[-1].lstrip("#").strip() if comments else ""
    delimiter = _delimiter(commented) or _delimiter(first)
    if commented and (not first or _names_and_data(commented, first, delimiter or ",")):
        header, skip, rows = commented, len(comments), [first, *rows] if first else rows
    else:
        header, skip, delimiter = first, len(comments) + 1, _delimiter(first)
    if (
        delimiter is None
        and len(header.split()) > 1
        and len(header.split()) == len((rows or [""])[0].split())
    ):
        raise InputError(f"{path}: its columns are separated by blanks; save it as CSV or ECSV")
    delimiter = delimiter or ","
    names = [name.strip() for name in _split(header, delimiter)]
    units: dict[str, str] = {}
    if len(rows) > 1 and re.fullmatch(
        rf"[-\s{re.escape(delimiter)}]*--[-\s{re.escape(delimiter)}]*", rows[1]
    ):
        # As VizieR writes tables: names, units, a line of hyphens.
        units = {n: u.strip() for n, u in zip(names, _split(rows[0], delimiter), strict=False) if u.strip()}
        skip, rows = skip + 2, rows[2:]
    cells = [cell.strip() for row in rows for cell in _split(row, delimiter)] if delimiter == ";" else []
    commas = any(map(_DECIMAL_COMMA.fullmatch, cells))
    if commas and (point := next((c for c in cells if "." in c and _NUMBER.fullmatch(c)), None)):
        comma = next(filter(_DECIMAL_COMMA.fullmatch, cells))
        raise InputError(
            f"{path}: numbers have decimal commas ({comma}) and decimal points ({point}); write points"
        )
    return _Text(
        skip=skip,
        names=names,
        delimiter=delimiter,
        decimal_point="," if commas else ".",
        types={},
        units=units,
        empty=not any(rows),
    )


def _ecsv_layout(path: Path, comments: Sequence[str], header: str, rows: Sequence[str]) -> _Text:
    """An ECSV header is YAML (astropy APE 6). Its body is CSV, which Gaia's archive fills with ``null``."""
    from astropy.io.misc import yaml

    try:
        meta = yaml.load("\n".join(line[2:] for line in comments if not line.startswith("# %")))
        columns = {column["name"]: column for column in meta["datatype"]}
    except Exception as error:  # of YAML, of its tags, of what lacks
        raise InputError(f"{path}: the ECSV header cannot be read ({error})") from error
    delimiter = meta.get("delimiter", " ")
    types = {
        name: None if "subtype" in column else _ECSV_TYPES[column["datatype"]]
        for name, column in columns.items()
        if "subtype" in column or column["datatype"] in _ECSV_TYPES
    }
    return _Text(
        skip=len(comments) + 1,
        names=_split(header, delimiter),
        delimiter=delimiter,
        decimal_point=".",
        types=types,
        units={name: column["unit"] for name, column in columns.items() if column.get("unit")},
        empty=not any(rows),
    )


def _decoded(path: Path, line: bytes) -> str:
    try:
        return line.decode().strip("\r\n ")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text ({error}); save it as CSV in UTF-8") from error


def _split(line: str, delimiter: str) -> list[str]:
    return next(csv.reader([line], delimiter=delimiter), [])


def _delimiter(line: str) -> str | None:
    outside = re.sub('"[^"]*"', "", line)
    best = max(_DELIMITERS, key=outside.count)
    return best if best in outside else None


def _names_and_data(comment: str, line: str, delimiter: str) -> bool:
    names, values = (_split(text, delimiter) for text in (comment, line))
    number = [bool(_NUMBER.fullmatch(value.strip())) for value in values]
    return len(names) == len(values) and any(number) and not any(map(_NUMBER.fullmatch, names))


def _degrees(path: Path, name: str, column: pa.ChunkedArray, *, in_hours: bool) -> pa.ChunkedArray:
    """Sexagesimal text with colons, letters or blanks; other text as it is."""
    from astropy.coordinates import Angle

    texts = column.to_pylist()
    if not any(text and _SEXAGESIMAL.search(text) for text in texts):
        return column
    degrees: list[float | None] = []
    for row, text in enumerate(texts, 1):
        try:
            if text is None or not text.strip():
                degrees.append(None)
            elif not _SEXAGESIMAL.search(text):
                degrees.append(float(text))
            else:
                unit = "hourangle" if in_hours and not re.search("[d\N{DEGREE SIGN}]", text) else "deg"
                degrees.append(float(Angle(text.strip(), unit=unit).deg))
        except ValueError as error:
            raise InputError(
                f"{path}: row {row}, column {name}: {text!r} is no angle ({error}); write degrees, or "
                "hh:mm:ss.s for right ascension and dd:mm:ss.s for declination"
            ) from error
    return pa.chunked_array([pa.array(degrees, pa.float64())])


def _is_identifier(name: str) -> bool:
    return name.lower().endswith("id") or name.lower() == "source"  # Gaia's, at VizieR


def _refuse_lost_digits(path: str | os.PathLike[str], name: str, column: pa.ChunkedArray) -> None:
    """Raise for whole numbers that passed through a type that cannot hold them."""
    values = column.to_numpy() if pa.types.is_floating(column.type) else np.array(column.to_pylist(), object)
    if pa.types.is_floating(column.type):
        lost = np.abs(values) > _EXACT[column.type]
    else:
        lost = np.array([_lost_digits(value) for value in values], bool)
    if lost.any():
        row = int(lost.argmax())
        raise InputError(
            f"{path}: row {row + 1}, column {name}: {values[row]!s} has lost the last digits of an "
            f"identifier ({int(lost.sum())} rows have); export the column again as whole numbers or as text"
        )


def _all_digits(column: pa.ChunkedArray) -> bool:
    return bool(pc.all(pc.match_substring_regex(column, r"^\s*[+-]?\d+\s*$")).as_py())


def _lost_digits(value: str | None) -> bool:
    """Is this a number such as 2.12597E+18, with fewer digits than the whole number has?"""
    match = _SCIENTIFIC.fullmatch(value.strip()) if value else None
    return match is not None and len(match["decimals"] or "") < int(match["exponent"])


def cast_column(
    path: str | os.PathLike[str], name: str, column: pa.ChunkedArray, kind: pa.DataType
) -> pa.ChunkedArray:
    """A column of a table in the type that it should have; NaN and empty text are null.

    Whole numbers may come as floats (31.0) or text, numbers as text, text as whole numbers (266.0 becomes
    "266").

    Parameters
    ----------
    path, name : of the table and column, for messages
    column : (row,) of any type
    kind : an integer or floating type, or string

    Raises
    ------
    InputError
        A value is not of that kind, does not fit in it, or has lost digits; the message names its row.
    """
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.int8())
    if pa.types.is_temporal(column.type):  # to Arrow a date is a number of days, from 1970 on
        texts = [None if value is None else str(value) for value in column.to_pylist()]
        column = pa.chunked_array([pa.array(texts, pa.string())])
    if pa.types.is_floating(column.type):
        column = pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)
    is_text = pa.types.is_string(column.type) or pa.types.is_large_string(column.type)
    if is_text:
        column = pc.utf8_trim_whitespace(column.cast(pa.string()))
        column = pc.if_else(pc.equal(column, ""), pa.scalar(None, pa.string()), column)
        if not pa.types.is_string(kind):
            column = pc.replace_substring_regex(column, _MINUS, "-")
    if pa.types.is_floating(kind):
        return _cast_or_name(path, name, column, kind, "a number", float)
    if pa.types.is_string(kind):
        if is_text or not pa.types.is_floating(column.type):
            return column.cast(kind)
        return cast_column(path, name, column, pa.int64()).cast(kind)
    if is_text or pa.types.is_floating(column.type):
        _refuse_lost_digits(path, name, column)
    if is_text:
        try:
            return column.cast(kind)
        except pa.ArrowInvalid:  # 31.0, or worse
            pass
    return _cast_or_name(path, name, column, kind, "a whole number", _whole_number)


def _whole_number(value: Any) -> int:
    if isinstance(value, str):
        if _WHOLE.fullmatch(value):
            return int(value.split(".")[0])
        value = float(value)
    if value != int(value):
        raise ValueError(value)
    return int(value)


def first_outside(column: pa.ChunkedArray | pa.Array, low: float, high: float) -> int | None:
    """Row of the first value below `low` or above `high`; None where there is no such value."""
    outside = pc.fill_null(pc.or_(pc.less(column, low), pc.greater(column, high)), False)
    row = pc.index(outside, True).as_py()
    return None if row < 0 else row


def whole_numbers(path: str | os.PathLike[str], name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Names (text) of which a whole number that passed through floats (266.0) is one again.

    Raises
    ------
    InputError : a name is a number, but not a whole one.
    """
    made = pc.replace_substring_regex(column, r"^(\d+)\.0*$", r"\1")
    wrong = pc.fill_null(pc.match_substring_regex(made, r"^[+-]?\d*\.\d*([eE][+-]?\d+)?$"), False)
    if pc.any(wrong).as_py():
        row = pc.index(wrong, True).as_py()
        raise InputError(
            f"{path}: row {row + 1}, column {name}: {made[row].as_py()!r} is neither a name nor a whole "
            "number"
        )
    return made


def _cast_or_name(
    path: str | os.PathLike[str],
    name: str,
    column: pa.ChunkedArray,
    kind: pa.DataType,
    expected: str,
    convert: Callable[[Any], Any],
) -> pa.ChunkedArray:
    """The cast of a whole column; value by value only where that fails, to name the first that is wrong."""
    try:
        return column.cast(kind)
    except pa.ArrowException:
        pass
    made = []
    for row, value in enumerate(column.to_pylist(), 1):
        try:
            made.append(pa.scalar(None if value is None else convert(value), kind))
        except (ValueError, TypeError, OverflowError, pa.ArrowException):
            hint = ""
            if isinstance(value, str) and _THOUSANDS.fullmatch(value):
                hint = "; write it without separators of thousands"
            elif isinstance(value, str) and _DECIMAL_COMMA.fullmatch(value):
                hint = "; write decimal points"
            raise InputError(
                f"{path}: row {row}, column {name}: {value!r} is not {expected} ({kind}){hint}"
            ) from None
    return pa.chunked_array([pa.array([scalar.as_py() for scalar in made], kind)])
