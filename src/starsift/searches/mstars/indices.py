"""Line indices of M stars: molecular bands, sodium, H-alpha, and the metallicity parameter zeta.

An index is the mean flux in a feature's windows over the mean flux in its continuum windows. Windows and
their sources: resources/mstars/indices.csv. Wavelengths are vacuum, rest frame, in Angstrom; windows in
air are converted when they are read. A pixel that a window's edge cuts counts with the part inside.

Errors are those of the window means, propagated. Windows that share pixels (TiO5, CaH2 and CaH3 share their
four Angstrom of continuum) have correlated errors, and zeta's error takes that into account.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from starsift.errors import InputError
from starsift.kernels import njit
from starsift.parallel import map_chunks
from starsift.resources import read_rows, resource
from starsift.sky.air import air_to_vacuum

SHIPPED = resource("mstars/indices.csv")
METHODS = ("ratio", "equivalent_width")
CHUNK = 256  # spectra at a time: their covariances of some 45 windows are 4 MB
MIN_COVERAGE = 0.5  # share of a window that good pixels must cover
NEAR = 10.0  # Angstrom; windows further apart share no pixel

# [TiO5] of solar metallicity as a polynomial of CaH2 + CaH3, highest power first. Lepine et al. 2013 is the
# one that reproduces zeta and its error in Table 2 of Guo et al. 2019.
ZETA_RELATIONS: Mapping[str, tuple[float, ...]] = {
    "lepine2007": (-0.164, 0.670, -0.118, -0.050),  # Lepine, Rich & Shara 2007, ApJ 669, 1235
    "dhital2012": (-0.005, -0.183, 0.694, -0.127, -0.047),  # Dhital et al. 2012, AJ 143, 67
    "lepine2013": (-0.588, 2.211, -1.906, 0.622),  # Lepine et al. 2013, AJ 145, 102
}

Windows = tuple[tuple[float, float, float], ...]
Measured = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class IndexDefinition:
    """A ratio of mean fluxes, or an equivalent width against the mean continuum.

    Attributes
    ----------
    feature, continuum : ((low, high, weight), ...)
        Windows in vacuum Angstrom; the weights of each add up to 1.
    method : str
        "ratio", or "equivalent_width": the feature's width times (ratio - 1), Angstrom, positive in emission.
    subtype : bool
        Whether spectral subtypes rest on it.
    """

    name: str
    method: str
    feature: Windows
    continuum: Windows
    subtype: bool
    source: str


def _windows(text: str, medium: str, where: str) -> Windows:
    """Parse ``low-high; low-high`` or ``weight*low-high; ...``; equal weights by default."""
    parts = [part.strip() for part in text.split(";")]
    windows = []
    for part in parts:
        weight, _, limits = part.rpartition("*")
        try:
            low, high = (float(limit) for limit in limits.split("-"))
            share = float(weight) if weight else 1.0 / len(parts)
        except ValueError:
            raise InputError(
                f"{where}: window {part!r} is not `low-high` or `weight*low-high`; correct it"
            ) from None
        if not low < high:
            raise InputError(f"{where}: window {part!r} ends before it begins; correct it")
        if medium == "air":
            low, high = (float(limit) for limit in air_to_vacuum([low, high]))
        windows.append((low, high, share))
    return tuple(windows)


def load_indices(path: str | os.PathLike[str] | None = None) -> dict[str, IndexDefinition]:
    """Read definitions of indices, by name, in the order of the file.

    The CSV, by default the one shipped in resources/mstars, has the columns name, method, feature, continuum,
    medium (air or vacuum), subtype (yes or no), source. Raises InputError if a column is missing, or a row
    cannot be parsed.
    """
    file = Path(path) if path is not None else SHIPPED
    columns = ("name", "method", "feature", "continuum", "medium", "subtype", "source")
    definitions: dict[str, IndexDefinition] = {}
    for row in read_rows(file, columns):
        where = f"{file}: index {row['name']}"
        if row["name"] in definitions:
            raise InputError(f"{where} is defined twice; delete one row")
        for column, known in (("method", METHODS), ("medium", ("air", "vacuum")), ("subtype", ("yes", "no"))):
            if row[column] not in known:
                raise InputError(f"{where}: {column} is {row[column]!r}, it must be {' or '.join(known)}")
        definitions[row["name"]] = IndexDefinition(
            row["name"],
            row["method"],
            _windows(row["feature"], row["medium"], where),
            _windows(row["continuum"], row["medium"], where),
            row["subtype"] == "yes",
            row["source"],
        )
    return definitions


@njit(nogil=True, cache=True, error_model="numpy")
def _window_means(
    wavelength: np.ndarray,
    flux: np.ndarray,
    ivar: np.ndarray,
    windows: np.ndarray,
    pairs: np.ndarray,
    mean: np.ndarray,
    covariance: np.ndarray,
    noise: np.ndarray,
) -> None:
    n, p = flux.shape
    count = len(windows)
    first = np.empty(count, np.int64)
    covered = np.empty(count)
    edge = np.empty(p + 1)
    for s in range(n):
        lam = wavelength[s if len(wavelength) > 1 else 0]
        if s == 0 or len(wavelength) > 1:
            for j in range(1, p):
                edge[j] = 0.5 * (lam[j - 1] + lam[j])
            edge[0] = 1.5 * lam[0] - 0.5 * lam[1]
            edge[p] = 1.5 * lam[p - 1] - 0.5 * lam[p - 2]
        for k in range(count):
            low, high = windows[k, 0], windows[k, 1]
            j = max(np.searchsorted(edge, low, side="right") - 1, 0)
            first[k] = j
            total, weight, variance = 0.0, 0.0, 0.0
            while j < p and edge[j] < high:
                part = min(edge[j + 1], high) - max(edge[j], low)
                if part > 0 and ivar[s, j] > 0 and np.isfinite(flux[s, j]):
                    weight += part
                    total += part * flux[s, j]
                    variance += part / ivar[s, j]
                j += 1
            covered[k] = weight
            good = weight > 0 and weight >= MIN_COVERAGE * (high - low)
            mean[s, k] = total / weight if good else np.nan
            noise[s, k] = variance / weight if good else np.nan
        for i in range(len(pairs)):
            a, b = pairs[i, 0], pairs[i, 1]
            if np.isnan(mean[s, a]) or np.isnan(mean[s, b]):
                continue
            j = max(first[a], first[b])
            end = min(windows[a, 1], windows[b, 1])
            total = 0.0
            while j < p and edge[j] < end:
                if ivar[s, j] > 0 and np.isfinite(flux[s, j]):
                    part_a = min(edge[j + 1], windows[a, 1]) - max(edge[j], windows[a, 0])
                    part_b = min(edge[j + 1], windows[b, 1]) - max(edge[j], windows[b, 0])
                    if part_a > 0 and part_b > 0:
                        total += part_a * part_b / ivar[s, j]
                j += 1
            covariance[s, a, b] = covariance[s, b, a] = total / (covered[a] * covered[b])


@dataclass(frozen=True)
class WindowFluxes:
    """Mean fluxes of n spectra in the windows of indices.

    Attributes
    ----------
    names : (index,) the indices that the windows serve
    windows : (window, 2) float64, vacuum Angstrom
    feature, continuum : (index, window) float64, weights of the windows in each index
    scale : (index,) float64, Angstrom: 0 for a ratio, the width of the feature for an equivalent width
    mean : (n, window) float64, NaN where good pixels cover too little of a window
    covariance : (n, window, window) float64, of the means; 0 where a mean is NaN
    noise : (n, window) float64, mean variance of a pixel
    """

    names: tuple[str, ...]
    windows: np.ndarray
    feature: np.ndarray
    continuum: np.ndarray
    scale: np.ndarray
    mean: np.ndarray
    covariance: np.ndarray
    noise: np.ndarray

    @property
    def valid(self) -> np.ndarray:
        """bool (n, index): all windows are measured."""
        used = (self.feature != 0) | (self.continuum != 0)
        return np.isnan(self.mean).astype(np.float64) @ used.T.astype(np.float64) == 0

    def levels(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean flux of the feature and of the continuum, each (n, index); NaN where not valid."""
        mean = np.nan_to_num(self.mean)
        bad = ~self.valid
        feature, continuum = mean @ self.feature.T, mean @ self.continuum.T
        feature[bad] = continuum[bad] = np.nan
        return feature, continuum

    def values(self) -> np.ndarray:
        """The indices (n, index); NaN where not valid or where the continuum is not positive."""
        feature, continuum = self.levels()
        ratio = feature / np.where(continuum > 0, continuum, np.nan)
        return np.where(self.scale > 0, self.scale * (ratio - 1), ratio)

    def index_covariance(self) -> np.ndarray:
        """Covariance (n, index, index) of `values`; NaN where one of the two indices is."""
        feature, continuum = self.levels()
        continuum = np.where(continuum > 0, continuum, np.nan)
        # Derivative of each index by each window's mean.
        slope = self.feature - (feature / continuum)[:, :, None] * self.continuum
        slope *= (np.where(self.scale > 0, self.scale, 1.0) / continuum)[:, :, None]
        bad = np.isnan(continuum)
        slope[bad] = 0.0
        out = slope @ self.covariance @ slope.transpose(0, 2, 1)
        out[bad[:, :, None] | bad[:, None, :]] = np.nan
        return np.asarray(out)


