"""Active learning: which spectra to ask about, and when to stop (Skoda et al. 2020, sections 2.3 and 3.4).

A strategy scores every spectrum of the pool by how much its label would tell, and chooses a batch among the
highest. `entropy` is the published one.
"""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from starsift.errors import InputError
from starsift.searches.emission.window import CLASSES, TARGETS

PROBABILITIES = ("p_single", "p_double", "p_uninteresting")
PASSES = 20  # of dropout
SHORTLIST = 10  # times the batch: among so many of the highest a diverse batch is chosen


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
    """How much networks disagree (n,): the entropy of their mean less their mean entropy.

    Parameters
    ----------
    passes : (t, n, k) probabilities of t networks, here dropout passes

    Source: Houlsby et al. 2011, arXiv:1112.5745; Gal et al. 2017, arXiv:1703.02910.
    """
    return np.asarray(entropy(passes.mean(axis=0)) - entropy(passes).mean(axis=0))


def k_centre(features: np.ndarray, n: int) -> np.ndarray:
    """Rows of a batch that covers the others: the first row, then always the row farthest from those chosen.

    Parameters
    ----------
    features : (m, d)
    n : rows to choose; all where m is not greater

    Source: Sener & Savarese 2018, arXiv:1708.00489, algorithm 1.
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
    """How to choose what to ask.

    Attributes
    ----------
    score : function of probabilities (n, k), or (t, n, k) where `dropout`, to (n,): greater asks first
    dropout : whether it wants dropout passes
    diverse : whether the batch is chosen by `k_centre` among the highest scores
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


def choose(score: np.ndarray, n: int, features: np.ndarray | None = None) -> np.ndarray:
    """Rows of the n highest scores (m,), equal ones in their order; with features (m, d) a diverse choice.

    Parameters
    ----------
    features : only the rows of the `SHORTLIST` * n highest scores are looked at
    """
    order = np.argsort(-np.asarray(score, np.float64), kind="stable")
    if features is None:
        return order[:n]
    short = order[: SHORTLIST * n]
    return short[k_centre(features[short], n)]


def make_query(
    pool: pa.Table, labelled: Sequence[str], *, strategy: str, batch: int, sample: int, seed: int
) -> pa.Table:
    """What people are asked in a round.

    Parameters
    ----------
    pool : predictions of all spectra: spectrum_id, bundle, row, the probabilities, score; `features` (null or
        a list of floats) for a diverse strategy
    labelled : spectra that are in the training set already
    strategy : one of `STRATEGIES`
    batch : spectra for the training set
    sample : random predicted emission spectra for the estimate of precision
    seed : of that sample; it does not depend on the order of the pool

    Returns
    -------
    Table with purpose ("query", "precision"), rank int32, and the columns of the pool but features.
    """
    rest = pool.filter(pc.invert(pc.is_in(pool["spectrum_id"], pa.array(labelled, pa.string()))))
    rest = rest.sort_by("spectrum_id")
    score = rest["score"].to_numpy()
    features = None
    if STRATEGIES[strategy].diverse:
        known = pc.is_valid(rest["features"]).to_numpy()
        features = np.full((rest.num_rows, 1), 0.0)
        if known.any():
            values = np.array(rest["features"].filter(pa.array(known)).to_pylist(), np.float32)
            features = np.zeros((rest.num_rows, values.shape[1]), np.float32)
            features[known] = values
        score = np.where(known, score, -np.inf)
    chosen = choose(score, min(batch, rest.num_rows), features)
    positive = np.flatnonzero(predicted_class(probabilities(rest)) < TARGETS)
    rng = np.random.default_rng(seed)
    drawn = rng.choice(positive, min(sample, len(positive)), replace=False)
    parts = []
    for purpose, rows in (("query", chosen), ("precision", drawn)):
        part = rest.take(pa.array(rows))
        part = part.drop_columns([name for name in ("features",) if name in part.column_names])
        part = part.add_column(0, "rank", pa.array(np.arange(len(rows)), pa.int32()))
        parts.append(part.add_column(0, "purpose", pa.array([purpose] * len(rows), pa.string())))
    return pa.concat_tables(parts)


def probabilities(table: pa.Table) -> np.ndarray:
    """The probabilities (n, 3) of a table of predictions."""
    return np.column_stack([table[name].to_numpy() for name in PROBABILITIES])


def predicted_class(probability: np.ndarray) -> np.ndarray:
    """Class numbers (n,) of probabilities (n, 3)."""
    return np.asarray(np.argmax(probability, axis=1))


def answer(query: pa.Table, labels: pa.Table, *, advice: str) -> pa.Table:
    """The query with what people say: columns predicted, label (a class) and vetted_by are added.

    Parameters
    ----------
    labels : spectrum_id, class, vetted_by (one row a spectrum)
    advice : what to do where labels are missing

    Raises
    ------
    InputError : names how many are missing.
    """
    at = pc.index_in(query["spectrum_id"].combine_chunks(), value_set=labels["spectrum_id"].combine_chunks())
    if at.null_count:
        asked = query["spectrum_id"].unique()
        missing = query["spectrum_id"].filter(pc.is_null(at)).unique()
        raise InputError(f"{len(missing)} of {len(asked)} spectra have no label yet: {advice}")
    called = predicted_class(probabilities(query))
    out = query.append_column("predicted", pa.array([CLASSES[i] for i in called], pa.string()))
    return out.append_column("label", labels["class"].take(at)).append_column(
        "vetted_by", labels["vetted_by"].take(at)
    )


def judge_round(
    answered: pa.Table,
    before: Sequence[Mapping[str, Any]],
    *,
    threshold: float,
    passes: int,
    max_rounds: int,
) -> dict[str, Any]:
    """Estimate the precision of a round, and decide whether it was the last.

    Parameters
    ----------
    answered : `answer`'s table
    before : what this function returned for the rounds before, in order
    threshold, passes : active learning ends when the estimate exceeds the threshold for so many-th time
    max_rounds : or after so many rounds

    Returns
    -------
    dict for JSON: round, precision (null where nothing was predicted to be emission), n_precision,
    true_positives, passed, stop, n_labelled (for the training set, so far).
    """
    purpose = answered["purpose"].to_numpy(zero_copy_only=False)
    sampled = answered.filter(pa.array(purpose == "precision"))
    right = sum(label in CLASSES[:TARGETS] for label in sampled["label"].to_pylist())
    precision = right / sampled.num_rows if sampled.num_rows else None
    passed = (before[-1]["passed"] if before else 0) + int(precision is not None and precision > threshold)
    number = len(before)
    queried = int((purpose == "query").sum())
    return {
        "round": number,
        "precision": precision,
        "n_precision": sampled.num_rows,
        "true_positives": right,
        "passed": passed,
        "stop": passed >= passes or number + 1 >= max_rounds or queried == 0,
        "n_labelled": (before[-1]["n_labelled"] if before else 0) + queried,
    }


def count_classes(pool: pa.Table) -> dict[str, dict[str, int]]:
    """How many spectra are predicted to be of each class: {"predicted": {class: n}}."""
    counts = np.bincount(predicted_class(probabilities(pool)), minlength=len(CLASSES))
    return {"predicted": dict(zip(CLASSES, counts.tolist(), strict=True))}


def read_round(path: str | os.PathLike[str]) -> dict[str, Any]:
    """A round.json."""
    return dict(json.loads(Path(path).read_text()))
