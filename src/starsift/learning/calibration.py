"""Calibration of probabilities: temperature scaling, reliability and its error.

Source: Guo, Pleiss, Sun & Weinberger 2017, "On Calibration of Modern Neural Networks", ICML 70, 1321.
"""

import logging

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

from starsift.errors import TrainingError

TEMPERATURES = (0.2, 20.0)  # limits of the fit: with a perfect separation it would go to 0
FEWEST = 20  # labels that a fit needs

_LOWEST = float(np.finfo(np.float32).tiny)  # a softmax in single precision may give 0, which has no logarithm
_ROUNDING = 1e-6  # by which a sum of probabilities in single precision may exceed 1
log = logging.getLogger(__name__)


def fit_temperature(
    probabilities: npt.ArrayLike,
    labels: npt.ArrayLike,
    fewest: int = FEWEST,
    *,
    weights: npt.ArrayLike | None = None,
    lowest: float = TEMPERATURES[0],
) -> float:
    """The most likely temperature T of the calibration softmax(log(p) / T), given labels.

    Parameters
    ----------
    probabilities : (n, k) of a softmax, for examples that are not in the training set
    labels : (n,) int, class numbers
    fewest : labels that a fit needs
    weights : (n,) number of examples that each row stands for
    lowest : temperature to accept

    Returns T from `lowest` to the greater of `TEMPERATURES`; above 1 where the network is overconfident. 1 if
    there are too few labels, with a warning in the log. Raises TrainingError: shapes do not agree, a label is
    no class number, or a row does not hold probabilities.
    """
    p, classes = _checked(probabilities, labels)
    if len(p) < fewest:
        log.warning("only %d held-out labels, %d are needed: probabilities stay as they are", len(p), fewest)
        return 1.0
    share = None if weights is None else np.asarray(weights, np.float64)
    logits, rows = np.log(np.maximum(p, _LOWEST)), np.arange(len(p))

    def loss(log_temperature: float) -> float:
        scaled = log_softmax(logits / np.exp(log_temperature), axis=1)
        return float(-np.average(scaled[rows, classes], weights=share))

    bounds = float(np.log(lowest)), float(np.log(TEMPERATURES[1]))
    found = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-6})
    best = min([*bounds, float(found.x)], key=loss)
    if best in bounds:
        log.warning(
            "the most likely temperature is at its bound, %g: few labels, or nearly all of one class",
            np.exp(best),
        )
    return float(np.exp(best))


def apply_temperature(probabilities: npt.ArrayLike, temperature: float) -> np.ndarray:
    """Calibrated probabilities softmax(log(p) / T), (n, k) float64.

    Raises TrainingError if the temperature is not a positive number.
    """
    if not 0 < temperature < np.inf:
        raise TrainingError(f"temperature is {temperature}, expected a positive number")
    p = np.asarray(probabilities, dtype=np.float64)
    return np.asarray(softmax(np.log(np.maximum(p, _LOWEST)) / temperature, axis=1))


def wilson(found: npt.ArrayLike, number: npt.ArrayLike, z: float = 1.96) -> tuple[np.ndarray, np.ndarray]:
    """Wilson's interval, low and high (n,), of the fraction `found / number` (n,); 0 to 1 where number is 0.

    `z` is the half width in standard deviations, 1.96 for 95 %.
    """
    k, n = np.broadcast_arrays(np.asarray(found, np.float64), np.asarray(number, np.float64))
    known = n > 0
    size = np.where(known, n, 1.0)
    share = k / size
    centre = (share + z**2 / (2 * size)) / (1 + z**2 / size)
    half = z / (1 + z**2 / size) * np.sqrt(share * (1 - share) / size + z**2 / (4 * size**2))
    low, high = np.clip(centre - half, 0.0, share), np.clip(centre + half, share, 1.0)
    return np.where(known, low, 0.0), np.where(known, high, 1.0)


def reliability(probability: npt.ArrayLike, outcome: npt.ArrayLike, bins: int = 10) -> pa.Table:
    """How often predictions of a given probability come true.

    scikit-learn's `calibration_curve` gives neither counts, which the intervals need, nor empty bins.

    Parameters
    ----------
    probability : (n,) in [0, 1]
    outcome : (n,) bool
    bins : number of bins of equal width between 0 and 1

    Returns
    -------
    Table, a row a bin: `low`, `high`, `n`, `found`, and where n > 0 `mean_probability`, `share` and its
        interval of 95 %, `share_low`, `share_high`. A probability on an inner edge counts in the bin above.

    Raises TrainingError: shapes do not agree, or a probability is not within 0 and 1.
    """
    p, true = np.asarray(probability, np.float64), np.asarray(outcome, bool)
    edges = np.linspace(0.0, 1.0, bins + 1)
    if p.shape != true.shape or p.ndim != 1:
        raise TrainingError(f"probabilities {p.shape} and outcomes {true.shape} should both be (n,)")
    wrong = ~((p >= -_ROUNDING) & (p <= 1 + _ROUNDING))
    if wrong.any():
        raise TrainingError(f"probability {np.argmax(wrong)} is {p[wrong][0]}, expected 0 to 1")
    place = np.clip(np.searchsorted(edges, p, side="right") - 1, 0, bins - 1)
    n, found, total = (np.bincount(place, weights, minlength=bins) for weights in (None, true, p))
    size, none = np.maximum(n, 1), n == 0
    low, high = wilson(found, n)
    numbers = {"mean_probability": total / size, "share": found / size, "share_low": low, "share_high": high}
    return pa.table(
        {
            "low": edges[:-1],
            "high": edges[1:],
            "n": pa.array(n, pa.int64()),
            "found": pa.array(found.astype(np.int64)),
            **{name: pa.array(values, mask=none) for name, values in numbers.items()},
        }
    )


def expected_calibration_error(probability: npt.ArrayLike, outcome: npt.ArrayLike, bins: int = 10) -> float:
    """Mean difference of share and mean probability in bins, weighted by examples; NaN without examples.

    Parameters as in `reliability`.
    """
    table = reliability(probability, outcome, bins)
    n = table["n"].to_numpy()
    if not n.sum():
        return float("nan")
    apart = [table[name].fill_null(0.0).to_numpy() for name in ("mean_probability", "share")]
    return float((n * np.abs(apart[0] - apart[1])).sum() / n.sum())


def _checked(probabilities: npt.ArrayLike, labels: npt.ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities (n, k) float64 and classes (n,) int64 that belong together."""
    p, classes = np.asarray(probabilities, np.float64), np.asarray(labels)
    if p.ndim != 2 or classes.shape != (len(p),):
        raise TrainingError(
            f"probabilities should be (n, k) and labels (n,); they are {p.shape} and {classes.shape}"
        )
    if len(classes) and not (np.issubdtype(classes.dtype, np.integer) and classes.min() >= 0):
        raise TrainingError("labels should be numbers of classes, from 0")
    if len(classes) and classes.max() >= p.shape[1]:
        raise TrainingError(f"label {classes.max()} has no column; there are {p.shape[1]} classes")
    wrong = ~(np.isfinite(p).all(axis=1) & (p >= 0).all(axis=1) & (np.abs(p.sum(axis=1) - 1) < 1e-3))
    if wrong.any():
        raise TrainingError(f"row {np.argmax(wrong)} does not hold probabilities: {p[wrong][0].tolist()}")
    return p, classes.astype(np.int64)
