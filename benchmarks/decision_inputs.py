"""What the vote on the CCF adds to the models' numbers, as inputs of the decision.

    python benchmarks/decision_inputs.py results/binaries/training/models

Simulated spectra of one, two and three stars, with the imperfections that the decision learns from, go
through models, CCFs, components and networks. The decision's regression is cross-validated on the models'
numbers, on those of the CCF (number of components, probabilities of C1 to C4), and on both, at the survey's
proportions: cross-entropy, and the shares of double and triple spectra found at the purity asked for.
"""

import argparse

import numpy as np
from _arguments import existing_path, whole_number
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

from starsift.searches.binaries.dataset import Laboratory
from starsift.searches.binaries.decision import CLASSES, DEGREE, FOLDS, STRENGTH, features, flatten_features
from starsift.searches.binaries.model_bank import build_models
from starsift.searches.binaries.model_dataset import GROUP, draw_exposures, matches
from starsift.searches.binaries.model_fit import fit_models
from starsift.searches.binaries.predict import classify
from starsift.searches.binaries.settings import model_settings
from starsift.searches.binaries.training import CLASSIFIERS, Classifier
from starsift.searches.binaries.voting import COLUMNS
from starsift.settings import default_settings
from starsift.spectra.templates import load_grid

BINARIES = default_settings()["binaries"]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", type=existing_path, help="folder of the trained networks")
    parser.add_argument("--spectra", type=whole_number(), nargs=3, default=(8000, 2000, 1500))
    options = parser.parse_args()
    classifiers = {one.name: one for one in map(Classifier.load, sorted(options.models.glob("*.keras")))}
    if missing := CLASSIFIERS.keys() - classifiers.keys():
        parser.error(f"{options.models}: no network {', '.join(sorted(missing))} is in this folder")
    parts = [draw(stars, number, classifiers) for stars, number in enumerate(options.spectra, 1)]
    by_models, by_ccf, label, stars = (np.concatenate(column) for column in zip(*parts, strict=True))
    if np.bincount(label, minlength=CLASSES).min() < FOLDS:
        parser.error("--spectra: too few to cross-validate; give more")
    proportion = np.array(BINARIES["decision"]["proportions"])
    weight = (proportion / np.bincount(stars)[1:])[stars - 1]
    print(f"{len(stars)} spectra with a fitted pair; thresholds for {BINARIES['decision']['purity']}\n")
    print("| inputs | cross-entropy | doubles found | triples found as SB3 |")
    print("|---|---|---|---|")
    squares = make_pipeline(StandardScaler(), PolynomialFeatures(DEGREE, include_bias=False))
    by_models = squares.fit_transform(by_models)
    inputs = {"models": by_models, "CCF": by_ccf, "models and CCF": np.hstack([by_models, by_ccf])}
    for name, numbers in inputs.items():
        report(name, numbers, label, stars, weight)


def draw(stars: int, number: int, classifiers: dict[str, Classifier]) -> tuple[np.ndarray, ...]:
    """Of fitted spectra: numbers of the models, of the CCF, right number of companions, number of stars."""
    rng = np.random.default_rng([77, stars])
    grid = load_grid()
    bank = build_models(grid, **model_settings(BINARIES))
    laboratory = Laboratory.build(grid, peaks=BINARIES["peaks"], **BINARIES["ccf"])
    shared = {"resolution": BINARIES["ccf"]["resolution"], "snr": BINARIES["training"]["snr"]}
    parts = []
    for start in range(0, number, GROUP):
        batch, systems, *_ = draw_exposures(grid, rng, GROUP, stars, apart=start // GROUP % 2 == 0, **shared)
        fits = fit_models(batch, bank)
        curves, components = laboratory.measure(batch)
        table = classify(curves.ccf, components.count, classifiers, **BINARIES["vote"])
        votes = [table[name].to_numpy() for names in COLUMNS.values() for name in names]
        counts = [components.count == i for i in (0, 1, 2, 3)]
        rv = np.pad(systems.rv, ((0, 0), (0, 3 - stars)), constant_values=np.nan)
        right = [matches(fits, rv, some) for some in (2, 3)]
        numbers = flatten_features(features(fits, bank))
        fitted = np.isfinite(numbers).all(axis=1)
        label = np.where(right[1], 2, np.where(right[0], 1, 0))
        ccf = np.nan_to_num(np.column_stack([*votes, *counts]).astype(float))
        parts.append((numbers[fitted], ccf[fitted], label[fitted], np.full(fitted.sum(), stars)))
    return tuple(np.concatenate(column) for column in zip(*parts, strict=True))


def report(name: str, numbers: np.ndarray, label: np.ndarray, stars: np.ndarray, weight: np.ndarray) -> None:
    """Cross-validate one set of inputs, and print a row."""
    model = LogisticRegression(C=STRENGTH, max_iter=5000)
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=1)
    p = cross_val_predict(model, numbers, label, cv=folds, method="predict_proba")
    held_out = np.log(np.maximum(p, 1e-9))
    shift = np.log(np.bincount(label, weight, CLASSES) / np.bincount(label))
    probability = softmax(held_out + shift, axis=1)
    entropy = -np.average(np.log(probability[np.arange(len(label)), label]), weights=weight)
    several, triple = probability[:, 1] + probability[:, 2], probability[:, 2]
    purity = BINARIES["decision"]["purity"]
    found = several >= pure(several, label > 0, weight, purity[0])
    triples = triple >= pure(triple, label == 2, weight, purity[1])
    shares = (100 * found[stars == 2].mean(), 100 * triples[stars == 3].mean())
    print(f"| {name} | {entropy:.4f} | {shares[0]:.1f} % | {shares[1]:.1f} % |", flush=True)


def pure(probability: np.ndarray, right: np.ndarray, weight: np.ndarray, purity: float) -> float:
    """The lowest probability above which a share `purity` of the spectra, weighted, is right; inf: none."""
    order = np.argsort(-probability)
    good = np.cumsum(np.where(right, weight, 0.0)[order]) / np.cumsum(weight[order])
    reached = np.flatnonzero(good >= purity)
    return float(probability[order[reached[-1]]]) if reached.size else np.inf


if __name__ == "__main__":
    main()
