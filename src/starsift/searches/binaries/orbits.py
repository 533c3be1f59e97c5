"""Orbits of double- and single-lined binaries from the velocities of six exposures or more.

The method is The Joker's (Price-Whelan et al. 2017, ApJ 837, 20): the velocity of the centre of mass and the
amplitudes enter linearly and are integrated out, so that period, eccentricity, orientation and phase can be
sampled without losing one of the many periods that a few exposures allow. The package `thejoker` takes the
velocities of one star; here those of both are fitted together, as Guo et al. (2025, arXiv:2504.11954) did for
LAMOST. Nothing need say whose velocity is whose: of an orbit, star 1 has the higher one where it recedes.
Where many exposures leave a posterior too narrow for samples of the prior, these are annealed to it: the
likelihood is raised to a power that grows to 1, and at each power the samples move.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import beta

from starsift.kernels import njit
from starsift.searches.binaries.wilson import typical_excess

YEAR = 365.25  # days
AMPLITUDE = 30.0  # km/s, spread of the amplitudes of orbits of one year; it falls as period**(-1/3)
SYSTEMIC = 150.0  # km/s, spread of the velocities of the centres of mass
ECCENTRICITY = (0.867, 3.03)  # of a beta distribution (Kipping 2013, MNRAS 434, L51)
BLENDED = 30.0  # km/s: the velocity difference of two stars whose lines are not apart is 0 within this
BLEND_ERROR = 5.0  # km/s, of the velocity of two blended stars taken for the mean by light
ECCENTRIC = 2.0  # days, below which orbits are nearly circular (Moe & Di Stefano 2017, ApJS 230, 15, eq. 3)
CIRCULAR = 0.05  # eccentricity of those, at most
UNEQUAL = 0.3  # by which share of the largest velocity difference the amplitudes of two stars differ
LEAST_APART = 10.0  # km/s, that largest difference at least
DRAWS = 1 << 20  # of the prior
CLIMBS = ((2048, 20), (512, 60))  # windows of frequency whose highest likelihood is looked for, generations
CLIMBERS, CLIMBER_DRAWS = 32, 512  # in each: the best of so many draws
# Looks at the windows that are left: at how many, with how many draws of the prior of each, samples at the
# first step, and how far below the highest logarithm of the evidence no further look is worth it.
LOOKS = ((64, 1 << 11, 1 << 8, 15.0), (32, 1 << 14, 1 << 11, 6.0), (8, 1 << 16, 1 << 13, 6.0))
HOPELESS = 30.0  # below the highest likelihood that climbers reached: windows that no look is worth
MISSED = 6.0  # below the highest likelihood of the window's climbers: samples that missed the peak
ONE_PERIOD = 4.0  # radians of phase over the time span, within which periods count as one
FIRST = 1 << 14  # samples at the first step of annealing, when many periods are possible
KEPT = 0.8  # share of the samples that each step leaves, down to as many as are asked for
MOVES = 8  # of each sample at each step
ESS = 0.5  # effective share of the samples that a step of annealing keeps


@dataclass(frozen=True)
class Velocities:
    """What n exposures say about one binary.

    `time` (n,) days; `rv`, `rv_err` (n, 2) km/s, ascending, the second NaN where the lines are not apart;
    `excess`, `excess_err` (n,): share of the light of the star at the higher velocity minus the other's, NaN
    where it is not known. With no pair at all the star is single-lined.
    """

    time: np.ndarray
    rv: np.ndarray
    rv_err: np.ndarray
    excess: np.ndarray
    excess_err: np.ndarray

    @property
    def paired(self) -> np.ndarray:
        """Exposures (n,) with two velocities."""
        return np.isfinite(self.rv[:, 1])


@dataclass(frozen=True)
class Orbits:
    """Samples (s,) of the posterior of one orbit.

    `period` days; `eccentricity`; `omega` radians, the argument of periastron of star 1; `periastron` days,
    the time of a periastron, in the time of the velocities; `systemic`, `k1`, `k2` km/s, the velocity of the
    centre of mass and the semi-amplitudes of both stars, k2 NaN of a single-lined one; `log_posterior`, but
    for a constant.
    """

    period: np.ndarray
    eccentricity: np.ndarray
    omega: np.ndarray
    periastron: np.ndarray
    systemic: np.ndarray
    k1: np.ndarray
    k2: np.ndarray
    log_posterior: np.ndarray


def sample_orbits(
    velocities: Velocities, period: Sequence[float], *, samples: int, seed: int | Sequence[int]
) -> tuple[Orbits, Orbits]:
    """Samples of the posterior of the orbit of one star, by annealing samples of the prior; and the same with
    the amplitudes and the systemic velocity that are most likely for each.

    The prior: periods uniform in their logarithm within `period` (days, shortest and longest), directions and
    phases uniform; eccentricities of a beta distribution, from 0 to the largest at which stars do not touch;
    amplitudes normal, 30 km/s at one year and falling as period**(-1/3) (Price-Whelan et al. 2020, ApJ 895,
    2). Of two stars whose lines show, the amplitudes are alike. Star 1 is the brighter one, and where
    both are alike the one that moves less. Equal for equal seeds.

    Raises ValueError: there is no velocity, an error is not above 0, a value is not finite, or the periods do
    not ascend.
    """
    known = np.column_stack([np.ones(len(velocities.time), bool), velocities.paired])
    good = np.isfinite(velocities.rv) & np.isfinite(velocities.rv_err) & (velocities.rv_err > 0)
    if not known.any() or not (good & np.isfinite(velocities.time)[:, None])[known].all():
        raise ValueError("velocities: there is none, an error is not above 0, or a value is not finite")
    if not 0 < period[0] < period[1] < np.inf:
        raise ValueError(f"periods must ascend from above 0 days, not {period[0]} to {period[1]}")
    rng = np.random.default_rng(seed)
    middle = float(velocities.time.mean())
    data = _pack(velocities, middle)
    edges = 1.0 / period[1], 1.0 / period[0]
    width = ONE_PERIOD / (2 * np.pi * max(float(np.ptp(velocities.time)), 1e-9))
    draws = _draw_prior(rng, edges, data, DRAWS)
    runs = [_anneal(rng, draws, edges, data, FIRST, samples)]
    if len(np.unique(runs[0][0][:, 0] // width)) <= LOOKS[0][0]:
        runs = _by_window(rng, draws, edges, width, data, samples)
    evidence = np.concatenate([np.full(len(run[1]), run[2] - np.log(len(run[1]))) for run in runs])
    theta, log_l = (np.concatenate([run[i] for run in runs]) for i in (0, 1))
    some = _resample(rng, np.exp(evidence - evidence.max()), samples)
    theta, log_p = theta[some], log_l[some] + _log_prior(theta[some], edges)
    linear, likely = (
        _evaluate(theta, normal, *data)[1]
        for normal in (rng.standard_normal((samples, 3)), np.zeros((samples, 3)))
    )
    drawn, best = (_orbits(theta, x, log_p, velocities, middle) for x in (linear, likely))
    if _alike(velocities):
        other = _others(best, velocities)
        return _turn(drawn, other), _turn(best, other)
    return drawn, best


def _by_window(
    rng: np.random.Generator,
    draws: tuple[np.ndarray, np.ndarray, np.ndarray],
    edges: tuple[float, float],
    width: float,
    data: tuple[np.ndarray | float, ...],
    samples: int,
) -> list[tuple[np.ndarray, np.ndarray, float]]:
    """Samples of each window of frequency that may matter, their likelihoods, and the logarithm of the
    evidence.

    One annealing of all frequencies loses some periods on its way. So the highest likelihood in each of the
    windows that draws of the prior favour is looked for, the best windows are sampled alone, and the best of
    these again with more samples.
    """
    theta, weight, log_l = draws
    power = _next_power(log_l, 0.0, weight, len(theta) / 16)
    place, inverse = np.unique(theta[:, 0] // width, return_inverse=True)
    favour = np.bincount(inverse, weight * np.exp(power * (log_l - log_l.max())))
    ends = np.stack([place * width, (place + 1) * width], axis=1).clip(*edges)
    order = np.argsort(-favour, kind="stable")
    climbers: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    for number, generations in CLIMBS:
        for i in order[:number]:
            if i not in climbers:
                theta, _, log_l = _draw_prior(rng, tuple(ends[i]), data, CLIMBER_DRAWS)
                first = np.argsort(-log_l)[:CLIMBERS]
                climbers[i] = theta[first], log_l[first]
            _climb(rng, *climbers[i], *ends[i], generations, *data)
        order = np.array(sorted(climbers, key=lambda i: -climbers[i][1].max()))
    best = climbers[order[0]][1].max()
    order = np.array([i for i in order if climbers[i][1].max() > best - HOPELESS])
    found: dict[int, tuple[np.ndarray, np.ndarray, float]] = {}
    for number, n_draws, kept, hopeless in LOOKS:
        for i in order[:number]:
            peak = climbers[i][1].max()
            for more in (1, 4, 16):
                some = _draw_prior(rng, tuple(ends[i]), data, more * n_draws)
                found[i] = _anneal(rng, some, tuple(ends[i]), data, more * kept, min(more * kept, samples))
                if found[i][1].max() > peak - MISSED:
                    break
        likeliest = max(run[2] for run in found.values())
        found = {i: run for i, run in found.items() if run[2] > likeliest - hopeless}
        order = np.array(sorted(found, key=lambda i: -found[i][2]))
    return list(found.values())


def _anneal(
    rng: np.random.Generator,
    draws: tuple[np.ndarray, np.ndarray, np.ndarray],
    edges: tuple[float, float],
    data: tuple[np.ndarray | float, ...],
    kept: int,
    samples: int,
) -> tuple[np.ndarray, np.ndarray, float]:
    """Samples of the posterior of frequencies between `edges` from draws of the prior, their likelihoods, and
    the logarithm of the evidence. `kept` samples at the first step, fewer at each, down to `samples`."""
    theta, weight, log_l = draws
    power, evidence = 0.0, float(np.log(np.log(edges[1] / edges[0])))
    while power < 1.0:
        following = _next_power(log_l, power, weight, kept if power == 0.0 else ESS * len(theta))
        highest = log_l.max()
        more = weight * np.exp((following - power) * (log_l - highest))
        evidence += float(np.log(more.sum() / weight.sum()) + (following - power) * highest)
        at = _resample(rng, more, kept)
        power, weight, kept = following, np.ones(kept), max(samples, int(KEPT * kept))
        theta, log_l = _move(rng, theta[at], log_l[at], power, edges, data)
    some = rng.permutation(len(theta))[:samples]
    return theta[some], log_l[some], evidence


def _pack(velocities: Velocities, middle: float) -> tuple[np.ndarray | float, ...]:
    """Input of `_evaluate` besides the orbits: times, pairs, velocities, variances, costs by light, shares of
    the light, weight of equal amplitudes."""
    pairs, typical = velocities.paired, _typical(velocities)
    excess, scatter = velocities.excess, velocities.excess_err
    cost = np.stack([(excess - typical) ** 2, (excess + typical) ** 2], axis=1) / scatter[:, None] ** 2
    cost[~_lit(velocities)] = 0.0
    share, variance = light_shares(velocities), velocity_variance(velocities)
    apart = velocities.rv[pairs, 1] - velocities.rv[pairs, 0]
    alike = (UNEQUAL * apart.max(initial=LEAST_APART)) ** -2.0 if pairs.any() else 0.0
    return velocities.time - middle, pairs, velocities.rv, variance, cost, share, alike


def light_shares(velocities: Velocities) -> np.ndarray:
    """Typical shares (2,) of the light, of star 1, the brighter one, and star 2; of a single-lined star, all
    light is star 1's."""
    excess = _typical(velocities) if velocities.paired.any() else 1.0
    return np.array([0.5 + 0.5 * excess, 0.5 - 0.5 * excess])


