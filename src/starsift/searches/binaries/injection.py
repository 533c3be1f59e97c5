"""Injection and recovery of double-lined spectra by the CCF step (Li et al. 2023, Figures 5 and 6)."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from starsift.searches.binaries.dataset import Laboratory, recovered
from starsift.synthesis.exposures import anonymous_batch
from starsift.synthesis.mrs import observe

# Teff (K), log g of the twins of Figure 5; [Fe/H] = 0, vsini 5 km/s.
TWINS = ((7000.0, 4.2), (6000.0, 4.4), (5000.0, 4.5), (4750.0, 2.5))
VSINI = 5.0
FLUX_RATIO_DELTA_RV = 200.0  # km/s, log g 4.5, [Fe/H] 0: the paper's choices for Figure 6
FLUX_RATIO_SNR = 100.0
CHUNK = 1024


def _detected(
    laboratory: Laboratory,
    teff: np.ndarray,
    logg: np.ndarray,
    radius: np.ndarray,
    rv: np.ndarray,
    snr: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    """Whether each of n pairs, (n, 2) arrays, shows exactly its two components; (n,) bool."""
    found = np.empty(len(snr), bool)
    for start in range(0, len(snr), CHUNK):
        part = slice(start, start + CHUNK)
        flux = laboratory.synthesizer.flux(teff[part], logg[part], 0.0, VSINI, rv[part], radius[part])
        batch = anonymous_batch(
            *observe(laboratory.synthesizer.wavelength, flux, snr=snr[part], rng=rng), snr[part]
        )
        found[part] = recovered(laboratory.measure(batch)[1], rv[part])
    return found


def detection_rates(
    laboratory: Laboratory, *, seed: int, trials: int, delta_rv: Sequence[float], snr: Sequence[float]
) -> pa.Table:
    """Detection rate of twins against velocity difference and S/N (Figure 5).

    Parameters
    ----------
    laboratory : with the survey's settings
    trials : simulated spectra a point
    delta_rv : km/s, each difference tried
    snr : each S/N tried

    Returns a Table with `teff` (K), `logg` (dex) of the twins, `delta_rv` (km/s), `snr`, `trials` and `rate`
    (0 to 1).
    """
    rng = np.random.default_rng([seed, 5])
    star, difference, ratio, _ = (
        a.ravel() for a in np.meshgrid(np.arange(len(TWINS)), delta_rv, snr, np.arange(trials), indexing="ij")
    )
    twins = np.array(TWINS)[star]
    centre = rng.uniform(-60.0, 60.0, star.size)
    rv = centre[:, None] + 0.5 * difference[:, None] * np.array([-1.0, 1.0])
    pair = np.ones((1, 2))
    found = _detected(laboratory, twins[:, :1] * pair, twins[:, 1:] * pair, np.ones_like(rv), rv, ratio, rng)
    columns = {"teff": twins[:, 0], "logg": twins[:, 1], "delta_rv": difference, "snr": ratio}
    table = {name: column[::trials] for name, column in columns.items()}
    rate = found.reshape(-1, trials).mean(axis=1)
    return pa.table({**table, "trials": np.full(rate.size, trials), "rate": rate})


def flux_ratio_limits(laboratory: Laboratory, *, seed: int, teff: Sequence[float]) -> pa.Table:
    """Detection of pairs of dwarfs of different temperature, 200 km/s apart (Figure 6).

    Parameters
    ----------
    laboratory : with the survey's settings
    teff : (first, last, step) K, of both stars; equal radii and log g 4.5, as in the paper

    Returns a Table with `teff_1`, `teff_2` (K), `flux_ratio` (second over first, in the blue arm) and
    `detected`.
    """
    rng = np.random.default_rng([seed, 6])
    first, last, step = teff
    axis = np.arange(first, last + 0.5 * step, step)
    pair = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 2)
    n = len(pair)
    rv = np.tile([-0.5 * FLUX_RATIO_DELTA_RV, 0.5 * FLUX_RATIO_DELTA_RV], (n, 1))
    shape = np.ones((n, 2))
    found = _detected(laboratory, pair, 4.5 * shape, shape, rv, np.full(n, FLUX_RATIO_SNR), rng)
    level = laboratory.synthesizer.flux(axis, 4.5, 0.0, 0.0, 0.0, 1.0).mean(axis=1)
    mean = level[np.searchsorted(axis, pair)]
    return pa.table(
        {"teff_1": pair[:, 0], "teff_2": pair[:, 1], "flux_ratio": mean[:, 1] / mean[:, 0], "detected": found}
    )
