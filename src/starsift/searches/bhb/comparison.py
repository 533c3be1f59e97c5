"""Models against each other, over several runs (Wei et al. 2023, Tables 5 to 8).

Precision, recall and F1 are equations 17-19. ALL is the unweighted mean of both classes, as the sums of the
paper's Table 5 show. Differences between models have two errors: of training, estimated from the scatter of
the runs, and of the test set. All runs share the test set, so their scatter does not include its error.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from sklearn.metrics import average_precision_score, roc_auc_score

from starsift.errors import TrainingError
from starsift.learning.metrics import evaluate_classes
from starsift.searches.bhb.evaluation import Scored, select
from starsift.searches.bhb.inputs import BHB, NOT_BHB

ALL = "ALL"
REPORTED = (BHB, NOT_BHB, ALL)  # in the order of Table 5
METRICS = ("precision", "recall", "f1", "auc", "average_precision")

# Every model with its description, the simpler ones first.
MODELS = {
    "image-plain": "ResNet",
    "image": "ResNet + SENet block",
    "svm": "SVM",
    "trees": "boosted trees",
    "spectrum-plain": "VGG1D",
    "spectrum": "VGG1D + self-attention",
    "add": "early add",
    "concat": "early concat",
    "vgg1d": "VGG1D fusion",
    "transformer-spectrum": "transformer, spectrum only",
    "transformer": "transformer + image",
    "transformer-sem": "transformer + image + semantic embedding",
    "transformer-ca": "transformer + image + cross-attention",
    "batmm": "BATMM",
    "batmm-end-to-end": "BATMM, trained end to end",
}
# Pairs that the paper compares, the better model first, and two more (the last two).
PAIRS = (
    ("batmm", "spectrum"),
    ("spectrum", "image"),
    ("spectrum", "svm"),
    ("spectrum", "trees"),
    ("batmm", "image"),
    ("batmm", "add"),
    ("batmm", "concat"),
    ("batmm", "vgg1d"),
    ("vgg1d", "concat"),
    ("concat", "add"),
    ("add", "spectrum"),
    ("trees", "svm"),
    ("spectrum", "spectrum-plain"),
    ("image", "image-plain"),
    ("batmm", "transformer-sem"),
    ("batmm", "transformer-ca"),
    ("transformer-sem", "transformer"),
    ("transformer-ca", "transformer"),
    ("batmm", "transformer-spectrum"),
    ("transformer", "transformer-spectrum"),
    ("batmm", "batmm-end-to-end"),
)

SCORES = pa.schema(
    [
        ("model", pa.string()),
        ("run", pa.int32()),
        ("class", pa.string()),
        *((name, pa.float64()) for name in METRICS),
    ]
)
SUMMARY = pa.schema(
    [
        ("model", pa.string()),
        ("class", pa.string()),
        ("n_runs", pa.int32()),
        *((f"{name}_{part}", pa.float64()) for name in METRICS for part in ("mean", "std")),
    ]
)
GAPS = pa.schema(
    [
        ("first", pa.string()),
        ("second", pa.string()),
        ("n_runs", pa.int32()),
        ("difference", pa.float64()),
        ("se_runs", pa.float64()),
        ("se_stars", pa.float64()),
        ("exceeds", pa.bool_()),  # the difference exceeds se_runs
        ("exceeds_both", pa.bool_()),  # it exceeds both errors in quadrature
    ]
)
_RESAMPLES, _SEED = 1000, 0  # of the bootstrap

Runs = Sequence[tuple[str, int, pa.Table]]  # model, run, predictions


def score_model(test: Scored) -> dict[str, dict[str, float]]:
    """Metrics of one run on its test set, of `select`, at a threshold of 0.5 (equations 17-21).

    Returns {class: {metric: value}} of `REPORTED` and `METRICS`. The area under the ROC curve is the same for
    both classes. Average precision is the area under the precision-recall curve of that class, in steps.
    """
    found = evaluate_classes(test.truth, test.p_bhb >= 0.5, (0, 1), {NOT_BHB: 0, BHB: 1})
    auc = float(roc_auc_score(test.truth, test.p_bhb))
    # Minus p, not 1 - p, which would round small probabilities to the same number.
    area = {
        BHB: float(average_precision_score(test.truth, test.p_bhb)),
        NOT_BHB: float(average_precision_score(1 - test.truth, -test.p_bhb)),
    }
    area[ALL] = (area[BHB] + area[NOT_BHB]) / 2
    return {
        name: {metric: found["overall" if name == ALL else name][metric] for metric in METRICS[:3]}
        | {"auc": auc, "average_precision": area[name]}
        for name in REPORTED
    }


def score_runs(runs: Runs) -> pa.Table:
    """Metrics of all runs, at a threshold of 0.5.

    Parameters
    ----------
    runs : (model, run, predictions) of each, as `Run`

    Returns a Table, schema `SCORES`, sorted by model and run, each with the classes in the order of
    `REPORTED`. Raises TrainingError: as `select`, with the model and run; the same run twice; or two test
    sets.
    """
    rows: list[dict[str, Any]] = []
    test, seen = None, ""
    for model, number, predictions in sorted(runs, key=lambda run: (run[0], run[1])):
        name = f"model {model}, run {number}"
        if rows and rows[-1]["model"] == model and rows[-1]["run"] == number:
            raise TrainingError(f"{name}: listed twice; list each run once")
        try:
            own = select(predictions)
        except TrainingError as error:
            raise TrainingError(f"{name}: {error}") from None
        if test is None:
            test, seen = own, name
        _check_same(test, own, name, seen)
        found = score_model(own)
        rows += [{"model": model, "run": number, "class": kind, **found[kind]} for kind in REPORTED]
    return pa.Table.from_pylist(rows, SCORES)


def _check_same(test: Scored, other: Scored, name: str, seen: str) -> None:
    advice = "train all models on the same dataset"
    apart = np.setxor1d(test.spectrum_id, other.spectrum_id)
    if apart.size:
        raise TrainingError(
            f"{name}: its test set is not that of {seen}; {apart.size} spectra are only in one of them, "
            f"such as {apart[0]}: {advice}"
        )
    changed = (test.truth != other.truth) | (test.star != other.star)
    if changed.any():
        first = test.spectrum_id[changed][0]
        raise TrainingError(f"{name}: class or star of {first} is not as in {seen}: {advice}")


def summarize_runs(table: pa.Table) -> pa.Table:
    """Mean and sample standard deviation over the runs of each model in a table of `score_runs`.

    Returns a Table, schema `SUMMARY`, in the order of `table`; standard deviations are null for a single run.
    """
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in table.to_pylist():
        groups.setdefault((row["model"], row["class"]), []).append(row)
    rows = []
    for (model, kind), found in groups.items():
        row = {"model": model, "class": kind, "n_runs": len(found)}
        for name in METRICS:
            row[f"{name}_mean"], row[f"{name}_std"] = mean_std([one[name] for one in found])
        rows.append(row)
    return pa.Table.from_pylist(rows, SUMMARY)


def mean_std(numbers: Sequence[float]) -> tuple[float, float | None]:
    """Mean and sample standard deviation, which is None for a single number."""
    return float(np.mean(numbers)), float(np.std(numbers, ddof=1)) if len(numbers) > 1 else None


def model_gap(table: pa.Table, first: str, second: str, runs: Runs = ()) -> dict[str, Any]:
    """By how much the F1 score (ALL) of one model exceeds that of another, run by run.

    Parameters
    ----------
    table : of `score_runs`
    first, second : models
    runs : those of `table`; without them `se_stars` is None

    Returns `first`, `second`; `n_runs` that both have; `difference`, its mean over these runs; and its
    standard errors: `se_runs`, from the scatter of the runs (sample standard deviation / sqrt(n), None for
    one run), and `se_stars`, from the finite test set (standard deviation over bootstrap samples of the
    stars, the same stars for both models and all runs). Raises TrainingError: the models have no run in
    common.
    """
    score = {
        (row["model"], row["run"]): row["f1"]
        for row in table.filter(pc.equal(table["class"], ALL)).to_pylist()
    }
    common = sorted(number for model, number in score if model == first and (second, number) in score)
    if not common:
        raise TrainingError(f"{first} and {second} have no run in common; train both with the same runs")
    difference, std = mean_std([score[first, number] - score[second, number] for number in common])
    predicted = {(model, number): predictions for model, number, predictions in runs}
    pairs = [
        (select(predicted[first, number]), select(predicted[second, number]))
        for number in common
        if (first, number) in predicted and (second, number) in predicted
    ]
    complete = len(pairs) == len(common)
    return {
        "first": first,
        "second": second,
        "n_runs": len(common),
        "difference": difference,
        "se_runs": None if std is None else std / len(common) ** 0.5,
        "se_stars": _bootstrap(pairs) if complete else None,
    }


def _bootstrap(pairs: Sequence[tuple[Scored, Scored]]) -> float:
    """Standard deviation of the mean difference of F1 (ALL) over samples of the stars with replacement."""
    stars, star = np.unique(pairs[0][0].star, return_inverse=True)
    weights = np.random.default_rng(_SEED).multinomial(
        stars.size, np.full(stars.size, 1 / stars.size), size=_RESAMPLES
    )
    total = np.zeros(_RESAMPLES)
    for one, other in pairs:
        total += _resampled_f1(one, star, weights)
        total -= _resampled_f1(other, star, weights)
    return float(np.std(total / len(pairs), ddof=1))


def _resampled_f1(test: Scored, star: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """F1 (ALL) where star k counts weights[:, k] times, (resamples,)."""
    cell = 2 * test.truth + (test.p_bhb >= 0.5)  # TN, FP, FN, TP
    counts = np.zeros((weights.shape[1], 4))
    np.add.at(counts, (star, cell), 1.0)
    negative, false, missed, positive = (weights @ counts).T
    errors = false + missed
    scores = [2 * right / np.maximum(2 * right + errors, 1.0) for right in (positive, negative)]
    return np.asarray((scores[0] + scores[1]) / 2)


def model_gaps(table: pa.Table, runs: Runs = ()) -> pa.Table:
    """The differences between models that the paper reports, and whether they exceed their errors.

    Parameters are those of `model_gap`. Returns a Table, schema `GAPS`, in the order of `PAIRS`, without
    pairs that have no run in common; what cannot be computed is null.
    """
    have: dict[str, set[int]] = {}
    for model, number in zip(table["model"].to_pylist(), table["run"].to_pylist(), strict=True):
        have.setdefault(model, set()).add(number)
    rows = []
    for first, second in PAIRS:
        if have.get(first, set()) & have.get(second, set()):
            row = model_gap(table, first, second, runs)
            gap, training, stars = (row[name] for name in ("difference", "se_runs", "se_stars"))
            row["exceeds"] = None if training is None else gap > training
            both = None if training is None or stars is None else float(np.hypot(training, stars))
            row["exceeds_both"] = None if both is None else gap > both
            rows.append(row)
    return pa.Table.from_pylist(rows, GAPS)
