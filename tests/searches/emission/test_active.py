"""Which spectra are asked, and when learning stops."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from starsift.errors import InputError
from starsift.learning.labels import label_digest
from starsift.searches.emission.active import (
    STRATEGIES,
    answer,
    bald,
    choose,
    count_classes,
    entropy,
    judge_round,
    k_centre,
    make_query,
    margin,
)


def pool(n: int = 50, seed: int = 0, features: bool = False) -> pa.Table:
    rng = np.random.default_rng(seed)
    p = rng.dirichlet([1, 1, 1], n)
    columns: dict[str, Any] = {
        "spectrum_id": [f"s{i:03d}" for i in rng.permutation(n)],
        "bundle": ["b"] * n,
        "row": np.arange(n),
        "p_single": p[:, 0].astype(np.float32),
        "p_double": p[:, 1].astype(np.float32),
        "p_uninteresting": p[:, 2].astype(np.float32),
        "score": entropy(p).astype(np.float32),
    }
    if features:
        known = np.argsort(-columns["score"])[:40]
        columns["features"] = [rng.normal(size=4).tolist() if i in known else None for i in range(n)]
    return pa.table(columns)


def labels(names: list[str], kind: str = "uninteresting") -> pa.Table:
    n = len(names)
    return pa.table(
        {"spectrum_id": names, "label": [kind] * n, "class": [kind] * n, "vetted_by": ["who"] * n}
    )


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
    assert choose(np.array([1.0, 3, 2, 3]), 3).tolist() == [1, 3, 2]


@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
def test_a_query_asks_what_is_not_labelled(strategy: str) -> None:
    diverse = STRATEGIES[strategy].diverse
    table = pool(features=diverse)
    done = table["spectrum_id"].to_pylist()[:10]
    query = make_query(table, done, strategy=strategy, batch=8, sample=5, seed=3)
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
    assert make_query(shuffled, done, strategy=strategy, batch=8, sample=5, seed=3).equals(query)


def test_a_query_of_a_small_pool_asks_all() -> None:
    table = pool(6)
    query = make_query(table, [], strategy="entropy", batch=100, sample=30, seed=0)
    purposes = query["purpose"].to_pylist()
    assert purposes.count("query") == 6
    found = count_classes(table)["predicted"]
    assert purposes.count("precision") == found["single peak"] + found["double peak"]
    assert sum(found.values()) == 6


def test_missing_labels_stop_with_a_number_and_advice() -> None:
    query = make_query(pool(), [], strategy="entropy", batch=8, sample=0, seed=0)
    names = query["spectrum_id"].to_pylist()
    with pytest.raises(InputError, match=r"^3 of 8 spectra have no label yet: open the app$"):
        answer(query, labels(names[3:]), advice="open the app")
    answered = answer(query, labels(names[::-1]), advice="")
    assert answered["label"].to_pylist() == ["uninteresting"] * 8
    assert answered["vetted_by"].to_pylist() == ["who"] * 8
    best = np.argmax([query[name].to_numpy() for name in ("p_single", "p_double", "p_uninteresting")], axis=0)
    expected = np.array(["single peak", "double peak", "uninteresting"])[best]
    assert answered["predicted"].to_pylist() == expected.tolist()


def rounds(precisions: list[float | None], **stop: Any) -> list[dict[str, Any]]:
    before: list[dict[str, Any]] = []
    for precision in precisions:
        n = 0 if precision is None else 10
        right = 0 if precision is None else round(precision * n)
        answered = pa.table(
            {
                "purpose": ["query"] * 4 + ["precision"] * n,
                "label": ["uninteresting"] * 4 + ["double peak"] * right + ["uninteresting"] * (n - right),
            }
        )
        settings = {"threshold": 0.8, "passes": 3, "max_rounds": 20} | stop
        before.append(judge_round(answered, before, **settings))
    return before


def test_learning_stops_at_the_third_pass() -> None:
    story = rounds([None, 0.5, 0.9, 0.8, 1.0, 0.3, 0.9])
    assert [state["passed"] for state in story] == [0, 0, 1, 1, 2, 2, 3]
    assert [state["stop"] for state in story] == [False] * 6 + [True]
    assert [state["n_labelled"] for state in story] == [4, 8, 12, 16, 20, 24, 28]
    assert story[0]["precision"] is None
    assert story[1]["precision"] == 0.5
    assert story[1]["true_positives"] == 5


def test_learning_stops_after_the_last_round() -> None:
    assert [state["stop"] for state in rounds([0.1, 0.1, 0.1], max_rounds=3)] == [False, False, True]


def test_labels_elsewhere_do_not_change_a_digest() -> None:
    asked = pa.chunked_array([["a", "b"]])
    told = label_digest(labels(["a", "b"]), asked)
    assert label_digest(labels(["z", "b", "a"]), asked) == told
    assert label_digest(labels(["a"]), asked) != told
    assert label_digest(labels(["a", "b"], "single peak"), asked) != told
    assert label_digest(labels(["a", "b"])) == told
