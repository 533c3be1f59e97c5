"""Cuts, manifest, bundles, packing."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fixtures.survey_files import ARRAYS, ROWS, mrs_name, mrs_table, mrs_tables, real, write_mrs

from starsift.errors import SettingsError
from starsift.spectra.batches import IDENTITY_NAMES, MASK_IVAR, MASK_SURVEY, read_bundle, read_identity
from starsift.spectra.packing import pack_bundle
from starsift.survey.index import index_folder
from starsift.survey.partition import MANIFEST_SCHEMA, make_manifest, write_manifest
from starsift.survey.readers.registry import read_exposures, read_spectrum
from starsift.survey.selection import apply_cuts

TABLE_1 = [
    {"column": "band", "op": "==", "value": "B"},
    {"column": "coadd", "op": "==", "value": 0},
    {"column": "fibermask", "op": "==", "value": 0},
    {"column": "bad_b", "op": "==", "value": 0},
    {"column": "snr", "op": ">=", "value": 5},
]
TEMPLATE = "{lmjd}/{planid}/med-{lmjd}-{planid}_sp{spid:02d}-{fiberid:03d}.fits.gz"


def catalog(
    nights: dict[int, list[str]], spectrographs: int = 2, fibers: int = 3, exposures: int = 2
) -> pa.Table:
    rows = [
        {
            "obsid": spid * 1000 + fiber,
            "planid": plan,
            "spid": spid,
            "fiberid": fiber,
            "lmjd": lmjd,
            "lmjm": lmjd * 1440 + 20 * exposure,
            "band": band,
            "coadd": 0,
            "fibermask": 0,
            "bad_b": 0,
            "snr": 20.0 + fiber,
        }
        for lmjd, plans in nights.items()
        for plan in plans
        for spid in range(1, spectrographs + 1)
        for fiber in range(1, fibers + 1)
        for exposure in range(exposures)
        for band in "BR"
    ]
    return pa.Table.from_pylist(rows)


def manifest_of(table: pa.Table, **settings: Any) -> pa.Table:
    return make_manifest(
        apply_cuts(table, TABLE_1)[0], **({"survey": "mrs", "path_template": TEMPLATE} | settings)
    )


def test_cuts_in_order_with_counts() -> None:
    table = catalog({58625: ["A"]})  # 24 rows, 12 blue
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
    table = catalog({58625: ["A"]})
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
        apply_cuts(catalog({58625: ["A"]}), cuts)
    with pytest.raises(SettingsError, match="selection is empty"):
        make_manifest(catalog({58625: ["A"]}).slice(0, 0), survey="mrs", path_template=TEMPLATE)


def test_manifest() -> None:
    manifest = manifest_of(catalog({58625: ["A"]}))
    assert manifest.schema.equals(MANIFEST_SCHEMA)
    first = manifest.to_pylist()[0]
    assert first["file"] == "58625/A/med-58625-A_sp01-001.fits.gz"
    assert first["spectrum_id"] == f"med-58625-A_sp01-001/{58625 * 1440}"
    assert first["partition"] == "A-sp01"
    assert first["gaia_source_id"] is None
    assert manifest.num_rows == 12


def test_manifest_does_not_depend_on_the_order_of_rows() -> None:
    table = catalog({58625: ["A", "B"], 58626: ["C"]})
    shuffled = table.take(pa.array(np.random.default_rng(1).permutation(table.num_rows)))
    assert manifest_of(table).equals(manifest_of(shuffled))


def test_further_columns_come_along(tmp_path: Path) -> None:
    table = catalog({58625: ["A", "B"]})
    order = np.random.default_rng(2).permutation(table.num_rows)
    mjd = pa.field("mjd", pa.int32(), metadata={"unit": "d"})
    table = table.append_column(mjd, pa.array(np.arange(table.num_rows), pa.int32()))
    table = table.append_column("class", pa.array([None, "STAR"] * (table.num_rows // 2)))
    plain, manifest = manifest_of(table), manifest_of(table.take(order), columns=["mjd", "class", "snr"])
    # Bundles and rows are the same; what the manifest has anyway is there once.
    assert manifest.select(MANIFEST_SCHEMA.names).equals(plain)
    assert manifest.column_names == [*MANIFEST_SCHEMA.names, "mjd", "class"]
    assert manifest.schema.field("mjd").equals(mjd, check_metadata=True)
    # Each spectrum has its own values.
    key = ["lmjd", "planid", "spid", "fiberid", "lmjm", "band"]
    given = {tuple(row[k] for k in key): (row["mjd"], row["class"]) for row in table.to_pylist()}
    for row in manifest.to_pylist():
        assert (row["mjd"], row["class"]) == given[tuple(row[k] for k in key)]
    # A manifest with more columns is one.
    pq.write_table(manifest, tmp_path / "m.parquet")
    counts = pack_bundle(tmp_path / "m.parquet", tmp_path, "mrs", tmp_path / "b.arrow")
    assert counts == {"missing_file": 24}


def test_columns_that_the_catalogue_lacks_are_named() -> None:
    with pytest.raises(
        SettingsError, match="not in the catalogue: seeing, snrr; it has: obsid, planid, spid"
    ):
        manifest_of(catalog({58625: ["A"]}), columns=["seeing", "fiberid", "snrr"])


def bundles(manifest: pa.Table) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for row in manifest.to_pylist():
        found.setdefault(row["bundle"], []).append(row["spectrum_id"])
    return found


def test_bundles_hold_whole_partitions_of_one_night() -> None:
    manifest = manifest_of(catalog({58625: ["A", "B"], 58626: ["C"]}), spectra_per_bundle=13)
    rows = manifest.to_pylist()
    for key in ("partition", "lmjd"):
        part = {(r["lmjd"], r["partition"]): set() for r in rows}
        for r in rows:
            part[r["lmjd"], r["partition"]].add(r["bundle"])
        assert all(len(b) == 1 for b in part.values()), key
    assert sorted(len(b) for b in bundles(manifest).values()) == [12, 12, 12]
    assert all(name.replace("-", "").replace("_", "").isalnum() for name in bundles(manifest))
    assert len(bundles(manifest_of(catalog({58625: ["A", "B"], 58626: ["C"]}), level="spectrograph"))) == 6
    assert len(bundles(manifest_of(catalog({58625: ["A", "B"], 58626: ["C"]}), spectra_per_bundle=1))) == 6
    assert len(bundles(manifest_of(catalog({58625: ["A", "B"], 58626: ["C"]})))) == 2


def test_bundle_names_are_stable_when_a_night_is_added() -> None:
    before = bundles(manifest_of(catalog({58625: ["A", "B"], 58627: ["C"]}), spectra_per_bundle=12))
    after = bundles(
        manifest_of(catalog({58625: ["A", "B"], 58626: ["D"], 58627: ["C"]}), spectra_per_bundle=12)
    )
    assert len(after) == len(before) + 1
    assert all(after[name] == spectra for name, spectra in before.items())


def test_bundle_name_changes_with_its_spectra() -> None:
    whole = bundles(manifest_of(catalog({58625: ["A"]})))
    fewer = bundles(manifest_of(catalog({58625: ["A"]}, fibers=2)))
    assert not set(whole) & set(fewer)


def test_strange_plan_names_make_plain_bundle_names() -> None:
    (name,) = bundles(manifest_of(catalog({58625: ["GAC 1+2/x"]})))
    assert name.startswith("58625-GAC_1_2_x-sp01-")


def test_path_templates() -> None:
    table = catalog({58625: ["A"]})
    manifest = manifest_of(table, path_template="{date}/sp{spid:02d}-{fiberid:03d}.fits")
    assert manifest["file"][0].as_py() == "20190522/sp01-001.fits"
    with pytest.raises(SettingsError, match=r"uses fibre; the catalogue has: obsid"):
        manifest_of(table, path_template="{planid}-{fibre}.fits")
    with pytest.raises(SettingsError, match="does not fit the row"):
        manifest_of(table, path_template="{planid:03d}.fits")
    with pytest.raises(SettingsError, match="path_template"):
        manifest_of(table, path_template="{planid.fits")
    with pytest.raises(SettingsError, match=r"'spectrum\.fits' gives all spectra one file; name columns"):
        manifest_of(table, path_template="spectrum.fits")
    with pytest.raises(SettingsError, match="set `path_template`"):
        manifest_of(table, path_template=None)
    with pytest.raises(SettingsError, match="listed more than once"):
        manifest_of(table, path_template="{planid}.fits")
    with pytest.raises(SettingsError, match="expected one of: night, spectrograph"):
        manifest_of(table, level="plan")
    with pytest.raises(SettingsError, match="at least 1"):
        manifest_of(table, spectra_per_bundle=0)


def test_a_row_with_nulls_in_its_path_stays(tmp_path: Path) -> None:
    table = catalog({58625: ["A"]}, spectrographs=1, fibers=1, exposures=1)
    table = table.set_column(table.column_names.index("fiberid"), "fiberid", pa.nulls(2, pa.int16()))
    manifest = manifest_of(table)
    assert manifest["file"].to_pylist() == [None]
    pq.write_table(manifest, tmp_path / "m.parquet")
    assert pack_bundle(tmp_path / "m.parquet", tmp_path, "mrs", tmp_path / "b.arrow") == {"missing_file": 1}


def test_write_manifest_leaves_what_does_not_change(tmp_path: Path) -> None:
    table, selection = apply_cuts(catalog({58625: ["A"], 58626: ["B"]}), TABLE_1)
    one = write_manifest(tmp_path, "s", make_manifest(table, survey="mrs", path_template=TEMPLATE), selection)
    assert sorted(p.stem for p in (tmp_path / "s").iterdir()) == one
    assert (tmp_path / "s-selection.csv").read_text().splitlines()[:2] == [
        "cut,before,removed,after",
        "band == B,48,24,24",
    ]
    times = {p: p.stat().st_mtime_ns for p in (tmp_path / "s").iterdir()}
    table, selection = apply_cuts(catalog({58625: ["A"], 58627: ["C"]}), TABLE_1)
    two = write_manifest(tmp_path, "s", make_manifest(table, survey="mrs", path_template=TEMPLATE), selection)
    assert sorted(p.stem for p in (tmp_path / "s").iterdir()) == two
    (common,) = set(one) & set(two)
    same = tmp_path / "s" / f"{common}.parquet"
    assert same.stat().st_mtime_ns == times[same]
    assert pq.read_table(tmp_path / "s.parquet")["bundle"].unique().to_pylist() == two


def survey(root: Path, fibers: int = 3) -> Path:
    for spid in (1, 2):
        for fiber in range(1, fibers + 1):
            tables = mrs_tables(layout=ROWS if spid == 1 else ARRAYS, pixel=300 + fiber)
            write_mrs(root / mrs_name(spid=spid, fiberid=fiber), tables, spid=spid, fiberid=fiber)
    return root


def pack(tmp_path: Path, root: Path, name: str = "b", **settings: Any) -> dict[str, int]:
    kept, _ = apply_cuts(index_folder(root), TABLE_1)
    manifest = make_manifest(kept, survey="mrs", root=root)
    pq.write_table(manifest, tmp_path / "m.parquet")
    return pack_bundle(tmp_path / "m.parquet", root, "mrs", tmp_path / f"{name}.arrow", **settings)


@pytest.mark.parametrize("rows", [1024, 3])
def test_packed_spectra_are_those_of_the_files(tmp_path: Path, rows: int) -> None:
    root = survey(tmp_path / "files")
    assert pack(tmp_path, root, rows=rows) == {"ok": 12}
    seen = 0
    for batch in read_bundle(tmp_path / "b.arrow"):
        assert len(set(batch.identity["spid"].to_pylist())) == 1
        assert (np.diff(batch.wavelength, axis=1) > 0).all()
        for i, row in enumerate(batch.identity.to_pylist()):
            stem, lmjm = row["spectrum_id"].split("/")
            (given,) = read_exposures(root / f"{stem}.fits.gz", "mrs", [f"B-{lmjm}"])
            n = len(given.flux)
            np.testing.assert_array_equal(batch.wavelength[i, :n], given.wavelength)
            good = ~given.mask
            np.testing.assert_array_equal(batch.flux[i, :n][good], given.flux[good])
            np.testing.assert_array_equal(batch.mask[i, :n] == MASK_SURVEY, given.mask)
            assert row["snr"] == given.snr
            assert row["ra"] is not None
            seen += 1
    assert seen == 12
    index = pq.read_table(tmp_path / "b.parquet")
    assert index.select(list(IDENTITY_NAMES)).equals(
        read_identity(tmp_path / "b.arrow").select(list(IDENTITY_NAMES))
    )


def test_each_file_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = survey(tmp_path / "files")
    kept, _ = apply_cuts(index_folder(root), TABLE_1)
    pq.write_table(make_manifest(kept, survey="mrs", root=root), tmp_path / "m.parquet")
    calls: list[Path] = []

    def counted(path: Path, *args: Any) -> Any:
        calls.append(path)
        return read_exposures(path, *args)

    monkeypatch.setattr("starsift.spectra.packing.read_exposures", counted)
    pack_bundle(tmp_path / "m.parquet", root, "mrs", tmp_path / "b.arrow", rows=2)
    assert len(calls) == len(set(calls)) == 6


def test_packing_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    root = survey(tmp_path / "files")
    for name in ("one", "two"):
        pack(tmp_path, root, name)
    for suffix in ("arrow", "parquet"):
        assert (tmp_path / f"one.{suffix}").read_bytes() == (tmp_path / f"two.{suffix}").read_bytes()


def test_bad_spectra_keep_their_rows(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = survey(tmp_path / "files")
    kept, _ = apply_cuts(index_folder(root), TABLE_1)
    pq.write_table(make_manifest(kept, survey="mrs", root=root), tmp_path / "m.parquet")
    file = {fiber: root / mrs_name(spid=1, fiberid=fiber) for fiber in (1, 2, 3)}
    file[1].unlink()
    file[2].write_bytes(file[2].read_bytes()[:5000])
    zero = np.zeros(300, np.float32)
    negative = np.ones(300, np.float32)
    negative[:9] = -1.0
    write_mrs(file[3], [mrs_table("B-84420171", ROWS, FLUX=zero), mrs_table("R-84420194", ROWS)], fiberid=3)
    other = root / mrs_name(spid=2, fiberid=1)
    write_mrs(
        other,
        [
            mrs_table("B-84420171", ARRAYS, PIXMASK=np.ones(300, np.int32)),
            mrs_table("B-84420194", ARRAYS, IVAR=negative),
        ],
    )
    counts = pack_bundle(tmp_path / "m.parquet", root, "mrs", tmp_path / "b.arrow")
    assert counts == {
        "all_masked": 1,
        "missing_extension": 1,
        "missing_file": 2,
        "ok": 5,
        "truncated": 2,
        "zero_flux": 1,
    }
    first, second = read_bundle(tmp_path / "b.arrow")
    assert first.n + second.n == 12
    assert not first.ok.any()
    assert (first.mask != 0).all()
    assert second.ok.tolist() == [False, True, True, True, True, True]
    assert (second.mask[1, :9] == MASK_IVAR).sum() >= 8
    assert f"missing_extension: {file[3]} has no extension B-84420194" in caplog.text
    index = pq.read_table(tmp_path / "b.parquet")
    assert index["status"].to_pylist().count("missing_file") == 2


def test_unreadable_files_of_an_index_stay_in_sight(tmp_path: Path) -> None:
    root = survey(tmp_path / "files", fibers=1)
    (root / mrs_name(spid=1, fiberid=7)).write_bytes(b"\x1f\x8b broken")
    (root / "strange.fits").write_bytes(b"")
    kept, selection = apply_cuts(index_folder(root), TABLE_1)
    assert selection[-1].after == 4 + 2
    pq.write_table(make_manifest(kept, survey="mrs", root=root), tmp_path / "m.parquet")
    counts = pack_bundle(tmp_path / "m.parquet", root, "mrs", tmp_path / "b.arrow")
    assert counts == {"not_fits": 1, "ok": 4, "truncated": 1}


def test_copies_of_a_file_count_once(tmp_path: Path) -> None:
    root = survey(tmp_path / "files", fibers=1)
    name = mrs_name(spid=1, fiberid=1)
    (root / "again").mkdir()
    shutil.copy(root / name, root / "again" / name)
    kept, selection = apply_cuts(index_folder(root), TABLE_1)
    assert selection[-1] == ("duplicated rows", 6, 2, 4)
    assert make_manifest(kept, survey="mrs", root=root).num_rows == 4
    # A copy that can be read goes before one that cannot, wherever it lies.
    lrs = tmp_path / "lrs"
    (lrs / "a").mkdir(parents=True)
    source = sorted(real("lamost-lrs-dr10").glob("*.fits"))[0]
    (lrs / "a" / source.name).write_bytes(b"broken")
    shutil.copy(source, lrs / source.name)
    kept, _ = apply_cuts(index_folder(lrs), [])
    assert kept["path"].to_pylist() == [source.name]


def test_coadds_can_be_packed(tmp_path: Path) -> None:
    root = survey(tmp_path / "files", fibers=1)
    cuts = [{"column": "coadd", "op": "==", "value": 1}]
    kept, _ = apply_cuts(index_folder(root), cuts)
    pq.write_table(make_manifest(kept, survey="mrs", root=root), tmp_path / "m.parquet")
    assert pack_bundle(tmp_path / "m.parquet", root, "mrs", tmp_path / "b.arrow") == {"ok": 4}
    assert read_identity(tmp_path / "b.arrow")["spectrum_id"][0].as_py() == "med-58625-HD1_sp01-001"


def test_not_a_manifest(tmp_path: Path) -> None:
    pq.write_table(pa.table({"x": [1]}), tmp_path / "m.parquet")
    with pytest.raises(SettingsError, match="not a manifest"):
        pack_bundle(tmp_path / "m.parquet", tmp_path, "mrs", tmp_path / "b.arrow")


@pytest.mark.parametrize(("folder", "kind"), [("lamost-lrs-dr10", "lamost-lrs"), ("sdss-spec", "sdss")])
def test_real_spectra_are_packed(tmp_path: Path, folder: str, kind: str) -> None:
    root = real(folder)
    kept, selection = apply_cuts(index_folder(root), [])
    manifest = make_manifest(kept, survey=kind, root=root)
    names = write_manifest(tmp_path, kind, manifest, selection)
    total = 0
    for name in names:
        out = tmp_path / f"{name}.arrow"
        counts = pack_bundle(tmp_path / kind / f"{name}.parquet", root, kind, out)
        total += counts["ok"]
        with pa.memory_map(str(out)) as source:
            table = pa.ipc.open_file(source).read_all()
        assert table["wavelength"].null_count == table.num_rows  # two numbers instead
        for batch in read_bundle(out):
            assert batch.ok.all()
            for i, row in enumerate(batch.identity.to_pylist()):
                if kind == "lamost-lrs":
                    given = read_spectrum(root / f"{row['spectrum_id']}.fits", "lrs")
                    n = len(given.flux)
                    np.testing.assert_allclose(batch.wavelength[i, :n], given.wavelength, rtol=1e-12)
                    np.testing.assert_array_equal(batch.flux[i, :n][~given.mask], given.flux[~given.mask])
    assert total == manifest.num_rows


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
    table = catalog({58625: ["A"]})
    table = table.set_column(table.column_names.index("spid"), "spid", table["spid"].cast(pa.int8()))
    with pytest.raises(SettingsError, match=f"cut {cut['column']} .*: .* is no value of the column"):
        apply_cuts(table, [cut])


def test_an_empty_catalogue_is_named_as_such() -> None:
    with pytest.raises(SettingsError, match="the catalogue has no rows"):
        apply_cuts(catalog({58625: ["A"]}).slice(0, 0), [])
