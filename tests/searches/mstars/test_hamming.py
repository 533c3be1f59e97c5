"""Hamming search against brute force, with Numba and with every Keras backend."""

from collections.abc import Sequence

import numpy as np
import pytest
from fixtures.backends import other_backend, run_python
from hypothesis import given, settings
from hypothesis import strategies as st

from starsift.errors import TrainingError
from starsift.learning.backend import load_keras
from starsift.searches.mstars.hamming import (
    NEIGHBOURS,
    Marks,
    as_words,
    contrast,
    count_distances,
    cut_distances,
    mark_union,
    nearest_codes,
    rank_codes,
)
from starsift.searches.mstars.hashing import unpack

LENGTHS = (8, 40, 64, 104, 256, 320)


def random_codes(rng: np.random.Generator, n: int, bits: int) -> np.ndarray:
    return rng.integers(0, 256, (n, bits // 8), dtype=np.uint8)


def clustered(rng: np.random.Generator, n: int, bits: int, centres: int = 3) -> np.ndarray:
    """Codes near a few others, many of them equal: distances tie, and some are 0."""
    codes = random_codes(np.random.default_rng(7), centres, bits)[rng.integers(0, centres, n)]
    flips = rng.random((n, bits)) < rng.choice([0.0, 0.05, 0.5], (n, 1))
    return codes ^ np.packbits(flips, axis=1)


def all_distances(pool: np.ndarray, queries: np.ndarray) -> np.ndarray:
    """(n, m), by counting bits that differ."""
    return (unpack(pool)[:, None] != unpack(queries)[None]).sum(axis=2)


def search(parts: Sequence[np.ndarray], queries: np.ndarray, fraction: float = 0.1) -> list[Marks]:
    """Marks of the parts of a pool: counted over all of them first."""
    cuts = cut_distances(sum(count_distances(part, queries) for part in parts), fraction)
    return [mark_union(part, queries, cuts) for part in parts]


def brute_union(distance: np.ndarray, fraction: float) -> Marks:
    """Every query's list by sorting, one query at a time, then what the union says of each code."""
    n, m = distance.shape
    size = max(1, int(np.floor(fraction * n)))
    chosen, rank = np.zeros(n, int), np.full(n, np.iinfo(np.int64).max)
    nearest, apart = np.full(n, -1), np.full(n, np.iinfo(np.int64).max)
    for q in range(m):
        column = distance[:, q]
        last = np.sort(column)[size - 1]
        for i in np.flatnonzero(column <= last):
            chosen[i] += 1
            rank[i] = min(rank[i], 1 + (column < column[i]).sum())
            if column[i] < apart[i]:
                apart[i], nearest[i] = column[i], q
    none = chosen == 0
    rank[none] = apart[none] = -1
    return Marks(chosen, rank, nearest, apart)


def assert_same(found: Marks, expected: Marks) -> None:
    for name in Marks.__dataclass_fields__:
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name), err_msg=name)


def check_all(pool: np.ndarray, queries: np.ndarray, xp=np, fraction: float = 0.1, k: int = 4) -> None:
    """All three searches against brute force."""
    bits = 8 * pool.shape[1]
    distance = all_distances(pool, queries)
    counts = count_distances(pool, queries, xp=xp)
    expected = np.stack([np.bincount(column, minlength=bits + 1) for column in distance.T])
    assert counts.dtype == np.int64
    np.testing.assert_array_equal(counts, expected)
    marks = mark_union(pool, queries, cut_distances(counts, fraction), xp=xp)
    assert_same(marks, brute_union(distance, fraction))
    types = [getattr(marks, name).dtype for name in Marks.__dataclass_fields__]
    assert types == [np.int32, np.int64, np.int64, np.int16]
    near, index = nearest_codes(pool, queries, min(k, len(queries)), xp=xp)
    assert (near.dtype, index.dtype) == (np.int16, np.int64)
    order = np.argsort(distance, axis=1, kind="stable")[:, : near.shape[1]]
    np.testing.assert_array_equal(index, order)
    np.testing.assert_array_equal(near, np.take_along_axis(distance, order, axis=1))


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(LENGTHS),
    st.integers(1, 60),
    st.integers(1, 60),
    st.floats(0.001, 1.0),
    st.integers(0, 2**32 - 1),
)
def test_equals_brute_force_whatever_the_sizes(bits: int, n: int, m: int, fraction: float, seed: int) -> None:
    """Also where distances tie: of equal neighbours the first is named."""
    rng = np.random.default_rng(seed)
    check_all(clustered(rng, n, bits), clustered(rng, m, bits), fraction=fraction, k=int(rng.integers(1, 61)))


