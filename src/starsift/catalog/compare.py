"""Two versions of a catalogue: rows that are gone, rows that are new, values that differ."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from starsift.errors import InputError

SIGMAS = 3.0  # a change beyond these is more than the errors explain
_ERRORS = ("_err", "_error")


@dataclass(frozen=True)
class Change:
    """How a column differs in the rows that both versions have.

    `changed` rows have another value, `beyond` of them by more than `SIGMAS` of both errors together; where
    the column has no error, or either value is missing, any change is. `largest` is the largest difference
    of numbers, in the column's unit, NaN where they are none, and `key` the row that has it, or the first
    that changed.
    """

    column: str
    changed: int
    beyond: int
    largest: float
    key: str


@dataclass(frozen=True)
class Comparison:
    """Two versions of one catalogue; rows by their keys, columns by their names.

    `lost`, `gained` and `changed` name rows: those only in the old one, only in the new one, and in both with
    a value that differs by more than the errors. `columns_lost`, `columns_gained` are columns of one alone.
    """

    name: str
    key: tuple[str, ...]
    rows: tuple[int, int]
    lost: tuple[str, ...]
    gained: tuple[str, ...]
    changed: tuple[str, ...]
    changes: tuple[Change, ...]
    columns_lost: tuple[str, ...]
    columns_gained: tuple[str, ...]

    @property
    def same(self) -> bool:
        """Whether no row and no value differs."""
        return not (self.lost or self.gained or self.changes or self.columns_lost or self.columns_gained)


def compare(old: pa.Table, new: pa.Table, key: Sequence[str], name: str = "the catalogue") -> Comparison:
    """Compare two versions of a catalogue, row by row and column by column.

    Parameters
    ----------
    old, new : their columns may differ, and the order of their rows
    key : columns that name a row
    name : of the catalogue, for messages

    Raises InputError: a version lacks a column of the key, or has two rows of one key.
    """
    keys = [_keys(table, key, f"{name}, {which}") for table, which in ((old, "old"), (new, "new"))]
    place = pc.index_in(keys[0], value_set=keys[1])
    lost, kept = pc.is_null(place), pc.is_valid(place)
    gained = pc.invert(pc.is_in(keys[1], value_set=keys[0]))
    shared = keys[0].filter(kept)
    before, after = old.filter(kept), new.take(place.drop_null())
    changes, far = [], np.zeros(len(shared), bool)
    for column in old.column_names:
        if column in new.column_names and column not in key:
            differs, beyond, size = _differences(before, after, column)
            far |= beyond
            if differs.any():
                # The largest difference, or the first one of what is no number.
                at = int(np.argmax(np.where(differs, np.nan_to_num(size, nan=0.0) + 1e-300, 0.0)))
                change = Change(
                    column, int(differs.sum()), int(beyond.sum()), float(size[at]), shared[at].as_py()
                )
                changes.append(change)
    return Comparison(
        name=name,
        key=tuple(key),
        rows=(old.num_rows, new.num_rows),
        lost=tuple(keys[0].filter(lost).to_pylist()),
        gained=tuple(keys[1].filter(gained).to_pylist()),
        changed=tuple(shared.filter(pa.array(far)).to_pylist()),
        changes=tuple(changes),
        columns_lost=tuple(c for c in old.column_names if c not in new.column_names),
        columns_gained=tuple(c for c in new.column_names if c not in old.column_names),
    )


def describe(compared: Comparison) -> Iterator[str]:
    """A comparison as sentences and a table of columns, for people."""
    old, new = compared.rows
    if compared.same:
        yield f"{compared.name}: {old} rows, the same."
        return
    yield (
        f"{compared.name}: {old} rows before, {new} now: {len(compared.lost)} lost, "
        f"{len(compared.gained)} gained, {len(compared.changed)} changed by more than {SIGMAS:g} sigma."
    )
    for what, names in (("lost", compared.columns_lost), ("gained", compared.columns_gained)):
        if names:
            yield f"  columns {what}: {', '.join(names)}"
    if compared.changes:
        width = max(len(change.column) for change in compared.changes)
        yield f"  {'column':{width}}  {'changed':>8} {'beyond':>8}  largest, in row"
        for change in compared.changes:
            size = "" if np.isnan(change.largest) else f"{change.largest:.4g} "
            yield f"  {change.column:{width}}  {change.changed:8} {change.beyond:8}  {size}{change.key}"


def _keys(table: pa.Table, key: Sequence[str], name: str) -> pa.Array:
    """One text for each row (n,)."""
    if missing := [column for column in key if column not in table.column_names]:
        raise InputError(
            f"{name}: no column {', '.join(missing)}, which names a row; "
            f"it has {', '.join(table.column_names)}"
        )
    parts = [pc.fill_null(table[column].cast(pa.string()), "") for column in key]
    keys = pc.binary_join_element_wise(*parts, " ") if len(parts) > 1 else parts[0]
    keys = keys.combine_chunks() if isinstance(keys, pa.ChunkedArray) else keys
    counts = pc.value_counts(keys)
    repeated = counts.field("values").filter(pc.greater(counts.field("counts"), 1))
    if len(repeated):
        raise InputError(f"{name}: {len(repeated)} rows are there twice, such as {repeated[0]}")
    return keys


def _differences(old: pa.Table, new: pa.Table, column: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where a value differs (n,), where by more than its errors (n,), and by how much (n,)."""
    a, b = (table[column].combine_chunks() for table in (old, new))
    one_missing = (a.is_null().to_numpy(False) != b.is_null().to_numpy(False)).astype(bool)
    if not all(pa.types.is_floating(x.type) or pa.types.is_integer(x.type) for x in (a, b)):
        texts = [np.array(x.to_pylist(), dtype=object) for x in (a, b)]
        differs = np.array([p != q for p, q in zip(*texts, strict=True)], bool)
        return differs, differs, np.full(len(a), np.nan)
    if all(pa.types.is_integer(x.type) for x in (a, b)):
        differs = (
            pc.fill_null(pc.not_equal(a.cast(pa.int64()), b.cast(pa.int64())), False).to_numpy(False)
            | one_missing
        )
        size = np.abs(_numbers(a) - _numbers(b))
        return differs, differs, size
    size = np.abs(_numbers(a) - _numbers(b))
    differs = (size > 0) | one_missing
    error = _errors(old, column) ** 2 + _errors(new, column) ** 2
    beyond = differs & ~(size <= SIGMAS * np.sqrt(error))
    return differs, beyond, size


def _numbers(values: pa.Array) -> np.ndarray:
    return np.asarray(values.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False), np.float64)


def _errors(table: pa.Table, column: str) -> np.ndarray:
    """Errors (n,) of a column, 0 where there are none."""
    for suffix in _ERRORS:
        if f"{column}{suffix}" in table.column_names:
            return np.nan_to_num(_numbers(table[f"{column}{suffix}"].combine_chunks()))
    return np.zeros(table.num_rows)
