"""Simulated images of A-type stars: light, noise, neighbours."""

from dataclasses import replace

import numpy as np
import pytest

from starsift.demo import cutouts
from starsift.demo.astars import AStars
from starsift.demo.cutouts import draw_cutouts, flux_of, measure_magnitudes, sky_noise


@pytest.fixture
def lonely(monkeypatch: pytest.MonkeyPatch) -> None:
    """No neighbours and gradients."""
    monkeypatch.setattr(cutouts, "NEIGHBOURS", 0.0)
    monkeypatch.setattr(cutouts, "_gradients", lambda rng, n, size: np.float32(0))


@pytest.mark.usefixtures("lonely")
def test_images_hold_the_light_of_the_star_in_its_place(stars: AStars) -> None:
    some = stars.take(np.flatnonzero(stars.magnitude[:, 4] < 17)[:80])
    images = draw_cutouts(np.random.default_rng(6), some, 32)
    assert images.shape == (80, 5, 32, 32)
    assert images.dtype == np.float32
    light = images.sum(axis=(2, 3)) / flux_of(some.magnitude + some.zero_point)
    np.testing.assert_allclose(np.median(light, axis=0), 1, atol=0.015)
    core = images[:, :, 8:24, 8:24].astype(np.float64)
    for axis in (0, 1):
        pixel = np.arange(8, 24) - 15.5
        weighted = (core * (pixel[:, None] if axis == 0 else pixel)).sum(axis=(2, 3)) / core.sum(axis=(2, 3))
        apart = weighted - some.offset[:, axis, None]
        assert np.abs(np.median(apart, axis=0)).max() < 0.03
        assert apart[:, 1:4].std() < 0.05
    width = np.sqrt((core[:, 2] * (np.arange(16) - 7.5) ** 2).sum(axis=(1, 2)) / core[:, 2].sum(axis=(1, 2)))
    assert np.corrcoef(width, some.fwhm[:, 2])[0, 1] > 0.5


@pytest.mark.usefixtures("lonely")
def test_noise_of_images_and_magnitudes_is_that_of_the_depths(stars: AStars) -> None:
    images = draw_cutouts(np.random.default_rng(6), stars.take(np.arange(60)), 32)
    np.testing.assert_allclose(images[:, :, :5, :].std(axis=(0, 2, 3)), sky_noise(), rtol=0.06)
    assert sky_noise()[0] > 2 * sky_noise()[1]
    assert sky_noise()[4] > 2 * sky_noise()[3]
    # At the depth of a band, five times the noise of a fit of the point-spread function.
    n = 3000
    limit = replace(
        stars.take(np.zeros(n, dtype=int)),
        magnitude=np.tile(cutouts.DEPTH, (n, 1)),
        zero_point=np.zeros((n, 5)),
        fwhm=np.tile(cutouts.FWHM, (n, 1)),
    )
    seen = flux_of(measure_magnitudes(np.random.default_rng(1), limit).astype(np.float64))
    error = (seen / flux_of(limit.magnitude)).std(axis=0)
    # Photons of the star add a little to those of the sky.
    assert 0.195 < error.min() < error.max() < 0.225


def test_neighbours_are_stars_and_galaxies_some_brighter_than_the_star(stars: AStars) -> None:
    rng = np.random.default_rng(2)
    sigma = cutouts._sigma(stars.fwhm[:1000])
    images = np.zeros((1000, 5, 32, 32), dtype=np.float32)
    cutouts._add_neighbours(rng, images, sigma)
    light = images[:, 2].sum(axis=(1, 2))
    assert 0.25 < (light > flux_of(np.array(22.5))).mean() < 0.6
    brighter = light > flux_of(stars.magnitude[:1000, 2])
    assert 0.01 < brighter.mean() < 0.15
    galaxy = rng.random(2000) < 0.5
    magnitude = cutouts._neighbour_magnitudes(rng, galaxy)
    assert (magnitude[:, 1] - magnitude[:, 2]).mean() > 0.5  # redder than A stars
    assert 15 <= magnitude[:, 2].min() < magnitude[:, 2].max() <= 22.5
