"""Pseudo-continuum of a batch of spectra: robust to lines, cosmic rays, emission and the blaze."""

import numpy as np

from starsift.kernels import njit
from starsift.parallel import map_chunks
from starsift.robust import MAD_TO_SIGMA
from starsift.spectra.batches import SpectrumBatch

BINS = 128  # about 32 pixels of an MRS arm each: narrower than the blaze, wider than a line
CLIPS = 8
CHUNK = 256  # spectra a thread takes at a time
UPPER_CLIP = 6.0  # noise sigmas above the continuum: no photosphere reaches there


@njit(cache=True, inline="never")
def _solve(a: np.ndarray, b: np.ndarray) -> None:
    """Gaussian elimination in place; the normal matrix is tiny and positive definite."""
    n = b.size
    for i in range(n):
        pivot = a[i, i] + 1e-12
        for j in range(i + 1, n):
            f = a[j, i] / pivot
            for k in range(i, n):
                a[j, k] -= f * a[i, k]
            b[j] -= f * b[i]
    for i in range(n - 1, -1, -1):
        for k in range(i + 1, n):
            b[i] -= a[i, k] * b[k]
        b[i] /= a[i, i] + 1e-12


@njit(cache=True, inline="never")
def _chebyshev(x: float, row: np.ndarray) -> None:
    row[0] = 1.0
    if row.size > 1:
        row[1] = x
    for k in range(2, row.size):
        row[k] = 2.0 * x * row[k - 1] - row[k - 2]


