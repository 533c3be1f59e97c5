"""Windows of a bundle as a file, and the training set that is made of them."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fixtures.spectra import make_batch

from starsift.errors import InputError
from starsift.searches.emission.classes import PIXELS
from starsift.searches.emission.dataset import (
    WINDOW,
    add_windows,
    read_label_codes,
    read_usable,
    window_bundle,
)
from starsift.spectra.batches import write_bundle
from starsift.spectra.resample import LAMOST_LRS


@pytest.fixture
def windows(tmp_path: Path) -> Path:
    """Of four spectra, the second of which could not be read and the third without pixels around H alpha."""
    wave = LAMOST_LRS.wavelength
    flux = 100 + np.random.default_rng(0).normal(0, 1, (4, wave.size))
    flux[2, np.abs(wave - 6564.6) < 200] = np.nan
    batch = make_batch(flux, status=["ok", "truncated", "ok", "ok"])
    write_bundle(tmp_path / "night.arrow", [batch], rows=3)
    table = window_bundle(tmp_path / "night.arrow", min_good=0.5)
    assert table["row"].to_pylist() == [0, 1, 2, 3]
    assert table["status"].to_pylist() == ["ok", "truncated", "too_few_pixels", "ok"]
    assert table["window"].is_null().to_pylist() == [False, True, True, False]
    pq.write_table(table, tmp_path / "night.parquet")
    return tmp_path / "night.parquet"


def test_only_usable_spectra_have_windows(windows: Path) -> None:
    rows, values = read_usable(windows)
    assert rows.to_pylist() == [{"spectrum_id": "s0", "row": 0}, {"spectrum_id": "s3", "row": 3}]
    assert values.shape == (2, PIXELS)
    np.testing.assert_allclose([values.min(axis=1), values.max(axis=1)], [[-1, -1], [1, 1]], atol=1e-6)


def test_rows_get_their_windows(windows: Path) -> None:
    rows = pa.table({"bundle": ["night", "night"], "spectrum_id": ["s3", "s0"]})
    table = add_windows(rows, [windows])
    assert table.schema.field("window").type == WINDOW
    _, values = read_usable(windows)
    np.testing.assert_array_equal(np.array(table["window"].to_pylist(), np.float32), values[::-1])


def test_a_row_without_a_window_is_named(windows: Path) -> None:
    with pytest.raises(InputError, match=r"no window of spectrum s9; delete"):
        add_windows(pa.table({"bundle": ["night"], "spectrum_id": ["s9"]}), [windows])


@pytest.mark.parametrize("label", [pa.array([1, 0]), pa.array([1.0, 0.0]), pa.array([" 1", "0.0"])])
def test_label_codes_may_be_numbers_in_any_format(tmp_path: Path, label: pa.Array) -> None:
    pq.write_table(pa.table({"ID": ["uc1", "uc2"], "Label": label}), tmp_path / "t.parquet")
    by_text = tmp_path / "t.csv"
    by_text.write_text("id,label\nuc1,1\nuc2,0\n")
    assert read_label_codes(tmp_path / "t.parquet") == read_label_codes(by_text)
