"""Fitted models of a spectrum as curves, for people who look at it."""

import numpy as np
from scipy.interpolate import CubicSpline

from starsift.searches.binaries.model_bank import ModelBank
from starsift.searches.binaries.model_fit import ModelFits, fit_models
from starsift.sky.constants import C_KMS
from starsift.spectra.batches import SpectrumBatch
from starsift.spectra.ccf import grid_position
from starsift.spectra.continuum import fit_continuum, normalize_rows


def model_curves(
    batch: SpectrumBatch, bank: ModelBank, stars: int
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Fit a spectrum again, and draw the model and each of its stars.

    Parameters
    ----------
    batch : SpectrumBatch of one spectrum
    bank : templates, from `build_models`
    stars : of the model

    Returns
    -------
    wavelength : (m,) of the pixels in the range of the fit, Angstrom in vacuum
    curves : by their names, (m,) in the unit of the flux: the model, and what each star's lines alone would
        leave of the continuum; empty where that many stars were not fitted
    """
    fits = fit_models(batch, bank)
    position = grid_position(batch.wavelength, bank)[0]
    inside = (position >= 2) & (position <= bank.last)
    if not np.isfinite(fits.chi2[0, stars - 1]):
        return batch.wavelength[0, inside], {}
    absorbed = np.stack([_absorbed(fits, bank, position, stars, star) for star in range(stars)])
    arrays = batch.wavelength, batch.flux, batch.ivar
    continuum = fit_continuum(*arrays, degree=bank.continuum_degree)[0]
    flux, ivar = (a[0] for a in normalize_rows(*arrays, degree=bank.continuum_degree))
    # The fit has a constant too, which the results do not hold.
    used = inside & (ivar > 0)
    level = np.average((flux + absorbed.sum(axis=0))[used], weights=ivar[used])
    curves = {"model": continuum * (level - absorbed.sum(axis=0))}
    for star, lines in enumerate(absorbed):
        curves[_describe(fits, bank, stars, star)] = continuum * (level - lines)
    return batch.wavelength[0, inside], {name: curve[inside] for name, curve in curves.items()}


def _absorbed(fits: ModelFits, bank: ModelBank, position: np.ndarray, stars: int, star: int) -> np.ndarray:
    """What the lines of one star take from a continuum of 1, at positions (pixel,) on the bank's grid."""
    model = stars - 1
    shift = np.log1p(fits.rv[0, model, star] / C_KMS) / bank.log_step
    template = bank.depth[fits.template[0, model, star]]
    curve = CubicSpline(np.arange(template.size), template)(position - shift + bank.nodes)
    absorbed: np.ndarray = fits.depth[0, model, star] * curve
    return absorbed


def _describe(fits: ModelFits, bank: ModelBank, stars: int, star: int) -> str:
    model = stars - 1
    depth = fits.depth[0, model, :stars]
    teff = bank.params[fits.template[0, model, star], 0]
    share = depth[star] / depth.sum()
    return f"star {star + 1}: {fits.rv[0, model, star]:.0f} km/s, {teff:.0f} K, {share:.0%} of the light"
