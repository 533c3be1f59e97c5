"""The catalogue of blue horizontal branch stars: how sure is sure enough, what people say, distances.

Published is what the network calls BHB with a calibrated probability above the threshold of its modality, and
what people call so; what people call otherwise leaves the catalogue and is kept apart.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from starsift.catalog.crossmatch import group_exposures
from starsift.catalog.listing import fill_links, listed_columns, star_columns
from starsift.catalog.naming import dates, designation
from starsift.errors import ResultsError
from starsift.learning.calibration import fit_temperature, wilson
from starsift.learning.labels import with_labels
from starsift.searches.bhb.columns import BHB
from starsift.searches.bhb.dataset import BANDS, CLASSES, FUSED, SPLITS
from starsift.searches.bhb.evaluation import calibrate, one_a_star, select
from starsift.searches.bhb.photometry import (
    EXTINCTION,
    MAGNITUDE,
    absolute_magnitude,
    dereddened,
    distance,
    magnitudes,
)
from starsift.spectra.batches import IDENTITY_NAMES

PathLike = str | os.PathLike[str]


PREDICTED, PEOPLE = "predicted", "people"  # where a row of the catalogue comes from
RADIUS = 3.0  # arcsec, the diameter of a fibre of SDSS

_KNOWN = ("snr", "class", "subclass", "gaia_source_id", "gaia_g_mean_mag", "file")
_PLACES = ("ra", "dec")

log = logging.getLogger(__name__)


def choose_run(trainings: Sequence[Mapping[str, Any]]) -> int:
    """The run of a model with the lowest validation loss of any epoch, of equals the first.

    Parameters
    ----------
    trainings : `training.json` of each run

    Raises
    ------
    ResultsError : no run has a validation loss.
    """
    best: list[tuple[float, int]] = []
    for told in trainings:
        losses = [
            loss for loss in told.get("validation_loss") or [] if loss is not None and np.isfinite(loss)
        ]
        if losses:
            best.append((min(losses), int(told["run"])))
    if not best:
        raise ResultsError(
            f"training: none of {len(trainings)} runs has a validation loss; choose a model that is trained "
            "by epochs, and train it again"
        )
    return min(best)[1]


def purity_threshold(p: npt.ArrayLike, is_bhb: npt.ArrayLike, purity: float) -> float | None:
    """The lowest p at or above which (1 + false) / (1 + all) is at most 1 - purity; None: there is none.

    Parameters
    ----------
    p : (n,) of stars that nothing was fitted to, one spectrum each
    is_bhb : (n,) bool
    purity : above 0 and below 1

    Notes
    -----
    The two ones stand for a star to come, taken to be false: conformal selection (Jin & Candes 2023, J. Mach.
    Learn. Res. 24, 244) with the stars themselves in the place of a test set. For a new star that is
    exchangeable with these (drawn in the same way, with the same share of BHB stars among them),

        P(published, and no BHB star) <= (1 - purity) P(at or above the threshold that all n + 1 stars set),

    where that threshold is the lowest with false / all <= 1 - purity. Proof: for a false star that is
    published, both thresholds are the same number; the latter one depends on all n + 1 stars alike, so that
    the new star is any of them with equal probability.

    So purity holds on average over samples, one without a threshold counting as pure. It is no promise for
    one sample, and where a purity is hardly within reach, the samples that reach it are the lucky ones: see
    how many stars a threshold rests on, and what an independent test finds.

    Raises
    ------
    ResultsError : the purity is not between 0 and 1.
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
    """Temperature and threshold of each modality, and what they reach on the test part.

    Stars count, not spectra: of several spectra of one star the first by name. Both numbers are of the
    validation part. That it also told when to stop training makes its stars look a little better than new
    ones; the test part does not.

    Parameters
    ----------
    predictions : `predictions.parquet` of one run, by modality
    purity : asked, above 0 and below 1; see `purity_threshold` for what is promised
    run : number of the run

    Returns
    -------
    dict for JSON: `run`, `purity`, `modalities`: of each `temperature`, `threshold` on the calibrated
    probability (null where no threshold reaches the purity), `n` validation stars, `n_above` of them at or
    above it; `n_test` stars, and `completeness` and `purity` reached on them, null
    where none is at or above it

    Raises
    ------
    ResultsError : the purity is not between 0 and 1.
    TrainingError : predictions cannot be used, or a part lacks a class.
    """
    told = {}
    for modality, table in predictions.items():
        known, test = (one_a_star(select(table, split)) for split in ("validation", "test"))
        true, sure = (part.truth == CLASSES.index("BHB") for part in (known, test))
        temperature = fit_temperature(np.stack([1.0 - known.p_bhb, known.p_bhb], axis=1), known.truth)
        p = calibrate(known.p_bhb, temperature)
        threshold = purity_threshold(p, true, purity)
        if threshold is None:
            log.warning(
                "%s: no threshold reaches a purity of %g on %d validation stars; only what people call BHB "
                "is published: ask for less, or label more stars",
                *(modality, purity, len(p)),
            )
            above, kept = 0, np.zeros(len(sure), dtype=bool)
        else:
            above, kept = int((p >= threshold).sum()), calibrate(test.p_bhb, temperature) >= threshold
        found, number = int((kept & sure).sum()), int(kept.sum())
        if number and wilson(found, number)[1] < purity:
            log.warning(
                "%s: %d of %d test stars above the threshold are BHB, fewer than a purity of %g lets expect; "
                "the validation part flatters this network",
                *(modality, found, number, purity),
            )
        told[modality] = {
            "temperature": temperature,
            "threshold": threshold,
            "purity": found / number if number else None,
            "completeness": found / int(sure.sum()),
            "n": len(p),
            "n_above": above,
            "n_test": len(sure),
        }
    return {"run": run, "purity": purity, "modalities": told}


