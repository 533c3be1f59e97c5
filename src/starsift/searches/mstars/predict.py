"""Codes of packed spectra, and the M-star candidates of a pool of codes.

Tables of a bundle have one row a spectrum, in the order of the packed bundle.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from scipy.special import expit

from starsift.errors import TrainingError
from starsift.io.parquet import write_parquet
from starsift.searches.mstars.calibration import Calibration, pool_prior
from starsift.searches.mstars.hamming import (
    Cuts,
    Marks,
    count_distances,
    cut_distances,
    mark_union,
    rank_codes,
)
from starsift.searches.mstars.hashing import code_column, codes_of
from starsift.searches.mstars.model import Model
from starsift.searches.mstars.preprocess import median_snr, prepare
from starsift.spectra.batches import ROW_SCHEMA, SpectrumBatch, read_bundle
from starsift.spectra.resample import LAMOST_LRS

PathLike = str | os.PathLike[str]

CODES = pa.schema(
    [
        *ROW_SCHEMA,
        pa.field("defective", pa.bool_()),
        pa.field("n_bad", pa.int32()),
        pa.field("measured_snr", pa.float32()),  # median a pixel in r, null where status is not ok
        pa.field("code", pa.binary()),  # null where status is not ok
    ]
)
POOL = pa.schema(
    [
        *ROW_SCHEMA,
        pa.field("defective", pa.bool_()),
        pa.field("n_bad", pa.int32()),
        pa.field("measured_snr", pa.float32()),
        pa.field("bundle", pa.string()),
        pa.field("row", pa.int64()),  # in the bundle
        # Null where the spectrum cannot be used; of the first three also where no query chose it.
        pa.field("best_rank", pa.int64()),
        pa.field("nearest_query", pa.string()),
        pa.field("hamming_distance", pa.int16()),
        pa.field("n_queries", pa.int32()),
        pa.field("score", pa.float32()),
        pa.field("p_m", pa.float32()),
    ]
)


def encode_batch(batch: SpectrumBatch, model: Model) -> pa.Table:
    """Codes of a batch of spectra as observed, schema `CODES`; null where a spectrum cannot be used."""
    ready = prepare(batch)
    codes = model.encode(ready.flux, ready.ivar, ready.zero)
    status = batch.identity.schema.get_field_index("status")
    rows = batch.identity.set_column(status, ROW_SCHEMA.field("status"), pa.array(ready.status, pa.string()))
    ratio = median_snr(LAMOST_LRS.wavelength, ready.flux - ready.zero[:, None], ready.ivar)
    columns = [
        *rows.columns,
        pa.array(ready.defective),
        pa.array(ready.n_bad),
        pa.array(ratio.astype(np.float32), mask=~(ready.ok & np.isfinite(ratio))),
        code_column(codes, ~ready.ok),
    ]
    return pa.table(columns, schema=CODES)


def encode_bundle(bundle: PathLike, model: Model, path: PathLike) -> None:
    """Write the codes of a packed bundle, batch by batch."""
    tables = [CODES.empty_table(), *(encode_batch(batch, model) for batch in read_bundle(bundle))]
    write_parquet(pa.concat_tables(tables), path)


def rank_pool(
    files: Sequence[PathLike],
    reference: pa.Table,
    calibration: Calibration,
    *,
    fraction: float,
    probability: float,
    ranking: str,
    xp: ModuleType = np,
) -> tuple[pa.Table, pa.Table, dict[str, int]]:
    """Rank a pool against all queries: the union of their lists, with scores and probabilities.

    Parameters
    ----------
    files : tables of schema `CODES`, a bundle each, named after it; read twice, one at a time
    reference : of `starsift.searches.mstars.training`; its dwarfs and giants are the queries. Copies count in
        scores only
    fraction : of the pool that each query keeps
    probability : candidates are those of the union that are M stars with at least this probability

    Returns
    -------
    pool : Table of schema `POOL`, every spectrum in order
    candidates : of the same schema, by decreasing probability, then score
    funnel : how many spectra are left after each step

    Raises TrainingError: no spectrum of the pool can be used, or codes differ in length.
    """
    positive = pc.not_equal(reference["role"], "negative")
    positives = codes_of(reference["code"].filter(positive))
    negatives = codes_of(reference["code"].filter(pc.invert(positive)))
    query = pc.and_(positive, pc.invert(reference["is_copy"]))
    queries, names = codes_of(reference["code"].filter(query)), reference["spectrum_id"].filter(query)
    scores: list[np.ndarray] = []
    ratios: list[np.ndarray] = []
    counts = np.zeros((len(queries), 8 * queries.shape[1] + 1), np.int64)
    for codes, snr in _usable_codes(files, queries.shape[1]):
        counts += count_distances(codes, queries, xp=xp)
        scores.append(rank_codes(codes, positives, negatives, ranking, xp=xp))
        ratios.append(snr)
    usable = sum(map(len, scores))
    if not usable:
        raise TrainingError(
            "none of the pool's spectra can be used; the reasons are in results/manifest/*-status.csv and in "
            "the column status of results/mstars/codes/"
        )
    odds = calibration.log_odds(np.concatenate(scores), snr=np.concatenate(ratios))
    prior = pool_prior(odds, calibration.prior)
    cuts = cut_distances(counts, fraction)
    tables = [
        _rank_bundle(file, queries, names, cuts, part, expit(calibration.log_odds(part, prior, snr)), xp)
        for file, part, snr in zip(files, scores, ratios, strict=True)
    ]
    pool = pa.concat_tables(tables)
    union = pc.is_valid(pool["n_queries"])
    likely = pc.fill_null(pc.greater_equal(pool["p_m"], probability), False)
    candidates = pool.filter(pc.and_(union, likely))
    order = [("p_m", "descending"), ("score", "descending"), ("spectrum_id", "ascending")]
    funnel = {
        "spectra": pool.num_rows,
        "usable": usable,
        "in the union": int(pc.sum(union).as_py()),
        "candidates": candidates.num_rows,
    }
    return pool, candidates.sort_by(order), funnel


def _usable_codes(files: Sequence[PathLike], size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Of each bundle the codes, of `size` bytes, and S/N (NaN where null) of the spectra that have a code."""
    for path in files:
        table = pq.read_table(path, columns=["measured_snr", "code"])
        table = table.filter(pc.is_valid(table["code"]))
        yield codes_of(table["code"], size), table["measured_snr"].to_numpy()


