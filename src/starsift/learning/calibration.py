"""Whether probabilities mean what they say, and temperature scaling that makes them.

Source: Guo, Pleiss, Sun & Weinberger 2017, "On Calibration of Modern Neural Networks", ICML 70, 1321.
"""

import logging
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

from starsift.errors import TrainingError

TEMPERATURES = (0.2, 20.0)  # between which one is sought: a perfect separation would have it go to 0
FEWEST = 20  # labels from which a temperature is fitted

_LOWEST = float(np.finfo(np.float32).tiny)  # a softmax in single precision may give 0, which has no logarithm
_ROUNDING = 1e-6  # so much a sum of probabilities in single precision may exceed 1
log = logging.getLogger(__name__)


def fit_temperature(
    probabilities: npt.ArrayLike,
    labels: npt.ArrayLike,
    fewest: int = FEWEST,
    *,
    weights: npt.ArrayLike | None = None,
    lowest: float = TEMPERATURES[0],
) -> float:
    """The temperature that makes the labels likeliest: softmax(log(p) / T).

    Parameters
    ----------
    probabilities : (n, k) of a softmax, of examples that the network was not trained on
    labels : (n,) int, numbers of their classes
    fewest : with fewer labels nothing is fitted
    weights : (n,) how many examples each stands for
    lowest : temperature to accept

    Returns
    -------
    T from `lowest` to the greater of `TEMPERATURES`: above 1 where the network is too sure. 1 without a fit,
    and a log message says why.

    Raises
    ------
    TrainingError : shapes do not agree, a label is no class, or a row is not of probabilities.
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
            "the likeliest temperature is at its bound, %g: labels are few or one-sided", np.exp(best)
        )
    return float(np.exp(best))


def apply_temperature(probabilities: npt.ArrayLike, temperature: float) -> np.ndarray:
    """Calibrated probabilities softmax(log(p) / T), (n, k) float64.

    Raises
    ------
    TrainingError : the temperature is not a positive number.
    """
    if not 0 < temperature < np.inf:
        raise TrainingError(f"temperature is {temperature}, expected a positive number")
    p = np.asarray(probabilities, dtype=np.float64)
    return np.asarray(softmax(np.log(np.maximum(p, _LOWEST)) / temperature, axis=1))


def wilson(found: npt.ArrayLike, number: npt.ArrayLike, z: float = 1.96) -> tuple[np.ndarray, np.ndarray]:
    """Wilson's interval of the share `found / number`, z standard deviations wide; 0 to 1 where number is 0.

    Parameters
    ----------
    found, number : (n,) counts
    z : 1.96 for 95 %

    Returns
    -------
    low, high : (n,)
    """
    k, n = np.broadcast_arrays(np.asarray(found, np.float64), np.asarray(number, np.float64))
    known = n > 0
    size = np.where(known, n, 1.0)
    share = k / size
    centre = (share + z**2 / (2 * size)) / (1 + z**2 / size)
    half = z / (1 + z**2 / size) * np.sqrt(share * (1 - share) / size + z**2 / (4 * size**2))
    low, high = np.clip(centre - half, 0.0, share), np.clip(centre + half, share, 1.0)
    return np.where(known, low, 0.0), np.where(known, high, 1.0)


def reliability(
    probability: npt.ArrayLike, outcome: npt.ArrayLike, bins: int | Sequence[float] = 10
) -> pa.Table:
    """How often that came true which was given such a probability.

    Parameters
    ----------
    probability : (n,) in [0, 1]
    outcome : (n,) bool
    bins : so many of equal width between 0 and 1, or their edges

    Returns
    -------
    Table, a row a bin: `low`, `high`, `n`, `found`, and where n > 0 `mean_probability`, `share` and its
        interval of 95 %, `share_low`, `share_high`. A probability on an inner edge counts in the bin above.

    Raises
    ------
    TrainingError : shapes do not agree, a probability is outside the edges, or edges do not ascend.
    """
    p, true = np.asarray(probability, np.float64), np.asarray(outcome, bool)
    edges = np.linspace(0.0, 1.0, bins + 1) if isinstance(bins, int) else np.asarray(bins, np.float64)
    if p.shape != true.shape or p.ndim != 1:
        raise TrainingError(f"probabilities {p.shape} and outcomes {true.shape} should both be (n,)")
    if len(edges) < 2 or not (np.diff(edges) > 0).all():
        raise TrainingError(f"edges of bins should ascend, and be two or more; they are {edges.tolist()}")
    wrong = ~((p >= edges[0] - _ROUNDING) & (p <= edges[-1] + _ROUNDING))
    if wrong.any():
        raise TrainingError(
            f"probability {np.argmax(wrong)} is {p[wrong][0]}, expected {edges[0]:g} to {edges[-1]:g}"
        )
    place = np.clip(np.searchsorted(edges, p, side="right") - 1, 0, len(edges) - 2)
    n, found, total = (np.bincount(place, weights, minlength=len(edges) - 1) for weights in (None, true, p))
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


def expected_calibration_error(
    probability: npt.ArrayLike, outcome: npt.ArrayLike, bins: int | Sequence[float] = 10
) -> float:
    """Mean over the examples of how far their bin's share is from its mean probability; NaN without examples.

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
        raise TrainingError(f"row {np.argmax(wrong)} is not of probabilities: {p[wrong][0].tolist()}")
    return p, classes.astype(np.int64)
