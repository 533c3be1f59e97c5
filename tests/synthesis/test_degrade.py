"""Velocity, calibration errors, noise and junk: what was asked for is what comes out."""

from types import SimpleNamespace

import numpy as np
import pytest

from starsift.sky.constants import C_KMS
from starsift.synthesis.degrade import (
    add_noise,
    damage,
    efficiency,
    featureless,
    miscalibrate,
    shift,
    sky_lines,
)

GRID = SimpleNamespace(dlog10_lambda=1e-4)
WAVELENGTH = 10 ** (3.5682 + 1e-4 * np.arange(3909))


def lines(wavelength: np.ndarray) -> np.ndarray:
    """A continuum with absorption lines of the width of R = 1800."""
    centres = np.arange(3800.0, 9050.0, 130.0)[:, None]
    return 1 - 0.6 * np.exp(-0.5 * ((wavelength - centres) / (centres / 1800 / 2.35)) ** 2).sum(axis=0)


@pytest.mark.parametrize("rv", [-200.0, -34.5, 0.0, 17.0, 200.0, 0.2 * C_KMS])
def test_a_shift_is_exact(rv: float) -> None:
    moved = shift(GRID, lines(WAVELENGTH)[None], np.array([rv]))[0]
    wanted = lines(WAVELENGTH / (1 + rv / C_KMS))
    known = np.abs(WAVELENGTH / (1 + rv / C_KMS) - 6400) < 2690
    assert moved.dtype == np.float32
    np.testing.assert_allclose(moved[known], wanted[known], atol=0.016)


def test_ends_are_extended() -> None:
    ramp = np.linspace(1, 2, WAVELENGTH.size)[None]
    assert shift(GRID, ramp, 1500.0)[0, :20] == pytest.approx(1.0, abs=1e-3)
    assert shift(GRID, ramp, -1500.0)[0, -20:] == pytest.approx(2.0, abs=1e-3)
    # Beyond the grid on both sides still gives numbers.
    assert np.isfinite(shift(GRID, ramp, 5 * C_KMS)).all()


@pytest.mark.parametrize("rv", [np.nan, -C_KMS])
def test_impossible_velocities(rv: float) -> None:
    with pytest.raises(ValueError, match="rv must be finite"):
        shift(GRID, np.ones((2, 50)), np.array([0.0, rv]))


def test_calibration_errors_are_smooth_and_as_large_as_asked() -> None:
    amplitude = np.array([0.0, 0.02, 0.05, 0.15] * 50)
    factor = miscalibrate(np.ones((200, WAVELENGTH.size)), amplitude, np.random.default_rng(1))
    rms = np.log(factor).std(axis=1)
    np.testing.assert_allclose(rms, amplitude, rtol=0.02, atol=1e-6)
    # Within the width of a line nothing changes.
    assert np.abs(np.diff(np.log(factor), axis=1)).max() < 0.007
    # And every spectrum has its own.
    assert np.abs(np.corrcoef(factor[1::4])).mean() < 0.7


@pytest.mark.parametrize("shape", ["flat", "red", "lines"])
def test_signal_to_noise_is_as_requested(shape: str) -> None:
    snr = np.geomspace(0.5, 100, 80)
    model = {"flat": np.ones(3909), "red": (WAVELENGTH / 6000) ** 6, "lines": lines(WAVELENGTH)}[shape]
    flux, ivar = add_noise(np.tile(70 * model, (80, 1)), snr, np.random.default_rng(2), WAVELENGTH, sky=False)
    inside = (WAVELENGTH > 5600) & (WAVELENGTH < 6950)
    true = np.median((70 * model * np.sqrt(ivar))[:, inside], axis=1)
    np.testing.assert_allclose(true, snr, rtol=0.01)
    seen = np.median((flux * np.sqrt(ivar))[:, inside], axis=1)
    np.testing.assert_allclose(seen, snr, rtol=0.06, atol=0.12)


