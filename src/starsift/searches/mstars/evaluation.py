"""How well methods find M stars in labelled spectra new to them (Guo et al. 2019, section 3.5)."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, precision_recall_curve
from sklearn.model_selection import StratifiedGroupKFold, StratifiedShuffleSplit

from starsift.errors import TrainingError
from starsift.searches.mstars.hamming import count_distances
from starsift.searches.mstars.hashing import Hasher
from starsift.searches.mstars.model import METHODS, Method, rank_codes, train

log = logging.getLogger(__name__)
Halves = tuple[np.ndarray, np.ndarray]
# Methods whose curves are made for every code length; the others are compared at the longest.
CURVES = ("discriminant", "PIL", "PIL, query by query")
RECALLS = np.round(np.linspace(0.01, 1.0, 100), 2)
BLOCK = 4096
EVALUATION = pa.schema(
    [
        pa.field("method", pa.string()),
        pa.field("bits", pa.int32()),  # 0: no code
        pa.field("split", pa.int32()),
        pa.field("average_precision", pa.float64()),
        pa.field("recall", pa.float64()),
        pa.field("precision", pa.float64()),
    ]
)


def score_unseen(
    features: np.ndarray,
    labels: np.ndarray,
    is_m: np.ndarray,
    unseen: np.ndarray,
    method: Method,
    bits: int,
    seed: int,
) -> np.ndarray:
    """Train a method on a sample and score spectra that it has not seen.

    Parameters
    ----------
    features, unseen : (n, q), (m, q) from `starsift.searches.mstars.model.represent`
    labels : (n,) str; is_m : (n,) bool
    method : without a hasher, spectra are compared by the cosine of the angle between them, less their means

    Returns
    -------
    (m,) float32, the higher the more like an M star
    """
    if method.hasher is None:
        return _cosine(unseen, features[is_m])
    model = _fit(features, labels, method, bits, seed)
    codes = model.transform(features)
    return rank_codes(model.transform(unseen), codes[is_m], codes[~is_m], method.ranking)


def _cosine(unseen: np.ndarray, positive: np.ndarray) -> np.ndarray:
    def unit(rows: np.ndarray) -> np.ndarray:
        rows = rows - rows.mean(axis=1, keepdims=True)
        return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)

    against = unit(positive).T
    parts = [
        (unit(unseen[start : start + BLOCK]) @ against).max(axis=1) for start in range(0, len(unseen), BLOCK)
    ]
    return np.concatenate(parts)


def precision_at(truth: np.ndarray, score: np.ndarray) -> np.ndarray:
    """Precision at each recall of `RECALLS`, (100,): the best of any threshold that recalls as much or more.

    Parameters
    ----------
    truth : (n,) bool; score : (n,), the higher the more likely

    Source: equations 8 (the paper's "accuracy" is precision) and 9.
    """
    precision, recall, _ = precision_recall_curve(truth, score)
    best = np.maximum.accumulate(precision)  # recall falls along the arrays
    at = np.searchsorted(-recall, -(RECALLS - 1e-9), side="right") - 1
    return np.asarray(best[at])


def evaluate(
    represented: Callable[[str], np.ndarray],
    labels: np.ndarray,
    is_m: np.ndarray,
    *,
    methods: Sequence[str] = tuple(METHODS),
    bits: Sequence[int] = (32, 64, 128, 256),
    curves: Sequence[str] = CURVES,
    splits: int = 10,
    train_fraction: float = 0.5,
    seed: int = 0,
) -> pa.Table:
    """Precision-recall curves of methods and code lengths over random splits (figure 8).

    Parameters
    ----------
    represented : features (n, q) of the sample by representation
    labels : (n,) str; is_m : (n,) bool
    methods : names in `METHODS`
    curves : those of them for which all of `bits` are tried, not the longest only
    splits : random halves, stratified by M or not

    Returns
    -------
    Table of schema `EVALUATION`, 100 rows a curve.
    """
    halves = StratifiedShuffleSplit(splits, train_size=train_fraction, random_state=seed)
    tables = []
    for number, (known, unseen) in enumerate(halves.split(labels, is_m)):

        def both(representation: str, known: np.ndarray = known, unseen: np.ndarray = unseen) -> Halves:
            features = represented(representation)
            return features[known], features[unseen]

        truth = is_m[known], is_m[unseen]
        tables.append(
            evaluate_split(
                both,
                labels[known],
                *truth,
                split=number,
                methods=methods,
                bits=bits,
                curves=curves,
                seed=seed,
            )
        )
    return pa.concat_tables(tables)


def evaluate_split(
    represented: Callable[[str], Halves],
    labels: np.ndarray,
    is_m: np.ndarray,
    truth: np.ndarray,
    *,
    split: int = 0,
    methods: Sequence[str] = tuple(METHODS),
    bits: Sequence[int] = (32, 64, 128, 256),
    curves: Sequence[str] = CURVES,
    seed: int = 0,
) -> pa.Table:
    """Precision-recall curves of methods and code lengths: trained on some spectra, tested on others.

    Parameters
    ----------
    represented : features of both (n, q), (m, q) by representation
    labels : (n,) str; is_m : (n,) bool; truth : (m,) bool, of the unseen
    methods, bits, curves : as in `evaluate`

    Returns
    -------
    Table of schema `EVALUATION`, 100 rows a curve.
    """
    rows = []
    for name in methods:
        method = METHODS[name]
        known, unseen = represented(method.representation)
        lengths = bits if name in curves else (max(bits),)
        for length in lengths if method.hasher else (0,):
            sample = known, labels, is_m, unseen
            try:
                if method.ranking == "query":
                    average, precision = query_curves(*sample, truth, method, length, seed + split)
                else:
                    score = score_unseen(*sample, method, length, seed + split)
                    average, precision = average_precision_score(truth, score), precision_at(truth, score)
            except TrainingError as error:  # a small sample has fewer components than bits
                log.warning("%s is not evaluated: %s", name, error)
                continue
            n = len(RECALLS)
            columns = [[name] * n, [length] * n, [split] * n, [average] * n, RECALLS, precision]
            rows.append(pa.table(columns, schema=EVALUATION))
    return pa.concat_tables([EVALUATION.empty_table(), *rows])


def query_curves(
    features: np.ndarray,
    labels: np.ndarray,
    is_m: np.ndarray,
    unseen: np.ndarray,
    truth: np.ndarray,
    method: Method,
    bits: int,
    seed: int,
) -> tuple[float, np.ndarray]:
    """Average precision, and precision at each recall of `RECALLS`, of positive spectra as single queries:
    means over the queries, as the paper's figure 8 has them.

    Parameters
    ----------
    features, labels, is_m, unseen : as in `score_unseen`; truth : (m,) bool, of the unseen
    """
    model = _fit(features, labels, method, bits, seed)
    queries, pool = model.transform(features[is_m]), model.transform(unseen)
    hits = np.cumsum(count_distances(pool[truth], queries), axis=1)
    found = hits + np.cumsum(count_distances(pool[~truth], queries), axis=1)
    recall = hits / max(1, int(truth.sum()))
    precision = hits / np.maximum(found, 1)
    average = (np.diff(recall, axis=1, prepend=0.0) * precision).sum(axis=1).mean()
    # The best precision at this distance or a larger one, read where the recall is first reached.
    best = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    at = np.stack([np.searchsorted(row, RECALLS - 1e-9) for row in recall])
    return float(average), np.take_along_axis(best, at, axis=1).mean(axis=0)


def _fit(features: np.ndarray, labels: np.ndarray, method: Method, bits: int, seed: int) -> Hasher:
    return train(features, labels, method, bits=bits, seed=seed).hasher


@dataclass(frozen=True)
class Calibration:
    """Log odds that a spectrum is an M star: `intercept` + `slope` * score, where their share is `prior`."""

    intercept: float
    slope: float
    prior: float

    def log_odds(self, score: np.ndarray, prior: float | None = None) -> np.ndarray:
        """Log odds (n,) of scores (n,), where the share of M stars is `prior`."""
        shift = 0.0 if prior is None else np.log(prior / (1 - prior)) - np.log(self.prior / (1 - self.prior))
        return self.intercept + self.slope * np.asarray(score, np.float64) + shift


def calibrate(
    features: np.ndarray,
    labels: np.ndarray,
    is_m: np.ndarray,
    method: Method,
    bits: int,
    seed: int,
    folds: int = 5,
    *,
    groups: np.ndarray | None = None,
    used: np.ndarray | None = None,
) -> Calibration:
    """What scores mean, learned from spectra that the hasher had not seen: logistic regression over folds.

    Parameters
    ----------
    features (n, q), labels (n,), is_m (n,) : the sample, as in `score_unseen`
    groups : (n,), equal for a spectrum and its copies, which are never on both sides
    used : (n,) bool, the rows that the regression sees, all where there are none or not both kinds
    """
    group = np.arange(len(is_m)) if groups is None else groups
    fewest = min(np.unique(group[is_m]).size, np.unique(group[~is_m]).size)
    score = np.zeros(len(is_m))
    splitter = StratifiedGroupKFold(max(2, min(folds, fewest)), shuffle=True, random_state=seed)
    for known, unseen in splitter.split(features, is_m, group):
        sample = features[known], labels[known], is_m[known]
        score[unseen] = score_unseen(*sample, features[unseen], method, bits, seed)
    rows = np.ones(len(is_m), bool) if used is None else used
    if np.unique(is_m[rows]).size < 2:
        rows = np.ones(len(is_m), bool)
    scale = max(float(score.std()), 1e-9)
    fit = LogisticRegression(C=100.0).fit(score[rows, None] / scale, is_m[rows])
    return Calibration(float(fit.intercept_[0]), float(fit.coef_[0, 0]) / scale, float(is_m[rows].mean()))


def pool_prior(log_odds: np.ndarray, prior: float, iterations: int = 500) -> float:
    """The share of M stars in a pool, which is not that of the sample.

    Parameters
    ----------
    log_odds : (n,) of the pool's spectra, for a share `prior`

    Expectation maximisation, as Saerens, Latinne & Decaestecker have it (2002, Neural Computation 14, 21).
    At least one spectrum's worth, at most the half of the pool.
    """
    if not len(log_odds):
        return prior
    share, known = prior, np.log(prior / (1 - prior))
    for _ in range(iterations):
        before = share
        mean = expit(log_odds + np.log(share / (1 - share)) - known).mean()
        share = float(np.clip(mean, min(0.5, 1 / len(log_odds)), 0.5))
        if abs(share - before) < 1e-9:
            break
    return share
