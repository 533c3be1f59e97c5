"""The catalogue of emission-line spectra: candidates, their lines, labels and stars.

A candidate is a spectrum outside the training set that the final network predicts to be in emission, or one
that the oracle labelled as emission during active learning (Skoda et al. 2020, section 4). Labels are those
of the rounds and those of people who looked at candidates. A candidate that they find uninteresting is
rejected. No other label counts: a simulated oracle knows them all.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from starsift.catalog.crossmatch import group_exposures
from starsift.catalog.listing import fill_links, listed_columns, star_columns
from starsift.catalog.naming import dates, designation
from starsift.errors import ResultsError
from starsift.io.columns import floats
from starsift.learning.calibration import apply_temperature
from starsift.searches.emission.classes import (
    CLASSES,
    EMISSION_CLASSES,
    PROBABILITIES,
    TARGETS,
    predicted_class,
    probabilities,
)
from starsift.searches.emission.columns import EMISSION, ORACLE, PREDICTED
from starsift.searches.emission.line import LINES, measure_lines
from starsift.spectra.batches import IDENTITY_NAMES, OK, read_rows

PathLike = str | os.PathLike[str]


_ROWS = (*IDENTITY_NAMES, "snr", "ra", "dec")
_LISTED = ("snrr", "class", "subclass", "gaia_source_id", "phot_g_mean_mag", "file")
_CHUNK = 1000  # spectra measured at once


def gather_candidates(
    windows: Sequence[PathLike], predictions: Sequence[PathLike], round_labels: pa.Table
) -> tuple[pa.Table, dict[str, int]]:
    """Candidates of all bundles, with their windows; one bundle is in memory at a time.

    Parameters
    ----------
    windows, predictions : files of the bundles, named after them, in one order
    round_labels : of `starsift.searches.emission.labels.read_round_labels`

    Returns
    -------
    candidates : identity, snr, ra, dec; `bundle`, `row`, `window`; `predicted`, uncalibrated `PROBABILITIES`;
        `origin`; `round` of those that the oracle found; sorted by spectrum_id
    funnel : spectra left after each step

    Raises ResultsError: files do not belong together, or the oracle labelled a spectrum that is in none.
    """
    queried = round_labels.filter(pc.equal(round_labels["purpose"], "query"))
    queried = queried.select(["spectrum_id", "label", "round"])
    oracle = {row["spectrum_id"]: (row["label"], row["round"]) for row in queried.to_pylist()}
    steps = ("spectra in the pool", "with a window", "labelled by the oracle")
    funnel = dict.fromkeys((*steps, *(f"predicted {name}" for name in EMISSION_CLASSES)), 0)
    parts = []
    for window, prediction in zip(windows, predictions, strict=True):
        part, counts = _bundle_candidates(Path(window), Path(prediction), oracle)
        parts.append(part)
        funnel = {name: number + counts[name] for name, number in funnel.items()}
    if funnel["labelled by the oracle"] != len(oracle):
        raise ResultsError(
            f"rounds: {len(oracle)} spectra are labelled, {funnel['labelled by the oracle']} of them are in "
            "the pool; delete results/emission and run again"
        )
    if not parts:
        raise ResultsError("windows: there are no bundles; is the survey empty?")
    rows = pa.concat_tables(parts, promote_options="permissive").sort_by("spectrum_id")
    found = int(pc.sum(pc.equal(rows["origin"], ORACLE)).as_py() or 0)
    return rows, funnel | {"emission found by the oracle": found}


def _bundle_candidates(
    windows: Path, predictions: Path, oracle: dict[str, tuple[str, int]]
) -> tuple[pa.Table, dict[str, int]]:
    if windows.stem != predictions.stem:
        raise ResultsError(f"{predictions}: predictions of another bundle than {windows}")
    rows = pq.read_table(windows, columns=[*_ROWS, "row", "status"])
    usable = pc.equal(rows["status"], OK)
    places = pa.array(np.flatnonzero(usable.to_numpy()))
    ok = rows.take(places)
    predicted = pq.read_table(predictions, columns=["spectrum_id", *PROBABILITIES])
    at = pc.index_in(ok["spectrum_id"], value_set=predicted["spectrum_id"].combine_chunks())
    if at.null_count or predicted.num_rows != ok.num_rows:
        raise ResultsError(
            f"{predictions}: it has {predicted.num_rows} spectra, {windows} has {ok.num_rows} with a window, "
            f"of which {at.null_count} are missing here; delete the predictions and run again"
        )
    p = probabilities(predicted)[at.to_numpy()]
    labels = [oracle.get(name, (None, None)) for name in ok["spectrum_id"].to_pylist()]
    labelled = np.array([label is not None for label, _ in labels], dtype=bool)
    found = np.array([label in EMISSION_CLASSES for label, _ in labels], dtype=bool)
    best = predicted_class(p)
    chosen = np.flatnonzero(found | (~labelled & (best < TARGETS)))
    columns = {name: ok[name].take(pa.array(chosen)) for name in (*_ROWS, "row")}
    # Windows are most of the file, and few are needed.
    window = pq.read_table(windows, columns=["window"])["window"].take(places.take(pa.array(chosen)))
    columns |= {
        "bundle": pa.array([windows.stem] * len(chosen), pa.string()),
        "window": window,
        "predicted": pa.array([CLASSES[k] for k in best[chosen]], pa.string()),
        **{name: pa.array(p[chosen, k], pa.float32()) for k, name in enumerate(PROBABILITIES)},
        "origin": pa.array([ORACLE if found[k] else PREDICTED for k in chosen], pa.string()),
        "round": pa.array([labels[k][1] if found[k] else None for k in chosen], pa.int16()),
    }
    counts = {"spectra in the pool": rows.num_rows, "with a window": ok.num_rows}
    counts["labelled by the oracle"] = int(labelled.sum())
    counts |= {f"predicted {name}": int((~labelled & (best == k)).sum()) for k, name in enumerate(CLASSES)}
    return pa.table(columns), counts


def measure_candidates(candidates: pa.Table, spectra: Sequence[PathLike]) -> pa.Table:
    """Measure H alpha in candidates with `starsift.searches.emission.line.measure_lines`.

    Parameters
    ----------
    candidates : of `gather_candidates`
    spectra : packed bundles, named after them

    Returns a Table of the schema `LINES`, in the order of the candidates. Raises ResultsError: a candidate's
    bundle is not there.
    """
    bundle = np.asarray(candidates["bundle"].to_pylist(), dtype=object)
    positions = candidates["row"].to_numpy()
    order, tables = [np.empty(0, np.int64)], [LINES.empty_table()]
    for path in map(Path, spectra):
        mine = np.flatnonzero(bundle == path.stem)
        for start in range(0, len(mine), _CHUNK):
            part = mine[start : start + _CHUNK]
            order.append(part)
            tables.append(measure_lines(read_rows(path, positions[part])))
    place = np.concatenate(order)
    if len(place) != len(bundle):
        lost = np.setdiff1d(np.arange(len(bundle)), place)
        raise ResultsError(f"spectra: bundle {bundle[lost[0]]} of a candidate is not there; run again")
    return pa.concat_tables(tables).take(pa.array(np.argsort(place)))


def assemble(
    candidates: pa.Table,
    lines: pa.Table,
    manifest: pa.Table,
    round_labels: pa.Table,
    labels: pa.Table,
    *,
    temperature: float,
    match_radius: float,
    link: str | None,
) -> tuple[pa.Table, pa.Table, dict[str, int]]:
    """The catalogue, the rejected candidates, and the end of the funnel.

    Parameters
    ----------
    candidates : of `gather_candidates`; lines : of `measure_candidates`
    manifest : of the survey: spectrum_id, lmjd, file, and if it has them mjd, snrr, class, subclass,
        gaia_source_id, phot_g_mean_mag
    round_labels : of `starsift.searches.emission.labels.read_round_labels`
    labels : of `starsift.searches.emission.labels.candidate_labels`. A spectrum with several labels has this
        one, else that of the training set, else the latest of the precision samples.
    temperature : of `starsift.learning.calibration`
    match_radius : arcsec, within which spectra show the same star
    link : address of a spectrum's page over columns, such as "https://archive.org/view?obsid={obsid}"

    Returns
    -------
    catalogue, rejected : columns of `EMISSION`; rejected are those that people found uninteresting
    funnel : spectra left after each step, and stars

    Raises ResultsError: the tables are not of one run, or the link names an unknown column.
    """
    at = pc.index_in(candidates["spectrum_id"], value_set=manifest["spectrum_id"].combine_chunks())
    if at.null_count:
        first = candidates["spectrum_id"].filter(pc.is_null(at))[0]
        raise ResultsError(f"manifest: candidate {first} is not in it; delete results/emission and run again")
    listed = manifest.take(at)
    rows = candidates.select([*_ROWS, "predicted", "origin", "round"])
    ra, dec = (floats(rows, name) for name in ("ra", "dec"))
    p = apply_temperature(probabilities(candidates), temperature)
    columns: dict[str, Any] = {
        "designation": designation(ra, dec),
        **dates(listed),
        **{name: pa.array(p[:, k], pa.float32()) for k, name in enumerate(PROBABILITIES)},
        "p_emission": pa.array(np.minimum(p[:, :TARGETS].sum(axis=1), 1), pa.float32()),
        **listed_columns(listed, _LISTED, EMISSION),
        **_label_columns(rows, round_labels, labels),
    }
    columns |= {name: lines[name] for name in lines.column_names}
    double = pc.equal(columns["profile"], CLASSES[1])
    columns["peak_separation"] = pc.if_else(double, lines["peak_separation"], pa.scalar(None, pa.float32()))
    kept = pc.not_equal(columns["profile"], CLASSES[-1])
    columns |= star_columns(
        rows, columns["designation"], group_exposures(ra, dec, match_radius), np.asarray(kept)
    )
    for name, values in columns.items():
        rows = rows.append_column(name, values)
    rows = rows.append_column("link", fill_links(rows, link, "emission.catalog.link")).select(EMISSION.names)
    catalogue, rejected = rows.filter(kept), rows.filter(pc.invert(kept))
    funnel = {
        "looked at by people": int(pc.sum(rows["vetted"].cast(pa.int64())).as_py() or 0),
        "rejected by people": rejected.num_rows,
        "catalogue": catalogue.num_rows,
        "stars": pc.count_distinct(catalogue["group_id"]).as_py(),
    }
    return catalogue, rejected, funnel


def _label_columns(rows: pa.Table, round_labels: pa.Table, labels: pa.Table) -> dict[str, pa.Array]:
    """Columns label, vetted, vetted_by and profile (the class by people, else by the network)."""
    known: dict[str, tuple[str, str, str | None]] = {}
    for purpose in ("precision", "query"):
        part = round_labels.filter(pc.equal(round_labels["purpose"], purpose))
        for row in part.select(["spectrum_id", "label", "vetted_by"]).to_pylist():
            known[row["spectrum_id"]] = row["label"], row["label"], row["vetted_by"]
    for row in labels.to_pylist():
        known[row["spectrum_id"]] = row["label"], row["class"], row["vetted_by"]
    names, predicted = (rows[name].to_pylist() for name in ("spectrum_id", "predicted"))
    found = [known.get(name, (None, kind, None)) for name, kind in zip(names, predicted, strict=True)]
    label, profile, who = (pa.array([row[k] for row in found], pa.string()) for k in range(3))
    return {"label": label, "vetted": pc.is_valid(label), "vetted_by": who, "profile": profile}


def with_windows(rows: pa.Table, candidates: pa.Table) -> pa.Table:
    """Append bundle, row and window of `gather_candidates` to rows of `assemble`, sorted by spectrum_id."""
    rows = rows.sort_by("spectrum_id")
    at = pc.index_in(rows["spectrum_id"], value_set=candidates["spectrum_id"].combine_chunks())
    for name in ("bundle", "row", "window"):
        rows = rows.append_column(name, candidates[name].combine_chunks().take(at))
    return rows
