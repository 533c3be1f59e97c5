"""Delimited text, as programs and spreadsheets write it."""

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from starsift.errors import InputError
from starsift.io.columns import cast_column
from starsift.io.tables import read_table

Write = Callable[..., Path]


def columns(path: Path, *names: str) -> list[list]:
    table = read_table(path)
    return [table[name].to_pylist() for name in names]


def test_lines_of_a_macintosh_and_missing_values(write: Write) -> None:
    assert columns(write("\ufeffobsid,ra\r1,10.5\r2,11.5\r"), "obsid", "ra") == [[1, 2], [10.5, 11.5]]
    path = write("source,plx,name\n1,,x\n2,NaN,\n3,0.5,z\n")
    assert columns(path, "plx", "name") == [[None, None, 0.5], ["x", None, "z"]]


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


def test_headers_without_rows(write: Write) -> None:
    table = read_table(write("spectrum_id,label\n"), text=["label"])
    assert (table.num_rows, table.schema.field("label").type) == (0, pa.string())


def test_identifiers_with_all_digits_are_kept(write: Write) -> None:
    big = 2**63 + 11  # as SDSS numbers spectra
    path = write(f"specobjid,obsid,fluxid\n{big},101001.0,1.5\n{big + 1},1.01002E+05,2.5\n")
    table = read_table(path)
    assert table["specobjid"].to_pylist() == [str(big), str(big + 1)]
    assert cast_column(path, "obsid", table["obsid"], pa.int64()).to_pylist() == [101001, 101002]
    assert table["fluxid"].to_pylist() == [1.5, 2.5]


@pytest.mark.parametrize("text", ["2.12597E+18", "2.1259712262696676e+18", "1E+05", "4.4712E+8"])
@pytest.mark.parametrize("name", ["gaia_source_id", "obsid", "objID", "Source"])
def test_identifiers_that_lost_digits_are_refused(write: Write, name: str, text: str) -> None:
    with pytest.raises(InputError, match=rf"row 2, column {name}: .* has lost the last digits"):
        read_table(write(f"{name},ra\n12,1\n{text},2\n,3\n"))


@pytest.mark.parametrize(
    ("ra", "dec"), [("09:49:17.5", "-00:30:24"), ("9h49m17.5s", "-0d30m24s"), ("09 49 17.5", "-00 30 24")]
)
def test_spellings_of_angles(write: Write, ra: str, dec: str) -> None:
    table = read_table(write(f"RAJ2000,DEJ2000,ra_error\n{ra},{dec},1\n,,2\n"))
    assert table["RAJ2000"].to_pylist() == pytest.approx([147.3229166667, None])
    assert table["DEJ2000"].to_pylist() == pytest.approx([-0.5066666667, None])
    with pytest.raises(InputError, match="row 2, column ra: '09:99:00' is not an angle"):
        read_table(write(f"ra,dec\n{ra},1\n09:99:00,1\n"))
