"""Predictions of held-out stars: calibration, purity and completeness (Wei et al. 2023, section 7)."""

import logging
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

from starsift.errors import ResultsError, TrainingError
from starsift.io.columns import floats
from starsift.learning.calibration import apply_temperature, fit_temperature, wilson
from starsift.searches.bhb.inputs import BHB, CLASSES, FUSED, NOT_BHB

PathLike = str | os.PathLike[str]

log = logging.getLogger(__name__)


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
    """Predictions of all runs, `models/{model}/run-{run}/predictions.parquet`, sorted by model and run.

    Raises TrainingError if a file is not in a folder of a run.
    """
    runs = []
    for path in map(Path, paths):
        number = path.parent.name.removeprefix("run-")
        if number == path.parent.name or not number.isdigit():
            raise TrainingError(
                f"{path}: predictions of a run should be in a folder such as batmm/run-0; move the file"
            )
        # Not read_table, to which folders named key=value would be columns.
        runs.append(Run(path.parent.parent.name, int(number), pq.ParquetFile(path).read()))
    return sorted(runs, key=lambda run: run[:2])


def select(predictions: pa.Table, split: str = "test") -> Scored:
    """The predictions of a split: `spectrum_id`, `star`, `split`, `class`, `p_bhb`.

    Raises TrainingError if a column or a class is missing, a class is unknown, a spectrum is repeated, or a
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
        raise TrainingError(f"class {min(map(str, unknown))!r} is not one of {', '.join(CLASSES)}")
    for name in CLASSES:
        if name not in found:
            raise TrainingError(
                f"{split} set: no spectrum is {name}, so that class cannot be evaluated; label more of them, "
                "or change the shares of the splits"
            )
    names = np.array(rows["spectrum_id"].to_pylist())
    if (names[1:] == names[:-1]).any():
        first = names[1:][names[1:] == names[:-1]][0]
        raise TrainingError(f"spectrum {first} is predicted twice in the {split} set; train the model again")
    p = floats(rows, "p_bhb")
    wrong = ~((p >= 0) & (p <= 1 + 1e-6))  # of float32, and of NaN
    if wrong.any():
        raise TrainingError(f"p_bhb of {names[wrong][0]} is {p[wrong][0]}, expected 0 to 1")
    truth = np.array([CLASSES.index(name) for name in found])
    return Scored(names, np.array(rows["star"].to_pylist()), truth, np.minimum(p, 1.0))


def one_per_star(scored: Scored) -> Scored:
    """The first spectrum of each star: spectra of one star are not independent."""
    first = np.unique(scored.star, return_index=True)[1]
    return Scored(*(column[first] for column in scored))


def choose_run(trainings: Sequence[Mapping[str, Any]]) -> int:
    """The run, by its `training.json`, with the lowest validation loss in any epoch; of equal runs the first.

    Raises ResultsError if no run has a validation loss.
    """
    best: list[tuple[float, int]] = []
    for training in trainings:
        losses = [
            loss for loss in training.get("validation_loss") or [] if loss is not None and np.isfinite(loss)
        ]
        if losses:
            best.append((min(losses), int(training["run"])))
    if not best:
        raise ResultsError(
            f"training: none of {len(trainings)} runs has a validation loss; choose a model that is trained "
            "by epochs, and train it again"
        )
    return min(best)[1]


def purity_threshold(p: npt.ArrayLike, is_bhb: npt.ArrayLike, purity: float) -> float | None:
    """The lowest p at or above which (1 + false) / (1 + all) is at most 1 - purity, or None.

    Parameters
    ----------
    p : (n,) of stars that the network was not trained on, one spectrum each
    is_bhb : (n,) bool
    purity : above 0 and below 1

    Notes
    -----
    The two ones stand for a new star, assumed to be false: conformal selection (Jin & Candes 2023, J. Mach.
    Learn. Res. 24, 244), with the stars themselves in place of a test set. For a new star that is
    exchangeable with these (drawn in the same way, with the same share of BHB stars),

        P(published, and no BHB star) <= (1 - purity) P(at or above the threshold that all n + 1 stars set),

    where that threshold is the lowest with false / all <= 1 - purity. Proof: for a false star that is
    published, both thresholds are the same number. The latter depends on all n + 1 stars alike, so that the
    new star is any of them with equal probability.

    So the purity holds on average over samples, where a sample without a threshold counts as pure. It is not
    guaranteed for a single sample. Where a purity is hardly within reach, the samples that reach it are the
    lucky ones: look at the number of stars above the threshold, and at an independent test.

    Raises ResultsError: the purity is not between 0 and 1.
    """
    if not 0 < purity < 1:
        raise ResultsError(f"purity is {purity}, expected more than 0 and less than 1; correct the settings")
    score, true = np.asarray(p), np.asarray(is_bhb, dtype=bool)
    order = np.argsort(-score, kind="stable")
    score = score[order]
    # 1 - (1 + false) / (1 + all), without a rounding of its own.
    reached = np.cumsum(true[order]) / (2.0 + np.arange(len(score)))
    last = np.append(score[1:] != score[:-1], True)[: len(score)]  # a threshold lets all of its equals pass
    good = np.flatnonzero(last & (reached >= purity))
    return float(score[good[-1]]) if len(good) else None


def fit_calibration(predictions: Mapping[str, pa.Table], purity: float, *, run: int) -> dict[str, Any]:
    """Temperature and threshold of each modality, and the purity and completeness they give in the test set.

    Each star counts once, with the first of its spectra by name. Temperature and threshold are fitted to the
    validation set. It also decided when training stopped, so its stars look a little better than new ones.
    The test set has no such bias.

    Parameters
    ----------
    predictions : `predictions.parquet` of one run, by modality
    purity : required, above 0 and below 1; `purity_threshold` explains in which sense it holds
    run : number of the run

    Returns a dict for JSON: `run`, `purity`, `modalities`. Each of these has a `temperature`, a `threshold`
    of the calibrated probability (null where no threshold reaches the purity), `n` validation stars,
    `n_above` of them at or above the threshold, `n_test` stars, and their `completeness` and `purity` (null
    where no star reaches the threshold).

    Raises
    ------
    ResultsError : the purity is not between 0 and 1.
    TrainingError : predictions cannot be used, or a set lacks a class.
    """
    modalities = {}
    for modality, table in predictions.items():
        known, test = (one_per_star(select(table, split)) for split in ("validation", "test"))
        true, sure = (part.truth == CLASSES.index("BHB") for part in (known, test))
        temperature = fit_temperature(np.stack([1.0 - known.p_bhb, known.p_bhb], axis=1), known.truth)
        p = calibrate(known.p_bhb, temperature)
        threshold = purity_threshold(p, true, purity)
        if threshold is None:
            log.warning(
                "%s: no threshold reaches a purity of %g for %d validation stars; only spectra that people "
                "labelled BHB are published. Lower the purity, or label more stars",
                *(modality, purity, len(p)),
            )
            above, kept = 0, np.zeros(len(sure), dtype=bool)
        else:
            above, kept = int((p >= threshold).sum()), calibrate(test.p_bhb, temperature) >= threshold
        found, number = int((kept & sure).sum()), int(kept.sum())
        if number and wilson(found, number)[1] < purity:
            log.warning(
                "%s: %d of %d test stars above the threshold are BHB, fewer than expected for a purity of "
                "%g; this network is better in the validation set than for new stars",
                *(modality, found, number, purity),
            )
        modalities[modality] = {
            "temperature": temperature,
            "threshold": threshold,
            "purity": found / number if number else None,
            "completeness": found / int(sure.sum()),
            "n": len(p),
            "n_above": above,
            "n_test": len(sure),
        }
    return {"run": run, "purity": purity, "modalities": modalities}


def calibrate(p_bhb: npt.ArrayLike, temperature: float) -> np.ndarray:
    """Calibrated probabilities of being a BHB, (n,) float32 as they are published, from those of the network.

    NaN stays. `temperature` is that of `starsift.learning.calibration.fit_temperature`.
    """
    p = np.asarray(p_bhb, np.float64)
    return apply_temperature(np.stack([1 - p, p], axis=1), temperature)[:, 1].astype(np.float32)


def read_examples(
    dataset: PathLike,
    runs: Sequence[tuple[str, int, pa.Table]],
    calibration: Mapping[str, Any],
    number: int = 4,
) -> pa.Table:
    """Test spectra of both classes, half of them the most certain ones, half the least certain.

    Parameters
    ----------
    dataset : path of `dataset.parquet`, of which only the chosen rows are kept in memory
    runs : (model, run, predictions) of each, as `Run`
    calibration : contents of `calibration.json`
    number : of each class

    Returns a Table with `spectrum_id`, `class`, `p_bhb` (calibrated), `certain` (bool), `spectrum`, `image`:
    BHB stars first, in each class the most certain first. Empty where the run is missing.
    """
    chosen: list[dict[str, Any]] = []
    for model, run, predictions in runs:
        if (model, run) != (calibration["models"][FUSED], calibration["run"]):
            continue
        test = select(predictions)
        p = calibrate(test.p_bhb, calibration["modalities"][FUSED]["temperature"])
        for kind in (BHB, NOT_BHB):
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
        raise TrainingError(f"{dataset}: spectrum {first} of the test set is missing; train the models again")
    for name in columns[1:]:
        table = table.append_column(name, rows[name].take(place))
    return table
