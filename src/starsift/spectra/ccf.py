"""Cross-correlation of spectra with templates: Pearson's r at every velocity, masks exact, in batches.

Li et al. 2023 (section 3.1.1, equation 1). Three ideas make it fast:

* The correlation sums over an observation's own pixels, with the template interpolated onto them, are
  sums over the template's pixels once the observation has been spread onto these with the transposed
  interpolation weights. So no spectrum is resampled (the noise keeps its independence, masked pixels
  simply are not spread), and all velocities of all templates are one matrix product.
* At R = 7500 a CCF has no structure finer than about 20 km/s, so it is computed every 8 km/s and carried
  to the 1 km/s grid by the matrix of a degree-7 spline. At other resolutions these steps scale with 1 / R.
* Means and variances of the template over the pixels that count are two more such products, of the mask.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any, Protocol

import numpy as np
from scipy.interpolate import CubicSpline, make_interp_spline
from scipy.ndimage import gaussian_filter1d, spline_filter1d

from starsift.errors import SettingsError
from starsift.kernels import njit
from starsift.parallel import map_chunks
from starsift.sky.constants import C_KMS
from starsift.spectra.batches import SpectrumBatch
from starsift.spectra.continuum import fit_continuum, normalize_rows
from starsift.spectra.templates import TemplateGrid

RESOLUTION = 7500.0  # LAMOST-MRS; the next two hold there, and grow with 1 / resolution
PIXEL_KMS = 9.0  # a quarter of the resolution element: splines carry it to 1e-4 of r
NODE_KMS = 8.0
CHUNK = 256  # spectra a matrix product: what lies between two products stays in the cache
FWHM = 2.0 * np.sqrt(2.0 * np.log(2.0))


class PixelGrid(Protocol):
    """Pixels uniform in ln(wavelength), from `log_start` by `log_step`; positions 2 to `last` count."""

    @property
    def log_start(self) -> float: ...
    @property
    def log_step(self) -> float: ...
    @property
    def last(self) -> float: ...
    @property
    def pixels(self) -> int: ...


@dataclass(frozen=True)
class TemplateBank:
    """Templates shifted to every velocity node, ready for matrix products.

    `profiles` and `squares` are (pixel, template * node) float32: cubic-spline coefficients of the normalised
    template and of its square, on a grid of `pixel` points uniform in ln(wavelength) that starts at
    `log_start` with step `log_step`; the correlated part lies between its positions 2 and `last`.
    `interpolation` (node, velocity) carries a curve from `nodes` to `velocities` (km/s).
    `templates` (template, 3) holds Teff, log g, [Fe/H], NaN where unknown; `names` are the templates' own.
    `continuum_degree` and `minimum_pixels` are what `correlate` needs of a spectrum.
    """

    templates: np.ndarray
    velocities: np.ndarray
    nodes: np.ndarray
    log_start: float
    log_step: float
    last: float
    profiles: np.ndarray
    squares: np.ndarray
    interpolation: np.ndarray
    names: tuple[str, ...] = ()
    continuum_degree: int = 0
    minimum_pixels: int = 0

    @property
    def pixels(self) -> int:
        return self.profiles.shape[0]


@dataclass(frozen=True)
class CCFs:
    """The best CCF of each spectrum: `ccf` (n, velocity) float32, Pearson's r; `template` (n,) int8, its
    index in the bank; `usable` (n,) bool: False where too few pixels were good (the curve is then 0)."""

    ccf: np.ndarray
    template: np.ndarray
    usable: np.ndarray


def build_bank(
    grid: TemplateGrid,
    *,
    templates: Sequence[Sequence[float]],
    resolution: float,
    wavelength_range: tuple[float, float],
    velocity_max: float,
    velocity_step: float,
    continuum_degree: int,
    minimum_pixels: int,
) -> TemplateBank:
    """Smooth the chosen templates to the instrument's resolution and shift them to every velocity node.

    Parameters
    ----------
    grid : TemplateGrid, vacuum wavelengths
    templates : Teff [K], log g [dex], [Fe/H] [dex] of each; the grid's nearest spectrum is taken
    resolution : of the instrument
    wavelength_range : the correlated part, Angstrom in vacuum
    velocity_max, velocity_step : km/s; the grid is -velocity_max..velocity_max
    continuum_degree : of the polynomial that normalises templates and spectra
    minimum_pixels : a spectrum with fewer good pixels in the range is not usable

    Raises SettingsError if the templates do not reach the wavelength range at every velocity.
    """
    rows = [grid.nearest(*t) for t in templates]
    bank = shift_curves(
        [smooth_template(grid, row, resolution, continuum_degree) for row in rows],
        (float(grid.wavelength[0]), float(grid.wavelength[-1])),
        templates=np.array([grid.params[row][:3] for row in rows]),
        resolution=resolution,
        wavelength_range=wavelength_range,
        velocity_max=velocity_max,
        velocity_step=velocity_step,
    )
    return replace(bank, continuum_degree=continuum_degree, minimum_pixels=minimum_pixels)


def shift_curves(
    curves: Sequence[CubicSpline],
    covered: tuple[float, float],
    *,
    names: Sequence[str] = (),
    templates: np.ndarray | None = None,
    resolution: float,
    wavelength_range: tuple[float, float],
    velocity_max: float,
    velocity_step: float,
) -> TemplateBank:
    """A bank of any normalised templates, shifted to every velocity node.

    Parameters
    ----------
    curves : each template over ln(wavelength), at the instrument's resolution, near 1
    covered : the first and last wavelength (Angstrom) that the templates know
    names, templates : what the bank says of each curve: a name; (template, 3) Teff, log g, [Fe/H]
    resolution, wavelength_range, velocity_max, velocity_step : as in `build_bank`

    Raises SettingsError if the templates do not reach the wavelength range at every velocity.
    """
    count = round(velocity_max / velocity_step)
    velocities = np.arange(-count, count + 1) * velocity_step
    pixel_kms, node_kms = PIXEL_KMS * RESOLUTION / resolution, NODE_KMS * RESOLUTION / resolution
    blue, red = wavelength_range
    first, last = covered
    reach = min(C_KMS * (blue / first - 1.0), C_KMS * (1.0 - red / last))
    if reach < velocity_max:
        raise SettingsError(
            f"templates cover {first:.1f}-{last:.1f} Angstrom, which allows shifts of {reach:.0f} km/s for "
            f"ccf.wavelength_range {blue:g}-{red:g}; narrow that range or lower ccf.velocity_max "
            f"({velocity_max:g} km/s)"
        )
    # Nodes a little beyond the ends, as far as the templates go, keep the spline exact up to them.
    half = int(min(velocity_max + 4 * node_kms, reach) // node_kms)
    nodes = np.unique(np.r_[-velocity_max, np.arange(-half, half + 1) * node_kms, velocity_max])
    nodes = nodes[np.r_[True, np.diff(nodes) > 0.3 * node_kms]]
    nodes[[0, -1]] = min(nodes[0], -velocity_max), max(nodes[-1], velocity_max)

    log_step = pixel_kms / C_KMS
    log_start = np.log(blue) - 2 * log_step  # room for the interpolation weights
    pixels = int(np.ceil((np.log(red) - log_start) / log_step)) + 3
    log_grid = log_start + log_step * np.arange(pixels)
    shifts = np.log1p(nodes / C_KMS)
    cube = np.empty((pixels, len(curves), nodes.size), np.float32)
    for t, curve in enumerate(curves):
        inside = np.clip(log_grid[:, None] - shifts[None, :], curve.x[0], curve.x[-1])
        cube[:, t] = curve(inside) - 1.0  # near zero, so that float32 sums lose nothing
    profiles = cube.reshape(pixels, -1)
    squares = spline_filter1d(profiles**2, axis=0, mode="mirror").astype(np.float32)
    profiles = spline_filter1d(profiles, axis=0, mode="mirror").astype(np.float32)
    interpolation = make_interp_spline(nodes, np.eye(nodes.size), k=7)(velocities).T
    interpolation[np.abs(interpolation) < 1e-9] = 0.0  # spline tails are denormal in float32, and slow
    return TemplateBank(
        templates=np.full((len(curves), 3), np.nan) if templates is None else templates,
        velocities=velocities,
        nodes=nodes,
        log_start=log_start,
        log_step=log_step,
        last=(np.log(red) - log_start) / log_step,
        profiles=profiles,
        squares=squares,
        interpolation=np.ascontiguousarray(interpolation, np.float32),
        names=tuple(names),
    )


def smooth_template(grid: TemplateGrid, index: int, resolution: float, continuum_degree: int) -> CubicSpline:
    """One template at the instrument's resolution, divided by its pseudo-continuum, over ln(wavelength)."""
    step = 1.0 / C_KMS
    log_grid = np.arange(np.log(grid.wavelength[0]), np.log(grid.wavelength[-1]), step)
    flux = CubicSpline(np.log(grid.wavelength), grid.normalized[index] * grid.continuum[index])(log_grid)
    width = np.sqrt(max(resolution**-2 - grid.resolution**-2, 0.0)) / FWHM
    flux = gaussian_filter1d(flux, width / step, mode="nearest")
    # The same pseudo-continuum as the observations get, so that both curves bend alike.
    ivar = np.full((1, flux.size), (200.0 / np.median(flux)) ** 2, np.float32)
    continuum = fit_continuum(
        np.exp(log_grid)[None], flux[None].astype(np.float32), ivar, degree=continuum_degree
    )
    return CubicSpline(log_grid, flux / continuum[0])


