"""Template grids whose lines are wrong, as those of synthetic spectra are beside real stars."""

from dataclasses import replace

import numpy as np
from scipy.ndimage import gaussian_filter1d

from starsift.spectra.templates import TemplateGrid

SHARED = 0.8  # share of the error that all stars have: wrong line strengths in the list
OWN = 0.6  # and that each spectrum has: wrong atmospheres; SHARED**2 + OWN**2 = 1


def perturb_lines(
    grid: TemplateGrid, rng: np.random.Generator, *, amplitude: float, width: float
) -> TemplateGrid:
    """A grid whose line depths are off by a random factor, near enough the same across a line.

    Parameters
    ----------
    grid : TemplateGrid
    amplitude : standard deviation of the relative error of a depth
    width : Gaussian width over which errors are correlated, Angstrom
    """
    pixels = width / np.median(np.diff(grid.wavelength))
    depth = 1.0 - grid.normalized

    def field(shape: tuple[int, ...]) -> np.ndarray:
        smooth = gaussian_filter1d(rng.standard_normal(shape), pixels, axis=-1, mode="wrap")
        return smooth / smooth.std()

    factor = 1.0 + amplitude * (SHARED * field(depth.shape[1:]) + OWN * field(depth.shape))
    return replace(grid, normalized=(1.0 - depth * np.maximum(factor, 0.0)).astype(np.float32))
