"""The scorecard of a simulated pool: emission-line spectra found, with and without active learning.

Counted are the spectra that have a prediction, all others had no window. The catalogue is what a search
publishes: what its last network predicts among spectra that nobody labelled, and what the oracle found. Right
is a spectrum whose truth is emission; `starsift.synthesis.emission_lines.judge` says what that means.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from starsift.demo.scorecard import (
    Line,
    calibration_line,
    compare_found,
    count_kinds,
    find_listed,
    match_truth,
    mean_line,
    range_name,
    value_line,
)
from starsift.learning.calibration import apply_temperature
from starsift.searches.emission.classes import (
    CLASSES,
    EMISSION_CLASSES,
    TARGETS,
    predicted_class,
    probabilities,
)

PRECISION, RECALL = 0.935, 0.90  # what the search must reach
BUMP_EDGES = (0.0, 15.0, 40.0, np.inf)  # signal-to-noise ratios of emission peaks
SNR_EDGES = (0.0, 5.0, 15.0, 40.0, np.inf)
FAST = 250.0  # km/s
UNSURE = 0.01  # p_emission from which a spectrum counts as one that might be emission


def score_emission(
    truth_path: str | os.PathLike[str],
    final: pa.Table,
    baseline: Sequence[pa.Table],
    rounds: Sequence[Mapping[str, Any]],
    catalog: pa.Table,
    *,
    temperature: float = 1.0,
    predictions: Sequence[pa.Table] = (),
) -> dict[str, object]:
    """Compare catalogue and predictions with the truth.

    Parameters
    ----------
    truth_path : truth.parquet of `starsift.demo.emission.simulate_emission`
    final : predictions of the last network for the whole pool: `spectrum_id` and the probabilities
    baseline : the same of networks without active learning, one table a run
    rounds : contents of each round.json, in order
    catalog : `spectrum_id`, `origin` ("predicted" or "oracle") and a class, `profile`. Only what is in it
        counts as found.
    temperature : that calibrates the probabilities of `final`
    predictions : the same as `final` of each round, in the order of `rounds`; without them the true precision
        of rounds is left out

    Returns a dict for `starsift.demo.scorecard.describe`: `spectra` (with a prediction) and `lines`, a list
    of {name, value, number, target, passed}; and `comparison`, a row each for the catalogue and each run
    without active learning: precision, recall, f1, found, false; `rounds`: round, estimate, its sample,
    truth, predicted; `false` and `missed`: spectra by kind. Raises ValueError if a spectrum is not in the
    truth, or there are predictions of other rounds.
    """
    if predictions and len(predictions) != len(rounds):
        raise ValueError(f"there are predictions of {len(predictions)} rounds, and {len(rounds)} rounds")
    truth = match_truth(truth_path, final["spectrum_id"].to_pylist())
    listed = match_truth(truth_path, catalog["spectrum_id"].to_pylist())
    label = np.array(truth["label"].to_pylist())
    emission = label != CLASSES[-1]
    found = np.zeros(len(label), dtype=bool)
    found[find_listed(catalog, final["spectrum_id"].to_pylist())] = True

    searched = compare_found("active learning", found, emission, "emission")
    runs = [_run(f"no active learning, run {k}", table, truth_path) for k, table in enumerate(baseline, 1)]
    story = _rounds(rounds, predictions, truth_path)
    false, missed = _kinds(truth, found & ~emission), _kinds(truth, emission & ~found)
    lines = [
        *_ratios("emission", searched, PRECISION, RECALL),
        *_classes(listed, catalog, label),
        value_line("spectra that the oracle found", _origin(catalog, "oracle"), catalog.num_rows),
        *_runs(runs, searched),
        *_story(story),
        *_subsets(truth, found, emission),
        *_calibration(final, emission, temperature),
        *(value_line(f"false: {name}", number, searched["false"]) for name, number in false.items()),
        *(value_line(f"missed: {name}", number, sum(missed.values())) for name, number in missed.items()),
    ]
    return {
        "spectra": final.num_rows,
        "lines": [asdict(line) for line in lines],
        "comparison": [searched, *runs],
        "rounds": story,
        "false": false,
        "missed": missed,
    }


def _run(name: str, table: pa.Table, truth_path: str | os.PathLike[str]) -> dict[str, Any]:
    truth = match_truth(truth_path, table["spectrum_id"].to_pylist())
    return compare_found(
        name,
        predicted_class(probabilities(table)) < TARGETS,
        np.array(truth["emission"].to_pylist(), dtype=bool),
        "emission",
    )


def _rounds(
    rounds: Sequence[Mapping[str, Any]], predictions: Sequence[pa.Table], truth_path: str | os.PathLike[str]
) -> list[dict[str, Any]]:
    """Of each round: what was estimated, from how many, and what is true of all that the network predicts."""
    story = []
    for k, record in enumerate(rounds):
        row = {"round": record["round"], "estimate": record["precision"], "sample": record["n_precision"]}
        true = _run("", predictions[k], truth_path) if predictions else None
        story.append(
            row
            | {
                "precision": true and true["precision"],
                "recall": true and true["recall"],
                "predicted": sum(record["predicted"][name] for name in EMISSION_CLASSES),
            }
        )
    return story


def _ratios(name: str, row: Mapping[str, Any], low: float | None, least: float | None) -> list[Line]:
    return [
        value_line(f"precision of {name}", row["precision"], row["found"], low),
        value_line(f"recall of {name}", row["recall"], row["emission"], least),
        value_line(f"F1 of {name}", row["f1"], row["emission"]),
    ]


def _classes(listed: pa.Table, catalog: pa.Table, label: np.ndarray) -> list[Line]:
    """The classes one by one; `listed` is the truth of the catalogue's rows, `label` (n,) of the pool."""
    said, true = (
        np.array(column.to_pylist(), dtype=object) for column in (catalog["profile"], listed["label"])
    )
    lines = []
    for name in EMISSION_CLASSES:
        right = int(((said == name) & (true == name)).sum())
        chosen, real = int((said == name).sum()), int((label == name).sum())
        row = {
            "precision": right / chosen if chosen else None,
            "recall": right / real if real else None,
            "f1": 2 * right / (chosen + real) if chosen + real else None,
            "found": chosen,
            "emission": real,
        }
        lines += _ratios(f"{name}s", row, None, None)
    both = true != CLASSES[-1]
    return [*lines, mean_line("class right, of emission in the catalogue", (said == true)[both])]