def test_errors_are_honest_and_larger_at_the_ends() -> None:
    model = np.ones((60, 3909))
    flux, ivar = add_noise(model, 10.0, np.random.default_rng(3), WAVELENGTH, sky=False)
    pull = (flux - 1) * np.sqrt(ivar)
    assert pull.std() == pytest.approx(1, abs=0.01)
    assert pull.mean() == pytest.approx(0, abs=0.01)
    sigma = 1 / np.sqrt(np.median(ivar, axis=0))
    middle = np.median(sigma[(WAVELENGTH > 6400) & (WAVELENGTH < 6800)])
    assert np.median(sigma[WAVELENGTH < 3850]) > 2.5 * middle
    assert np.median(sigma[WAVELENGTH > 8950]) > 1.4 * middle


def test_sky_leaves_residuals_in_its_lines() -> None:
    dark = np.zeros((200, 3909))
    for sky in (False, True):
        flux, ivar = add_noise(dark, 3.0, np.random.default_rng(4), WAVELENGTH, sky=sky)
        pull = flux * np.sqrt(ivar)
        line = pull[:, np.argmin(np.abs(WAVELENGTH - 5578.9))]
        assert (line.std() > 1.25) == sky
    assert np.isfinite(flux).all()
    assert (ivar > 0).all()


def test_efficiency_dips_where_the_arms_meet() -> None:
    blue, joint, red = efficiency(np.array([5300.0, 5850.0, 6900.0]))
    assert joint < 0.8 * blue < blue < red <= 1
    # The strongest line of the sky is green, the forest is red.
    brightest = WAVELENGTH[np.argmax(sky_lines(WAVELENGTH))]
    assert brightest == pytest.approx(5578.9, abs=1)
    forest, blue = (sky_lines(WAVELENGTH[part]) for part in (WAVELENGTH > 7200, WAVELENGTH < 7200))
    assert forest.mean() > 3 * blue.mean()


def test_junk_is_positive_varied_and_repeatable() -> None:
    junk = featureless(np.random.default_rng(5), 400, WAVELENGTH)
    assert junk.shape == (400, 3909)
    assert junk.dtype == np.float32
    assert np.isfinite(junk).all()
    np.testing.assert_allclose(junk.mean(axis=1), 1, rtol=1e-4)
    np.testing.assert_array_equal(junk, featureless(np.random.default_rng(5), 400, WAVELENGTH))
    step = np.abs(np.log(np.maximum(junk[:, 1990], 0.01) / np.maximum(junk[:, 1985], 0.01)))
    joint = np.searchsorted(WAVELENGTH, 5850)
    jump = np.abs(junk[:, joint + 1] / junk[:, joint - 2] - 1)
    assert 0.2 < (jump > 0.15).mean() < 0.3
    assert np.median(step) < 0.02
    assert featureless(np.random.default_rng(5), 0, WAVELENGTH).shape == (0, 3909)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"snr": 0.0}, "snr must be positive"),
        ({"wavelength": WAVELENGTH[:-1]}, "they must agree"),
        ({"window": (100.0, 200.0)}, "no pixel lies in the window 100 to 200"),
    ],
)
def test_bad_input(change: dict, sentence: str) -> None:
    given = {
        "flux": np.ones((2, 3909)),
        "snr": 3.0,
        "rng": np.random.default_rng(0),
        "wavelength": WAVELENGTH,
    }
    with pytest.raises(ValueError, match=sentence):
        add_noise(**given | change)


def test_defects_are_gaps_and_steps() -> None:
    clean = np.ones((80, 3909), dtype=np.float32)
    flux, ivar = damage(clean, 4 * clean, np.random.default_rng(6), WAVELENGTH)
    lost = (flux == 0).sum(axis=1)
    assert ((lost >= 60) | (flux[:, 0] != 1)).all()
    stepped = lost == 0
    assert stepped.sum() == 20
    # A wrong scale keeps the signal-to-noise ratio.
    np.testing.assert_allclose((flux * np.sqrt(ivar))[stepped], 2, rtol=1e-5)
    honest = (flux == 0) == (ivar == 0)
    assert (~honest).any(axis=1).sum() == 20
    assert (clean == 1).all()
