"""Simulated exposures: what was asked for is what comes out."""

import numpy as np
import pytest
from scipy.interpolate import CubicSpline

from starsift.sky.constants import C_KMS
from starsift.spectra.templates import load_grid
from starsift.synthesis.mrs import ARMS, Observation, coadd, native_wavelength, observe, red_model, sample
from starsift.synthesis.stars import Synthesizer, draw_binaries, draw_singles

PERFECT: dict[str, bool] = {"cosmic_rays": False, "masked": False, "sky": False, "blaze": False}


@pytest.fixture(scope="module")
def synthesizer() -> Synthesizer:
    return Synthesizer(load_grid())


def flat(n: int) -> tuple[np.ndarray, np.ndarray]:
    wavelength = 4890.0 * np.exp(np.arange(6000) * 1.7e-5)
    return wavelength, np.ones((n, wavelength.size), dtype=np.float32)


def test_pixels_are_native() -> None:
    wavelength = native_wavelength(np.random.default_rng(0), np.linspace(-30, 30, 50))
    assert wavelength.shape == (50, 4136)
    assert wavelength[:, 0] == pytest.approx(4898, abs=1.2)
    assert wavelength[:, -1] == pytest.approx(5389, abs=1.2)
    step = np.diff(wavelength, axis=1)
    assert step.min() > 0.1
    assert (step[:, 0] / step[:, -1] > 1.05).all()
    # Not uniform in the logarithm either.
    assert (np.ptp(np.diff(np.log(wavelength), axis=1), axis=1) / 2.3e-5 > 0.05).all()


@pytest.mark.parametrize("arm", ["B", "R"])
def test_signal_to_noise_is_as_requested(arm: str) -> None:
    snr = np.geomspace(5, 200, 60)
    wavelength = 4890.0 * np.exp(np.arange(6000) * 1.7e-5) * (1 if arm == "B" else 6275 / 4890)
    seen = observe(wavelength, np.ones((60, 6000)), snr=snr, rng=np.random.default_rng(1), arm=arm)
    # Noise pulls the median of the blaze's skewed distribution towards its mean where the S/N is low.
    np.testing.assert_allclose(seen.snr, snr, rtol=0.06)
    np.testing.assert_allclose(seen.snr[snr > 30], snr[snr > 30], rtol=0.015)
    assert seen.flux.shape == (60, ARMS[arm].pixels)
    assert seen.flux.dtype == seen.ivar.dtype == np.float32


def test_errors_are_honest() -> None:
    wavelength, flux = flat(40)
    seen = observe(wavelength, flux, snr=np.linspace(5, 200, 40), rng=np.random.default_rng(2), **PERFECT)
    level = np.median(seen.flux, axis=1, keepdims=True)
    scatter = ((seen.flux - level) * np.sqrt(seen.ivar)).std(axis=1)
    np.testing.assert_allclose(scatter, 1.0, atol=0.06)


def test_interpolation_against_a_spline(synthesizer: Synthesizer) -> None:
    flux = synthesizer.system_flux(draw_singles(np.random.default_rng(3), 20))
    wavelength = native_wavelength(np.random.default_rng(4), np.zeros(20))
    fast = sample(synthesizer.wavelength, flux, wavelength)
    for i in range(20):
        slow = CubicSpline(synthesizer.wavelength, flux[i])(wavelength[i])
        assert np.abs(fast[i] / slow - 1).max() < 2e-3


@pytest.mark.parametrize("rv", [-250.0, 12.3, 180.0])
def test_velocity_survives_the_spectrograph(synthesizer: Synthesizer, rv: float) -> None:
    star = {"teff": [5200.0], "logg": [4.4], "feh": [0.0], "vsini": [3.0], "radius": [1.0]}
    still = CubicSpline(synthesizer.wavelength, synthesizer.flux(rv=[0.0], **star)[0])
    moving = synthesizer.flux(rv=[rv], **star)
    rng = np.random.default_rng(5)
    seen = observe(synthesizer.wavelength, moving, snr=np.array([200.0]), rng=rng, **PERFECT)
    keep = (seen.wavelength[0] > 4910) & (seen.wavelength[0] < 5380)
    trials = rv + np.arange(-3, 3.1, 0.25)
    chi2 = []
    for trial in trials:
        model = still(seen.wavelength[0] / (1 + trial / C_KMS))
        weight = seen.ivar[0] * keep
        scale = (seen.flux[0] * model * weight).sum() / (model**2 * weight).sum()
        chi2.append((weight * (seen.flux[0] - scale * model) ** 2).sum())
    curve = np.polyfit(trials, chi2, 2)
    assert -curve[1] / (2 * curve[0]) == pytest.approx(rv, abs=0.2)
    assert min(chi2) / keep.sum() == pytest.approx(1.0, abs=0.1)


