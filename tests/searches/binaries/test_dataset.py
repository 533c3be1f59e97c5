"""The training set: labelled CCFs of simulated spectra."""

from collections.abc import Iterator

import numpy as np
import pytest
from fixtures.settings import BINARIES

from starsift.errors import TrainingError
from starsift.searches.binaries import dataset
from starsift.searches.binaries.dataset import training_set


@pytest.fixture(scope="module", autouse=True)
def small_chunks() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dataset, "CHUNK", 128)
        yield


@pytest.fixture(scope="module")
def examples(laboratory):
    return training_set(laboratory, seed=3, **BINARIES["training"] | {"per_class": 40})


def test_training_set_is_balanced_and_holds_what_it_says(examples):
    label, seen = examples["label"].to_numpy(), examples["n_components"].to_numpy()
    ccf = np.stack(examples["ccf"].to_numpy())
    assert np.bincount(label).tolist() == [40] * 4
    noise = ccf[label == 0]
    assert (noise.max(axis=1) < 3 * noise.std(axis=1)).all()
    assert (seen[label == 3] == 3).all()
    assert (seen[label == 2] >= 2).all()
    assert (seen[label == 1] > 1).mean() > 0.1  # single stars that look double to the CCF step
    gaps = np.concatenate([np.diff(rv) for rv in examples["rv"].to_pylist() if len(rv) > 1])
    assert 60 <= gaps.min() < gaps.max() <= 250


def test_training_set_without_hard_cases_is_the_papers(laboratory):
    settings = {**BINARIES["training"], "per_class": 40, "hard_fraction": 0.0, "hierarchical": False}
    table = training_set(laboratory, seed=1, **settings)
    seen, label = table["n_components"].to_numpy(), table["label"].to_numpy()
    assert (seen[label == 2] == 2).all()
    assert (seen[label == 3] == 3).all()


def test_a_class_that_cannot_be_filled_says_so(laboratory, monkeypatch):
    monkeypatch.setattr(dataset._collect, "__kwdefaults__", {"rounds": 2, "partial": False})
    settings = {**BINARIES["training"], "per_class": 200, "snr": [0.05, 0.1]}
    with pytest.raises(TrainingError, match=r"class L\d were found.*training\.snr"):
        training_set(laboratory, seed=1, **settings)
