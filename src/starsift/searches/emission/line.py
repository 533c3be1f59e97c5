"""Measurements of the H-alpha line: equivalent width, velocity of the peak, separation of two peaks.

The continuum is a straight line, fitted to windows on either side of the line. Wavelengths are vacuum,
velocities heliocentric, relative to H alpha at rest.
"""

import numpy as np
import pyarrow as pa
from scipy.ndimage import gaussian_filter1d

from starsift.sky.constants import C_KMS
from starsift.spectra.batches import MASK_IVAR, SpectrumBatch
from starsift.spectra.resample import LAMOST_LRS, LogGrid, interpolate_gaps, resample

HALPHA = 6564.61  # vacuum Angstrom
# Angstrom from H alpha: the wings of Be stars, shifted by 700 km/s. [N II] is inside, too.
HALF_WIDTH = 25.0
CONTINUUM = (30.0, 65.0)  # Angstrom from H alpha, on either side
MIN_COVERAGE = 0.8  # share of pixels that must be good, in the line and on each side
# Prominence of a peak over the noise: noise alone reaches it in 5 % of spectra.
PEAK_SIGMAS = 5.0
MIN_RISE = (
    0.02  # prominence over the continuum: limit by other lines and the flux calibration of bright stars
)
SMOOTHING = 0.5  # pixels: the two peaks of a line may be only three pixels apart

LINES = pa.schema(
    [
        pa.field("ewha", pa.float32()),
        pa.field("ewha_err", pa.float32()),
        pa.field("snr_ha", pa.float32()),
        pa.field("peak_wavelength", pa.float32()),
        pa.field("peak_velocity", pa.float32()),
        pa.field("peak_separation", pa.float32()),
    ]
)

_FIRST = int(np.log10((HALPHA - CONTINUUM[1]) / 10**LAMOST_LRS.log10_lambda0) / LAMOST_LRS.dlog10_lambda)
_PIXELS = int(np.log10((HALPHA + CONTINUUM[1]) / (HALPHA - CONTINUUM[1])) / LAMOST_LRS.dlog10_lambda) + 2
_STEP = LAMOST_LRS.dlog10_lambda
# Pixels of LAMOST's own grid, so that its spectra are not resampled.
GRID = LogGrid(LAMOST_LRS.log10_lambda0 + _FIRST * _STEP, _STEP, _PIXELS)


def measure_lines(batch: SpectrumBatch) -> pa.Table:
    """Measure H alpha in n spectra.

    Returns
    -------
    Table (n,) of schema `LINES`, null where too few pixels of line or continuum are good, or where the
    continuum is not positive:

    ewha, ewha_err : equivalent width (Angstrom) of the whole line, positive in emission, as in the catalogue
        of M stars; absorption beside the emission counts against it
    snr_ha : of the continuum, a pixel
    peak_wavelength, peak_velocity : Angstrom, km/s, of the most prominent peak; null where no prominence
        exceeds `PEAK_SIGMAS` and `MIN_RISE`
    peak_separation : km/s, between the two most prominent peaks; null without a second one
    """
    flux, ivar = resample(batch.wavelength, batch.flux, _weights(batch), GRID)
    offset = GRID.wavelength - HALPHA
    good = ivar > 0
    line = np.abs(offset) <= HALF_WIDTH
    sides = [line, *((offset * s >= CONTINUUM[0]) & (offset * s <= CONTINUUM[1]) for s in (-1, 1))]
    enough = np.all([good[:, part].mean(axis=1) >= MIN_COVERAGE for part in sides], axis=0)
    beside = sides[1] | sides[2]

    # Weighted least squares for all spectra at once: two unknowns, the level at H alpha and the slope.
    design = np.stack([np.ones(offset.size), offset / HALF_WIDTH], axis=1)
    weight = np.where(beside, ivar, 0.0).astype(np.float64)
    scale = np.where(weight.any(axis=1), weight.max(axis=1), 1.0)[:, None]  # fluxes may be of any size
    normal = np.einsum("np,pi,pj->nij", weight / scale, design, design)
    covariance = np.linalg.pinv(normal, hermitian=True)
    solution = np.einsum("nij,np,pj->ni", covariance, weight / scale * flux, design)
    covariance /= scale[:, :, None]
    continuum = solution @ design.T
    usable = enough & (continuum[:, line] > 0).all(axis=1)
    continuum = np.where(usable[:, None], continuum, 1.0)

    ratio = interpolate_gaps(flux, ivar) / continuum
    width = np.gradient(GRID.wavelength) * line
    ewha = (ratio - 1) @ width
    # Interpolated pixels get the median noise of the good ones.
    variance = np.divide(1.0, ivar, out=np.full(ivar.shape, np.nan), where=good)
    typical = np.nanmedian(np.where(usable[:, None], variance, 1.0), axis=1)[:, None]
    noise = np.sqrt(np.where(good, variance, typical)) / continuum
    slope = (width * ratio / continuum) @ design
    error = np.sqrt((noise**2) @ (width**2) + np.einsum("ni,nij,nj->n", slope, covariance, slope))
    snr = 1 / np.sqrt(np.median(noise[:, beside] ** 2, axis=1))

    peak, rises = _peaks(ratio, noise, line)
    wavelength = np.where(usable[:, None] & rises, peak, np.nan)
    velocity = (wavelength / HALPHA - 1) * C_KMS
    values = (
        *(np.where(usable, x, np.nan) for x in (ewha, error, snr)),
        wavelength[:, 0],
        velocity[:, 0],
        np.abs(velocity[:, 0] - velocity[:, 1]),
    )
    columns = [pa.array(x, pa.float32(), from_pandas=True) for x in values]
    return pa.table(columns, schema=LINES)