def _weights(definitions: Sequence[IndexDefinition]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The windows (window, 2) of all definitions, each once, and their weights (index, window) in each."""
    known: dict[tuple[float, float], int] = {}
    for definition in definitions:
        for low, high, _ in (*definition.feature, *definition.continuum):
            known.setdefault((low, high), len(known))
    feature, continuum = np.zeros((2, len(definitions), len(known)))
    for k, definition in enumerate(definitions):
        for low, high, weight in definition.feature:
            feature[k, known[low, high]] += weight
        for low, high, weight in definition.continuum:
            continuum[k, known[low, high]] += weight
    return np.array(list(known)).reshape(-1, 2), feature, continuum


def as_spectra(
    wavelength: npt.ArrayLike, flux: npt.ArrayLike, ivar: npt.ArrayLike
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Wavelength (n or 1, pixel) float64, flux and ivar (n, pixel); InputError where shapes do not agree."""
    lam = np.atleast_2d(np.asarray(wavelength, dtype=np.float64))
    flux_, ivar_ = np.atleast_2d(np.asarray(flux)), np.atleast_2d(np.asarray(ivar))
    n, p = flux_.shape
    if ivar_.shape != (n, p) or lam.shape not in ((n, p), (1, p)) or p < 2:
        raise InputError(
            "spectra must be flux and ivar (n, pixel) with wavelength (n, pixel) or (pixel,): "
            f"flux is {flux_.shape}, ivar {ivar_.shape}, wavelength {np.shape(wavelength)}"
        )
    return lam, flux_, ivar_


def measure_windows(
    wavelength: npt.ArrayLike,
    flux: npt.ArrayLike,
    ivar: npt.ArrayLike,
    definitions: Mapping[str, IndexDefinition],
) -> WindowFluxes:
    """Mean fluxes in all windows of some indices, with their covariance.

    Parameters
    ----------
    wavelength : (n, pixel) or (pixel,)
        Rest frame, vacuum Angstrom, ascending.
    flux, ivar : (n, pixel)
        Pixels with ivar that is not positive, or flux that is not finite, are left out.
    definitions : as from `load_indices`

    Raises ValueError: shapes do not agree.
    """
    lam, flux_, ivar_ = as_spectra(wavelength, flux, ivar)
    chosen = list(definitions.values())
    windows, feature, continuum = _weights(chosen)
    low, high = windows.T
    close = (low[:, None] < high + NEAR) & (low < high[:, None] + NEAR)
    pairs = np.argwhere(np.triu(close))
    n, count = len(flux_), len(windows)
    mean, noise = np.empty((2, n, count))
    covariance = np.zeros((n, count, count))
    _window_means(lam, flux_, ivar_, windows, pairs, mean, covariance, noise)
    scale = np.array(
        [
            sum(high - low for low, high, _ in d.feature) if d.method == "equivalent_width" else 0.0
            for d in chosen
        ]
    )
    return WindowFluxes(tuple(definitions), windows, feature, continuum, scale, mean, covariance, noise)


def measure_indices(
    wavelength: npt.ArrayLike,
    flux: npt.ArrayLike,
    ivar: npt.ArrayLike,
    definitions: Mapping[str, IndexDefinition] | None = None,
) -> dict[str, Measured]:
    """Indices of many spectra.

    Parameters
    ----------
    wavelength, flux, ivar : as in `measure_windows`
    definitions : as from `load_indices`; by default the shipped ones

    Returns
    -------
    dict
        For each name the value and its standard error, each (n,) float64: NaN where good pixels cover too
        little of a window, or where the continuum is not positive. Where tio5, cah2 and cah3 are among the
        definitions also ``zeta``, its error with the correlations between the three.
    """
    lam, flux_, ivar_ = as_spectra(wavelength, flux, ivar)
    chosen = load_indices() if definitions is None else definitions
    bands = [list(chosen).index(name) for name in ("tio5", "cah2", "cah3") if name in chosen]

    def work(part: slice) -> list[np.ndarray]:
        rows = lam[part] if len(lam) > 1 else lam
        fluxes = measure_windows(rows, flux_[part], ivar_[part], chosen)
        values, covariance = fluxes.values(), fluxes.index_covariance()
        out = [values, np.sqrt(np.diagonal(covariance, axis1=1, axis2=2))]
        if len(bands) == 3:
            tio5, cah2, cah3 = values[:, bands].T
            out += zeta(tio5, cah2, cah3, covariance[:, bands][:, :, bands])
        return out

    empty = np.empty((0, len(chosen)))
    parts = map_chunks(work, len(flux_), CHUNK) or [[empty, empty, np.empty(0), np.empty(0)]]
    values, errors, *metallicity = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    measured = {name: (values[:, k], errors[:, k]) for k, name in enumerate(chosen)}
    if len(bands) == 3:
        measured["zeta"] = (metallicity[0], metallicity[1])
    return measured


def zeta(
    tio5: npt.ArrayLike,
    cah2: npt.ArrayLike,
    cah3: npt.ArrayLike,
    errors: npt.ArrayLike,
    relation: str = "lepine2013",
) -> Measured:
    """Metallicity parameter of M dwarfs: 1 for solar metallicity, less for fewer metals.

    zeta = (1 - TiO5) / (1 - [TiO5]_solar), where the latter is a polynomial of CaH2 + CaH3.

    Parameters
    ----------
    tio5, cah2, cah3 : (n,)
    errors : (3, n) or (n, 3, 3)
        Standard errors of the three, taken as independent (as published catalogues do), or their covariance.
    relation : a key of `ZETA_RELATIONS`

    Returns
    -------
    value, error : (n,) float64

    Raises ValueError: no such relation, or errors of another shape.

    Source: Lepine, Rich & Shara 2007, equations 1 and 2; coefficients of Lepine et al. 2013.
    """
    if relation not in ZETA_RELATIONS:
        raise ValueError(f"no zeta relation {relation!r}; there are {', '.join(ZETA_RELATIONS)}")
    coefficients = np.array(ZETA_RELATIONS[relation])
    depth = 1.0 - np.asarray(tio5, dtype=np.float64)
    strength = np.asarray(cah2, dtype=np.float64) + np.asarray(cah3, dtype=np.float64)
    solar = 1.0 - np.polyval(coefficients, strength)
    value = depth / solar
    by_cah = value * np.polyval(np.polyder(coefficients), strength) / solar
    slopes = np.stack([-1.0 / solar, by_cah, by_cah], axis=-1)
    uncertainty = np.asarray(errors, dtype=np.float64)
    if uncertainty.shape == (3, *depth.shape):
        variance = (slopes**2 * np.moveaxis(uncertainty, 0, -1) ** 2).sum(axis=-1)
    elif uncertainty.shape == (*depth.shape, 3, 3):
        variance = np.einsum("...i,...ij,...j->...", slopes, uncertainty, slopes)
    else:
        raise ValueError(
            f"errors have shape {uncertainty.shape}: they must be (3, n) or a covariance (n, 3, 3), "
            f"n = {depth.shape}"
        )
    return value, np.sqrt(variance)


def halpha(
    wavelength: npt.ArrayLike,
    flux: npt.ArrayLike,
    ivar: npt.ArrayLike,
    definition: IndexDefinition | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Equivalent width of H-alpha (Angstrom, positive in emission), its error, and the continuum's S/N.

    Parameters
    ----------
    wavelength, flux, ivar : as in `measure_windows`
    definition : by default ``ewha`` of the shipped definitions, the windows of the Hammer

    Returns
    -------
    ew, error, snr : (n,) float64
        The continuum is the weighted mean over the continuum windows; where pixels of the line are bad, the
        mean of the good ones stands for them. `snr` is the mean flux over the rms noise of a pixel, in the
        continuum windows. All are NaN where these are not covered.
    """
    line = load_indices()["ewha"] if definition is None else definition
    ew, error = measure_indices(wavelength, flux, ivar, {line.name: line})[line.name]
    fluxes = measure_windows(wavelength, flux, ivar, {line.name: line})
    weights = fluxes.continuum[0]
    used = weights != 0
    with np.errstate(invalid="ignore"):
        snr = fluxes.mean[:, used] @ weights[used] / np.sqrt(fluxes.noise[:, used] @ weights[used])
    return ew, error, snr


def active(ew: npt.ArrayLike, snr_ha: npt.ArrayLike, *, min_snr: float, min_ew: float) -> np.ndarray:
    """Whether stars are magnetically active: object (n,) of True, False, and None where unknown.

    Known is a star whose continuum (n,) has an S/N a pixel above `min_snr`; active, one whose equivalent
    width (n,) of H-alpha exceeds `min_ew`, in Angstrom. Source: Guo et al. 2019, section 4.2.
    """
    width, ratio = np.asarray(ew, dtype=np.float64), np.asarray(snr_ha, dtype=np.float64)
    out = np.full(width.shape, None, dtype=object)
    known = np.isfinite(width) & (ratio > min_snr)
    out[known] = width[known] > min_ew
    return out
