"""The scorecard of the binaries search."""

import os
from dataclasses import asdict

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from starsift.demo.scorecard import Line, match_truth, mean_line, velocity_lines
from starsift.searches.binaries.orbits import ONE_PERIOD

SLOW = 30.0  # km/s: vsini below which velocities and detection are promised
WIDE_DELTA_RV = 60.0  # km/s
CLEAR_DELTA_RV, CLEAR_FLUX_RATIO, CLEAR_SNR = 100.0, 0.5, 20.0
SINGLE_KINDS = ("single", "rotator")
CERTAIN = 0.9  # probability of a period, above which it is believed


def _padded(column: pa.ChunkedArray, width: int = 3) -> np.ndarray:
    """Lists as (n, width) float64, NaN where there is no value; what lies beyond `width` is dropped."""
    rows = column.to_pylist()
    table = np.full((len(rows), width), np.nan)
    for i, row in enumerate(rows):
        values = [np.nan if v is None else v for v in row or []][:width]
        table[i, : len(values)] = values
    return table


def score(
    truth_path: str | os.PathLike[str], spectra: pa.Table, published: pa.Table, orbits: pa.Table
) -> dict[str, object]:
    """Compare the stages' results with the truth.

    Parameters
    ----------
    truth_path : truth.parquet of `starsift.demo.mrs.simulate_survey`
    spectra : one row a selected spectrum: identity, `snr`, `n_components` of the CCF, `vote`, the chosen
        `multiplicity`, `rv` and `rv_err`, `suspect_moonlight`, `suspect_crosstalk`
    published : the catalogue: `spectrum_id`, `multiplicity`, by the evidence of all exposures of a star
    orbits : the catalogue: `gaia_source_id`, `period`, `period_probability`, `time_span`

    Returns a dict with `spectra` (their number) and `lines`: a list of {name, value, number, target, passed}.
    Raises ValueError if a spectrum is not in the truth.
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
    multiplicity, vote = (
        np.array(pc.fill_null(spectra[name], "").to_pylist()) for name in ("multiplicity", "vote")
    )
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
    listed = dict(zip(*(column.to_pylist() for column in published.columns), strict=True))
    in_catalog = np.array([listed.get(name, "") for name in spectra["spectrum_id"].to_pylist()])
    number = np.isfinite(rv).sum(axis=1)
    candidate = np.isin(number, (2, 3))
    measured1 = (kind == "single") & slow & (number == 1)
    wide = pair & (gaps[:, 0] >= WIDE_DELTA_RV)
    wide_triple = (kind == "sb3") & (gaps >= WIDE_DELTA_RV).all(axis=1)
    measured2 = pair & slow & (multiplicity == "SB2")
    moon, leak = suspect == "moonlight", suspect == "crosstalk"
    lines = [
        mean_line(
            "SB2 found: delta RV >= 100, flux ratio >= 1/2, S/N >= 20, vsini < 30",
            (multiplicity == "SB2")[pair & clear],
            0.95,
        ),
        mean_line("SB2 found, all with delta RV >= 60", (multiplicity == "SB2")[wide], 0.80),
        mean_line(
            "SB2 in the catalogue, by all exposures of a star, all with delta RV >= 60",
            (in_catalog == "SB2")[wide],
        ),
        mean_line("SB2 found by the vote on the CCF, all with delta RV >= 60", (vote == "SB2")[wide]),
        mean_line(
            "SB3 found: both delta RV >= 100, S/N >= 20, vsini < 30",
            (multiplicity == "SB3")[(kind == "sb3") & clear_triple],
        ),
        mean_line("SB3 found, all with both delta RV >= 60", (multiplicity == "SB3")[wide_triple], 0.60),
        mean_line("SB3 found by the vote on the CCF, all of these", (vote == "SB3")[wide_triple]),
        mean_line("false SB2 or SB3 among single stars", (multiplicity != "")[single], None, 0.002),
        mean_line("false SB2 or SB3 among noise", (multiplicity != "")[kind == "noise"]),
        mean_line("precision of SB2 (unflagged; at least two stars)", (true_count >= 2)[chosen2], 0.98),
        mean_line(
            "precision of SB2 in the catalogue (unflagged; at least two stars)",
            (true_count >= 2)[(in_catalog == "SB2") & ~flagged],
            0.97,
        ),
        mean_line("precision of SB2 (unflagged; exactly two stars)", (true_count == 2)[chosen2]),
        mean_line("precision of SB3 (unflagged)", (true_count == 3)[chosen3], 0.90),
        mean_line("precision of two components in the CCF", (true_count >= 2)[(count == 2) & ~flagged]),
        mean_line("precision of three components in the CCF", (true_count == 3)[(count == 3) & ~flagged]),
        *velocity_lines(
            "single stars, vsini < 30",
            (rv - true_rv)[measured1, :1].ravel(),
            rv_err[measured1, :1].ravel(),
            # Errors allow for lines that the templates have wrong; those of the demo's stars are right.
            pull=(0.6, 1.25),
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
        *_orbit_lines(truth, orbits),
    ]
    return {"spectra": spectra.num_rows, "lines": [asdict(line) for line in lines]}


def _involved(truth: pa.Table, leak: np.ndarray) -> np.ndarray:
    """Spectra with cross-talk and the neighbours that it comes from."""
    partners = set(truth["partner"].filter(pa.array(leak)).to_pylist())
    return leak | np.isin(np.array(truth["spectrum_id"].to_pylist()), [p for p in partners if p])


def _orbit_lines(truth: pa.Table, orbits: pa.Table) -> list[Line]:
    """How many periods are certain, and how many of these right: within 4 radians of phase of a true one."""
    true = dict(zip(truth["gaia_source_id"].to_pylist(), truth["period"].to_pylist(), strict=True))
    turns = ONE_PERIOD / (2 * np.pi)
    right = np.array(
        [
            any(
                abs(1 / row["period"] - 1 / p) * row["time_span"] < turns for p in true[row["gaia_source_id"]]
            )
            for row in orbits.to_pylist()
        ],
        dtype=bool,
    )
    certain = orbits["period_probability"].to_numpy() > CERTAIN
    return [
        mean_line("orbits whose period is certain (probability > 0.9)", certain),
        mean_line("right periods, of certain ones", right[certain], 0.80),
    ]
