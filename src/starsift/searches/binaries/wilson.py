"""Mass ratio and systemic velocity of a double-lined binary from the velocities of several exposures.

Momentum is conserved: at all times rv_1 + q * rv_2 = gamma * (1 + q), with the mass ratio q = M2 / M1 and the
systemic velocity gamma (Wilson 1941, ApJ 93, 29). Which of two velocities is which star's is not known: of
each exposure that order counts which fits better, together with the shares of the light.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

RATIOS = np.exp(np.linspace(-np.log(5.0), np.log(5.0), 121))  # of the masses
SYSTEMIC = 121  # systemic velocities that are tried, from the lowest velocity to the highest one
TRIED = 12  # ways to tell the stars apart that are fitted
ROUNDS = 8  # of Gauss-Newton
CLEARLY = 9.0  # chi-square by which the second-best way must be worse
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
    fits = [_fit(*pairs, by_light, q, gamma, order) for q, gamma, order in _starts(*pairs, by_light)]
    chi2, ratio, systemic, errors, order = min(fits, key=lambda fit: fit[0])
    # The same pairs with the stars' names exchanged are the same answer.
    others = [fit[0] for fit in fits if len(set(fit[4] ^ order)) > 1]
    if min(others, default=np.inf) < chi2 + CLEARLY or not errors[0] < LARGEST_ERROR:
        return nothing
    swapped = order.astype(bool)
    if typical < 3 * np.sum(scatter**-2.0) ** -0.5 and ratio > 1:
        ratio, swapped = 1.0 / ratio, ~swapped
    return Wilson(ratio, ratio * errors[0], systemic, errors[1], swapped)


def typical_excess(excess: np.ndarray, scatter: np.ndarray) -> float:
    """By how much star 1 is brighter: what the excess (n,) of either star exceeds its errors by."""
    return float(np.sqrt(max(np.average(excess**2 - scatter**2, weights=scatter**-2.0), 0.0)))


def _starts(v: np.ndarray, e: np.ndarray, by_light: np.ndarray) -> list[tuple[float, float, np.ndarray]]:
    """Mass ratio, systemic velocity and order (n,) of the best ways to tell the stars apart, one start each.

    `v`, `e` (2, n, 2) are in the given order and exchanged.
    """
    q, gamma = RATIOS[:, None, None, None], np.linspace(v.min(), v.max(), SYSTEMIC)[:, None, None]
    away = (v[..., 0] + q * v[..., 1] - gamma * (1 + q)) ** 2 / (e[..., 0] ** 2 + (q * e[..., 1]) ** 2)
    cost = away + by_light
    order = cost.argmin(axis=2).reshape(-1, v.shape[1])
    total = cost.min(axis=2).sum(axis=-1).ravel()
    best = np.argsort(total, kind="stable")
    _, first = np.unique(order[best], axis=0, return_index=True)
    chosen = best[np.sort(first)[:TRIED]]
    return [(float(RATIOS[i // SYSTEMIC]), float(gamma.ravel()[i % SYSTEMIC]), order[i]) for i in chosen]


def _fit(
    v: np.ndarray, e: np.ndarray, by_light: np.ndarray, ratio: float, systemic: float, order: np.ndarray
) -> tuple[float, float, float, np.ndarray, np.ndarray]:
    """Gauss-Newton of ln q and gamma in one order: chi-square, q, gamma, errors of ln q and gamma, order."""
    rows = np.arange(len(order))
    (v1, v2), (e1, e2) = v[order, rows].T, e[order, rows].T
    for _ in range(ROUNDS):
        sigma = np.hypot(e1, ratio * e2)
        away = (v1 + ratio * v2 - systemic * (1 + ratio)) / sigma
        slopes = np.column_stack([ratio * (v2 - systemic) / sigma, -(1 + ratio) / sigma])
        normal = slopes.T @ slopes + 1e-9 * np.eye(2)
        step = np.linalg.solve(normal, slopes.T @ away)
        ratio *= float(np.exp(-np.clip(step[0], -0.5, 0.5)))
        systemic -= float(step[1])
    sigma = np.hypot(e1, ratio * e2)
    chi2 = float(np.sum(((v1 + ratio * v2 - systemic * (1 + ratio)) / sigma) ** 2))
    errors = np.sqrt(np.diag(np.linalg.inv(normal)))
    return chi2 + float(by_light[order, rows].sum()), ratio, systemic, errors, order
