"""Columns of users' tables: types, identifiers that lost digits, sexagesimal coordinates."""

import os
import re
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from starsift.errors import InputError

DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+([eE][+-]?\d+)?")
_THOUSANDS = re.compile(r"[+-]?\d{1,3}([,.' \N{NO-BREAK SPACE}\N{NARROW NO-BREAK SPACE}]\d{3})+([.,]\d+)?")
_MINUS = "^[\N{MINUS SIGN}\N{EN DASH}]"  # as texts are typeset
_WHOLE = re.compile(r"[+-]?\d+(\.0*)?")
_SCIENTIFIC = re.compile(r"[+-]?\d+(?:\.(?P<decimals>\d*))?[eE]\+?(?P<exponent>\d+)")
_SEXAGESIMAL = re.compile(r"\d\s*[:hd\N{DEGREE SIGN}\s]\s*\d")
# Above these a floating-point number does not separate neighbouring whole numbers.
_EXACT = {pa.float16(): 2**11, pa.float32(): 2**24, pa.float64(): 2**53}


def is_kept(name: str, keep: Collection[str] | None) -> bool:
    """Whether a column is one of those to keep, in lower case; None keeps all."""
    return keep is None or name.lower() in keep


def refuse_twice(path: Path, names: Sequence[str]) -> None:
    """Raise `InputError` where a column is there twice."""
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise InputError(f"{path}: column {', '.join(twice)} occurs twice; rename or delete one")


def unit_field(name: str, kind: pa.DataType, unit: str | None) -> pa.Field:
    """A field whose metadata has its unit, if there is one."""
    return pa.field(name, kind, metadata={"unit": unit} if unit else None)


def floats(table: pa.Table, name: str) -> np.ndarray:
    """A numeric column as float64 (n,), NaN where null."""
    return np.asarray(table[name].cast(pa.float64()).fill_null(np.nan).to_numpy())


def is_identifier(name: str) -> bool:
    """Whether the name of a column is one of identifiers."""
    return name.lower().endswith("id") or name.lower() == "source"  # Gaia's, at VizieR


def refuse_lost_digits(path: str | os.PathLike[str], name: str, column: pa.ChunkedArray) -> None:
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


def _lost_digits(value: str | None) -> bool:
    """Is this a number such as 2.12597E+18, with fewer digits than the whole number has?"""
    match = _SCIENTIFIC.fullmatch(value.strip()) if value else None
    return match is not None and len(match["decimals"] or "") < int(match["exponent"])


def to_degrees(path: Path, name: str, column: pa.ChunkedArray, *, in_hours: bool) -> pa.ChunkedArray:
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
                f"{path}: row {row}, column {name}: {text!r} is not an angle ({error}); write degrees, or "
                "hh:mm:ss.s for right ascension and dd:mm:ss.s for declination"
            ) from error
    return pa.chunked_array([pa.array(degrees, pa.float64())])


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

    Raises InputError: a value is not of that kind, does not fit in it, or has lost digits; the message names
    its row.
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
        refuse_lost_digits(path, name, column)
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
    """Names (text); a whole number that passed through floats (266.0) becomes one again.

    Raises InputError if a name is a number, but not a whole one.
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
    """Cast a column; where that fails, value by value, so that the message names the first wrong one."""
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
            elif isinstance(value, str) and DECIMAL_COMMA.fullmatch(value):
                hint = "; write decimal points"
            raise InputError(
                f"{path}: row {row}, column {name}: {value!r} is not {expected} ({kind}){hint}"
            ) from None
    return pa.chunked_array([pa.array([scalar.as_py() for scalar in made], kind)])
