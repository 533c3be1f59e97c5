"""Precision and recall of the methods for labelled spectra new to them (Guo et al. 2019, section 3.5)."""

import logging
from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa
from sklearn.metrics import average_precision_score, precision_recall_curve
from sklearn.model_selection import StratifiedShuffleSplit

from starsift.errors import TrainingError
from starsift.searches.mstars.calibration import score_unseen
from starsift.searches.mstars.hamming import count_distances
from starsift.searches.mstars.model import METHODS, Method, train

log = logging.getLogger(__name__)
Halves = tuple[np.ndarray, np.ndarray]
# Methods whose curves are made for every code length; the others are compared at the longest.
CURVES = ("discriminant", "PIL", "PIL, query by query")
RECALLS = np.round(np.linspace(0.01, 1.0, 100), 2)
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


def precision_at(truth: np.ndarray, score: np.ndarray) -> np.ndarray:
    """Precision at each recall of `RECALLS`, (100,): the best of any threshold that recalls as much or more.

    `truth` (n,) is bool, `score` (n,) the higher the more likely. Source: equations 8 (the paper's "accuracy"
    is precision) and 9.
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
    bits: Sequence[int],
    splits: int,
    seed: int,
    methods: Sequence[str] = tuple(METHODS),
) -> pa.Table:
    """Precision-recall curves of methods and code lengths over random splits (figure 8).

    Parameters
    ----------
    represented : features (n, q) of the sample by representation
    labels : (n,) str; is_m : (n,) bool
    bits : lengths of codes; methods that are not in `CURVES` are tried with the longest only
    splits : random halves, stratified by M or not
    methods : names in `METHODS`

    Returns a Table of schema `EVALUATION`, 100 rows a curve.
    """
    halves = StratifiedShuffleSplit(splits, train_size=0.5, random_state=seed)
    tables = []
    for number, (known, unseen) in enumerate(halves.split(labels, is_m)):

        def both(representation: str, known: np.ndarray = known, unseen: np.ndarray = unseen) -> Halves:
            features = represented(representation)
            return features[known], features[unseen]

        truth = is_m[known], is_m[unseen]
        tables.append(
            evaluate_split(both, labels[known], *truth, split=number, methods=methods, bits=bits, seed=seed)
        )
    return pa.concat_tables(tables)


def evaluate_split(
    represented: Callable[[str], Halves],
    labels: np.ndarray,
    is_m: np.ndarray,
    truth: np.ndarray,
    *,
    bits: Sequence[int],
    seed: int,
    split: int = 0,
    methods: Sequence[str] = tuple(METHODS),
) -> pa.Table:
    """Precision-recall curves of methods and code lengths: trained on some spectra, tested on others.

    Parameters
    ----------
    represented : features of both (n, q), (m, q) by representation
    labels : (n,) str; is_m : (n,) bool; truth : (m,) bool, of the unseen
    bits, methods : as in `evaluate`

    Returns a Table of schema `EVALUATION`, 100 rows a curve.
    """
    rows = []
    for name in methods:
        method = METHODS[name]
        known, unseen = represented(method.representation)
        lengths = bits if name in CURVES else (max(bits),)
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
    """Average precision, and precision at each recall of `RECALLS`, of positive spectra as single queries.

    These are means over the queries, as in the paper's figure 8. Parameters are those of `score_unseen`, and
    `truth` (m,) bool of the unseen.
    """
    hasher = train(features, labels, method, bits=bits, seed=seed).hasher
    queries, pool = hasher.transform(features[is_m]), hasher.transform(unseen)
    hits = np.cumsum(count_distances(pool[truth], queries), axis=1)
    found = hits + np.cumsum(count_distances(pool[~truth], queries), axis=1)
    recall = hits / max(1, int(truth.sum()))
    precision = hits / np.maximum(found, 1)
    average = (np.diff(recall, axis=1, prepend=0.0) * precision).sum(axis=1).mean()
    # The best precision at this distance or a larger one, read where the recall is first reached.
    best = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    at = np.stack([np.searchsorted(row, RECALLS - 1e-9) for row in recall])
    return float(average), np.take_along_axis(best, at, axis=1).mean(axis=0)
