"""Catalogues of surveys under one set of column names."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from starsift.survey import sdss

MISSING = -9999  # how LAMOST and SDSS write a missing number

# One table for all releases: our name, its type, and the names under which it has been published. The first
# one that a catalogue has is taken; case does not matter.
ALIASES: dict[str, tuple[pa.DataType, tuple[str, ...]]] = {
    "obsid": (pa.int64(), ("obsid", "obs_id")),
    "planid": (pa.string(), ("planid", "plan_id", "plate", "plateid")),
    "spid": (pa.int8(), ("spid", "sp_id")),
    "fiberid": (pa.int16(), ("fiberid", "fiber_id", "fiber")),
    "lmjd": (pa.int32(), ("lmjd", "local_mjd")),
    "mjd": (pa.int32(), ("mjd",)),
    "lmjm": (pa.int64(), ("lmjm",)),
    "band": (pa.string(), ("band",)),
    "coadd": (pa.int32(), ("coadd",)),
    "fibermask": (pa.int32(), ("fibermask", "fiber_mask", "fib_mask")),
    "bad_b": (pa.int32(), ("bad_b", "bad_lb", "band_b")),
    "bad_r": (pa.int32(), ("bad_r", "bad_lr", "band_r")),
    "snr": (pa.float32(), ("snr", "snrb", "snrg", "sn_g", "sn_median_all")),
    "ra": (pa.float64(), ("ra", "raj2000", "ra_obs", "plug_ra")),
    "dec": (pa.float64(), ("dec", "dej2000", "decj2000", "dec_obs", "plug_dec")),
    "gaia_source_id": (pa.int64(), ("gaia_source_id", "source_id", "gaia_sourceid")),
    "gaia_g_mean_mag": (pa.float32(), ("gaia_g_mean_mag", "phot_g_mean_mag", "gaia_g")),
    "exptime": (pa.float32(), ("exptime",)),
    "class": (pa.string(), ("class", "objtype")),
    "subclass": (pa.string(), ("subclass",)),
    "path": (pa.string(), ("path",)),
}

_UNITS = {
    "ra": "deg",
    "dec": "deg",
    "gaia_g_mean_mag": "mag",
    "exptime": "s",
    "lmjd": "d",
    "mjd": "d",
    "lmjm": "min",
}

REQUIRED = {
    "mrs": ("planid", "spid", "fiberid", "lmjd", "lmjm", "band", "coadd"),
    "lrs": ("planid", "spid", "fiberid", "lmjd"),
    "sdss": ("planid", "fiberid", "mjd"),
}

INDEX_COLUMNS = pa.schema(
    [
        pa.field("survey", pa.string()),
        *(
            pa.field(name, kind, metadata={"unit": _UNITS[name]} if name in _UNITS else None)
            for name, (kind, _) in ALIASES.items()
        ),
        pa.field("status", pa.string()),
        pa.field("message", pa.string()),
    ]
)


class CatalogError(ValueError):
    """A catalogue or folder that cannot be used; the message names the file and the columns."""


def survey_kind(survey: str) -> str:
    """``mrs``, ``lrs`` or ``sdss`` of a survey's name, which may start with ``lamost-``."""
    kind = survey.removeprefix("lamost-")
    if kind not in REQUIRED:
        raise CatalogError(f"survey kind is {survey!r}, expected one of: {', '.join(REQUIRED)}")
    return kind


def read_catalog(
    path: str | os.PathLike[str], survey: str = "mrs", columns: Sequence[str] | None = None
) -> pa.Table:
    """Read a catalogue with our column names and types; missing values are null.

    Parameters
    ----------
    path : path
        FITS, CSV (with ``|`` or ``,``), ECSV or Parquet, by its ending.
    survey : str
        mrs, lrs or sdss: which columns there must be.
    columns : sequence of str, optional
        Further columns to keep (lower case), besides those of `ALIASES`; by default all. Name them for a
        large catalogue: it saves memory.

    Notes
    -----
    Of an index of `index_folder`, only the rows of ``survey`` are kept, and those of no known survey.

    Raises
    ------
    CatalogError
        The file cannot be read, columns are missing (all are listed), or a value has the wrong type.
    """
    source = Path(path)
    kind = survey_kind(survey)
    if not source.is_file():
        raise CatalogError(f"{source}: no such catalogue")
    known = {alias for _, names in ALIASES.values() for alias in names} | {"survey", "status", "message"}
    keep = None if columns is None else known | {name.lower() for name in columns}
    try:
        table = read_any(source, keep)
    except CatalogError:
        raise
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
        raise CatalogError(f"{source}: cannot be read as a catalogue ({error})") from error
    table = _canonical(source, table, kind)
    if is_index(table):
        table = table.filter(pc.fill_null(pc.equal(table["survey"], kind), True))
    return table


