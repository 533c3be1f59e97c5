"""Cuts: which spectra of a catalogue are selected."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from starsift.errors import SettingsError
from starsift.survey.catalog import is_index
from starsift.survey.identity import DUPLICATE, OK, OTHER_FILES
from starsift.survey.names import file_stem
from starsift.survey.paths import iter_values

_COMPARE = {
    "==": pc.equal,
    "!=": pc.not_equal,
    "<": pc.less,
    "<=": pc.less_equal,
    ">": pc.greater,
    ">=": pc.greater_equal,
}
OPERATORS = (*_COMPARE, "in", "not in")
_IN_NAMES = ("lmjd", "planid", "spid", "fiberid")  # what the names of a survey's files are made of
FLAGS = ("fibermask", "bad_b", "bad_r")  # 0 means that nothing is known against a spectrum


class Selected(NamedTuple):
    """One line of the selection table."""

    cut: str
    before: int
    removed: int
    after: int


def apply_cuts(table: pa.Table, cuts: Sequence[Mapping[str, Any]]) -> tuple[pa.Table, list[Selected]]:
    """Keep the rows that pass every cut, and each spectrum once.

    Parameters
    ----------
    table : a catalogue of `read_catalog` or `index_folder`
    cuts : sequence of {column, op, value}
        In the order of the selection table. A null value does not pass, with two exceptions in an index of
        `index_folder`: a row whose file could not be read, so that it stays in sight with its status; and a
        flag (`FLAGS`) that the header of the file does not have, because the first releases have none and
        nothing is known against their spectra. The line of the cut says how many of these it kept.

    Returns
    -------
    table : pyarrow.Table
    selection : list of Selected
        A line for the files of an index that are no spectra of a survey, if any; a line a cut; and one for
        duplicated rows.

    Raises SettingsError: a cut is malformed, names a column that is not there, or nothing is left (with the
    count of each cut).
    """
    if not table.num_rows:
        raise SettingsError("the catalogue has no rows: there is nothing to select")
    missing = sorted({str(cut.get("column")) for cut in cuts} - set(table.column_names))
    if missing:
        raise SettingsError(
            f"cuts use columns that the catalogue lacks: {', '.join(missing)}; "
            f"it has: {', '.join(table.column_names)}"
        )
    selection: list[Selected] = []
    indexed = is_index(table)
    if indexed:
        kept = table.filter(pc.invert(pc.is_in(table["status"], pa.array(OTHER_FILES))))
        if kept.num_rows < table.num_rows:
            selection.append(_line("files of other kinds", table, kept))
        table = kept
    for cut in cuts:
        column, name = table[cut["column"]], _cut_name(cut)
        passed = _passes(column, cut)
        if indexed:
            unread = _unread(table)
            unknown = pc.and_(pc.is_null(column), pc.or_(unread, cut["column"] in FLAGS))
            without = pc.sum(pc.and_(unknown, pc.invert(unread))).as_py()
            name += f" ({without} without this flag kept)" if without else ""
            passed = pc.or_(passed, unknown)
        kept = table.filter(passed)
        selection.append(_line(name, table, kept))
        table = kept
    kept = _drop_duplicates(table)
    selection.append(_line("duplicated rows", table, kept))
    if not kept.num_rows:
        lines = "; ".join(f"{s.cut}: {s.before} -> {s.after}" for s in selection)
        raise SettingsError(f"no spectrum is left after the cuts ({lines}); loosen the cut that removed them")
    return kept, selection


def _unread(table: pa.Table) -> pa.ChunkedArray:
    return pc.fill_null(pc.invert(pc.is_in(table["status"], pa.array([OK, DUPLICATE]))), False)


def _line(name: str, before: pa.Table, after: pa.Table) -> Selected:
    return Selected(name, before.num_rows, before.num_rows - after.num_rows, after.num_rows)


def _cut_name(cut: Mapping[str, Any]) -> str:
    return f"{cut['column']} {cut['op']} {cut['value']}"


def _passes(column: pa.ChunkedArray, cut: Mapping[str, Any]) -> pa.ChunkedArray:
    operator, value = cut.get("op"), cut.get("value")
    if operator not in OPERATORS or "value" not in cut:
        raise SettingsError(
            f"cut {dict(cut)}: expected column, op and value, op one of {', '.join(OPERATORS)}"
        )
    values = value if operator in ("in", "not in") else [value]
    if isinstance(values, str) or not isinstance(values, Sequence):
        raise SettingsError(f"cut {_cut_name(cut)}: `{operator}` needs a list of values")
    text = pa.types.is_string(column.type)
    for one in values:
        if text != isinstance(one, str) or one is None:
            kind = "text" if text else "numbers"
            raise SettingsError(f"cut {_cut_name(cut)}: the column holds {kind}, not {one!r}")
    try:
        return _compared(column, operator, value)
    except (pa.ArrowException, OverflowError) as error:
        raise SettingsError(
            f"cut {_cut_name(cut)}: {value!r} is not a value of the column ({error})"
        ) from error


def _compared(column: pa.ChunkedArray, operator: str, value: Any) -> pa.ChunkedArray:
    if operator in _COMPARE:
        # In the column's own precision: a catalogue's float32 0.7 is not less than a config's 0.7.
        same = isinstance(value, str | int) or pa.types.is_floating(column.type)
        wide = column if same else column.cast(pa.float64())
        passed = _COMPARE[operator](wide, pa.scalar(value, wide.type))
    else:
        passed = pc.is_in(column, pa.array(value).cast(column.type))
        passed = pc.if_else(pc.is_null(column), False, pc.invert(passed) if operator == "not in" else passed)
    return pc.fill_null(passed, False)


def _drop_duplicates(table: pa.Table) -> pa.Table:
    """The first row of each spectrum.

    A spectrum is an exposure with a file name and with the columns that names of files are made of, in any
    folder; files of one name that differ in these columns are different spectra. In an index copies are known
    by their content: there only copies are left out, and unreadable files of which a readable one exists.
    """
    stems = pa.chunked_array([pa.array(_stems(table), pa.string())])
    if is_index(table):
        unread = _unread(table)
        again = pc.and_(unread, pc.is_in(stems, stems.filter(pc.invert(unread)).unique()))
        table = table.filter(pc.invert(pc.or_(again, pc.is_in(table["status"], pa.array([DUPLICATE])))))
        stems = table["path"]
    keys = table.select([name for name in ("lmjm", "band", *_IN_NAMES) if _has(table, name)])
    if not stems.null_count:
        keys = keys.append_column("stem", stems)
    elif _has(table, "coadd"):
        keys = keys.append_column("coadd", table["coadd"])
    if not keys.num_columns:
        return table
    if _has(keys, "band"):
        keys = keys.set_column(keys.column_names.index("band"), "band", pc.fill_null(keys["band"], ""))
    keys = keys.append_column("position", pa.array(np.arange(table.num_rows)))
    first = keys.group_by(keys.column_names[:-1]).aggregate([("position", "min")])["position_min"].to_numpy()
    return table if len(first) == table.num_rows else table.take(pa.array(np.sort(first)))


def _stems(table: pa.Table) -> list[str | None]:
    """Name of each row's file without its folder and ending, null where there is none."""
    if not _has(table, "path"):
        return [None] * table.num_rows
    return [file_stem(path) if path else None for path in iter_values(table["path"])]


def _has(table: pa.Table, name: str) -> bool:
    return name in table.column_names
