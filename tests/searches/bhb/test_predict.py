"""Predictions for a bundle: the network of its modality for each spectrum, and every row kept."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fixtures.bhb_data import SDSS, absorption_line
from fixtures.cutout_files import write_cutout
from fixtures.survey_files import identity_of

from starsift.searches.bhb import predict
from starsift.searches.bhb.inputs import FUSED, SINGLE
from starsift.spectra.batches import SpectrumBatch, write_bundle
from starsift.survey.cutouts import pack_cutouts


@pytest.mark.parametrize("rows", [2, 100])
def test_each_spectrum_has_the_network_of_its_modality(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    """Five spectra: with an image, without, one that could not be read, one too short, with an image."""
    names = [f"s{i}" for i in range(5)]
    flux = [absorption_line(i) for i in range(5)]
    good, clear = np.ones(SDSS.pixels), np.zeros(SDSS.pixels, bool)
    spectra: list[Any] = [(SDSS.wavelength, one, good, clear) for one in flux]
    spectra[2] = None
    spectra[3] = tuple(values[900:] for values in spectra[3])
    status = ["ok", "ok", "missing_file", "ok", "ok"]
    batch = SpectrumBatch.from_ragged(identity_of(names) | {"status": status}, spectra)
    write_bundle(tmp_path / "spectra.arrow", [batch])
    place = {"ra": [150.0] * 5, "dec": [20.0] * 5}
    pq.write_table(pa.table(identity_of(names, **place)), tmp_path / "manifest.parquet")
    for i in (0, 3, 4):
        write_cutout(tmp_path / f"{i}.fits", seed=i)
    limits = {"size": 16, "max_offset": 1.0, "max_bad": 0.01}
    cutouts = tmp_path / "cutouts.parquet"
    pack_cutouts(tmp_path / "manifest.parquet", tmp_path, "{fiberid}.fits", cutouts, **limits)

    def probability(network: float, inputs: list[np.ndarray]) -> np.ndarray:
        """The network's number, less for each image that it is given."""
        assert all(len(values) == len(inputs[0]) for values in inputs)
        return np.full(len(inputs[0]), network - 0.1 * (len(inputs) - 1))

    monkeypatch.setattr(predict, "bhb_probability", probability)
    monkeypatch.setattr(predict, "ROWS", rows)
    table = predict.predict_bundle(tmp_path / "spectra.arrow", cutouts, 0.9, 0.3, min_good=0.9)
    assert table.schema == predict.SCHEMA
    assert table["spectrum_id"].to_pylist() == names
    assert table["row"].to_pylist() == list(range(5))
    assert table["status"].to_pylist() == ["ok", "ok", "missing_file", "not_covered", "ok"]
    assert table["image_status"].to_pylist() == ["ok", "missing_file", "missing_file", "ok", "ok"]
    assert table["modality"].to_pylist() == [FUSED, SINGLE, None, None, FUSED]
    expected = [0.8, 0.3, None, None, 0.8]
    assert table["p_bhb"].to_pylist() == [pytest.approx(p) if p else None for p in expected]
