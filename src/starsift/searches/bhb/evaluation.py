"""How well models tell BHB stars from others, over runs (Wei et al. 2023, section 7).

Precision, recall and F1 are equations 17-19. ALL is the unweighted mean of both classes, as the sums of the
paper's Table 5 show. Differences between models carry two errors: of training, which the scatter of the runs
shows, and of the test set, which is the same in all runs, so that no scatter of theirs can show it.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from sklearn.metrics import average_precision_score, roc_auc_score

from starsift.errors import TrainingError
from starsift.learning.calibration import apply_temperature
from starsift.learning.metrics import evaluate_classes
from starsift.searches.bhb.dataset import CLASSES, FUSED

PathLike = str | os.PathLike[str]

NOT_BHB, BHB = CLASSES
ALL = "ALL"
REPORTED = (BHB, NOT_BHB, ALL)  # in the order of Table 5
METRICS = ("precision", "recall", "f1", "auc", "average_precision")

# Every model and what it is, the simpler ones first.
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
# The better model first, as far as the paper says or, in the last two, as a reader will ask.
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

COLLECTED = pa.schema(
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
LADDER = pa.schema(
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
_RESAMPLES, _SEED = 1000, 0


class Run(NamedTuple):
    """One training of a model, and its predictions of the validation and test sets."""

    model: str
    run: int
    predictions: pa.Table


class Scored(NamedTuple):
    """Predictions of one split, sorted by name of the spectrum: each (n,)."""

    spectrum_id: np.ndarray
    star: np.ndarray
    truth: np.ndarray  # class numbers
    p_bhb: np.ndarray  # float64


def read_runs(paths: Sequence[PathLike]) -> list[Run]:
    """Predictions of all runs, sorted by model and run.

    Parameters
    ----------
    paths : of `models/{model}/run-{run}/predictions.parquet`

    Raises
    ------
    TrainingError : a file is not in a folder of a run.
    """
    runs = []
    for path in map(Path, paths):
        number = path.parent.name.removeprefix("run-")
        if number == path.parent.name or not number.isdigit():
            raise TrainingError(f"{path}: predictions of a run lie in a folder such as batmm/run-0")
        # Not read_table, to which folders named key=value would be columns.
        runs.append(Run(path.parent.parent.name, int(number), pq.ParquetFile(path).read()))
    return sorted(runs, key=lambda run: run[:2])


def select(predictions: pa.Table, split: str = "test") -> Scored:
    """The predictions of a split.

    Parameters
    ----------
    predictions : Table with `spectrum_id`, `star`, `split`, `class`, `p_bhb`

    Raises
    ------
    TrainingError : a column or a class is missing, a class is unknown, a spectrum is repeated, or a
        probability is not from 0 to 1.
    """
    needed = ("spectrum_id", "star", "split", "class", "p_bhb")
    missing = [name for name in needed if name not in predictions.column_names]
    if missing:
        raise TrainingError(f"predictions lack {', '.join(missing)}; train the model again")
    rows = predictions.filter(pc.equal(predictions["split"], split)).sort_by("spectrum_id")
    found = rows["class"].to_pylist()
    unknown = set(found) - set(CLASSES)
    if unknown:
        raise TrainingError(f"class {min(map(str, unknown))!r} is none of {', '.join(CLASSES)}")
    for name in CLASSES:
        if name not in found:
            raise TrainingError(
                f"the {split} set holds no spectrum that is {name}, so nothing can be said of that class; "
                "label more of them, or change the shares of the splits"
            )
    names = np.array(rows["spectrum_id"].to_pylist())
    if (names[1:] == names[:-1]).any():
        first = names[1:][names[1:] == names[:-1]][0]
        raise TrainingError(f"spectrum {first} is predicted twice in the {split} set")
    p = rows["p_bhb"].cast(pa.float64()).fill_null(np.nan).to_numpy()
    wrong = ~((p >= 0) & (p <= 1 + 1e-6))  # of float32, and of NaN
    if wrong.any():
        raise TrainingError(f"p_bhb of {names[wrong][0]} is {p[wrong][0]}, expected 0 to 1")
    truth = np.array([CLASSES.index(name) for name in found])
    return Scored(names, np.array(rows["star"].to_pylist()), truth, np.minimum(p, 1.0))


def one_a_star(scored: Scored) -> Scored:
    """The first spectrum of each star: spectra of one star are no independent trials."""
    first = np.unique(scored.star, return_index=True)[1]
    return Scored(*(column[first] for column in scored))


def evaluate(predictions: pa.Table, threshold: float = 0.5) -> dict[str, dict[str, float]]:
    """Metrics of one run on its test set (equations 17-21).

    Parameters
    ----------
    predictions : as `select` takes them; only the test set counts
    threshold : a star is a BHB if `p_bhb` reaches it; the areas do not depend on it

    Returns
    -------
    {class: {metric: value}} of `REPORTED` and `METRICS`. The area under the ROC curve is the same for both
    classes; average precision is the area under the PR curve of finding that class, in steps.

    Raises
    ------
    TrainingError : as `select`.
    """
    return _evaluate(select(predictions), threshold)


def _evaluate(test: Scored, threshold: float) -> dict[str, dict[str, float]]:
    found = evaluate_classes(test.truth, test.p_bhb >= threshold, (0, 1), {NOT_BHB: 0, BHB: 1})
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


def collect(runs: Sequence[tuple[str, int, pa.Table]], threshold: float = 0.5) -> pa.Table:
    """Metrics of all runs.

    Parameters
    ----------
    runs : (model, run, predictions) of each, as `Run`
    threshold : as in `evaluate`

    Returns
    -------
    Table, schema `COLLECTED`, sorted by model and run, each with the classes in the order of `REPORTED`

    Raises
    ------
    TrainingError : as `evaluate`, naming the model and run; the same run twice; or two test sets.
    """
    rows: list[dict[str, Any]] = []
    test, seen = None, ""
    for model, number, predictions in sorted(runs, key=lambda run: (run[0], run[1])):
        name = f"model {model}, run {number}"
        if rows and rows[-1]["model"] == model and rows[-1]["run"] == number:
            raise TrainingError(f"{name}: given twice")
        try:
            own = select(predictions)
        except TrainingError as error:
            raise TrainingError(f"{name}: {error}") from None
        if test is None:
            test, seen = own, name
        _check_same(test, own, name, seen)
        found = _evaluate(own, threshold)
        rows += [{"model": model, "run": number, "class": kind, **found[kind]} for kind in REPORTED]
    return pa.Table.from_pylist(rows, COLLECTED)


def _check_same(test: Scored, other: Scored, name: str, seen: str) -> None:
    advice = "train all models on the same dataset"
    apart = np.setxor1d(test.spectrum_id, other.spectrum_id)
    if apart.size:
        raise TrainingError(
            f"{name}: its test set is not that of {seen}; {apart.size} spectra are in only one, such as "
            f"{apart[0]}: {advice}"
        )
    changed = (test.truth != other.truth) | (test.star != other.star)
    if changed.any():
        first = test.spectrum_id[changed][0]
        raise TrainingError(f"{name}: class or star of {first} is not as in {seen}: {advice}")


def summarize(table: pa.Table) -> pa.Table:
    """Mean and sample standard deviation over the runs of each model.

    Parameters
    ----------
    table : of `collect`

    Returns
    -------
    Table, schema `SUMMARY`, sorted as `table` is; standard deviations are null where there is one run
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
    """Mean and sample standard deviation; None for the latter of a single number."""
    return float(np.mean(numbers)), float(np.std(numbers, ddof=1)) if len(numbers) > 1 else None


