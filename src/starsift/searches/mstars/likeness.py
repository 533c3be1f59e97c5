"""Spectra of any kind that are most like a few examples, by the codes of the search for M stars.

The codes tell apart all classes of the sample that they were learnt from, not M stars alone, and see bands
and lines rather than colours: a few carbon stars find the others (docs/mstars.md has numbers).
"""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from starsift.errors import ResultsError
from starsift.searches.mstars.hashing import codes_of
from starsift.searches.mstars.predict import CODES

LIKE = pa.schema(
    [
        ("spectrum_id", pa.string()),
        ("band", pa.string()),
        ("snr", pa.float32()),
        ("ra", pa.float64()),
        ("dec", pa.float64()),
        ("bundle", pa.string()),
        ("row", pa.int64()),
        pa.field("distance", pa.float32(), metadata={"unit": "bit", "description": "Mean over the examples"}),
        pa.field("nearest_example", pa.string()),
    ]
)


def rank_like(
    files: Sequence[str | os.PathLike[str]], names: Sequence[str], codes: np.ndarray, *, number: int
) -> pa.Table:
    """The spectra whose codes are nearest to those of examples, by the mean number of bits that differ.

    Parameters
    ----------
    files : tables of `starsift.searches.mstars.predict.CODES`, a bundle each, named after it
    names : of the examples, k, which are not listed themselves
    codes : (k, bytes) uint8
    number : how many to list

    Returns a Table of `LIKE`, the nearest first. Raises ResultsError: codes differ in length.
    """
    parts = [LIKE.empty_table()]
    for file in files:
        table = pq.read_table(file, schema=CODES)
        table = table.append_column("row", pa.array(np.arange(table.num_rows)))
        own = pc.is_in(table["spectrum_id"], value_set=pa.array(names, pa.string()))
        table = table.filter(pc.and_(pc.is_valid(table["code"]), pc.invert(own)))
        pool = codes_of(table["code"])
        if len(pool) and pool.shape[1] != codes.shape[1]:
            raise ResultsError(
                f"{file}: codes of {8 * pool.shape[1]} bits, those of the examples have "
                f"{8 * codes.shape[1]}; encode the spectra again"
            )
        distances = np.zeros((len(pool), len(codes)), np.int16)
        for at, code in enumerate(codes):
            distances[:, at] = np.bitwise_count(pool ^ code).sum(axis=1)
        mean = distances.mean(axis=1)
        chosen = np.argsort(mean, kind="stable")[:number]
        rows = table.take(pa.array(chosen))
        nearest = pa.array(names, pa.string()).take(pa.array(distances[chosen].argmin(axis=1)))
        columns = {name: rows[name] for name in ("spectrum_id", "band", "snr", "ra", "dec", "row")} | {
            "bundle": pa.array([Path(file).stem] * len(chosen), pa.string()),
            "distance": pa.array(mean[chosen].astype(np.float32)),
            "nearest_example": nearest,
        }
        parts.append(pa.table([columns[name] for name in LIKE.names], schema=LIKE))
    return pa.concat_tables(parts).sort_by([("distance", "ascending"), ("spectrum_id", "ascending")])[:number]
