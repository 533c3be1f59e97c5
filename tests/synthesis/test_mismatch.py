"""Lines of wrong strength."""

import numpy as np

from starsift.spectra.templates import load_grid
from starsift.synthesis.mismatch import perturb_lines


def test_depths_are_off_by_the_amplitude_and_continua_stay():
    grid = load_grid()
    wrong = perturb_lines(grid, np.random.default_rng(1), amplitude=0.1, width=0.5)
    depth, other = 1 - grid.normalized, 1 - wrong.normalized
    deep = depth > 0.2
    factor = other[deep] / depth[deep]
    assert abs(factor.std() - 0.1) < 0.01
    assert abs(factor.mean() - 1.0) < 0.02
    assert np.abs((other - depth)[np.abs(depth) < 1e-3]).max() < 1e-3
    np.testing.assert_array_equal(wrong.continuum, grid.continuum)


def test_errors_are_shared_by_all_stars_and_by_a_line():
    grid = load_grid()
    wrong = perturb_lines(grid, np.random.default_rng(2), amplitude=0.1, width=0.5)
    depth = 1 - grid.normalized
    deep = np.flatnonzero(depth.min(axis=0) > 0.05)
    factor = (1 - wrong.normalized[:, deep]) / depth[:, deep]
    assert np.corrcoef(factor[10], factor[300])[0, 1] > 0.4
    beside = (1 - wrong.normalized[:, deep + 1]) / depth[:, deep + 1]
    assert np.corrcoef(factor[10], beside[10])[0, 1] > 0.9
