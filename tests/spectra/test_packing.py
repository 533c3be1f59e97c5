"""The packing of a bundle."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fixtures.settings import PARTITION
from fixtures.survey_files import ARRAYS, ROWS, TABLE_1, mrs_name, mrs_table, mrs_tables, real, write_mrs

from starsift.errors import SettingsError
from starsift.spectra.batches import IDENTITY_NAMES, MASK_IVAR, MASK_SURVEY, read_bundle, read_identity
from starsift.spectra.packing import pack_bundle
from starsift.survey.index import index_folder
from starsift.survey.partition import make_manifest, write_manifest
from starsift.survey.readers.registry import read_exposures, read_spectrum
from starsift.survey.selection import apply_cuts


def survey(root: Path, fibers: int = 3) -> Path:
    for spid in (1, 2):
        for fiber in range(1, fibers + 1):
            tables = mrs_tables(layout=ROWS if spid == 1 else ARRAYS, pixel=300 + fiber)
            write_mrs(root / mrs_name(spid=spid, fiberid=fiber), tables, spid=spid, fiberid=fiber)
    return root


def list_spectra(folder: Path, root: Path, cuts: list[dict[str, Any]] = TABLE_1) -> Path:
    """The manifest of a folder of files."""
    manifest = make_manifest(apply_cuts(index_folder(root), cuts)[0], survey="mrs", root=root, **PARTITION)
    pq.write_table(manifest, folder / "m.parquet")
    return folder / "m.parquet"


def pack(tmp_path: Path, root: Path, name: str = "b", **settings: Any) -> dict[str, int]:
    return pack_bundle(list_spectra(tmp_path, root), root, "mrs", tmp_path / f"{name}.arrow", **settings)


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
    index, identity = pq.read_table(tmp_path / "b.parquet"), read_identity(tmp_path / "b.arrow")
    assert index.select(list(IDENTITY_NAMES)).equals(identity.select(list(IDENTITY_NAMES)))


def test_each_file_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = survey(tmp_path / "files")
    manifest = list_spectra(tmp_path, root)
    calls: list[Path] = []

    def counted(path: Path, *args: Any) -> Any:
        calls.append(path)
        return read_exposures(path, *args)

    monkeypatch.setattr("starsift.spectra.packing.read_exposures", counted)
    pack_bundle(manifest, root, "mrs", tmp_path / "b.arrow", rows=2)
    assert len(calls) == len(set(calls)) == 6


def test_packing_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    root = survey(tmp_path / "files")
    for name in ("one", "two"):
        pack(tmp_path, root, name)
    for suffix in ("arrow", "parquet"):
        assert (tmp_path / f"one.{suffix}").read_bytes() == (tmp_path / f"two.{suffix}").read_bytes()


def test_bad_spectra_keep_their_rows(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = survey(tmp_path / "files")
    manifest = list_spectra(tmp_path, root)
    file = {fiber: root / mrs_name(spid=1, fiberid=fiber) for fiber in (1, 2, 3)}
    file[1].unlink()
    file[2].write_bytes(file[2].read_bytes()[:5000])
    zero = np.zeros(300, np.float32)
    negative = np.ones(300, np.float32)
    negative[:9] = -1.0
    write_mrs(file[3], [mrs_table("B-84420171", ROWS, FLUX=zero), mrs_table("R-84420194", ROWS)], fiberid=3)
    masked = mrs_table("B-84420171", ARRAYS, PIXMASK=np.ones(300, np.int32))
    some = mrs_table("B-84420194", ARRAYS, IVAR=negative)
    write_mrs(root / mrs_name(spid=2, fiberid=1), [masked, some])
    counts = pack_bundle(manifest, root, "mrs", tmp_path / "b.arrow")
    expected = {"all_masked": 1, "missing_extension": 1, "missing_file": 2, "truncated": 2, "zero_flux": 1}
    assert counts == expected | {"ok": 5}
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
    assert pack(tmp_path, root) == {"not_fits": 1, "ok": 4, "truncated": 1}


def test_a_copy_that_can_be_read_goes_before_one_that_cannot(tmp_path: Path) -> None:
    """Wherever it lies."""
    (tmp_path / "a").mkdir()
    source = sorted(real("lamost-lrs-dr10").glob("*.fits"))[0]
    (tmp_path / "a" / source.name).write_bytes(b"broken")
    shutil.copy(source, tmp_path / source.name)
    kept, _ = apply_cuts(index_folder(tmp_path), [])
    assert kept["path"].to_pylist() == [source.name]


def test_coadds_can_be_packed(tmp_path: Path) -> None:
    root = survey(tmp_path / "files", fibers=1)
    manifest = list_spectra(tmp_path, root, [{"column": "coadd", "op": "==", "value": 1}])
    assert pack_bundle(manifest, root, "mrs", tmp_path / "b.arrow") == {"ok": 4}
    assert read_identity(tmp_path / "b.arrow")["spectrum_id"][0].as_py() == "med-58625-HD1_sp01-001"


def test_not_a_manifest(tmp_path: Path) -> None:
    pq.write_table(pa.table({"x": [1]}), tmp_path / "m.parquet")
    with pytest.raises(SettingsError, match="not a manifest"):
        pack_bundle(tmp_path / "m.parquet", tmp_path, "mrs", tmp_path / "b.arrow")


@pytest.mark.parametrize(("folder", "kind"), [("lamost-lrs-dr10", "lamost-lrs"), ("sdss-spec", "sdss")])
def test_real_spectra_are_packed(tmp_path: Path, folder: str, kind: str) -> None:
    root = real(folder)
    kept, selection = apply_cuts(index_folder(root), [])
    manifest = make_manifest(kept, survey=kind, root=root, **PARTITION)
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
