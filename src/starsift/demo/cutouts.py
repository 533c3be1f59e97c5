"""Simulated five-band images of stars: point-spread function, neighbours, gradients, noise, zero points.

Images (n, 5, size, size) float32 are in nanomaggies, bands u, g, r, i, z, after SDSS: 0.396 arcsec a pixel.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import erf

if TYPE_CHECKING:
    from starsift.demo.astars import AStars

PIXEL = 0.396  # arcsec
FWHM = np.array([1.5, 1.4, 1.3, 1.25, 1.2])  # arcsec, median by band
SEEING_SCATTER, BAND_SCATTER = 0.08, 0.03  # of ln(FWHM): from star to star, and from band to band
WINGS, WING_WIDTH = 0.1, 2.5  # share of the light in a second Gaussian, and its width over the first's
# 5-sigma depths of SDSS for point sources (sdss.org, scope of the imaging survey), and a typical dark sky in
# mag/arcsec2 (assumed): together they give photons a nanomaggie.
DEPTH = np.array([22.15, 23.13, 22.70, 22.20, 20.71])
SKY = np.array([22.1, 21.8, 20.9, 20.2, 18.9])
ZERO_POINT = np.array([0.02, 0.01, 0.01, 0.01, 0.015])  # mag, scatter by band from field to field
GRADIENT = 0.5  # scatter of the background at the edges, over the noise of a pixel
NEIGHBOURS = 0.8  # mean number on a square that is `MARGIN` pixels larger on each side, at 32 pixels
MARGIN = 6
GALAXIES = 0.6  # share of neighbours
NEIGHBOUR_R = (15.0, 22.5)  # magnitudes; ten times as many three magnitudes fainter
COUNTS_SLOPE = 0.33  # dex a magnitude
# An exponential disc of half-light radius 1, roughly, as Gaussians: shares and variances.
DISC = ((0.10, 0.05), (0.45, 0.35), (0.45, 1.35))
CHUNK = 500


def flux_of(magnitude: np.ndarray) -> np.ndarray:
    """Nanomaggies of AB magnitudes."""
    return np.asarray(10 ** (0.4 * (22.5 - magnitude)))


def _sigma(fwhm: np.ndarray) -> np.ndarray:
    """Standard deviation in pixels of the core of a point-spread function, arcsec."""
    return np.asarray(fwhm / 2.3548 / PIXEL)


def _area(fwhm: np.ndarray) -> np.ndarray:
    """Noise-equivalent area of a point-spread function (n, 5) of FWHM (n, 5) arcsec, pixels."""
    k = WING_WIDTH**2
    # Of the square of two concentric Gaussians, integrated.
    square = (1 - WINGS) ** 2 / 2 + WINGS**2 / (2 * k) + 2 * WINGS * (1 - WINGS) / (1 + k)
    return np.asarray(2 * np.pi * _sigma(fwhm) ** 2 / square)


def sky_noise() -> np.ndarray:
    """Noise of a pixel (5,) without a source, nanomaggies: that of SDSS's depths at the median FWHM."""
    return np.asarray(flux_of(DEPTH) / 5 / np.sqrt(_area(FWHM)))


def _photons() -> np.ndarray:
    """Detected photons a nanomaggie (5,)."""
    return np.asarray(flux_of(SKY) * PIXEL**2 / sky_noise() ** 2)


def draw_fwhm(rng: np.random.Generator, n: int) -> np.ndarray:
    """Widths (n, 5) of point-spread functions, arcsec."""
    seeing = SEEING_SCATTER * rng.standard_normal((n, 1)) + BAND_SCATTER * rng.standard_normal((n, 5))
    return FWHM * np.exp(seeing)


def zero_points(rng: np.random.Generator, n: int) -> np.ndarray:
    """Errors (n, 5) of the photometric zero points of fields, mag."""
    return ZERO_POINT * rng.standard_normal((n, 5))


def measure_magnitudes(rng: np.random.Generator, stars: AStars) -> np.ndarray:
    """Magnitudes (n, 5) float32 as measured on images with this noise: a fit of the point-spread function."""
    flux = flux_of(stars.magnitude + stars.zero_point)
    error = np.sqrt(_area(stars.fwhm) * sky_noise() ** 2 + flux / _photons())
    seen = np.maximum(flux + error * rng.standard_normal(flux.shape), 0.05 * flux)
    return (22.5 - 2.5 * np.log10(seen)).astype(np.float32)


def draw_cutouts(rng: np.random.Generator, stars: AStars, size: int) -> np.ndarray:
    """Images (n, 5, size, size) float32 in nanomaggies of stars, each near the middle of its own."""
    images = np.empty((stars.n, 5, size, size), dtype=np.float32)
    for start in range(0, stars.n, CHUNK):
        rows = np.arange(start, min(start + CHUNK, stars.n))
        images[rows] = _draw(rng, stars.take(rows), size)
    return images


def _draw(rng: np.random.Generator, stars: AStars, size: int) -> np.ndarray:
    sigma = _sigma(stars.fwhm)
    place = (size - 1) / 2 + stars.offset
    light = _point_sources(flux_of(stars.magnitude), sigma, place, size)
    _add_neighbours(rng, light, sigma)
    noise = sky_noise()
    light *= (10 ** (-0.4 * stars.zero_point)).astype(np.float32)[:, :, None, None]
    variance = noise[:, None, None] ** 2 + light / _photons()[:, None, None]
    light += np.sqrt(variance).astype(np.float32) * rng.standard_normal(light.shape, dtype=np.float32)
    return light + _gradients(rng, stars.n, size)