def velocity_variance(velocities: Velocities) -> np.ndarray:
    """Variances (n, 2) of the velocities, (km/s)**2, with `BLEND_ERROR` where an SB2 shows one."""
    variance = velocities.rv_err**2
    if velocities.paired.any():
        variance[~velocities.paired, 0] += BLEND_ERROR**2
    return variance


def _lit(velocities: Velocities) -> np.ndarray:
    """Exposures (n,) in which the light of two stars is known."""
    return velocities.paired & np.isfinite(velocities.excess) & (velocities.excess_err > 0)


def _typical(velocities: Velocities) -> float:
    """By how much star 1 is the brighter one."""
    lit = _lit(velocities)
    return typical_excess(velocities.excess[lit], velocities.excess_err[lit]) if lit.any() else 0.0


def _draw_prior(
    rng: np.random.Generator, edges: tuple[float, float], data: tuple[np.ndarray | float, ...], n: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draws (n, 4), their weights and likelihoods: half of the frequencies are uniform: short periods lie
    densely."""
    low, high = edges
    even = rng.random(n) < 0.5
    place = (np.arange(n) + rng.random(n)) / n  # stratified
    frequency = np.where(even, low + place * (high - low), low * (high / low) ** place)
    logarithm = 1.0 / (frequency * np.log(high / low))
    weight = logarithm / (0.5 * logarithm + 0.5 / (high - low))
    size = np.sqrt(rng.beta(*ECCENTRICITY, n) * _largest_eccentricity(frequency))
    direction = 2 * np.pi * rng.random(n)
    parts = [frequency, size * np.cos(direction), size * np.sin(direction), rng.random(n)]
    theta = np.stack(parts, axis=1)
    return theta, weight, _evaluate(theta, np.zeros((n, 3)), *data)[0]


@njit(cache=True, nogil=True)
def _largest_eccentricity(frequency: np.ndarray | float) -> np.ndarray | float:
    """At periastron stars fill less than 70 % of their Roche lobes."""
    return np.maximum(1.0 - (frequency * ECCENTRIC) ** (2 / 3), CIRCULAR)


def _log_prior(theta: np.ndarray, edges: tuple[float, float]) -> np.ndarray:
    """Of draws (n, 4): frequency, sqrt(e) cos(omega), sqrt(e) sin(omega), mean longitude / 2 pi."""
    frequency = np.clip(theta[:, 0], *edges)
    largest = _largest_eccentricity(frequency)
    share = (theta[:, 1] ** 2 + theta[:, 2] ** 2) / largest
    inside = (theta[:, 0] == frequency) & (share < 1)
    value = beta.logpdf(np.clip(share, 1e-9, 1 - 1e-9), *ECCENTRICITY) - np.log(largest * frequency)
    return np.where(inside, value, -np.inf)


def _next_power(log_l: np.ndarray, power: float, weight: np.ndarray, least: float) -> float:
    """The highest power of the likelihood, at most 1, that leaves an effective number `least` of samples."""

    def effective(to: float) -> float:
        w = weight * np.exp((to - power) * (log_l - log_l.max()))
        return float(w.sum() ** 2 / (w**2).sum())

    low, high = power, 1.0
    if effective(high) >= least:
        return high
    for _ in range(50):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if effective(middle) >= least else (low, middle)
    # However steep the likelihood, there is a step.
    return max(low, power + 1e-9)


def _resample(rng: np.random.Generator, weight: np.ndarray, n: int) -> np.ndarray:
    """Rows of n samples in proportion to the weights: systematic resampling."""
    total = np.cumsum(weight)
    return np.minimum(np.searchsorted(total, (np.arange(n) + rng.random()) / n * total[-1]), weight.size - 1)


def _move(
    rng: np.random.Generator,
    theta: np.ndarray,
    log_l: np.ndarray,
    power: float,
    edges: tuple[float, float],
    data: tuple[np.ndarray | float, ...],
) -> tuple[np.ndarray, np.ndarray]:
    """Metropolis steps by differences of other samples (ter Braak 2006, Stat. Comput. 16, 239), of near
    frequencies mostly: those lie on one peak of the likelihood, or some peaks apart."""
    n = len(theta)
    theta, log_l = theta.copy(), log_l.copy()
    prior = _log_prior(theta, edges)
    for _ in range(MOVES):
        halves = np.array_split(rng.permutation(n), 2)
        for mine, others in (halves, halves[::-1]):
            pool = theta[others[np.argsort(theta[others, 0], kind="stable")]]
            m, p = len(mine), len(pool)
            first = rng.integers(p, size=m)
            apart = np.exp(rng.random(m) * np.log(p / 2)).astype(np.int64) * rng.choice((-1, 1), m)
            second = (first + apart) % p
            step = pool[first] - pool[second]
            step[:, 3] -= np.round(step[:, 3])
            size = np.exp(rng.uniform(np.log(0.05), np.log(1.2), m))
            new = theta[mine] + size[:, None] * step
            new[:, 3] %= 1.0
            new_prior = _log_prior(new, edges)
            possible = np.isfinite(new_prior)
            new_l = np.full(m, -np.inf)
            new_l[possible] = _evaluate(new[possible], np.zeros((int(possible.sum()), 3)), *data)[0]
            gain = power * (new_l - log_l[mine]) + new_prior - prior[mine]
            taken = np.log(rng.random(m)) < gain
            rows = mine[taken]
            theta[rows], log_l[rows], prior[rows] = new[taken], new_l[taken], new_prior[taken]
    return theta, log_l


@njit(cache=True, nogil=True)
def _radial(mean: float, e: float, cos_omega: float, sin_omega: float, root: float) -> float:
    """Velocity in units of the amplitude, cos(omega + nu) + e cos(omega), at a mean anomaly.

    Kepler's equation is solved as by Danby 1987, Celestial Mechanics 40, 303.
    """
    mean -= 2 * np.pi * np.floor(mean / (2 * np.pi))
    anomaly = mean + (0.85 * e if mean < np.pi else -0.85 * e)
    sine, cosine, change = 0.0, 0.0, 0.0
    for _ in range(20):
        sine, cosine = np.sin(anomaly), np.cos(anomaly)
        miss, slope = anomaly - e * sine - mean, 1.0 - e * cosine
        change = -miss / slope
        change = -miss / (slope + 0.5 * change * e * sine)
        change = -miss / (slope + 0.5 * change * e * sine + change * change * e * cosine / 6.0)
        anomaly += change
        if abs(change) < 1e-3:  # of fourth order: the next change would be below 1e-12
            break
    even = 1.0 - 0.5 * change * change
    sine, cosine = even * sine + change * cosine, even * cosine - change * sine
    return (cos_omega * (cosine * (1.0 - e * e)) - sin_omega * root * sine) / (1.0 - e * cosine)


@njit(cache=True, nogil=True)
def radial_velocities(
    time: np.ndarray, period: float, eccentricity: float, omega: float, periastron: float
) -> np.ndarray:
    """Velocities (n,) of star 1 about the centre of mass in units of its amplitude, at times (n,), days."""
    result = np.empty(len(time))
    root = np.sqrt(1.0 - eccentricity**2)
    for j in range(len(time)):
        mean = 2 * np.pi * (((time[j] - periastron) / period) % 1.0)
        result[j] = _radial(mean, eccentricity, np.cos(omega), np.sin(omega), root)
    return result


@njit(cache=True, nogil=True)
def _evaluate(
    theta: np.ndarray,
    normal: np.ndarray,
    time: np.ndarray,
    pairs: np.ndarray,
    rv: np.ndarray,
    variance: np.ndarray,
    cost: np.ndarray,
    share: np.ndarray,
    alike: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Logarithm (s,) of the likelihood with the linear parameters integrated out, and a draw (s, 3) of them:
    systemic velocity and amplitudes. `normal` (s, 3): standard normal, or 0 for the most likely ones."""
    n_samples = len(theta)
    log_l = np.empty(n_samples)
    linear = np.empty((n_samples, 3))
    row = np.empty(3)
    anything = pairs.any()
    for s in range(n_samples):
        frequency = theta[s, 0]
        e = theta[s, 1] ** 2 + theta[s, 2] ** 2
        omega = np.arctan2(theta[s, 2], theta[s, 1])
        cos_omega, sin_omega, root = np.cos(omega), np.sin(omega), np.sqrt(1.0 - e * e)
        spread = AMPLITUDE**2 * (frequency * YEAR) ** (2.0 / 3.0) / (1.0 - e * e)
        a = np.zeros((3, 3))
        a[0, 0] = SYSTEMIC**-2.0
        a[1, 1] = a[2, 2] = 1.0 / spread + alike
        a[2, 1] = -alike
        # Of the determinant of the prior; that of the systemic velocity is constant.
        prior = -0.5 * np.log(a[1, 1] * a[2, 2] - alike * alike)
        b = np.zeros(3)
        total = 0.0
        for j in range(len(time)):
            mean = 2 * np.pi * ((frequency * time[j] + theta[s, 3]) % 1.0) - omega
            f = _radial(mean, e, cos_omega, sin_omega, root)
            if pairs[j]:
                order = 1 if f > 0 else 0  # of star 1 among the ascending velocities
                total += cost[j, 1 - order]
            for k in range(2):
                if pairs[j]:
                    place = order if k == 0 else 1 - order
                    y, w = rv[j, place], 1.0 / variance[j, place]
                    row[0], row[1], row[2] = 1.0, f if k == 0 else 0.0, -f if k == 1 else 0.0
                elif k == 0:
                    y, w = rv[j, 0], 1.0 / variance[j, 0]
                    row[0], row[1], row[2] = 1.0, share[0] * f, -share[1] * f
                elif anything:
                    y, w = 0.0, BLENDED**-2.0
                    row[0], row[1], row[2] = 0.0, f, f
                else:
                    continue
                for i in range(3):
                    b[i] += w * row[i] * y
                    for m in range(i + 1):
                        a[i, m] += w * row[i] * row[m]
                total += w * y * y
        # Cholesky
        l00 = np.sqrt(a[0, 0])
        l10, l20 = a[1, 0] / l00, a[2, 0] / l00
        l11 = np.sqrt(a[1, 1] - l10 * l10)
        l21 = (a[2, 1] - l20 * l10) / l11
        l22 = np.sqrt(a[2, 2] - l20 * l20 - l21 * l21)
        z0 = b[0] / l00
        z1 = (b[1] - l10 * z0) / l11
        z2 = (b[2] - l20 * z0 - l21 * z1) / l22
        total -= z0 * z0 + z1 * z1 + z2 * z2
        log_l[s] = -0.5 * total - np.log(l00 * l11 * l22) - prior
        x2 = (z2 + normal[s, 2]) / l22
        x1 = (z1 + normal[s, 1] - l21 * x2) / l11
        linear[s, 2], linear[s, 1] = x2, x1
        linear[s, 0] = (z0 + normal[s, 0] - l10 * x1 - l20 * x2) / l00
    return log_l, linear


@njit(cache=True, nogil=True)
def _climb(
    rng: np.random.Generator,
    theta: np.ndarray,
    log_l: np.ndarray,
    low: float,
    high: float,
    generations: int,
    time: np.ndarray,
    pairs: np.ndarray,
    rv: np.ndarray,
    variance: np.ndarray,
    cost: np.ndarray,
    share: np.ndarray,
    alike: float,
) -> None:
    """Move samples of frequencies from `low` to `high` to higher likelihoods, in place, by differential
    evolution (Storn & Price 1997, J. Glob. Optim. 11, 341)."""
    n = len(theta)
    zeros = np.zeros((n, 3))
    new = np.empty_like(theta)
    for _ in range(generations):
        best = np.argmax(log_l)
        for i in range(n):
            first, second = rng.integers(0, n), rng.integers(0, n)
            size = rng.uniform(0.3, 1.0)
            toward = size if rng.random() < 0.5 else 0.0
            for k in range(4):
                step, rise = theta[first, k] - theta[second, k], theta[best, k] - theta[i, k]
                if k == 3:
                    step, rise = step - np.round(step), rise - np.round(rise)
                new[i, k] = theta[i, k] + size * step + toward * rise
            new[i, 0] = min(max(new[i, 0], low), high)
            e = new[i, 1] ** 2 + new[i, 2] ** 2
            largest = _largest_eccentricity(new[i, 0])
            if e >= largest:
                shrink = np.sqrt(largest / e) * rng.random()
                new[i, 1], new[i, 2] = new[i, 1] * shrink, new[i, 2] * shrink
        new_l = _evaluate(new, zeros, time, pairs, rv, variance, cost, share, alike)[0]
        for i in range(n):
            if new_l[i] > log_l[i]:
                log_l[i], theta[i] = new_l[i], new[i]


def _alike(velocities: Velocities) -> bool:
    """Whether light does not tell which of two stars is which."""
    if not velocities.paired.any():
        return False
    scatter = velocities.excess_err[_lit(velocities)]
    return not scatter.size or _typical(velocities) < 3 * float(np.sum(scatter**-2.0)) ** -0.5


def _others(likely: Orbits, velocities: Velocities) -> np.ndarray:
    """In which samples (s,) star 1 is another star than in most: it shall be that which moves less."""
    f = np.stack(
        [
            radial_velocities(velocities.time[velocities.paired], *elements)
            for elements in zip(
                likely.period, likely.eccentricity, likely.omega, likely.periastron, strict=True
            )
        ]
    )
    other = np.asarray(f @ f[likely.log_posterior.argmax()] < 0)
    turned = _turn(likely, other)
    return other ^ bool(np.median(turned.k1) > np.median(turned.k2))


def _turn(orbits: Orbits, other: np.ndarray) -> Orbits:
    """Orbits in which star 1 is star 2 where `other` (s,)."""
    k1, k2 = np.where(other, orbits.k2, orbits.k1), np.where(other, orbits.k1, orbits.k2)
    return replace(orbits, omega=(orbits.omega + np.pi * other) % (2 * np.pi), k1=k1, k2=k2)


def _orbits(
    theta: np.ndarray,
    linear: np.ndarray,
    log_p: np.ndarray,
    velocities: Velocities,
    middle: float,
) -> Orbits:
    """Samples as orbits with positive amplitudes."""
    frequency, longitude = theta[:, 0], theta[:, 3]
    eccentricity = theta[:, 1] ** 2 + theta[:, 2] ** 2
    omega = np.arctan2(theta[:, 2], theta[:, 1])
    turns = omega / (2 * np.pi) - longitude
    periastron = middle + (turns - np.round(turns)) / frequency
    systemic, k1, k2 = linear.T
    if not velocities.paired.any():
        omega, k2 = np.where(k1 < 0, omega + np.pi, omega), np.full(len(k1), np.nan)
    omega = omega % (2 * np.pi)
    return Orbits(1 / frequency, eccentricity, omega, periastron, systemic, np.abs(k1), np.abs(k2), log_p)
