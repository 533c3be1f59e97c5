"""The catalogue of blue horizontal branch stars: candidates, labels, photometry and distances.

The catalogue has the spectra whose calibrated probability reaches the threshold of their modality, and those
that people labelled BHB. Candidates with another label are rejected, and kept in a table of their own.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
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
from starsift.learning.labels import with_labels
from starsift.searches.bhb.columns import BHB
from starsift.searches.bhb.dataset import SPLITS
from starsift.searches.bhb.evaluation import calibrate
from starsift.searches.bhb.inputs import BANDS, FUSED
from starsift.searches.bhb.photometry import absolute_magnitude, dereddened, distance, magnitudes
from starsift.spectra.batches import IDENTITY_NAMES

PathLike = str | os.PathLike[str]

PREDICTED, PEOPLE = "predicted", "people"  # origin of a row of the catalogue

_SURVEY_COLUMNS = ("snr", "class", "subclass", "gaia_source_id", "phot_g_mean_mag", "file")
_PLACES = ("ra", "dec")
# Columns of the labelled spectra that networks learnt from.
LEARNT_FROM = pa.schema([(name, pa.string()) for name in ("spectrum_id", "survey", "class", "split")])

log = logging.getLogger(__name__)


def gather_candidates(
    predictions: Sequence[PathLike], labels: pa.Table, calibration: Mapping[str, Any]
) -> tuple[pa.Table, dict[str, int]]:
    """Spectra predicted or labelled BHB. One bundle is in memory at a time.

    Parameters
    ----------
    predictions : files of the bundles, `.../{survey}/{bundle}.parquet`
    labels : of `starsift.learning.labels.read_labels`
    calibration : of `starsift.searches.bhb.evaluation.fit_calibration`

    Returns
    -------
    candidates : `spectrum_id`, `survey`, `bundle`, `row`, `modality`, `image_status`, `p_bhb` (calibrated)
        and `origin`, sorted by spectrum_id
    funnel : number of spectra after each step

    Raises ResultsError: a file cannot be used, or a spectrum is listed twice.
    """
    labelled = labels["spectrum_id"].filter(pc.equal(labels["class"], "BHB")).combine_chunks()
    parts = [_ROWS.empty_table()]
    counts = np.zeros(4, np.int64)
    for path in map(Path, predictions):
        table = _read_predictions(path, calibration["modalities"])
        p = np.full(table.num_rows, np.nan, np.float32)
        predicted = np.zeros(table.num_rows, dtype=bool)
        score = table["p_bhb"].to_numpy()
        for modality, fitted in calibration["modalities"].items():
            mine = pc.fill_null(pc.equal(table["modality"], modality), False).to_numpy()
            p[mine] = calibrate(score[mine], fitted["temperature"])
            if fitted["threshold"] is not None:
                predicted[mine] = p[mine] >= fitted["threshold"]
        chosen = predicted | pc.is_in(table["spectrum_id"], value_set=labelled).to_numpy()
        columns = {
            "survey": pa.array([path.parent.name] * table.num_rows, pa.string()),
            "bundle": pa.array([path.stem] * table.num_rows, pa.string()),
            "p_bhb": pa.array(p, from_pandas=True),
            "origin": pa.array(np.where(predicted, PREDICTED, PEOPLE).astype(object), pa.string()),
        }
        table = table.drop_columns(["p_bhb"])
        for name, values in columns.items():
            table = table.append_column(name, values)
        parts.append(table.select(_ROWS.names).cast(_ROWS).filter(pa.array(chosen)))
        imaged = pc.fill_null(pc.equal(table["modality"], FUSED), False).to_numpy()
        usable = pc.is_valid(table["modality"]).to_numpy()
        counts += [len(p), usable.sum(), imaged.sum(), predicted.sum()]
    rows = pa.concat_tables(parts).sort_by("spectrum_id").combine_chunks()
    _check_unique(rows["spectrum_id"], "predictions of all bundles:")
    lost = labelled.filter(pc.invert(pc.is_in(labelled, value_set=rows["spectrum_id"].combine_chunks())))
    if len(lost):
        log.warning(
            "%d spectra labelled BHB are in no bundle, so the catalogue lacks them; the first is %s",
            *(len(lost), lost[0]),
        )
    steps = ("spectra in the survey", "with a usable spectrum", "with an image", "predicted BHB")
    return rows, dict(zip(steps, counts.tolist(), strict=True))


_ROWS = pa.schema(
    {
        "spectrum_id": pa.string(),
        "survey": pa.string(),
        "bundle": pa.string(),
        "row": pa.int32(),
        "modality": pa.string(),
        "image_status": pa.string(),
        "p_bhb": pa.float32(),
        "origin": pa.string(),
    }
)


def _read_predictions(path: Path, modalities: Mapping[str, Any]) -> pa.Table:
    """Predictions of one bundle, checked; p_bhb is NaN exactly where modality is null."""
    wanted = ("spectrum_id", "row", "modality", "image_status", "p_bhb")
    names = pq.read_schema(path).names
    missing = [name for name in wanted if name not in names]
    if missing:
        raise ResultsError(f"{path}: predictions lack {', '.join(missing)}; delete the file and run again")
    # Not read_table, to which folders named key=value would be columns.
    table = pq.ParquetFile(path).read(columns=list(wanted)).select(wanted).combine_chunks()
    _check_unique(table["spectrum_id"], f"{path}:")
    used = table["modality"].drop_null().unique().to_pylist()
    unknown = sorted(set(used) - set(modalities))
    if unknown:
        raise ResultsError(
            f"{path}: modality {unknown[0]!r} is not calibrated, only {', '.join(modalities)}; "
            "delete results/bhb/calibration.json and the predictions and run again"
        )
    p = table["p_bhb"].cast(pa.float32()).fill_null(np.nan).to_numpy()
    none = pc.is_null(table["modality"]).to_numpy()
    wrong = np.where(none, ~np.isnan(p), ~((p >= 0) & (p <= 1)))
    if wrong.any():
        k = int(np.argmax(wrong))
        raise ResultsError(
            f"{path}: {table['spectrum_id'][k]} has modality {table['modality'][k]} and p_bhb {p[k]}; "
            "expected 0 to 1, or null without a modality; delete the file and run again"
        )
    return table.set_column(table.column_names.index("p_bhb"), "p_bhb", pa.array(p))


def _check_unique(names: pa.ChunkedArray, where: str) -> None:
    counts = pc.value_counts(names)
    again = counts.filter(pc.greater(counts.field("counts"), 1)).field("values")
    if len(again):
        raise ResultsError(
            f"{where} {len(again)} spectra are listed more than once, the first is {again[0]}; give each "
            "survey different spectra, and run again"
        )


def read_manifests(
    manifests: Sequence[PathLike], candidates: pa.Table, dataset: pa.Table, *, magnitude: str, extinction: str
) -> pa.Table:
    """Rows of the candidates and of the labelled spectra in the manifests.

    Parameters
    ----------
    manifests : `.../{survey}.parquet`
    candidates : of `gather_candidates`; dataset : of labelled spectra; both with spectrum_id
    magnitude, extinction : names of columns, with {band}

    Returns a Table with `survey`, identity, ra, dec, and the other columns of the catalogue that the
    manifests have.
    """
    photometry = [t.replace("{band}", band) for t in (magnitude, extinction) for band in BANDS]
    names = [*dict.fromkeys((*IDENTITY_NAMES, *_PLACES, "mjd", *_SURVEY_COLUMNS, *photometry))]
    wanted = pc.unique(pa.concat_arrays([t["spectrum_id"].combine_chunks() for t in (candidates, dataset)]))
    parts = []
    for path in map(Path, manifests):
        file = pq.ParquetFile(path)
        present = [name for name in names if name in file.schema_arrow.names]
        for batch in file.iter_batches(131_072, columns=present):
            part = pa.Table.from_batches([batch]).select(present)
            part = part.filter(pc.is_in(part["spectrum_id"], value_set=wanted))
            survey = pa.array([path.stem] * part.num_rows, pa.string())
            parts.append(part.append_column("survey", survey))
    if not parts:
        raise ResultsError("manifests: none was given; is the survey empty?")
    return pa.concat_tables(parts, promote_options="permissive")


def build_catalog(
    candidates: pa.Table,
    manifest: pa.Table,
    labels: pa.Table,
    dataset: pa.Table,
    *,
    match_radius: float,
    link: str | None,
    magnitude: str,
    extinction: str,
) -> tuple[pa.Table, pa.Table, dict[str, int]]:
    """The catalogue, and the candidates that people rejected.

    Parameters
    ----------
    candidates : of `gather_candidates`; manifest : of `read_manifests`
    labels : of `starsift.learning.labels.read_labels`
    dataset : labelled spectra of training and test: spectrum_id, survey, class, split
    match_radius : arcsec, within which spectra belong to one star
    link : address of the page of a spectrum, with columns, such as
        "https://archive.org/?plate={planid}&mjd={mjd}"
    magnitude, extinction : names of the manifest's columns, with {band}

    Returns
    -------
    catalogue, rejected : columns of `BHB`
    funnel : number of spectra after each step, and of stars

    Raises
    ------
    ResultsError : the tables are not of one run, or the link names an unknown column.
    InputError : magnitudes cannot be read.
    """
    listed = manifest.take(_find(candidates, manifest, "candidate"))
    columns: dict[str, Any] = {name: listed[name].combine_chunks() for name in (*IDENTITY_NAMES, *_PLACES)}
    columns |= {name: candidates[name] for name in ("survey", "modality", "image_status", "p_bhb", "origin")}
    ra, dec = _coordinates(listed)
    columns |= {
        "designation": designation(ra, dec),
        **dates(listed),
        **listed_columns(listed, _SURVEY_COLUMNS, BHB),
        **_photometry(listed, magnitude, extinction),
    }
    known = _coordinates(manifest.take(_find(dataset, manifest, "labelled spectrum")))
    group = group_exposures(np.concatenate([ra, known[0]]), np.concatenate([dec, known[1]]), match_radius)
    columns |= _training_columns(candidates, dataset, group)
    vetted = with_labels(candidates.select(["spectrum_id"]), labels)
    columns |= {name: vetted[name] for name in ("label", "vetted_by")}
    columns["vetted"] = pc.is_valid(vetted["label"])
    at = pc.index_in(candidates["spectrum_id"], value_set=labels["spectrum_id"].combine_chunks())
    kept = pc.fill_null(pc.equal(labels["class"].take(at), "BHB"), True)
    columns |= star_columns(listed, columns["designation"], group[: candidates.num_rows], np.asarray(kept))
    table = pa.table(columns)
    table = table.append_column("link", fill_links(table, link, "bhb.catalog.link")).select(BHB.names)
    catalogue, rejected = table.filter(kept), table.filter(pc.invert(kept))
    added = pc.sum(pc.equal(catalogue["origin"], PEOPLE)).as_py() or 0
    funnel = {
        "looked at by people": pc.sum(table["vetted"]).as_py() or 0,
        "rejected by people": rejected.num_rows,
        "added by people": added,
        "catalogue": catalogue.num_rows,
        "stars": pc.count_distinct(catalogue["group_id"]).as_py(),
    }
    return catalogue, rejected, funnel


def _find(rows: pa.Table, manifest: pa.Table, what: str) -> pa.Array:
    """Place of each row in the manifest, by survey and name."""
    here, there = (
        pc.binary_join_element_wise(table["survey"], table["spectrum_id"], "/") for table in (rows, manifest)
    )
    at = pc.index_in(here, value_set=there.combine_chunks()).combine_chunks()
    if at.null_count:
        first = here.filter(pc.is_null(at))[0]
        raise ResultsError(f"manifests: {what} {first} is missing; delete results/bhb and run again")
    return at


def _coordinates(table: pa.Table) -> list[np.ndarray]:
    """ra and dec (n,) in degrees, NaN where there are none."""
    return [floats(table, name) for name in _PLACES]


def _photometry(listed: pa.Table, magnitude: str, extinction: str) -> dict[str, pa.Array]:
    observed, intrinsic = magnitudes(listed, magnitude), dereddened(listed, magnitude, extinction)
    kpc, error = distance(intrinsic["g"], intrinsic["g_r"])
    columns = {f"psfmag_{band}": values for band, values in observed.items()} | {
        "g_0": intrinsic["g"],
        "u_g_0": intrinsic["u_g"],
        "g_r_0": intrinsic["g_r"],
        "absmag_g": absolute_magnitude(intrinsic["g_r"]),
        "distance": kpc,
        "distance_err": error,
    }
    return {name: pa.array(values.astype(np.float32), from_pandas=True) for name, values in columns.items()}


def _training_columns(rows: pa.Table, dataset: pa.Table, group: np.ndarray) -> dict[str, pa.Array]:
    """Class of each spectrum in the labelled catalogue, and the split of its star.

    group : number of the star of each row, then of each labelled spectrum. A star in several splits counts as
        one of the first of `SPLITS`.
    """
    names = pa.array(SPLITS)
    number = pc.index_in(dataset["split"], value_set=names).to_numpy()
    of_star = np.full(int(group.max(initial=-1)) + 1, len(SPLITS))
    np.minimum.at(of_star, group[rows.num_rows :], number)
    # Also where there are no coordinates.
    at = pc.index_in(rows["spectrum_id"], value_set=dataset["spectrum_id"].combine_chunks())
    own = dataset["split"].take(at)
    star = of_star[group[: rows.num_rows]]
    split = names.take(pa.array(star, mask=star == len(SPLITS)))
    return {"split": pc.coalesce(split, own), "known_class": dataset["class"].take(at)}
