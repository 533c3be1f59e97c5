"""What hashers see: fluxes, and depths of bands without noise and calibration."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from starsift.errors import TrainingError
from starsift.searches.mstars.features import represent, spectral_features

PIXELS = 3909
X_AXIS = np.linspace(-1.0, 1.0, PIXELS)


def spectra(n: int = 6, snr: float = 20.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Slopes with bands 40 to 120 pixels wide, noise of the same size in all pixels, and ivar."""
    rng = np.random.default_rng(seed)
    flux = 1.0 + 0.3 * rng.uniform(-1, 1, (n, 1)) * X_AXIS
    for _ in range(8):
        centre, width = rng.uniform(0, PIXELS, (n, 1)), rng.uniform(20, 60, (n, 1))
        depth = rng.uniform(0.1, 0.5, (n, 1))
        flux *= 1 - depth * np.exp(-0.5 * ((np.arange(PIXELS) - centre) / width) ** 2)
    flux += rng.standard_normal((n, PIXELS)) / snr
    return flux.astype(np.float32), np.full((n, PIXELS), snr**2, np.float32)


def cosine(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a * b).sum(axis=1) / np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))


@settings(max_examples=25, deadline=None)
@given(st.floats(-17.5, 15.0), st.integers(0, 100))
def test_features_do_not_know_the_unit_of_flux(exponent: float, seed: int) -> None:
    flux, ivar = spectra(3, seed=seed)
    factor = np.float32(10.0**exponent)
    features = spectral_features(flux, ivar)
    scaled = spectral_features(flux * factor, ivar / factor / factor)
    np.testing.assert_allclose(scaled, features, atol=2e-4)
    np.testing.assert_allclose((features**2).mean(axis=1), 1.0, rtol=1e-4)


def test_features_hardly_see_a_smooth_error_of_calibration() -> None:
    flux, ivar = spectra(20, snr=50.0)
    rng = np.random.default_rng(5)
    basis = np.polynomial.legendre.legvander(X_AXIS, 4)
    curve = np.exp(0.05 * rng.standard_normal((20, 5)) @ basis.T).astype(np.float32)
    assert np.ptp(curve, axis=1).mean() > 0.15
    features = spectral_features(flux, ivar)
    alike = cosine(features, spectral_features(flux * curve, ivar / curve**2))
    assert alike.min() > 0.98
    assert cosine(features[1:], features[:-1]).max() < 0.6
    # Spectra less their means see much more of it.
    raw = [rows - rows.mean(axis=1, keepdims=True) for rows in (flux, flux * curve)]
    assert np.mean(1 - alike) < 0.2 * np.mean(1 - cosine(*raw))


@pytest.mark.parametrize("junk", [0.0, 1e6, -1e4, np.nan, np.inf])
def test_masked_pixels_have_no_influence(junk: float) -> None:
    flux, ivar = spectra()
    ivar = ivar * (np.random.default_rng(2).random(ivar.shape) > 0.3)
    ivar[1, 300:420] = 0.0
    ivar[2, ::7] = 0.0
    ivar[3, 3000:] = 0.0
    features = spectral_features(np.where(ivar > 0, flux, np.float32(junk)), ivar)
    np.testing.assert_array_equal(features, spectral_features(flux, ivar))
    assert np.isfinite(features).all()
    if not np.isfinite(junk):  # masked by itself
        bad = np.where(ivar > 0, flux, np.float32(junk))
        np.testing.assert_array_equal(spectral_features(bad, np.maximum(ivar, 1.0)), features)
    # Nothing is said where nothing is known.
    assert not features[3, 3048 // 8 :].any()


def test_spectra_without_good_pixels_or_signal_say_nothing() -> None:
    flux, ivar = spectra(5)
    ivar[0] = 0.0
    flux[1] = 0.0
    flux[2] = 3.0
    flux[3] = -1.0
    features = spectral_features(flux, ivar)
    assert features.shape == (5, PIXELS // 8)
    assert features.dtype == np.float32
    assert np.isfinite(features).all()
    assert not features[0].any()
    np.testing.assert_allclose(features[4], spectral_features(flux[4:], ivar[4:])[0], atol=1e-4)
    assert spectral_features(flux[:0], ivar[:0]).shape == (0, PIXELS // 8)


def test_noise_is_shrunk_away() -> None:
    """Of one band with little noise and one with much, the former stands out."""
    flux = np.ones((1, PIXELS), np.float32)
    for centre in (1200, 2400):
        flux *= 1 - 0.3 * np.exp(-0.5 * ((np.arange(PIXELS) - centre) / 30.0) ** 2).astype(np.float32)
    ivar = np.full((1, PIXELS), 1e4, np.float32)
    alike = spectral_features(flux, ivar)[0]
    np.testing.assert_allclose(alike[150], alike[300], rtol=0.02)
    ivar[:, 1800:] = 0.1  # S/N 0.3 a pixel
    noisy = spectral_features(flux, ivar)[0]
    assert noisy[150] < -3
    assert abs(noisy[300]) < 0.2 * abs(noisy[150])


def test_representations() -> None:
    flux, ivar = spectra()
    low, span = flux.min(axis=1, keepdims=True), np.ptp(flux, axis=1)[:, None]
    flux, ivar, zero = (flux - low) / span, ivar * span**2, (-low / span)[:, 0]
    np.testing.assert_array_equal(represent(flux, ivar, zero, "flux"), flux)
    bands = represent(flux, ivar, zero, "bands")
    np.testing.assert_array_equal(bands, spectral_features(flux - zero[:, None], ivar))
    # The scale of [0, 1] is undone: bands are those of the flux before it was scaled.
    span = 2.5
    np.testing.assert_allclose(
        bands, spectral_features(span * (flux - zero[:, None]), ivar / span**2), atol=1e-3
    )
    with pytest.raises(TrainingError, match="representation is 'colours': expected one of bands, flux"):
        represent(flux, ivar, zero, "colours")