def _origin(catalog: pa.Table, name: str) -> float:
    return float(pc.sum(pc.equal(catalog["origin"], name)).as_py() or 0)


def _runs(runs: Sequence[Mapping[str, Any]], searched: Mapping[str, Any]) -> list[Line]:
    """Means over the runs without active learning, and what active learning gains."""
    lines = []
    for name in ("precision", "recall", "f1"):
        values = [row[name] for row in runs if row[name] is not None]
        mean = float(np.mean(values)) if values else None
        what = "F1" if name == "f1" else name
        lines.append(value_line(f"{what} of emission without active learning", mean, len(values)))
        if mean is not None and searched[name] is not None:
            lines.append(value_line(f"gain in {what} by active learning", searched[name] - mean, len(values)))
    return lines


def _story(story: Sequence[Mapping[str, Any]]) -> list[Line]:
    lines = []
    for row in story:
        lines.append(value_line(f"round {row['round']}: precision, estimate", row["estimate"], row["sample"]))
        if row["precision"] is not None:
            lines.append(
                value_line(f"round {row['round']}: precision, true", row["precision"], row["predicted"])
            )
    return lines


def _subsets(truth: pa.Table, found: np.ndarray, emission: np.ndarray) -> list[Line]:
    """Recall of weak and strong emission and of fast stars; how many others are called emission, by S/N."""
    bump = truth["bump_snr"].fill_null(0).to_numpy()
    snr = truth["snr"].to_numpy()
    fast = np.abs(truth["rv"].fill_null(0).to_numpy()) >= FAST
    lines = []
    for low, high in pairwise(BUMP_EDGES):
        inside = emission & (bump >= low) & (bump < high)
        lines.append(mean_line(f"recall, S/N of the peak {range_name(low, high)}", found[inside]))
    lines.append(mean_line(f"recall, velocities above {FAST:g} km/s", found[emission & fast]))
    for low, high in pairwise(SNR_EDGES):
        inside = ~emission & (snr >= low) & (snr < high)
        lines.append(
            mean_line(f"share of others in the catalogue, S/N {range_name(low, high)}", found[inside])
        )
    return lines


def _calibration(final: pa.Table, emission: np.ndarray, temperature: float) -> list[Line]:
    """Expected calibration errors of the probability of emission, as it comes and calibrated."""
    p = probabilities(final)
    lines = []
    for name, scale in (("uncalibrated", 1.0), ("calibrated", temperature)):
        probability = np.minimum(apply_temperature(p, scale)[:, :TARGETS].sum(axis=1), 1.0)
        for what, some in (
            ("all spectra", np.ones(len(p), dtype=bool)),
            (f"p_emission >= {UNSURE:g}", probability >= UNSURE),
        ):
            lines.append(calibration_line(f"{name}, {what}", probability[some], emission[some]))
    return lines


def _kinds(truth: pa.Table, chosen: np.ndarray) -> dict[str, int]:
    """Chosen spectra (n,) bool by kind, defects named; most frequent first."""
    rows = truth.filter(pa.array(chosen)).select(["kind", "defect"]).to_pylist()
    names = [r["kind"] if r["defect"] == "none" else f"{r['kind']}, {r['defect']}" for r in rows]
    return count_kinds(names)
