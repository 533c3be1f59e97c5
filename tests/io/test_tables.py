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
from fixtures.settings import PARTITION
from fixtures.survey_files import real

from starsift.cli import main
from starsift.errors import InputError
from starsift.io.columns import cast_column
from starsift.io.tables import read_table
from starsift.learning.labels import load_labels, unmatched, warn_unmatched
from starsift.review.labels import LabelStore
from starsift.searches.bhb.labelled import read_labelled
from starsift.searches.emission.dataset import read_label_codes
from starsift.searches.mstars.catalog import read_sources
from starsift.survey.catalog import read_catalog
from starsift.survey.partition import make_manifest

GAIA = [2125971226269667584, 2125971226269667712, 2**63 - 1]
Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(content: str | bytes, name: str = "t.csv") -> Path:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


def columns(path: Path, *names: str) -> list[list]:
    table = read_table(path)
    return [table[name].to_pylist() for name in names]


# Formats and compressions


@pytest.mark.parametrize("packed", ["", ".gz", ".bz2", ".xz"])
@pytest.mark.parametrize("ending", ["vot", "ecsv", "csv", "fits"])
def test_every_format_is_read_packed_and_plain(tmp_path: Path, ending: str, packed: str) -> None:
    table = Table({"source_id": GAIA, "ra": [1.0, 2.0, 3.0], "name": ["a", "b", "c"]}, masked=True)
    table["ra"].unit = "deg"
    table["ra"].mask = [False, True, False]
    formats = {"vot": "votable", "ecsv": "ascii.ecsv", "csv": "ascii.csv", "fits": "fits"}
    table.write(tmp_path / "t", format=formats[ending])
    pack = {"": bytes, ".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}[packed]
    path = tmp_path / f"t.{ending}{packed}"
    path.write_bytes(pack((tmp_path / "t").read_bytes()))
    read = read_table(path)
    assert read["source_id"].to_pylist() == GAIA
    assert read["name"].to_pylist() == ["a", "b", "c"]
    assert [v if v == v else None for v in read["ra"].to_pylist()] == [1.0, None, 3.0]
    if ending != "csv":
        assert read.schema.field("ra").metadata == {b"unit": b"deg"}
    assert read_table(path, {"ra"}).column_names == ["ra"]


def test_gaia_bulk_download() -> None:
    path = real("cases") / "gaia-bulk.csv.gz"
    table = read_table(path)
    assert table["source_id"].to_pylist() == GAIA[:2]
    assert table["parallax"].to_pylist() == [1.5, None]
    assert table.schema.field("phot_g_mean_mag").type == pa.float32()
    sources = read_sources(path)
    assert sources is not None
    assert sources["gaia_source_id"].to_pylist() == GAIA[:2]


def test_ecsv_with_mixins_and_vectors(tmp_path: Path) -> None:
    table = QTable({"at": SkyCoord([1, 2], [3, 4], unit="deg"), "v": [[1, 2], [3, 4]], "m": [5, 6] * u.mag})
    table.write(tmp_path / "t.ecsv")
    assert read_table(tmp_path / "t.ecsv").to_pydict() == {"at.ra": [1, 2], "at.dec": [3, 4], "m": [5, 6]}


def test_categories_of_pandas_are_text(tmp_path: Path) -> None:
    pq.write_table(pa.table({"class": pa.array(["STAR", "QSO", "STAR"]).dictionary_encode()}), tmp_path / "t")
    assert read_table(tmp_path / "t")["class"].to_pylist() == ["STAR", "QSO", "STAR"]


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
    table = pa.table(
        {
            "dec": pa.array(np.array([1.5, np.nan], np.float16)),
            "ra": pa.array(["00:42:00", None], pa.string_view()),
        }
    )
    pq.write_table(table, tmp_path / "t.parquet")
    made = read_table(tmp_path / "t.parquet")
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
    scaled = fits_table(
        tmp_path / "a.fits", fits.Column("snr", "I", array=[1, -99, 3]), TSCAL1=0.5, TZERO1=1.0, TNULL1=-99
    )
    unsigned = fits_table(
        tmp_path / "b.fits", fits.Column("n", "I", array=[-32768, 5, 3]), TZERO1=32768, TNULL1=5
    )
    assert columns(scaled, "snr") == [[1.5, None, 2.5]]
    assert columns(unsigned, "n") == [[0, None, 32771]]


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
    assert columns(tmp_path / "t.vot", "source_id") == [GAIA]
    assert "t.vot: the archive cut the result at its limit of 3 rows" in caplog.text
    failed = '<INFO name="QUERY_STATUS" value="ERROR">Unknown column parallaxe</INFO>'
    (tmp_path / "t.vot").write_text(text[: text.index("<TABLE>")] + failed + "</RESOURCE></VOTABLE>")
    with pytest.raises(InputError, match="holds no table but the error of a query: Unknown column parallaxe"):
        read_table(tmp_path / "t.vot")


# Delimited text


def test_lines_of_a_macintosh(write: Write) -> None:
    assert columns(write("\ufeffobsid,ra\r1,10.5\r2,11.5\r"), "obsid", "ra") == [[1, 2], [10.5, 11.5]]


@pytest.mark.parametrize("end", ["", 'x"'])
@pytest.mark.parametrize("rows", [2, 20_000])
def test_a_quotation_mark_that_is_not_closed_swallows_no_rows(write: Write, end: str, rows: int) -> None:
    text = 'obsid,note,ra\n1,a,1\n2,"bright,2\n' + "3,b,3\n" * rows + f"4,{end},4\n"
    with pytest.raises(InputError, match="line 3: a quotation mark is opened and not closed"):
        read_table(write(text), keep=["obsid", "ra"])


def test_values_of_several_lines_and_marks_of_arcseconds_are_kept(write: Write) -> None:
    path = write('obsid,note,dec\n1,"two, or\nthree lines",1\n\n2,4" seeing,-00d30m00"\n')
    assert columns(path, "obsid", "note") == [[1, 2], ["two, or\nthree lines", '4" seeing']]
    assert columns(path, "dec") == [[1.0, -0.5]]


@pytest.mark.parametrize(
    "text",
    [
        "plate,ra,dec,name\n266,147.3,-0.5,x\n",
        "plate;ra;dec;name\n266;147,3;-0,5;x\n",
        "plate|ra|dec|name\n266|147.3|-0.5|x\n",
        "plate\tra\tdec\tname\n266\t147.3\t-0.5\tx\n",
        "#Table1\nplate,ra,dec,name\n266,147.3,-0.5,x\n",
        "#plate|ra|dec|name\n266|147.3|-0.5|x\n",
        "# made by a program, in 2026\n# plate , ra , dec , name\n266,147.3,-0.5,x\n",
        "# made by a program\n\nplate,ra,dec,name\n# more\n266,147.3,-0.5,x\n# the end\n",
        '"plate";"ra";"dec";"name"\r\n"266";"147,3";"-0,5";"x"\r\n',
        "#RESOURCE=1\n#Name: x\nplate;ra;dec;name\n;deg;deg;\n----;-----;-----;----\n266;147.3;-0.5;x\n",
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_spellings_of_csv(write: Write, text: str, encoding: str) -> None:
    table = read_table(write(text.encode(encoding)))
    assert table.to_pylist() == [{"plate": 266, "ra": 147.3, "dec": -0.5, "name": "x"}]
    assert table.schema.field("ra").metadata in (None, {b"unit": b"deg"})


def test_decimal_commas_and_points_in_one_file_are_refused(write: Write) -> None:
    with pytest.raises(InputError, match=r"decimal commas \(147,3\) and decimal points \(0.5\)"):
        read_table(write("ra;dec\n147,3;0.5\n"))
    path = write('plate,mjd,fiberid,ra,dec,snr\n1,2,3,4,5,"147,3"\n')
    with pytest.raises(InputError, match=r"row 1, column snr: '147,3' is not a number .* decimal points"):
        read_catalog(path, "sdss")


def test_headers_without_rows(write: Write) -> None:
    table = read_table(write("spectrum_id,label\n"), text=["label"])
    assert (table.num_rows, table.schema.field("label").type) == (0, pa.string())


# Identifiers


@pytest.mark.parametrize("text", ["2.12597E+18", "2.1259712262696676e+18", "1E+05", "4.4712E+8"])
@pytest.mark.parametrize("name", ["gaia_source_id", "obsid", "objID", "Source"])
def test_identifiers_that_lost_digits_are_refused(write: Write, name: str, text: str) -> None:
    with pytest.raises(InputError, match=rf"row 2, column {name}: .* has lost the last digits"):
        read_table(write(f"{name},ra\n12,1\n{text},2\n,3\n"))


def test_identifiers_with_all_digits_are_kept(write: Write) -> None:
    big = 2**63 + 11  # as SDSS numbers spectra
    path = write(f"specobjid,obsid,fluxid\n{big},101001.0,1.5\n{big + 1},1.01002E+05,2.5\n")
    table = read_table(path)
    assert table["specobjid"].to_pylist() == [str(big), str(big + 1)]
    assert cast_column(path, "obsid", table["obsid"], pa.int64()).to_pylist() == [101001, 101002]
    assert table["fluxid"].to_pylist() == [1.5, 2.5]


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


def test_gaia_ids_as_floats() -> None:
    for kind in ("lrs", "sdss"):
        with pytest.raises(InputError, match=r"row 1, column gaia_source_id: 2.12597E\+18 .*3 rows"):
            read_catalog(real("cases") / "gaia-ids-as-floats.csv", kind)
    with pytest.raises(InputError, match="has lost the last digits"):
        read_sources(real("cases") / "gaia-ids-as-floats.csv")


# Numbers and text in each other's place


def test_plate_as_float(write: Write) -> None:
    table = read_catalog(real("cases") / "plate-as-float.csv", "sdss")
    assert table["planid"].to_pylist() == ["266", "266"]
    assert table["obsid"].to_pylist() == [266516020031, 266516020032]
    path = write("plate,mjd,fiberid,ra,dec\n266,51602,31,1,1\n266,51602,31.5,1,1\n")
    with pytest.raises(InputError, match=r"t\.csv: row 2, column fiberid: 31\.5 is not a whole number"):
        read_catalog(path, "sdss")
    with pytest.raises(InputError, match=r"row 1, .*: 'HD1' is not a plate number"):
        read_catalog(write("plate,mjd,fiberid,ra,dec\nHD1,51602,31,1,1\n"), "sdss")


# Coordinates


def test_sexagesimal() -> None:
    table = read_catalog(real("cases") / "sexagesimal.csv", "sdss")
    expected = SkyCoord("09:49:17", "-00:00:24", unit=("hourangle", "deg"))
    assert table["ra"].to_pylist() == pytest.approx([expected.ra.deg], abs=1e-9)
    assert table["dec"].to_pylist() == pytest.approx([expected.dec.deg], abs=1e-9)


@pytest.mark.parametrize(
    ("ra", "dec"), [("09:49:17.5", "-00:30:24"), ("9h49m17.5s", "-0d30m24s"), ("09 49 17.5", "-00 30 24")]
)
def test_spellings_of_angles(write: Write, ra: str, dec: str) -> None:
    table = read_table(write(f"RAJ2000,DEJ2000,ra_error\n{ra},{dec},1\n,,2\n"))
    assert table["RAJ2000"].to_pylist() == pytest.approx([147.3229166667, None])
    assert table["DEJ2000"].to_pylist() == pytest.approx([-0.5066666667, None])
    sources = read_sources(write(f"ra,dec\n{ra},{dec}\n"))
    assert sources is not None
    assert sources["dec"].to_pylist() == pytest.approx([-0.5066666667])


def test_angles_that_are_none(write: Write) -> None:
    with pytest.raises(InputError, match="row 2, column ra: '09:99:00' is not an angle"):
        read_table(write("ra,dec\n09:49:17,1\n09:99:00,1\n"))
    with pytest.raises(InputError, match=r"row 1, column dec: 147\.3 is not between -90 and 90 degrees"):
        read_catalog(write("plate,mjd,fiberid,ra,dec\n1,2,3,0.5,147.3\n"), "sdss")


def test_no_coordinates() -> None:
    with pytest.raises(InputError, match=r"missing columns.*: ra or .*; dec or .*`catalog: null`"):
        read_catalog(real("cases") / "no-coordinates.csv", "lrs")


# Catalogues of the surveys' sites


def test_skyserver() -> None:
    table = read_catalog(real("cases") / "skyserver.csv", "sdss")
    assert table["planid"].to_pylist() == ["266", "266"]
    assert table["subclass"].to_pylist() == ["A0", "A4"]


def first(table: pa.Table) -> list:
    return [table[name][0].as_py() for name in ("planid", "spid", "fiberid", "lmjd")]


def test_lamost_query_page() -> None:
    table = read_catalog(real("lamost-web-query.csv"), "lrs")
    assert table["obsid"].to_pylist()[:2] == [103232, 105172]
    assert table["ra"].to_pylist()[0] == 330.9094528
    assert table["snr"].to_pylist()[0] == pytest.approx(94.11)  # in g, as the index has it
    assert first(table) == ["F5902", 3, 232, 55859]
    manifest = make_manifest(table, survey="lrs", **PARTITION)
    assert manifest["file"].to_pylist()[0] == "20111024/F5902/spec-55859-F5902_sp03-232.fits.gz"
    assert manifest["spectrum_id"].to_pylist()[0] == "spec-55859-F5902_sp03-232"


def test_lamost_dr1_catalogue() -> None:
    table = read_catalog(real("lamost-dr1-catalogue.csv"), "lrs")
    assert first(table) == ["B6001", 5, 6, 55860]
    assert (
        make_manifest(table, survey="lrs", **PARTITION)["file"].to_pylist()[0]
        == "spec-55860-B6001_sp05-006.fits"
    )


def test_observations_without_number(write: Write) -> None:
    """The first releases had none, or one that had overflowed."""
    head = "planid,spid,fiberid,lmjd,ra,dec"
    assert read_catalog(write(f"{head}\nB1,1,2,55860,1,1\n"), "lrs")["obsid"].to_pylist() == [None]
    path = write(f"{head},obsid\nB1,1,2,55860,1,1,-28762\nB1,1,3,55860,1,1,7\n")
    assert read_catalog(path, "lrs")["obsid"].to_pylist() == [None, 7]


# Labels


def test_labels_of_a_spreadsheet() -> None:
    (row,) = load_labels(real("cases") / "labels-semicolon.csv").to_pylist()
    assert (row["label"], row["search"], row["vetted_by"]) == ("SB2", "binaries", "ab")
    assert row["spectrum_id"] == "med-58644-TD192102N424113K01_sp12-076/84447441"


def test_labels_with_extension(write: Write) -> None:
    (row,) = load_labels(real("cases") / "labels-with-extension.csv").to_pylist()
    assert row["spectrum_id"] == "med-58644-TD192102N424113K01_sp12-076"
    text = "spectrum_id,label\na.fits.gz/84447441,SB2\nb.FIT,SB2\nc.fits.bz2,SB2\nd.fits.fz,SB2\nV.fit1,SB2\n"
    ids = load_labels(write(text), search="binaries")["spectrum_id"].to_pylist()
    assert ids == ["a/84447441", "b", "c", "d", "V.fit1"]
    with pytest.raises(InputError, match="labelled more than once, the first is a"):
        load_labels(write("spectrum_id,label\na.fits,SB2\na,SB1\n"), search="binaries")


def test_unknown_words_are_refused_on_import(tmp_path: Path, write: Write) -> None:
    with LabelStore(tmp_path / "l.sqlite") as store:
        message = "row 1: label 'double-lined' is not a label of binaries: SB1, SB2, SB3, not binary"
        with pytest.raises(InputError, match=message):
            store.import_labels(real("cases") / "labels-unknown-word.csv")
        with pytest.raises(
            InputError, match="row 2: label 'Nova' is not a label of mstars: M, not M, M dwarf"
        ):
            store.import_labels(write("spectrum_id,label\na,dM4\nb,Nova\n"), search="mstars")
        assert not any(store.current(path) for path in ("binaries", "mstars"))
        assert store.import_labels(write("spectrum_id,label\na,dM4\nb,K7\nc,M giant\n"), search="mstars") == 3


def test_labels_of_no_spectrum_of_the_run_are_listed(
    tmp_path: Path, write: Write, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    results = tmp_path / "results"
    (results / "manifest" / "demo").mkdir(parents=True)
    pq.write_table(pa.table({"spectrum_id": ["a", "b"]}), results / "manifest" / "demo.parquet")
    pq.write_table(pa.table({"spectrum_id": ["c"]}), results / "manifest" / "demo-unusable.parquet")
    path = write("spectrum_id,label\na,SB2\nc.fits,SB2\nd,SB1\n")
    assert unmatched(load_labels(path, search="binaries"), results) == (["c", "d"], 2)
    with caplog.at_level("WARNING"):
        warn_unmatched(path, "binaries", results)
    assert "2 labelled spectra are not among the 2 of this run: c, d" in caplog.text
    options = ["--search", "binaries", "--labels", str(tmp_path / "l.sqlite"), "--results", str(results)]
    assert main(["import", str(path), *options]) == 0
    out = capsys.readouterr().out
    assert "3 labels were added" in out
    assert "2 labelled spectra are not among the 2 spectra of" in out
    assert out.split()[-2:] == ["c", "d"]
    assert main(["import", str(path), *options[:-1], str(tmp_path / "none")]) == 1
    assert "no such folder; give the results of a run" in capsys.readouterr().err


# What catalogues hold in place of numbers

ROW = "obsid,planid,spid,fiberid,lmjd,ra,dec,snr,source_id\n{},HD1,1,2,{},{},{},{},{}\n"


def test_a_date_is_no_number_of_days_since_1970(write: Write) -> None:
    text = ROW.format(1, "2014-12-09", 1, 2, 3, 4)
    with pytest.raises(InputError, match="row 1, column lmjd: '2014-12-09' is not a whole number"):
        read_catalog(write(text), "lrs")
    days = pa.chunked_array([pa.array([0, None], pa.timestamp("us"))])
    with pytest.raises(InputError, match="row 1, column obsid: '1970-01-01 00:00:00' is not a whole number"):
        cast_column("t", "obsid", days, pa.int64())


def test_numbers_as_they_are_typeset(write: Write) -> None:
    text = ROW.format(1, 57000, "10.5", "\N{MINUS SIGN}3.25", "-9999.000", 4).replace("HD1", "-9999.00")
    table = read_catalog(write(text), "lrs")
    assert table.select(["dec", "snr", "planid"]).to_pylist() == [{"dec": -3.25, "snr": None, "planid": None}]
    mixed = ROW.format(1, 57000, "-9999.000", 2, 3, 4) + "2,HD1,1,2,57000, ,2,3,4\n"
    assert read_catalog(write(mixed), "lrs")["ra"].null_count == 2


@pytest.mark.parametrize("number", ['"100,001"', "100 001", "100'001"])
def test_thousands_are_named_with_the_remedy(write: Write, number: str) -> None:
    with pytest.raises(InputError, match=r"row 1, column obsid: .*write it without separators of thousands"):
        read_catalog(write(ROW.format(number, 57000, 1, 2, 3, 4)), "lrs")


@pytest.mark.parametrize("nothing", ["0", "-1", "-9999"])
def test_stars_without_a_source_of_gaia_are_not_one_star(write: Write, nothing: str) -> None:
    table = read_catalog(write(ROW.format(1, 57000, 1, 2, 3, nothing)), "lrs")
    assert table["gaia_source_id"].to_pylist() == [None]


def test_columns_that_differ_in_case(write: Write) -> None:
    header, row, _ = ROW.format(1, 57000, 10, 2, 3, 4).split("\n")
    with pytest.raises(InputError, match="columns ra and RA have the same meaning; rename"):
        read_catalog(write(f"{header},RA\n{row},11\n"), "lrs")
    table = read_catalog(write(f"{header},B,b\n{row},14.5,-60\n"), "lrs")
    assert table["b"].to_pylist() == [-60]


def test_labels_are_read_whatever_the_case_of_their_columns(write: Write) -> None:
    path = write("Spectrum_ID,LABEL\nspec-1,emission\n")
    assert load_labels(path, search="emission")["spectrum_id"].to_pylist() == ["spec-1"]


@pytest.mark.parametrize("label", [pa.array([1, 0]), pa.array([1.0, 0.0]), pa.array([" 1", "0.0"])])
def test_label_codes_may_be_numbers_in_any_format(tmp_path: Path, label: pa.Array) -> None:
    pq.write_table(pa.table({"ID": ["uc1", "uc2"], "Label": label}), tmp_path / "t.parquet")
    by_text = tmp_path / "t.csv"
    by_text.write_text("id,label\nuc1,1\nuc2,0\n")
    assert read_label_codes(tmp_path / "t.parquet") == read_label_codes(by_text)


def test_a_plate_is_a_whole_number_or_a_name(write: Write) -> None:
    labels = "plate,mjd,fiberid,label\n266.0,51602,1,BHB\n{},51602,2,BHB\n"
    assert read_labelled(write(labels.format("GAC_061N46.5")))["planid"].to_pylist() == [
        "266",
        "GAC_061N46.5",
    ]
    with pytest.raises(
        InputError, match=r"row 2, column plate: '266\.5' is neither a name nor a whole number"
    ):
        read_labelled(write(labels.format("266.5")))
    with pytest.raises(InputError, match=r"row 1, column planid: '2\.66E\+02' is neither"):
        read_catalog(write(ROW.format(1, 57000, 1, 2, 3, 4).replace("HD1", "2.66E+02")), "lrs")


def test_columns_can_be_asked_for_by_the_names_that_the_catalogue_has(write: Write) -> None:
    path = write(ROW.format(1, 57000, 1, 2, 3, 4).replace("snr", "snrg"))
    table = read_catalog(path, "lrs", columns=["snrg"])
    assert table.select(["snr", "snrg"]).to_pylist() == [{"snr": 3.0, "snrg": 3}]
    assert "snrg" not in read_catalog(path, "lrs", columns=[]).column_names