def gather(
    predictions: Sequence[PathLike], labels: pa.Table, calibration: Mapping[str, Any]
) -> tuple[pa.Table, dict[str, int]]:
    """Candidates: predicted to be BHB, or called so by people. One bundle is in memory at a time.

    Parameters
    ----------
    predictions : files of the bundles, `.../{survey}/{bundle}.parquet`
    labels : of `starsift.learning.labels.read_labels`
    calibration : of `fit_calibration`

    Returns
    -------
    rows : `spectrum_id`, `survey`, `bundle`, `row`, `modality`, `image_status`, `p_bhb` calibrated, `origin`;
        sorted by spectrum_id
    funnel : how many spectra there are after each step

    Raises
    ------
    ResultsError : a file is not what it should be, or a spectrum is in it twice.
    """
    called = labels["spectrum_id"].filter(pc.equal(labels["class"], "BHB")).combine_chunks()
    parts = [_ROWS.empty_table()]
    counts = np.zeros(4, np.int64)
    for path in map(Path, predictions):
        table = _read_predictions(path, calibration["modalities"])
        p = np.full(table.num_rows, np.nan, np.float32)
        predicted = np.zeros(table.num_rows, dtype=bool)
        score = table["p_bhb"].to_numpy()
        for modality, told in calibration["modalities"].items():
            mine = pc.fill_null(pc.equal(table["modality"], modality), False).to_numpy()
            p[mine] = calibrate(score[mine], told["temperature"])
            if told["threshold"] is not None:
                predicted[mine] = p[mine] >= told["threshold"]
        chosen = predicted | pc.is_in(table["spectrum_id"], value_set=called).to_numpy()
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
    _once(rows["spectrum_id"], "predictions: of all bundles")
    lost = called.filter(pc.invert(pc.is_in(called, value_set=rows["spectrum_id"].combine_chunks())))
    if len(lost):
        log.warning(
            "%d spectra that people call BHB are in no bundle, and so in no catalogue; the first is %s",
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
    """One bundle, checked; p_bhb NaN exactly where modality is null."""
    wanted = ("spectrum_id", "row", "modality", "image_status", "p_bhb")
    names = pq.read_schema(path).names
    missing = [name for name in wanted if name not in names]
    if missing:
        raise ResultsError(f"{path}: predictions lack {', '.join(missing)}; delete the file and run again")
    # Not read_table, to which folders named key=value would be columns.
    table = pq.ParquetFile(path).read(columns=list(wanted)).select(wanted).combine_chunks()
    _once(table["spectrum_id"], f"{path}:")
    used = table["modality"].drop_null().unique().to_pylist()
    unknown = sorted(set(used) - set(modalities))
    if unknown:
        raise ResultsError(
            f"{path}: modality {unknown[0]!r} is not calibrated, {', '.join(modalities)} are; "
            "delete results/bhb/calibration.json and the predictions and run again"
        )
    p = table["p_bhb"].cast(pa.float32()).fill_null(np.nan).to_numpy()
    none = pc.is_null(table["modality"]).to_numpy()
    wrong = np.where(none, ~np.isnan(p), ~((p >= 0) & (p <= 1)))
    if wrong.any():
        k = int(np.argmax(wrong))
        raise ResultsError(
            f"{path}: {table['spectrum_id'][k]} has modality {table['modality'][k]} and p_bhb {p[k]}; "
            "expected 0 to 1, and null where there is no modality; delete the file and run again"
        )
    return table.set_column(table.column_names.index("p_bhb"), "p_bhb", pa.array(p))


def _once(names: pa.ChunkedArray, where: str) -> None:
    counts = pc.value_counts(names)
    again = counts.filter(pc.greater(counts.field("counts"), 1)).field("values")
    if len(again):
        raise ResultsError(
            f"{where} {len(again)} spectra are there more than once, the first is {again[0]}; each spectrum "
            "has one prediction: give each survey spectra of its own, and run again"
        )


def read_manifests(
    manifests: Sequence[PathLike],
    rows: pa.Table,
    dataset: pa.Table,
    *,
    magnitude: str = MAGNITUDE,
    extinction: str = EXTINCTION,
) -> pa.Table:
    """What surveys know of the candidates and of the labelled spectra.

    Parameters
    ----------
    manifests : `.../{survey}.parquet`
    rows : of `gather`; dataset : of labelled spectra; both with spectrum_id
    magnitude, extinction : names of columns, with {band}

    Returns
    -------
    Table with `survey`, identity, ra, dec, and of the columns that the catalogue needs those that there are
    """
    photometry = [t.replace("{band}", band) for t in (magnitude, extinction) for band in BANDS]
    names = [*dict.fromkeys((*IDENTITY_NAMES, *_PLACES, "mjd", *_KNOWN, *photometry))]
    wanted = pc.unique(pa.concat_arrays([t["spectrum_id"].combine_chunks() for t in (rows, dataset)]))
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
        raise ResultsError("manifests: there are none; is the survey empty?")
    return pa.concat_tables(parts, promote_options="permissive")


def assemble(
    rows: pa.Table,
    manifest: pa.Table,
    labels: pa.Table,
    dataset: pa.Table,
    *,
    match_radius: float = RADIUS,
    link: str | None = None,
    magnitude: str = MAGNITUDE,
    extinction: str = EXTINCTION,
) -> tuple[pa.Table, pa.Table, dict[str, int]]:
    """All that is known of the candidates, and which of them are published.

    Parameters
    ----------
    rows : of `gather`; manifest : of `read_manifests`
    labels : of `starsift.learning.labels.read_labels`
    dataset : labelled spectra that the networks were trained and judged on: spectrum_id, survey, class, split
    match_radius : arcsec, within which spectra show the same star
    link : address of a spectrum's page over columns, such as "https://archive.org/?plate={planid}&mjd={mjd}"
    magnitude, extinction : names of the manifest's columns, with {band}

    Returns
    -------
    catalogue, rejected : columns of `BHB`: what is published, and what the network calls BHB but people do
        not
    funnel : how many spectra there are after each step, and how many stars

    Raises
    ------
    ResultsError : the tables are not of one run, or the link names a column that there is not.
    InputError : magnitudes cannot be read.
    """
    listed = manifest.take(_find(rows, manifest, "candidate"))
    columns: dict[str, Any] = {name: listed[name].combine_chunks() for name in (*IDENTITY_NAMES, *_PLACES)}
    columns |= {name: rows[name] for name in ("survey", "modality", "image_status", "p_bhb", "origin")}
    ra, dec = _coordinates(listed)
    columns |= {
        "designation": designation(ra, dec),
        **dates(listed),
        **listed_columns(listed, _KNOWN, BHB),
        **_photometry(listed, magnitude, extinction),
    }
    more = _coordinates(manifest.take(_find(dataset, manifest, "labelled spectrum")))
    group = group_exposures(np.concatenate([ra, more[0]]), np.concatenate([dec, more[1]]), match_radius)
    columns |= _taught(rows, dataset, group)
    said = with_labels(rows.select(["spectrum_id"]), labels)
    columns |= {name: said[name] for name in ("label", "vetted_by")}
    columns["vetted"] = pc.is_valid(said["label"])
    at = pc.index_in(rows["spectrum_id"], value_set=labels["spectrum_id"].combine_chunks())
    kept = pc.fill_null(pc.equal(labels["class"].take(at), "BHB"), True)
    columns |= star_columns(listed, columns["designation"], group[: rows.num_rows], np.asarray(kept))
    table = pa.table(columns)
    table = table.append_column("link", fill_links(table, link, "bhb.catalog.link")).select(BHB.names)
    catalogue, rejected = table.filter(kept), table.filter(pc.invert(kept))
    added = pc.sum(pc.equal(catalogue["origin"], PEOPLE)).as_py() or 0
    return (
        catalogue,
        rejected,
        {"looked at by people": pc.sum(table["vetted"]).as_py() or 0, "rejected by people": rejected.num_rows}
        | {"added by people": added, "catalogue": catalogue.num_rows}
        | {"stars": pc.count_distinct(catalogue["group_id"]).as_py()},
    )


def _find(rows: pa.Table, manifest: pa.Table, what: str) -> pa.Array:
    """Where the manifest has each row, by survey and name."""
    here, there = (
        pc.binary_join_element_wise(table["survey"], table["spectrum_id"], "/") for table in (rows, manifest)
    )
    at = pc.index_in(here, value_set=there.combine_chunks()).combine_chunks()
    if at.null_count:
        first = here.filter(pc.is_null(at))[0]
        raise ResultsError(f"manifests: {what} {first} is not in them; delete results/bhb and run again")
    return at


def _coordinates(table: pa.Table) -> list[np.ndarray]:
    """ra and dec (n,) in degrees, NaN where there are none."""
    return [table[name].cast(pa.float64()).fill_null(np.nan).to_numpy() for name in _PLACES]


def _photometry(listed: pa.Table, magnitude: str, extinction: str) -> dict[str, pa.Array]:
    observed, intrinsic = magnitudes(listed, magnitude), dereddened(listed, magnitude, extinction)
    kpc, error = distance(intrinsic["g"], intrinsic["g_r"])
    found = {f"psfmag_{band}": values for band, values in observed.items()} | {
        "g_0": intrinsic["g"],
        "u_g_0": intrinsic["u_g"],
        "g_r_0": intrinsic["g_r"],
        "absmag_g": absolute_magnitude(intrinsic["g_r"]),
        "distance": kpc,
        "distance_err": error,
    }
    return {name: pa.array(values.astype(np.float32), from_pandas=True) for name, values in found.items()}


def _taught(rows: pa.Table, dataset: pa.Table, group: np.ndarray) -> dict[str, pa.Array]:
    """Class of each spectrum in the labelled catalogue, and the part its star is in.

    group : number of the star of each row, then of each labelled spectrum. Where a star is in several parts,
        the one that taught most.
    """
    part = pa.array(SPLITS)
    given = pc.index_in(dataset["split"], value_set=part).to_numpy()
    of_star = np.full(int(group.max(initial=-1)) + 1, len(SPLITS))
    np.minimum.at(of_star, group[rows.num_rows :], given)
    # Also where there are no coordinates.
    at = pc.index_in(rows["spectrum_id"], value_set=dataset["spectrum_id"].combine_chunks())
    own = dataset["split"].take(at)
    star = of_star[group[: rows.num_rows]]
    split = part.take(pa.array(star, mask=star == len(SPLITS)))
    return {"split": pc.coalesce(split, own), "known_class": dataset["class"].take(at)}
