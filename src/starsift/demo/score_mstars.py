"""The scorecard of a simulated low-resolution survey: M stars found, against the truth.

Counted are the spectra of the pool (role "pool" of the truth), not those that a search learned from.
"""

import os
from dataclasses import asdict
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from starsift.demo.scorecard import Line, match_truth, mean_line, range_name, value_line, velocity_lines
from starsift.robust import robust_scatter

SNR_EDGES = (0.0, 1.0, 2.0, 3.0, 5.0, np.inf)
LIKELY = 0.5  # p_m from which a candidate counts as called an M star
CLEAR_SNR = 3.0  # median S/N a pixel in r from which the measurements are scored
SPEEDS = ("u", "v", "w")


def score_mstars(
    truth_path: str | os.PathLike[str], search: pa.Table, catalog: pa.Table
) -> dict[str, object]:
    """Compare candidates and catalogue with the truth.

    Parameters
    ----------
    truth_path : truth.parquet of `starsift.demo.lrs.simulate_lrs`
    search : candidates of the union, one row a spectrum: `spectrum_id`, `p_m`
    catalog : the catalogue `mstars`: `spectrum_id`, `subtype`, `rv`, `rv_err`, `giant`, `active`, `ewha`,
        `distance`, `u`, `v`, `w`; null where not measured, `giant` and `active` 1, 0 or logical

    Returns a dict with `spectra` (in the pool) and `lines`: a list of {name, value, number, target, passed},
    for `starsift.demo.scorecard.describe`. Raises ValueError if a spectrum is not in the truth.
    """
    ids = {name: table["spectrum_id"].to_pylist() for name, table in (("union", search), ("list", catalog))}
    match_truth(truth_path, ids["union"])  # all known?
    found = match_truth(truth_path, ids["list"])
    truth = pq.read_table(truth_path)
    pool = truth.filter(np.array(truth["role"].to_pylist()) == "pool")
    key = np.array(pool["spectrum_id"].to_pylist())
    probability = dict(zip(ids["union"], _numbers(search, "p_m").tolist(), strict=True))
    p_m = np.array([probability.get(name, -1.0) for name in key])
    in_union, called = p_m >= 0, p_m >= LIKELY
    listed = np.isin(key, ids["list"])
    is_m = np.array(pool["is_m"].to_pylist(), dtype=bool)
    snr, defective = pool["snr"].to_numpy(), np.array(pool["defective"].to_pylist(), dtype=bool)

    lines: list[Line] = []
    for what, chosen, least in (
        ("in the union", in_union, 0.95),
        (f"with p_m >= {LIKELY:g}", called, None),
        ("in the catalogue", listed, 0.7),
    ):
        for low, high in pairwise(SNR_EDGES):
            inside = is_m & (snr >= low) & (snr < high)
            lines.append(mean_line(f"M stars {what}, S/N {range_name(low, high)}", chosen[inside]))
        lines.append(mean_line(f"M stars {what}, all", chosen[is_m], least))
    late = is_m & (_numbers(pool, "subtype") >= 5)
    lines += [
        mean_line("M stars in the catalogue, M5 and later", listed[late]),
        mean_line("M stars in the catalogue, giants", listed[is_m & _flags(pool, "giant")[0]]),
        mean_line("M stars in the catalogue, defective spectra", listed[is_m & defective]),
        mean_line("share of the pool in the union", in_union),
        mean_line(f"precision of p_m >= {LIKELY:g}", is_m[called]),
        mean_line("precision of the catalogue", is_m[listed], 0.9),
    ]
    return {
        "spectra": pool.num_rows,
        "lines": [asdict(line) for line in [*lines, *_measured(found, catalog)]],
    }


def _measured(truth: pa.Table, catalog: pa.Table) -> list[Line]:
    """Lines about measurements of catalogued M stars; rows of both tables are the same spectra."""
    is_m, _ = _flags(truth, "is_m")
    snr = truth["snr"].to_numpy()
    clear = is_m & (snr >= CLEAR_SNR)
    giant, _ = _flags(truth, "giant")
    dwarf = is_m & ~giant
    text = f"S/N >= {CLEAR_SNR:g}"

    def error(name: str) -> np.ndarray:
        return _numbers(catalog, name) - _numbers(truth, name)

    subtype = error("subtype")
    known = np.isfinite(subtype)
    called_giant, has_class = _flags(catalog, "giant")
    called_active, has_activity = _flags(catalog, "active")
    active, _ = _flags(truth, "active")
    sigma = _numbers(catalog, "rv_err")
    lines = [
        mean_line(f"subtype within 1, dwarfs, {text}", np.abs(subtype)[clear & dwarf & known] <= 1, 0.9),
        mean_line(f"subtype within 1, giants, {text}", np.abs(subtype)[clear & giant & known] <= 1),
        mean_line(f"bias of the subtype, dwarfs, {text}", subtype[clear & dwarf & known]),
        *velocity_lines(
            f"M dwarfs, {text}", error("rv")[clear & dwarf], sigma[clear & dwarf], 6.0, (0.7, 1.3)
        ),
        *velocity_lines(
            f"M giants, {text}", error("rv")[clear & giant], sigma[clear & giant], None, (None, None)
        ),
        mean_line("dwarfs called dwarfs", ~called_giant[dwarf & has_class], 0.95),
        mean_line("giants called giants", called_giant[giant & has_class], 0.85),
        mean_line("giants among those called giants", giant[is_m & called_giant & has_class]),
        mean_line("activity right, dwarfs", (called_active == active)[dwarf & has_activity], 0.8),
        mean_line("active dwarfs called active", called_active[dwarf & active & has_activity]),
        _spread("scatter of the H-alpha width, dwarfs (Angstrom)", error("ewha")[clear & dwarf]),
    ]
    with np.errstate(invalid="ignore", divide="ignore"):
        relative = _numbers(catalog, "distance") / _numbers(truth, "distance") - 1
    lines.append(_spread("relative scatter of distances, dwarfs", relative[dwarf]))
    lines += [_spread(f"scatter of {name.upper()}, dwarfs (km/s)", error(name)[dwarf]) for name in SPEEDS]
    return lines


def _spread(name: str, error: np.ndarray) -> Line:
    """Robust scatter about zero of the finite errors."""
    finite = error[np.isfinite(error)]
    value = robust_scatter(finite, 0.0) if finite.size else None
    return value_line(name, value, int(finite.size))


def _numbers(table: pa.Table, name: str) -> np.ndarray:
    """A column (n,) as float64, NaN where it is null or missing."""
    if name not in table.column_names:
        return np.full(table.num_rows, np.nan)
    return np.array([np.nan if v is None else float(v) for v in table[name].to_pylist()])


def _flags(table: pa.Table, name: str) -> tuple[np.ndarray, np.ndarray]:
    """A column of yes and no (n,), no where it is null, and where it is not null (n,)."""
    values = _numbers(table, name)
    return values == 1, np.isfinite(values)
