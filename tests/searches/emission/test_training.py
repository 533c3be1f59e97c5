"""Training of the network: balance, stopping, and going on from another network."""

from pathlib import Path

import numpy as np
import pytest
from fixtures.emission_data import windows
from fixtures.settings import EMISSION

from starsift.errors import TrainingError
from starsift.learning.backend import load_network, save_network
from starsift.searches.emission.network import predict
from starsift.searches.emission.training import balance, train


def test_smote_balances_without_touching_the_given() -> None:
    x, y = windows(60, 1)
    more, labels = balance(x, y, seed=0)
    assert np.bincount(labels).tolist() == [np.bincount(y).max()] * 3
    np.testing.assert_array_equal(more[:60], x)
    # Synthetic examples lie between two of their class.
    for row, label in zip(more[60:63], labels[60:63], strict=True):
        own = x[y == label]
        assert (row >= own.min(axis=0) - 1e-5).all()
        assert (row <= own.max(axis=0) + 1e-5).all()


def test_too_few_examples_are_named() -> None:
    x, y = windows(60, 1)
    y = np.where(y == 1, 0, y)
    with pytest.raises(TrainingError, match="double peak 0"):
        train(x, y, seed=0, **EMISSION["training"])
    # Two are enough, with fewer neighbours.
    y[:2] = 1
    assert np.bincount(balance(x, y, seed=0)[1]).min() > 10


def test_training_ends_without_improvement_and_goes_on_from_a_network(tmp_path: Path) -> None:
    path = tmp_path / "first.keras"
    x, y = windows(150, 0)
    save_network(train(x, y, seed=5, **EMISSION["training"] | {"max_epochs": 5}).model, path)
    # Nothing after the first epoch improves by 10: two more are waited for, and its weights are kept.
    more = train(x, y, seed=5, start=path, **EMISSION["training"] | {"min_delta": 10.0, "patience": 2})
    once = train(x, y, seed=5, start=path, **EMISSION["training"] | {"max_epochs": 1})
    assert (more.epochs, once.epochs) == (3, 1)
    assert more.loss == once.loss < 0.8 * train(x, y, seed=5, **EMISSION["training"] | {"max_epochs": 1}).loss
    for a, b in zip(more.model.get_weights(), once.model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_same_seed_same_bytes(tmp_path: Path) -> None:
    x, y = windows(40, 3)
    for name in ("a", "b"):
        trained = train(x, y, seed=7, **EMISSION["training"] | {"max_epochs": 1})
        save_network(trained.model, tmp_path / f"{name}.keras")
    assert (tmp_path / "a.keras").read_bytes() == (tmp_path / "b.keras").read_bytes()
    np.testing.assert_array_equal(predict(load_network(tmp_path / "a.keras"), x), predict(trained.model, x))
