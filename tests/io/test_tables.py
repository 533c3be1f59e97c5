"""Tables as people bring them, from spreadsheets, archives and other programs."""

import bz2
import gzip
import lzma
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.table import QTable, Table
from fixtures.survey_files import real

from starsift.errors import InputError
from starsift.io.columns import cast_column
from starsift.io.tables import read_table

GAIA = [2125971226269667584, 2125971226269667712, 2**63 - 1]
Write = Callable[..., Path]


@pytest.mark.parametrize("packed", ["", ".gz", ".bz2", ".xz"])
@pytest.mark.parametrize("ending", ["vot", "ecsv", "csv", "FITS"])
def test_every_format_is_read_packed_and_plain(tmp_path: Path, ending: str, packed: str) -> None:
    """As it is: no names of ours, no column that must be there, -9999 stays."""
    values = {"Source_ID": GAIA, "ra": [1.0, 2.0, 3.0], "n": [-9999, 2, 3], "name": ["a", "b", "c"]}
    table = Table(values, masked=True)
    table["ra"].unit = "deg"
    for name in ("ra", "n"):
        table[name].mask = [False, True, False]
    formats = {"vot": "votable", "ecsv": "ascii.ecsv", "csv": "ascii.csv", "FITS": "fits"}
    table.write(tmp_path / "t", format=formats[ending])
    pack = {"": bytes, ".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}[packed]
    path = tmp_path / f"t.{ending}{packed}"
    path.write_bytes(pack((tmp_path / "t").read_bytes()))
    read = read_table(path)
    assert read["Source_ID"].to_pylist() == GAIA
    assert (read["n"].to_pylist(), read["name"].to_pylist()) == ([-9999, None, 3], ["a", "b", "c"])
    assert [v if v == v else None for v in read["ra"].to_pylist()] == [1.0, None, 3.0]
    if ending != "csv":
        assert read.schema.field("ra").metadata == {b"unit": b"deg"}
    assert read_table(path, {"source_id", "more"}).column_names == ["Source_ID"]


def test_gaia_bulk_download() -> None:
    table = read_table(real("cases") / "gaia-bulk.csv.gz")
    assert table["source_id"].to_pylist() == GAIA[:2]
    assert table["parallax"].to_pylist() == [1.5, None]
    assert table.schema.field("phot_g_mean_mag").type == pa.float32()


def test_ecsv_with_mixins_and_vectors(tmp_path: Path) -> None:
    table = QTable({"at": SkyCoord([1, 2], [3, 4], unit="deg"), "v": [[1, 2], [3, 4]], "m": [5, 6] * u.mag})
    table.write(tmp_path / "t.ecsv")
    assert read_table(tmp_path / "t.ecsv").to_pydict() == {"at.ra": [1, 2], "at.dec": [3, 4], "m": [5, 6]}


@pytest.mark.parametrize(
    ("content", "name", "message"),
    [
        (b"PK\x03\x04...", "t.xlsx", "a zip archive or a spreadsheet .*: save the sheet as CSV"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1", "t.xls", "a spreadsheet .*: save the sheet as CSV"),
        (b"SQLite format 3\0", "t.csv", "this is a SQLite database"),
        (b"", "t.csv", "the file is empty"),
        (b"\x93NUMPY\x01\0", "t.npy", "neither a table nor text"),
        (b"<!DOCTYPE html><html>Log in</html>", "t.vot", "this is a web page"),
        (b"<html>Log in</html>", "t.fits", "this is a web page"),
        (b"<?xml version='1.0'?><KML/>", "t.vot", "cannot be read as a VOTable"),
        (b"source_id,ra\n1,2\n", "t.fits.gz", "this is not a fits file but text"),
        (b"ra,dec\n1,\xff\n", "t.csv", "not UTF-8 text"),
        (b"ra dec\n1.5 2.5\n", "t.txt", "its columns are separated by blanks"),
        (b"ra,dec,ra\n1,2,3\n", "t.csv", "column ra occurs twice; rename"),
        (b"ra,dec\n1,2\n1,2,3\n", "t.csv", "a row of 3 in place of 2 values: '1,2,3'; complete"),
        (b"ra,dec\n1,2\n1", "t.csv", "a row of 1 in place of 2 values: '1'; complete"),
        (b"ra,dec,note\n" + b"1,2,cafe\n" * 300 + b"1,2,caf\xe9\n", "t.csv", "column note: not UTF-8 text"),
        (b"# %ECSV 1.0\n# ---\n# nothing\nra dec\n1 2\n", "t.ecsv", "the ECSV header cannot be read"),
        (b"\x1f\x8b\x08\x00broken", "t.csv.gz", "cannot be read as a table"),
    ],
)
def test_what_is_no_table(write: Write, content: bytes, name: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        read_table(write(content, name))
    assert str(error.value).startswith(str(write(content, name)))


def test_columns_that_are_there_twice_are_named_in_every_format(tmp_path: Path) -> None:
    pq.write_table(pa.table([[1], [2]], names=["obsid", "obsid"]), tmp_path / "t.parquet")
    with pytest.raises(InputError, match="column obsid occurs twice; rename"):
        read_table(tmp_path / "t.parquet")


def test_types_that_arrow_only_stores_can_be_used(tmp_path: Path) -> None:
    half, view = pa.array(np.array([1.5, np.nan], np.float16)), pa.array(["00:42:00", None], pa.string_view())
    kinds = pa.array(["STAR", "QSO"]).dictionary_encode()  # as categories of pandas
    pq.write_table(pa.table({"dec": half, "ra": view, "class": kinds}), tmp_path / "t.parquet")
    made = read_table(tmp_path / "t.parquet")
    assert made["class"].to_pylist() == ["STAR", "QSO"]
    assert made["ra"].to_pylist() == [pytest.approx(10.5), None]
    assert cast_column("t", "dec", made["dec"], pa.float64()).to_pylist() == [1.5, None]


def fits_table(path: Path, column: fits.Column, **cards: float) -> Path:
    """A FITS table of one column, with cards that astropy would not write as they are."""
    fits.BinTableHDU.from_columns([column]).writeto(path)
    content = path.read_bytes()
    start = 2880  # of the extension
    header = fits.Header.fromstring(content[start : start + 2880])
    header.update(cards)
    path.write_bytes(content[:start] + header.tostring().encode() + content[start + 2880 :])
    return path


def test_null_of_fits_is_what_the_file_holds_before_scaling(tmp_path: Path) -> None:
    scaled, unsigned = (fits.Column("n", "I", array=values) for values in ([1, -99, 3], [-32768, 5, 3]))
    path = fits_table(tmp_path / "a.fits", scaled, TSCAL1=0.5, TZERO1=1.0, TNULL1=-99)
    assert read_table(path)["n"].to_pylist() == [1.5, None, 2.5]
    path = fits_table(tmp_path / "b.fits", unsigned, TZERO1=32768, TNULL1=5)
    assert read_table(path)["n"].to_pylist() == [0, None, 32771]


def test_columns_of_a_fits_table_that_nobody_can_select_on_are_left_out(tmp_path: Path) -> None:
    lists = np.array([[1], [1, 2]], dtype=object)
    found = [
        fits.Column("lists", "PJ()", array=lists),
        fits.Column("phase", "M", array=[1j, 2]),
        fits.Column("ra", "D", array=[1.0, 2.0]),
    ]
    fits.BinTableHDU.from_columns(found).writeto(tmp_path / "t.fits")
    assert read_table(tmp_path / "t.fits").column_names == ["ra"]


def test_what_archives_say_of_a_query_is_passed_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    Table({"source_id": GAIA}).write(tmp_path / "t.vot", format="votable")
    text = (tmp_path / "t.vot").read_text()
    cut = text.replace("<TABLE>", '<INFO name="QUERY_STATUS" value="OVERFLOW"/><TABLE>')
    (tmp_path / "t.vot").write_text(cut)
    assert read_table(tmp_path / "t.vot")["source_id"].to_pylist() == GAIA
    assert "t.vot: the archive cut the result at its limit of 3 rows" in caplog.text
    failed = '<INFO name="QUERY_STATUS" value="ERROR">Unknown column parallaxe</INFO>'
    (tmp_path / "t.vot").write_text(text[: text.index("<TABLE>")] + failed + "</RESOURCE></VOTABLE>")
    with pytest.raises(InputError, match="holds no table but the error of a query: Unknown column parallaxe"):
        read_table(tmp_path / "t.vot")


@pytest.mark.parametrize("ending", ["fits", "parquet", "vot", "ecsv"])
def test_identifiers_in_columns_of_floats_are_refused(tmp_path: Path, ending: str) -> None:
    table = Table({"source_id": np.array([5.0, np.nan, 2.1e18]), "ra": [1.0, 2.0, 3.0]})
    path = tmp_path / f"t.{ending}"
    table.write(path, format={"vot": "votable"}.get(ending))
    with pytest.raises(InputError, match=rf"t.{ending}: row 3, column source_id: 2.1e\+18 has lost the last"):
        read_table(path)
    narrow = tmp_path / "f4.fits"  # float32 holds 24 bits
    Table({"obsid": np.array([447123456], np.float32)}).write(narrow)
    with pytest.raises(InputError, match=r"row 1, column obsid: .* has lost the last digits"):
        read_table(narrow)
