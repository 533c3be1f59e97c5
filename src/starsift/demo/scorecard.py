"""The scorecard of a simulated survey: what the binaries path found against what was there.

With `starsift.demo.score_mstars` the only part of starsift that reads the truth. Every line says how many
spectra it rests on, and what it must reach.
"""

import json
import os
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from starsift.io.files import atomic_path

SLOW = 30.0  # km/s: vsini below which velocities and detection are promised
CLEAR_DELTA_RV, CLEAR_FLUX_RATIO, CLEAR_SNR = 100.0, 0.5, 20.0
SINGLE_KINDS = ("single", "rotator")


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
    """Precision, recall and F1 of what was found (n,) bool; None where nothing is to be divided by.

    Parameters
    ----------
    what : key for the number of `real` ones
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
        line("RV scatter, robust (km/s)", float(1.4826 * np.median(np.abs(error - np.median(error))))),
        line("standard deviation of (measured - true) / error", float(ratio.std()), *pull),
    ]


def match_truth(truth_path: str | os.PathLike[str], ids: list[str]) -> pa.Table:
    """Rows of a truth table of spectra `ids`, in their order.

    Raises
    ------
    ValueError : if a spectrum is not in the truth.
    """
    truth = pq.read_table(truth_path)
    place = {key: i for i, key in enumerate(truth["spectrum_id"].to_pylist())}
    unknown = [key for key in ids if key not in place]
    if unknown:
        raise ValueError(
            f"{truth_path}: {len(unknown)} spectra are not in the truth, the first is {unknown[0]}"
        )
    return truth.take(pa.array([place[key] for key in ids], pa.int64()))


def _padded(column: pa.ChunkedArray, width: int = 3) -> np.ndarray:
    """Lists as (n, width) float64, NaN where there is no value; what lies beyond `width` is dropped."""
    rows = column.to_pylist()
    table = np.full((len(rows), width), np.nan)
    for i, row in enumerate(rows):
        values = [np.nan if v is None else v for v in row or []][:width]
        table[i, : len(values)] = values
    return table


def score(truth_path: str | os.PathLike[str], spectra: pa.Table) -> dict[str, object]:
    """Compare the stages' results with the truth.

    Parameters
    ----------
    truth_path : truth.parquet of `starsift.demo.mrs.simulate_survey`
    spectra : one row a selected spectrum: identity, `snr`, `n_components`, `rv`, `rv_err`, `multiplicity`,
        `suspect_moonlight`, `suspect_crosstalk`

    Returns
    -------
    dict with `spectra` (their number) and `lines`: a list of {name, value, number, target, passed}.

    Raises
    ------
    ValueError : if a spectrum is not in the truth.
    """
    truth = match_truth(truth_path, spectra["spectrum_id"].to_pylist())

    kind = np.array(truth["kind"].to_pylist())
    suspect = np.array(truth["suspect"].to_pylist())
    true_count = truth["n_components"].to_numpy()
    snr = spectra["snr"].to_numpy()
    true_rv = np.sort(_padded(truth["rv"]), axis=1)
    gaps = np.diff(true_rv, axis=1)
    light = _padded(truth["flux_fraction"])[:, :2]
    slow = np.nanmax(np.where(np.isnan(v := _padded(truth["vsini"])), 0.0, v), axis=1) < SLOW
    count = spectra["n_components"].to_numpy()
    rv, rv_err = _padded(spectra["rv"]), _padded(spectra["rv_err"])
    multiplicity = np.array(pc.fill_null(spectra["multiplicity"], "").to_pylist())
    moon_flag, leak_flag = (
        pc.fill_null(spectra[name], False).to_numpy(zero_copy_only=False).astype(bool)
        for name in ("suspect_moonlight", "suspect_crosstalk")
    )
    flagged = moon_flag | leak_flag

    pair = kind == "sb2"
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = light.min(axis=1) / light.max(axis=1)
        clear = (gaps[:, 0] >= CLEAR_DELTA_RV) & (ratio >= CLEAR_FLUX_RATIO) & (snr >= CLEAR_SNR) & slow
        clear_triple = (gaps >= CLEAR_DELTA_RV).all(axis=1) & (snr >= CLEAR_SNR) & slow
    single = np.isin(kind, SINGLE_KINDS)
    chosen2, chosen3 = ((multiplicity == name) & ~flagged for name in ("SB2", "SB3"))
    candidate = np.isin(count, (2, 3))
    measured1 = (kind == "single") & slow & (count == 1)
    measured2 = pair & slow & (multiplicity == "SB2")
    moon, leak = suspect == "moonlight", suspect == "crosstalk"
    lines = [
        mean_line(
            "SB2 found: delta RV >= 100, flux ratio >= 1/2, S/N >= 20, vsini < 30",
            (multiplicity == "SB2")[pair & clear],
            0.95,
        ),
        mean_line("SB2 found, all with delta RV >= 60", (multiplicity == "SB2")[pair & (gaps[:, 0] >= 60)]),
        mean_line(
            "SB3 found: both delta RV >= 100, S/N >= 20, vsini < 30",
            (multiplicity == "SB3")[(kind == "sb3") & clear_triple],
        ),
        mean_line("false SB2 or SB3 among single stars", (multiplicity != "")[single], None, 0.002),
        mean_line("false SB2 or SB3 among noise", (multiplicity != "")[kind == "noise"]),
        mean_line("precision of SB2 (unflagged; at least two stars)", (true_count >= 2)[chosen2], 0.99),
        mean_line("precision of SB2 (unflagged; exactly two stars)", (true_count == 2)[chosen2]),
        mean_line("precision of SB3 (unflagged)", (true_count == 3)[chosen3], 0.80),
        mean_line("precision of SB2 before the vote", (true_count >= 2)[(count == 2) & ~flagged]),
        mean_line("precision of SB3 before the vote", (true_count == 3)[(count == 3) & ~flagged]),
        *velocity_lines(
            "single stars, vsini < 30", (rv - true_rv)[measured1, :1].ravel(), rv_err[measured1, :1].ravel()
        ),
        *velocity_lines(
            "SB2 components, vsini < 30", (rv - true_rv)[measured2, :2].ravel(), rv_err[measured2, :2].ravel()
        ),
        mean_line("moonlight flagged, of double-lined spectra with moonlight", moon_flag[moon & candidate]),
        mean_line("moonlight flagged, of candidates without", moon_flag[candidate & ~moon]),
        mean_line("cross-talk flagged, of double-lined spectra with cross-talk", leak_flag[leak & candidate]),
        mean_line(
            "cross-talk flagged, of candidates that neither leak nor are leaked into",
            leak_flag[candidate & ~_involved(truth, leak)],
        ),
    ]
    return {"spectra": spectra.num_rows, "lines": [asdict(line) for line in lines]}


def _involved(truth: pa.Table, leak: np.ndarray) -> np.ndarray:
    """Spectra with cross-talk and the neighbours that it comes from."""
    partners = set(truth["partner"].filter(pa.array(leak)).to_pylist())
    return leak | np.isin(np.array(truth["spectrum_id"].to_pylist()), [p for p in partners if p])


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
