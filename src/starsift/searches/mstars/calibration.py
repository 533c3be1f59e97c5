"""Probabilities of being an M star from scores: learned from spectra that the hasher has not seen."""

import os
from dataclasses import asdict, dataclass

import numpy as np
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold

from starsift.io.files import read_json, write_json
from starsift.searches.mstars.hamming import rank_codes
from starsift.searches.mstars.model import Method, train

BLOCK = 4096  # spectra at a time
FOLDS = 5

PathLike = str | os.PathLike[str]


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
) -> Calibration:
    """Calibrate scores by logistic regression over folds, on spectra that the hasher has not seen.

    Parameters
    ----------
    features (n, q), labels (n,), is_m (n,) : the sample, as in `score_unseen`
    groups : (n,), equal for a spectrum and its copies, which are never in two folds
    used : (n,) bool, rows that the regression is fitted to; all, if these are not of both kinds
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
    scale = max(float(score.std()), 1e-9)
    fit = LogisticRegression(C=100.0).fit(score[rows, None] / scale, is_m[rows])
    return Calibration(float(fit.intercept_[0]), float(fit.coef_[0, 0]) / scale, float(is_m[rows].mean()))


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
