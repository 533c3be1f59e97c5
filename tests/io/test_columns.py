"""Columns become what they should be, or values that do not fit are named."""

from datetime import datetime

import pyarrow as pa
import pytest

from starsift.errors import InputError
from starsift.io.columns import cast_column


@pytest.mark.parametrize(
    ("values", "kind", "expected"),
    [
        ([" 31 ", "32.0", "", None], pa.int16(), [31, 32, None, None]),
        ([31.0, float("nan"), None], pa.int16(), [31, None, None]),
        ([True, False], pa.int32(), [1, 0]),
        (["1.5", " 2 "], pa.float32(), [1.5, 2.0]),
        ([266.0, None], pa.string(), ["266", None]),
        ([266, 1], pa.string(), ["266", "1"]),
        ([" a "], pa.string(), ["a"]),
    ],
)
def test_columns_become_what_they_should_be(values: list, kind: pa.DataType, expected: list) -> None:
    assert cast_column("t", "c", pa.chunked_array([values]), kind).to_pylist() == expected


@pytest.mark.parametrize(
    ("values", "kind", "message"),
    [
        (["31", "x"], pa.int16(), "t: row 2, column c: 'x' is not a whole number"),
        ([31.0, 31.5], pa.int16(), "t: row 2, column c: 31.5 is not a whole number"),
        ([1, 70000], pa.int16(), "t: row 2, column c: 70000 is not a whole number"),
        (["1", "1e40"], pa.int64(), "row 2, column c: 1e40 has lost the last digits"),
        ([float("inf")], pa.int16(), "row 1, column c: inf"),
        (["1.5", "fast"], pa.float32(), "t: row 2, column c: 'fast' is not a number"),
        ([1.5], pa.string(), "row 1, column c: 1.5 is not a whole number"),
        ([datetime(1970, 1, 1)], pa.int64(), "row 1, column c: '1970-01-01 00:00:00' is not a whole number"),
    ],
)
def test_values_that_do_not_fit_are_named(values: list, kind: pa.DataType, message: str) -> None:
    with pytest.raises(InputError, match=message):
        cast_column("t", "c", pa.chunked_array([values]), kind)
