"""Probabilities of one, two and three stars from the models that `model_fit` fits.

A logistic regression with three classes, on squares and products of a few numbers of the fits: no companion
is at the right velocity, one is, two are. It learns from simulated spectra at equal numbers; what it gives
holds at the proportions of a survey.
"""

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

from starsift.errors import ResultsError, TrainingError
from starsift.io.files import read_json, write_json
from starsift.searches.binaries.model_bank import ModelBank
from starsift.searches.binaries.model_fit import ModelFits

# What a logistic regression sees of the last star of a model, against the model without it.
FEATURES = (
    "log gain",  # of chi-square, in units of the reduced chi-square
    "log share",  # that gain over the gain of the first star alone
    "log ratio",  # of the weakest star's lines to the strongest one's
    "gap",  # least difference of two velocities, 100 km/s
    "rotation",  # largest v sin i of the model, 100 km/s
    "single rotation",  # v sin i of the best single star, 100 km/s
    "log misfit",  # reduced chi-square
    "log lines",  # chi-square gained by the first star
    "log significance",  # of the depth of the weakest star
)
FOLDS = 5
DEGREE = 2
# Scikit-learn's C, a tenth of the usual: real stars are not quite like the simulated ones.
STRENGTH = 0.1
CLASSES = 3
NO_GAIN = (np.log10(3.0), -4.0)  # of chi-square: "log gain" and "log share"
NEIGHBOUR_KMS = (80.0, 60.0)  # beyond which the lines of the next star disturb little, and less
# Lines as far apart disturb each other no more. Without this limit the squares of a regression judge triples
# that are wider than those it learnt from.
FAR_KMS = 120.0
LIMIT = 8.0  # standard deviations: farther values count as this far


def features(fits: ModelFits, bank: ModelBank) -> np.ndarray:
    """`FEATURES` (n, 2, feature) of the models with two and three stars; NaN where they were not fitted."""
    misfit = np.maximum(fits.chi2 / np.maximum(fits.pixels, 1)[:, None], 1.0)
    strength = fits.depth * bank.depth.std(axis=1)[fits.template]
    rotation = np.where(fits.template >= 0, bank.params[fits.template, 3], np.nan) / 100
    out = np.full((len(fits.usable), 2, len(FEATURES)), np.nan)
    for model in (1, 2):
        rows = np.flatnonzero(np.isfinite(fits.chi2[:, model]))
        stars = slice(model + 1)
        gain = np.maximum(fits.chi2[rows, model - 1] - fits.chi2[rows, model], 0.0)
        lines = strength[rows, model, stars]
        weakest, strongest = lines.min(axis=1), np.maximum(lines.max(axis=1), 1e-6)
        sigmas = (fits.depth[rows, model, stars] / fits.depth_err[rows, model, stars]).min(axis=1)
        gap = np.diff(np.sort(fits.rv[rows, model, stars], axis=1), axis=1).min(axis=1)
        out[rows, model - 1] = np.column_stack(
            [
                np.log10(gain / misfit[rows, model] + 3.0),
                np.log10(gain / fits.lines[rows] + 1e-4),
                np.log10(np.clip(weakest / strongest, 1e-3, 1.0)),
                np.minimum(gap, FAR_KMS) / 100,
                rotation[rows, model, stars].max(axis=1),
                rotation[rows, 0, 0],
                np.log10(misfit[rows, model]),
                np.log10(fits.lines[rows]),
                np.log10(np.maximum(sigmas, 0.1)),
            ]
        )
    return out


def flatten_features(x: np.ndarray) -> np.ndarray:
    """Features (n, 2, feature) as (n, 2 * feature).

    A third star that could not be added is one that gains nothing, and is as the second one otherwise.
    """
    two, three = x[:, 0], x[:, 1].copy()
    none = np.isnan(three).any(axis=1)
    three[none] = two[none]
    three[none, :2] = NO_GAIN
    return np.concatenate([two, three], axis=1)


