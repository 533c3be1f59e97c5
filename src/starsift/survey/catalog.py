"""Catalogues of surveys under one set of column names."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from starsift.errors import InputError
from starsift.io.columns import cast_column, first_outside, whole_numbers
from starsift.io.tables import read_table
from starsift.survey.identity import MISSING
from starsift.survey.names import identity_from_name, sdss_obsid

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
    "fibermask": (pa.int32(), ("fibermask", "fiber_mask", "fib_mask", "fibermas")),
    "bad_b": (pa.int32(), ("bad_b", "bad_lb", "band_b")),
    "bad_r": (pa.int32(), ("bad_r", "bad_lr", "band_r")),
    "snr": (pa.float32(), ("snr", "snrb", "snrg", "sn_g", "sn_median_all")),
    "ra": (pa.float64(), ("ra", "raj2000", "ra_obs", "plug_ra")),
    "dec": (pa.float64(), ("dec", "dej2000", "decj2000", "dec_obs", "plug_dec")),
    "gaia_source_id": (pa.int64(), ("gaia_source_id", "source_id", "gaia_sourceid")),
    "phot_g_mean_mag": (pa.float32(), ("phot_g_mean_mag", "gaia_g_mean_mag", "gaia_g")),
    "exptime": (pa.float32(), ("exptime",)),
    "class": (pa.string(), ("class", "objtype")),
    "subclass": (pa.string(), ("subclass",)),
    "path": (pa.string(), ("path",)),
}

_UNITS = {
    "ra": "deg",
    "dec": "deg",
    "phot_g_mean_mag": "mag",
    "exptime": "s",
    "lmjd": "d",
    "mjd": "d",
    "lmjm": "min",
}

REQUIRED = {
    "mrs": ("planid", "spid", "fiberid", "lmjd", "lmjm", "band", "coadd", "ra", "dec"),
    "lrs": ("planid", "spid", "fiberid", "lmjd", "ra", "dec"),
    "sdss": ("planid", "fiberid", "mjd", "ra", "dec"),
}
# Names of a file with a folder or without, as LAMOST's query page and others give them.
FILE_COLUMNS = ("file", "filename")
# LAMOST's query page puts this before the names of columns.
QUERIED = "combined_"
_OF_INDEX = ("survey", "status", "message")
COORDINATES = {"ra": (0.0, 360.0), "dec": (-90.0, 90.0)}  # degrees

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


def survey_kind(survey: str) -> str:
    """``mrs``, ``lrs`` or ``sdss`` of a survey's name, which may start with ``lamost-``."""
    kind = survey.removeprefix("lamost-")
    if kind not in REQUIRED:
        raise InputError(f"survey kind is {survey!r}, expected one of: {', '.join(REQUIRED)}")
    return kind


def read_catalog(
    path: str | os.PathLike[str], survey: str = "mrs", columns: Sequence[str] | None = None
) -> pa.Table:
    """Read a catalogue with our column names and types; missing values are null.

    Coordinates are degrees, or text such as 09:49:17. What the catalogue lacks of plan, spectrograph, fibre
    and night comes from the names of the spectra's files (`path`, `file` or `filename`) if it has them.

    Parameters
    ----------
    path : whatever `starsift.io.tables.read_table` reads
    survey : mrs, lrs or sdss: which columns there must be
    columns : further columns to keep (lower case), besides those of `ALIASES`; by default all. Name them for
        a large catalogue: it saves memory. One that is there under our name, too, is kept under both: snrg.

    Notes
    -----
    Of an index of `index_folder`, only the rows of ``survey`` are kept, and those of no known survey.

    Raises
    ------
    InputError : the file cannot be read, or a value has the wrong type or has lost digits.
    InputError : columns are missing (all are listed) or differ only in case, or coordinates are none.
    """
    source = Path(path)
    kind = survey_kind(survey)
    known = {alias for _, names in ALIASES.values() for alias in names} | {*FILE_COLUMNS, *_OF_INDEX}
    keep = None if columns is None else known | {name.lower() for name in columns}
    texts = {alias for kind, names in ALIASES.values() if kind == pa.string() for alias in names}
    table = read_table(source, None if keep is None else keep | _queried(keep), texts | _queried(texts))
    has = "It has" if keep is None else "Of the columns that it may have, it has"
    rows = _of_kind(source, table, kind) if is_index(table) else table
    return _canonical(source, rows, kind, {name.lower() for name in columns or ()}, has)


def _queried(names: Collection[str]) -> set[str]:
    return {f"{QUERIED}{name}" for name in names}


def _of_kind(source: Path, table: pa.Table, kind: str) -> pa.Table:
    """The rows of an index that are of a survey's kind, or of no known one."""
    rows = table.filter(pc.fill_null(pc.equal(table["survey"], kind), True))
    if table.num_rows and not rows.num_rows:
        found = sorted((row["values"], row["counts"]) for row in pc.value_counts(table["survey"]).to_pylist())
        number = ", ".join(f"{count} of kind {name}" for name, count in found)
        raise InputError(f"{source}: no spectrum is of kind {kind}, but {number}; change the survey's kind")
    return rows


def is_index(table: pa.Table) -> bool:
    """Whether a catalogue was made by `index_folder`: then ``status`` shows which files could not be read."""
    return {"survey", "path", "status", "message"} <= set(table.column_names)


