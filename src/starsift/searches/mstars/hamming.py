"""Search of binary codes by Hamming distance: every code of a pool against every query.

Guo et al. 2019, section 3.6: for every query, the tenth of the pool that is nearest; then the union over
queries. Distances are integers from 0 to bits, so nothing is sorted: a first pass counts, for each query, how
many codes lie at each distance, which gives its cut and the rank of every distance; a second pass marks. Both
go through the pool part by part, so that it never has to fit in memory.

Codes are packed bytes (n, bits / 8), as the hashers make them. The Numba kernels work on 64-bit words; with
`keras.ops` as `xp` the same results come from matrix products of +-1 codes on the Keras backend (a GPU).
"""

from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
from numba import types
from numba.extending import intrinsic

from starsift.errors import TrainingError
from starsift.kernels import njit
from starsift.parallel import map_chunks
from starsift.searches.mstars.hashing import unpack

BLOCK = 4096  # codes a kernel handles at a time: their distances stay in the first-level cache
FEW = 64  # distances whose least is compared with the worst of the neighbours found
QUERIES = 64  # of one task of a thread that counts
PART = 2048  # pool codes of one task of a thread that marks or looks for neighbours
TENSOR = 1024  # pool codes a matrix product on a Keras backend
RANKINGS = ("contrast", "nearest", "query")
NEIGHBOURS = 10  # codes of each sample that a contrast looks at


@dataclass(frozen=True)
class Cuts:
    """For each of m queries: `cut` (m,) int16, the largest distance that is kept; `rank` (m, bits + 1) int64,
    the place in its list of a code at each distance (1 is the nearest; codes at one distance share a place).
    """

    cut: np.ndarray
    rank: np.ndarray


@dataclass(frozen=True)
class Marks:
    """For each of n pool codes: `n_queries` (n,) int32, how many queries keep it; `best_rank` (n,) int64, its
    best place in their lists; `nearest` (n,) int64 and `distance` (n,) int16, the nearest of these queries
    (the first of several) and how far it is. A code that no query keeps has 0, and -1 in the others."""

    n_queries: np.ndarray
    best_rank: np.ndarray
    nearest: np.ndarray
    distance: np.ndarray


