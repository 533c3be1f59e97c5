"""The scorecard of simulated A-type stars: blue horizontal branch stars found, and their distances.

Counted is the pool: spectra without a label, of stars none of whose spectra has one. Right is a star that the
truth says is on the horizontal branch.
"""

import os
from collections.abc import Mapping
from dataclasses import asdict
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

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
from starsift.robust import robust_scatter
from starsift.searches.bhb.inputs import CLASSES

BHB = CLASSES[1]
SNR_EDGES = (0.0, 5.0, 10.0, 20.0, np.inf)
RATIO = (0.95, 1.05)  # of measured to true distances, their median
PULL = (0.8, 1.25)  # standard deviation of (measured - true) / error
UNLUCKY = 2.0  # standard deviations by which a purity may miss the required one
UNUSABLE = ("short", "masked", "broken")  # defects that no spectrum can be used with


def score_bhb(
    truth_path: str | os.PathLike[str],
    catalog: pa.Table,
    predictions: pa.Table,
    *,
    calibration: Mapping[str, Any] | None = None,
) -> dict[str, object]:
    """Compare a catalogue of blue horizontal branch stars and the predictions behind it with the truth.

    Parameters
    ----------
    truth_path : truth.parquet of `starsift.demo.sdss.simulate_sdss`
    catalog : `spectrum_id`, and `distance` and `distance_err`, kpc
    predictions : of all spectra of the survey: `spectrum_id`, `image_status`, `modality` and `p_bhb`, not
        calibrated, null where a spectrum could not be used
    calibration : contents of calibration.json: `purity`, and `modalities` with a `temperature` each; without
        it, probabilities count as calibrated and no purity is required

    Returns a dict for `starsift.demo.scorecard.describe`: `spectra` (of the pool) and `lines`, a list of
    {name, value, number, target, passed}; and `comparison`, a row for all and for each modality and range of
    S/N: name, precision, recall, f1, found, false, bhb; `false`: spectra by kind. Raises ValueError: a
    spectrum is not in the truth, or one of the catalogue has no prediction.
    """
    names = predictions["spectrum_id"].to_pylist()
    truth = match_truth(truth_path, names)
    pool = ~np.isin(truth["star"].to_numpy(), _labelled_stars(truth_path))
    rows = find_listed(catalog, names)
    found = np.zeros(len(names), dtype=bool)
    found[rows] = True
    kind = np.array(truth["kind"].to_pylist(), dtype=object)
    bhb = np.array(truth["class"].to_pylist(), dtype=object) == BHB
    snr = truth["snr"].to_numpy()
    modality = np.array(predictions["modality"].to_pylist(), dtype=object)
    used = np.array(predictions["p_bhb"].is_valid())

    def compare(name: str, some: np.ndarray) -> dict[str, Any]:
        return compare_found(name, pool & some & found, pool & some & bhb, "bhb")

    modalities = sorted({name for name in modality if name is not None})
    parts = [compare(name, modality == name) for name in modalities]
    ranges = [
        compare(f"S/N {range_name(low, high)}", (snr >= low) & (snr < high))
        for low, high in pairwise(SNR_EDGES)
    ]
    whole, usable = compare("all", np.ones(len(names), dtype=bool)), compare("usable spectra", used)
    purity = None if calibration is None else float(calibration["purity"])
    lines = [
        *_ratios(whole, purity),
        value_line("recall, usable spectra", usable["recall"], usable["bhb"]),
        *(line for row in parts for line in _ratios(row, purity)),
        *(line for row in ranges for line in _ratios(row, None)),
        *(
            mean_line(f"share of {name} stars in the catalogue", found[pool & used & (kind == name)])
            for name in sorted(set(kind[~bhb].tolist()))
        ),
        *_calibration(predictions, bhb, pool & used, modality, calibration),
        *_distances(catalog, truth, rows, (pool & bhb)[rows]),
        *_quality(truth, predictions, used, pool),
    ]
    return {
        "spectra": int(pool.sum()),
        "lines": [asdict(line) for line in lines],
        "comparison": [whole, *parts, *ranges],
        "false": count_kinds(kind[pool & found & ~bhb].tolist()),
    }


