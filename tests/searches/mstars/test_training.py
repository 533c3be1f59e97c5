"""The hasher's training sample: spectra and their noisy copies."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from starsift.searches.mstars.calibration import Calibration
from starsift.searches.mstars.dataset import Sample
from starsift.searches.mstars.features import represent
from starsift.searches.mstars.hashing import codes_of
from starsift.searches.mstars.model import Model
from starsift.searches.mstars.training import REFERENCE, train_reference

Trained = tuple[Model, pa.Table, Calibration]
SETTINGS: dict[str, Any] = {"method": "discriminant", "bits": 64, "copies": 1, "copy_snr": (1.0, 4.0)}


def test_reference_is_the_sample_and_then_its_copies(sample: Sample, trained: Trained) -> None:
    model, reference, calibration = trained
    assert reference.schema.equals(REFERENCE)
    # Spectra of class UNKNOWN have no copies.
    rows = [*range(60), *(i for i in range(60) if i % 6 != 5)]
    assert reference["is_copy"].to_pylist() == [False] * 60 + [True] * 50
    for name in ("spectrum_id", "role", "subclass"):
        assert reference[name].equals(sample.table[name].take(rows)), name
    codes = model.encode(sample.flux, sample.ivar, sample.zero)
    np.testing.assert_array_equal(codes_of(reference["code"].slice(0, 60)), codes)
    assert (codes_of(reference["code"]) != codes[rows]).any(axis=1)[60:].mean() > 0.5
    assert calibration.slope > 0
    assert 0.5 < calibration.prior < 0.9


def test_same_seed_same_reference(sample: Sample, trained: Trained) -> None:
    again = train_reference(sample, seed=3, **SETTINGS)
    assert again[1].equals(trained[1])
    assert again[2] == trained[2]
    assert not train_reference(sample, seed=4, **SETTINGS)[1].equals(trained[1])


def test_unknown_spectra_say_how_the_pool_scores(sample: Sample, monkeypatch: pytest.MonkeyPatch) -> None:
    # Copies of 40 M stars, against them 10 spectra of class UNKNOWN, with copies of 10 K stars or without.
    assert train_reference(sample, seed=3, **SETTINGS)[2].prior == pytest.approx(40 / 60)
    monkeypatch.setattr("starsift.searches.mstars.training.ENOUGH_UNKNOWN", 10)
    assert train_reference(sample, seed=3, **SETTINGS)[2].prior == pytest.approx(40 / 50)


def test_reference_without_copies(sample: Sample) -> None:
    settings = SETTINGS | {"method": "PIL", "bits": 32, "copies": 0}
    model, reference, calibration = train_reference(sample, seed=0, **settings)
    assert reference["spectrum_id"].to_pylist() == sample.ids.tolist()
    assert not any(reference["is_copy"].to_pylist())
    assert calibration.prior == pytest.approx(2 / 3)
    features = represent(sample.flux, sample.ivar, sample.zero, "flux")
    np.testing.assert_array_equal(codes_of(reference["code"]), model.hasher.transform(features))