def _emit_popcount(typing_context: Any, x: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return types.uint64(types.uint64), generate


_popcount: Any = intrinsic(_emit_popcount)


@njit(nogil=True, cache=True)
def _distances(code: np.ndarray, words: np.ndarray, out: np.ndarray) -> None:
    """Distances of one code (w,) to codes (w, n); written out for the usual lengths, to vectorise."""
    n = words.shape[1]
    if words.shape[0] == 1:
        a = code[0]
        x = words[0]
        for i in range(n):
            out[i] = _popcount(x[i] ^ a)
    elif words.shape[0] == 2:
        a, b = code[0], code[1]
        x, y = words[0], words[1]
        for i in range(n):
            out[i] = _popcount(x[i] ^ a) + _popcount(y[i] ^ b)
    elif words.shape[0] == 4:
        a, b, c, d = code[0], code[1], code[2], code[3]
        x, y, z, t = words[0], words[1], words[2], words[3]
        for i in range(n):
            half = _popcount(x[i] ^ a) + _popcount(y[i] ^ b)
            out[i] = half + _popcount(z[i] ^ c) + _popcount(t[i] ^ d)
    else:
        for i in range(n):
            total = np.uint64(0)
            for k in range(words.shape[0]):
                total += _popcount(words[k, i] ^ code[k])
            out[i] = total


@njit(nogil=True, cache=True)
def _count(pool: np.ndarray, queries: np.ndarray, counts: np.ndarray) -> None:
    n = pool.shape[1]
    near = np.empty(BLOCK, np.uint16)
    # Neighbours are often at one distance; in four tables they do not wait for one another.
    table = np.zeros((4, counts.shape[1]), np.uint32)
    for start in range(0, n, BLOCK):
        part = np.ascontiguousarray(pool[:, start : start + BLOCK])
        m = part.shape[1]
        fours = m - m % 4
        for q in range(queries.shape[0]):
            _distances(queries[q], part, near)
            table[:] = 0
            for i in range(0, fours, 4):
                table[0, near[i]] += 1
                table[1, near[i + 1]] += 1
                table[2, near[i + 2]] += 1
                table[3, near[i + 3]] += 1
            for i in range(fours, m):
                table[0, near[i]] += 1
            for k in range(counts.shape[1]):
                counts[q, k] += table[0, k] + table[1, k] + table[2, k] + table[3, k]


@njit(nogil=True, cache=True)
def _mark(
    pool: np.ndarray,
    queries: np.ndarray,
    cut: np.ndarray,
    rank: np.ndarray,
    chosen: np.ndarray,
    best: np.ndarray,
    nearest: np.ndarray,
    distance: np.ndarray,
) -> None:
    n = pool.shape[1]
    part = np.ascontiguousarray(pool)
    near = np.empty(n, np.uint16)
    kept = np.empty(n + 1, np.uint16)
    for q in range(queries.shape[0]):
        _distances(queries[q], part, near)
        # A list without branches, which would be guessed wrong at every tenth code.
        count = 0
        for i in range(n):
            kept[count] = i
            count += near[i] <= cut[q]
        for j in range(count):
            i = kept[j]
            d = near[i]
            chosen[i] += 1
            best[i] = min(best[i], rank[q, d])
            if d < distance[i]:
                distance[i] = d
                nearest[i] = q


@njit(nogil=True, cache=True)
def _nearest(
    pool: np.ndarray, queries: np.ndarray, distance: np.ndarray, index: np.ndarray, bits: int
) -> None:
    """The k nearest of `queries` (w, m) for each of `pool` (n, w); both outputs (n, k), ascending."""
    k = distance.shape[1]
    near = np.empty(BLOCK, np.uint16)
    distance[:] = bits + 1
    for start in range(0, queries.shape[1], BLOCK):
        part = np.ascontiguousarray(queries[:, start : start + BLOCK])
        m = part.shape[1]
        for s in range(pool.shape[0]):
            _distances(pool[s], part, near)
            worst = np.int64(distance[s, k - 1])
            for first in range(0, m, FEW):
                last = min(first + FEW, m)
                least = near[first]
                for j in range(first, last):  # no branches: a vector minimum
                    least = min(least, near[j])
                if least >= worst:  # of equals, the first stays
                    continue
                for j in range(first, last):
                    d = np.int64(near[j])
                    if d < worst:
                        at = k - 1
                        while at > 0 and distance[s, at - 1] > d:
                            distance[s, at] = distance[s, at - 1]
                            index[s, at] = index[s, at - 1]
                            at -= 1
                        distance[s, at] = d
                        index[s, at] = start + j
                        worst = np.int64(distance[s, k - 1])


def count_distances(pool: np.ndarray, queries: np.ndarray, *, xp: ModuleType = np) -> np.ndarray:
    """How many codes of a pool lie at each distance from each query.

    Parameters
    ----------
    pool : (n, bytes) uint8; queries : (m, bytes) uint8
    xp : numpy for the Numba kernel, or keras.ops for the Keras backend

    Returns (m, bits + 1) int64; counts of the parts of a pool add up. Raises TrainingError: codes are not
    packed bytes, or differ in length.
    """
    _check_codes(pool, queries)
    bits = 8 * queries.shape[1]
    if xp is not np:
        return _count_tensors(pool, queries, xp)
    words = as_words(queries)
    columns = np.ascontiguousarray(as_words(pool).T)
    counts = np.zeros((len(queries), bits + 1), np.int64)
    # Each thread counts the pool's codes for some of the queries, so that nothing is summed afterwards.
    map_chunks(lambda part: _count(columns, words[part], counts[part]), len(queries), QUERIES)
    return counts


def cut_distances(counts: np.ndarray, fraction: float) -> Cuts:
    """Where each query's list ends: the smallest distance within which lies `fraction` of the pool.

    Codes at the same distance as the last one are kept too: their order would be arbitrary. `counts` (m, bits
    + 1) are over all parts of the pool, of `count_distances`. Raises TrainingError if the fraction is not in
    (0, 1], or the pool is empty.
    """
    if not 0.0 < fraction <= 1.0:
        raise TrainingError(f"fraction is {fraction}: expected more than 0 and at most 1, such as 0.1")
    below = np.cumsum(counts, axis=1)
    total = below[:, -1]
    if not len(counts) or not (total > 0).all():
        raise TrainingError("the search has no queries or an empty pool: there is nothing to rank")
    size = np.maximum(1, np.floor(fraction * total)).astype(np.int64)
    cut = (below < size[:, None]).sum(axis=1)
    return Cuts(cut.astype(np.int16), below - counts + 1)


def mark_union(pool: np.ndarray, queries: np.ndarray, cuts: Cuts, *, xp: ModuleType = np) -> Marks:
    """Which codes of a part of the pool are in any query's list, and how well each did.

    `pool` (n, bytes) and `queries` (m, bytes), those of `cuts`, are uint8. Raises TrainingError if codes are
    not packed bytes, differ in length, or are not those of the cuts.
    """
    _check_codes(pool, queries)
    if len(cuts.cut) != len(queries) or cuts.rank.shape[1] != 8 * queries.shape[1] + 1:
        raise TrainingError(
            f"{len(queries)} queries, but cuts of {len(cuts.cut)}: count again with these queries"
        )
    if xp is not np:
        return _mark_tensors(pool, queries, cuts, xp)
    n = len(pool)
    words = as_words(queries)
    columns = np.ascontiguousarray(as_words(pool).T)
    chosen, nearest = np.zeros(n, np.int32), np.full(n, -1, np.int32)
    distance = np.full(n, 8 * queries.shape[1] + 1, np.uint16)
    dtype: Any = np.int32 if cuts.rank.max() < np.iinfo(np.int32).max else np.int64
    rank = np.ascontiguousarray(cuts.rank, dtype)
    best = np.full(n, cuts.rank.max(), dtype)
    limits = cuts.cut.astype(np.uint16)

    def work(part: slice) -> None:
        _mark(columns[:, part], words, limits, rank, chosen[part], best[part], nearest[part], distance[part])

    map_chunks(work, n, PART)
    return _marks(chosen, best, nearest, distance)


def nearest_codes(
    pool: np.ndarray, queries: np.ndarray, k: int = 10, *, xp: ModuleType = np
) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest queries (m, bytes) of every code of a pool (n, bytes), uint8; m >= k.

    Returns distance (n, k) int16 and index (n, k) int64 into the queries, ascending by distance, then by
    index. Raises TrainingError if codes are not packed bytes, differ in length, or there are fewer queries
    than k.
    """
    _check_codes(pool, queries)
    if not 1 <= k <= len(queries):
        raise TrainingError(f"k is {k}: there are {len(queries)} codes to choose from")
    if xp is not np:
        return _nearest_tensors(pool, queries, k, xp)
    distance, index = np.empty((len(pool), k), np.int16), np.empty((len(pool), k), np.int64)
    words, columns = as_words(pool), np.ascontiguousarray(as_words(queries).T)
    bits = 8 * queries.shape[1]

    def work(part: slice) -> None:
        _nearest(words[part], columns, distance[part], index[part], bits)

    map_chunks(work, len(pool), PART)
    return distance, index


def contrast(
    pool: np.ndarray, positive: np.ndarray, negative: np.ndarray, k: int = NEIGHBOURS, *, xp: ModuleType = np
) -> np.ndarray:
    """How much nearer each code is to the positive sample than to the negative one, bits (n,) float32.

    The mean distance to the k nearest negative codes (l, bytes) less that to the k nearest positive ones (m,
    bytes), all of them where a sample has fewer than k; above 0 where the positive sample is nearer.
    """
    means = [
        nearest_codes(pool, sample, min(k, len(sample)), xp=xp)[0].mean(axis=1, dtype=np.float64)
        for sample in (positive, negative)
    ]
    return (means[1] - means[0]).astype(np.float32)


def rank_codes(
    pool: np.ndarray, positive: np.ndarray, negative: np.ndarray, ranking: str, *, xp: ModuleType = np
) -> np.ndarray:
    """Scores (n,) float32 of pool codes, the higher the more like an M star, by ranking nearest or contrast.

    Codes `pool`, `positive` and `negative` are (…, bits / 8) uint8.
    """
    if ranking == "nearest":
        return -nearest_codes(pool, positive, 1, xp=xp)[0][:, 0].astype(np.float32)
    if ranking == "contrast":
        return contrast(pool, positive, negative, xp=xp)
    raise TrainingError(f"ranking is {ranking!r}: expected one of {', '.join(RANKINGS)}")


def as_words(codes: np.ndarray) -> np.ndarray:
    """Packed codes (n, bytes) as (n, words) uint64; short ones are filled with zeros."""
    size = -(-codes.shape[1] // 8) * 8
    padded = codes if size == codes.shape[1] else np.pad(codes, ((0, 0), (0, size - codes.shape[1])))
    return np.ascontiguousarray(padded).view(np.uint64)


def _check_codes(pool: np.ndarray, queries: np.ndarray) -> None:
    for name, codes in (("queries", queries), ("pool", pool)):
        if codes.ndim != 2 or codes.dtype != np.uint8:
            raise TrainingError(
                f"codes of the {name} are {codes.dtype} {codes.shape}: expected uint8 (n, bits / 8), as "
                "a hasher's transform gives them"
            )
    if pool.shape[1] != queries.shape[1]:
        raise TrainingError(
            f"codes of the pool have {8 * pool.shape[1]} bits, those of the queries {8 * queries.shape[1]}; "
            "encode both with the same hasher"
        )


def _marks(chosen: np.ndarray, best: np.ndarray, nearest: np.ndarray, distance: np.ndarray) -> Marks:
    kept = chosen > 0
    rank, near, apart = (np.where(kept, column, -1) for column in (best, nearest, distance))
    return Marks(
        chosen.astype(np.int32), rank.astype(np.int64), near.astype(np.int64), apart.astype(np.int16)
    )


def _signs(codes: np.ndarray, xp: ModuleType) -> Any:
    return xp.convert_to_tensor(unpack(codes).astype(np.float32) * 2.0 - 1.0)


def _tensor_distances(queries: Any, codes: np.ndarray, xp: ModuleType) -> Any:
    """(m, n) int32: of +-1 codes, bits less the product, halved; exact, as all are small integers."""
    bits = 8 * codes.shape[1]
    product = xp.matmul(queries, xp.transpose(_signs(codes, xp)))
    return xp.cast(xp.round((bits - product) * 0.5), "int32")


def _count_tensors(pool: np.ndarray, queries: np.ndarray, xp: ModuleType) -> np.ndarray:
    bins = 8 * queries.shape[1] + 1
    counts = np.zeros((len(queries), bins), np.int64)
    tensor = _signs(queries, xp)
    # A query's distances go to bins of its own.
    first = xp.convert_to_tensor((np.arange(len(queries), dtype=np.int32) * bins)[:, None])
    for start in range(0, len(pool), TENSOR):
        distance = _tensor_distances(tensor, pool[start : start + TENSOR], xp)
        found = xp.bincount(xp.reshape(distance + first, (-1,)), minlength=len(queries) * bins)
        counts += xp.convert_to_numpy(found).reshape(len(queries), bins)
    return counts


def _mark_tensors(pool: np.ndarray, queries: np.ndarray, cuts: Cuts, xp: ModuleType) -> Marks:
    tensor = _signs(queries, xp)
    limit = xp.convert_to_tensor(cuts.cut.astype(np.int32)[:, None])
    rank = xp.convert_to_tensor(cuts.rank.astype(np.int32))
    farthest = int(cuts.rank.max())
    parts = []
    for start in range(0, len(pool), TENSOR):
        distance = _tensor_distances(tensor, pool[start : start + TENSOR], xp)
        kept = distance <= limit
        place = xp.where(kept, xp.take_along_axis(rank, distance, axis=1), farthest)
        apart = xp.where(kept, distance, 8 * queries.shape[1] + 1)
        arrays = (
            xp.sum(xp.cast(kept, "int32"), axis=0),
            xp.min(place, axis=0),
            xp.argmin(apart, axis=0),
            xp.min(apart, axis=0),
        )
        parts.append([xp.convert_to_numpy(array) for array in arrays])
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)] or [np.zeros(0, int)] * 4
    return _marks(*columns)


def _nearest_tensors(
    pool: np.ndarray, queries: np.ndarray, k: int, xp: ModuleType
) -> tuple[np.ndarray, np.ndarray]:
    tensor = _signs(queries, xp)
    m = len(queries)
    # Distance and index in one number, so that of equals the first is taken on every backend.
    order = xp.convert_to_tensor(np.arange(m, dtype=np.int32)[:, None])
    distances, indices = [np.zeros((0, k))], [np.zeros((0, k))]
    for start in range(0, len(pool), TENSOR):
        distance = _tensor_distances(tensor, pool[start : start + TENSOR], xp)
        key = xp.transpose(distance * m + order)
        best = -xp.convert_to_numpy(xp.top_k(-key, k)[0]).astype(np.int64)
        distances.append(best // m)
        indices.append(best % m)
    return np.concatenate(distances).astype(np.int16), np.concatenate(indices).astype(np.int64)
