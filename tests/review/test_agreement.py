"""Agreement between people."""

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from starsift.review.agreement import cohen_kappa, measure_agreement


def test_kappa_of_a_table_by_hand() -> None:
    # Both agree on 35 of 50; by chance they would on 25.
    table = {("yes", "yes"): 20, ("yes", "no"): 5, ("no", "yes"): 10, ("no", "no"): 15}
    assert cohen_kappa(table) == pytest.approx(0.4)


def test_kappa_as_scikit_learn_has_it() -> None:
    rng = np.random.default_rng(3)
    first = rng.integers(0, 4, 200)
    second = np.where(rng.random(200) < 0.6, first, rng.integers(0, 4, 200))
    table: dict[tuple[str, str], int] = {}
    for pair in zip(first.astype(str).tolist(), second.astype(str).tolist(), strict=True):
        table[pair] = table.get(pair, 0) + 1
    assert cohen_kappa(table) == pytest.approx(cohen_kappa_score(first, second))


def test_extremes_of_kappa() -> None:
    assert cohen_kappa({("a", "a"): 3, ("b", "b"): 2}) == 1
    assert cohen_kappa({("a", "b"): 3, ("b", "a"): 3}) == -1
    assert cohen_kappa({("a", "a"): 3}) is None
    assert cohen_kappa({}) is None


def test_counts_and_pairs() -> None:
    votes = {
        "s1": [("ann", "bad", 0), ("bob", "bad", 0)],
        "s2": [("bob", "good", 1), ("ann", "bad", 0)],
        "s3": [("ann", "good", 0), ("bob", "good", 0), ("eve", "good", 0)],
        "s4": [("eve", None, 1), ("ann", "good", 0)],
    }
    found = measure_agreement(votes)
    assert found["counts"] == {"bad": {"ann": 2, "bob": 1}, "good": {"ann": 2, "bob": 2, "eve": 1}}
    pairs = {tuple(pair["people"]): (pair["both"], pair["differ"], pair["kappa"]) for pair in found["pairs"]}
    assert pairs == {
        ("ann", "bob"): (3, 1, pytest.approx((2 * 3 - 4) / (9 - 4))),
        ("ann", "eve"): (1, 0, None),
        ("bob", "eve"): (1, 0, None),
    }
