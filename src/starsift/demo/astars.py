"""A-type stars as SDSS sees them: parameters, magnitudes, spectra."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from scipy.ndimage import gaussian_filter1d
from scipy.sparse import csr_array

from starsift.demo.cutouts import draw_fwhm, zero_points
from starsift.resources import resource
from starsift.searches.bhb.photometry import load_relations
from starsift.sky.constants import C_KMS
from starsift.spectra.resample import LogGrid
from starsift.synthesis.degrade import add_noise, bad_runs, miscalibrate, shift, sky_lines

SHIPPED = resource("simulate/astars.parquet")
KINDS = ("BHB", "blue straggler", "A main sequence")  # labels of the bhb search
SHARES = (0.40, 0.35, 0.25)
G_R = (-0.24, -0.01)  # dereddened; a little inside the selection -0.25 to 0
G_RANGE, G_SHAPE = (15.0, 19.0), (2.0, 1.1)  # magnitudes: a beta distribution over the range

# Median S/N a pixel of the spectra by g magnitude, log-linear between: some 5 at the median magnitude, where
# spectra alone leave doubts.
SNR_G, SNR = (15.5, 18.0, 19.0), (25.0, 5.0, 2.5)
SNR_SCATTER = 0.12  # of ln(S/N), from fibre to fibre
SNR_WINDOW = (4000.0, 9000.0)  # Angstrom, where S/N is counted
RESOLUTION, TEMPLATE_RESOLUTION = 1900.0, 3000.0
GRID = LogGrid(3.5809, 1e-4, 3829)  # 3810-9200 Angstrom, vacuum
CALIBRATION = 0.05  # median rms of flux-calibration errors
PHOTOMETRIC = 0.05  # of the flux scale of spectra (fibre losses), of ln(flux)
BAD_RUNS = 1.5  # runs of bad pixels a spectrum

# Spikes that no mask knows: hits a spectrum, their median height over its brightest part, and the scatter of
# that; what is left of the sky's lines over the spectrum's level at S/N 1: [O I] 5577, the strongest other.
HITS, HIT_HEIGHT, HIT_SCATTER = 1.0, 1.2, 0.7
OXYGEN_LINE, OXYGEN, OTHER_LINES = 5578.9, 5.0, 3.0
CHUNK = 500

# Gravity, metallicity, velocity and rotation of the kinds.
BHB_LOGG, BHB_TEFF = (2.9, 3.5), (7500.0, 10_000.0)  # log g rises with Teff along the branch
LOGG = ((0.0, 0.12), (4.2, 0.2), (4.25, 0.08))  # mean and scatter; of BHB stars the branch is the mean
FEH = ((-1.8, 0.4), (-1.3, 0.5), (-0.2, 0.25))
RV_SIGMA = (110.0, 110.0, 35.0)  # km/s
VSINI = ((2.0, 30.0), (10.0, 110.0), (20.0, 200.0))  # km/s
ROTATION_NODES = 5  # of the quadrature over the disc of a rotating star

# Changes to the ridgelines of u-g and M_g over g-r in resources/bhb/relations.csv.
U_G_FEH = 0.03  # mag a dex over [Fe/H] = -1.3: metals redden u-g of the main sequence a little (assumed)
RIDGE_LOGG = (3.3, 4.0)  # the ridgelines hold at and beyond these gravities, and blend between
M_G_YOUNG = -0.3  # the main sequence of the disc against blue stragglers

# A / E(B-V): Schlegel, Finkbeiner & Davis 1998 (ApJ 500, 525), table 6; E(B-V) of the fields.
EXTINCTION = np.array([5.155, 3.793, 2.751, 2.086, 1.479])
EBV = (0.01, 0.08)

# Effective wavelengths of ugriz, Angstrom (sdss.org, page of the imaging camera), and
# trapezia near the response of g, r, i and z: g starts and z ends where the templates do.
EFFECTIVE = np.array([3551.0, 4686.0, 6166.0, 7480.0, 8932.0])

PASSBANDS = (
    (3850.0, 4250.0, 5250.0, 5500.0),
    (5450.0, 5700.0, 6700.0, 6950.0),
    (6850.0, 7150.0, 8100.0, 8400.0),
    (8150.0, 8400.0, 9030.0, 9036.0),
)

AB = 48.6
QUANTISED_MAX = 65535
FOOTER_KEY = b"starsift.astars"


@dataclass(frozen=True)
class AStars:
    """Stars (n,) and how they are observed; bands are u, g, r, i, z."""

    kind: np.ndarray  # (n,) str, of `KINDS`
    # teff, logg, feh: (n,) float64, K, dex (cgs), dex
    teff: np.ndarray
    logg: np.ndarray
    feh: np.ndarray
    # rv, vsini: (n,) float64, km/s
    rv: np.ndarray
    vsini: np.ndarray
    magnitude: np.ndarray  # (n, 5) float64: true, behind dust (AB)
    extinction: np.ndarray  # (n, 5) float64: mag
    # m_g, distance: (n,) float64, absolute magnitude in g; kpc
    m_g: np.ndarray
    distance: np.ndarray
    snr: np.ndarray  # (n,) float64: median a pixel, 4000-9000 Angstrom
    field: np.ndarray  # (n,) int: region of the sky with zero points of its own
    zero_point: np.ndarray  # (n, 5) float64: errors of the photometry, mag
    fwhm: np.ndarray  # (n, 5) float64: of the images' point-spread function, arcsec
    # (n, 2) float64, of the star from the middle of its image (y, x), pixels; the same in all bands
    offset: np.ndarray

    @property
    def n(self) -> int:
        """Number of stars."""
        return len(self.kind)

    def take(self, rows: np.ndarray) -> AStars:
        """Stars `rows`."""
        return AStars(**{one.name: getattr(self, one.name)[rows] for one in fields(self)})


def read_templates(path: str | Path = SHIPPED) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Parameters (n, 3), log10 of the wavelengths (p,) in Angstrom, surface fluxes (n, p) float64."""
    table = pq.read_table(path)
    footer = json.loads(table.schema.metadata[FOOTER_KEY])
    packed = np.stack(table["flux"].combine_chunks().to_numpy(zero_copy_only=False))
    params = np.stack([table[name].to_numpy() for name in ("teff", "logg", "feh")], axis=1).astype(np.float64)
    flux = packed * (table["scale"].to_numpy() / QUANTISED_MAX)[:, None]
    return params, footer["log10_lambda0"] + footer["dlog10_lambda"] * np.arange(flux.shape[1]), flux