@dataclass(frozen=True)
class Decision:
    """Logistic regression of three classes on squares and products of standardised features.

    `mean`, `scale` (feature,); `powers` (term, feature); `coefficients` (3, term); `intercept` (3,) hold for
    the survey's proportions. `thresholds` (2,): least probability of two or more stars, and of three.
    `systematic`, `systematic_light` (4,): the part of the errors that is not noise, by `neighbours`; of
    velocities in km/s, and of shares of the light.
    """

    mean: list[float]
    scale: list[float]
    powers: list[list[int]]
    coefficients: list[list[float]]
    intercept: list[float]
    thresholds: list[float]
    systematic: list[float]
    systematic_light: list[float]

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Probabilities (n, 3) float64 of one, two and three stars from `features` (n, 2, feature).

        One star is certain where no pair was fitted.
        """
        numbers = flatten_features(x)
        fitted = np.isfinite(numbers).all(axis=1)
        z = np.clip((numbers[fitted] - self.mean) / self.scale, -LIMIT, LIMIT)
        terms = np.stack([np.prod(z**power, axis=1) for power in np.array(self.powers)], axis=1)
        out = np.tile([1.0, 0.0, 0.0], (len(x), 1))
        out[fitted] = softmax(terms @ np.array(self.coefficients).T + self.intercept, axis=1)
        return out

    def multiplicity(self, x: np.ndarray) -> np.ndarray:
        """What `call` makes of the probabilities of `features` (n, 2, feature)."""
        return self.call(self.predict(x))

    def call(self, probability: np.ndarray) -> np.ndarray:
        """ "SB3", "SB2" or "" (n,): probabilities (n, 3) beyond the thresholds of the purities asked for."""
        _, two, three = probability.T
        pair, triple = self.thresholds
        return np.where(three >= triple, "SB3", np.where(two + three >= pair, "SB2", ""))

    def velocity_errors(self, rv: np.ndarray, rv_err: np.ndarray) -> np.ndarray:
        """Errors (n, star) km/s with their systematic part, of velocities of one model; NaN beyond it."""
        return np.hypot(rv_err, np.array(self.systematic)[neighbours(rv)])

    def light_errors(self, rv: np.ndarray, light_err: np.ndarray) -> np.ndarray:
        """Errors (n, star) of shares of the light with their systematic part, of stars at velocities `rv`."""
        return np.hypot(light_err, np.array(self.systematic_light)[neighbours(rv)])

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write as JSON, whole or not at all."""
        write_json(asdict(self), path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Decision":
        """Read what `save` wrote. Raises ResultsError: it is that of another version."""
        content = read_json(path)
        if content.keys() != cls.__dataclass_fields__.keys():
            raise ResultsError(f"{path}: a decision of another version; delete it and run again")
        return cls(**content)


def neighbours(rv: np.ndarray) -> np.ndarray:
    """How near the next star of the same spectrum is, of velocities (n, star) in km/s, NaN beyond the stars.

    0 where there is none, 1 farther than 80 km/s, 2 farther than 60 km/s, 3 nearer.
    """
    away = np.abs(rv[:, :, None] - rv[:, None, :])
    away[:, np.arange(rv.shape[1]), np.arange(rv.shape[1])] = np.nan
    nearest = np.fmin.reduce(away, axis=2, initial=np.nan)
    return np.select([np.isnan(nearest), *(nearest > limit for limit in NEIGHBOUR_KMS)], [0, 1, 2], 3)


def train_decision(
    x: np.ndarray,
    right: np.ndarray,
    weight: np.ndarray,
    *,
    purity: Sequence[float],
    systematic: Sequence[float],
    systematic_light: Sequence[float],
    seed: int,
) -> Decision:
    """Learn from simulated spectra.

    Parameters
    ----------
    x : (n, 2, feature), from `features`
    right : (n, 2) bool, whether the velocities of the second, third star are those of simulated stars
    weight : (n,) number of a survey's spectra that each one stands for
    purity : share of right ones among the SB2 and the SB3 that the thresholds ask for
    systematic, systematic_light : see `Decision`

    Raises
    ------
    TrainingError : too few right or wrong companions
    """
    numbers = flatten_features(x)
    fitted = np.isfinite(numbers).all(axis=1)
    numbers, weight = numbers[fitted], weight[fitted]
    label = np.where(right[fitted, 1], 2, np.where(right[fitted, 0], 1, 0))
    count = np.bincount(label, minlength=CLASSES)
    if count.min() < FOLDS * 10:
        raise TrainingError(
            f"binaries.decision: {count[0]} spectra with a wrong companion, {count[1]} with a right one and "
            f"{count[2]} with two among the simulated ones, {FOLDS * 10} of each are needed; raise "
            "decision.spectra"
        )
    model = make_pipeline(
        StandardScaler(),
        PolynomialFeatures(DEGREE, include_bias=False),
        LogisticRegression(C=STRENGTH, max_iter=5000),
    )
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    # Trained at the proportions of the simulation; the intercepts then move to those of the survey.
    held_out = cross_val_predict(model, numbers, label, cv=folds, method="predict_log_proba")
    shift = np.log(np.bincount(label, weight, CLASSES) / count)
    probability = softmax(held_out + shift, axis=1)
    model.fit(numbers, label)
    scaler, powers, regression = (step for _, step in model.steps)
    several, triple = probability[:, 1] + probability[:, 2], probability[:, 2]
    return Decision(
        mean=scaler.mean_.tolist(),
        scale=scaler.scale_.tolist(),
        powers=powers.powers_.tolist(),
        coefficients=regression.coef_.tolist(),
        intercept=(regression.intercept_ + shift).tolist(),
        thresholds=[
            purity_threshold(several, label > 0, weight, purity[0]),
            purity_threshold(triple, label == 2, weight, purity[1]),
        ],
        systematic=[*systematic],
        systematic_light=[*systematic_light],
    )


def purity_threshold(probability: np.ndarray, right: np.ndarray, weight: np.ndarray, purity: float) -> float:
    """The lowest probability (0 to 1) above which a share `purity` of the spectra, weighted, is right.

    The number of wrong spectra counts with its error on top, so that a small sample asks for more.
    """
    order = np.argsort(-probability, kind="stable")
    good = np.cumsum(np.where(right, weight, 0.0)[order])
    spare = weight[~right].max(initial=0.0)
    wrong = np.where(right, 0.0, weight)[order]
    bad = np.cumsum(wrong) + np.sqrt(np.cumsum(wrong**2) + spare**2)
    pure = np.flatnonzero(good >= purity * (good + bad))
    return float(probability[order[pure[-1]]]) if pure.size else 1.0
