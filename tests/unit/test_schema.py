"""Declared schemas: words that the VO knows, and messages that list every difference."""

import pyarrow as pa
import pytest
from astropy.io.votable.ucd import check_ucd
from astropy.units import Unit

from starsift.catalog.schema import (
    BINARIES_OBJECTS,
    BINARIES_SPECTRA,
    SCHEMAS,
    ColumnSchema,
    SchemaError,
    TableSchema,
    check,
    conform,
)
from starsift.spectra.batches import IDENTITY_NAMES

SMALL = TableSchema(
    "small",
    "A table",
    ("name",),
    (
        ColumnSchema("name", pa.string(), "Name", "meta.id;meta.main"),
        ColumnSchema("rv", pa.float32(), "Velocity", "spect.dopplerVeloc", "km/s", nullable=True),
        ColumnSchema("n", pa.int16(), "Number", "meta.number"),
    ),
)


@pytest.mark.parametrize("schema", SCHEMAS.values(), ids=SCHEMAS)
def test_every_column_has_a_valid_ucd_unit_and_description(schema):
    # Longer texts astropy breaks into lines in VOTable, and then warns that they differ from Parquet's.
    assert len(schema.description) <= 60
    for column in schema.columns:
        assert check_ucd(column.ucd, check_controlled_vocabulary=True), (column.name, column.ucd)
        assert column.description
        assert len(column.description) <= 60, column.name
        for style in ("fits", "vounit"):
            Unit(column.unit).to_string(style)
    assert len(set(schema.names)) == len(schema.names)
    assert set(schema.key) <= set(schema.names)


def test_binaries_hold_what_the_paper_publishes():
    table_3 = "ra dec gaia_source_id gaia_g_mean_mag multiplicity planid spid fiberid lmjm snr rv_1 rv_2 rv_3"
    assert {*table_3.split(), *IDENTITY_NAMES, "rv_err_1", "rv_err_2", "rv_err_3"} <= set(
        BINARIES_SPECTRA.names
    )
    assert BINARIES_SPECTRA.names[: len(IDENTITY_NAMES)] == list(IDENTITY_NAMES)
    table_4 = "ra dec gaia_source_id gaia_g_mean_mag multiplicity n_exposures"
    assert {*table_4.split(), "n_detections", "rv_range"} <= set(BINARIES_OBJECTS.names)
    assert [name for name in BINARIES_SPECTRA.names if name.startswith("p_c4")] == [
        "p_c4_l0",
        "p_c4_l1",
        "p_c4_l3",
    ]


def test_conform_orders_converts_sorts_and_drops():
    table = pa.table({"n": [2, 1], "extra": [0, 0], "rv": [float("nan"), 1.5], "name": ["b", "a"]})
    result = conform(table, SMALL)
    assert result.column_names == ["name", "rv", "n"]
    assert result.to_pydict() == {"name": ["a", "b"], "rv": [1.5, None], "n": [1, 2]}
    assert result.schema.field("rv").metadata[b"unit"] == b"km/s"
    assert not result.schema.field("name").nullable
    check(result, SMALL)


def test_conform_of_no_rows():
    empty = pa.table(
        {"name": pa.array([], pa.string()), "rv": pa.array([], pa.float64()), "n": pa.array([], "i8")}
    )
    assert conform(empty, SMALL).num_rows == 0


def test_conform_lists_every_problem():
    table = pa.table({"name": ["a", None, "c", "c"], "n": [1, 2, 70000, 4]})
    with pytest.raises(SchemaError) as error:
        conform(table, SMALL)
    message = str(error.value)
    assert "table small: column rv is missing" in message
    assert "column n does not convert to int16" in message
    assert "column name lacks 1 values, the first in row 1" in message
    with pytest.raises(SchemaError, match="1 keys are repeated, such as name=c"):
        conform(pa.table({"name": ["c", "c"], "n": [1, 2], "rv": [1.0, 2.0]}), SMALL)


def test_check_lists_every_difference():
    table = pa.table(
        {"n": pa.array([1], "i8"), "name": ["a"], "other": [1], "rv": pa.array([float("nan")], "f4")}
    )
    with pytest.raises(SchemaError) as error:
        check(table, SMALL)
    message = str(error.value)
    assert "column other is not declared" in message
    assert "column n has type int64, expected int16" in message or "expected int16" in message
    assert "column rv holds NaN; missing is null" in message
    good = conform(
        pa.table({"name": ["a"], "n": [1], "rv": [None]}).cast(
            pa.schema([("name", "string"), ("n", "int64"), ("rv", "float64")])
        ),
        SMALL,
    )
    with pytest.raises(SchemaError, match="columns are in the order"):
        check(good.select(["rv", "name", "n"]), SMALL)
