"""Declared schemas: words that the VO knows, and messages that list every difference."""

import pyarrow as pa
import pytest
from astropy.io.votable.ucd import check_ucd
from astropy.units import Unit
from fixtures import settings as shipped
from fixtures.mstars_data import SEPARATORS
from fixtures.schemas import SCHEMAS

from starsift.catalog.columns import Column, TableSchema, conform
from starsift.catalog.crossmatch import COLUMNS
from starsift.errors import ResultsError
from starsift.searches.bhb.columns import BHB
from starsift.searches.binaries.columns import BINARIES_OBJECTS, BINARIES_SPECTRA
from starsift.searches.mstars.columns import MSTARS
from starsift.searches.mstars.kinematics import derive
from starsift.spectra.batches import IDENTITY_NAMES

SMALL = TableSchema(
    "small",
    "A table",
    ("name",),
    (
        Column("name", pa.string(), "Name", "meta.id;meta.main"),
        Column("rv", pa.float32(), "Velocity", "spect.dopplerVeloc", "km/s", nullable=True),
        Column("n", pa.int16(), "Number", "meta.number"),
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
    table_3 = "ra dec gaia_source_id phot_g_mean_mag multiplicity planid spid fiberid lmjm snr rv_1 rv_2 rv_3"
    names = BINARIES_SPECTRA.names
    assert {*table_3.split(), *IDENTITY_NAMES, "rv_1_err", "rv_2_err", "rv_3_err"} <= set(names)
    assert names[: len(IDENTITY_NAMES)] == list(IDENTITY_NAMES)
    table_4 = "ra dec gaia_source_id phot_g_mean_mag multiplicity n_exposures"
    assert {*table_4.split(), "n_detections", "rv_range"} <= set(BINARIES_OBJECTS.names)
    assert [name for name in names if name.startswith("p_c4")] == ["p_c4_l0", "p_c4_l1", "p_c4_l3"]


def test_mstars_hold_what_the_paper_publishes():
    table_2 = """
        designation obsdate mjd planid spid fiberid ra dec snrr subclass rv ewha ewha_err tio5 cah2 cah3 tio1
        tio2 tio3 tio4 cah1 caoh tio5_err cah2_err cah3_err tio1_err tio2_err tio3_err tio4_err cah1_err
        caoh_err na zeta zeta_err giant parallax parallax_error pmra pmra_error pmdec pmdec_error distance u v
        w h_disc l b
    """
    names = set(MSTARS.names)
    assert {*table_2.split(), *IDENTITY_NAMES} <= names
    assert MSTARS.names[: len(IDENTITY_NAMES)] == list(IDENTITY_NAMES)
    search = "best_rank nearest_query hamming_distance n_queries score p_m vetted vetted_by label file"
    assert set(search.split()) <= names
    # What the stages before it make has its place, but for the errors of magnitudes.
    assert {name for name in COLUMNS if not name.endswith("_err")} | {"match_separation"} <= names
    assert {"giant_evidence", "giant_log_odds", *(f"giant_{one.name}" for one in SEPARATORS)} <= names
    inputs = ("ra", "dec", "rv", "phot_g_mean_mag", "parallax", "parallax_error", "pmra", "pmdec")
    derived = derive(pa.table({name: pa.nulls(1) for name in inputs}), **shipped.MSTARS["kinematics"])
    assert set(derived.column_names) <= names


def test_bhb_stars_hold_what_their_use_needs():
    names = set(BHB.names)
    assert BHB.names[: len(IDENTITY_NAMES)] == list(IDENTITY_NAMES)
    classified = "p_bhb modality image_status origin split known_class vetted vetted_by label file survey"
    measured = "u_g_0 g_r_0 g_0 absmag_g distance distance_err group_id group_name n_exposures ra dec mjd snr"
    assert {*classified.split(), *measured.split(), *(f"psfmag_{band}" for band in "ugriz")} <= names


@pytest.mark.parametrize("schema", [MSTARS, BHB], ids=lambda schema: schema.name)
def test_no_logicals_that_may_be_missing(schema):
    assert not [c.name for c in schema.columns if c.nullable and pa.types.is_boolean(c.type)]


def test_conform_orders_converts_sorts_and_drops():
    table = pa.table({"n": [2, 1], "extra": [0, 0], "rv": [float("nan"), 1.5], "name": ["b", "a"]})
    result = conform(table, SMALL)
    assert result.column_names == ["name", "rv", "n"]
    assert result.to_pydict() == {"name": ["a", "b"], "rv": [1.5, None], "n": [1, 2]}
    assert result.schema.field("rv").metadata[b"unit"] == b"km/s"
    assert not result.schema.field("name").nullable
    assert conform(result, SMALL).equals(result)
    assert conform(table.slice(0, 0), SMALL).num_rows == 0


def test_conform_lists_every_problem():
    table = pa.table({"name": ["a", None, "c", "c"], "n": [1, 2, 70000, 4]})
    with pytest.raises(ResultsError) as error:
        conform(table, SMALL)
    message = str(error.value)
    assert "table small: column rv is missing" in message
    assert "column n does not convert to int16" in message
    assert "column name lacks 1 values, the first in row 1" in message
    with pytest.raises(ResultsError, match="1 keys are repeated, such as name=c"):
        conform(pa.table({"name": ["c", "c"], "n": [1, 2], "rv": [1.0, 2.0]}), SMALL)


@pytest.mark.parametrize("schema", SCHEMAS.values(), ids=SCHEMAS)
def test_floats_and_only_floats_declare_a_precision(schema):
    for column in schema.columns:
        declared = [value for value in (column.decimals, column.digits) if value is not None]
        assert len(declared) == pa.types.is_floating(column.type), column.name


@pytest.mark.parametrize("kind", [pa.float32(), pa.float64()], ids=str)
def test_values_are_rounded_to_the_declared_precision(kind):
    columns = (
        SMALL.columns[0],
        Column("rv", kind, "Velocity", "spect.dopplerVeloc", "km/s", nullable=True, decimals=2),
        Column("chi2", kind, "Chi-square", "stat.fit.chi2", nullable=True, digits=3),
    )
    schema = TableSchema("rounded", "A table", ("name",), columns)
    rv, chi2 = [-12.3449, -0.001, None, 1000.006], [123456.0, 9.996e-20, None, 0.0]
    nudged = [[None if value is None else value * (1 + 3e-7) for value in one] for one in (rv, chi2)]
    made = [
        conform(pa.table({"name": list("abcd"), "rv": one, "chi2": other}), schema)
        for one, other in ([rv, chi2], nudged)
    ]
    assert made[0].equals(made[1])
    assert conform(made[0], schema).equals(made[0])
    for name, expected in {"rv": [-12.34, 0.0, None, 1000.01], "chi2": [1.23e5, 1e-19, None, 0.0]}.items():
        assert made[0][name].to_pylist() == pa.array(expected, kind).to_pylist()
    assert str(made[0]["rv"][1].as_py()) == "0.0"  # not -0.0


def test_rows_that_are_equal_when_rounded_share_a_key():
    axis = Column("x", pa.float64(), "Place", "pos", decimals=1)
    schema = TableSchema("grid", "A table", ("x",), (axis,))
    assert conform(pa.table({"x": [0.31, 0.19]}), schema)["x"].to_pylist() == [0.2, 0.3]
    with pytest.raises(ResultsError, match=r"1 keys are repeated, such as x=0\.3"):
        conform(pa.table({"x": [0.31, 0.29]}), schema)
