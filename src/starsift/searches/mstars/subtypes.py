"""Spectral subtypes of M stars from line indices, in the manner of the Hammer (Covey et al. 2007).

Measured indices are compared with a table of each subtype's mean indices and their scatter
(resources/mstars/subtypes.csv). Three things differ from the Hammer. The table is interpolated between
subtypes, so that the result is a real number with an uncertainty: mean and standard deviation of the
posterior for a flat prior. Indices are not divided out: feature minus index times continuum is compared with
zero, which stays Gaussian where the continuum is noise. And errors come with their correlations, those of
shared windows and those of a smooth error of flux calibration, which moves colours far more than bands.

Subtypes are numbers: M0 is 0, M9 is 9, L0 is 10; K7, K5, K4 are -1, -2, -3, as there is no K6, K8, K9.
"""

import csv
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.interpolate import PchipInterpolator

from starsift.errors import InputError, TrainingError
from starsift.kernels import njit
from starsift.parallel import map_chunks
from starsift.resources import read_rows, resource
from starsift.searches.mstars.indices import (
    CHUNK,
    IndexDefinition,
    WindowFluxes,
    as_spectra,
    load_indices,
    measure_windows,
)

SHIPPED = resource("mstars/subtypes.csv")
STEP = 0.1  # of the grid of subtypes on which the posterior is computed
CALIBRATION = 0.1  # relative rms of flux calibration errors, and reddening of some tenths of a magnitude
SMOOTH = 0.15  # correlation length of these errors in ln(wavelength): 1000 Angstrom at 6700
MIN_INDICES = 4  # measured ones; with fewer a subtype would rest on one band
# What stars of one subtype and different metallicities differ by, in subtypes: rms of the mean SDSS spectra
# of [Fe/H] -1 to +1 against a table made of [Fe/H] = 0 alone (benchmarks/subtypes.py).
INTRINSIC = 0.3
FLOOR = 0.04  # scatter of an index that no template shows: telluric absorption, sky, rounding of windows
ROUNDING = 0.3  # subtypes, rms of a type that is an integer
NAMES = {-3: "K4", -2: "K5", -1: "K7", **{t: f"M{t}" for t in range(10)}, 10: "L0"}


