"""From packed spectra to candidates: codes of every spectrum, then the search of the whole pool.

Tables of a bundle have one row a spectrum, in the order of the packed bundle.
"""

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from types import ModuleType

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from scipy.special import expit

from starsift.errors import TrainingError
from starsift.io.files import atomic_path
from starsift.io.parquet import write_parquet
from starsift.searches.mstars.copies import noisy_copies
from starsift.searches.mstars.dataset import Sample
from starsift.searches.mstars.evaluation import Calibration, calibrate, pool_prior
from starsift.searches.mstars.hamming import Cuts, Marks, count_distances, cut_distances, mark_union
from starsift.searches.mstars.model import METHODS, Model, class_labels, rank_codes, represent, train
from starsift.searches.mstars.preprocess import prepare
from starsift.spectra.batches import ROW_SCHEMA, SpectrumBatch, read_bundle

# Spectra of class UNKNOWN, seen not to be M stars, that tell alone how the others of the pool score: they are
# of its kind, junk and galaxies among them, which copies of classified spectra are not.
ENOUGH_UNKNOWN = 100

PathLike = str | os.PathLike[str]

REFERENCE = pa.schema(
    [
        pa.field("spectrum_id", pa.string()),
        pa.field("role", pa.string()),  # dwarf, giant or negative
        pa.field("subclass", pa.string()),
        pa.field("is_copy", pa.bool_()),  # with noise added
        pa.field("code", pa.binary()),
    ]
)
CODES = pa.schema(
    [
        *ROW_SCHEMA,
        pa.field("defective", pa.bool_()),
        pa.field("n_bad", pa.int32()),
        pa.field("code", pa.binary()),  # null where status is not ok
    ]
)
POOL = pa.schema(
    [
        *ROW_SCHEMA,
        pa.field("defective", pa.bool_()),
        pa.field("n_bad", pa.int32()),
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


def train_reference(
    sample: Sample, *, method: str, bits: int, copies: int, copy_snr: Sequence[float], seed: int
) -> tuple[Model, pa.Table, Calibration]:
    """Train the hasher on a sample and noisy copies of it, encode these, and learn what scores mean.

    Parameters
    ----------
    sample : of `starsift.searches.mstars.dataset`
    method : a name in `METHODS` that has a code and ranks a pool
    bits : length of the code
    copies, copy_snr : as `copies` and `snr` of `noisy_copies`; spectra of class UNKNOWN are noisy already

    Returns
    -------
    Model; Table of schema `REFERENCE`, a row a spectrum of the sample in order, then the copies; Calibration,
    of copies of M stars and of spectra of class UNKNOWN that are none, and where these are few of copies of
    other classes too.
    """
    chosen = METHODS[method]
    labels = class_labels(sample.role, sample.class_, sample.subclass)
    parts = [(np.arange(len(labels)), sample.flux, sample.ivar)]
    known = np.flatnonzero(labels != "UNKNOWN")
    spectra = sample.flux[known], sample.ivar[known], sample.zero[known]
    noise = noisy_copies(*spectra, copies=copies, snr=copy_snr, rng=np.random.default_rng([seed, bits]))
    parts_of_copies = ((known[rows], flux, ivar) for rows, flux, ivar in noise)
    rows, features = zip(
        *(
            (at, represent(flux, ivar, sample.zero[at], chosen.representation))
            for at, flux, ivar in chain(parts, parts_of_copies)
        ),
        strict=True,
    )
    origin, data = np.concatenate(rows), np.concatenate(features)
    is_copy = np.arange(origin.size) >= len(labels)
    model = train(data, labels[origin], chosen, bits=bits, seed=seed)
    codes = _binary(np.asarray(model.hasher.transform(data)))
    table = sample.table.select(["spectrum_id", "role", "subclass"]).take(pa.array(origin))
    table = pa.table([*table.columns, pa.array(is_copy), codes], schema=REFERENCE)
    is_m, unknown = sample.is_m[origin], labels[origin] == "UNKNOWN"
    used = unknown | is_copy & (is_m | (unknown.sum() < ENOUGH_UNKNOWN))
    calibration = calibrate(data, labels[origin], is_m, chosen, bits, seed, groups=origin, used=used)
    return model, table, calibration


def write_calibration(calibration: Calibration, path: PathLike) -> None:
    """Write a calibration as JSON."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(asdict(calibration), sort_keys=True) + "\n")


def read_calibration(path: PathLike) -> Calibration:
    """Read what `write_calibration` wrote."""
    return Calibration(**json.loads(Path(path).read_text()))


def encode_batch(batch: SpectrumBatch, model: Model) -> pa.Table:
    """Codes of a batch of spectra as observed, schema `CODES`: a row each; those of no use have none."""
    ready = prepare(batch)
    codes = model.encode(ready.flux, ready.ivar, ready.zero)
    status = batch.identity.schema.get_field_index("status")
    rows = batch.identity.set_column(status, ROW_SCHEMA.field("status"), pa.array(ready.status, pa.string()))
    columns = [*rows.columns, pa.array(ready.defective), pa.array(ready.n_bad), _binary(codes, ~ready.ok)]
    return pa.table(columns, schema=CODES)


def encode_bundle(bundle: PathLike, model: Model, path: PathLike) -> None:
    """Write the codes of a packed bundle, batch by batch."""
    tables = [CODES.empty_table(), *(encode_batch(batch, model) for batch in read_bundle(bundle))]
    write_parquet(pa.concat_tables(tables), path)


def _binary(codes: np.ndarray, missing: np.ndarray | None = None) -> pa.Array:
    """Codes (n, bytes) uint8 as binary values."""
    data = [row.tobytes() for row in codes]
    return pa.array(data, pa.binary(), mask=missing)


def codes_of(column: pa.ChunkedArray, size: int = 1) -> np.ndarray:
    """Codes (n, bytes) uint8 of a column without nulls.

    Parameters
    ----------
    column : of binary values
    size : bytes of a code, for a column that has none

    Raises
    ------
    TrainingError : the codes differ in length.
    """
    lengths = pc.unique(pc.binary_length(column)).to_pylist()
    if len(lengths) > 1:
        bits = ", ".join(str(8 * length) for length in sorted(lengths))
        raise TrainingError(f"codes of {bits} bits are mixed; encode all spectra with one hasher")
    if not lengths:
        return np.zeros((0, size), np.uint8)
    return np.frombuffer(b"".join(column.to_pylist()), np.uint8).reshape(-1, lengths[0])


def search_pool(
    files: Sequence[PathLike],
    reference: pa.Table,
    calibration: Calibration,
    *,
    fraction: float,
    probability: float,
    ranking: str,
    xp: ModuleType = np,
) -> tuple[pa.Table, pa.Table, dict[str, int]]:
    """Search a pool for M stars: the union of all queries' lists, scored.

    Parameters
    ----------
    files : tables of schema `CODES`, a bundle each, named after it; read twice, one at a time
    reference : schema `REFERENCE`; its dwarfs and giants are the queries. Copies count in scores only
    fraction : of the pool that each query keeps
    probability : candidates are those of the union that are M stars with at least this probability

    Returns
    -------
    pool : Table of schema `POOL`, every spectrum in order
    candidates : of the same schema, by falling score
    funnel : how many spectra are left after each step

    Raises
    ------
    TrainingError : no spectrum of the pool can be used, or codes differ in length.
    """
    positive = pc.not_equal(reference["role"], "negative")
    alike = codes_of(reference["code"].filter(positive))
    others = codes_of(reference["code"].filter(pc.invert(positive)))
    query = pc.and_(positive, pc.invert(reference["is_copy"]))
    queries, names = codes_of(reference["code"].filter(query)), reference["spectrum_id"].filter(query)
    scores: list[np.ndarray] = []
    counts = np.zeros((len(queries), 8 * queries.shape[1] + 1), np.int64)
    for codes in _usable_codes(files, queries.shape[1]):
        counts += count_distances(codes, queries, xp=xp)
        scores.append(rank_codes(codes, alike, others, ranking, xp=xp))
    score = np.concatenate(scores) if scores else np.zeros(0, np.float32)
    if not len(score):
        raise TrainingError(
            "none of the pool's spectra can be used: results/manifest/*-status.csv and the column status of "
            "results/mstars/codes/ say why"
        )
    prior = pool_prior(calibration.log_odds(score), calibration.prior)
    cuts = cut_distances(counts, fraction)
    tables = [
        _searched(file, queries, names, cuts, part, expit(calibration.log_odds(part, prior)), xp)
        for file, part in zip(files, scores, strict=True)
    ]
    pool = pa.concat_tables(tables)
    union = pc.is_valid(pool["n_queries"])
    likely = pc.fill_null(pc.greater_equal(pool["p_m"], probability), False)
    candidates = pool.filter(pc.and_(union, likely))
    order = [("score", "descending"), ("spectrum_id", "ascending")]
    funnel = {
        "spectra": pool.num_rows,
        "usable": len(score),
        "in the union": int(pc.sum(union).as_py()),
        "candidates": candidates.num_rows,
    }
    return pool, candidates.sort_by(order), funnel


def _usable_codes(files: Sequence[PathLike], size: int) -> Iterator[np.ndarray]:
    """Of each bundle the codes, of `size` bytes, of those spectra that have one."""
    for path in files:
        yield codes_of(pq.read_table(path, columns=["code"])["code"].drop_null(), size)


def _searched(
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
