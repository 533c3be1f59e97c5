"""Catalogues as astropy, STILTS and DuckDB read them: units, UCDs, nulls, equal bytes."""

import csv
import io
import json
import re
import shutil
import subprocess
import warnings
from xml.etree import ElementTree

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy import units as u
from astropy.io import ascii, fits, votable
from astropy.table import Table
from fixtures.schemas import SCHEMAS

from starsift.catalog.columns import Column, TableSchema, conform
from starsift.catalog.publish import FITS_NULL, PROVENANCE_KEY, publish, read_table
from starsift.errors import ResultsError

SCHEMA = TableSchema(
    "sample",
    "One column of every type & kind",
    ("name",),
    (
        Column("name", pa.string(), "Name", "meta.id;meta.main"),
        Column("source", pa.int64(), "Identifier", "meta.id.cross", nullable=True),
        Column("small", pa.int8(), "Small number", "meta.number", nullable=True),
        Column("count", pa.int16(), "Number", "meta.number"),
        Column("total", pa.int32(), "Number", "meta.number", nullable=True),
        Column("rv", pa.float32(), "Velocity", "spect.dopplerVeloc", "km/s", nullable=True, decimals=2),
        Column("ra", pa.float64(), "Right ascension", "pos.eq.ra;meta.main", "deg", decimals=10),
        Column("flag", pa.bool_(), "Flag", "meta.code"),
        Column("note", pa.string(), "Text", "meta.note", nullable=True),
    ),
)
BIG = 2**60 + 1  # not a float64
ROWS = pa.table(
    {
        "name": ["c", "a", "b"],
        "source": [BIG, None, 5],
        "small": [-3, None, 100],
        "count": [1, -9999, 3],
        "total": [None, 70000, 3],
        "rv": [-1.1, float("nan"), 3.0],
        "ra": [0.1, 359.9, 1e-9],
        "flag": [True, False, True],
        "note": ['it\'s <1> & "two"', None, "x"],
        "extra": [0, 0, 0],
    }
)
ORIGIN = {"seed": 1, "inputs": {"catalog": {"data/o'clock.csv": "ab" * 32}}, "list": list(range(200))}
UNITS = {"rv": u.km / u.s, "ra": u.deg}


@pytest.fixture
def files(tmp_path):
    return publish(ROWS, SCHEMA, tmp_path / "out.d" / "sample", ORIGIN)


def expect(table, *, masked=True):
    """Units and, where the reader keeps them, masks and exact values."""
    assert table.colnames == SCHEMA.names
    for name in table.colnames:
        assert table[name].unit == UNITS.get(name)
    assert [str(name) for name in table["name"]] == ["a", "b", "c"]
    assert table["count"].tolist() == [-9999, 3, 1]
    assert table["flag"].tolist() == [False, True, True]
    np.testing.assert_array_equal(table["ra"], [359.9, 1e-9, 0.1])
    np.testing.assert_array_equal(np.ma.filled(table["rv"], np.nan), np.array([np.nan, 3, -1.1], np.float32))
    if masked:
        for name, null in {"source": 0, "small": 0, "total": 2, "note": 0}.items():
            assert np.ma.getmaskarray(table[name]).tolist() == [i == null for i in range(3)], name
        assert table["source"][2] == BIG
        assert table["source"].dtype.kind == "i"
        assert str(table["note"][2]) == ROWS["note"][0].as_py()


def test_files_have_the_names_asked_for(files, tmp_path):
    endings = (".parquet", ".fits", ".vot", ".csv", ".dat", "_ReadMe.txt")
    assert [path.name for path in files] == [f"sample{ending}" for ending in endings]
    assert sorted(path.name for path in files[0].parent.iterdir()) == sorted(path.name for path in files)


def test_astropy_reads_parquet_with_units_and_ucds(files):
    table = Table.read(files[0], format="parquet")
    expect(table, masked=False)
    assert table["rv"].meta["ucd"] == "spect.dopplerVeloc"
    assert table["rv"].description == "Velocity"
    assert table.meta["description"] == SCHEMA.description


def test_astropy_reads_parquet_as_votable(files):
    table = Table.read(files[0], format="parquet.votable")
    expect(table, masked=False)
    assert table["ra"].meta["ucd"] == "pos.eq.ra;meta.main"


def test_own_reader_keeps_masks_and_integers(files):
    table = read_table(files[0])
    expect(table)
    assert table["source"].meta["ucd"] == "meta.id.cross"
    assert table["small"].dtype == np.int8


