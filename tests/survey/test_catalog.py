"""Catalogues in every format and release, and the index of a folder."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from astropy.table import Table
from fixtures.survey_files import mrs_name, mrs_tables, write_mrs

from starsift.errors import InputError
from starsift.io.tables import read_table
from starsift.survey.catalog import INDEX_COLUMNS, read_catalog
from starsift.survey.index import index_folder

COLUMNS: dict[str, Any] = {
    "obsid": [700001001, 700001002, 700001003],
    "planId": ["0012", "HD1", "HD1"],
    "spid": [1, 2, 3],
    "fiberid": [1, 2, 250],
    "lmjd": [58625, 58625, 58626],
    "lmjm": [84420171, 84420171, -9999],
    "band": ["B", "R", "B"],
    "coadd": [0, 0, 1],
    "fibermask": [0, 1, 0],
    "bad_lb": [0, 0, 1],
    "snr": [10.5, -9999.0, 7.25],
    "RA": [10.0, 20.0, 30.0],
    "dec": [-5.0, 0.0, 5.0],
    "gaia_source_id": [420512590034739840, -9999, 2880989157927180800],
    "note": ["a", "", "c"],
}
EXPECTED = {
    "planid": ["0012", "HD1", "HD1"],
    "lmjm": [84420171, 84420171, None],
    "bad_b": [0, 0, 1],
    "snr": [10.5, None, 7.25],
    "ra": [10.0, 20.0, 30.0],
    "gaia_source_id": [420512590034739840, None, 2880989157927180800],
    "note": ["a", None, "c"],
}


def write(path: Path, columns: dict[str, Any] = COLUMNS, delimiter: str = ",") -> Path:
    table = Table(columns)
    if "RA" in columns:
        table["RA"].unit = "deg"
    if path.name.endswith(".parquet"):
        pq.write_table(pa.table(columns), path)
    elif ".fits" in path.name:
        table.write(path)
    elif path.suffix == ".ecsv":
        table.write(path, format="ascii.ecsv")
    else:
        table.write(path, format="ascii.csv", delimiter=delimiter)
    return path


@pytest.mark.parametrize("ending", ["fits", "fits.gz", "csv", "ecsv", "parquet"])
def test_every_format_gives_the_same_table(tmp_path: Path, ending: str) -> None:
    table = read_catalog(write(tmp_path / f"catalog.{ending}"))
    for name, values in EXPECTED.items():
        assert table[name].to_pylist() == values, name
    assert table.schema.field("spid").type == pa.int8()
    assert table.schema.field("snr").type == pa.float32()
    assert table.schema.field("ra").metadata[b"unit"] == b"deg"


def test_csv_with_bars(tmp_path: Path) -> None:
    table = read_catalog(write(tmp_path / "catalog.csv", delimiter="|"))
    assert table["planid"].to_pylist() == EXPECTED["planid"]


def test_columns_can_be_left_out(tmp_path: Path) -> None:
    for ending in ("fits", "csv", "ecsv", "parquet"):
        path = write(tmp_path / f"catalog.{ending}")
        assert "note" not in read_catalog(path, columns=[]).column_names
        assert "note" in read_catalog(path, columns=["NOTE"]).column_names


def test_units_of_the_catalogue_win(tmp_path: Path) -> None:
    table = Table(COLUMNS)
    table["snr"].unit = "pix-1"
    table.write(tmp_path / "c.fits")
    assert read_catalog(tmp_path / "c.fits").schema.field("snr").metadata[b"unit"] == b"pix-1"


def test_one_error_lists_all_missing_columns(tmp_path: Path) -> None:
    fewer = {k: v for k, v in COLUMNS.items() if k not in ("spid", "planId", "coadd")}
    with pytest.raises(InputError, match=r"c\.csv.*planid or plan_id.*; spid or sp_id; coadd") as caught:
        read_catalog(write(tmp_path / "c.csv", fewer))
    assert "It has: obsid, fiberid" in str(caught.value)


def test_a_value_of_the_wrong_type_names_the_column(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"row 2, column fiberid: 'seven' is not a whole number"):
        read_catalog(write(tmp_path / "c.csv", COLUMNS | {"fiberid": ["1", "seven", "3"]}))
    with pytest.raises(InputError, match="row 3, column spid: 999 is not a whole number"):
        read_catalog(write(tmp_path / "c.fits", COLUMNS | {"spid": [1, 2, 999]}))


@pytest.mark.parametrize("name", ["t.fits", "t.FITS.gz", "t.csv", "t.ecsv", "t.parquet"])
def test_any_table_is_read_as_it_is(tmp_path: Path, name: str) -> None:
    """Not as a catalogue: no names of ours, no column that must be there, -9999 stays."""
    columns = {"Source": [2**60 + 1, 5, -9999], "Plx": [1.5, -9999.0, 0.25], "Note": ["a", "bc", "d"]}
    path = write(tmp_path / name.lower(), columns)
    path = path.rename(tmp_path / name)
    assert read_table(path).to_pydict() == columns
    assert read_table(path, {"source", "note", "more"}).column_names == ["Source", "Note"]


def test_what_is_missing_in_any_table_is_null(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("source,plx,name\n1,,x\n2,NaN,\n3,0.5,z\n")
    expected = {"source": [1, 2, 3], "plx": [None, None, 0.5], "name": ["x", None, "z"]}
    assert read_table(tmp_path / "t.csv").to_pydict() == expected
    pq.write_table(pa.table(expected), tmp_path / "t.parquet")
    assert read_table(tmp_path / "t.parquet").to_pydict() == expected
    table = Table({"source": [1, 2, 3], "plx": [0.5, 1.5, 2.5]}, masked=True)
    table["source"].mask = [False, True, False]
    for name in ("t.fits", "t.ecsv"):
        table.write(tmp_path / name)
        assert read_table(tmp_path / name)["source"].to_pylist() == [1, None, 3]


def test_what_is_not_a_catalogue(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.csv: no such file"):
        read_catalog(tmp_path / "none.csv")
    for ending in ("fits", "csv", "ecsv", "parquet"):
        path = tmp_path / f"broken.{ending}"
        path.write_bytes(b"obsid,planid\n1,2,3\n" if ending == "csv" else b"nothing of the kind")
        with pytest.raises(InputError, match=path.name):
            read_catalog(path)
    fits.PrimaryHDU(np.zeros((2, 2))).writeto(tmp_path / "image.fits")
    with pytest.raises(InputError, match="no table"):
        read_catalog(tmp_path / "image.fits")
    with pytest.raises(InputError, match="expected one of: mrs, lrs, sdss"):
        read_catalog(tmp_path / "image.fits", "hrs")


def test_sdss_and_lrs_catalogues(tmp_path: Path) -> None:
    sdss = {"PLATE": [618, 7454], "MJD": [52049, 56751], "FIBERID": [372, 770]}
    sdss |= {"PLUG_RA": [1.0, 2.0], "PLUG_DEC": [0.0, 1.0]}
    table = read_catalog(write(tmp_path / "s.fits", sdss), "sdss")
    assert table["planid"].to_pylist() == ["618", "7454"]
    assert table["lmjd"].to_pylist() == [52049, 56751]
    assert table["obsid"].to_pylist() == [618520490372, 7454567510770]
    lrs = {k: v for k, v in COLUMNS.items() if k not in ("lmjm", "band", "coadd", "snr")} | {
        "snrg": [1.0, 2.0, 3.0]
    }
    table = read_catalog(write(tmp_path / "l.csv", lrs), "lamost-lrs")
    assert table["band"].to_pylist() == ["", "", ""]
    assert table["snr"].to_pylist() == [1.0, 2.0, 3.0]


def mixed_folder(tmp_path: Path) -> Path:
    root = tmp_path / "files"
    write_mrs(root / "b" / mrs_name(fiberid=2), mrs_tables(), fiberid=2)
    write_mrs(root / "a" / mrs_name(fiberid=1), mrs_tables(), fiberid=1)
    cut = root / "a" / mrs_name(planid="GAC_1-x", fiberid=9)
    cut.write_bytes((root / "a" / mrs_name(fiberid=1)).read_bytes()[:3000])
    (root / "odd.fits").write_bytes(b"hello")
    (root / "notes.txt").write_text("not a spectrum")
    fits.HDUList([fits.PrimaryHDU(np.zeros((3, 3)))]).writeto(root / "image.fits")
    return root


def test_index_of_a_mixed_folder(tmp_path: Path) -> None:
    root = mixed_folder(tmp_path)
    table = index_folder(root)
    assert table.schema.equals(INDEX_COLUMNS)
    rows = table.to_pylist()
    assert [r["path"] for r in rows] == sorted(r["path"] for r in rows)
    assert len(rows) == 2 * 6 + 3
    blue = [r for r in rows if r["band"] == "B" and r["coadd"] == 0]
    assert [(r["fiberid"], r["lmjm"]) for r in blue] == [
        (1, 84420171),
        (1, 84420194),
        (2, 84420171),
        (2, 84420194),
    ]
    assert blue[0]["obsid"] == 700001001
    assert blue[0]["ra"] == pytest.approx(290.51)
    assert blue[0]["snr"] == pytest.approx(27.5)
    assert (blue[0]["survey"], blue[0]["planid"], blue[0]["fibermask"], blue[0]["bad_b"]) == (
        "mrs",
        "HD1",
        0,
        0,
    )
    status = {r["path"]: r["status"] for r in rows if r["status"] != "ok"}
    assert status == {
        f"a/{mrs_name(planid='GAC_1-x', fiberid=9)}": "truncated",
        "image.fits": "not_a_spectrum",
        "odd.fits": "not_fits",
    }
    cut = next(r for r in rows if r["status"] == "truncated")
    assert (cut["survey"], cut["planid"], cut["spid"], cut["fiberid"], cut["lmjd"]) == (
        "mrs",
        "GAC_1-x",
        1,
        9,
        58625,
    )
    assert cut["band"] is None
    assert str(tmp_path) not in cut["message"]
    assert index_folder(root).equals(table)


def test_index_serves_as_catalogue(tmp_path: Path) -> None:
    pq.write_table(index_folder(mixed_folder(tmp_path)), tmp_path / "index.parquet")
    mrs = read_catalog(tmp_path / "index.parquet", "mrs")
    assert mrs.num_rows == 15  # of no other survey, and those nobody can tell
    assert read_catalog(tmp_path / "index.parquet", "sdss").num_rows == 2


def test_empty_and_missing_folders(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no file in it"):
        index_folder(tmp_path)
    with pytest.raises(InputError, match="no such folder"):
        index_folder(tmp_path / "none")


def test_a_link_that_leads_back_is_followed_once(tmp_path: Path) -> None:
    write_mrs(tmp_path / mrs_name(), mrs_tables((84420171,)))
    (tmp_path / "loop").symlink_to(tmp_path)
    assert index_folder(tmp_path).num_rows == 4