def _canonical(path: Path, table: pa.Table, kind: str, extra: Collection[str], has: str) -> pa.Table:
    """``table`` with our names first, then its other columns in lower case, and the extra ones by name."""
    present: dict[str, str] = {}
    aliases_of_all = {alias for _, aliases in ALIASES.values() for alias in aliases}
    for name in table.column_names:
        lower = name.lower().removeprefix(QUERIED)
        other = present.setdefault(lower, name)
        if other != name and lower in aliases_of_all:
            raise InputError(
                f"{path}: columns {other} and {name} have the same meaning; rename or delete one"
            )
        if name == lower:  # b, a latitude, is not B, a magnitude
            present[lower] = name
    taken: dict[str, str] = {}
    for ours, (_, aliases) in ALIASES.items():
        match = next((present[alias] for alias in aliases if alias in present), None)
        if match is not None:
            taken[ours] = match
    columns: dict[str, pa.ChunkedArray] = {}
    fields = []
    for ours, theirs in taken.items():
        columns[ours] = _cast(path, ours, theirs, table[theirs])
        unit = (table.schema.field(theirs).metadata or {}).get(b"unit", _UNITS.get(ours, "").encode())
        fields.append(pa.field(ours, ALIASES[ours][0], metadata={"unit": unit} if unit else None))
    for lower, theirs in present.items():
        if lower not in columns and (lower in extra or theirs not in taken.values()):
            columns[lower] = _no_sentinel(table[theirs])
            fields.append(table.schema.field(theirs).with_name(lower).with_type(columns[lower].type))
    made = _from_file_names(pa.table(list(columns.values()), schema=pa.schema(fields)), kind)
    missing = [name for name in REQUIRED[kind] if name not in made.column_names]
    if missing:
        lacking = "; ".join(" or ".join(ALIASES[name][1]) for name in missing)
        remedy = "; with `catalog: null` the coordinates come from the headers of the files"
        raise InputError(
            f"{path}: missing columns for a catalogue of kind {kind}: {lacking}. "
            f"{has}: {', '.join(table.column_names) or 'none'}{remedy if {'ra', 'dec'} & {*missing} else ''}"
        )
    return _fill(path, made, kind).replace_schema_metadata(None)


def _no_sentinel(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Null in place of -9999, NaN and empty text."""
    kind = column.type
    if pa.types.is_floating(kind):
        bad = pc.or_(pc.is_nan(column), pc.equal(column, pa.scalar(MISSING, kind)))
    elif pa.types.is_signed_integer(kind) and kind.bit_width > 8:
        bad = pc.equal(column, pa.scalar(MISSING, kind))
    elif pa.types.is_string(kind) or pa.types.is_large_string(kind):
        bad = pc.match_substring_regex(column, rf"^\s*({MISSING}(\.0*)?)?\s*$")
    else:
        return column
    return pc.if_else(pc.fill_null(bad, False), pa.scalar(None, kind), column)


def _cast(path: Path, ours: str, theirs: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
    kind = ALIASES[ours][0]
    values = _no_sentinel(cast_column(path, theirs, _no_sentinel(column), kind))
    if ours == "obsid":  # the first releases had none, or one that had overflowed
        values = pc.if_else(pc.less(values, 0), pa.scalar(None, kind), values)
    if ours == "gaia_source_id":  # 0 and -1, too, are written where Gaia has no source
        values = pc.if_else(pc.less_equal(values, 0), pa.scalar(None, kind), values)
    if ours == "planid":
        values = whole_numbers(path, theirs, values)
    if ours in COORDINATES:
        low, high = COORDINATES[ours]
        row = first_outside(values, low, high)
        if row is not None:
            raise InputError(
                f"{path}: row {row + 1}, column {theirs}: {values[row].as_py()!r} is not between "
                f"{low:g} and {high:g} degrees"
            )
    return values


def _from_file_names(table: pa.Table, kind: str) -> pa.Table:
    """Add the identity that the names of the spectra's files hold, where the catalogue lacks it."""
    files = next((name for name in ("path", *FILE_COLUMNS) if name in table.column_names), None)
    lacking = [name for name in REQUIRED[kind] if name not in table.column_names]
    if files is None or not lacking:
        return table
    named = [identity_from_name(path or "") for path in table[files].to_pylist()]
    for name in lacking:
        if any(name in one for one in named):
            kept = [one.get(name) for one in named]
            table = table.append_column(name, pa.array(kept, ALIASES[name][0]))
    return table


def _fill(path: Path, table: pa.Table, kind: str) -> pa.Table:
    """Add what follows from the kind of survey; nothing that is there is changed."""

    def add(name: str, values: Any) -> None:
        nonlocal table
        if name not in table.column_names:
            if not isinstance(values, pa.ChunkedArray | pa.Array):
                values = pa.array([values] * table.num_rows, ALIASES[name][0])
            table = table.append_column(name, values)

    if "obsid" not in table.column_names:  # an index has it, and files of other surveys
        add("obsid", _sdss_obsids(path, table) if kind == "sdss" else None)
    if kind in ("lrs", "sdss"):
        add("band", "")
        add("coadd", 1)
    if kind == "sdss":
        add("lmjd", table["mjd"])
        add("spid", 1)
    return table


def _sdss_obsids(path: Path, table: pa.Table) -> pa.Array:
    plates, *others = (table[name].to_pylist() for name in ("planid", "mjd", "fiberid"))
    for row, plate in enumerate(plates, 1):
        if plate is not None and not plate.isdecimal():
            raise InputError(f"{path}: row {row}, column of plates: {plate!r} is not a plate number")
    observations = zip(plates, *others, strict=True)
    return pa.array(
        [None if None in one else sdss_obsid(int(one[0]), *one[1:]) for one in observations], pa.int64()
    )