def test_equals_brute_force_over_several_blocks_and_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """More codes than a kernel and than a thread handle at a time."""
    rng = np.random.default_rng(11)
    pool, queries = random_codes(rng, 9003, 64), random_codes(rng, 70, 64)
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    check_all(pool, queries, k=3)
    check_all(queries, pool, k=40)


@pytest.mark.parametrize("bits", [40, 256])
def test_the_keras_backend_gives_the_same_exactly(bits: int) -> None:
    keras = load_keras()
    rng = np.random.default_rng(bits)
    for make in (random_codes, clustered):
        check_all(make(rng, 90, bits), make(rng, 17, bits), xp=keras.ops)


def test_the_keras_backend_gives_the_same_over_several_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    keras = load_keras()
    monkeypatch.setattr("starsift.searches.mstars.hamming.TENSOR", 40)
    rng = np.random.default_rng(12)
    pool, queries = clustered(rng, 130, 64), clustered(rng, 25, 64)
    check_all(pool, queries, xp=keras.ops)
    scores = [contrast(pool, queries[:9], queries[9:], 5, xp=xp) for xp in (np, keras.ops)]
    np.testing.assert_allclose(*scores, rtol=1e-6)


def test_the_keras_backend_takes_an_empty_part() -> None:
    check_empty(load_keras().ops)


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_passes_its_tests_on(backend: str) -> None:
    arguments = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "keras_backend", __file__]
    result = run_python(*arguments, KERAS_BACKEND=other_backend(backend))
    assert result.returncode == 0, result.stdout[-4000:]
    assert "4 passed" in result.stdout


def check_empty(xp) -> None:
    queries = random_codes(np.random.default_rng(0), 5, 64)
    nobody = queries[:0]
    counts = count_distances(nobody, queries, xp=xp)
    np.testing.assert_array_equal(counts, np.zeros((5, 65)))
    cuts = cut_distances(count_distances(queries, queries, xp=xp), fraction=0.1)
    assert mark_union(nobody, queries, cuts, xp=xp).n_queries.shape == (0,)
    near, index = nearest_codes(nobody, queries, 2, xp=xp)
    assert near.shape == index.shape == (0, 2)


def test_an_empty_part_of_a_pool_is_no_error() -> None:
    check_empty(np)


def test_a_cut_keeps_all_that_tie_with_the_last() -> None:
    counts = np.zeros((3, 9), np.int64)
    counts[0, [1, 3, 8]] = 4, 10, 86  # the tenth of 100 is one of ten at distance 3
    counts[1, [0, 2, 8]] = 10, 1, 89  # ten at distance 0 are exactly a tenth
    counts[2, 5] = 100  # all tie
    cuts = cut_distances(counts, 0.1)
    assert cuts.cut.tolist() == [3, 0, 5]
    assert cuts.rank[0, [1, 2, 3, 4, 8]].tolist() == [1, 5, 5, 15, 15]
    assert cuts.rank[2, 5] == 1


def test_a_small_pool_keeps_at_least_one_code_a_query() -> None:
    """Fewer codes than queries, and a fraction of less than one code."""
    rng = np.random.default_rng(3)
    pool, queries = random_codes(rng, 3, 64), random_codes(rng, 50, 64)
    check_all(pool, queries, fraction=0.1)
    (marks,) = search([pool], queries)
    assert marks.n_queries.sum() >= 50
    assert marks.best_rank.max() == 1
    (one,) = search([pool[:1]], queries)
    assert (one.n_queries[0], one.best_rank[0]) == (50, 1)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 80), max_size=4), st.integers(0, 1000))