def _gradients(rng: np.random.Generator, n: int, size: int) -> np.ndarray:
    """Smooth backgrounds (n, 5, size, size) float32: scattered light, the same shape in all bands."""
    x = np.linspace(-1, 1, size)
    shapes = np.stack(np.broadcast_arrays(x[:, None], x[None], x[:, None] * x, x[:, None] ** 2 - 1 / 3))
    shape = np.tensordot(rng.standard_normal((n, 4)) * (1, 1, 0.5, 0.5), shapes, axes=1)
    level = GRADIENT * sky_noise() * rng.lognormal(-0.3, 0.5, (n, 5))
    constant = 0.2 * sky_noise() * rng.standard_normal((n, 5))  # what sky subtraction leaves
    whole = level[:, :, None, None] * shape[:, None] + constant[:, :, None, None]
    return np.asarray(whole, dtype=np.float32)


def _point_sources(flux: np.ndarray, sigma: np.ndarray, place: np.ndarray, size: int) -> np.ndarray:
    """Images (n, 5, size, size) float32 of stars of fluxes and widths (n, 5) at places (n, 2), y and x."""
    total = np.zeros((*flux.shape, size, size), dtype=np.float32)
    edges = np.arange(size + 1) - 0.5
    for share, width in ((1 - WINGS, 1.0), (WINGS, WING_WIDTH)):
        # Light within each pixel, exactly: a Gaussian is the product of two.
        scale = (width * np.sqrt(2) * sigma)[:, :, None]
        y, x = (
            np.diff(0.5 * erf((edges - place[:, None, k, None]) / scale), axis=2).astype(np.float32)
            for k in (0, 1)
        )
        total += (share * flux[:, :, None] * y).astype(np.float32)[..., None] * x[:, :, None, :]
    return total


def _neighbour_magnitudes(rng: np.random.Generator, galaxy: np.ndarray) -> np.ndarray:
    """Magnitudes (m, 5): stars of types F to M, and galaxies, of typical colours."""
    m = len(galaxy)
    bright, faint = (10 ** (COUNTS_SLOPE * r) for r in NEIGHBOUR_R)
    r = np.log10(rng.uniform(bright, faint, m)) / COUNTS_SLOPE
    g_r = np.where(galaxy, rng.normal(0.75, 0.25, m), rng.choice([0.45, 1.35], m) + rng.normal(0, 0.15, m))
    u_g = np.where(galaxy, 1.4, 0.4 + 1.45 * g_r) + rng.normal(0, 0.2, m)
    red = np.maximum(g_r - 1.2, 0)
    r_i = np.where(galaxy, 0.35, 0.4 * np.minimum(g_r, 1.2) + 4 * red) + rng.normal(0, 0.06, m)
    i_z = np.where(galaxy, 0.25, 0.5 * r_i) + rng.normal(0, 0.06, m)
    return np.stack([r + g_r + u_g, r + g_r, r, r - r_i, r - r_i - i_z], axis=1)


def _add_neighbours(rng: np.random.Generator, images: np.ndarray, sigma: np.ndarray) -> None:
    """Add stars and galaxies to images (n, 5, size, size), in place; widths (n, 5) pixels."""
    n, size = len(images), images.shape[-1]
    number = rng.poisson(NEIGHBOURS * ((size + 2 * MARGIN) / (32 + 2 * MARGIN)) ** 2, n)
    owner = np.repeat(np.arange(n), number)
    m = len(owner)
    galaxy = rng.random(m) < GALAXIES
    flux = flux_of(_neighbour_magnitudes(rng, galaxy))
    place = rng.uniform(-MARGIN, size - 1 + MARGIN, (m, 2))
    half_light = rng.lognormal(np.log(0.9), 0.5, m) / PIXEL  # radius, pixels
    axis_ratio, angle = rng.uniform(0.3, 1.0, m), rng.uniform(0, np.pi, m)
    # Sources of one image are added in turn: several at one index would overwrite each other.
    turn = np.arange(m) - np.repeat(np.cumsum(number) - number, number)
    for k in range(number.max(initial=0)):
        star = np.flatnonzero((turn == k) & ~galaxy)
        images[owner[star]] += _point_sources(flux[star], sigma[owner[star]], place[star], size)
        some = np.flatnonzero((turn == k) & galaxy)
        shape = half_light[some], axis_ratio[some], angle[some]
        images[owner[some]] += _galaxies(flux[some], sigma[owner[some]], place[some], *shape, size)


def _galaxies(
    flux: np.ndarray,
    sigma: np.ndarray,
    place: np.ndarray,
    half_light: np.ndarray,
    axis_ratio: np.ndarray,
    angle: np.ndarray,
    size: int,
) -> np.ndarray:
    """Images (m, 5, size, size) float32 of inclined exponential discs behind a Gaussian seeing."""
    pixel = np.arange(size)
    y, x = pixel[:, None] - place[:, 0, None, None], pixel[None] - place[:, 1, None, None]
    cosine, sine = np.cos(angle)[:, None, None], np.sin(angle)[:, None, None]
    along, across = (x * cosine + y * sine) ** 2, (y * cosine - x * sine) ** 2
    total = np.zeros((*flux.shape, size, size), dtype=np.float32)
    for share, variance in DISC:
        major = sigma**2 + (variance * half_light**2)[:, None]
        minor = sigma**2 + (variance * (half_light * axis_ratio) ** 2)[:, None]
        peak = share * flux / (2 * np.pi * np.sqrt(major * minor))
        exponent = along[:, None] / major[:, :, None, None] + across[:, None] / minor[:, :, None, None]
        total += (peak[:, :, None, None] * np.exp(-0.5 * exponent)).astype(np.float32)
    return total