def _weights(batch: SpectrumBatch) -> np.ndarray:
    """Inverse variances (n, pixel), the median for fluxes in the line without a weight.

    LAMOST takes the peaks of strong lines for cosmic rays.
    """
    apart = np.abs(batch.wavelength - HALPHA)
    usual = np.where((batch.ivar > 0) & (apart <= CONTINUUM[1]), batch.ivar, np.nan)
    known = np.isfinite(usual).any(axis=1)
    usual[~known] = 0.0
    doubted = (batch.mask == MASK_IVAR) & (batch.flux != 0) & (apart <= HALF_WIDTH)
    return np.where(doubted, np.nanmedian(usual, axis=1)[:, None], batch.ivar)


def _peaks(ratio: np.ndarray, noise: np.ndarray, line: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The two most prominent peaks inside the line: wavelength (n, 2) Angstrom, significant (n, 2) bool.

    `ratio` and `noise` (n, p) are flux over continuum and its error, `line` is (p,) bool.
    """
    pixels = ratio.shape[1]
    smooth = gaussian_filter1d(ratio, SMOOTHING, axis=1, mode="nearest")
    kernel = gaussian_filter1d(np.eye(1, pixels, pixels // 2)[0], SMOOTHING)
    sigma = noise * np.sqrt((kernel**2).sum())
    before, after = (
        np.pad(smooth, ((0, 0), (1, 1)), constant_values=np.inf)[:, k : k + pixels] for k in (0, 2)
    )
    top = (smooth > before) & (smooth >= after) & line
    prominence = np.where(top, smooth - np.maximum(_valley(smooth), _valley(smooth[:, ::-1])[:, ::-1]), 0.0)
    # Higher peaks are noisier, by the light of the peak itself or because they stand in a bad pixel.
    prominence[prominence < np.maximum(PEAK_SIGMAS * sigma, MIN_RISE)] = 0.0
    best = np.argsort(-prominence, axis=1, kind="stable")[:, :2]
    rises = np.take_along_axis(prominence, best, axis=1) > 0
    left, mid, right = (
        np.take_along_axis(smooth, np.clip(best + k, 0, pixels - 1), axis=1) for k in (-1, 0, 1)
    )
    bend = left - 2 * mid + right
    shift = np.divide(left - right, 2 * bend, out=np.zeros(bend.shape), where=bend < 0)
    exponent = GRID.log10_lambda0 + GRID.dlog10_lambda * (best + np.clip(shift, -0.5, 0.5))
    return 10.0**exponent, rises


def _valley(smooth: np.ndarray) -> np.ndarray:
    """Lowest value (n, p) to the left of each pixel, up to the next higher pixel or the end."""
    lowest, open_ = smooth.copy(), np.ones(smooth.shape, dtype=bool)
    for step in range(1, smooth.shape[1]):
        left = smooth[:, :-step]
        open_[:, :step] = False
        open_[:, step:] &= left <= smooth[:, step:]
        if not open_.any():
            break
        np.copyto(lowest[:, step:], np.minimum(lowest[:, step:], left), where=open_[:, step:])
    return lowest
