"""What a folder holds: other kinds of files, copies, endings, damage."""

import bz2
import gzip
import lzma
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from astropy.table import Table
from fixtures.settings import PARTITION
from fixtures.survey_files import ARRAYS, ROWS, assert_same_arrays, mrs_name, mrs_tables, real, write_mrs

from starsift.errors import SettingsError, SpectrumError
from starsift.searches.progress import describe_results
from starsift.spectra.packing import pack_bundle
from starsift.survey.catalog import read_catalog
from starsift.survey.fitsfile import open_fits
from starsift.survey.index import index_folder
from starsift.survey.names import file_stem, is_fits_name
from starsift.survey.partition import make_manifest, write_manifest
from starsift.survey.readers.registry import read_exposures, read_spectrum
from starsift.survey.selection import apply_cuts

LAMOST = {"TELESCOP": "LAMOST", "PLANID": "HD1", "SPID": 2, "FIBERID": 3, "LMJD": 58000}
GOOD_FIBERS = [{"column": "fibermask", "op": "==", "value": 0}]


def lrs_hdu(pixels: int = 3900, **cards: Any) -> fits.PrimaryHDU:
    image = np.ones((5, pixels), np.float32)
    image[0] += np.random.default_rng(1).normal(0, 0.1, pixels)
    image[2] = 10 ** (3.5682 + 1e-4 * np.arange(pixels))
    image[3:] = 0
    hdu = fits.PrimaryHDU(image)
    wavelengths = {"COEFF0": 3.5682, "COEFF1": 1e-4, "VACUUM": True}
    hdu.header.update({k: v for k, v in (LAMOST | wavelengths | cards).items() if v is not None})
    return hdu


def lrs_name(planid: str = "HD1", fiberid: int = 3) -> str:
    return f"spec-58000-{planid}_sp02-{fiberid:03d}.fits"


def image(*shape: int, **cards: Any) -> fits.HDUList:
    hdu = fits.PrimaryHDU(np.ones(shape, np.float32))
    hdu.header.update(cards)
    return fits.HDUList([hdu])


def table(*names: str, rows: int = 50, name: str = "", **cards: Any) -> fits.HDUList:
    columns = Table({n: np.arange(1.0, rows + 1) for n in names})
    primary = fits.PrimaryHDU()
    primary.header.update(cards)
    return fits.HDUList([primary, fits.BinTableHDU(columns, name=name)])


def desi() -> fits.HDUList:
    planes = [fits.ImageHDU(np.ones((500, 2751), np.float32), name=n) for n in ("B_FLUX", "B_IVAR")]
    fibers = table("TARGETID", "FIBER", name="FIBERMAP", TELESCOP="KPNO 4.0-m telescope")
    return fits.HDUList([*fibers, *planes])


