"""Probabilities of being an M star from scores: learned from spectra that the hasher has not seen."""

import os
from dataclasses import asdict, dataclass, replace

import numpy as np
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold

from starsift.io.files import read_json, write_json
from starsift.searches.mstars.hamming import rank_codes
from starsift.searches.mstars.model import Method, train

BLOCK = 4096  # spectra at a time
FOLDS = 5
# Signal-to-noise ratios a pixel in r between which scores grow more decisive.
FAINT, BRIGHT = 4.0, 30.0
BINS = 4  # of the S/N of bright spectra

PathLike = str | os.PathLike[str]


@dataclass(frozen=True)
class Calibration:
    """Log odds that a spectrum is an M star, where the share of M stars is `prior`.

    They are `intercept` + `slope` * score, plus x (`bright_intercept` + `bright_slope` * score): x is 0 of
    spectra up to S/N `FAINT` and grows with log10(S/N) up to `BRIGHT`.
    """

    intercept: float
    slope: float
    prior: float
    bright_intercept: float = 0.0
    bright_slope: float = 0.0

    def log_odds(
        self, score: np.ndarray, prior: float | None = None, snr: np.ndarray | None = None
    ) -> np.ndarray:
        """Log odds (n,) of scores (n,) of spectra of S/N `snr` (n,), where the share of M stars is `prior`.

        Spectra without S/N (NaN; by default all) count as faint.
        """
        shift = 0.0 if prior is None else np.log(prior / (1 - prior)) - np.log(self.prior / (1 - self.prior))
        value = np.asarray(score, np.float64)
        x = 0.0 if snr is None else brightness(snr)
        odds = self.intercept + self.slope * value + x * (self.bright_intercept + self.bright_slope * value)
        return np.asarray(odds + shift)


def brightness(snr: np.ndarray) -> np.ndarray:
    """log10 of S/N (n,) over `FAINT`, from 0 to that of `BRIGHT`; 0 where it is NaN."""
    ratio = np.nan_to_num(np.asarray(snr, np.float64), nan=FAINT)
    return np.asarray(np.log10(np.clip(ratio, FAINT, BRIGHT) / FAINT))


def write_calibration(calibration: Calibration, path: PathLike) -> None:
    """Write a calibration as JSON."""
    write_json(asdict(calibration), path)


def read_calibration(path: PathLike) -> Calibration:
    """Read what `write_calibration` wrote."""
    return Calibration(**read_json(path))


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

    Returns (m,) float32, the higher the more like an M star.
    """
    if method.hasher is None:
        return _cosine(unseen, features[is_m])
    hasher = train(features, labels, method, bits=bits, seed=seed).hasher
    codes = hasher.transform(features)
    return rank_codes(hasher.transform(unseen), codes[is_m], codes[~is_m], method.ranking)


def _cosine(unseen: np.ndarray, positive: np.ndarray) -> np.ndarray:
    def unit(rows: np.ndarray) -> np.ndarray:
        rows = rows - rows.mean(axis=1, keepdims=True)
        return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)

    against = unit(positive).T
    parts = [
        (unit(unseen[start : start + BLOCK]) @ against).max(axis=1) for start in range(0, len(unseen), BLOCK)
    ]
    return np.concatenate(parts)


def calibrate(
    features: np.ndarray,
    labels: np.ndarray,
    is_m: np.ndarray,
    method: Method,
    bits: int,
    seed: int,
    *,
    groups: np.ndarray | None = None,
    used: np.ndarray | None = None,
    snr: np.ndarray | None = None,
) -> Calibration:
    """Calibrate scores by logistic regression over folds, on spectra that the hasher has not seen.

    Parameters
    ----------
    features (n, q), labels (n,), is_m (n,) : the sample, as in `score_unseen`
    groups : (n,), equal for a spectrum and its copies, which are never in two folds
    used : (n,) bool, rows that the regression is fitted to; all, if these are not of both kinds
    snr : (n,), optional; rows above `FAINT` are used, too, and tell how much more decisive their scores are
    """
    group = np.arange(len(is_m)) if groups is None else groups
    fewest = min(np.unique(group[is_m]).size, np.unique(group[~is_m]).size)
    score = np.zeros(len(is_m))
    splitter = StratifiedGroupKFold(max(2, min(FOLDS, fewest)), shuffle=True, random_state=seed)
    for known, unseen in splitter.split(features, is_m, group):
        sample = features[known], labels[known], is_m[known]
        score[unseen] = score_unseen(*sample, features[unseen], method, bits, seed)
    rows = np.ones(len(is_m), bool) if used is None else used
    if np.unique(is_m[rows]).size < 2:
        rows = np.ones(len(is_m), bool)
    prior = float(is_m[rows].mean())
    scale = max(float(score.std()), 1e-9)
    value, weight = score[:, None] / scale, np.ones(len(score))
    if snr is not None:
        x = brightness(snr)
        bright = x > 0
        weight[bright] = _balance(is_m[bright], x[bright], prior)
        rows = rows | bright
        value = np.concatenate([value, x[:, None], x[:, None] * value], axis=1)
    fit = LogisticRegression(C=100.0).fit(value[rows], is_m[rows], sample_weight=weight[rows])
    slope, *more = (float(one) for one in fit.coef_[0])
    calibration = Calibration(float(fit.intercept_[0]), slope / scale, prior)
    if more:
        calibration = replace(calibration, bright_intercept=more[0], bright_slope=more[1] / scale)
    return calibration


def _balance(is_m: np.ndarray, x: np.ndarray, prior: float) -> np.ndarray:
    """Weights (n,) that make the share of M stars `prior` in each bin of x (n,), 1 on average.

    How bright the labelled M stars are, compared with the others, says nothing about the pool. Bins without
    both kinds get no weight.
    """
    edges = np.quantile(x, np.linspace(0, 1, BINS + 1)[1:-1]) if len(x) else []
    part = np.searchsorted(edges, x, side="right")
    weight = np.zeros(len(x))
    for k in np.unique(part):
        here = part == k
        share = is_m[here].mean()
        if 0 < share < 1:
            weight[here] = np.where(is_m[here], prior / share, (1 - prior) / (1 - share))
    return weight


def pool_prior(log_odds: np.ndarray, prior: float) -> float:
    """The share of M stars in a pool, by expectation maximisation; it differs from that of the sample.

    `log_odds` (n,) are those of the pool's spectra for a share `prior`. The result is at least one spectrum's
    share, at most a half. Source: Saerens, Latinne & Decaestecker 2002, Neural Computation 14, 21.
    """
    if not len(log_odds):
        return prior
    share, known = prior, np.log(prior / (1 - prior))
    for _ in range(500):
        before = share
        mean = expit(log_odds + np.log(share / (1 - share)) - known).mean()
        share = float(np.clip(mean, min(0.5, 1 / len(log_odds)), 0.5))
        if abs(share - before) < 1e-9:
            break
    return share