def compare(
    table: pa.Table,
    first: str,
    second: str,
    runs: Sequence[tuple[str, int, pa.Table]] = (),
    *,
    threshold: float = 0.5,
    resamples: int = _RESAMPLES,
    seed: int = _SEED,
) -> dict[str, Any]:
    """By how much the F1 score (ALL) of one model exceeds that of another, run by run.

    Parameters
    ----------
    table : of `collect`
    first, second : models
    runs : what `table` was collected from; without them `se_stars` is None
    threshold : that of `collect`
    resamples, seed : of the bootstrap

    Returns
    -------
    `first`, `second`, `n_runs` that both have, `difference` (mean over those), `se_runs`: its standard error
    by the scatter of the runs (sample standard deviation / sqrt(n), None for one run), and `se_stars`: by
    the finite test set (standard deviation over bootstrap samples of the stars, the same stars for both
    models and all runs, of the mean over runs)

    Raises
    ------
    TrainingError : no run is of both models.
    """
    score = {
        (row["model"], row["run"]): row["f1"]
        for row in table.filter(pc.equal(table["class"], ALL)).to_pylist()
    }
    common = sorted(number for model, number in score if model == first and (second, number) in score)
    if not common:
        raise TrainingError(f"no run is of both {first} and {second}; train both with the same runs")
    difference, std = mean_std([score[first, number] - score[second, number] for number in common])
    given = {(model, number): predictions for model, number, predictions in runs}
    pairs = [
        (select(given[first, number]), select(given[second, number]))
        for number in common
        if (first, number) in given and (second, number) in given
    ]
    complete = len(pairs) == len(common)
    return {
        "first": first,
        "second": second,
        "n_runs": len(common),
        "difference": difference,
        "se_runs": None if std is None else std / len(common) ** 0.5,
        "se_stars": _bootstrap(pairs, threshold, resamples, seed) if complete else None,
    }


def _bootstrap(pairs: Sequence[tuple[Scored, Scored]], threshold: float, resamples: int, seed: int) -> float:
    """Standard deviation of the mean difference of F1 (ALL) over samples of the stars with replacement."""
    stars, star = np.unique(pairs[0][0].star, return_inverse=True)
    weights = np.random.default_rng(seed).multinomial(
        stars.size, np.full(stars.size, 1 / stars.size), size=resamples
    )
    total = np.zeros(resamples)
    for one, other in pairs:
        total += _resampled_f1(one, star, weights, threshold)
        total -= _resampled_f1(other, star, weights, threshold)
    return float(np.std(total / len(pairs), ddof=1))