def test_a_pool_in_parts_gives_what_it_gives_in_one(at: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    pool, queries = clustered(rng, 80, 40), clustered(rng, 12, 40)
    parts = np.split(pool, sorted(at))  # some of them empty
    found = search(parts, queries, 0.2)
    assert [len(marks.n_queries) for marks in found] == [len(part) for part in parts]
    columns = (
        np.concatenate([getattr(marks, name) for marks in found]) for name in Marks.__dataclass_fields__
    )
    assert_same(Marks(*columns), brute_union(all_distances(pool, queries), 0.2))


def test_contrast_is_positive_beside_the_positive_sample() -> None:
    rng = np.random.default_rng(8)
    centres = random_codes(rng, 2, 256)

    def around(centre: np.ndarray, n: int) -> np.ndarray:
        return centre ^ np.packbits(rng.random((n, 256)) < 0.1, axis=1)

    positive, negative = around(centres[0], 40), around(centres[1], 60)
    assert contrast(around(centres[0], 30), positive, negative).min() > 20
    assert contrast(around(centres[1], 30), positive, negative).max() < -20
    pool = random_codes(rng, 30, 256)
    score = contrast(pool, positive, negative, 5)
    np.testing.assert_array_equal(contrast(pool, negative, positive, 5), -score)
    nearest = [np.sort(all_distances(pool, codes))[:, :5].mean(axis=1) for codes in (positive, negative)]
    np.testing.assert_allclose(score, nearest[1] - nearest[0], rtol=1e-6)
    # Of a sample smaller than k, all count.
    few = np.sort(all_distances(pool, positive[:3])).mean(axis=1)
    np.testing.assert_allclose(contrast(pool, positive[:3], negative, 5), nearest[1] - few, rtol=1e-6)


def test_input_that_does_not_fit_is_one_sentence() -> None:
    rng = np.random.default_rng(0)
    pool, queries = random_codes(rng, 20, 64), random_codes(rng, 5, 64)
    cuts = cut_distances(count_distances(pool, queries), fraction=0.1)
    longer = random_codes(rng, 5, 128)
    searches = (
        count_distances,
        lambda p, q: mark_union(p, q, cuts),
        lambda p, q: nearest_codes(p, q, 1),
        lambda p, q: contrast(p, q, q),
    )
    for run in searches:
        with pytest.raises(TrainingError, match="codes of the pool have 64 bits, those of the queries 128"):
            run(pool, longer)
        with pytest.raises(TrainingError, match=r"codes of the pool are int64 \(20, 8\): expected uint8"):
            run(pool.astype(int), queries)
        with pytest.raises(TrainingError, match=r"codes of the queries are uint8 \(5,\)"):
            run(pool, queries[:, 0])
    with pytest.raises(TrainingError, match="4 queries, but cuts of 5"):
        mark_union(pool, queries[:4], cuts)
    for k in (0, 6):
        with pytest.raises(TrainingError, match=f"k is {k}: there are 5 codes"):
            nearest_codes(pool, queries, k)
    for fraction in (0.0, -0.1, 1.1, float("nan")):
        with pytest.raises(TrainingError, match=r"fraction is .*: expected more than 0 and at most 1"):
            search([pool], queries, fraction)
    for parts, sought in (([pool[:0]], queries), ([pool], queries[:0])):
        with pytest.raises(TrainingError, match="no queries or an empty pool"):
            search(parts, sought)


def test_short_codes_are_filled_up_to_words() -> None:
    codes = random_codes(np.random.default_rng(1), 6, 40)
    words = as_words(codes)
    assert words.shape == (6, 1)
    assert words.dtype == np.uint64
    np.testing.assert_array_equal(words.view(np.uint8)[:, :5], codes)
    assert not words.view(np.uint8)[:, 5:].any()


def test_rankings() -> None:
    rng = np.random.default_rng(0)
    pool, positive, negative = (rng.integers(0, 256, (n, 8), dtype=np.uint8) for n in (20, 30, 40))
    apart = (np.unpackbits(pool, axis=1)[:, None] != np.unpackbits(positive, axis=1)).sum(axis=2)
    nearest = rank_codes(pool, positive, negative, "nearest")
    assert nearest.dtype == np.float32
    np.testing.assert_array_equal(nearest, -apart.min(axis=1))
    np.testing.assert_array_equal(
        rank_codes(pool, positive, negative, "contrast"), contrast(pool, positive, negative, NEIGHBOURS)
    )
    for ranking in ("query", "farthest"):
        with pytest.raises(TrainingError, match=f"ranking is '{ranking}'"):
            rank_codes(pool, positive, negative, ranking)
