"""Mass ratio and systemic velocity of a double-lined binary from the velocities of several exposures.

Momentum is conserved: at all times rv_1 + q * rv_2 = gamma * (1 + q), with the mass ratio q = M2 / M1 and the
systemic velocity gamma (Wilson 1941, ApJ 93, 29). Which of two velocities is which star's is not known: of
each exposure that order counts which fits better, together with the shares of the light.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar

RATIOS = np.exp(np.linspace(-np.log(10.0), np.log(10.0), 241))  # of the masses
SYSTEMIC = 121  # systemic velocities that are tried, from the lowest velocity to the highest one
TRIED = 12  # ways to tell the stars apart that are fitted
STEP = 1e-3  # of ln q, for the curvature of chi-square
CLEARLY = 9.0  # chi-square by which the second-best way, or quite another mass ratio, must be worse
LARGEST_ERROR = 0.3  # of ln q; beyond it a mass ratio is not measured


@dataclass(frozen=True)
class Wilson:
    """What n exposures tell of two stars; star 1 is the brighter one, or of equal ones the more massive.

    `ratio` is M2 / M1, `systemic` in km/s; they and their errors are NaN where the exposures do not tell them
    or do not tell the stars apart. `swapped` (n,) bool: the first velocity of a pair is star 2's.
    """

    ratio: float
    ratio_err: float
    systemic: float
    systemic_err: float
    swapped: np.ndarray


def fit_wilson(
    rv: npt.ArrayLike, rv_err: npt.ArrayLike, light: npt.ArrayLike, light_err: npt.ArrayLike
) -> Wilson:
    """Fit Wilson's relation to the pairs of velocities of n exposures.

    Parameters
    ----------
    rv, rv_err : (n, 2) km/s, of the two stars in any order
    light, light_err : (n, 2) their shares of the light
    """
    v, e, share, share_err = (np.asarray(a, np.float64) for a in (rv, rv_err, light, light_err))
    # What one share has too much, the other one lacks.
    excess, scatter = share[:, 0] - share[:, 1], share_err[:, 0] + share_err[:, 1]
    typical = typical_excess(excess, scatter)
    by_light = np.stack([(excess - typical) ** 2, (-excess - typical) ** 2]) / scatter**2
    nothing = Wilson(np.nan, np.nan, np.nan, np.nan, excess < 0)
    if len(v) < 2:
        return nothing

    pairs = np.stack([v, v[:, ::-1]]), np.stack([e, e[:, ::-1]])
    fits = [_fit(*pairs, by_light, order) for order in _orders(*pairs, by_light)]
    best = min(fits, key=lambda fit: fit.cost)
    # The same pairs with the stars' names exchanged are the same answer.
    others = [fit.cost for fit in fits if len(set(fit.order ^ best.order)) > 1]
    if min(others, default=np.inf) < best.cost + CLEARLY:
        return nothing
    swapped, ratio = best.order.astype(bool), best.ratio
    if not best.ratio_err < LARGEST_ERROR:
        return Wilson(np.nan, np.nan, np.nan, np.nan, swapped)
    if typical < 3 * np.sum(scatter**-2.0) ** -0.5 and ratio > 1:
        ratio, swapped = 1.0 / ratio, ~swapped
    return Wilson(ratio, ratio * best.ratio_err, best.systemic, best.systemic_err, swapped)


def typical_excess(excess: np.ndarray, scatter: np.ndarray) -> float:
    """By how much star 1 is brighter: what the excess (n,) of either star exceeds its errors by."""
    return float(np.sqrt(max(np.average(excess**2 - scatter**2, weights=scatter**-2.0), 0.0)))


def _orders(v: np.ndarray, e: np.ndarray, by_light: np.ndarray) -> list[np.ndarray]:
    """The best ways to tell the stars apart, that by light among them: (n,), 1 where a pair is exchanged.

    `v`, `e` (2, n, 2) are in the given order and exchanged.
    """
    q, gamma = RATIOS[:, None, None, None], np.linspace(v.min(), v.max(), SYSTEMIC)[:, None, None]
    away = (v[..., 0] + q * v[..., 1] - gamma * (1 + q)) ** 2 / (e[..., 0] ** 2 + (q * e[..., 1]) ** 2)
    cost = away + by_light
    order = cost.argmin(axis=2).reshape(-1, v.shape[1])
    total = cost.min(axis=2).sum(axis=-1).ravel()
    best = np.argsort(total, kind="stable")
    _, first = np.unique(order[best], axis=0, return_index=True)
    tried = [order[i] for i in best[np.sort(first)[:TRIED]]]
    lit = by_light.argmin(axis=0)
    return tried if any((one == lit).all() for one in tried) else [*tried, lit]


@dataclass(frozen=True)
class _Fit:
    """Of one order (n,): chi-square with the light's, q and gamma; `ratio_err` is the error of ln q, infinite
    where chi-square allows quite another mass ratio."""

    order: np.ndarray
    cost: float
    ratio: float
    ratio_err: float
    systemic: float
    systemic_err: float


def _fit(v: np.ndarray, e: np.ndarray, by_light: np.ndarray, order: np.ndarray) -> _Fit:
    """The least chi-square over mass ratios; gamma follows from each. Errors are scaled with chi-square where
    that is too high."""
    rows = np.arange(len(order))
    pair, error = v[order, rows], e[order, rows]

    def chi2(log_q: float) -> float:
        return float(_profile(pair, error, np.exp([log_q]))[0][0])

    grid, span = np.log(RATIOS), np.log(RATIOS[1] / RATIOS[0])
    coarse = _profile(pair, error, RATIOS)[0]
    near = grid[coarse.argmin()]
    log_q = float(minimize_scalar(chi2, bounds=(near - span, near + span), method="bounded").x)
    least = chi2(log_q)
    ratio = float(np.exp(log_q))
    curvature = (chi2(log_q + STEP) + chi2(log_q - STEP) - 2 * least) / STEP**2
    scale = max(1.0, least / (len(order) - 2)) if len(order) > 2 else 1.0
    error_q = np.sqrt(2 * scale / curvature) if curvature > 0 else np.inf
    elsewhere = coarse[np.abs(grid - log_q) > 2 * LARGEST_ERROR]
    if elsewhere.min() < least + CLEARLY * scale:
        error_q = np.inf
    _, systemic, error_gamma = (float(values[0]) for values in _profile(pair, error, np.array([ratio])))
    # gamma moves with q
    slope = np.diff(_profile(pair, error, np.exp(log_q + np.array([-STEP, STEP])))[1])[0] / (2 * STEP)
    error_gamma = float(np.hypot(error_gamma * np.sqrt(scale), slope * error_q))
    return _Fit(order, least + float(by_light[order, rows].sum()), ratio, error_q, systemic, error_gamma)


def _profile(pair: np.ndarray, error: np.ndarray, q: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Chi-square, the best gamma and its error (m,) for mass ratios (m,), of pairs (n, 2)."""
    weight = 1.0 / (error[:, 0] ** 2 + (q[:, None] * error[:, 1]) ** 2)
    momentum = (pair[:, 0] + q[:, None] * pair[:, 1]) / (1 + q[:, None])
    weight *= (1 + q[:, None]) ** 2
    total = weight.sum(axis=1)
    gamma = (weight * momentum).sum(axis=1) / total
    return (weight * (momentum - gamma[:, None]) ** 2).sum(axis=1), gamma, total**-0.5
