"""Which spectra are asked, and when learning stops."""

import numpy as np
import pyarrow as pa
import pytest
from fixtures.emission_run import pool
from hypothesis import given
from hypothesis import strategies as st

from starsift.searches.emission.active import (
    STRATEGIES,
    bald,
    entropy,
    k_centre,
    margin,
    select_query,
    select_rows,
)
from starsift.searches.emission.classes import count_classes, probabilities


def test_scores_of_known_probabilities() -> None:
    p = np.array([[1, 0, 0], [1 / 3, 1 / 3, 1 / 3], [0.5, 0.5, 0]])
    np.testing.assert_allclose(entropy(p), [0, np.log(3), np.log(2)], atol=1e-12)
    np.testing.assert_allclose(margin(p), [0, 1, 1], atol=1e-12)
    # Networks that agree on being unsure tell nothing; those that contradict each other do.
    agree = np.full((4, 1, 3), 1 / 3)
    contradict = np.array([[[1, 0, 0]], [[0, 1, 0]]] * 2, float)
    np.testing.assert_allclose(bald(agree), 0, atol=1e-12)
    np.testing.assert_allclose(bald(contradict), np.log(2), atol=1e-12)


@given(st.integers(1, 30), st.integers(1, 40), st.integers(0, 1000))
def test_k_centre_covers(m: int, n: int, seed: int) -> None:
    x = np.random.default_rng(seed).normal(size=(m, 3))
    chosen = k_centre(x, n)
    assert len(chosen) == len(set(chosen.tolist())) == min(m, n)
    assert chosen[0] == 0
    # Greedy: every next one was the farthest from those before.
    for k in range(1, len(chosen)):
        apart = np.linalg.norm(x[:, None] - x[chosen[:k]][None], axis=2).min(axis=1)
        assert apart[chosen[k]] == pytest.approx(apart.max(), abs=1e-9)


def test_k_centre_does_not_ask_for_twins() -> None:
    x = np.repeat(np.eye(3), 5, axis=0)
    assert sorted(k_centre(x, 3) // 5) == [0, 1, 2]


def test_choice_is_of_the_highest_and_ties_keep_their_order() -> None:
    assert select_rows(np.array([1.0, 3, 2, 3]), 3).tolist() == [1, 3, 2]


@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
def test_a_query_asks_what_is_not_labelled(strategy: str) -> None:
    diverse = STRATEGIES[strategy].diverse
    table = pool(features=diverse)
    done = table["spectrum_id"].to_pylist()[:10]
    query = select_query(table, done, strategy=strategy, batch=8, sample=5, seed=3)
    rows = query.to_pylist()
    asked = [row["spectrum_id"] for row in rows if row["purpose"] == "query"]
    assert len(asked) == 8
    assert not set(asked) & set(done)
    assert [row["rank"] for row in rows] == [*range(8), *range(5)]
    sampled = [row for row in rows if row["purpose"] == "precision"]
    assert all(row["p_uninteresting"] < max(row["p_single"], row["p_double"]) for row in sampled)
    assert not {row["spectrum_id"] for row in sampled} & set(done)
    if not diverse:
        rest = [row for row in table.to_pylist() if row["spectrum_id"] not in done]
        best = sorted(rest, key=lambda row: (-row["score"], row["spectrum_id"]))[:8]
        assert asked == [row["spectrum_id"] for row in best]
    # The order of the pool, as bundles happen to come, does not matter.
    shuffled = table.take(pa.array(np.random.default_rng(1).permutation(table.num_rows)))
    assert select_query(shuffled, done, strategy=strategy, batch=8, sample=5, seed=3).equals(query)


def test_a_query_of_a_small_pool_asks_all() -> None:
    table = pool(6)
    query = select_query(table, [], strategy="entropy", batch=100, sample=30, seed=0)
    purposes = query["purpose"].to_pylist()
    assert purposes.count("query") == 6
    found = count_classes(probabilities(table))
    assert purposes.count("precision") == found["single peak"] + found["double peak"]
    assert sum(found.values()) == 6