def is_index(table: pa.Table) -> bool:
    """Whether a catalogue was made by `index_folder`: then ``status`` tells which files could not be read."""
    return {"survey", "path", "status", "message"} <= set(table.column_names)


def read_any(path: Path, keep: set[str] | None = None) -> pa.Table:
    """Read a table as it is, FITS, CSV (with | or ,), ECSV or Parquet by its ending.

    `keep`: names in lower case of the columns to read; the table has them as they are written.
    """
    name = path.name.lower()
    if name.endswith((".fits", ".fits.gz", ".fit")):
        return _read_fits(path, keep)
    if name.endswith(".ecsv"):
        return _read_ecsv(path, keep)
    if name.endswith((".csv", ".csv.gz", ".txt")):
        return _read_csv(path, keep)
    if name.endswith((".parquet", ".parq")):
        present = pq.read_schema(path).names
        wanted = [n for n in present if keep is None or n.lower() in keep]
        return pq.ParquetFile(path).read(columns=wanted)
    raise CatalogError(f"{path}: the name must end in .fits, .fits.gz, .csv, .csv.gz, .ecsv or .parquet")


def _read_fits(path: Path, keep: set[str] | None) -> pa.Table:
    from astropy.io import fits

    with fits.open(path) as hdus:
        table = next((hdu for hdu in hdus if isinstance(hdu, fits.BinTableHDU | fits.TableHDU)), None)
        if table is None:
            raise CatalogError(f"{path}: no table in this FITS file")
        found: dict[str, tuple[pa.Array, str | None]] = {}
        for column in table.columns:
            if keep is None or column.name.lower() in keep:
                values = np.asarray(table.data[column.name])
                null = column.null if column.null not in (None, "") else None
                mask = values == null if null is not None and values.dtype.kind in "iu" else None
                _add_column(found, column.name, values, mask, column.unit)
    return _table(found)


def _read_ecsv(path: Path, keep: set[str] | None) -> pa.Table:
    from astropy.table import Table

    found: dict[str, tuple[pa.Array, str | None]] = {}
    for column in Table.read(path, format="ascii.ecsv").itercols():
        if keep is None or column.name.lower() in keep:
            mask = np.ma.getmaskarray(column) if hasattr(column, "mask") else None
            _add_column(
                found, column.name, np.asarray(column), mask, str(column.unit) if column.unit else None
            )
    return _table(found)


def _add_column(
    found: dict[str, tuple[pa.Array, str | None]],
    name: str,
    values: np.ndarray,
    mask: np.ndarray | None,
    unit: str | None,
) -> None:
    if values.ndim != 1 or name in found:
        return  # vectors are nothing to select on
    if values.dtype.kind == "S":
        values = np.char.decode(values, "ascii", "replace")
    if values.dtype.kind in "UO":
        values = np.char.strip(values.astype(str)).astype(object)
    elif values.dtype.kind in "iuf":
        values = values.astype(values.dtype.newbyteorder("="), copy=False)
    found[name] = (pa.array(values, mask=mask), unit)


def _table(found: Mapping[str, tuple[pa.Array, str | None]]) -> pa.Table:
    fields = [
        pa.field(name, array.type, metadata={"unit": unit} if unit else None)
        for name, (array, unit) in found.items()
    ]
    return pa.table([array for array, _ in found.values()], schema=pa.schema(fields))


def _read_csv(path: Path, keep: set[str] | None) -> pa.Table:
    with pa.input_stream(str(path), compression="detect") as stream:
        first = stream.read(1 << 16).split(b"\n", 1)[0].decode("utf-8-sig").strip()
    delimiter = "|" if first.count("|") > first.count(",") else ","
    names = [name.strip() for name in next(csv.reader([first.lstrip("# ")], delimiter=delimiter))]
    texts = {alias for kind, aliases in ALIASES.values() if kind == pa.string() for alias in aliases}
    return pyarrow.csv.read_csv(
        path,
        read_options=pyarrow.csv.ReadOptions(column_names=names, skip_rows=1),
        parse_options=pyarrow.csv.ParseOptions(delimiter=delimiter),
        convert_options=pyarrow.csv.ConvertOptions(
            include_columns=[n for n in names if keep is None or n.lower() in keep],
            # A plan called 0012 is not the number 12.
            column_types={n: pa.string() for n in names if n.lower() in texts},
            null_values=["", "NULL", "null", "NaN", "nan", "N/A", "None"],
            strings_can_be_null=True,
        ),
    )


