"""Templates of stars for `model_fit`, on one pixel grid."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.interpolate import CubicSpline

from starsift.errors import SettingsError
from starsift.sky.constants import C_KMS
from starsift.spectra.ccf import PIXEL_KMS, RESOLUTION
from starsift.spectra.continuum import fit_continuum
from starsift.spectra.templates import TemplateGrid
from starsift.synthesis.stars import Synthesizer

COMPONENTS = 32  # principal components: the worst template is right to 4 % of its line depths
BLOCKS = 32  # parts of the range, in which weights are constant for the norms of templates and for the scan
SNR = 200.0  # of templates, to which their pseudo-continuum is fitted
GIANT_LOGG = 3.5
# Fastest rotation of a template, km/s: of giants, and of dwarfs cooler than a temperature (K). A broad cool
# template beside a narrow one fits the blend of two sharp stars, at wrong velocities.
GIANT_VSINI = 15.0
DWARF_VSINI = ((5500.0, 30.0), (6250.0, 60.0), (np.inf, np.inf))
# Templates of the scan for pairs: dwarfs that rotate slowly, and two that do not: Teff (K), vsini (km/s).
SCAN_ROTATORS = ((6250.0, 45.0), (7250.0, 85.0))


@dataclass(frozen=True)
class ModelBank:
    """Templates on a grid uniform in ln(wavelength), on which a Doppler shift is a number of pixels.

    Attributes
    ----------
    params : (template, 4) Teff (K), log g, [Fe/H], v sin i (km/s)
    depth, slope : (template, pixels + 2 * nodes) float32
        1 - flux / continuum, and its derivative by pixel.
    basis, weights : (component, pixels + 2 * nodes), (component, template) float32
        `depth` is the sum of `basis` times `weights`.
    shifted : (pixels, velocity * component) float32
        `basis` at all velocities.
    squares : (block, velocity, template) float32, of `depth`, summed over blocks of pixels
    scan : (s,) the templates that are tried in pairs
    products : (block, s, s, shift) float32
        Of two of them, the second moved to the red by 0, 1, ... pixels, summed over blocks of pixels.
    log_start, log_step, pixels : of the grid; `last` is the position of the range's red end
    nodes : velocities are -nodes..nodes pixels
    closest : least distance of two stars, pixels
    continuum_degree, minimum_pixels : what a spectrum is normalised with, and needs
    """

    params: np.ndarray
    depth: np.ndarray
    slope: np.ndarray
    basis: np.ndarray
    weights: np.ndarray
    shifted: np.ndarray
    squares: np.ndarray
    scan: np.ndarray
    products: np.ndarray
    log_start: float
    log_step: float
    last: float
    pixels: int
    nodes: int
    closest: float
    continuum_degree: int
    minimum_pixels: int

    @property
    def step_kms(self) -> float:
        """Velocity of one pixel, km/s."""
        return self.log_step * C_KMS

    def velocity(self, shift: np.ndarray) -> np.ndarray:
        """Velocity in km/s of a shift in pixels."""
        return C_KMS * np.expm1(shift * self.log_step)


def template_parameters(
    teff: Sequence[float], logg: Sequence[float], feh: Sequence[float], vsini: Sequence[float]
) -> np.ndarray:
    """Teff, log g, [Fe/H] and v sin i (template, 4) of the combinations that occur.

    Giants (log g below 3.5) are no hotter than 5500 K and rotate no faster than 15 km/s, dwarfs no faster
    than 30 km/s below 5500 K and 60 km/s below 6250 K.
    """
    every = np.stack(np.meshgrid(teff, logg, feh, vsini, indexing="ij"), axis=-1).reshape(-1, 4)
    hot, gravity, _, rotation = every.T
    giant = gravity < GIANT_LOGG
    limits = [limit for _, limit in DWARF_VSINI]
    fastest = np.where(giant, GIANT_VSINI, np.select([hot < t for t, _ in DWARF_VSINI], limits))
    return every[(rotation <= fastest) & ~(giant & (hot > DWARF_VSINI[0][0]))]


def build_models(
    grid: TemplateGrid,
    *,
    teff: Sequence[float],
    logg: Sequence[float],
    feh: Sequence[float],
    vsini: Sequence[float],
    closest: float,
    resolution: float,
    wavelength_range: tuple[float, float],
    velocity_max: float,
    continuum_degree: int,
    minimum_pixels: int,
) -> ModelBank:
    """Templates of rotating stars at the instrument's resolution, divided by their pseudo-continuum.

    Parameters
    ----------
    grid : TemplateGrid, vacuum wavelengths
    teff, logg, feh, vsini : K, dex, dex, km/s: the axes of the templates; see `template_parameters`
    closest : least velocity difference of two stars, km/s
    resolution : of the instrument
    wavelength_range : the part that is fitted, Angstrom in vacuum
    velocity_max : km/s; velocities are fitted within -velocity_max..velocity_max
    continuum_degree : of the polynomial that normalises templates and spectra
    minimum_pixels : a spectrum with fewer good pixels in the range is not fitted

    Raises
    ------
    SettingsError : no dwarf without rotation is among the templates.
    InputError : the grid is less sharp than the instrument, or not a box.
    """
    params = template_parameters(teff, logg, feh, vsini)
    synthesizer = Synthesizer(grid, resolution)
    flux = synthesizer.flux(params[:, 0], params[:, 1], params[:, 2], params[:, 3], 0.0, 1.0)
    flux /= flux.mean(axis=1, keepdims=True)
    log_wavelength = np.log(synthesizer.wavelength)
    # The same pseudo-continuum as the observations get, so that both bend alike.
    wavelength = np.broadcast_to(synthesizer.wavelength, flux.shape)
    continuum = fit_continuum(wavelength, flux, np.full_like(flux, SNR**2), degree=continuum_degree)
    curve = CubicSpline(log_wavelength, 1.0 - flux / continuum, axis=1)

    blue, red = wavelength_range
    log_step = PIXEL_KMS * RESOLUTION / resolution / C_KMS
    nodes = int(np.log1p(velocity_max / C_KMS) / log_step)
    log_start = np.log(blue) - 2 * log_step  # room for the interpolation weights
    pixels = int(np.ceil((np.log(red) - log_start) / log_step)) + 3
    log_grid = log_start + log_step * np.arange(-nodes, pixels + nodes)
    log_grid = np.clip(log_grid, log_wavelength[0], log_wavelength[-1])
    depth = curve(log_grid).astype(np.float32)
    basis, weights = _compress(depth)
    scan = _scanned(params)
    return ModelBank(
        params=params,
        depth=depth,
        slope=(curve(log_grid, 1) * log_step).astype(np.float32),
        basis=basis,
        weights=weights,
        shifted=_shift_all(basis, pixels, nodes),
        squares=_blocked_squares(depth, pixels, nodes),
        scan=scan,
        products=_blocked_products(depth[scan], pixels, nodes),
        log_start=float(log_start),
        log_step=log_step,
        last=float((np.log(red) - log_start) / log_step),
        pixels=pixels,
        nodes=nodes,
        closest=closest / (log_step * C_KMS),
        continuum_degree=continuum_degree,
        minimum_pixels=minimum_pixels,
    )


def _compress(curves: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Principal components (component, pixel) of curves (n, pixel), and their weights (component, n)."""
    left, size, right = np.linalg.svd(curves.astype(np.float64), full_matrices=False)
    keep = slice(COMPONENTS)
    return right[keep].astype(np.float32), (left[:, keep] * size[keep]).T.astype(np.float32)


