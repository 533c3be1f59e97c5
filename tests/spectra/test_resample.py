"""Resampling onto a fixed grid, filling gaps and scaling."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from starsift.sky.constants import C_KMS
from starsift.spectra.resample import LAMOST_LRS, LogGrid, interpolate_gaps, min_max, resample

WAVE = LAMOST_LRS.wavelength[None]


def lines(wavelength: np.ndarray) -> np.ndarray:
    """A spectrum with a slope and lines some ten pixels wide."""
    flux = wavelength / 6000.0
    for centre in (4862.7, 5175.3, 5893.6, 6564.6, 8544.4):
        flux = flux - 0.5 * np.exp(-0.5 * ((wavelength - centre) / 6.0) ** 2)
    return flux


def test_grid_of_lamost() -> None:
    assert LAMOST_LRS.wavelength.shape == (3909,)
    assert LAMOST_LRS.wavelength[0] == pytest.approx(3700.0, abs=0.1)
    assert LAMOST_LRS.wavelength[-1] == pytest.approx(9099.1, abs=0.1)


def test_a_spectrum_on_the_grid_comes_back_unchanged() -> None:
    flux = np.random.default_rng(1).normal(size=WAVE.shape).astype(np.float32)
    ivar = np.full_like(flux, 7.0)
    ivar[0, 100] = 0.0
    # Single precision, as in the survey's tables: no end pixel is lost, no mask spreads.
    for wave in (WAVE, WAVE.astype(np.float32).astype(float)):
        out, weight = resample(wave, flux, ivar, LAMOST_LRS)
        good = ivar > 0
        np.testing.assert_array_equal(out[good], flux[good])
        np.testing.assert_array_equal(weight, ivar)
        assert out[0, 100] == 0.0


@pytest.mark.parametrize("rv", [-350.0, 0.0, 120.5])
def test_spectra_of_other_sampling_come_to_rest(rv: float) -> None:
    wave = np.sort(np.random.default_rng(2).uniform(3600.0, 9200.0, 9000))[None]
    ivar = np.full(wave.shape, 4.0)
    flux, weight = resample(wave, lines(wave / (1.0 + rv / C_KMS)), ivar, LAMOST_LRS, [rv])
    assert (weight > 0).all()
    np.testing.assert_allclose(flux, lines(WAVE), atol=0.02)


def test_ivar_is_that_of_the_interpolated_value() -> None:
    rng = np.random.default_rng(3)
    sigma = np.array([1.0, 3.0])
    flux = rng.normal(size=(40_000, 2)) * sigma
    grid = LogGrid(np.log10(5001.0), 1.0, 1)
    wave = np.tile([5000.0, 5004.0], (len(flux), 1))
    out, ivar = resample(wave, flux, np.tile(sigma**-2, (len(flux), 1)), grid)
    assert np.std(out) == pytest.approx(ivar[0, 0] ** -0.5, rel=0.02)


def test_masked_neighbours_and_uncovered_pixels_are_bad() -> None:
    grid = LogGrid(np.log10(5000.0), 1e-4, 10)
    wave = 10.0 ** (np.log10(5000.0) + 1e-4 * (np.arange(8) + 0.5))[None]
    flux = np.ones((1, 8))
    flux[0, 2] = np.nan
    ivar = np.ones((1, 8))
    ivar[0, 5] = np.nan
    out, weight = resample(wave, flux, ivar, grid)
    # Pixel 0 and 8, 9 are beyond the ends; 2, 3 touch the NaN flux, 5, 6 the NaN ivar.
    assert np.flatnonzero(weight[0] > 0).tolist() == [1, 4, 7]
    np.testing.assert_array_equal(out[weight == 0], 0.0)


def test_wavelengths_that_do_not_overlap_and_unknown_velocities() -> None:
    ones = np.ones((1, 50))
    assert not np.any(resample(np.linspace(1000.0, 2000.0, 50)[None], ones, ones, LAMOST_LRS))
    flux, ivar = lines(WAVE).astype(np.float32), np.ones(WAVE.shape, np.float32)
    np.testing.assert_array_equal(resample(WAVE, flux, ivar, LAMOST_LRS, [np.nan])[0], flux)
    with pytest.raises(ValueError, match=r"wavelength \(1, 5\), flux \(2, 5\)"):
        resample(np.ones((1, 5)), np.ones((2, 5)), np.ones((2, 5)), LAMOST_LRS)


@settings(deadline=None)  # the kernel may have to be compiled
@given(st.integers(0, 2**31), st.floats(0.0, 1.0))
def test_gaps_are_filled_as_numpy_interpolates(seed: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    flux = rng.normal(size=(3, 40)).astype(np.float32)
    ivar = (rng.random((3, 40)) >= share).astype(np.float32)
    flux[ivar == 0] = rng.choice([np.nan, np.inf, 1e30])
    filled = interpolate_gaps(flux, ivar)
    x = np.arange(40)
    for row in range(3):
        good = ivar[row] > 0
        expected = np.interp(x, x[good], flux[row, good]) if good.any() else np.zeros(40)
        np.testing.assert_allclose(filled[row], expected, atol=1e-5)


def test_min_max_scales_each_row() -> None:
    scaled = min_max(np.array([[1.0, 3.0, 2.0], [5.0, 5.0, 5.0], [0.0, np.nan, 1.0]]))
    np.testing.assert_array_equal(scaled, [[0.0, 1.0, 0.5], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    assert scaled.dtype == np.float32
    np.testing.assert_array_equal(min_max(np.array([[1.0, 3.0, 2.0]]), -1.0, 1.0), [[-1.0, 1.0, 0.0]])
