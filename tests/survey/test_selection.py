"""Cuts, in order and counted."""

from typing import Any

import pyarrow as pa
import pytest
from fixtures.settings import PARTITION
from fixtures.survey_files import TABLE_1, mrs_catalog

from starsift.errors import SettingsError
from starsift.survey.partition import make_manifest
from starsift.survey.selection import apply_cuts


def test_cuts_in_order_with_counts() -> None:
    table = mrs_catalog({58625: ["A"]})  # 24 rows, 12 blue
    snr = table["snr"].to_pylist()
    snr[0], snr[2] = 4.99, None
    table = table.set_column(table.column_names.index("snr"), "snr", pa.array(snr, pa.float32()))
    table = pa.concat_tables([table, table.slice(4, 1)])
    kept, selection = apply_cuts(table, TABLE_1)
    assert [tuple(s) for s in selection] == [
        ("band == B", 25, 12, 13),
        ("coadd == 0", 13, 0, 13),
        ("fibermask == 0", 13, 0, 13),
        ("bad_b == 0", 13, 0, 13),
        ("snr >= 5", 13, 2, 11),
        ("duplicated rows", 11, 1, 10),
    ]
    assert kept.num_rows == 10


@pytest.mark.parametrize(
    ("op", "value", "expected"),
    [
        ("==", 2, [2]),
        ("!=", 2, [1, 3]),
        ("<", 2, [1]),
        ("<=", 2, [1, 2]),
        (">", 2.5, [3]),
        (">=", 2, [2, 3]),
        ("in", [1, 3], [1, 3]),
        ("not in", [1, 3], [2]),
    ],
)
def test_operators_and_nulls(op: str, value: Any, expected: list[int]) -> None:
    table = pa.table({"x": pa.array([1, 2, 3, None], pa.int64())})
    assert apply_cuts(table, [{"column": "x", "op": op, "value": value}])[0]["x"].to_pylist() == expected


def test_float_columns_compare_in_their_own_precision() -> None:
    table = pa.table({"snr": pa.array([0.7], pa.float32())})
    assert apply_cuts(table, [{"column": "snr", "op": ">=", "value": 0.7}])[0].num_rows == 1


@pytest.mark.parametrize(
    ("column", "op", "value", "message"),
    [
        ("seeing", ">", 1, "catalogue lacks: brightness, seeing; it has: obsid"),
        ("snr", "=>", 1, "op one of =="),
        ("snr", ">", "five", "holds numbers, not 'five'"),
        ("band", "==", 0, "holds text, not 0"),
        ("band", "in", "B", "needs a list"),
        *(
            (column, op, value, f"cut {column} .*: .* is not a value of the column")
            for column, op, value in [
                ("spid", "==", 99_999),
                ("spid", "in", [1, 99_999]),
                ("spid", "in", [1.5]),
                ("spid", "==", True),
                ("lmjd", ">", 10**30),
            ]
        ),
    ],
)
def test_bad_cuts(column: str, op: str, value: Any, message: str) -> None:
    table = mrs_catalog({58625: ["A"]})
    table = table.set_column(table.column_names.index("spid"), "spid", table["spid"].cast(pa.int8()))
    cuts = [{"column": column, "op": op, "value": value}]
    if column == "seeing":
        cuts += [cuts[0] | {"column": "brightness"}]
    with pytest.raises(SettingsError, match=message):
        apply_cuts(table, cuts)


def test_empty_selection_tells_which_cut_did_it() -> None:
    cuts = [*TABLE_1, {"column": "snr", "op": ">", "value": 1000}]
    with pytest.raises(SettingsError, match=r"no spectrum is left.*snr >= 5: 12 -> 12; snr > 1000: 12 -> 0"):
        apply_cuts(mrs_catalog({58625: ["A"]}), cuts)
    with pytest.raises(SettingsError, match="the catalogue has no rows"):
        apply_cuts(mrs_catalog({58625: ["A"]}).slice(0, 0), [])
    with pytest.raises(SettingsError, match="selection is empty"):
        make_manifest(mrs_catalog({58625: ["A"]}).slice(0, 0), survey="mrs", **PARTITION)
