"""Fitted models of a bundle on disk: one row a spectrum."""

import os
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from starsift.io.parquet import write_parquet
from starsift.searches.binaries.decision import FEATURES, features
from starsift.searches.binaries.model_bank import ModelBank
from starsift.searches.binaries.model_fit import STARS, ModelFits
from starsift.spectra.batches import IDENTITY, IDENTITY_NAMES

# Shape of the arrays of a row; NaN where a model was not fitted.
SHAPES = {
    "features": (STARS - 1, len(FEATURES)),
    "rv": (STARS, STARS),
    "rv_err": (STARS, STARS),
    "light": (STARS, STARS),
    "light_err": (STARS, STARS),
}
FITS = pa.schema(
    [*IDENTITY, *((name, pa.list_(pa.float32(), int(np.prod(shape)))) for name, shape in SHAPES.items())]
)


@dataclass(frozen=True)
class Fits:
    """What a decision and the catalogue need of the models of n spectra.

    `features` (n, 2, feature), see `decision.features`; `rv`, `rv_err` (n, 3, 3) km/s, as in `ModelFits`;
    `light`, `light_err` (n, 3, 3) each star's share of the light.
    """

    features: np.ndarray
    rv: np.ndarray
    rv_err: np.ndarray
    light: np.ndarray
    light_err: np.ndarray


def summarise(fits: ModelFits, bank: ModelBank) -> Fits:
    """What is kept of fitted models."""
    total = np.nansum(fits.depth, axis=2, keepdims=True)
    scale = 1.0 / np.where(total > 0, total, np.nan)
    return Fits(features(fits, bank), fits.rv, fits.rv_err, fits.depth * scale, fits.depth_err * scale)


def write_fits(path: str | os.PathLike[str], parts: Iterable[tuple[pa.Table, Fits]]) -> None:
    """Write the fits of a bundle: identity rows, and the fits of these."""
    tables = [FITS.empty_table()]
    for rows, fits in parts:
        columns = [rows[name].combine_chunks() for name in IDENTITY_NAMES]
        columns += [fixed_lists(getattr(fits, name)) for name in SHAPES]
        tables.append(pa.table(columns, schema=FITS))
    write_parquet(pa.concat_tables(tables), path)


def read_fits(path: str | os.PathLike[str]) -> tuple[pa.Table, Fits]:
    """The fits of a bundle, as a table and as arrays."""
    table = pq.read_table(path, schema=FITS)
    return table, Fits(**{name: array_of(table[name], shape) for name, shape in SHAPES.items()})


def fixed_lists(values: np.ndarray) -> pa.FixedSizeListArray:
    """Arrays (n, ...) as n lists of float32."""
    flat = np.ascontiguousarray(values, np.float32).ravel()
    return pa.FixedSizeListArray.from_arrays(pa.array(flat), int(np.prod(values.shape[1:])))


def array_of(column: pa.ChunkedArray, shape: tuple[int, ...]) -> np.ndarray:
    """Lists of one length as an array (n, *shape) float32."""
    values = column.combine_chunks().flatten() if len(column) else pa.array([], pa.float32())
    return np.asarray(values, np.float32).reshape(len(column), *shape)
