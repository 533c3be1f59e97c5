import numpy as np
import pytest

from starsift.learning.metrics import METRICS, evaluate_classes


def slow_metrics(truth: np.ndarray, predicted: np.ndarray, positive: int) -> dict[str, float]:
    """Equations A1-A4, counted one by one."""
    pairs = [(t == positive, p == positive) for t, p in zip(truth, predicted, strict=True)]
    tp, fp, fn = (pairs.count(pair) for pair in ((True, True), (False, True), (True, False)))
    tn = len(truth) - tp - fp - fn
    precision, recall = tp / (tp + fp), tp / (tp + fn)
    return {
        "accuracy": (tp + tn) / len(truth),
        "precision": precision,
        "recall": recall,
        "f1": 2 * precision * recall / (precision + recall),
    }


def test_equal_the_equations_of_the_appendix() -> None:
    rng = np.random.default_rng(1)
    truth = rng.integers(0, 4, 500)
    predicted = np.where(rng.random(500) < 0.7, truth, rng.integers(0, 4, 500))
    result = evaluate_classes(truth, predicted, (0, 1, 2, 3), {"L2": 2, "L3": 3})
    for name, number in (("L2", 2), ("L3", 3)):
        assert result[name] == pytest.approx(slow_metrics(truth, predicted, number))
    each = [slow_metrics(truth, predicted, number) for number in range(4)]
    assert result["overall"]["accuracy"] == pytest.approx(np.mean(truth == predicted))
    for metric in METRICS[1:]:
        assert result["overall"][metric] == pytest.approx(np.mean([m[metric] for m in each]))


def test_class_unknown_to_the_classifier_is_left_out() -> None:
    truth = np.array([0, 1, 3, 3])
    result = evaluate_classes(truth, truth, (0, 1, 3), {"L2": 2, "L3": 3})
    assert set(result) == {"overall", "L3"}
    assert all(value == 1.0 for metrics in result.values() for value in metrics.values())


def test_class_never_called_counts_as_zero() -> None:
    result = evaluate_classes(np.array([0, 0, 2]), np.array([0, 0, 0]), (0, 2), {"L2": 2})
    assert result["L2"] == {"accuracy": pytest.approx(2 / 3), "precision": 0.0, "recall": 0.0, "f1": 0.0}
