"""Catalogues in every format and release, and the index of a folder."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.table import Table
from fixtures.settings import PARTITION
from fixtures.survey_files import mrs_name, mrs_tables, real, write_mrs

from starsift.errors import InputError
from starsift.searches.mstars.catalog import read_sources
from starsift.survey.catalog import INDEX_COLUMNS, read_catalog
from starsift.survey.index import index_folder
from starsift.survey.partition import make_manifest

Write = Callable[..., Path]
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


def save(path: Path, columns: dict[str, Any] = COLUMNS) -> Path:
    table = Table(columns)
    if "RA" in columns:
        table["RA"].unit = "deg"
    if path.suffix == ".parquet":
        pq.write_table(pa.table(columns), path)
    else:
        table.write(path, format={".csv": "ascii.csv", ".ecsv": "ascii.ecsv"}.get(path.suffix, "fits"))
    return path


@pytest.mark.parametrize("ending", ["fits", "fits.gz", "csv", "ecsv", "parquet"])
def test_every_format_gives_the_same_table(tmp_path: Path, ending: str) -> None:
    table = read_catalog(save(tmp_path / f"catalog.{ending}"))
    for name, values in EXPECTED.items():
        assert table[name].to_pylist() == values, name
    assert table.schema.field("spid").type == pa.int8()
    assert table.schema.field("snr").type == pa.float32()
    assert table.schema.field("ra").metadata[b"unit"] == b"deg"


def test_columns_can_be_left_out_and_asked_for(tmp_path: Path, write: Write) -> None:
    for ending in ("fits", "csv", "ecsv", "parquet"):
        path = save(tmp_path / f"catalog.{ending}")
        assert "note" not in read_catalog(path, columns=[]).column_names
        assert "note" in read_catalog(path, columns=["NOTE"]).column_names
    table = read_catalog(write(row().replace("snr", "snrg")), "lrs", columns=["snrg"])
    assert table.select(["snr", "snrg"]).to_pylist() == [{"snr": 3.0, "snrg": 3}]


def test_units_of_the_catalogue_win(tmp_path: Path) -> None:
    table = Table(COLUMNS)
    table["snr"].unit = "pix-1"
    table.write(tmp_path / "c.fits")
    assert read_catalog(tmp_path / "c.fits").schema.field("snr").metadata[b"unit"] == b"pix-1"


def test_one_error_lists_all_missing_columns(tmp_path: Path) -> None:
    fewer = {k: v for k, v in COLUMNS.items() if k not in ("spid", "planId", "coadd")}
    with pytest.raises(InputError, match=r"c\.csv.*planid or plan_id.*; spid or sp_id; coadd") as caught:
        read_catalog(save(tmp_path / "c.csv", fewer))
    assert "It has: obsid, fiberid" in str(caught.value)


def test_what_is_not_a_catalogue(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.csv: no such file"):
        read_catalog(tmp_path / "none.csv")
    for ending in ("fits", "ecsv", "parquet"):
        (tmp_path / f"broken.{ending}").write_bytes(b"nothing of the kind")
        with pytest.raises(InputError, match=f"broken.{ending}"):
            read_catalog(tmp_path / f"broken.{ending}")
    fits.PrimaryHDU(np.zeros((2, 2))).writeto(tmp_path / "image.fits")
    with pytest.raises(InputError, match="no table"):
        read_catalog(tmp_path / "image.fits")
    with pytest.raises(InputError, match="expected one of: mrs, lrs, sdss"):
        read_catalog(tmp_path / "image.fits", "hrs")


def test_sdss_and_lrs_catalogues(tmp_path: Path) -> None:
    sdss = {"PLATE": [618, 7454], "MJD": [52049, 56751], "FIBERID": [372, 770]}
    sdss |= {"PLUG_RA": [1.0, 2.0], "PLUG_DEC": [0.0, 1.0]}
    table = read_catalog(save(tmp_path / "s.fits", sdss), "sdss")
    assert table["planid"].to_pylist() == ["618", "7454"]
    assert table["lmjd"].to_pylist() == [52049, 56751]
    assert table["obsid"].to_pylist() == [618520490372, 7454567510770]
    lrs = {k: v for k, v in COLUMNS.items() if k not in ("lmjm", "band", "coadd", "snr")}
    lrs |= {"snrg": [1.0, 2.0, 3.0]}
    table = read_catalog(save(tmp_path / "l.csv", lrs), "lamost-lrs")
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
    assert [(r["fiberid"], r["lmjm"]) for r in blue] == [(f, m) for f in (1, 2) for m in (84420171, 84420194)]
    expected = {"survey": "mrs", "planid": "HD1", "fibermask": 0, "bad_b": 0, "obsid": 700001001}
    assert blue[0].items() >= expected.items()
    assert (blue[0]["ra"], blue[0]["snr"]) == pytest.approx((290.51, 27.5))
    status = {r["path"]: r["status"] for r in rows if r["status"] != "ok"}
    assert status == {
        f"a/{mrs_name(planid='GAC_1-x', fiberid=9)}": "truncated",
        "image.fits": "not_a_spectrum",
        "odd.fits": "not_fits",
    }
    cut = next(r for r in rows if r["status"] == "truncated")
    expected = {"survey": "mrs", "planid": "GAC_1-x", "spid": 1, "fiberid": 9, "lmjd": 58625, "band": None}
    assert cut.items() >= expected.items()
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


# Catalogues of the surveys' sites


def test_gaia_ids() -> None:
    sources = read_sources(real("cases") / "gaia-bulk.csv.gz")
    assert sources is not None
    assert sources["gaia_source_id"].to_pylist() == [2125971226269667584, 2125971226269667712]
    for kind in ("lrs", "sdss"):
        with pytest.raises(InputError, match=r"row 1, column gaia_source_id: 2.12597E\+18 .*3 rows"):
            read_catalog(real("cases") / "gaia-ids-as-floats.csv", kind)
    with pytest.raises(InputError, match="has lost the last digits"):
        read_sources(real("cases") / "gaia-ids-as-floats.csv")


def test_sexagesimal() -> None:
    (row,) = read_catalog(real("cases") / "sexagesimal.csv", "sdss").to_pylist()
    expected = SkyCoord("09:49:17", "-00:00:24", unit=("hourangle", "deg"))
    assert (row["ra"], row["dec"]) == pytest.approx((expected.ra.deg, expected.dec.deg), abs=1e-9)


def test_no_coordinates() -> None:
    with pytest.raises(InputError, match=r"missing columns.*: ra or .*; dec or .*`catalog: null`"):
        read_catalog(real("cases") / "no-coordinates.csv", "lrs")


def test_sdss_tables() -> None:
    table = read_catalog(real("cases") / "plate-as-float.csv", "sdss")
    assert table["planid"].to_pylist() == ["266", "266"]
    assert table["obsid"].to_pylist() == [266516020031, 266516020032]
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
    assert manifest["file"][0].as_py() == "20111024/F5902/spec-55859-F5902_sp03-232.fits.gz"
    assert manifest["spectrum_id"][0].as_py() == "spec-55859-F5902_sp03-232"


def test_lamost_dr1_catalogue() -> None:
    table = read_catalog(real("lamost-dr1-catalogue.csv"), "lrs")
    assert first(table) == ["B6001", 5, 6, 55860]
    manifest = make_manifest(table, survey="lrs", **PARTITION)
    assert manifest["file"][0].as_py() == "spec-55860-B6001_sp05-006.fits"


# What catalogues hold in place of numbers


def row(**values: Any) -> str:
    """A catalogue of one star as text."""
    star = {"obsid": 1, "planid": "HD1", "spid": 1, "fiberid": 2, "lmjd": 57000, "ra": 1, "dec": 2, "snr": 3}
    values = star | {"source_id": 4} | values
    return f"{','.join(values)}\n{','.join(map(str, values.values()))}\n"


SDSS = "plate,mjd,fiberid,ra,dec,snr\n266,51602,31,1,1,1\n"


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        (row(lmjd="2014-12-09"), "lrs", "row 1, column lmjd: '2014-12-09' is not a whole number"),
        (row(planid="2.66E+02"), "lrs", r"row 1, column planid: '2\.66E\+02' is neither"),
        (row(spid=999), "lrs", "row 1, column spid: 999 is not a whole number"),
        (row(RA=11), "lrs", "columns ra and RA have the same meaning; rename"),
        *(
            (row(obsid=number), "lrs", r"row 1, column obsid: .*write it without separators of thousands")
            for number in ('"100,001"', "100 001", "100'001")
        ),
        (SDSS + '1,2,3,4,5,"147,3"\n', "sdss", r"row 2, column snr: '147,3' is not .* decimal points"),
        (SDSS + "266,51602,31.5,1,1,1\n", "sdss", r"row 2, column fiberid: 31\.5 is not a whole number"),
        (SDSS + "266,51602,seven,1,1,1\n", "sdss", r"row 2, column fiberid: 'seven' is not a whole number"),
        (SDSS + "HD1,51602,31,1,1,1\n", "sdss", "row 2, .*: 'HD1' is not a plate number"),
        (
            SDSS + "1,2,3,0.5,147.3,1\n",
            "sdss",
            r"row 2, column dec: 147\.3 is not between -90 and 90 degrees",
        ),
    ],
)
def test_values_that_are_none_are_named(write: Write, text: str, kind: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_catalog(write(text), kind)


def test_numbers_as_they_are_typeset(write: Write) -> None:
    text = row(ra="10.5", dec="\N{MINUS SIGN}3.25", snr="-9999.000", planid="-9999.00")
    table = read_catalog(write(text), "lrs")
    assert table.select(["dec", "snr", "planid"]).to_pylist() == [{"dec": -3.25, "snr": None, "planid": None}]
    mixed = row(ra="-9999.000") + "2,HD1,1,2,57000, ,2,3,4\n"
    assert read_catalog(write(mixed), "lrs")["ra"].null_count == 2


@pytest.mark.parametrize("nothing", ["0", "-1", "-9999"])
def test_stars_without_a_source_of_gaia_are_not_one_star(write: Write, nothing: str) -> None:
    assert read_catalog(write(row(source_id=nothing)), "lrs")["gaia_source_id"].to_pylist() == [None]


def test_columns_that_differ_in_case(write: Write) -> None:
    assert read_catalog(write(row(B=14.5, b=-60)), "lrs")["b"].to_pylist() == [-60]


def test_observations_without_number(write: Write) -> None:
    """The first releases had none, or one that had overflowed."""
    head = "planid,spid,fiberid,lmjd,ra,dec"
    assert read_catalog(write(f"{head}\nB1,1,2,55860,1,1\n"), "lrs")["obsid"].to_pylist() == [None]
    path = write(f"{head},obsid\nB1,1,2,55860,1,1,-28762\nB1,1,3,55860,1,1,7\n")
    assert read_catalog(path, "lrs")["obsid"].to_pylist() == [None, 7]