@njit(nogil=True, cache=True)
def _spread(
    position: np.ndarray,
    last: float,
    value: np.ndarray,
    good: np.ndarray,
    out: np.ndarray,
    weight: np.ndarray,
    sums: np.ndarray,
) -> None:
    n, pixels = value.shape
    copies = n // len(position)
    for s in range(n):
        source = s // copies
        first = s % copies == 0
        out[s, :] = 0.0
        if first:
            weight[source, :] = 0.0
        total = 0.0
        square = 0.0
        count = 0.0
        for i in range(pixels):
            share = good[source, i]
            if share > 0:
                p = position[source, i]
                if p < 2.0 or p > last:  # outside the range that is correlated
                    continue
                j = int(p)
                f = p - j
                # Cubic B-spline; the bank holds spline coefficients, so this is spline interpolation.
                g = 1.0 - f
                w0 = g * g * g / 6.0
                w1 = 2.0 / 3.0 - 0.5 * f * f * (2.0 - f)
                w2 = 2.0 / 3.0 - 0.5 * g * g * (1.0 + f)
                w3 = f * f * f / 6.0
                d = value[s, i] - 1.0
                v = share * d
                out[s, j - 1] += w0 * v
                out[s, j] += w1 * v
                out[s, j + 1] += w2 * v
                out[s, j + 2] += w3 * v
                if first:
                    weight[source, j - 1] += share * w0
                    weight[source, j] += share * w1
                    weight[source, j + 1] += share * w2
                    weight[source, j + 2] += share * w3
                total += v
                square += v * d
                count += share
        sums[s, 0] = total
        sums[s, 1] = square
        sums[s, 2] = count


