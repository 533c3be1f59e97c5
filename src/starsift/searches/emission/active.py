"""Active learning: query strategies and the query of a round (Skoda et al. 2020, sections 2.3 and 3.4).

A strategy scores every spectrum of the pool by how informative its label would be. A batch is selected among
the highest scores. `entropy` is the published strategy.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from starsift.searches.emission.classes import TARGETS, predicted_class, probabilities

PASSES = 20  # of dropout
SHORTLIST = 10  # a diverse batch is selected among this many times its size, the highest scores


def entropy(probability: np.ndarray) -> np.ndarray:
    """Information entropy (n,) of probabilities (n, k), in nats (equation 1)."""
    p = np.asarray(probability, np.float64)
    return np.asarray(-(p * np.log(np.maximum(p, 1e-300))).sum(axis=-1))


def margin(probability: np.ndarray) -> np.ndarray:
    """1 less the difference of the two greatest probabilities (n, k): (n,), 1 where they tie.

    Source: Scheffer et al. 2001, doi:10.1007/3-540-44816-0_31.
    """
    top = np.sort(np.asarray(probability, np.float64), axis=1)
    return np.asarray(1 - (top[:, -1] - top[:, -2]))


def bald(passes: np.ndarray) -> np.ndarray:
    """Disagreement of t networks (n,): the entropy of their mean less their mean entropy.

    `passes` are their probabilities (t, n, k), here of dropout passes. Source: Houlsby et al. 2011,
    arXiv:1112.5745; Gal et al. 2017, arXiv:1703.02910.
    """
    return np.asarray(entropy(passes.mean(axis=0)) - entropy(passes).mean(axis=0))


def k_centre(features: np.ndarray, n: int) -> np.ndarray:
    """Rows of a batch that covers the others: the first row, then repeatedly the row farthest from the batch.

    Selects `n` rows of features (m, d), or all where m is not greater. Source: Sener & Savarese 2018,
    arXiv:1708.00489, algorithm 1.
    """
    x = np.asarray(features, np.float64)
    squares = (x**2).sum(axis=1)
    chosen: list[int] = []
    nearest = np.full(len(x), np.inf)
    for _ in range(min(n, len(x))):
        new = int(np.argmax(nearest)) if chosen else 0
        chosen.append(new)
        nearest = np.minimum(nearest, np.maximum(squares + squares[new] - 2 * x @ x[new], 0))
        nearest[chosen] = -1.0
    return np.array(chosen, dtype=np.int64)


@dataclass(frozen=True)
class Strategy:
    """A query strategy.

    Attributes
    ----------
    score : function of probabilities (n, k), or (t, n, k) where `dropout`, to (n,): highest first
    dropout : whether the score needs dropout passes
    diverse : whether the batch is selected by `k_centre` among the highest scores
    """

    score: Callable[[np.ndarray], np.ndarray]
    dropout: bool = False
    diverse: bool = False


STRATEGIES: Mapping[str, Strategy] = {
    "entropy": Strategy(entropy),
    "margin": Strategy(margin),
    "bald": Strategy(bald, dropout=True),
    "k-centre": Strategy(entropy, diverse=True),
}


def select_rows(score: np.ndarray, n: int, features: np.ndarray | None = None) -> np.ndarray:
    """Rows of the n highest scores (m,), ties in their order; with features (m, d) a diverse batch.

    Only features of the `SHORTLIST` * n highest scores are used.
    """
    order = np.argsort(-np.asarray(score, np.float64), kind="stable")
    if features is None:
        return order[:n]
    short = order[: SHORTLIST * n]
    return short[k_centre(features[short], n)]


def select_query(
    pool: pa.Table, labelled: Sequence[str], *, strategy: str, batch: int, sample: int, seed: int
) -> pa.Table:
    """The spectra that the oracle labels in a round.

    Parameters
    ----------
    pool : predictions of all spectra: spectrum_id, bundle, row, the probabilities, score; `features` (null or
        a list of floats) for a diverse strategy
    labelled : spectra that are in the training set already
    strategy : one of `STRATEGIES`
    batch : number of spectra for the training set
    sample : number of random predicted emission spectra for the estimate of precision
    seed : of that sample, which does not depend on the order of the pool

    Returns a Table with purpose ("query", "precision"), rank int32, and the columns of the pool without
    features.
    """
    unlabelled = pool.filter(pc.invert(pc.is_in(pool["spectrum_id"], pa.array(labelled, pa.string()))))
    unlabelled = unlabelled.sort_by("spectrum_id")
    score = unlabelled["score"].to_numpy()
    features = None
    if STRATEGIES[strategy].diverse:
        known = pc.is_valid(unlabelled["features"]).to_numpy()
        features = np.zeros((unlabelled.num_rows, 1), np.float32)
        if known.any():
            values = np.array(unlabelled["features"].filter(pa.array(known)).to_pylist(), np.float32)
            features = np.zeros((unlabelled.num_rows, values.shape[1]), np.float32)
            features[known] = values
        score = np.where(known, score, -np.inf)
    chosen = select_rows(score, min(batch, unlabelled.num_rows), features)
    positive = np.flatnonzero(predicted_class(probabilities(unlabelled)) < TARGETS)
    rng = np.random.default_rng(seed)
    drawn = rng.choice(positive, min(sample, len(positive)), replace=False)
    parts = []
    for purpose, rows in (("query", chosen), ("precision", drawn)):
        part = unlabelled.take(pa.array(rows))
        part = part.select([name for name in part.column_names if name != "features"])
        part = part.add_column(0, "rank", pa.array(np.arange(len(rows)), pa.int32()))
        parts.append(part.add_column(0, "purpose", pa.array([purpose] * len(rows), pa.string())))
    return pa.concat_tables(parts)