@dataclass(frozen=True)
class _Grid:
    """A whole grid: `axes` ascend; `log_flux` (a b c, p) on `GRID`; AB `magnitude` (a b c, 4) in griz."""

    axes: tuple[np.ndarray, ...]
    log_flux: np.ndarray
    magnitude: np.ndarray

    def weights(self, *values: np.ndarray) -> csr_array:
        """Trilinear weights (n, a b c) of parameters (n,), which are clipped to the grid."""
        n = len(values[0])
        index, weight = np.zeros((n, 1), dtype=np.int64), np.ones((n, 1))
        for axis, value in zip(self.axes, values, strict=True):
            inside = np.clip(value, axis[0], axis[-1])
            low = np.clip(np.searchsorted(axis, inside, side="right") - 1, 0, len(axis) - 2)
            share = ((inside - axis[low]) / (axis[low + 1] - axis[low]))[:, None]
            index = np.concatenate([index * len(axis) + k[:, None] for k in (low, low + 1)], axis=1)
            weight = np.concatenate([weight * (1 - share), weight * share], axis=1)
        rows = np.repeat(np.arange(n), index.shape[1])
        return csr_array((weight.ravel(), (rows, index.ravel())), shape=(n, len(self.log_flux)))


@cache
def template_grid(path: str | Path = SHIPPED) -> _Grid:
    """The templates at the resolution of SDSS on `GRID`, continued smoothly to its ends.

    Combinations that are missing (the hottest metal-poor stars) take those of the next metallicity, changed
    as metallicity changes the next cooler ones.
    """
    params, log10_wavelength, flux = read_templates(path)
    sigma = np.sqrt(RESOLUTION**-2 - TEMPLATE_RESOLUTION**-2) / (2.3548 * np.log(10) * GRID.dlog10_lambda)
    log_flux = np.log(gaussian_filter1d(flux, sigma, axis=1, mode="nearest"))
    axes = tuple(np.unique(params[:, i]) for i in range(3))
    whole = np.full((*map(len, axes), log_flux.shape[1]), np.nan)
    whole[tuple(np.searchsorted(axis, params[:, i]) for i, axis in enumerate(axes))] = log_flux
    for a, b, c in np.argwhere(np.isnan(whole[..., 0])):
        whole[a, b, c] = whole[a, b, c + 1] + whole[a - 1, b, c] - whole[a - 1, b, c + 1]
    nodes = whole.reshape(-1, whole.shape[-1])
    x = GRID.log10_lambda0 + GRID.dlog10_lambda * np.arange(GRID.pixels)
    slope = np.polyfit(log10_wavelength, nodes.T, 1)[0][:, None]
    first = round((log10_wavelength[0] - x[0]) / GRID.dlog10_lambda)
    last = first + len(log10_wavelength)
    continued = np.concatenate(
        [
            nodes[:, :1] + slope * (x[:first] - x[first]),
            nodes,
            nodes[:, -1:] + slope * (x[last:] - x[last - 1]),
        ],
        axis=1,
    )
    return _Grid(axes, continued.astype(np.float32), synthetic_magnitudes(np.exp(continued)))


