"""The scorecard of a simulated survey: the results of a search against the truth.

With `starsift.demo.score_mstars` the only part of starsift that reads the truth. Every line says how many
spectra behind it, and its limit.
"""

import json
import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from starsift.io.files import atomic_path
from starsift.learning.calibration import expected_calibration_error
from starsift.robust import robust_scatter


@dataclass(frozen=True)
class Line:
    """One line: `value` over `number` cases; `passed` is None without a promise or without a case."""

    name: str
    value: float | None
    number: int
    target: str
    passed: bool | None


def mean_line(name: str, values: np.ndarray, low: float | None = None, high: float | None = None) -> Line:
    """The mean of `values` (booleans, or one number that is already a statistic) against its bounds."""
    number = int(values.size)
    return value_line(name, float(values.mean()) if number else None, number, low, high)


def value_line(
    name: str, value: float | None, number: int, low: float | None = None, high: float | None = None
) -> Line:
    """A statistic of `number` cases against its bounds."""
    bounds = [f"{sign} {bound:g}" for sign, bound in ((">=", low), ("<=", high)) if bound is not None]
    passed = None
    if bounds and value is not None:
        passed = (low is None or value >= low) and (high is None or value <= high)
    return Line(name, None if value is None else round(value, 5), number, " and ".join(bounds), passed)


def compare_found(name: str, found: np.ndarray, real: np.ndarray, what: str) -> dict[str, Any]:
    """Precision, recall and F1 of the found ones (n,) bool; None where nothing is to be divided by.

    `what` is the key for the number of `real` ones.
    """
    right = int((found & real).sum())
    chosen, there = int(found.sum()), int(real.sum())
    return {
        "name": name,
        "precision": right / chosen if chosen else None,
        "recall": right / there if there else None,
        "f1": 2 * right / (chosen + there) if chosen + there else None,
        "found": chosen,
        "false": chosen - right,
        what: there,
    }


def range_name(low: float, high: float) -> str:
    """A range of numbers, such as "5 to 10" or "above 20"."""
    return f"{low:g} to {high:g}" if np.isfinite(high) else f"above {low:g}"


def calibration_line(name: str, probability: np.ndarray, real: np.ndarray) -> Line:
    """The expected calibration error of probabilities (n,) of what is `real` (n,) bool."""
    error = expected_calibration_error(probability, real)
    return value_line(f"calibration error, {name}", None if np.isnan(error) else error, len(real))


def find_listed(catalog: pa.Table, names: list[str]) -> np.ndarray:
    """Places (m,) of a catalogue's spectra among those with a prediction; ValueError if one has none."""
    place = {name: i for i, name in enumerate(names)}
    listed = catalog["spectrum_id"].to_pylist()
    unpredicted = [name for name in listed if name not in place]
    if unpredicted:
        raise ValueError(f"{len(unpredicted)} spectra of the catalogue have no prediction: {unpredicted[0]}")
    return np.array([place[name] for name in listed], dtype=np.int64)


def count_kinds(names: Iterable[str]) -> dict[str, int]:
    """How often each name is there, most frequent first."""
    return dict(sorted(Counter(names).items(), key=lambda item: (-item[1], item[0])))


def velocity_lines(
    name: str,
    error: np.ndarray,
    sigma: np.ndarray,
    bias: float | None = 0.5,
    pull: tuple[float | None, float | None] = (0.8, 1.25),
) -> list[Line]:
    """Bias, scatter and honesty of the errors of velocities; `error` is measured less true, km/s.

    `bias` bounds the bias (km/s), `pull` the standard deviation of error / sigma; None promises nothing.
    """
    use = np.isfinite(error) & np.isfinite(sigma) & (sigma > 0)
    error, ratio = error[use], error[use] / sigma[use]
    some = error.size > 1

    def line(what: str, value: float, low: float | None = None, high: float | None = None) -> Line:
        return value_line(f"{name}: {what}", value if some else None, error.size, low, high)

    if not some:
        error = ratio = np.zeros(2)
    return [
        line("RV bias (km/s)", float(error.mean()), None if bias is None else -bias, bias),
        line("RV scatter (km/s)", float(error.std())),
        line("RV scatter, robust (km/s)", robust_scatter(error)),
        line("standard deviation of (measured - true) / error", float(ratio.std()), *pull),
    ]


def match_truth(truth_path: str | os.PathLike[str], ids: list[str]) -> pa.Table:
    """Rows of a truth table of spectra `ids`, in their order; ValueError if a spectrum is not in it."""
    truth = pq.read_table(truth_path)
    place = {key: i for i, key in enumerate(truth["spectrum_id"].to_pylist())}
    unknown = [key for key in ids if key not in place]
    if unknown:
        raise ValueError(
            f"{truth_path}: {len(unknown)} spectra are not in the truth, the first is {unknown[0]}"
        )
    return truth.take(pa.array([place[key] for key in ids], pa.int64()))


def describe(card: dict[str, object]) -> list[str]:
    """The scorecard as lines of text."""
    lines = card["lines"]
    assert isinstance(lines, list)
    text = [f"Scorecard: {card['spectra']} spectra against the truth"]
    for line in lines:
        value = "     none" if line["value"] is None else f"{line['value']:9.4f}"
        mark = {True: "ok  ", False: "MISS", None: "    "}[line["passed"]]
        text.append(
            f"  {mark} {value}  {line['name']} [n = {line['number']}]"
            + (f", {line['target']}" if line["target"] else "")
        )
    return text


def write_card(card: dict[str, object], path: str | os.PathLike[str], text: str | os.PathLike[str]) -> None:
    """Write a scorecard as JSON, and as text for people."""
    contents = {path: json.dumps(card, indent=1, sort_keys=True), text: "\n".join(describe(card))}
    for target, content in contents.items():
        with atomic_path(target) as temporary:
            temporary.write_text(content + "\n")
