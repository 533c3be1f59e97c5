"""Accuracy, precision, recall and F1 (Li et al. 2023, Appendix A, equations A1-A4; `sklearn.metrics`)."""

from collections.abc import Mapping, Sequence

import numpy as np
from sklearn.metrics import accuracy_score, precision_recall_fscore_support

METRICS = ("accuracy", "precision", "recall", "f1")


def evaluate_classes(
    truth: np.ndarray, predicted: np.ndarray, classes: Sequence[int], report: Mapping[str, int]
) -> dict[str, dict[str, float]]:
    """Metrics over all classes and for single ones.

    Parameters
    ----------
    truth, predicted : (n,) class numbers
    classes : all class numbers that the classifier knows
    report : name -> class number, the classes to report one by one, each against the rest; those that are not
        in `classes` are left out

    Returns {"overall": metrics, name: metrics, ...} with `METRICS` in each. Overall accuracy is the fraction
    called right, the other three are the unweighted means over the classes (macro). A ratio whose denominator
    is zero counts as 0.
    """
    precision, recall, f1, _ = precision_recall_fscore_support(
        truth, predicted, labels=list(classes), average=None, zero_division=0.0
    )
    result = {
        "overall": {
            "accuracy": float(accuracy_score(truth, predicted)),
            "precision": float(np.mean(precision)),
            "recall": float(np.mean(recall)),
            "f1": float(np.mean(f1)),
        }
    }
    for name, number in report.items():
        if number in classes:
            i = list(classes).index(number)
            result[name] = {
                "accuracy": float(np.mean((truth == number) == (predicted == number))),
                "precision": float(precision[i]),
                "recall": float(recall[i]),
                "f1": float(f1[i]),
            }
    return result
