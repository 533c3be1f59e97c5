"""Radial-velocity components of CCFs from smoothed derivatives, all CCFs of a batch at once.

Li et al. 2023, section 3.1.2, after Merle et al. 2017. A component is an ascending zero crossing of the third
derivative (a minimum of the second) where the CCF stands high and its second derivative is low. Smoothing
starts narrow and widens for the CCFs in which the numbers of components and of valleys of the second
derivative disagree.

The Gaussian smoothing (with reflection at the ends, as `scipy.ndimage.gaussian_filter1d` does) and the
derivatives are diagonal in the cosine basis, and beyond exp(-18) nothing survives the narrowest Gaussian:
some 150 cosine coefficients of a curve give its smoothed derivatives for every sigma.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from starsift.io.parquet import write_parquet
from starsift.parallel import map_chunks
from starsift.searches.binaries.curves import Curves
from starsift.spectra.batches import ROW_SCHEMA

CUT = 6.0  # sigma x wavenumber beyond which a Gaussian is nothing: exp(-18)
CHUNK = 512  # CCFs at a time: the work arrays of 1 001 float32 each stay in the cache

COMPONENTS = pa.schema(
    [
        *ROW_SCHEMA,
        pa.field("template", pa.int8()),
        pa.field("ccf_max", pa.float32()),
        pa.field("n_components", pa.int16()),
        pa.field("rv", pa.list_(pa.float32())),
        pa.field("sigma", pa.float32()),
        pa.field("converged", pa.bool_()),
    ]
)


@dataclass(frozen=True)
class Components:
    """`count` (n,) int16; `rv` (n, width >= 3) float32 km/s, ascending, NaN where there is none; `sigma` (n,)
    float32 km/s, the last smoothing; `converged` (n,) bool."""

    count: np.ndarray
    rv: np.ndarray
    sigma: np.ndarray
    converged: np.ndarray

    def take(self, rows: np.ndarray) -> "Components":
        """The components of the spectra at `rows`."""
        return Components(self.count[rows], self.rv[rows], self.sigma[rows], self.converged[rows])


@dataclass(frozen=True)
class CosineBasis:
    """Transforms between curves on a uniform velocity grid and their cosine coefficients.

    `analysis` (velocity, term), `cosine` (term, velocity), `sine` (term, velocity - 1: at the midpoints),
    `wavenumber` (term,) in 1/(km/s).
    """

    analysis: np.ndarray
    cosine: np.ndarray
    sine: np.ndarray
    wavenumber: np.ndarray


def cosine_basis(velocities: np.ndarray, sigma_min: float) -> CosineBasis:
    """The cosine basis of a velocity grid, up to what a Gaussian of `sigma_min` km/s passes."""
    n = velocities.size
    step = (velocities[-1] - velocities[0]) / (n - 1)
    terms = min(n, int(np.ceil(CUT / sigma_min * n * step / np.pi)) + 1)
    order = np.arange(terms)
    phase = np.pi / n * np.outer(order, np.arange(n) + 0.5)
    analysis = np.cos(phase).T * np.where(order == 0, 1.0, 2.0) / n
    middle = np.pi / n * np.outer(order, np.arange(1, n))
    to32 = np.float32
    return CosineBasis(
        analysis.astype(to32),
        np.cos(phase).astype(to32),
        np.sin(middle).astype(to32),
        np.pi * order / (n * step),
    )


def smoothed_derivatives(
    coefficients: Any, basis: CosineBasis, sigma: float, xp: ModuleType = np
) -> tuple[Any, Any, Any]:
    """The smoothed CCF, its second and its third derivative, of `ccf @ basis.analysis` (n, term).

    `sigma` is in km/s. Returns smooth (n, velocity); second (n, velocity), (km/s)^-2; third (n, velocity -
    1), (km/s)^-3, halfway between the velocities.
    """
    # Wide Gaussians let fewer terms through; the rest would be denormal numbers, slow beyond reason.
    terms = int(np.searchsorted(basis.wavenumber, CUT / sigma)) + 1
    k, coefficients = basis.wavenumber[:terms], coefficients[:, :terms]
    gauss = np.exp(-0.5 * (sigma * k) ** 2)
    cosine, sine = basis.cosine[:terms], basis.sine[:terms]
    smooth = xp.matmul(coefficients * gauss.astype(np.float32), cosine)
    second = xp.matmul(coefficients * (-(k**2) * gauss).astype(np.float32), cosine)
    third = xp.matmul(coefficients * (k**3 * gauss).astype(np.float32), sine)
    return smooth, second, third


def _valleys(
    coefficients: Any,
    basis: CosineBasis,
    sigma: float,
    ccf_threshold: float,
    d2_threshold: float,
    xp: ModuleType,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Third derivative (n, v - 1); valleys and components (n, v - 2), which flag crossings of j, j + 1."""
    smooth, second, third = smoothed_derivatives(coefficients, basis, sigma, xp)
    low, high = xp.min(smooth, axis=1, keepdims=True), xp.max(smooth, axis=1, keepdims=True)
    tall = smooth >= low + ccf_threshold * (high - low)
    low, high = xp.min(second, axis=1, keepdims=True), xp.max(second, axis=1, keepdims=True)
    deep = second <= low + d2_threshold * (high - low)
    # Third derivatives j and j + 1 stand on either side of velocity j + 1, where both ranges are tested.
    valley = (third[:, :-1] < 0) & (third[:, 1:] >= 0) & deep[:, 1:-1]
    component = valley & tall[:, 1:-1]
    if xp is np:
        return third, valley, component
    return tuple(xp.convert_to_numpy(a) for a in (third, valley, component))