@dataclass(frozen=True)
class SubtypeTable:
    """Mean indices of subtypes and their scatter among stars: `types` (t,), `names` (k,), `mean` (t, k),
    `scatter` (t, k)."""

    types: np.ndarray
    names: tuple[str, ...]
    mean: np.ndarray
    scatter: np.ndarray

    def at(self, types: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and scatter (m, k) at any subtypes (m,) within the table."""
        mean = PchipInterpolator(self.types, self.mean)(types)
        scatter = np.stack([np.interp(types, self.types, column) for column in self.scatter.T], axis=1)
        return mean, scatter

    def select(self, names: Sequence[str]) -> "SubtypeTable":
        """The same table with only some of its indices."""
        columns = [self.names.index(name) for name in names]
        return SubtypeTable(self.types, tuple(names), self.mean[:, columns], self.scatter[:, columns])


@dataclass(frozen=True)
class Subtypes:
    """Subtypes of n spectra.

    Attributes
    ----------
    subtype : (n,) float32, mean of the posterior; NaN where too few indices could be measured
    error : (n,) float32, standard deviation of the posterior, and `INTRINSIC` in quadrature
    best : (n,) float32, the most probable subtype
    chi2 : (n,) float32, chi squared of `best` for each index used
    used : (n,) int16, number of indices
    label : (n,) str, "M3": `subtype` rounded; "K4" stands for K4 and all that is earlier, "L0" for L0 and
        later; empty where there is no subtype
    """

    subtype: np.ndarray
    error: np.ndarray
    best: np.ndarray
    chi2: np.ndarray
    used: np.ndarray
    label: np.ndarray


def load_subtypes(path: str | os.PathLike[str] | None = None) -> SubtypeTable:
    """Read a CSV of subtypes (type, index, mean, scatter), by default the one shipped in resources/mstars.

    Raises InputError if a column is missing, or an index lacks a subtype.
    """
    file = Path(path) if path is not None else SHIPPED
    columns = ("type", "index", "mean", "scatter")
    rows = {
        (float(row["type"]), row["index"]): (float(row["mean"]), float(row["scatter"]))
        for row in read_rows(file, columns)
    }
    types = sorted({kind for kind, _ in rows})
    names = tuple(dict.fromkeys(name for _, name in rows))
    absent = [f"{name} of type {kind:g}" for kind in types for name in names if (kind, name) not in rows]
    if absent:
        raise InputError(f"{file}: no row for {', '.join(absent)}; every type needs every index")
    both = np.array([[rows[kind, name] for name in names] for kind in types])
    return SubtypeTable(np.array(types), names, both[:, :, 0], both[:, :, 1])


def save_subtypes(table: SubtypeTable, path: str | os.PathLike[str]) -> None:
    """Write a table as `load_subtypes` reads it."""
    with Path(path).open("w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["type", "label", "index", "mean", "scatter"])
        for t, kind in enumerate(table.types):
            for k, name in enumerate(table.names):
                mean, scatter = table.mean[t, k], table.scatter[t, k]
                writer.writerow([f"{kind:g}", NAMES[int(kind)], name, f"{mean:.4f}", f"{scatter:.4f}"])


def make_table(types: npt.ArrayLike, names: Sequence[str], values: npt.ArrayLike) -> SubtypeTable:
    """Make a table from spectra of known subtype.

    Parameters
    ----------
    types : (m,), the numbers of the subtypes
    names : (k,) of the indices
    values : (m, k), the indices of the spectra

    Returns
    -------
    SubtypeTable
        Subtypes between the first and the last that no spectrum has are interpolated. The scatter is the
        standard deviation of a type's spectra (where there is one only: that of its neighbours), `ROUNDING`
        times the index's change from type to type, and `FLOOR`, in quadrature.

    Raises TrainingError: there are fewer than two subtypes, or a value is missing.
    """
    kinds, indices = np.asarray(types, dtype=np.float64), np.asarray(values, dtype=np.float64)
    if not np.isfinite(indices).all():
        raise TrainingError(
            "spectra for a table of subtypes must have all indices measured; leave out the others"
        )
    present = np.unique(kinds)
    if present.size < 2:
        raise TrainingError(f"a table of subtypes needs two subtypes or more, found {present.size}")
    mean = np.stack([indices[kinds == kind].mean(axis=0) for kind in present])
    several = np.array([(kinds == kind).sum() > 1 for kind in present])
    spread = np.zeros_like(mean)
    if several.any():
        known = np.stack([indices[kinds == kind].std(axis=0, ddof=1) for kind in present[several]])
        spread = np.stack([np.interp(present, present[several], column) for column in known.T], axis=1)
    # No K6, K8, K9, so K4 (-3) and K7 (-1) have K5 (-2) between them; it is left to the interpolation too.
    every = np.union1d(present, np.arange(max(present[0], 0), present[-1] + 1))
    means = PchipInterpolator(present, mean)
    slope = means.derivative()(every)
    between = np.stack([np.interp(every, present, column) for column in spread.T], axis=1)
    scatter = np.sqrt(FLOOR**2 + (ROUNDING * slope) ** 2 + between**2)
    return SubtypeTable(every, tuple(names), means(every), scatter)


@njit(nogil=True, cache=True, error_model="numpy")
def _chi2(
    feature: np.ndarray,
    continuum: np.ndarray,
    ff: np.ndarray,
    fc: np.ndarray,
    cc: np.ndarray,
    valid: np.ndarray,
    mean: np.ndarray,
    scatter: np.ndarray,
    chi2: np.ndarray,
    log_det: np.ndarray,
) -> None:
    n, k = feature.shape
    chosen = np.empty(k, np.int64)
    root = np.empty((k, k))
    residual = np.empty(k)
    for s in range(n):
        used = 0
        for i in range(k):
            if valid[s, i]:
                chosen[used] = i
                used += 1
        for t in range(len(mean)):
            total, determinant = 0.0, 0.0
            # Cholesky factor of the residuals' covariance, and the residuals divided by it, row by row.
            for a in range(used):
                i = chosen[a]
                r = mean[t, i]
                residual[a] = feature[s, i] - r * continuum[s, i]
                for b in range(a + 1):
                    j = chosen[b]
                    q = mean[t, j]
                    c = ff[s, i, j] - r * fc[s, j, i] - q * fc[s, i, j] + r * q * cc[s, i, j]
                    if a == b:
                        c += (scatter[t, i] * continuum[s, i]) ** 2
                    for m in range(b):
                        c -= root[a, m] * root[b, m]
                    root[a, b] = np.sqrt(c) if a == b else c / root[b, b]
                for m in range(a):
                    residual[a] -= root[a, m] * residual[m]
                residual[a] /= root[a, a]
                total += residual[a] ** 2
                determinant += 2 * np.log(root[a, a])
            chi2[s, t] = total
            log_det[s, t] = determinant


def classify(fluxes: WindowFluxes, table: SubtypeTable, *, calibration: float = CALIBRATION) -> Subtypes:
    """Subtypes of spectra whose windows are measured.

    Parameters
    ----------
    fluxes : the windows of (at least) the indices of the table
    calibration : relative rms of smooth errors of flux calibration, 0.05 for 5 %

    Raises ValueError: an index of the table is not among the measured ones.
    """
    missing = [name for name in table.names if name not in fluxes.names]
    if missing:
        raise ValueError(f"subtypes need the indices {', '.join(missing)}, which were not measured")
    rows = [fluxes.names.index(name) for name in table.names]
    weights, base = fluxes.feature[rows], fluxes.continuum[rows]
    valid = fluxes.valid[:, rows]
    centre = np.log(fluxes.windows.mean(axis=1))
    smooth = calibration**2 * np.exp(-0.5 * ((centre[:, None] - centre) / SMOOTH) ** 2)
    mean = np.nan_to_num(fluxes.mean)
    covariance = fluxes.covariance + mean[:, :, None] * smooth * mean[:, None, :]
    grid = np.arange(table.types[0], table.types[-1] + STEP / 2, STEP)
    expected, scatter = table.at(grid)
    n = len(mean)
    chi2, log_det = np.empty((2, n, grid.size))
    _chi2(
        mean @ weights.T,
        mean @ base.T,
        weights @ covariance @ weights.T,
        weights @ covariance @ base.T,
        base @ covariance @ base.T,
        valid,
        expected,
        scatter,
        chi2,
        log_det,
    )
    used = valid.sum(axis=1)
    cost = chi2 + log_det
    known = (used >= MIN_INDICES) & np.isfinite(cost).all(axis=1)
    cost[~known] = 0.0
    probability = np.exp(-0.5 * (cost - cost.min(axis=1, keepdims=True)))
    probability /= probability.sum(axis=1, keepdims=True)
    subtype = probability @ grid
    error = np.sqrt(np.maximum(probability @ grid**2 - subtype**2, 0.0) + INTRINSIC**2)
    best = cost.argmin(axis=1)
    reduced = chi2[np.arange(n), best] / np.maximum(used, 1)
    label = np.array([NAMES[round(t)] for t in subtype], dtype=str) if n else np.empty(0, dtype=str)
    blank = np.where(known, 0.0, np.nan)
    return Subtypes(
        (subtype + blank).astype(np.float32),
        (error + blank).astype(np.float32),
        (grid[best] + blank).astype(np.float32),
        (reduced + blank).astype(np.float32),
        used.astype(np.int16),
        np.where(known, label, ""),
    )


def measure_subtypes(
    wavelength: npt.ArrayLike,
    flux: npt.ArrayLike,
    ivar: npt.ArrayLike,
    definitions: Mapping[str, IndexDefinition] | None = None,
    table: SubtypeTable | None = None,
    *,
    calibration: float = CALIBRATION,
) -> Subtypes:
    """Subtypes of many spectra.

    Parameters
    ----------
    wavelength : (n, pixel) or (pixel,)
        Rest frame, vacuum Angstrom.
    flux, ivar : (n, pixel)
    definitions, table : as from `load_indices` and `load_subtypes`; by default the shipped ones. Subtypes
        rest on the indices that both have, and that are defined with ``subtype`` yes
    calibration : as in `classify`

    Raises ValueError: shapes do not agree, or the table and the definitions have no index in common.
    """
    known = load_indices() if definitions is None else definitions
    types = load_subtypes() if table is None else table
    types = types.select([name for name in types.names if name in known and known[name].subtype])
    if not types.names:
        raise ValueError("no index of the table of subtypes is defined with `subtype` yes")
    chosen = {name: known[name] for name in types.names}
    lam, flux_, ivar_ = as_spectra(wavelength, flux, ivar)

    def work(part: slice) -> Subtypes:
        rows = lam[part] if len(lam) > 1 else lam
        fluxes = measure_windows(rows, flux_[part], ivar_[part], chosen)
        return classify(fluxes, types, calibration=calibration)

    parts = map_chunks(work, len(flux_), CHUNK) or [work(slice(0, 0))]
    names = ("subtype", "error", "best", "chi2", "used", "label")
    return Subtypes(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))