def grid_position(wavelength: np.ndarray, bank: PixelGrid) -> np.ndarray:
    """Where each pixel lies on the bank's grid, in grid steps; (…, pixel) float64."""
    return (np.log(wavelength) - bank.log_start) / bank.log_step


def spread(
    position: np.ndarray, value: np.ndarray, good: np.ndarray, bank: PixelGrid
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Spread observed pixels onto the bank's grid with the transposed weights of cubic-spline interpolation.

    Parameters
    ----------
    position : (n, pixel)
    good : (n, pixel) bool, or float weights >= 0 of the pixels
    value : (n * copies, pixel) normalised flux; the copies of a spectrum follow one another

    Returns
    -------
    flux : (n * copies, bank.pixels) float32; weight : (n, bank.pixels) float32
    sums : (n * copies, 3) float64: of value - 1, of its square, and of pixels (or of their weights).
    """
    n = value.shape[0]
    flux = np.empty((n, bank.pixels), np.float32)
    weight = np.empty((len(position), bank.pixels), np.float32)
    sums = np.empty((n, 3))
    _spread(position, bank.last, value, good, flux, weight, sums)
    return flux, weight, sums


def pearson(flux: Any, weight: Any, sums: Any, bank: TemplateBank, xp: ModuleType = np) -> Any:
    """Pearson's r of every spectrum with every template at every velocity node.

    Parameters
    ----------
    flux (n * copies, pixel), weight (n, pixel), sums (n * copies, 3) : from `spread`
    xp : the array namespace (numpy, or keras.ops); arrays in are of that namespace

    Returns (n * copies, template, node) array of `xp`; 0 where a spectrum has no variance.
    """
    shape = (-1, len(bank.templates), bank.nodes.size)
    cross = xp.matmul(flux, bank.profiles)
    mean = xp.matmul(weight, bank.profiles)
    square = xp.matmul(weight, bank.squares)
    copies = flux.shape[0] // weight.shape[0]
    if copies > 1:
        mean, square = xp.repeat(mean, copies, axis=0), xp.repeat(square, copies, axis=0)
    total, total_square, count = sums[:, 0:1], sums[:, 1:2], xp.maximum(sums[:, 2:3], 1.0)
    covariance = cross - total * mean / count
    variance = (square - mean * mean / count) * (total_square - total * total / count)
    return xp.reshape(covariance / xp.sqrt(xp.maximum(variance, 1e-20)), shape)


def best_curves(r: Any, bank: TemplateBank, xp: ModuleType = np) -> tuple[Any, Any]:
    """Interpolate to every velocity and keep the template with the highest CCF.

    Returns (n, velocity) curves and the (n,) index of the template, as arrays of `xp`.
    """
    n, templates, nodes = r.shape
    flat = xp.matmul(xp.reshape(r, (n * templates, nodes)), bank.interpolation)
    curves = xp.reshape(flat, (n, templates, bank.velocities.size))
    template = xp.argmax(xp.max(curves, axis=2), axis=1)
    best = xp.take_along_axis(curves, xp.reshape(template, (-1, 1, 1)), axis=1)[:, 0]
    return best, template


def correlate(batch: SpectrumBatch, bank: TemplateBank, *, xp: ModuleType = np) -> CCFs:
    """Cross-correlate a batch with every template of the bank and keep each spectrum's best curve.

    Parameters
    ----------
    batch : SpectrumBatch of n spectra
    bank : from `build_bank`
    xp : numpy, or keras.ops for the matrix products on the Keras backend

    Returns CCFs with `ccf` (n, velocity) float32.

    Source: Li et al. 2023, equation 1, as Pearson's r over the pixels that are good and overlap.
    """

    def work(part: slice) -> CCFs:
        rows = (batch.wavelength[part], batch.flux[part], batch.ivar[part])
        flux, ivar = normalize_rows(*rows, degree=bank.continuum_degree)
        return _correlate(grid_position(rows[0], bank), flux, ivar > 0, bank, xp)

    return _join(map_chunks(work, batch.n, CHUNK, serial=xp is not np), bank)


def correlate_normalized(
    position: np.ndarray,
    flux: np.ndarray,
    good: np.ndarray,
    bank: TemplateBank,
    *,
    copies: int = 1,
    xp: ModuleType = np,
) -> CCFs:
    """As `correlate`, for spectra that are normalised already.

    `position` (from `grid_position`) and `good` are (n, pixel); `flux` is (n * copies, pixel): copies of a
    spectrum share its wavelengths and mask.
    """
    if len(flux) != copies * len(position):
        raise ValueError(f"{len(flux)} fluxes are not {copies} copies of {len(position)} spectra")

    def work(part: slice) -> CCFs:
        many = slice(part.start * copies, part.stop * copies)
        return _correlate(position[part], flux[many], good[part], bank, xp)

    return _join(map_chunks(work, len(position), max(1, CHUNK // copies), serial=xp is not np), bank)


def _correlate(
    position: np.ndarray, flux: np.ndarray, good: np.ndarray, bank: TemplateBank, xp: ModuleType
) -> CCFs:
    spread_flux, weight, sums = spread(position, flux, good, bank)
    usable = sums[:, 2] >= bank.minimum_pixels
    tensors: list[Any] = [spread_flux, weight, sums.astype(np.float32)]
    if xp is not np:
        tensors = [xp.convert_to_tensor(tensor) for tensor in tensors]
    ccf, template = best_curves(pearson(tensors[0], tensors[1], tensors[2], bank, xp), bank, xp)
    if xp is not np:
        ccf, template = xp.convert_to_numpy(ccf), xp.convert_to_numpy(template)
    return CCFs(np.where(usable[:, None], ccf, np.float32(0.0)), template.astype(np.int8), usable)


def _join(parts: list[CCFs], bank: TemplateBank) -> CCFs:
    empty = CCFs(np.zeros((0, bank.velocities.size), np.float32), np.zeros(0, np.int8), np.zeros(0, bool))
    parts = parts or [empty]
    return CCFs(
        *(np.concatenate([getattr(p, name) for p in parts]) for name in ("ccf", "template", "usable"))
    )
