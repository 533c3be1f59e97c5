"""Manifest and bundles."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fixtures.settings import PARTITION
from fixtures.survey_files import TABLE_1, mrs_catalog

from starsift.errors import SettingsError
from starsift.spectra.packing import pack_bundle
from starsift.survey.partition import MANIFEST_SCHEMA, make_manifest, write_manifest
from starsift.survey.selection import apply_cuts

TEMPLATE = "{lmjd}/{planid}/med-{lmjd}-{planid}_sp{spid:02d}-{fiberid:03d}.fits.gz"


def manifest_of(nights: dict[int, list[str]] | pa.Table, **settings: Any) -> pa.Table:
    table = nights if isinstance(nights, pa.Table) else mrs_catalog(nights)
    settings = {"survey": "mrs", "path_template": TEMPLATE} | PARTITION | settings
    return make_manifest(apply_cuts(table, TABLE_1)[0], **settings)


NIGHTS = {58625: ["A", "B"], 58626: ["C"]}


def test_manifest() -> None:
    manifest = manifest_of({58625: ["A"]})
    assert manifest.schema.equals(MANIFEST_SCHEMA)
    first = manifest.to_pylist()[0]
    assert first["file"] == "58625/A/med-58625-A_sp01-001.fits.gz"
    assert first["spectrum_id"] == f"med-58625-A_sp01-001/{58625 * 1440}"
    assert first["partition"] == "A-sp01"
    assert first["gaia_source_id"] is None
    assert manifest.num_rows == 12


def test_manifest_does_not_depend_on_the_order_of_rows() -> None:
    table = mrs_catalog(NIGHTS)
    shuffled = table.take(pa.array(np.random.default_rng(1).permutation(table.num_rows)))
    assert manifest_of(table).equals(manifest_of(shuffled))


def test_further_columns_come_along(tmp_path: Path) -> None:
    table = mrs_catalog({58625: ["A", "B"]})
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
    message = "not in the catalogue: seeing, snrr; it has: obsid, planid, spid"
    with pytest.raises(SettingsError, match=message):
        manifest_of({58625: ["A"]}, columns=["seeing", "fiberid", "snrr"])


def bundles(manifest: pa.Table) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for row in manifest.to_pylist():
        found.setdefault(row["bundle"], []).append(row["spectrum_id"])
    return found


def test_bundles_hold_whole_partitions_of_one_night() -> None:
    manifest = manifest_of(NIGHTS, spectra_per_bundle=13)
    rows = manifest.to_pylist()
    parts = {(r["lmjd"], r["partition"]) for r in rows}
    assert len({(r["lmjd"], r["partition"], r["bundle"]) for r in rows}) == len(parts)
    found = bundles(manifest)
    assert sorted(len(b) for b in found.values()) == [12, 12, 12]
    assert all(name.replace("-", "").replace("_", "").isalnum() for name in found)
    for settings, count in (({"level": "spectrograph"}, 6), ({"spectra_per_bundle": 1}, 6), ({}, 2)):
        assert len(bundles(manifest_of(NIGHTS, **settings))) == count


def test_bundle_names_are_stable_when_a_night_is_added() -> None:
    nights = {58625: ["A", "B"], 58627: ["C"]}
    before, after = (
        bundles(manifest_of(one, spectra_per_bundle=12)) for one in (nights, nights | {58626: ["D"]})
    )
    assert len(after) == len(before) + 1
    assert all(after[name] == spectra for name, spectra in before.items())


def test_bundle_name_changes_with_its_spectra() -> None:
    whole = bundles(manifest_of({58625: ["A"]}))
    fewer = bundles(manifest_of(mrs_catalog({58625: ["A"]}, fibers=2)))
    assert not set(whole) & set(fewer)


def test_strange_plan_names_make_plain_bundle_names() -> None:
    (name,) = bundles(manifest_of({58625: ["GAC 1+2/x"]}))
    assert name.startswith("58625-GAC_1_2_x-sp01-")


def test_path_templates() -> None:
    manifest = manifest_of({58625: ["A"]}, path_template="{date}/sp{spid:02d}-{fiberid:03d}.fits")
    assert manifest["file"][0].as_py() == "20190522/sp01-001.fits"


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("path_template", "{planid}-{fibre}.fits", "uses fibre; the catalogue has: obsid"),
        ("path_template", "{planid:03d}.fits", "does not fit the row"),
        ("path_template", "{planid.fits", "path_template"),
        ("path_template", "spectrum.fits", r"'spectrum\.fits' gives all spectra one file; name columns"),
        ("path_template", None, "set `path_template`"),
        ("path_template", "{planid}.fits", "listed more than once"),
        ("level", "plan", "expected one of: night, spectrograph"),
        ("spectra_per_bundle", 0, "at least 1"),
    ],
)
def test_wrong_settings(name: str, value: Any, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        manifest_of({58625: ["A"]}, **{name: value})


def test_a_row_with_nulls_in_its_path_stays(tmp_path: Path) -> None:
    table = mrs_catalog({58625: ["A"]}, spectrographs=1, fibers=1, exposures=1)
    table = table.set_column(table.column_names.index("fiberid"), "fiberid", pa.nulls(2, pa.int16()))
    manifest = manifest_of(table)
    assert manifest["file"].to_pylist() == [None]
    pq.write_table(manifest, tmp_path / "m.parquet")
    assert pack_bundle(tmp_path / "m.parquet", tmp_path, "mrs", tmp_path / "b.arrow") == {"missing_file": 1}


def test_write_manifest_leaves_what_does_not_change(tmp_path: Path) -> None:
    def write(nights: dict[int, list[str]]) -> list[str]:
        table, selection = apply_cuts(mrs_catalog(nights), TABLE_1)
        manifest = make_manifest(table, survey="mrs", path_template=TEMPLATE, **PARTITION)
        names = write_manifest(tmp_path, "s", manifest, selection)
        assert sorted(p.stem for p in (tmp_path / "s").iterdir()) == names
        return names

    one = write({58625: ["A"], 58626: ["B"]})
    lines = (tmp_path / "s-selection.csv").read_text().splitlines()
    assert lines[:2] == ["cut,before,removed,after", "band == B,48,24,24"]
    times = {p: p.stat().st_mtime_ns for p in (tmp_path / "s").iterdir()}
    two = write({58625: ["A"], 58627: ["C"]})
    (common,) = set(one) & set(two)
    same = tmp_path / "s" / f"{common}.parquet"
    assert same.stat().st_mtime_ns == times[same]
    assert pq.read_table(tmp_path / "s.parquet")["bundle"].unique().to_pylist() == two