def test_parquet_holds_nulls_and_one_footer(files):
    table = pq.read_table(files[0])
    assert table["source"].to_pylist() == [None, 5, BIG]
    assert table["rv"].null_count == 1
    footer = {key.decode(): value.decode() for key, value in table.schema.metadata.items()}
    assert json.loads(footer[PROVENANCE_KEY]) == ORIGIN
    assert footer["IVOA.VOTable-Parquet.version"] == "1.0"
    root = ElementTree.fromstring(footer["IVOA.VOTable-Parquet.content"])
    space = "{http://www.ivoa.net/xml/VOTable/v1.3}"
    fields = {field.get("name"): field for field in root.iter(f"{space}FIELD")}
    assert list(fields) == SCHEMA.names
    said = [fields["rv"].get(name) for name in ("unit", "ucd", "datatype")]
    assert said == ["km.s**-1", "spect.dopplerVeloc", "float"]
    assert fields["rv"].find(f"{space}DESCRIPTION").text.strip() == "Velocity"
    assert not list(root.iter(f"{space}DATA"))


def test_astropy_reads_fits(files):
    expect(Table.read(files[1]))
    with fits.open(files[1], checksum=True) as hdus:
        header = hdus[1].header
        at = SCHEMA.names.index("rv") + 1
        said = [header[f"{card}{at}"] for card in ("TUNIT", "TUCD", "TCOMM")]
        assert said == ["km s-1", "spect.dopplerVeloc", "Velocity"]
        nulls = {name for i, name in enumerate(SCHEMA.names, 1) if f"TNULL{i}" in header}
        assert nulls == {"source", "small", "total"}
        assert json.loads(hdus[0].header["PROVENAN"]) == ORIGIN
        assert not any("DATE" in header for header in (hdus[0].header, header))
        hdus.verify("exception")


def test_astropy_reads_votable(files):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        file = votable.parse(files[2], verify="exception")
    assert json.loads(file.resources[0].infos[0].value) == ORIGIN
    table = Table.read(file)
    # VOTable has no null text: empty and missing are the same.
    note = np.ma.filled(np.ma.array(table["note"]), "")
    assert [str(text) for text in note] == ["", "x", ROWS["note"][0].as_py()]
    table["note"] = np.ma.array(note, mask=note == "")
    expect(table)
    assert table["source"].meta["ucd"] == "meta.id.cross"
    assert table["source"].description == "Identifier"


def test_csv_is_rounded_and_empty_where_a_value_is_missing(files):
    with files[3].open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == SCHEMA.names
    assert [row["source"] for row in rows] == ["", "5", str(BIG)]
    assert [row["rv"] for row in rows] == ["", "3", "-1.1"]
    assert [row["note"] for row in rows] == ["", "x", ROWS["note"][0].as_py()]


def read_cds(data, readme):
    return ascii.read(data, format="cds", readme=str(readme), guess=False)


def test_astropy_reads_the_table_of_fixed_width_by_its_readme(files):
    table = read_cds(files[4], files[5])
    table["flag"] = table["flag"].astype(bool)
    table["rv"] = table["rv"].astype(np.float32)
    expect(table)
    readme = files[5].read_text()
    assert max(map(len, readme.splitlines())) <= 80
    for column in SCHEMA.columns:
        assert table[column.name].description == f"{column.description} [ucd={column.ucd}]"
    lines = files[4].read_text().splitlines()
    assert {len(line) for line in lines} == {int(re.search(r"sample.dat +(\d+) +3 ", readme)[1])}


def test_explanations_of_the_readme_are_those_of_the_schema(tmp_path):
    """Also where a line would begin with a number, which readers take for the bytes of another column."""
    text = "One of the numbers that follow now: 0 is a number, 1 is another"
    column = Column("chi2", pa.float64(), text, "stat.fit.chi2", nullable=True, digits=3)
    schema = TableSchema("t", "T", ("name",), (SCHEMA.columns[0], column))
    rows = pa.table({"name": ["a", "b", "c"], "chi2": [1.2345e-30, None, -12.0]})
    *_, data, readme = publish(rows, schema, tmp_path / "t", {})
    table = read_cds(data, readme)
    assert table.colnames == schema.names
    assert table["chi2"].description == f"{text} [ucd=stat.fit.chi2]"
    assert table["chi2"].tolist() == [1.23e-30, None, -12.0]


@pytest.mark.skipif(not shutil.which("stilts"), reason="it needs STILTS, the Debian package `stilts`")
@pytest.mark.parametrize("place", [1, 2], ids=["fits", "votable"])
def test_stilts_reads_units_ucds_and_descriptions(files, place):
    command = ["stilts", "tpipe", f"in={files[place]}", "cmd=meta name units ucd description", "ofmt=csv"]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    rows = {row["Name"]: row for row in csv.DictReader(output.splitlines())}
    assert list(rows) == SCHEMA.names
    for column in SCHEMA.columns:
        row = rows[column.name]
        assert (row["UCD"], row["Description"]) == (column.ucd, column.description)
        assert (u.Unit(row["Units"]) if row["Units"] else None) == UNITS.get(column.name)