def _resampled_f1(test: Scored, star: np.ndarray, weights: np.ndarray, threshold: float) -> np.ndarray:
    """F1 (ALL) where star k counts weights[:, k] times, (resamples,)."""
    cell = 2 * test.truth + (test.p_bhb >= threshold)  # TN, FP, FN, TP
    counts = np.zeros((weights.shape[1], 4))
    np.add.at(counts, (star, cell), 1.0)
    negative, false, missed, positive = (weights @ counts).T
    errors = false + missed
    scores = [2 * right / np.maximum(2 * right + errors, 1.0) for right in (positive, negative)]
    return np.asarray((scores[0] + scores[1]) / 2)


def ladder(
    table: pa.Table,
    runs: Sequence[tuple[str, int, pa.Table]] = (),
    *,
    pairs: Sequence[tuple[str, str]] = PAIRS,
    threshold: float = 0.5,
    resamples: int = _RESAMPLES,
    seed: int = _SEED,
) -> pa.Table:
    """The differences between models that the paper claims, and whether they exceed their errors.

    Parameters
    ----------
    table, runs, threshold, resamples, seed : as in `compare`
    pairs : the better model first; those of which no run is there are left out

    Returns
    -------
    Table, schema `LADDER`, in the order of `pairs`; what cannot be known is null
    """
    have: dict[str, set[int]] = {}
    for model, number in zip(table["model"].to_pylist(), table["run"].to_pylist(), strict=True):
        have.setdefault(model, set()).add(number)
    rows = []
    for first, second in pairs:
        if have.get(first, set()) & have.get(second, set()):
            row = compare(table, first, second, runs, threshold=threshold, resamples=resamples, seed=seed)
            gap, training, stars = (row[name] for name in ("difference", "se_runs", "se_stars"))
            row["exceeds"] = None if training is None else gap > training
            both = None if training is None or stars is None else float(np.hypot(training, stars))
            row["exceeds_both"] = None if both is None else gap > both
            rows.append(row)
    return pa.Table.from_pylist(rows, LADDER)


def calibrate(p_bhb: npt.ArrayLike, temperature: float) -> np.ndarray:
    """Calibrated probabilities of being a BHB, (n,) float32 as they are published.

    Parameters
    ----------
    p_bhb : (n,) as they come from the network; NaN stays
    temperature : of `starsift.learning.calibration.fit_temperature`
    """
    p = np.asarray(p_bhb, np.float64)
    return apply_temperature(np.stack([1 - p, p], axis=1), temperature)[:, 1].astype(np.float32)


def read_examples(
    dataset: PathLike,
    runs: Sequence[tuple[str, int, pa.Table]],
    fitted: Mapping[str, Any],
    number: int = 4,
    modality: str = FUSED,
) -> pa.Table:
    """Test spectra of both classes to show, half of them the most certain ones, half the least certain.

    Parameters
    ----------
    dataset : path of `dataset.parquet`, of which only the chosen rows are kept in memory
    runs : as in `collect`
    fitted : contents of `calibration.json`: the run and the temperature of the modality
    number : of each class

    Returns
    -------
    Table with `spectrum_id`, `class`, `p_bhb` (calibrated), `certain` (bool), `spectrum`, `image`: BHBs
    first, of each class the most certain first. Empty where the run is missing.
    """
    chosen: list[dict[str, Any]] = []
    for model, run, predictions in runs:
        if (model, run) != (fitted["models"][modality], fitted["run"]):
            continue
        test = select(predictions)
        p = calibrate(test.p_bhb, fitted["modalities"][modality]["temperature"])
        for kind in REPORTED[:2]:
            mine = np.flatnonzero(test.truth == CLASSES.index(kind))
            own = p[mine] if kind == BHB else 1 - p[mine]
            order = mine[np.argsort(-own, kind="stable")]
            sure = order[: number // 2]
            rest = np.setdiff1d(mine, sure)
            doubtful = rest[np.argsort(np.abs(p[rest] - 0.5), kind="stable")][: number - number // 2]
            chosen += [
                {
                    "spectrum_id": str(test.spectrum_id[k]),
                    "class": kind,
                    "p_bhb": float(p[k]),
                    "certain": certain,
                }
                for rows, certain in ((sure, True), (doubtful, False))
                for k in rows
            ]
    schema = pa.schema(
        {"spectrum_id": pa.string(), "class": pa.string(), "p_bhb": pa.float64(), "certain": pa.bool_()}
    )
    table = pa.Table.from_pylist(chosen, schema)
    columns = ["spectrum_id", "spectrum", "image"]
    wanted = pc.field("spectrum_id").isin(table["spectrum_id"].combine_chunks())
    rows = ds.dataset(dataset).to_table(columns, filter=wanted)
    place = pc.index_in(table["spectrum_id"], rows["spectrum_id"].combine_chunks())
    if place.null_count:
        first = table["spectrum_id"][pc.index(place.is_null(), True).as_py()].as_py()
        raise TrainingError(
            f"{dataset}: spectrum {first} of the test set is not there; train the models again"
        )
    for name in columns[1:]:
        table = table.append_column(name, rows[name].take(place))
    return table
