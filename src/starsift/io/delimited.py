"""Delimited text of any layout: CSV with commas, semicolons, bars or tabs, ECSV, and what VizieR writes."""

import csv
import io
import re
from collections.abc import Collection, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import IO, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from starsift.errors import InputError
from starsift.io.columns import (
    DECIMAL_COMMA,
    is_identifier,
    is_kept,
    refuse_lost_digits,
    refuse_twice,
    unit_field,
)
from starsift.io.files import open_unpacked

FORMATS = "FITS, Parquet, VOTable, ECSV or CSV, plain or compressed by gzip, bzip2 or xz"
_DELIMITERS = ",|;\t"
_EXCERPT = 80  # characters of a row in a message
_SAMPLE = 200  # lines from which the format of numbers is taken
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


class _Text(NamedTuple):
    """How a text file is laid out."""

    skip: int  # lines before the data
    names: list[str]
    delimiter: str
    decimal_point: str
    types: dict[str, pa.DataType | None]  # that the file declares; None: a vector
    units: dict[str, str]
    empty: bool


def read_delimited(path: Path, keep: Collection[str] | None, text: Collection[str]) -> pa.Table:
    """Read a table of delimited text; the parameters are those of `starsift.io.tables.read_table`."""
    with _utf8(path) as stream:
        layout = _text_layout(path, stream)
    wanted = [n for n in layout.names if n and is_kept(n, keep) and layout.types.get(n, True) is not None]
    refuse_twice(path, wanted)
    types = {n: kind for n, kind in layout.types.items() if n in wanted}
    types |= {n: pa.string() for n in wanted if n.lower() in text}
    if layout.empty:
        return pa.table({name: pa.array([], types.get(name, pa.null())) for name in wanted})
    table = _parse_text(path, layout, wanted, types)
    _refuse_open_quotes(path, layout, table.num_rows)
    if binary := next((n for n in wanted if pa.types.is_binary(table[n].type)), None):
        raise InputError(f"{path}: column {binary}: not UTF-8 text; save it as CSV in UTF-8")
    # Identifiers that look like floats: digits show what is lost. Angles that look like times: 09:49:17.
    guessed = {n: table[n].type for n in wanted if n not in types}
    floats = [n for n, kind in guessed.items() if is_identifier(n) and pa.types.is_floating(kind)]
    spelt = [*floats, *(n for n, kind in guessed.items() if pa.types.is_time(kind))]
    as_text = _parse_text(path, layout, spelt, dict.fromkeys(spelt, pa.string())) if spelt else table
    for name in spelt:
        refuse_lost_digits(path, name, as_text[name])
        if name not in floats or _all_digits(as_text[name]):
            table = table.set_column(table.column_names.index(name), name, as_text[name])
    fields = [unit_field(n, table[n].type, layout.units.get(n)) for n in table.column_names]
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
                    delimiter=layout.delimiter, newlines_in_values=True, invalid_row_handler=skip_comment
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
    """Raise where a quotation mark that is not closed makes one value of many rows."""
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
    stream = open_unpacked(path)
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
    commas = any(map(DECIMAL_COMMA.fullmatch, cells))
    if commas and (point := next((c for c in cells if "." in c and _NUMBER.fullmatch(c)), None)):
        comma = next(filter(DECIMAL_COMMA.fullmatch, cells))
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


def _all_digits(column: pa.ChunkedArray) -> bool:
    return bool(pc.all(pc.match_substring_regex(column, r"^\s*[+-]?\d+\s*$")).as_py())
