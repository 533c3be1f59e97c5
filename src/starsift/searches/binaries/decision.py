"""Probabilities of one, two and three stars from the models that `model_fit` fits.

Two logistic regressions on squares and products of a few numbers of the fits: whether the second star is real
and at the right velocity, and whether the third one is. They learn from simulated spectra at equal numbers;
what they give holds at the proportions of a survey.
"""

import os
from dataclasses import asdict, dataclass

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

from starsift.errors import TrainingError
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
                np.minimum(gap, 200.0) / 100,
                rotation[rows, model, stars].max(axis=1),
                rotation[rows, 0, 0],
                np.log10(misfit[rows, model]),
                np.log10(fits.lines[rows]),
                np.log10(np.maximum(sigmas, 0.1)),
            ]
        )
    return out


@dataclass(frozen=True)
class Logistic:
    """Logistic regression on squares and products of standardised features.

    `mean`, `scale` (feature,); `powers` (term, feature); `coefficients` (term,); `intercept` holds for the
    survey's proportions.
    """

    mean: list[float]
    scale: list[float]
    powers: list[list[int]]
    coefficients: list[float]
    intercept: float
    threshold: float

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Probabilities (n,) float64 of features (n, feature); 0 where they are NaN."""
        fitted = np.isfinite(x).all(axis=1)
        z = np.clip((x[fitted] - self.mean) / self.scale, -LIMIT, LIMIT)
        terms = np.prod(z[:, None, :] ** np.array(self.powers), axis=2)
        out = np.zeros(len(x))
        out[fitted] = 1.0 / (1.0 + np.exp(-(terms @ np.array(self.coefficients) + self.intercept)))
        return out


@dataclass(frozen=True)
class Decision:
    """The two regressions: `pair` for two or more stars, `triple` for a third one where there are two."""

    pair: Logistic
    triple: Logistic

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Probabilities (n, 3) of one, two and three stars from `features` (n, 2, feature)."""
        two = self.pair.predict(x[:, 0])
        three = two * self.triple.predict(x[:, 1])
        return np.column_stack([1.0 - two, two - three, three])

    def multiplicity(self, x: np.ndarray) -> np.ndarray:
        """ "SB3", "SB2" or "" (n,): the probabilities beyond the thresholds of the purities asked for."""
        probability = self.predict(x)
        pair = probability[:, 1] + probability[:, 2] >= self.pair.threshold
        triple = pair & (probability[:, 2] >= self.triple.threshold)
        return np.where(triple, "SB3", np.where(pair, "SB2", ""))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write as JSON, whole or not at all."""
        write_json(asdict(self), path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Decision":
        """Read what `save` wrote."""
        parts = read_json(path)
        return cls(**{name: Logistic(**parts[name]) for name in ("pair", "triple")})


def _train(x: np.ndarray, right: np.ndarray, weight: np.ndarray, purity: float, seed: int) -> Logistic:
    """A regression of one kind: `right` (n,) bool, `weight` (n,) of the survey's proportions."""
    fitted = np.isfinite(x).all(axis=1)
    x, y, share = x[fitted], right[fitted], weight[fitted]
    if min(y.sum(), (~y).sum()) < FOLDS * 10:
        raise TrainingError(
            f"binaries.decision: {int(y.sum())} right and {int((~y).sum())} wrong companions among the "
            f"simulated spectra, {FOLDS * 10} of each are needed; raise training.per_class"
        )
    model = make_pipeline(
        StandardScaler(), PolynomialFeatures(DEGREE, include_bias=False), LogisticRegression(max_iter=5000)
    )
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    # Trained at the proportions of the simulation; the intercept then moves to those of the survey.
    held_out = cross_val_predict(model, x, y, cv=folds, method="decision_function")
    shift = np.log(share[y].sum() / share[~y].sum()) - np.log(y.sum() / (~y).sum())
    model.fit(x, y)
    scaler, powers, regression = (step for _, step in model.steps)
    return Logistic(
        mean=scaler.mean_.tolist(),
        scale=scaler.scale_.tolist(),
        powers=powers.powers_.tolist(),
        coefficients=regression.coef_[0].tolist(),
        intercept=float(regression.intercept_[0] + shift),
        threshold=purity_threshold(1.0 / (1.0 + np.exp(-(held_out + shift))), y, share, purity),
    )


def train_decision(
    x: np.ndarray, right: np.ndarray, weight: np.ndarray, *, purity: tuple[float, float], seed: int
) -> Decision:
    """Learn from simulated spectra.

    Parameters
    ----------
    x : (n, 2, feature), from `features`
    right : (n, 2) bool, whether the velocities of the second, third star are those of simulated stars
    weight : (n,) number of a survey's spectra that each one stands for
    purity : share of right ones among the SB2 and the SB3 that the thresholds ask for

    Raises
    ------
    TrainingError : too few right or wrong companions
    """
    pair = _train(x[:, 0], right[:, 0], weight, purity[0], seed)
    chosen = pair.predict(x[:, 0]) >= pair.threshold
    triple = _train(x[chosen, 1], right[chosen, 1], weight[chosen], purity[1], seed)
    return Decision(pair, triple)


def purity_threshold(probability: np.ndarray, right: np.ndarray, weight: np.ndarray, purity: float) -> float:
    """The lowest probability (0 to 1) above which a share `purity` of the spectra, weighted, is right.

    One more wrong spectrum than there are is assumed, so that a small sample asks for more.
    """
    order = np.argsort(-probability, kind="stable")
    good = np.cumsum(np.where(right, weight, 0.0)[order])
    spare = weight[~right].max(initial=0.0)
    bad = np.cumsum(np.where(right, 0.0, weight)[order]) + spare
    pure = np.flatnonzero(good >= purity * (good + bad))
    return float(probability[order[pure[-1]]]) if pure.size else 1.0