def find_components(
    ccf: np.ndarray,
    velocities: np.ndarray,
    *,
    sigma_start: float,
    sigma_step: float,
    sigma_max: float,
    ccf_threshold: float,
    d2_threshold: float,
    xp: ModuleType = np,
) -> Components:
    """Find the radial-velocity components of many CCFs.

    Parameters
    ----------
    ccf : (n, velocity) float32; a curve that is constant has no component
    velocities : (velocity,) km/s, uniform
    sigma_start, sigma_step, sigma_max : km/s, the Gaussian's width; it grows until the number of components
        equals the number of valleys (minima of the second derivative below its threshold)
    ccf_threshold, d2_threshold : fractions of the peak-to-peak range above the minimum; components lie where
        the smoothed CCF is above the first and its second derivative below the second
    xp : numpy, or keras.ops for the matrix products on the Keras backend

    Returns Components.

    Source: Li et al. 2023, section 3.1.2; Merle et al. 2017, section 2.
    """

    def work(part: slice) -> Components:
        return _find_chunk(
            ccf[part], velocities, sigma_start, sigma_step, sigma_max, ccf_threshold, d2_threshold, xp
        )

    parts = map_chunks(work, len(ccf), CHUNK, serial=xp is not np)
    width = max([3, *(p.rv.shape[1] for p in parts)])
    rv = [np.pad(p.rv, ((0, 0), (0, width - p.rv.shape[1])), constant_values=np.nan) for p in parts]
    return Components(
        np.concatenate([np.zeros(0, np.int16), *(p.count for p in parts)]),
        np.concatenate([np.zeros((0, width), np.float32), *rv]),
        np.concatenate([np.zeros(0, np.float32), *(p.sigma for p in parts)]),
        np.concatenate([np.zeros(0, bool), *(p.converged for p in parts)]),
    )


