"""A simulated SDSS survey of A-type stars: which of them are on the blue horizontal branch is in the truth.

Stars of three kinds share one distribution of magnitudes and of g-r. They differ as physics says: in gravity
(wings of Balmer lines, Balmer jump), in metallicity (metal lines), in rotation and velocity. The Balmer jump
is not in the spectra, which are of use from 4000 Angstrom on; it is in u-g, so in the images only.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from scipy.ndimage import gaussian_filter1d
from scipy.sparse import csr_array
from threadpoolctl import threadpool_limits

from starsift.demo import fitswriter
from starsift.demo.cutouts import PIXEL, draw_cutouts, draw_fwhm, measure_magnitudes, zero_points
from starsift.demo.fitswriter import Card
from starsift.demo.lrs import described_table
from starsift.errors import SettingsError
from starsift.io.parquet import write_csv, write_parquet
from starsift.resources import resource
from starsift.searches.bhb.dataset import BANDS, CLASSES
from starsift.searches.bhb.photometry import load_relations
from starsift.sky.constants import C_KMS
from starsift.spectra.resample import LogGrid
from starsift.survey.sdss import obsid
from starsift.synthesis.degrade import add_noise, damage, miscalibrate, shift, sky_lines

SHIPPED = resource("simulate/astars.parquet")

KINDS = ("BHB", "blue straggler", "A main sequence")  # labels of the bhb path
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

# The survey: plates of two nights each; what is wrong with some of its spectra and images.
PLATE_STARS, FIBRES, PLATES = 480, 640, 200
FIRST_PLATE, FIRST_NIGHT, LATER = 2303, 53_700, 730  # LATER: days between the visits of a plate
EXPTIME = 2700.0  # s
AGAIN = 0.04  # share of spectra that are of a star seen before, on the plate's other night
POSITION_ERROR = 0.05  # arcsec, from visit to visit
SPECTRUM_DEFECTS = {"short": 0.015, "damaged": 0.01, "masked": 0.005}
BROKEN = 0.0006  # share of spectra whose file cannot be read, one at least
IMAGE_DEFECTS = {"no file": 0.02, "misaligned": 0.01, "gap": 0.01, "missing band": 0.003}
FULL_REJECT, PARTIAL_REJECT = 1 << 18, 1 << 19  # bits of and_mask and or_mask (SDSS's SPPIXMASK)
SKY_FLUX = 3.0  # of the sky's continuum in a fibre, 1e-17 erg/s/cm2/Angstrom

TRUTH = {
    "spectrum_id": (pa.string(), "file stem", ""),
    "obsid": (pa.int64(), "one number of plate, night and fibre", ""),
    "star": (pa.int32(), "row of the star: the same in all its spectra", ""),
    "visits": (pa.int8(), "spectra of this star", ""),
    "labelled": (pa.bool_(), "listed in labelled.csv; all others are the pool", ""),
    "kind": (pa.string(), "BHB, blue straggler or A main sequence", ""),
    "class": (pa.string(), "BHB or not BHB", ""),
    "teff": (pa.float32(), "effective temperature", "K"),
    "logg": (pa.float32(), "surface gravity", "dex(cm/s2)"),
    "feh": (pa.float32(), "metallicity", "dex"),
    "rv": (pa.float32(), "heliocentric velocity", "km/s"),
    "vsini": (pa.float32(), "projected rotation", "km/s"),
    "u_g": (pa.float32(), "u-g without dust", "mag"),
    "g_r": (pa.float32(), "g-r without dust", "mag"),
    "g": (pa.float32(), "behind dust", "mag"),
    "a_g": (pa.float32(), "extinction in g", "mag"),
    "m_g": (pa.float32(), "absolute magnitude in g", "mag"),
    "distance": (pa.float32(), "heliocentric", "kpc"),
    "snr": (pa.float32(), "median S/N a pixel, 4000-9000 Angstrom, that the noise was made for", ""),
    "fwhm_r": (pa.float32(), "of the point-spread function in r", "arcsec"),
    "spectrum_defect": (
        pa.string(),
        "none, short (not all of 4000-9000 Angstrom), damaged, masked (altogether) or broken (file)",
        "",
    ),
    "image_defect": (pa.string(), "none, no file, misaligned, gap or missing band", ""),
}

QUANTISED_MAX = 65535
FOOTER_KEY = b"starsift.astars"


@dataclass(frozen=True)
class AStars:
    """Stars (n,) and how they are observed; bands are u, g, r, i, z.

    Attributes
    ----------
    kind : (n,) str, of `KINDS`
    teff, logg, feh : (n,) float64
        K, dex (cgs), dex.
    rv, vsini : (n,) float64
        km/s.
    magnitude : (n, 5) float64
        True, behind dust (AB).
    extinction : (n, 5) float64
        mag.
    m_g, distance : (n,) float64
        Absolute magnitude in g; kpc.
    snr : (n,) float64
        Median a pixel, 4000-9000 Angstrom.
    field : (n,) int
        Region of the sky with zero points of its own.
    zero_point : (n, 5) float64
        Errors of the photometry, mag.
    fwhm : (n, 5) float64
        Of the images' point-spread function, arcsec.
    offset : (n, 2) float64
        Of the star from the middle of its image (y, x), pixels; the same in all bands.
    """

    kind: np.ndarray
    teff: np.ndarray
    logg: np.ndarray
    feh: np.ndarray
    rv: np.ndarray
    vsini: np.ndarray
    magnitude: np.ndarray
    extinction: np.ndarray
    m_g: np.ndarray
    distance: np.ndarray
    snr: np.ndarray
    field: np.ndarray
    zero_point: np.ndarray
    fwhm: np.ndarray
    offset: np.ndarray

    @property
    def n(self) -> int:
        """Number of stars."""
        return len(self.kind)

    def take(self, rows: np.ndarray) -> AStars:
        """Stars `rows`."""
        return AStars(**{one.name: getattr(self, one.name)[rows] for one in fields(self)})


# Templates.


def pack_templates(source: str | Path, target: str | Path) -> None:
    """Write templates as ``resources/simulate/astars.parquet``: fluxes of 16 bits over the greatest of each.

    Parameters
    ----------
    source : .npz with `params` (n, 3), `log10_wavelength` (p,) and `flux` (n, p)
    target : path
    """
    grid = np.load(source)
    flux = grid["flux"].astype(np.float64)
    scale = flux.max(axis=1)
    packed = np.rint(flux / scale[:, None] * QUANTISED_MAX).astype(np.uint16)
    columns = {
        name: grid["params"][:, i].astype(np.float32) for i, name in enumerate(("teff", "logg", "feh"))
    }
    table = pa.table(
        columns
        | {
            "scale": scale,
            "flux": pa.FixedSizeListArray.from_arrays(pa.array(packed.ravel()), packed.shape[1]),
        }
    )
    start = round(float(grid["log10_wavelength"][0]), 6)
    footer = {"log10_lambda0": start, "dlog10_lambda": 1e-4, "resolution": TEMPLATE_RESOLUTION}
    table = table.replace_schema_metadata({FOOTER_KEY: json.dumps(footer).encode()})
    pq.write_table(table, target, compression="zstd", compression_level=19, use_dictionary=False)


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


# Stars.


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
    """Stars of the three kinds, seen in `n_fields` regions of the sky, in random order.

    Parameters
    ----------
    rng : numpy Generator
    n : int
    n_fields : int

    Returns
    -------
    AStars
    """
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


# Spectra.


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

    Returns
    -------
    flux, ivar : (n, p) float32
        On `GRID`, 1e-17 erg/s/cm2/Angstrom.
    mask : (n, p) bool
        Bad pixels, their ivar is 0.
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
    bad_runs(rng, mask)
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


def bad_runs(rng: np.random.Generator, mask: np.ndarray, mean: float = BAD_RUNS) -> None:
    """Set short runs of pixels in masks (n, p), in place."""
    n, p = mask.shape
    runs = rng.poisson(mean * n)
    for i, a, m in zip(
        rng.integers(0, n, runs), rng.integers(0, p, runs), rng.geometric(0.25, runs), strict=True
    ):
        mask[i, a : a + m] = True


# The survey.


@dataclass(frozen=True)
class _Survey:
    """n spectra of stars: which star (row), plate, night, fibre, place (degrees), S/N, defects of each."""

    stars: AStars
    star: np.ndarray
    plate: np.ndarray
    mjd: np.ndarray
    fiber: np.ndarray
    ra: np.ndarray
    dec: np.ndarray
    snr: np.ndarray
    spectrum_defect: np.ndarray
    image_defect: np.ndarray  # of each star, as all its spectra have one image

    @property
    def names(self) -> list[str]:
        """Folder and ``PPPP-MMMMM-FFFF`` of each spectrum."""
        return [
            f"{plate:04d}/{{}}-{plate:04d}-{mjd}-{fiber:04d}"
            for plate, mjd, fiber in zip(
                *(x.tolist() for x in (self.plate, self.mjd, self.fiber)), strict=True
            )
        ]


def _positions(rng: np.random.Generator, field: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Right ascension and declination (n,) of stars on plates (n,), an arcminute or more apart."""
    n = len(field)
    east, north = np.empty((2, n))
    for one in np.unique(field):
        rows = np.flatnonzero(field == one)
        side = int(np.ceil(np.sqrt(len(rows))))
        cell = rng.permutation(side * side)[: len(rows)]
        for values, k in ((east, cell % side), (north, cell // side)):
            values[rows] = (k + 0.5 + rng.uniform(-0.3, 0.3, len(rows))) / side - 0.5
    dec = 4.0 + 6.0 * (field // 20) + 2.0 * north
    return 125.0 + 6.0 * (field % 20) + 2.0 * east / np.cos(np.radians(dec)), dec


def _defects(rng: np.random.Generator, n: int, shares: dict[str, float]) -> np.ndarray:
    """One defect, or none, for each of n."""
    left = 1 - sum(shares.values())
    return rng.choice([*shares, "none"], n, p=[*shares.values(), left]).astype("U12")


def _draw_survey(rng: np.random.Generator, n: int) -> _Survey:
    """Stars, and n spectra of them, in the order of plate, night and fibre."""
    n_stars = n - round(AGAIN * n)
    n_plates = -(-n_stars // PLATE_STARS)
    stars = draw_astars(rng, n_stars, n_plates)
    star = np.concatenate([np.arange(n_stars), rng.choice(n_stars, n - n_stars, replace=False)])
    night = rng.integers(0, 2, n_stars)[star]
    night[n_stars:] = 1 - night[n_stars:]
    field = stars.field[star]
    mjd = FIRST_NIGHT + field % 2 + LATER * night
    fiber = np.empty(n, dtype=np.int64)
    for one in np.unique(2 * field + night):
        rows = np.flatnonzero(2 * field + night == one)
        fiber[rows] = rng.permutation(FIBRES)[: len(rows)] + 1
    ra, dec = (x[star] for x in _positions(rng, stars.field))
    error = np.clip(POSITION_ERROR * rng.standard_normal((2, n)), -0.1, 0.1) / 3600
    snr = stars.snr[star] * np.where(np.arange(n) < n_stars, 1.0, rng.lognormal(0, 0.2, n))
    defect = _defects(rng, n, SPECTRUM_DEFECTS)
    defect[rng.choice(n, max(1, round(BROKEN * n)), replace=False)] = "broken"
    order = np.lexsort([fiber, mjd, field])
    return _Survey(
        stars,
        star[order],
        (FIRST_PLATE + 7 * field)[order],
        mjd[order],
        fiber[order],
        (ra + error[0] / np.cos(np.radians(dec))).round(7)[order],
        (dec + error[1]).round(7)[order],
        snr[order],
        defect[order],
        _defects(rng, n_stars, IMAGE_DEFECTS),
    )


def _write(path: Path, parts: Sequence[bytes]) -> None:
    temporary = path.with_name(f".{path.name}.part")
    temporary.write_bytes(b"".join(parts))
    temporary.replace(path)


def _subclasses(rng: np.random.Generator, teff: np.ndarray) -> np.ndarray:
    """Types (n,) bytes as a pipeline gives them, by temperature alone."""
    return np.where(teff + 200 * rng.standard_normal(len(teff)) > 8000, b"A0", b"F2").astype("S6")


def _write_spectra(root: Path, rng: np.random.Generator, survey: _Survey, subclass: np.ndarray) -> np.ndarray:
    """One file a spectrum; returns the median S/N (n,) of their pixels."""
    n = len(survey.star)
    names, ratio = survey.names, np.zeros(n)
    loglam = (GRID.log10_lambda0 + GRID.dlog10_lambda * np.arange(GRID.pixels)).astype(np.float32)
    sky = SKY_FLUX * (1 + sky_lines(GRID.wavelength))
    for start in range(0, n, CHUNK):
        rows = np.arange(start, min(start + CHUNK, n))
        defect = survey.spectrum_defect[rows]
        flux, ivar, bad = observe_astars(
            rng, replace(survey.stars.take(survey.star[rows]), snr=survey.snr[rows])
        )
        broken = np.flatnonzero(defect == "damaged")
        flux[broken], ivar[broken] = damage(flux[broken], ivar[broken], rng, GRID.wavelength)
        bad |= (ivar == 0) | (defect == "masked")[:, None]
        partial = np.zeros_like(bad)  # lost in one of the exposures only
        bad_runs(rng, partial)
        ivar[bad] = 0.0
        and_mask = np.where(bad, FULL_REJECT, 0).astype(np.int32)
        or_mask = and_mask | np.where(partial, PARTIAL_REJECT, 0).astype(np.int32)
        glow = rng.lognormal(0, 0.2, len(rows))
        # Cut at one end: after 4000 Angstrom, or before 9000.
        first, last = np.zeros(len(rows), dtype=int), np.full(len(rows), GRID.pixels)
        blue = rng.random(len(rows)) < 0.5
        limit = np.where(blue, rng.uniform(4050, 4600, len(rows)), rng.uniform(8200, 8950, len(rows)))
        pixel = np.searchsorted(GRID.wavelength, limit)
        short = defect == "short"
        first[short & blue], last[short & ~blue] = pixel[short & blue], pixel[short & ~blue]
        for i, row in enumerate(rows.tolist()):
            cut = slice(first[i], last[i])
            good = ivar[i, cut] > 0
            snr = flux[i, cut][good] * np.sqrt(ivar[i, cut][good])
            ratio[row] = np.median(snr) if snr.size else 0.0
            columns = {
                "flux": flux[i, cut],
                "loglam": loglam[cut],
                "ivar": ivar[i, cut],
                "and_mask": and_mask[i, cut],
                "or_mask": or_mask[i, cut],
                "sky": (sky[cut] * glow[i]).astype(np.float32),
            }
            parts = [
                fitswriter.primary(_cards(survey, row)),
                fitswriter.table("COADD", columns, [], tall=True),
                fitswriter.table("SPECOBJ", _classification(survey, row, subclass, ratio), [], tall=True),
            ]
            if defect[i] == "broken":  # half of a file, as a copy that was interrupted
                parts = [b"".join(parts)[:40_000]]
            _write(root / f"{names[row].format('spec')}.fits", parts)
    return ratio


def _cards(survey: _Survey, row: int) -> list[Card]:
    field_ra, field_dec = survey.ra[row].round(0), survey.dec[row].round(0)
    return [
        ("TELESCOP", "SDSS 2.5-M", ""),
        ("ORIGIN", "SIMULATED", "not an observation"),
        ("AUTHOR", "starsift", "who made this file"),
        ("RA", float(field_ra), "[deg] of the telescope, about"),
        ("DEC", float(field_dec), "[deg] of the telescope, about"),
        ("RADECSYS", "ICRS", ""),
        ("EQUINOX", 2000.0, ""),
        ("MJD", int(survey.mjd[row]), "modified Julian day"),
        ("PLATEID", int(survey.plate[row]), "plate"),
        ("FIBERID", int(survey.fiber[row]), "fibre"),
        ("PLUG_RA", float(survey.ra[row]), "[deg] right ascension of the object"),
        ("PLUG_DEC", float(survey.dec[row]), "[deg] declination of the object"),
        ("EXPTIME", EXPTIME, "[s] summed exposure time"),
        ("VACUUM", True, "wavelengths are in vacuum"),
        ("COEFF0", GRID.log10_lambda0, "log10(wavelength) of the grid's first pixel"),
        ("COEFF1", GRID.dlog10_lambda, "log10 step a pixel"),
        ("BUNIT", "1E-17 erg/cm^2/s/Ang", "of fluxes"),
    ]


def _classification(
    survey: _Survey, row: int, subclass: np.ndarray, ratio: np.ndarray
) -> dict[str, np.ndarray]:
    """The one row of what a pipeline says of a spectrum."""
    return {
        "PLATE": np.array([survey.plate[row]], np.int32),
        "MJD": np.array([survey.mjd[row]], np.int32),
        "FIBERID": np.array([survey.fiber[row]], np.int32),
        "PLUG_RA": np.array([survey.ra[row]], np.float64),
        "PLUG_DEC": np.array([survey.dec[row]], np.float64),
        "CLASS": np.array([b"STAR"], "S6"),
        "SUBCLASS": subclass[row : row + 1],
        "SN_MEDIAN_ALL": np.array([ratio[row]], np.float32),
    }


def _write_cutouts(root: Path, rng: np.random.Generator, survey: _Survey, size: int) -> None:
    """One file a spectrum, those of one star alike; a file has an image a band."""
    names = survey.names
    spectra = np.argsort(survey.star, kind="stable")
    first = np.searchsorted(survey.star[spectra], np.arange(survey.stars.n + 1))
    for start in range(0, survey.stars.n, CHUNK):
        rows = np.arange(start, min(start + CHUNK, survey.stars.n))
        images = draw_cutouts(rng, survey.stars.take(rows), size)
        for star, bands in zip(rows, images, strict=True):
            defect = survey.image_defect[star]
            if defect == "no file":
                continue
            own = spectra[first[star] : first[star + 1]]
            middle = np.tile((size + 1) / 2 + survey.stars.offset[star], (5, 1))
            lost = -1
            if defect == "misaligned":
                # Another piece of the sky: the header tells of it, or it does not.
                band, known = int(rng.integers(5)), bool(rng.integers(2))
                moved = _displacement(rng)
                bands[band] = np.roll(bands[band], moved, axis=(0, 1))
                middle[band] += moved if known else 0
            elif defect == "gap":
                _cut(rng, bands)
            elif defect == "missing band":
                lost = int(rng.integers(5))
            parts = [fitswriter.primary([("ORIGIN", "SIMULATED", "not an observation")])]
            for k, (name, image) in enumerate(zip(BANDS, bands, strict=True)):
                if k != lost:
                    cards = _image_cards(name, survey.ra[own[0]], survey.dec[own[0]], *middle[k])
                    parts.append(fitswriter.image(image, cards, extension=True))
            for row in own:
                _write(root / f"{names[row].format('cutout')}.fits", parts)


def _displacement(rng: np.random.Generator) -> tuple[int, int]:
    """Pixels in y and x, 2 to 5 away."""
    angle, away = rng.uniform(0, 2 * np.pi), rng.uniform(2.8, 4.5)
    return round(away * np.sin(angle)), round(away * np.cos(angle))


def _cut(rng: np.random.Generator, bands: np.ndarray) -> None:
    """A strip without data through one band or all (5, size, size), in place: 0 or NaN."""
    band = int(rng.integers(5))
    some = bands if rng.random() < 0.5 else bands[band : band + 1]
    strip = some if rng.random() < 0.5 else some.transpose(0, 2, 1)
    first = int(rng.integers(0, bands.shape[-1] - 3))
    strip[:, first : first + int(rng.integers(3, 9))] = rng.choice([0.0, np.nan])


def _image_cards(band: str, ra: float, dec: float, y: float, x: float) -> list[Card]:
    return [
        ("EXTNAME", band, "name of this extension"),
        ("FILTER", band, "SDSS band"),
        ("BUNIT", "nanomaggy", "22.5 mag has flux 1"),
        ("CTYPE1", "RA---TAN", ""),
        ("CTYPE2", "DEC--TAN", ""),
        ("CUNIT1", "deg", ""),
        ("CUNIT2", "deg", ""),
        ("CRPIX1", float(x), "of the star, from 1"),
        ("CRPIX2", float(y), "of the star, from 1"),
        ("CRVAL1", float(ra), "[deg] right ascension"),
        ("CRVAL2", float(dec), "[deg] declination"),
        ("CD1_1", -PIXEL / 3600, "east is left"),
        ("CD1_2", 0.0, ""),
        ("CD2_1", 0.0, ""),
        ("CD2_2", PIXEL / 3600, "north is up"),
        ("RADESYS", "ICRS", ""),
    ]


def _write_catalog(
    path: Path, survey: _Survey, photometry: np.ndarray, columns: dict[str, np.ndarray]
) -> None:
    """All spectra as a FITS table."""
    extinction = survey.stars.extinction[survey.star].astype(np.float32)
    table = {
        "plate": survey.plate.astype(np.int32),
        "mjd": survey.mjd.astype(np.int32),
        "fiberid": survey.fiber.astype(np.int16),
        "ra": survey.ra,
        "dec": survey.dec,
        **columns,
        **{f"psfmag_{band}": photometry[survey.star, k] for k, band in enumerate(BANDS)},
        **{f"extinction_{band}": extinction[:, k] for k, band in enumerate(BANDS)},
    }
    units = {"mjd": "d", "ra": "deg", "dec": "deg"}
    units |= {name: "mag" for name in table if name.startswith(("psfmag", "extinction"))}
    cards: list[Card] = [(f"TUNIT{i}", units[name], "") for i, name in enumerate(table, 1) if name in units]
    _write(path, [fitswriter.primary([]), fitswriter.table("SPECTRA", table, cards, tall=True)])


def _truth(survey: _Survey, labelled: np.ndarray) -> pa.Table:
    stars, row = survey.stars, survey.star
    bare = (stars.magnitude - stars.extinction)[row]
    known = np.ones(len(row), dtype=bool)
    values = {
        "spectrum_id": np.array([Path(name.format("spec")).name for name in survey.names]),
        "obsid": obsid(survey.plate, survey.mjd, survey.fiber),  # type: ignore[arg-type]
        "star": row,
        "visits": np.bincount(row)[row],
        "labelled": labelled,
        "kind": stars.kind[row],
        "class": np.array(CLASSES)[(stars.kind == KINDS[0]).astype(int)][row],
        **{
            name: getattr(stars, name)[row]
            for name in ("teff", "logg", "feh", "rv", "vsini", "m_g", "distance")
        },
        "u_g": bare[:, 0] - bare[:, 1],
        "g_r": bare[:, 1] - bare[:, 2],
        "g": stars.magnitude[row, 1],
        "a_g": stars.extinction[row, 1],
        "snr": survey.snr,
        "fwhm_r": stars.fwhm[row, 2],
        "spectrum_defect": survey.spectrum_defect,
        "image_defect": survey.image_defect[row],
    }
    return described_table(TRUTH, {name: (value, known) for name, value in values.items()})


def simulate_sdss(
    folder: str | Path, *, seed: int, n_labelled: int, n_pool: int, size: int = 32
) -> dict[str, int]:
    """Write an SDSS survey of A-type stars, some of which have labels.

    `folder` receives ``spectra/{plate}/spec-PPPP-MMMMM-FFFF.fits``; images in five bands,
    ``cutouts/{plate}/cutout-PPPP-MMMMM-FFFF.fits``; ``catalog.fits``, all spectra with their photometry;
    ``labelled.csv``; and ``truth.parquet``.

    Parameters
    ----------
    folder : path
    seed : int
        Of everything; equal seeds and settings give equal bytes.
    n_labelled, n_pool : int
        Spectra with and without a label.
    size : int
        Pixels a side of the images.

    Returns
    -------
    dict
        Counts: plates, stars, labelled, pool, and of the latter two those of BHB stars.

    Raises
    ------
    SettingsError
        If the survey cannot have this size.
    """
    n = n_labelled + n_pool
    if min(n_labelled, n_pool) < 1 or n > PLATES * PLATE_STARS:
        raise SettingsError(
            f"{n_labelled} labelled spectra and {n_pool} others: expected one of each or more, and "
            f"{PLATES * PLATE_STARS} in all at most"
        )
    if size < 16:
        raise SettingsError(f"images of {size} pixels do not hold a star and its sky: ask for 16 or more")
    out = Path(folder)
    rng = np.random.default_rng(seed)
    # One thread for each matrix product: how threads share one changes the last bit.
    with threadpool_limits(1, user_api="blas"):
        survey = _draw_survey(rng, n)
        stars = survey.stars
        for kind in ("spectra", "cutouts"):
            for plate in np.unique(survey.plate):
                (out / kind / f"{plate:04d}").mkdir(parents=True, exist_ok=True)
        labelled = rng.permutation(n) < n_labelled
        subclass = _subclasses(rng, stars.teff[survey.star])
        ratio = _write_spectra(out / "spectra", rng, survey, subclass)
        photometry = measure_magnitudes(rng, stars)
        _write_cutouts(out / "cutouts", rng, survey, size)
    columns = {
        "sn_median_all": ratio.astype(np.float32),
        "class": np.full(n, b"STAR", dtype="S6"),
        "subclass": subclass,
    }
    _write_catalog(out / "catalog.fits", survey, photometry, columns)
    kind = stars.kind[survey.star]
    listed = {"plate": survey.plate, "mjd": survey.mjd, "fiberid": survey.fiber, "label": kind}
    write_csv(pa.table({name: values[labelled] for name, values in listed.items()}), out / "labelled.csv")
    write_parquet(_truth(survey, labelled), out / "truth.parquet", sort_by=["spectrum_id"])
    bhb = kind == KINDS[0]
    return {
        "plates": len(np.unique(survey.plate)),
        "stars": stars.n,
        "labelled": n_labelled,
        "pool": n_pool,
        "bhb_labelled": int((bhb & labelled).sum()),
        "bhb_pool": int((bhb & ~labelled).sum()),
    }