def synthetic_magnitudes(flux: np.ndarray) -> np.ndarray:
    """AB magnitudes (n, 4) in g, r, i and z of fluxes (n, p) on `GRID`, erg/s/cm2/Angstrom, any distance."""
    wavelength = GRID.wavelength
    response = np.stack([np.interp(wavelength, edges, (0, 1, 1, 0)) for edges in PASSBANDS])
    # d lambda is proportional to lambda on this grid; photons count.
    photons = flux @ (response * wavelength**2).T
    flat = response.sum(axis=1) * C_KMS * 1e13  # c in Angstrom/s
    return -2.5 * np.log10(photons / flat) - AB


def _normal(rng: np.random.Generator, table: tuple[tuple[float, float], ...], kind: np.ndarray) -> np.ndarray:
    mean, scatter = np.array(table)[kind].T
    return mean + scatter * rng.standard_normal(len(kind))


def _teff_of(g_r: np.ndarray, logg: np.ndarray, feh: np.ndarray) -> np.ndarray:
    """Teff (n,) at which stars have a colour g-r (n,); it reddens with every step to cooler templates."""
    grid = template_grid()
    teff = grid.axes[0]
    colour = np.stack(
        [grid.weights(np.full_like(logg, t), logg, feh) @ _colours(grid.magnitude)[:, 0] for t in teff],
        axis=1,
    )
    low = np.clip((colour > g_r[:, None]).sum(axis=1) - 1, 0, len(teff) - 2)[:, None]
    left, right = (np.take_along_axis(colour, low + k, axis=1)[:, 0] for k in (0, 1))
    share = np.clip((g_r - left) / (right - left), 0, 1)
    return teff[low[:, 0]] + share * (teff[low[:, 0] + 1] - teff[low[:, 0]])


def _colours(magnitude: np.ndarray) -> np.ndarray:
    """g-r, r-i, i-z (n, 3) of griz magnitudes (n, 4)."""
    return magnitude[:, :-1] - magnitude[:, 1:]


def draw_astars(rng: np.random.Generator, n: int, n_fields: int = 8) -> AStars:
    """Stars of the three kinds, seen in `n_fields` regions of the sky, in random order."""
    counts = [round(share * n) for share in SHARES[1:]]
    kind = rng.permutation(np.repeat(np.arange(3), [n - sum(counts), *counts]))
    g_r = rng.uniform(*G_R, n)
    feh = np.clip(_normal(rng, FEH, kind), -2.0, 0.0)
    logg = _normal(rng, LOGG, kind)
    branch = np.interp(_teff_of(g_r, np.full(n, 3.2), feh), BHB_TEFF, BHB_LOGG)
    logg = np.clip(np.where(kind == 0, logg + branch, logg), 2.5, 4.5)
    teff = _teff_of(g_r, logg, feh)
    grid = template_grid()
    colours = grid.weights(teff, logg, feh) @ _colours(grid.magnitude)
    g_r = colours[:, 0]
    relations = load_relations()
    bhb, other = relations["u_g_bhb"], relations["u_g_bs"]
    high = np.interp(logg, RIDGE_LOGG, (0, 1))
    u_g = (1 - high) * bhb(g_r) + high * other(g_r) + np.where(kind == 2, U_G_FEH * (feh + 1.3), 0.0)
    u_g += np.where(kind == 0, bhb.scatter, other.scatter) * rng.standard_normal(n)
    bhb, other = relations["m_g_bhb"], relations["m_g_bs"]
    m_g = np.where(kind == 0, bhb(g_r), other(g_r) + np.where(kind == 2, M_G_YOUNG, 0.0))
    m_g += np.where(kind == 0, bhb.scatter, other.scatter) * rng.standard_normal(n)
    field = rng.permutation(n) % n_fields
    dust = rng.uniform(*EBV, n_fields)[field] * rng.lognormal(0, 0.1, n)
    extinction = np.clip(dust, *EBV)[:, None] * EXTINCTION
    g = G_RANGE[0] + (G_RANGE[1] - G_RANGE[0]) * rng.beta(*G_SHAPE, n)
    r, i, z = (g - colours[:, : k + 1].sum(axis=1) for k in range(3))
    bare = np.stack([g + u_g, g, r, i, z], axis=1) - extinction[:, 1:2]  # the survey's limits are behind dust
    low, top = np.array(VSINI)[kind].T
    return AStars(
        kind=np.array(KINDS)[kind],
        teff=teff,
        logg=logg,
        feh=feh,
        rv=np.array(RV_SIGMA)[kind] * rng.standard_normal(n),
        vsini=rng.uniform(low, top),
        magnitude=bare + extinction,
        extinction=extinction,
        m_g=m_g,
        distance=10 ** ((bare[:, 1] - m_g) / 5 - 2),
        snr=np.exp(np.interp(g, SNR_G, np.log(SNR)) + SNR_SCATTER * rng.standard_normal(n)),
        field=field,
        zero_point=zero_points(rng, n_fields)[field],
        fwhm=draw_fwhm(rng, n),
        offset=rng.uniform(-0.5, 0.5, (n, 2)),
    )


