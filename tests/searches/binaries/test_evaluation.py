"""Folds of the cross-validation, and their summary."""

import numpy as np
import pytest
from fixtures.ccfs import SMALL, make_ccfs

from starsift.errors import TrainingError
from starsift.searches.binaries.evaluation import cross_validate_fold, split_fold, summarise_folds
from starsift.searches.binaries.voting import CALLS


def test_folds_test_every_row_once_and_keep_the_balance() -> None:
    label = np.repeat(np.arange(4), 25)
    tested = np.concatenate([split_fold(label, fold, 5, seed=1)[1] for fold in range(5)])
    assert np.array_equal(np.sort(tested), np.arange(100))
    train, test = split_fold(label, 2, 5, seed=1)
    assert np.bincount(label[test]).tolist() == [5, 5, 5, 5]
    assert not set(train) & set(test)
    with pytest.raises(TrainingError, match="fold 5 of 5: expected 0 to 4"):
        split_fold(label, 5, 5)
    with pytest.raises(TrainingError, match="30 folds need at least 30 examples"):
        split_fold(label, 0, 30)


def test_cross_validation_and_its_summary() -> None:
    coarse = make_ccfs(60, seed=1, points=101)
    results = [cross_validate_fold(*coarse, fold, 4, seed=2, **SMALL) for fold in range(2)]
    assert results[0]["n_train"] == 180
    tested = {name: r["n_test"] for name, r in results[0]["classifiers"].items()}
    assert tested == {"C1": 60, "C2": 60, "C3": 45, "C4": 45}
    rows = summarise_folds(results)
    assert [(row["classifier"], row["category"]) for row in rows] == [
        (name, category)
        for name in CALLS
        for category in ("overall", "L2", "L3")
        if category == "overall" or int(category[1]) in CALLS[name]
    ]
    values = [r["classifiers"]["C1"]["L2"]["f1"] for r in results]
    row = next(row for row in rows if (row["classifier"], row["category"]) == ("C1", "L2"))
    assert row["f1_mean"] == pytest.approx(np.mean(values))
    assert row["f1_std"] == pytest.approx(np.std(values, ddof=1))
    assert summarise_folds(results[:1])[0]["accuracy_std"] is None
    with pytest.raises(TrainingError, match="different folds"):
        summarise_folds([results[0], results[0]])
