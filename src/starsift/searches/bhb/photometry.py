"""Dereddened colours, absolute magnitudes and distances of blue horizontal branch stars.

Relations and their source: resources/bhb/relations.csv (Deason, Belokurov & Evans 2011, MNRAS 416, 2903).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from starsift.errors import InputError
from starsift.resources import read_rows, resource
from starsift.searches.bhb.inputs import BANDS

SHIPPED = resource("bhb/relations.csv")
MAGNITUDES = (0.0, 35.0)  # valid magnitudes; SDSS writes -9999 where there is none
EXTINCTIONS = (0.0, 20.0)  # valid extinctions

_POWERS = 5


@dataclass(frozen=True)
class Relation:
    """A polynomial of g-r, `coefficients` from the lowest power; `low` < g-r < `high`; `scatter` mag."""

    low: float
    high: float
    scatter: float
    coefficients: tuple[float, ...]
    source: str

    def __call__(self, g_r: npt.ArrayLike) -> np.ndarray:
        """Values (n,) at colours (n,), mag without extinction; NaN outside the range: no extrapolation."""
        x = np.asarray(g_r, dtype=np.float64)
        inside = (x > self.low) & (x < self.high)
        return np.where(inside, np.polynomial.polynomial.polyval(x, self.coefficients), np.nan)


def load_relations(path: str | os.PathLike[str] | None = None) -> dict[str, Relation]:
    """Read relations of g-r with another colour or an absolute magnitude, by name.

    The CSV, by default resources/bhb/relations.csv, has the columns relation, low, high, scatter, c0 to c4,
    source. Raises InputError if a column is missing, or a value is not a number.
    """
    file = Path(path) if path is not None else SHIPPED
    powers = [f"c{k}" for k in range(_POWERS)]
    columns = ["relation", "low", "high", "scatter", *powers, "source"]
    relations = {}
    for row in read_rows(file, columns):
        try:
            low, high, scatter, *c = (float(row[name]) for name in columns[1:-1])
        except (TypeError, ValueError) as error:
            raise InputError(
                f"{file}: relation {row['relation']}: expected numbers in "
                f"{', '.join(columns[1:-1])} ({error})"
            ) from error
        relations[row["relation"]] = Relation(low, high, scatter, tuple(c), row["source"])
    return relations


def magnitudes(manifest: pa.Table, template: str) -> dict[str, np.ndarray]:
    """Magnitudes (n,) of each band of ugriz in a manifest; NaN where missing or outside `MAGNITUDES`.

    Columns are named by a template with {band}. Raises InputError if it has none, or a column holds no
    numbers.
    """
    return {band: _numbers(manifest, template, band, MAGNITUDES) for band in BANDS}


def dereddened(manifest: pa.Table, magnitude: str, extinction: str) -> dict[str, np.ndarray]:
    """Magnitudes and colours without extinction, NaN where the magnitude or the extinction is missing.

    Columns are named by templates with {band}, as in `magnitudes`, which says what is raised. Returns u, g,
    r, i, z, and the colours u_g and g_r, each (n,) float64.
    """
    observed = magnitudes(manifest, magnitude)
    found = {band: observed[band] - _numbers(manifest, extinction, band, EXTINCTIONS) for band in BANDS}
    return found | {"u_g": found["u"] - found["g"], "g_r": found["g"] - found["r"]}


def absolute_magnitude(g_r: npt.ArrayLike) -> np.ndarray:
    """Absolute magnitudes (n,) in g of BHB stars of g-r (n,) without extinction; NaN outside -0.25 < g-r < 0.

    Source: Deason, Belokurov & Evans 2011, MNRAS 416, 2903.
    """
    return _relations()["m_g_bhb"](g_r)


def distance(g0: npt.ArrayLike, g_r: npt.ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Distances and errors (n,) in kpc of BHB stars of g and g-r (n,), dereddened; wrong for other stars.

    NaN where there is no absolute magnitude. The error is the scatter of the relation, 0.15 mag or 7 % of the
    distance, without errors of the photometry.
    """
    kpc = 10.0 ** (0.2 * (np.asarray(g0, np.float64) - absolute_magnitude(g_r)) - 2.0)
    return kpc, kpc * (0.2 * np.log(10.0) * _relations()["m_g_bhb"].scatter)


@cache
def _relations() -> Mapping[str, Relation]:
    return load_relations()


def _numbers(manifest: pa.Table, template: str, band: str, limits: tuple[float, float]) -> np.ndarray:
    """One column (n,) float64; NaN where it is null, outside the limits, or missing."""
    if "{band}" not in template:
        raise InputError(
            f"photometry: {template!r} should name the column of each band, such as 'psfmag_{{band}}'"
        )
    name = template.replace("{band}", band)
    if name not in manifest.column_names:
        return np.full(manifest.num_rows, np.nan)
    try:
        values = manifest[name].cast(pa.float64()).to_numpy()
    except pa.ArrowException as error:
        raise InputError(f"manifest: column {name} should hold magnitudes ({error})") from error
    return np.where((values >= limits[0]) & (values <= limits[1]), values, np.nan)