def _find_chunk(
    ccf: np.ndarray,
    velocities: np.ndarray,
    sigma_start: float,
    sigma_step: float,
    sigma_max: float,
    ccf_threshold: float,
    d2_threshold: float,
    xp: ModuleType,
) -> Components:
    n = len(ccf)
    basis = cosine_basis(velocities, sigma_start)
    coefficients = np.asarray(ccf, np.float32) @ basis.analysis
    count = np.zeros(n, np.int16)
    sigma_used = np.full(n, sigma_start, np.float32)
    converged = np.zeros(n, bool)
    found: list[tuple[np.ndarray, np.ndarray]] = []
    step = velocities[1] - velocities[0]
    active = np.flatnonzero(np.ptp(ccf, axis=1) > 0)
    for sigma in np.arange(sigma_start, sigma_max + 1e-6, sigma_step):
        if active.size == 0:
            break
        third, valley, component = _valleys(
            coefficients[active], basis, sigma, ccf_threshold, d2_threshold, xp
        )
        number = component.sum(axis=1)
        done = (number == valley.sum(axis=1)) & (number > 0)
        finish = done | (sigma + sigma_step > sigma_max + 1e-6)
        row, column = np.nonzero(component & finish[:, None])
        left, right = third[row, column], third[row, column + 1]
        # Sample j of the third derivative lies half a step after velocity j.
        rv = velocities[0] + step * (column + 0.5 + left / (left - right))
        found.append((active[row], rv))
        count[active[finish]] = number[finish]
        sigma_used[active] = sigma
        converged[active[done]] = True
        active = active[~finish]
    rows = np.concatenate([np.zeros(0, np.intp), *(r for r, _ in found)])
    values = np.concatenate([np.zeros(0), *(v for _, v in found)])
    order = np.lexsort((values, rows))
    rows, values = rows[order], values[order]
    rank = np.arange(rows.size) - np.searchsorted(rows, rows)
    table = np.full((n, max(3, int(count.max(initial=0)))), np.nan, np.float32)
    table[rows, rank] = values
    return Components(count, table, sigma_used, converged)


def write_components(path: str | os.PathLike[str], found: Iterable[tuple[Curves, Components]]) -> None:
    """Write the components of a bundle's CCFs, one row a spectrum."""
    tables = [COMPONENTS.empty_table(), *(_components_table(curves, part) for curves, part in found)]
    write_parquet(pa.concat_tables(tables), path)


def _components_table(curves: Curves, components: Components) -> pa.Table:
    uncorrelated = curves.template < 0
    columns = [column.cast(field.type) for column, field in zip(curves.rows.columns, ROW_SCHEMA, strict=True)]
    columns += [
        pa.array(curves.template, pa.int8(), mask=uncorrelated),
        pa.array(curves.ccf.max(axis=1), pa.float32(), mask=uncorrelated),
        pa.array(components.count, pa.int16()),
        ragged(components.rv, components.count),
        pa.array(components.sigma, pa.float32(), mask=uncorrelated),
        pa.array(components.converged, pa.bool_()),
    ]
    return pa.table(columns, schema=COMPONENTS)


def read_components(path: str | os.PathLike[str]) -> tuple[pa.Table, Components]:
    """The components of a bundle, as a table and as arrays."""
    table = pq.read_table(path, schema=COMPONENTS)
    components = Components(
        table["n_components"].to_numpy(),
        rectangle(table["rv"]),
        table["sigma"].to_numpy(),
        table["converged"].to_numpy(),
    )
    return table, components


def ragged(values: np.ndarray, count: np.ndarray) -> pa.ListArray:
    """Lists (n,) of the first `count` (n,) values of each row of `values` (n, width); NaN becomes null."""
    flat = values[np.arange(values.shape[1]) < count[:, None]]
    offsets = np.concatenate([[0], np.cumsum(count)]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(flat, pa.float32(), mask=np.isnan(flat)))


def rectangle(column: pa.ChunkedArray, width: int = 3) -> np.ndarray:
    """A column of lists as (n, at least `width`) float32, NaN where there is no value."""
    lists = column.combine_chunks()
    lists = lists.chunk(0) if isinstance(lists, pa.ChunkedArray) else lists
    count = pc.list_value_length(lists).fill_null(0).to_numpy(zero_copy_only=False)
    values = np.full((len(count), max([width, *count.tolist()])), np.nan, np.float32)
    values[np.arange(values.shape[1]) < count[:, None]] = lists.flatten().to_numpy(zero_copy_only=False)
    return values