def test_duckdb_finds_units_and_ucds_in_parquet(files):
    duckdb = pytest.importorskip("duckdb")
    query = "select value from parquet_kv_metadata(?) where key = 'IVOA.VOTable-Parquet.content'"
    (content,) = duckdb.execute(query, [str(files[0])]).fetchone()
    table = votable.parse(io.BytesIO(content)).get_first_table()
    fields = {field.name: (field.unit, field.ucd) for field in table.fields}
    expected = {column.name: (UNITS.get(column.name), column.ucd) for column in SCHEMA.columns}
    assert fields == expected
    assert duckdb.execute("select source from read_parquet(?)", [str(files[0])]).fetchall()[2] == (BIG,)


def test_missing_logical_is_the_third_value_of_fits(tmp_path):
    logical = Column("b", pa.bool_(), "B", "meta.code", nullable=True)
    schema = TableSchema("t", "T", ("name",), (SCHEMA.columns[0], logical))
    paths = publish(pa.table({"name": ["a", "b", "c"], "b": [True, None, False]}), schema, tmp_path / "t", {})
    with fits.open(paths[1], logical_as_bytes=True) as hdus:
        assert hdus[1].data["b"].tolist() == [b"T", b"", b"F"]
    assert np.ma.getmaskarray(Table.read(paths[2])["b"]).tolist() == [False, True, False]
    assert read_table(paths[0])["b"].tolist() == [True, None, False]


def test_same_rows_in_any_order_make_the_same_bytes(files, tmp_path):
    chunks = pa.concat_tables([ROWS.slice(2, 1), ROWS.slice(0, 1), ROWS.slice(1, 1)])
    for first, second in zip(files, publish(chunks, SCHEMA, tmp_path / "again", ORIGIN), strict=True):
        assert first.read_bytes() == second.read_bytes()


def test_empty_catalogue_is_readable(tmp_path):
    paths = publish(ROWS.slice(0, 0), SCHEMA, tmp_path / "empty", {})
    kinds = ("parquet", "parquet.votable", "fits", "votable")
    for path, kind in zip(paths[:1] + paths[:3], kinds, strict=True):
        table = Table.read(path, format=kind)
        assert len(table) == 0
        assert table["rv"].unit == UNITS["rv"]
    assert paths[3].read_text() == ",".join(SCHEMA.names) + "\n"
    assert paths[4].read_text() == ""


@pytest.mark.parametrize("schema", SCHEMAS.values(), ids=SCHEMAS)
def test_catalogues_are_readable_with_every_value_missing_that_may_be(schema, tmp_path):
    samples = {pa.string(): "M3", pa.bool_(): True, pa.float32(): 1.5, pa.float64(): 2.5}
    columns = {}
    for column in schema.columns:
        value = samples.get(column.type, 1)
        key = column.name in schema.key[:1]
        values = ["x1", "x2"] if key else [value, None if column.nullable else value]
        columns[column.name] = pa.array(values, column.type)
    table = pa.table(columns)
    assert conform(table, schema).schema.equals(schema.arrow)
    parquet, fits_file, vot, _, data, readme = publish(table, schema, tmp_path / schema.name, {})
    masked = [read_table(parquet), Table.read(fits_file), Table.read(vot), read_cds(data, readme)]
    for read in (Table.read(parquet, format="parquet"), *masked):
        for column in schema.columns:
            assert read[column.name].unit == (u.Unit(column.unit) if column.unit else None)
    for column in (one for one in schema.columns if pa.types.is_integer(one.type)):
        for read in masked:
            assert np.ma.filled(read[column.name], -1).tolist() == [1, -1 if column.nullable else 1]
    Table.read(parquet, format="parquet.votable")


def test_what_fits_cannot_hold_is_an_error(tmp_path):
    table = ROWS.set_column(0, "name", pa.array(["é", "b", "c"]))
    table = table.set_column(4, "total", pa.array([FITS_NULL, 1, 2]))
    with pytest.raises(ResultsError) as error:
        publish(table, SCHEMA, tmp_path / "t", {})
    assert "column name holds 'é', which is not ASCII" in str(error.value)
    assert "column total holds -9999, which means missing; use null" in str(error.value)
    assert not list(tmp_path.iterdir())
    listed = Column("x", pa.list_(pa.int8()), "X", "meta.note")
    schema = TableSchema("t", "T", ("name",), (SCHEMA.columns[0], listed))
    with pytest.raises(ResultsError, match=r"column x has type list.*, which FITS cannot hold"):
        publish(pa.table({"name": ["a"], "x": [[1]]}), schema, tmp_path / "t", {})
