"""Cross-validation of the classifiers (Li et al. 2023, section 3.2.2 and Appendix A)."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.model_selection import StratifiedKFold

from starsift.errors import TrainingError
from starsift.learning.metrics import METRICS, evaluate_classes
from starsift.searches.binaries.training import CLASSIFIERS, check_examples, train_classifier
from starsift.searches.binaries.voting import CALLS, call_labels, class_probabilities

REPORTED = {"L2": 2, "L3": 3}


def split_fold(label: np.ndarray, fold: int, n_folds: int, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Rows to train on and rows to test on in fold `fold` (from 0), stratified by label."""
    if not 0 <= fold < n_folds:
        raise TrainingError(f"fold {fold} of {n_folds}: expected 0 to {n_folds - 1}")
    smallest = int(np.bincount(label, minlength=4)[np.unique(label)].min())
    if smallest < n_folds:
        raise TrainingError(
            f"{n_folds} folds need at least {n_folds} examples of each label and one label has {smallest}: "
            "use fewer folds or more examples"
        )
    splits = StratifiedKFold(n_folds, shuffle=True, random_state=seed).split(np.zeros(len(label)), label)
    return list(splits)[fold]


def cross_validate_fold(
    ccf: np.ndarray, label: np.ndarray, fold: int, n_folds: int, *, seed: int = 0, **settings: Any
) -> dict[str, Any]:
    """Train on all folds but one and measure C1 to C4 on that one.

    Parameters
    ----------
    ccf, label, **settings : as of `train_classifier`
    fold : 0 to n_folds - 1, the one to test on
    seed : of the split (the same in every fold) and of the training

    Returns a dict for JSON: fold, n_folds, seed, n_train, n_test and `classifiers`: for each of C1 to C4
    `n_test` (a classifier is tested on the labels that it knows) and the metrics of `evaluate_classes`:
    overall, L2 and L3.

    Source: Li et al. 2023, section 3.2.2 and Appendix A.
    """
    ccf, label = check_examples(ccf, label)
    train, test = split_fold(label, fold, n_folds, seed=seed)
    classifiers = {
        name: train_classifier(ccf[train], label[train], name, seed=seed, **settings) for name in CLASSIFIERS
    }
    measured = {}
    for name, labels in CALLS.items():
        rows = test[np.isin(label[test], labels)]
        called = call_labels(class_probabilities(classifiers, name, ccf[rows]), name)
        measured[name] = {"n_test": len(rows), **evaluate_classes(label[rows], called, labels, REPORTED)}
    return {
        "fold": fold,
        "n_folds": n_folds,
        "seed": seed,
        "n_train": len(train),
        "n_test": len(test),
        "classifiers": measured,
    }


def summarise_folds(results: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Mean and sample standard deviation of each metric over the folds.

    Returns a row a classifier and category (overall, L2, L3): classifier, category, n_folds, then
    {metric}_mean and {metric}_std for each of `METRICS`; the deviation of one fold alone is None.
    """
    folds = [result["fold"] for result in results]
    if not folds or len(set(folds)) != len(folds) or len({result["n_folds"] for result in results}) != 1:
        raise TrainingError(
            f"expected the results of different folds of one cross-validation, got folds {folds}"
        )
    rows = []
    for name in CALLS:
        categories = [c for c in ("overall", *REPORTED) if c in results[0]["classifiers"][name]]
        for category in categories:
            row: dict[str, Any] = {"classifier": name, "category": category, "n_folds": len(folds)}
            for metric in METRICS:
                values = [result["classifiers"][name][category][metric] for result in results]
                row[f"{metric}_mean"] = float(np.mean(values))
                row[f"{metric}_std"] = float(np.std(values, ddof=1)) if len(values) > 1 else None
            rows.append(row)
    return rows
