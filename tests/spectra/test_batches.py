"""Batches in memory and bundles on disk."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fixtures.survey_files import assert_same_arrays, identity_of

from starsift.errors import InputError, ResultsError
from starsift.spectra.batches import (
    IDENTITY_NAMES,
    MASK_FLUX,
    MASK_IVAR,
    MASK_PAD,
    MASK_SURVEY,
    SpectrumBatch,
    read_bundle,
    read_identity,
    read_rows,
    write_bundle,
    write_index,
)


def identity(n: int, **columns: Any) -> dict[str, Any]:
    return identity_of([f"s-{i}" for i in range(n)], lmjm=[84420171] * n, **columns)


def uneven(n: int, pixel: int = 40) -> np.ndarray:
    x = np.linspace(0.0, 1.0, pixel)
    return np.asarray(4900.0 + 489.0 * (x + 0.05 * x**2) + np.arange(n)[:, None] * 0.01)


def batch(n: int = 5, pixel: int = 40, **columns: Any) -> SpectrumBatch:
    rng = np.random.default_rng(n)
    return SpectrumBatch.from_arrays(
        identity(n, **columns), uneven(n, pixel), rng.normal(100, 5, (n, pixel)), np.full((n, pixel), 0.04)
    )


def assert_equal(a: SpectrumBatch, b: SpectrumBatch) -> None:
    assert a.identity.equals(b.identity)
    assert_same_arrays(a, b)


def test_from_arrays_masks_nan_negative_and_survey_pixels() -> None:
    flux = np.full((1, 8), 2.0)
    ivar = np.full((1, 8), 1.0)
    mask = np.zeros((1, 8), dtype=np.int32)
    flux[0, 1], ivar[0, 2], ivar[0, 3], ivar[0, 4], mask[0, 5] = np.nan, -1.0, np.nan, 0.0, 1 << 20
    flux[0, 6] = 1e60  # more than float32 holds
    made = SpectrumBatch.from_arrays(identity(1), uneven(1, 8), flux, ivar, mask)
    assert np.isnan(flux[0, 1])  # the input stays
    assert made.mask[0].tolist() == [0, MASK_FLUX, MASK_IVAR, MASK_IVAR, MASK_IVAR, MASK_SURVEY, MASK_FLUX, 0]
    bad = made.mask != 0
    # A flux that the survey only gave no weight is kept: so it treats the peaks of emission lines.
    unweighted = made.mask == MASK_IVAR
    assert (made.flux[bad & ~unweighted] == 0).all()
    assert (made.ivar[bad] == 0).all()
    assert (made.flux[~bad | unweighted] == 2).all()
    assert made.ok.tolist() == [True]


def test_a_spectrum_without_a_good_pixel_is_not_ok() -> None:
    made = SpectrumBatch.from_arrays(identity(2), uneven(2, 8), np.ones((2, 8)), [[1.0] * 8, [0.0] * 8])
    assert made.identity["status"].to_pylist() == ["ok", "all_masked"]
    assert made.ok.tolist() == [True, False]


def test_errors_name_the_problem() -> None:
    wave, ones = uneven(2, 8), np.ones((2, 8))
    wave[1, 3] = wave[1, 2]
    with pytest.raises(ResultsError, match="spectrum 1 do not ascend"):
        SpectrumBatch.from_arrays(identity(2), wave, ones, ones)
    with pytest.raises(ResultsError, match=r"flux \(2, 8\), ivar \(2, 7\)"):
        SpectrumBatch.from_arrays(identity(2), uneven(2, 8), ones, ones[:, 1:])
    rows = {name: values for name, values in identity(2).items() if name not in ("obsid", "band")}
    with pytest.raises(ResultsError, match="lacks the columns: obsid, band"):
        SpectrumBatch.from_arrays(rows, uneven(2, 8), ones, ones)


def test_take() -> None:
    whole = batch(6)
    for index in ([4, 1], np.array([True, False, True, False, False, True]), slice(1, 3), slice(5, 0, -2)):
        part = whole.take(index)
        at = np.arange(6)[index]
        assert part.identity["spectrum_id"].to_pylist() == [f"s-{i}" for i in at]
        np.testing.assert_array_equal(part.flux, whole.flux[at])
    assert whole.take([]).n == 0
    for index in (np.array([True, False]), np.ones((6, 1), dtype=bool), [6], [-1], [[0, 1]], 3, True):
        with pytest.raises(
            InputError, match=r"expected a slice, a mask \(6,\) or positions \(m,\) from 0 to 5"
        ):
            whole.take(index)


def test_bundle_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "b.arrow"
    written = batch(5, snr=[10.0] * 5, ra=[1.0] * 5, dec=[None, 2.0, 3.0, 4.0, 5.0])
    assert write_bundle(path, [written]) == {"ok": 5}
    (read,) = read_bundle(path)
    assert_equal(read, written)
    assert sum(b.n for b in read_bundle(path, rows=2)) == 5
    assert max(b.n for b in read_bundle(path, rows=2)) == 2


def test_record_batches_never_cross_a_partition(tmp_path: Path) -> None:
    path = tmp_path / "b.arrow"
    rows = batch(7, planid=["A"] * 4 + ["B"] * 3, spid=[1, 1, 1, 2, 2, 2, 2])
    write_bundle(path, [rows], rows=2)
    sizes = [b.n for b in read_bundle(path)]
    assert sizes == [2, 1, 1, 2, 1]
    for part in read_bundle(path):
        assert len(set(zip(*part.identity.select(["planid", "spid"]).to_pydict().values(), strict=True))) == 1


def test_uniform_grids_are_two_numbers_and_come_back(tmp_path: Path) -> None:
    path = tmp_path / "b.arrow"
    wave = 10 ** (3.5682 + 1e-4 * np.arange(3909))
    written = SpectrumBatch.from_arrays(identity(2), wave, np.ones((2, 3909)), np.ones((2, 3909)))
    write_bundle(path, [written, batch(2, 3909)])
    with pa.memory_map(str(path)) as source:
        table = pa.ipc.open_file(source).read_all()
    assert table["wavelength"].is_null().to_pylist() == [True, True, False, False]
    assert table["log10_lambda0"].is_null().to_pylist() == [False, False, True, True]
    uniform, uneven_ = read_bundle(path)
    np.testing.assert_allclose(uniform.wavelength, written.wavelength, rtol=3e-10)
    np.testing.assert_array_equal(uneven_.wavelength, batch(2, 3909).wavelength)


def test_ragged_and_unusable_spectra(tmp_path: Path) -> None:
    path = tmp_path / "b.arrow"
    rng = np.random.default_rng(1)

    def spectrum(pixel: int) -> tuple[np.ndarray, ...]:
        return uneven(1, pixel)[0], rng.normal(9, 1, pixel), np.ones(pixel), np.zeros(pixel, dtype=bool)

    status = ["ok", "missing_file", "ok", "all_masked"]
    spectra = [spectrum(30), None, spectrum(40), spectrum(40)]
    made = SpectrumBatch.from_ragged(identity(4, status=status), spectra)
    assert made.flux.shape == (4, 40)
    assert (made.mask[0, 30:] == MASK_PAD).all()
    assert (np.diff(made.wavelength, axis=1) > 0).all()
    assert write_bundle(path, [made]) == {"all_masked": 1, "missing_file": 1, "ok": 2}
    (read,) = read_bundle(path)
    assert read.identity["status"].to_pylist() == status
    assert (np.diff(read.wavelength, axis=1) > 0).all()
    assert (read.mask[[1, 3]] == MASK_PAD).all()
    assert (read.mask[0, 30:] == MASK_PAD).all()
    for i in (0, 2):
        np.testing.assert_array_equal(read.flux[i], made.flux[i])
        np.testing.assert_array_equal(read.wavelength[i, :30], made.wavelength[i, :30])
    assert not read.flux[1].any()
    assert not read.ivar[3].any()


def test_a_bundle_of_unreadable_spectra_still_reads(tmp_path: Path) -> None:
    path = tmp_path / "b.arrow"
    write_bundle(path, [SpectrumBatch.from_ragged(identity(2, status=["missing_file"] * 2), [None, None])])
    (read,) = read_bundle(path)
    assert not read.ok.any()
    assert (np.diff(read.wavelength, axis=1) > 0).all()
    write_bundle(path, [])
    assert list(read_bundle(path)) == []
    assert read_rows(path, []).n == 0


def test_rows_and_index(tmp_path: Path) -> None:
    path = tmp_path / "b.arrow"
    whole = batch(9, planid=["A"] * 4 + ["B"] * 5)
    write_bundle(path, [whole], rows=3)
    some = read_rows(path, [7, 0, 3, 0])
    assert_equal(some, whole.take([7, 0, 3, 0]))
    with pytest.raises(IndexError, match="holds spectra 0 to 8"):
        read_rows(path, [9])
    index = write_index(path, tmp_path / "b.parquet")
    assert pq.read_table(tmp_path / "b.parquet").equals(index)
    assert index["batch"].to_pylist() == [0, 0, 0, 1, 2, 2, 2, 3, 3]
    assert index["row"].to_pylist() == [0, 1, 2, 0, 0, 1, 2, 0, 1]
    assert index.column_names[: len(IDENTITY_NAMES)] == list(IDENTITY_NAMES)
    assert read_identity(path).equals(whole.identity)


def test_same_spectra_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_bundle(tmp_path / f"{name}.arrow", [batch(6), batch(3)])
        write_index(tmp_path / f"{name}.arrow", tmp_path / f"{name}.parquet")
    for suffix in ("arrow", "parquet"):
        assert (tmp_path / f"one.{suffix}").read_bytes() == (tmp_path / f"two.{suffix}").read_bytes()


def test_a_failing_write_leaves_nothing(tmp_path: Path) -> None:
    def fails() -> Any:
        yield batch(2)
        raise RuntimeError("stopped")

    with pytest.raises(RuntimeError, match="stopped"):
        write_bundle(tmp_path / "b.arrow", fails())
    assert list(tmp_path.iterdir()) == []


def test_what_is_not_a_bundle(tmp_path: Path) -> None:
    path = tmp_path / "b.arrow"
    with pytest.raises(FileNotFoundError, match="no such bundle"):
        next(read_bundle(path))
    path.write_bytes(b"ARROW1 but not really")
    with pytest.raises(ResultsError, match="not an Arrow file"):
        next(read_bundle(path))
    with pa.ipc.new_file(str(path), pa.schema([("x", pa.int8())])):
        pass
    with pytest.raises(ResultsError, match="not a starsift bundle"):
        next(read_bundle(path))