def noiseless(stars: AStars) -> np.ndarray:
    """Spectra (n, p) float32 on `GRID`, moving, rotating, behind dust; 1e-17 erg/s/cm2/Angstrom."""
    grid = template_grid()
    flux = np.exp(grid.weights(stars.teff, stars.logg, stars.feh).astype(np.float32) @ grid.log_flux)
    # Gauss-Chebyshev quadrature of the second kind over a disc of even brightness.
    angle = np.pi * np.arange(1, ROTATION_NODES + 1) / (ROTATION_NODES + 1)
    weight = np.sin(angle) ** 2
    moved = np.zeros_like(flux)
    for x, w in zip(np.cos(angle), weight / weight.sum(), strict=True):
        moved += np.float32(w) * shift(GRID, flux, stars.rv + x * stars.vsini)
    nodes = np.log10(EFFECTIVE)
    curve = np.stack([np.interp(np.log10(GRID.wavelength), nodes, unit) for unit in np.eye(5)])
    moved *= 10 ** (-0.4 * (stars.extinction.astype(np.float32) @ curve.astype(np.float32)))
    level = synthetic_magnitudes(moved)[:, 0] - stars.magnitude[:, 1]
    return moved * (1e17 * 10 ** (0.4 * level)).astype(np.float32)[:, None]


def observe_astars(rng: np.random.Generator, stars: AStars) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Expose spectra: noise, residuals of the sky, calibration errors, runs of bad pixels.

    Returns flux, ivar (n, p) float32 on `GRID`, 1e-17 erg/s/cm2/Angstrom; and mask (n, p), bad pixels of ivar
    0.
    """
    n, p = stars.n, GRID.pixels
    flux, ivar = np.empty((2, n, p), dtype=np.float32)
    mask = np.zeros((n, p), dtype=bool)
    for start in range(0, n, CHUNK):
        part = np.arange(start, min(start + CHUNK, n))
        ideal = noiseless(stars.take(part)) * rng.lognormal(0, PHOTOMETRIC, (len(part), 1)).astype(np.float32)
        ideal = miscalibrate(ideal, rng.lognormal(np.log(CALIBRATION), 0.4, len(part)), rng)
        flux[part], ivar[part] = add_noise(ideal, stars.snr[part], rng, GRID.wavelength, SNR_WINDOW)
        add_spikes(rng, flux[part[0] : part[-1] + 1], stars.snr[part])
    bad_runs(rng, mask, BAD_RUNS)
    ivar[mask] = 0.0
    return flux, ivar, mask


def add_spikes(rng: np.random.Generator, flux: np.ndarray, snr: np.ndarray) -> None:
    """Add residuals of sky lines and hits of cosmic rays to spectra (n, p) on `GRID`, in place.

    They matter where the greatest flux of a spectrum sets its scale.
    """
    n, p = flux.shape
    level, top = np.median(flux, axis=1), np.percentile(flux, 98, axis=1)
    others = sky_lines(GRID.wavelength)
    oxygen = np.exp(-0.5 * ((np.arange(p) - np.argmin(abs(GRID.wavelength - OXYGEN_LINE))) / 1.5) ** 2)
    for profile, size in ((others / others.max(), OTHER_LINES), (oxygen, OXYGEN)):
        left = (level * size / snr * rng.standard_normal(n)).astype(np.float32)
        flux += left[:, None] * profile.astype(np.float32)
    hits = rng.poisson(HITS * n)
    row, at = rng.integers(0, n, hits), rng.integers(0, p - 1, hits)
    height = top[row] * rng.lognormal(np.log(HIT_HEIGHT), HIT_SCATTER, hits)
    np.add.at(flux, (row, at), height)
    np.add.at(flux, (row, at + 1), 0.5 * height)