@njit(cache=True, inline="never")
def _median(values: np.ndarray, n: int) -> float:
    """Median of the first n values, sorted in place: for some thirty values insertion beats a selection."""
    for i in range(1, n):
        v = values[i]
        j = i - 1
        while j >= 0 and values[j] > v:
            values[j + 1] = values[j]
            j -= 1
        values[j + 1] = v
    return 0.5 * (values[(n - 1) // 2] + values[n // 2])


@njit(nogil=True, cache=True)
def _fit(
    wavelength: np.ndarray, flux: np.ndarray, ivar: np.ndarray, degree: int, continuum: np.ndarray
) -> None:
    n, pixels = flux.shape
    width = max(1, pixels // BINS)
    for s in range(n):
        lo, hi = wavelength[s, 0], wavelength[s, pixels - 1]
        x = np.empty(BINS)
        y = np.empty(BINS)
        noise = np.empty(BINS)
        buffer = np.empty(width, np.float32)
        used = 0
        for b in range(BINS):
            m = 0
            sx = 0.0
            si = 0.0
            for i in range(b * width, min((b + 1) * width, pixels)):
                if ivar[s, i] > 0:
                    buffer[m] = flux[s, i]
                    sx += wavelength[s, i]
                    si += ivar[s, i]
                    m += 1
            if m * 4 >= width:
                x[used] = 2.0 * (sx / m - lo) / (hi - lo) - 1.0
                y[used] = _median(buffer, m)
                noise[used] = 1.0 / np.sqrt(si / m)
                used += 1
        if used == 0:
            continuum[s, :] = 1.0
            continue
        terms = min(degree + 1, max(1, used // 4))
        scale = np.median(np.abs(y[:used]))
        # The continuum is never taken below the noise: a spectrum without signal stays of order one.
        floor = max(0.1 * scale, 0.5 * np.median(noise[:used]))
        basis = np.empty((used, terms))
        for j in range(used):
            _chebyshev(x[j], basis[j])
        keep = np.ones(used, np.bool_)
        coefficient = np.zeros(terms)
        normal = np.empty((terms, terms))
        residual = np.empty(used)
        for _ in range(CLIPS):
            normal[:] = 0.0
            coefficient[:] = 0.0
            for j in range(used):
                if keep[j]:
                    for k in range(terms):
                        coefficient[k] += basis[j, k] * y[j]
                        for q in range(k, terms):
                            normal[k, q] += basis[j, k] * basis[j, q]
            for k in range(terms):
                for q in range(k):
                    normal[k, q] = normal[q, k]
            _solve(normal, coefficient)
            for j in range(used):
                residual[j] = y[j]
                for k in range(terms):
                    residual[j] -= coefficient[k] * basis[j, k]
            spread = MAD_TO_SIGMA * np.median(np.abs(residual)) + 1e-6 * scale
            kept = 0
            for j in range(used):
                # Absorption pulls down, so the clip is tighter below than above.
                keep[j] = -1.0 * spread < residual[j] < 3.0 * spread
                kept += keep[j]
            if kept < 3 * terms:
                break
        # As a plain polynomial in x (degree is low): cheaper at 4 000 pixels than the recurrence.
        power = np.zeros((terms, terms))
        power[0, 0] = 1.0
        for k in range(1, terms):
            for q in range(k):
                power[k, q + 1] += (1.0 if k == 1 else 2.0) * power[k - 1, q]
            if k > 1:
                for q in range(k - 1):
                    power[k, q] -= power[k - 2, q]
        plain = np.zeros(terms)
        for k in range(terms):
            for q in range(terms):
                plain[q] += coefficient[k] * power[k, q]
        scale_x = 2.0 / (hi - lo)
        for i in range(pixels):
            t = (wavelength[s, i] - lo) * scale_x - 1.0
            c = plain[terms - 1]
            for k in range(terms - 2, -1, -1):
                c = c * t + plain[k]
            continuum[s, i] = max(c, floor)


@njit(nogil=True, cache=True)
def _divide(
    flux: np.ndarray, ivar: np.ndarray, continuum: np.ndarray, out_flux: np.ndarray, out_ivar: np.ndarray
) -> None:
    for s in range(flux.shape[0]):
        for i in range(flux.shape[1]):
            c = continuum[s, i]
            f = flux[s, i] / c
            w = ivar[s, i] * c * c
            sigmas = np.sqrt(w)
            if (f > 1.1 and (f - 1.0) * sigmas > UPPER_CLIP) or f * sigmas < -UPPER_CLIP:
                w = np.float32(0.0)
            out_flux[s, i] = f
            out_ivar[s, i] = w


def fit_continuum(wavelength: np.ndarray, flux: np.ndarray, ivar: np.ndarray, *, degree: int) -> np.ndarray:
    """Fit the pseudo-continuum of many spectra at once.

    Medians in 128 bins (so a cosmic ray does not count) are fitted with a Chebyshev series; bins more than
    one robust sigma below or three above the fit are left out, eight times over.

    Parameters
    ----------
    wavelength : (n, pixel) float64, Angstrom, ascending
    flux, ivar : (n, pixel) float32; pixels with ivar 0 are ignored
    degree : degree of the series

    Returns (n, pixel) float32, in the unit of flux, positive everywhere.
    """
    continuum = np.empty(flux.shape, np.float32)
    _fit(wavelength, flux, ivar, degree, continuum)
    return continuum


def normalize(batch: SpectrumBatch, *, degree: int) -> tuple[np.ndarray, np.ndarray]:
    """Divide a batch by its pseudo-continuum and drop what no star emits.

    Parameters
    ----------
    batch : SpectrumBatch of n spectra of `pixel` pixels
    degree : degree of the continuum

    Returns
    -------
    flux : (n, pixel) float32, continuum at 1
    ivar : (n, pixel) float32, of the normalised flux; 0 also where the flux stands more than
        `UPPER_CLIP` sigmas above the continuum (cosmic rays, emission) or as far below zero.
    """

    def work(part: slice) -> tuple[np.ndarray, np.ndarray]:
        return normalize_rows(batch.wavelength[part], batch.flux[part], batch.ivar[part], degree=degree)

    parts = map_chunks(work, batch.n, CHUNK) or [(batch.flux, batch.ivar)]
    flux, ivar = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return flux, ivar


def normalize_rows(
    wavelength: np.ndarray, flux: np.ndarray, ivar: np.ndarray, *, degree: int
) -> tuple[np.ndarray, np.ndarray]:
    """As `normalize`, for arrays (n, pixel), on one thread."""
    continuum = fit_continuum(wavelength, flux, ivar, degree=degree)
    out_flux, out_ivar = np.empty_like(flux), np.empty_like(ivar)
    _divide(flux, ivar, continuum, out_flux, out_ivar)
    return out_flux, out_ivar