COADD = table("FLUX", "LOGLAM", "IVAR", "AND_MASK", name="COADD", FIELDID=15143)
EMPTY = fits.HDUList([fits.PrimaryHDU(header=fits.Header(LAMOST | {"EXTNAME": "Information"}))])
OTHERS: dict[str, tuple[fits.HDUList, str, str]] = {
    "picture": (image(64, 64), "not_a_spectrum", "an image of 64 x 64 pixels"),
    "sdss frame": (image(1489, 2048, TELESCOP="2.5m", CRVAL1=10.0), "not_a_spectrum", "2.5m"),
    "detector": (image(4136, 4096, TELESCOP="LAMOST", OBS_TYPE="FLAT"), "not_a_spectrum", "lamp"),
    "lamp": (fits.HDUList([lrs_hdu(OBS_TYPE="ARC")]), "not_a_spectrum", "OBS_TYPE is ARC"),
    "cube": (image(7, 34, 34), "not_a_spectrum", "a cube of 7 x 34 x 34"),
    "stars": (table("ra", "dec", "gmag"), "not_a_spectrum", r"a table of 50 rows \(ra, dec, gmag\).*catalog"),
    "nothing": (fits.HDUList([fits.PrimaryHDU()]), "not_a_spectrum", "headers without data"),
    "e2ds": (image(72, 4096, INSTRUME="HARPS"), "unsupported_spectrum", "72 x 4096 pixels, INSTRUME HARPS"),
    "s1d": (image(3000, CRVAL1=3781.0, CDELT1=0.01, INSTRUME="HARPS"), "unsupported_spectrum", "one-dim"),
    "phase 3": (table("WAVE", "FLUX", "ERR", INSTRUME="UVES"), "unsupported_spectrum", "wave, flux.*UVES"),
    "five rows": (image(5, 3900, COEFF0=3.58, COEFF1=1e-4), "unsupported_spectrum", r"LAMOST's image \(5"),
    "plate": (image(640, 3850, PLATEID=266, MJD=51602), "unsupported_spectrum", "640 x 3850"),
    "desi": (desi(), "unsupported_spectrum", "DESI"),
    "sdss-v": (COADD, "unsupported_spectrum", "loglam"),
    "empty mrs": (EMPTY, "missing_extension", "MRS file without a spectrum"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_files_are_named_for_what_they_are(tmp_path: Path, name: str) -> None:
    hdus, status, message = OTHERS[name]
    # Whatever they are called.
    path = tmp_path / lrs_name()
    hdus.writeto(path)
    [row] = index_folder(tmp_path).to_pylist()
    assert row["status"] == status
    assert row["message"].startswith(path.name)
    assert re.search(message, row["message"]), row["message"]
    if status != "missing_extension":
        assert row["survey"] is None


def test_other_files_are_counted_and_left_out(tmp_path: Path) -> None:
    lrs_hdu().writeto(tmp_path / lrs_name())
    for name in ("picture", "stars", "s1d"):
        OTHERS[name][0].writeto(tmp_path / f"{name}.fits")
    (tmp_path / "broken.fits").write_bytes(b"?")
    kept, selection = apply_cuts(index_folder(tmp_path), GOOD_FIBERS)
    assert [tuple(line) for line in selection] == [
        ("files of other kinds", 5, 3, 2),
        ("fibermask == 0 (1 without this flag kept)", 2, 0, 2),
        ("duplicated rows", 2, 0, 2),
    ]
    assert kept["path"].to_pylist() == ["broken.fits", lrs_name()]


@pytest.mark.parametrize("change", [{"TELESCOP": None}, {"PLANID": None, "SPID": None}])
def test_lamost_is_known_by_its_telescope_or_its_identity(tmp_path: Path, change: dict[str, None]) -> None:
    lrs_hdu(**change).writeto(tmp_path / "some.fits")
    assert index_folder(tmp_path)["survey"].to_pylist() == ["lrs"]


def test_readers_refuse_another_survey(tmp_path: Path) -> None:
    lrs_hdu(TELESCOP="SDSS 2.5-M", PLATEID=266, MJD=51602).writeto(tmp_path / "sdss.fits")
    lrs_hdu().writeto(tmp_path / "lrs.fits")
    write_mrs(tmp_path / "mrs.fits", mrs_tables())
    for name, kind, message in (
        ("sdss", "lrs", r"TELESCOP is SDSS 2\.5-M; not LRS"),
        ("mrs", "lrs", "not LRS"),
        ("lrs", "sdss", "not an SDSS spec file"),
        ("mrs", "sdss", "not an SDSS spec file"),
    ):
        with pytest.raises(SpectrumError, match=message) as caught:
            read_spectrum(tmp_path / f"{name}.fits", kind)
        assert caught.value.status == ("other_survey" if name == "sdss" else "missing_extension")


@pytest.mark.parametrize("card", ["FIBERMAS", "FIB_MASK"])
@pytest.mark.parametrize("value", [0, 64, -1, "128"])
def test_the_fibre_flag_under_each_of_its_names(tmp_path: Path, card: str, value: Any) -> None:
    lrs_hdu(**{card: value}).writeto(tmp_path / lrs_name())
    assert index_folder(tmp_path)["fibermask"].to_pylist() == [int(value)]
    if value == 0:
        assert apply_cuts(index_folder(tmp_path), GOOD_FIBERS)[0].num_rows == 1
    else:
        with pytest.raises(SettingsError, match="fibermask == 0: 1 -> 0"):
            apply_cuts(index_folder(tmp_path), GOOD_FIBERS)


def test_a_missing_flag_is_nothing_known_against_a_spectrum(tmp_path: Path) -> None:
    lrs_hdu().writeto(tmp_path / lrs_name())
    lrs_hdu(FIBERMAS=64, FIBERID=4).writeto(tmp_path / lrs_name(fiberid=4))
    table = index_folder(tmp_path)
    assert table["fibermask"].to_pylist() == [None, 64]
    kept, selection = apply_cuts(table, GOOD_FIBERS)
    assert kept["fiberid"].to_pylist() == [3]
    assert selection[0] == ("fibermask == 0 (1 without this flag kept)", 2, 1, 1)
    # In a catalogue a missing value is one, and so it is in columns that are no flags.
    with pytest.raises(SettingsError, match="no spectrum is left"):
        apply_cuts(table.drop_columns(["status"]).slice(0, 1), GOOD_FIBERS)
    with pytest.raises(SettingsError, match="no spectrum is left"):
        apply_cuts(table, [{"column": "snr", "op": ">", "value": 0}])


@pytest.mark.parametrize(
    ("obsid", "expected"), [(None, None), (-28762, None), (5190, None), (203025, 203025)]
)
def test_an_overflowed_identifier_is_none(tmp_path: Path, obsid: int | None, expected: int | None) -> None:
    lrs_hdu(OBSID=obsid).writeto(tmp_path / lrs_name())
    assert index_folder(tmp_path)["obsid"].to_pylist() == [expected]


PACKED: dict[str, Callable[[bytes], bytes]] = {
    ".fits": bytes,
    ".fit": bytes,
    ".FTS": bytes,
    ".fits.gz": gzip.compress,
    ".fit.gz": gzip.compress,
    ".fits.bz2": bz2.compress,
    ".fits.xz": lzma.compress,
}
NAMES = [*PACKED, ".fits.fz"]


def pack(source: Path, folder: Path, ending: str) -> Path:
    """A copy of a file as a survey site may deliver it."""
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / (file_stem(str(source)) + ending)
    if ending.endswith(".fz"):
        with fits.open(source) as hdus:
            units: list[Any] = [fits.PrimaryHDU()]
            if hdus[0].data is None:
                units[0].header.update(hdus[0].header)
            else:
                # As fpack: an image of the primary unit goes to an extension, without loss.
                header = hdus[0].header
                units.append(fits.CompImageHDU(hdus[0].data, header, None, "GZIP_2", quantize_level=0))
            fits.HDUList([*units, *hdus[1:]]).writeto(target)
    else:
        target.write_bytes(PACKED[ending](source.read_bytes()))
    return target


@pytest.mark.parametrize("ending", NAMES)
def test_every_ending_and_compression(tmp_path: Path, ending: str) -> None:
    sources = tmp_path / "sources"
    sources.mkdir()
    lrs_hdu(OBSID=203025).writeto(sources / lrs_name())
    write_mrs(sources / mrs_name().removesuffix(".gz"), mrs_tables(layout=ROWS))
    old = image(5, 3800, PLATEID=266, MJD=51602, FIBERID=31, COEFF0=3.58, COEFF1=1e-4, RAOBJ=1.5)
    old[0].data[3, 10:] = 0
    old.writeto(sources / "spSpec-51602-0266-031.fits")
    table("spectral", "flux", rows=1900).writeto(sources / "uc1.fits")
    files = {p.name: pack(p, tmp_path / "files", ending) for p in sorted(sources.iterdir())}
    index, plain = index_folder(tmp_path / "files"), index_folder(sources)
    assert index.drop_columns(["path", "message"]).equals(plain.drop_columns(["path", "message"]))
    stems, expected = ([file_stem(path) for path in one["path"].to_pylist()] for one in (index, plain))
    assert stems == expected
    for name, path in files.items():
        kind = {"spec": "lrs", "spSp": "sdss", "uc1.": "ondrejov"}.get(name[:4], "mrs")
        for fast in (True, False):
            read = read_exposures(path, kind, fast=fast)
            for one, other in zip(read, read_exposures(sources / name, kind), strict=True):
                assert_same_arrays(one, other)
    # And through the manifest.
    index = index.filter(pa.compute.field("survey") == "lrs")
    assert packed(tmp_path, index) == ([file_stem(lrs_name())], {"ok": 1})


def packed(folder: Path, index: pa.Table) -> tuple[list[str], dict[str, int]]:
    """The spectra of a manifest of `files`, and what was read of them."""
    manifest = make_manifest(apply_cuts(index, [])[0], survey="lrs", root=folder / "files", **PARTITION)
    pq.write_table(manifest, folder / "m.parquet")
    counts = pack_bundle(folder / "m.parquet", folder / "files", "lrs", folder / "b.arrow")
    return sorted(manifest["spectrum_id"].to_pylist()), counts


def test_names() -> None:
    for ending in (*NAMES, ".fits.Z", ".FITS.GZ", ".fit.zip", ".fts.bz2"):
        assert is_fits_name(f"spec-1.5{ending}")
        assert file_stem(f"a.fits/spec-1.5{ending}") == "spec-1.5"
    for name in ("notes.txt", "fits", "a.fits.txt", "a.fitsx", "a.gz", "catalog.csv.gz", "a.fits.part"):
        assert not is_fits_name(name)


def test_real_files_compressed_with_loss_are_read(tmp_path: Path) -> None:
    """RICE, as fpack does by default: fluxes to a fraction of their noise."""
    source = next(iter(sorted(real("lamost-lrs-dr7").glob("*sp03-008.fits"))))
    for folder in ("plain", "packed"):
        (tmp_path / folder).mkdir()
    shutil.copy(source, tmp_path / "plain")
    path = tmp_path / "packed" / f"{source.name}.fz"
    with fits.open(source) as hdus:
        packed = fits.CompImageHDU(hdus[0].data, hdus[0].header, compression_type="RICE_1")
        fits.HDUList([fits.PrimaryHDU(), packed]).writeto(path)
    index, plain = (index_folder(tmp_path / name).drop_columns(["path"]) for name in ("packed", "plain"))
    assert index.equals(plain)
    one, other = read_spectrum(path, "lrs"), read_spectrum(source, "lrs")
    assert len(one.flux) == len(other.flux)
    good = other.ivar > 0
    assert np.median(np.abs(one.flux - other.flux)[good] * np.sqrt(other.ivar[good])) < 0.5


@pytest.mark.parametrize("ending", [".fits.gz", ".fits.bz2", ".fits.xz"])
@pytest.mark.parametrize("damage", ["cut", "hole"])
def test_damaged_compression_is_a_status(tmp_path: Path, ending: str, damage: str) -> None:
    lrs_hdu().writeto(tmp_path / "plain")
    whole = PACKED[ending]((tmp_path / "plain").read_bytes())
    middle = len(whole) // 2
    path = tmp_path / f"x{ending}"
    path.write_bytes(whole[:middle] if damage == "cut" else whole[:middle] + bytes(40) + whole[middle + 40 :])
    with pytest.raises(SpectrumError, match=path.name) as caught:
        open_fits(path)
    assert caught.value.status == ("truncated" if damage == "cut" else "corrupt")
    assert index_folder(tmp_path)["status"].to_pylist() == [caught.value.status]


def test_what_cannot_be_unpacked_says_so(tmp_path: Path) -> None:
    (tmp_path / "x.fits.Z").write_bytes(b"\x1f\x9d\x90" + bytes(1000))
    [row] = index_folder(tmp_path).to_pylist()
    assert row["status"] in ("unreadable", "not_fits")
    assert row["message"].startswith("x.fits.Z")


def test_damaged_headers_never_raise_anything_else(tmp_path: Path) -> None:
    """One bad file is one row: random damage to headers, then every reader and the index."""
    sources = [tmp_path / "a.fits", tmp_path / "b.fits", tmp_path / "c.fits"]
    lrs_hdu(300).writeto(sources[0])
    write_mrs(sources[1], mrs_tables((84420171,), ARRAYS, pixel=50))
    image(5, 300, PLATEID=266, MJD=51602, FIBERID=31, COEFF0=3.58, COEFF1=1e-4).writeto(sources[2])
    rng = np.random.default_rng(7)
    path = tmp_path / "files" / "x.fits"
    path.parent.mkdir()
    statuses = set()
    for _ in range(150):
        data = bytearray(sources[int(rng.integers(3))].read_bytes())
        for at in rng.integers(0, 4000, 4):
            data[at : at + 8] = rng.choice([b" " * 8, b"99999999", b"'abc'   ", b"-5      ", bytes(8)])
        path.write_bytes(data)
        statuses |= set(index_folder(path.parent)["status"].to_pylist())
        for kind in ("lrs", "mrs", "sdss", "ondrejov"):
            try:
                read_exposures(path, kind)
            except SpectrumError as error:
                statuses.add(error.status)
    assert {"ok", "not_fits"} <= statuses


def copies(tmp_path: Path, **cards: Any) -> Path:
    root = tmp_path / "files"
    (root / "again").mkdir(parents=True)
    lrs_hdu(FIBERMAS=0, **cards).writeto(root / lrs_name())
    return root


@pytest.mark.parametrize(
    "name",
    [
        lrs_name().replace(".fits", " (1).fits"),
        f"again/{lrs_name()}",
        f"{lrs_name()}.gz",
        f"{lrs_name()}.bz2",
        "star.fits",
    ],
)
def test_copies_are_named(tmp_path: Path, name: str) -> None:
    root = copies(tmp_path)
    data = (root / lrs_name()).read_bytes()
    (root / name).write_bytes(PACKED.get(f".fits{Path(name).suffix}", bytes)(data))
    index = index_folder(root)
    rows = {row["path"]: (row["status"], row["message"]) for row in index.to_pylist()}
    message = f"{name}: a copy of {lrs_name()} (the same bytes), which is kept"
    assert rows == {lrs_name(): ("ok", None), name: ("duplicate", message)}
    kept, selection = apply_cuts(index, GOOD_FIBERS)
    assert selection[-1] == ("duplicated rows", 2, 1, 1)
    assert make_manifest(kept, survey="lrs", root=root, **PARTITION)["file"].to_pylist() == [lrs_name()]


def test_of_two_reductions_the_newer_release_is_kept(tmp_path: Path) -> None:
    root = copies(tmp_path)
    newer = lrs_hdu(DATA_V="LAMOST DR10", FIB_MASK=0, LMJMLIST="83520010-83520040")
    newer.writeto(root / "again" / lrs_name())
    lrs_hdu(DATA_V="LAMOST DR9", FIB_MASK=0, LMJMLIST="83520010").writeto(root / "z.fits")
    rows = index_folder(root).to_pylist()
    assert [(row["path"], row["status"]) for row in rows] == [
        (f"again/{lrs_name()}", "ok"),
        (lrs_name(), "duplicate"),
        ("z.fits", "duplicate"),
    ]
    assert f"again/{lrs_name()} (the same observation, in other bytes)" in rows[1]["message"]


@pytest.mark.parametrize(
    ("card", "value"),
    [
        ("LMJD", 58001),
        ("PLANID", "HD1V2"),
        ("PLANID", "HD1_V2"),
        ("SPID", 3),
        ("FIBERID", 4),
        ("FIBERID", "4"),
        ("LMJMLIST", "83521000-83521030"),
    ],
)
def test_other_observations_are_no_copies(tmp_path: Path, card: str, value: Any) -> None:
    """Not even where their files have one name."""
    root = copies(tmp_path, LMJMLIST="83520010-83520040")
    lrs_hdu(**({"LMJMLIST": "83520010-83520040"} | {card: value})).writeto(root / "again" / lrs_name())
    index = index_folder(root)
    assert index["status"].to_pylist() == ["ok", "ok"]
    assert apply_cuts(index, [])[1][-1] == ("duplicated rows", 2, 0, 2)
    stem = file_stem(lrs_name())
    assert packed(tmp_path, index) == ([f"again_{stem}", stem], {"ok": 2})


def test_copies_of_medium_resolution_files(tmp_path: Path) -> None:
    """Exposure by exposure: a later file may have more of them."""
    write_mrs(tmp_path / "a" / mrs_name(), mrs_tables((84420171,)))
    write_mrs(tmp_path / "b" / mrs_name(), mrs_tables((84420171, 84420194)))
    rows = index_folder(tmp_path).to_pylist()
    assert [r["status"] for r in rows] == ["ok"] * 4 + ["duplicate"] * 3 + ["ok"] + ["duplicate"] + ["ok"]
    assert {r["lmjm"] for r in rows if r["status"] == "ok" and r["path"].startswith("b")} == {84420194}


def test_spectra_without_identity_are_copies_by_content(tmp_path: Path) -> None:
    bare = {"PLANID": None, "LMJD": None}
    lrs_hdu(**bare).writeto(tmp_path / "a.fits")
    lrs_hdu(**bare, RA=1.0).writeto(tmp_path / "b.fits")
    shutil.copy(tmp_path / "a.fits", tmp_path / "c.fits")
    assert index_folder(tmp_path)["status"].to_pylist() == ["ok", "ok", "duplicate"]


def test_tables_compressed_inside_say_so(tmp_path: Path) -> None:
    column = fits.Column("FLUX", "1PB()", array=np.array([np.zeros(5, np.uint8)], dtype=object))
    packed = fits.BinTableHDU.from_columns([column], name="COADD")
    packed.header["ZTABLE"] = True
    primary = fits.PrimaryHDU(header=lrs_hdu().header)
    fits.HDUList([primary, packed]).writeto(tmp_path / "x.fits.fz")
    with pytest.raises(SpectrumError, match="use funpack") as caught:
        read_spectrum(tmp_path / "x.fits.fz", "lrs")
    assert caught.value.status == "compressed_table"


def test_a_pipe_is_no_file(tmp_path: Path) -> None:
    lrs_hdu().writeto(tmp_path / lrs_name())
    os.mkfifo(tmp_path / "pipe.fits")
    (tmp_path / "broken-link.fits").symlink_to("nothing.fits")
    rows = index_folder(tmp_path).to_pylist()
    assert [(row["path"], row["status"]) for row in rows] == [
        ("broken-link.fits", "missing_file"),
        (lrs_name(), "ok"),
    ]


def test_a_name_that_is_no_text_is_one_row(tmp_path: Path) -> None:
    lrs_hdu().writeto(tmp_path / lrs_name())
    try:
        shutil.copy(os.fsencode(tmp_path / lrs_name()), os.fsencode(tmp_path) + b"/sp\xe9c.fits")
    except OSError:
        pytest.skip("this file system has only names that are text")
    rows = index_folder(tmp_path).to_pylist()
    assert [row["status"] for row in rows] == ["ok", "unreadable"]
    assert rows[1]["message"] == r"sp\xe9c.fits: its name is not UTF-8 text; rename the file"


@pytest.mark.parametrize("cards", [{"RA": 1410172.0}, {"DEC": -99.5}])
def test_coordinates_that_are_none_spoil_one_row_and_not_the_index(
    tmp_path: Path, cards: dict[str, Any]
) -> None:
    lrs_hdu(RA=10.0, DEC=20.0).writeto(tmp_path / lrs_name())
    lrs_hdu(**{"RA": 10.0, "DEC": 20.0, "FIBERID": 4, **cards}).writeto(tmp_path / lrs_name(fiberid=4))
    table = index_folder(tmp_path)
    assert table["status"].to_pylist() == ["ok", "corrupt"]
    pq.write_table(table, tmp_path / "index.parquet")
    assert read_catalog(tmp_path / "index.parquet", "lrs").num_rows == 2


def test_an_extension_that_is_not_where_it_should_be_loses_no_exposure_silently(tmp_path: Path) -> None:
    """As a transfer in text mode does, which adds bytes."""
    write_mrs(tmp_path / "good.fits", mrs_tables())
    content = (tmp_path / "good.fits").read_bytes()
    second = content.index(b"XTENSION", content.index(b"XTENSION") + 1)
    (tmp_path / "good.fits").write_bytes(content[: second - 5] + b"\r" + content[second - 5 :])
    with pytest.raises(SpectrumError, match="extension 2 is not where it should be; copy the file again"):
        open_fits(tmp_path / "good.fits")
    (tmp_path / "good.fits").write_bytes(content + b"special records")
    assert len(open_fits(tmp_path / "good.fits")) == content.count(b"XTENSION") + 1


def test_files_of_lamost_do_not_spoil_an_index_of_sdss(tmp_path: Path) -> None:
    image(64, 64).writeto(tmp_path / lrs_name(planid="HD1"))
    (tmp_path / "spec-0266-51602-0003.fits").write_bytes(b"SIMPLE")
    pq.write_table(index_folder(tmp_path), tmp_path / "index.parquet")
    table = read_catalog(tmp_path / "index.parquet", "sdss")
    assert table["status"].to_pylist() == ["not_fits", "not_a_spectrum"]


def test_status_names_other_files_and_copies(tmp_path: Path) -> None:
    root = copies(tmp_path)
    shutil.copy(root / lrs_name(), root / "again" / lrs_name())
    OTHERS["picture"][0].writeto(root / "picture.fits")
    index = index_folder(root)
    kept, selection = apply_cuts(index, [])
    results = tmp_path / "results" / "manifest"
    write_manifest(results, "real", make_manifest(kept, survey="lrs", root=root, **PARTITION), selection)
    pq.write_table(index, results / "real-index.parquet")
    text = "\n".join(describe_results(tmp_path / "results"))
    assert "picture.fits: an image of 64 x 64 pixels" in text
    assert f"again/{lrs_name()}: a copy of {lrs_name()}" in text


def test_a_catalogue_made_of_headers_has_their_names(tmp_path: Path) -> None:
    """Tools that collect headers in a table name columns after cards, all in capitals."""
    cards = LAMOST | {"FIBERMAS": 64, "RA": 1.0, "DEC": 2.0}
    Table([cards]).write(tmp_path / "headers.fits")
    table = read_catalog(tmp_path / "headers.fits", "lrs")
    assert table["fibermask"].to_pylist() == [64]
    assert table["obsid"].to_pylist() == [None]