def _labelled_stars(truth_path: str | os.PathLike[str]) -> np.ndarray:
    table = pq.read_table(truth_path, columns=["star", "labelled"])
    return np.unique(table["star"].to_numpy()[table["labelled"].to_numpy()])


def _ratios(row: Mapping[str, Any], purity: float | None) -> list[Line]:
    """Precision, against the required purity less the luck of the draw, recall and F1."""
    low = name = None
    if purity is not None and row["found"]:
        low = purity - UNLUCKY * float(np.sqrt(purity * (1 - purity) / row["found"]))
        name = f"purity reached, {row['name']}, {purity:g} required"
    return [
        value_line(name or f"precision, {row['name']}", row["precision"], row["found"], low),
        value_line(f"recall, {row['name']}", row["recall"], row["bhb"]),
        value_line(f"F1, {row['name']}", row["f1"], row["bhb"]),
    ]


def _calibration(
    predictions: pa.Table,
    bhb: np.ndarray,
    some: np.ndarray,
    modality: np.ndarray,
    calibration: Mapping[str, Any] | None,
) -> list[Line]:
    """Expected calibration errors of probabilities, as they come and calibrated, of `some` spectra (n,)."""
    raw = predictions["p_bhb"].fill_null(0.0).to_numpy().astype(np.float64)
    scaled = raw.copy()
    modalities = {} if calibration is None else calibration["modalities"]
    for name, values in modalities.items():
        rows = modality == name
        pair = np.stack([1 - raw[rows], raw[rows]], axis=1)
        scaled[rows] = apply_temperature(pair, values["temperature"])[:, 1]
    lines = []
    for name, p in (("uncalibrated", raw), ("calibrated", scaled)):
        if name == "calibrated" and calibration is None:
            continue
        for what in ("all", *sorted({m for m in modality[some] if m is not None})):
            rows = some if what == "all" else some & (modality == what)
            lines.append(calibration_line(f"{name}, {what}", np.clip(p[rows], 0, 1), bhb[rows]))
    return lines


def _distances(catalog: pa.Table, truth: pa.Table, rows: np.ndarray, right: np.ndarray) -> list[Line]:
    """Distances of the catalogue's rows (n,) that are `right` against the truth; `rows` of the truth."""
    distance, error = (
        np.array([np.nan if v is None else v for v in catalog[name].to_pylist()], dtype=np.float64)
        for name in ("distance", "distance_err")
    )
    true = truth["distance"].to_numpy().astype(np.float64)[rows]
    use = right & np.isfinite(distance) & np.isfinite(error) & (error > 0) & (distance > 0)
    distance, error, true = distance[use], error[use], true[use]
    number = int(use.sum())
    some = number > 1
    ratio = distance / true
    middle = float(np.median(ratio)) if some else None
    scatter = robust_scatter(ratio) if some else None
    pull = float(((distance - true) / error).std()) if some else None
    return [
        mean_line("share of BHB stars with a distance", use[right]),
        value_line("distance, measured over true: median", middle, number, *RATIO),
        value_line("distance, measured over true: scatter, robust", scatter, number),
        value_line("distance: standard deviation of (measured - true) / error", pull, number, *PULL),
    ]


def _quality(truth: pa.Table, predictions: pa.Table, used: np.ndarray, pool: np.ndarray) -> list[Line]:
    """What the cuts on quality removed, rightly and wrongly."""
    defect = np.array(truth["spectrum_defect"].to_pylist())
    fault = np.array(truth["image_defect"].to_pylist())
    image = np.array(predictions["image_status"].to_pylist(), dtype=object) == "ok"
    return [
        mean_line("spectra dropped, of those that cannot be used", ~used[pool & np.isin(defect, UNUSABLE)]),
        mean_line("spectra dropped, of those without a defect", ~used[pool & (defect == "none")]),
        mean_line("images dropped, of those with a defect", ~image[pool & (fault != "none")]),
        mean_line("images dropped, of those without a defect", ~image[pool & (fault == "none")]),
    ]