def _rank_bundle(
    path: PathLike,
    queries: np.ndarray,
    names: pa.ChunkedArray,
    cuts: Cuts,
    score: np.ndarray,
    p_m: np.ndarray,
    xp: ModuleType,
) -> pa.Table:
    """One bundle with its marks and scores (those of its usable spectra), schema `POOL`."""
    table = pq.read_table(path, schema=CODES)
    codes = codes_of(table["code"].drop_null(), queries.shape[1])
    marks: Marks = mark_union(codes, queries, cuts, xp=xp)
    usable = pc.is_valid(table["code"]).to_numpy()
    place = np.cumsum(usable) - 1  # of each spectrum among the usable ones
    chosen = usable.copy()
    chosen[usable] = marks.n_queries > 0

    def spread(values: np.ndarray, where: np.ndarray) -> pa.Array:
        found = np.append(values, values[:1] if len(values) else [0])[np.where(where, place, -1)]
        return pa.array(found, mask=~where)

    nearest = spread(marks.nearest, chosen)
    columns = [
        *table.drop_columns(["code"]).columns,
        pa.array([Path(path).stem] * table.num_rows, pa.string()),
        pa.array(np.arange(table.num_rows)),
        spread(marks.best_rank, chosen),
        names.take(nearest),
        spread(marks.distance, chosen),
        spread(marks.n_queries, chosen),
        spread(score.astype(np.float32), usable),
        spread(p_m.astype(np.float32), usable),
    ]
    return pa.table(columns, schema=POOL)