def test_resolution_survives_the_spectrograph() -> None:
    # A line far narrower than a pixel, smoothed to R = 7500, has that width on the detector.
    wavelength, flux = flat(1)
    sigma = 5150 / 7500 / 2.35482
    flux[0] -= 0.8 * np.exp(-0.5 * ((wavelength - 5150) / sigma) ** 2)
    seen = observe(wavelength, flux, snr=np.array([1e4]), rng=np.random.default_rng(6), **PERFECT)
    near = np.abs(seen.wavelength[0] - 5150) < 3
    x, depth = seen.wavelength[0, near] - 5150, 1 - seen.flux[0, near] / np.median(seen.flux[0])
    width = np.sqrt((depth * x**2).sum() / depth.sum() - ((depth * x).sum() / depth.sum()) ** 2)
    assert 5150 / (2.35482 * width) == pytest.approx(7500, rel=0.02)


def test_defects_are_there_and_can_be_left_out() -> None:
    wavelength, flux = flat(200)
    snr = np.full(200, 50.0)
    clean, dirty, rays, shaped = (
        observe(
            wavelength, flux, snr=snr, rng=np.random.default_rng(7), **PERFECT | dict.fromkeys(names, True)
        )
        for names in ([], ["masked"], ["cosmic_rays"], ["blaze"])
    )
    assert not clean.mask.any()
    assert (clean.ivar > 0).all()
    assert 0.0005 < dirty.mask.mean() < 0.02
    assert (dirty.ivar[dirty.mask] == 0).all()
    high = (rays.flux - np.median(rays.flux, axis=1, keepdims=True)) * np.sqrt(rays.ivar) > 8
    assert 200 < high.sum() < 2000
    assert 0.3 < rays.mask[high].mean() < 0.7
    ends = shaped.flux[:, :50].mean() / shaped.flux[:, 2000:2200].mean()
    assert 0.3 < ends < 0.75


def test_sky_lines_stand_still_for_the_observer() -> None:
    wavelength, flux = flat(400)
    helio = np.where(np.arange(400) % 2 == 0, -30.0, 30.0)
    settings = PERFECT | {"sky": True}
    seen = observe(
        wavelength, flux, snr=np.full(400, 5.0), rng=np.random.default_rng(8), helio_rv=helio, **settings
    )
    level = np.median(seen.flux, axis=1, keepdims=True)
    power = (seen.flux - level) ** 2 * seen.ivar - 1
    line = 5199.35  # [N I] 5197.90 in air
    for sign in (0, 1):
        rest = seen.wavelength[sign::2] / (1 + helio[sign] / C_KMS)
        on = power[sign::2][np.abs(rest - line) < 0.15].mean()
        off = power[sign::2][np.abs(rest - line - 20) < 2].mean()
        assert on > off + 0.3


def test_observing_is_reproducible_and_takes_nothing() -> None:
    wavelength, flux = flat(5)
    snr = np.full(5, 20.0)
    pair = (observe(wavelength, flux, snr=snr, rng=np.random.default_rng(9)) for _ in range(2))
    for a, b in zip(*pair, strict=True):
        np.testing.assert_array_equal(a, b)
    assert observe(*flat(0), snr=np.empty(0), rng=np.random.default_rng(9)).flux.shape == (0, 4136)
    dark = observe(wavelength, 0 * flux, snr=snr, rng=np.random.default_rng(9))
    assert np.isfinite(dark.flux).all()
    assert (np.abs(dark.snr) < 1).all()


def test_bad_requests_are_refused() -> None:
    wavelength, flux = flat(2)
    for wave, values, snr, message in (
        (wavelength, flux, [10.0, -1.0], "2 positive numbers"),
        (wavelength[500:], flux[:, 500:], [10.0, 10.0], "use templates of a wider range"),
        (np.linspace(4890, 5410, 6000), flux, [10.0, 10.0], "not uniform in ln"),
        (wavelength, flux[:, 1:], [10.0, 10.0], "expected \\(2, 6000\\)"),
    ):
        with pytest.raises(ValueError, match=message):
            observe(wave, values, snr=np.array(snr), rng=np.random.default_rng(0))


def test_coadds() -> None:
    wavelength, flux = flat(6)
    single = observe(wavelength, flux, snr=np.full(6, 20.0), rng=np.random.default_rng(1), **PERFECT)
    mask = single.mask.copy()
    mask[0, 1000:1010] = True
    mask[3:, 2000:2010] = True
    exposures = Observation(single.wavelength, single.flux, single.ivar, mask)
    grid, total, ivar, and_mask, or_mask = coadd(exposures, 3, "B")
    assert total.shape == (2, grid.size)
    np.testing.assert_allclose(np.diff(np.log10(grid)), 1e-5, rtol=1e-6)
    # Interpolation averages neighbours, so a pixel gains a little more than sqrt(3).
    ratio = np.median(total * np.sqrt(ivar), axis=1) / 20
    assert ((ratio > np.sqrt(3) * 0.97) & (ratio < np.sqrt(3) * 1.45)).all()
    assert or_mask[0].any()
    assert not and_mask[0].any()
    assert and_mask[1].any()
    assert (total[1][and_mask[1]] == 0).all()


def test_red_arm_shows_halpha_of_both_stars() -> None:
    systems = draw_binaries(np.random.default_rng(2), 1, (200.0, 201.0))
    wavelength, flux = red_model(systems, systems.rv, np.array([[0.5, 0.5]]))
    for rv in systems.rv[0]:
        at = np.argmin(np.abs(wavelength - 6564.61 * (1 + rv / C_KMS)))
        assert flux[0, at] < 0.95 * np.median(flux)