def _canonical(path: Path, table: pa.Table, kind: str) -> pa.Table:
    """``table`` with our names first, then its other columns in lower case."""
    present: dict[str, str] = {}
    for name in table.column_names:
        present.setdefault(name.lower(), name)
    taken: dict[str, str] = {}
    for ours, (_, aliases) in ALIASES.items():
        match = next((present[alias] for alias in aliases if alias in present), None)
        if match is not None:
            taken[ours] = match
    missing = [name for name in REQUIRED[kind] if name not in taken]
    if missing:
        wanted = "; ".join(" or ".join(ALIASES[name][1]) for name in missing)
        raise CatalogError(
            f"{path}: missing columns for a catalogue of kind {kind}: {wanted}. "
            f"It has: {', '.join(table.column_names)}"
        )
    columns: dict[str, pa.ChunkedArray] = {}
    fields = []
    for ours, theirs in taken.items():
        columns[ours] = _cast(path, theirs, table[theirs], ALIASES[ours][0])
        unit = (table.schema.field(theirs).metadata or {}).get(b"unit", _UNITS.get(ours, "").encode())
        fields.append(pa.field(ours, ALIASES[ours][0], metadata={"unit": unit} if unit else None))
    for lower, theirs in present.items():
        if lower not in columns and theirs not in taken.values():
            columns[lower] = _no_sentinel(table[theirs])
            fields.append(table.schema.field(theirs).with_name(lower).with_type(columns[lower].type))
    try:
        filled = _fill(pa.table(list(columns.values()), schema=pa.schema(fields)), kind)
    except ValueError as error:
        raise CatalogError(f"{path}: column {taken['planid']} should hold plate numbers: {error}") from error
    return filled.replace_schema_metadata(None)


def _no_sentinel(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Null in place of -9999, NaN and empty text."""
    kind = column.type
    if pa.types.is_floating(kind):
        bad = pc.or_(pc.is_nan(column), pc.equal(column, pa.scalar(MISSING, kind)))
    elif pa.types.is_signed_integer(kind) and kind.bit_width > 8:
        bad = pc.equal(column, pa.scalar(MISSING, kind))
    elif pa.types.is_string(kind) or pa.types.is_large_string(kind):
        bad = pc.is_in(column, pa.array(["", str(MISSING), f"{MISSING}.0"], kind))
    else:
        return column
    return pc.if_else(pc.fill_null(bad, False), pa.scalar(None, kind), column)


def _cast(path: Path, name: str, column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    if pa.types.is_string(kind) and pa.types.is_floating(column.type):
        column = column.cast(pa.int64())  # a plate number that passed through a table with gaps
    try:
        if pa.types.is_boolean(column.type):
            column = column.cast(pa.int8())
        if pa.types.is_string(column.type) and not pa.types.is_string(kind):
            column = pc.utf8_trim_whitespace(column)
        return _no_sentinel(column).cast(kind)
    except pa.ArrowInvalid as error:
        raise CatalogError(f"{path}: column {name} should hold {kind} values: {error}") from error


def _fill(table: pa.Table, kind: str) -> pa.Table:
    """Add what follows from the kind of survey; nothing that is there is changed."""

    def add(name: str, values: Any) -> None:
        nonlocal table
        if name not in table.column_names:
            if not isinstance(values, pa.ChunkedArray | pa.Array):
                values = pa.array([values] * table.num_rows, ALIASES[name][0])
            table = table.append_column(name, values)

    if kind in ("lrs", "sdss"):
        add("band", "")
        add("coadd", 1)
    if kind == "sdss":
        add("lmjd", table["mjd"])
        add("spid", 1)
        if "obsid" not in table.column_names:
            observations = zip(
                *(table[name].to_pylist() for name in ("planid", "mjd", "fiberid")), strict=True
            )
            numbers = [None if None in one else sdss.obsid(int(one[0]), *one[1:]) for one in observations]
            add("obsid", pa.array(numbers, pa.int64()))
    return table
