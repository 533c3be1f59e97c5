"""Precision of the rounds, calibration of the final network, precision without active learning."""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from starsift.errors import ResultsError
from starsift.learning.calibration import apply_temperature, expected_calibration_error, fit_temperature
from starsift.searches.emission.classes import (
    CLASSES,
    EMISSION_CLASSES,
    PROBABILITIES,
    TARGETS,
    count_classes,
    predicted_class,
    probabilities,
)

PathLike = str | os.PathLike[str]


def evaluate_round(
    labels: pa.Table, previous: Sequence[Mapping[str, Any]], *, threshold: float, passes: int, max_rounds: int
) -> dict[str, Any]:
    """Estimate the precision of a round, and decide whether it is the last one.

    Parameters
    ----------
    labels : of the round, of `starsift.searches.emission.labels.label_query`
    previous : results of this function for the previous rounds, in order
    threshold, passes : active learning ends when the estimate exceeds the threshold for the `passes`-th time
    max_rounds : or after this number of rounds

    Returns a dict for JSON: round, precision (null where no emission was predicted), n_precision,
    true_positives, passed (rounds above the threshold so far), stop, n_labelled (for the training set, so
    far).
    """
    purpose = labels["purpose"].to_numpy(zero_copy_only=False)
    sample = labels["label"].filter(pa.array(purpose == "precision")).to_pylist()
    right = sum(label in EMISSION_CLASSES for label in sample)
    precision = right / len(sample) if sample else None
    last = previous[-1] if previous else {"passed": 0, "n_labelled": 0}
    passed = last["passed"] + int(precision is not None and precision > threshold)
    number = len(previous)
    queried = int((purpose == "query").sum())
    return {
        "round": number,
        "precision": precision,
        "n_precision": len(sample),
        "true_positives": right,
        "passed": passed,
        "stop": passed >= passes or number + 1 >= max_rounds or queried == 0,
        "n_labelled": last["n_labelled"] + queried,
    }


def held_out_labels(
    labels: pa.Table, predictions: Sequence[PathLike], n_predicted: Mapping[int, int]
) -> pa.Table:
    """The labels that the final network was not trained on: those of the precision estimates.

    Parameters
    ----------
    labels : of `starsift.searches.emission.labels.read_round_labels`
    predictions : files of the bundles, by the final network
    n_predicted : round -> spectra that its network predicted to be in emission

    Returns a Table sorted by spectrum_id: spectrum_id, uncalibrated `PROBABILITIES`, label (the latest), and
    `weight`: predicted spectra of that round for each spectrum of its sample. Raises ResultsError: a spectrum
    has no prediction.
    """
    trained = labels["spectrum_id"].filter(pc.equal(labels["purpose"], "query")).combine_chunks()
    rows = labels.filter(pc.invert(pc.is_in(labels["spectrum_id"], value_set=trained)))
    columns = ["spectrum_id", "label", "round"]
    last = {name: (label, k) for name, label, k in zip(*(rows[c].to_pylist() for c in columns), strict=True)}
    drawn = Counter(labels.filter(pc.equal(labels["purpose"], "precision"))["round"].to_pylist())
    names = pa.array(sorted(last), pa.string())
    columns = ["spectrum_id", *PROBABILITIES]
    parts = [labels.select(columns).slice(0, 0)]
    for path in predictions:
        table = pq.read_table(path, columns=columns)
        parts.append(table.filter(pc.is_in(table["spectrum_id"], value_set=names)))
    table = pa.concat_tables(parts, promote_options="permissive").sort_by("spectrum_id")
    if table["spectrum_id"].to_pylist() != names.to_pylist():
        raise ResultsError(
            f"predictions: {len(names)} labelled spectra should be in them, {table.num_rows} are; "
            "delete results/emission and run again"
        )
    label, number = zip(*(last[name] for name in names.to_pylist()), strict=True) if last else ((), ())
    table = table.append_column("label", pa.array(label, pa.string()))
    return table.append_column("weight", pa.array([n_predicted[k] / drawn[k] for k in number], pa.float64()))


def fit_calibration(held_out: pa.Table) -> dict[str, Any]:
    """Temperature of the final network's probabilities, and calibration errors before and after scaling.

    The temperature is at least 1: a network that is trained until its loss vanishes is overconfident, never
    underconfident, and a few right predictions do not show the contrary.

    Parameters
    ----------
    held_out : of `held_out_labels`

    Returns a dict for JSON: `temperature`, `n_labels`; `error_before` and `error_after` (expected calibration
    errors of the probability of emission), null without labels.
    """
    p = probabilities(held_out)
    classes = np.array([CLASSES.index(label) for label in held_out["label"].to_pylist()], dtype=np.int64)
    temperature = fit_temperature(p, classes, weights=held_out["weight"].to_numpy(), lowest=1.0)
    errors: list[float | None] = [None, None]
    if len(classes):
        errors = [
            expected_calibration_error(q[:, :TARGETS].sum(axis=1), classes < TARGETS)
            for q in (p, apply_temperature(p, temperature))
        ]
    return {
        "temperature": temperature,
        "n_labels": len(classes),
        "error_before": errors[0],
        "error_after": errors[1],
    }


def sample_predicted_emission(
    predictions: Sequence[PathLike], labels: pa.Table, number: int, seed: int
) -> tuple[pa.Table, dict[str, int]]:
    """Random spectra that a network predicts to be in emission, with their labels (Appendix A).

    Parameters
    ----------
    predictions : files of the bundles
    labels : of `starsift.learning.labels.read_labels`
    number : of each emission class; all where there are fewer
    seed : the sample does not depend on the order of bundles

    Returns
    -------
    sample : spectrum_id, predicted, label (a class, null where there is none); sorted by predicted class and
        spectrum_id
    counts : spectra predicted of each class
    """
    counts = Counter(dict.fromkeys(CLASSES, 0))
    found: dict[str, list[str]] = {name: [] for name in EMISSION_CLASSES}
    for path in predictions:
        table = pq.read_table(path, columns=["spectrum_id", *PROBABILITIES])
        p = probabilities(table)
        counts.update(count_classes(p))
        best = predicted_class(p)
        for k, name in enumerate(EMISSION_CLASSES):
            found[name] += table["spectrum_id"].filter(pa.array(best == k)).to_pylist()
    rng = np.random.default_rng(seed)
    drawn = [
        (name, predicted)
        for predicted, names in found.items()
        for name in sorted(rng.permutation(sorted(names))[:number].tolist())
    ]
    known = dict(zip(labels["spectrum_id"].to_pylist(), labels["class"].to_pylist(), strict=True))
    columns = {
        "spectrum_id": [name for name, _ in drawn],
        "predicted": [predicted for _, predicted in drawn],
        "label": [known.get(name) for name, _ in drawn],
    }
    return pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()}), dict(counts)