def _shift_all(curves: np.ndarray, pixels: int, nodes: int) -> np.ndarray:
    """Curves (component, pixels + 2 * nodes) at every velocity: (pixels, velocity * component)."""
    windows = np.lib.stride_tricks.sliding_window_view(curves, pixels, axis=1)[:, ::-1]
    return np.ascontiguousarray(windows.transpose(2, 1, 0).reshape(pixels, -1))


def _scanned(params: np.ndarray) -> np.ndarray:
    teff, logg, feh, vsini = params.T
    dwarfs = (logg >= GIANT_LOGG) & (feh == feh[np.argmin(np.abs(feh))])
    slow = dwarfs & (vsini == vsini.min())
    if not slow.any():
        raise SettingsError("binaries.model: no template of a dwarf; add a log g of 3.5 or more to logg")
    rotators = []
    for hot, fast in SCAN_ROTATORS:
        candidates = np.flatnonzero(dwarfs)
        distance = np.hypot((teff - hot)[candidates] / 250, (vsini - fast)[candidates] / 10)
        rotators.append(candidates[distance.argmin()])
    return np.union1d(np.flatnonzero(slow), rotators)


def block_edges(pixels: int) -> np.ndarray:
    """First pixels (BLOCKS + 1,) of the blocks of `ModelBank.products`, and the end of the last one."""
    return np.linspace(0, pixels, BLOCKS + 1).astype(int)


def _blocked_squares(depth: np.ndarray, pixels: int, nodes: int) -> np.ndarray:
    """Sums (block, velocity, template) of the squares of curves (template, pixels + 2 * nodes)."""
    total = np.cumsum(np.pad(depth.astype(np.float64) ** 2, ((0, 0), (1, 0))), axis=1)
    # At the bluest velocity the grid begins 2 * nodes pixels into a curve.
    edges = block_edges(pixels)[:, None] + np.arange(2 * nodes, -1, -1)
    return np.diff(total[:, edges], axis=1).transpose(1, 2, 0).astype(np.float32)


def _blocked_products(depth: np.ndarray, pixels: int, nodes: int) -> np.ndarray:
    """Products (block, s, s, shift) of curves (s, pixels + 2 * nodes), summed over blocks of pixels.

    The first curve is at rest, the second one moved to the red by 0, 1, ... pixels.
    """
    shifts = 2 * nodes + 1
    edges = block_edges(pixels)
    padded = np.pad(depth, ((0, 0), (nodes, 0)))
    out = np.empty((BLOCKS, len(depth), len(depth), shifts), np.float32)
    for block, (low, high) in enumerate(itertools.pairwise(edges)):
        still = depth[:, nodes + low : nodes + high]
        for shift in range(shifts):
            first = 2 * nodes + low - shift
            out[block, :, :, shift] = still @ padded[:, first : first + high - low].T
    return out
