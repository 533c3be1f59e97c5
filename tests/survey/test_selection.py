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


def test_bad_cuts() -> None:
    table = mrs_catalog({58625: ["A"]})
    with pytest.raises(SettingsError, match="catalogue lacks: brightness, seeing; it has: obsid"):
        apply_cuts(table, [{"column": c, "op": ">", "value": 1} for c in ("seeing", "brightness")])
    with pytest.raises(SettingsError, match="op one of =="):
        apply_cuts(table, [{"column": "snr", "op": "=>", "value": 1}])
    with pytest.raises(SettingsError, match="holds numbers, not 'five'"):
        apply_cuts(table, [{"column": "snr", "op": ">", "value": "five"}])
    with pytest.raises(SettingsError, match="holds text, not 0"):
        apply_cuts(table, [{"column": "band", "op": "==", "value": 0}])
    with pytest.raises(SettingsError, match="needs a list"):
        apply_cuts(table, [{"column": "band", "op": "in", "value": "B"}])


def test_empty_selection_tells_which_cut_did_it() -> None:
    cuts = [*TABLE_1, {"column": "snr", "op": ">", "value": 1000}]
    with pytest.raises(SettingsError, match=r"no spectrum is left.*snr >= 5: 12 -> 12; snr > 1000: 12 -> 0"):
        apply_cuts(mrs_catalog({58625: ["A"]}), cuts)
    with pytest.raises(SettingsError, match="selection is empty"):
        make_manifest(mrs_catalog({58625: ["A"]}).slice(0, 0), survey="mrs", **PARTITION)


@pytest.mark.parametrize(
    "cut",
    [
        {"column": "spid", "op": "==", "value": 99_999},
        {"column": "spid", "op": "in", "value": [1, 99_999]},
        {"column": "spid", "op": "in", "value": [1.5]},
        {"column": "spid", "op": "==", "value": True},
        {"column": "lmjd", "op": ">", "value": 10**30},
    ],
)
def test_a_value_that_no_column_holds_is_named_with_its_cut(cut: dict[str, Any]) -> None:
    table = mrs_catalog({58625: ["A"]})
    table = table.set_column(table.column_names.index("spid"), "spid", table["spid"].cast(pa.int8()))
    with pytest.raises(SettingsError, match=f"cut {cut['column']} .*: .* is not a value of the column"):
        apply_cuts(table, [cut])


def test_an_empty_catalogue_is_named_as_such() -> None:
    with pytest.raises(SettingsError, match="the catalogue has no rows"):
        apply_cuts(mrs_catalog({58625: ["A"]}).slice(0, 0), [])
