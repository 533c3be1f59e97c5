"""The simulated A-type stars and their spectra: as physics says."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter1d
from scipy.stats import ks_2samp

from starsift.demo import astars
from starsift.demo.astars import (
    EXTINCTION,
    GRID,
    KINDS,
    AStars,
    draw_astars,
    noiseless,
    observe_astars,
    read_templates,
    synthetic_magnitudes,
    template_grid,
)
from starsift.searches.bhb.search import SEARCH
from starsift.sky.constants import C_KMS

TEMPLATES = Path(__file__).resolve().parents[3] / "shared/data/templates-a/grid.npz"


H_BETA = 4862.68  # Angstrom, vacuum


def alike(**change: float) -> AStars:
    """One star without rotation, velocity or dust, and parameters changed as asked."""
    one = draw_astars(np.random.default_rng(1), 1)
    values = {"teff": 8500.0, "logg": 4.0, "feh": -1.0, "rv": 0.0, "vsini": 0.0, **change}
    arrays = {name: np.array([value]) for name, value in values.items()}
    return replace(one, extinction=np.zeros((1, 5)), **arrays)


@pytest.mark.skipif(not TEMPLATES.exists(), reason="the templates as computed are not here")
def test_packed_templates_are_those_that_were_computed() -> None:
    grid = np.load(TEMPLATES)
    params, log10_wavelength, flux = read_templates()
    np.testing.assert_array_equal(params, grid["params"])
    np.testing.assert_allclose(log10_wavelength, grid["log10_wavelength"], atol=1e-9)
    assert np.abs(flux / grid["flux"] - 1).max() < 1e-3


def test_the_grid_has_every_combination_and_keeps_the_templates() -> None:
    grid = template_grid()
    params, log10_wavelength, flux = read_templates()
    assert len(params) == 113
    assert len(grid.log_flux) == 120
    assert np.isfinite(grid.log_flux).all()
    first = round((log10_wavelength[0] - GRID.log10_lambda0) / GRID.dlog10_lambda)
    assert GRID.wavelength[first] == pytest.approx(10 ** log10_wavelength[0], rel=1e-9)
    some = slice(0, 113, 9)
    seen = np.exp(grid.weights(*params[some].T) @ grid.log_flux)[:, first : first + flux.shape[1]]
    expected = gaussian_filter1d(flux[some], 0.7495, axis=1)
    np.testing.assert_allclose(seen[:, 200::300], expected[:, 200::300], rtol=3e-3)
    half = grid.weights(*np.array([[8250.0], [3.25], [-0.5]]))
    assert half.sum() == pytest.approx(1)
    np.testing.assert_allclose(half.data, 0.125)


def test_colours_of_an_a0_dwarf_are_those_of_vega() -> None:
    grid = template_grid()
    magnitude = (grid.weights(*np.array([[9500.0], [4.0], [0.0]])) @ grid.magnitude)[0]
    # SDSS DR16, "Estimates for the ugriz colors of Vega and the Sun": g-r, r-i, i-z.
    np.testing.assert_allclose(-np.diff(magnitude), [-0.25, -0.23, -0.17], atol=0.03)


def test_kinds_differ_in_gravity_metals_and_motion_but_not_in_colour_or_magnitude(stars: AStars) -> None:
    of = [stars.kind == kind for kind in KINDS]
    assert [some.sum() for some in of] == [1600, 1400, 1000]
    assert {word.label for word in SEARCH.words} >= set(KINDS)
    bare = stars.magnitude - stars.extinction
    g_r = bare[:, 1] - bare[:, 2]
    assert -0.25 < g_r.min() < g_r.max() < 0
    for other in of[1:]:
        for values in (g_r, stars.magnitude[:, 1], stars.snr):
            assert ks_2samp(values[of[0]], values[other]).pvalue > 0.01
    bhb, straggler, young = of
    assert stars.logg[bhb].max() < 3.7
    assert np.corrcoef(stars.logg[bhb], stars.teff[bhb])[0, 1] > 0.4
    assert stars.logg[straggler].mean() == pytest.approx(4.18, abs=0.03)
    assert [round(stars.feh[some].mean(), 1) for some in of] == [-1.7, -1.3, -0.2]
    np.testing.assert_allclose([stars.rv[some].std() for some in of], [110, 110, 35], rtol=0.06)
    assert stars.vsini[bhb].max() <= 30
    assert stars.vsini[young].min() >= 20
    g = stars.magnitude[:, 1]
    assert astars.G_RANGE[0] < g.min() < g.max() < astars.G_RANGE[1]
    assert 5 < np.median(stars.snr) < 7


def test_photometry_follows_the_published_relations(stars: AStars) -> None:
    bare = stars.magnitude - stars.extinction
    u_g, x = bare[:, 0] - bare[:, 1], bare[:, 1] - bare[:, 2]
    # Deason et al. 2011, equations 2, 3, 5 and 7, written out.
    bhb, straggler = stars.kind == "BHB", stars.kind == "blue straggler"
    for some, ridge, width in (
        (bhb & (stars.logg < 3.3), (9.936, -1.934, -0.775, 1.167), 0.04),
        (straggler & (stars.logg > 4), (13.444, 0.556, -0.489, 1.078), 0.045),
    ):
        apart = (u_g - np.polyval(ridge, x))[some]
        assert apart.mean() == pytest.approx(0, abs=0.005)
        assert apart.std() == pytest.approx(width, abs=0.004)
    for some, m_g, scatter in (
        (bhb, 0.434 - 0.169 * x + 2.319 * x**2 + 20.449 * x**3 + 94.517 * x**4, 0.15),
        (straggler, 3.108 + 5.495 * x, 0.5),
    ):
        assert (stars.m_g - m_g)[some].std() == pytest.approx(scatter, rel=0.1)
        assert (stars.m_g - m_g)[some].mean() == pytest.approx(0, abs=0.05)
    np.testing.assert_allclose(bare[:, 1] - stars.m_g, 5 * np.log10(stars.distance * 100))
    dust = stars.extinction / EXTINCTION
    np.testing.assert_allclose(dust, dust[:, :1] * np.ones(5))
    assert 0.01 <= dust.min() < dust.max() <= 0.08


def width_of_h_beta(star: AStars) -> float:
    """Full width in Angstrom where the line has a quarter of its depth."""
    flux = noiseless(star)[0]
    near = np.abs(GRID.wavelength - H_BETA) < 60
    level = np.median(flux[np.abs(np.abs(GRID.wavelength - H_BETA) - 70) < 10])
    deep = flux[near] < level - 0.25 * (level - flux[near].min())
    return float(np.ptp(GRID.wavelength[near][deep]))


def test_balmer_lines_of_dwarfs_are_broader() -> None:
    assert width_of_h_beta(alike(logg=4.2)) > 1.3 * width_of_h_beta(alike(logg=3.0))


def test_metal_lines_grow_with_metallicity() -> None:
    near = (GRID.wavelength > 5160) & (GRID.wavelength < 5190)  # Mg b

    def depth(feh: float) -> float:
        flux = noiseless(alike(feh=feh, teff=7800.0))[0][near]
        return float(1 - flux.min() / np.median(flux))

    assert depth(-0.1) > 0.05
    assert depth(-1.8) < 0.6 * depth(-0.1)


@pytest.mark.parametrize("rv", [-200.0, 310.0])
def test_velocity_moves_every_line_to_the_red_if_positive(rv: float) -> None:
    place = []
    for star in (alike(), alike(rv=rv)):
        flux = noiseless(star)[0].astype(np.float64)
        near = np.abs(GRID.wavelength - H_BETA) < 40
        depth = 1 - flux[near] / flux[near].max()
        place.append((depth**4 * GRID.wavelength[near]).sum() / (depth**4).sum())
    assert C_KMS * np.log(place[1] / place[0]) == pytest.approx(rv, abs=5)


def test_spectra_have_the_magnitudes_of_their_stars(stars: AStars) -> None:
    some = stars.take(np.arange(60))
    seen = synthetic_magnitudes(noiseless(some).astype(np.float64) * 1e-17)
    np.testing.assert_allclose(seen[:, 0], some.magnitude[:, 1], atol=1e-4)
    colours = -np.diff(some.magnitude[:, 1:4])
    np.testing.assert_allclose(-np.diff(seen[:, :3]), colours, atol=0.02)


def test_noise_is_as_strong_as_asked_and_ivar_knows_it(stars: AStars) -> None:
    some = stars.take(np.arange(300))
    flux, ivar, mask = observe_astars(np.random.default_rng(5), some)
    assert flux.shape == ivar.shape == mask.shape == (300, GRID.pixels)
    assert flux.dtype == ivar.dtype == np.float32
    assert mask.any(axis=1).mean() > 0.5
    assert (ivar[mask] == 0).all()
    inside = (GRID.wavelength > 4000) & (GRID.wavelength < 9000)
    ratio = np.median(flux[:, inside] * np.sqrt(ivar[:, inside]), axis=1)
    # Residuals of sky lines move the median of spectra of little signal.
    np.testing.assert_allclose(ratio, some.snr, rtol=0.25)
    near = slice(2100, 2300)  # between lines
    smooth = np.polynomial.polynomial.polyfit(np.arange(200), flux[:, near].T, 4)
    left = flux[:, near] - np.polynomial.polynomial.polyval(np.arange(200), smooth)
    assert np.median((left * np.sqrt(ivar[:, near])).std(axis=1)) == pytest.approx(1, abs=0.06)


def test_spikes_are_hits_and_residuals_of_sky_lines() -> None:
    flux = np.ones((2000, GRID.pixels), np.float32)
    astars.add_spikes(np.random.default_rng(3), flux, np.full(2000, 1e9))
    hit = flux > 1.01
    assert hit.sum() == pytest.approx(2 * astars.HITS * 2000, rel=0.06)  # two pixels each
    height = np.maximum(flux[:, :-1], flux[:, 1:])[hit[:, :-1] & hit[:, 1:]] - 1
    assert np.median(height) == pytest.approx(astars.HIT_HEIGHT, rel=0.08)
    faint = np.ones((2000, GRID.pixels), np.float32)
    astars.add_spikes(np.random.default_rng(3), faint, np.full(2000, 5.0))
    left = np.median(np.abs(faint - flux), axis=0)
    assert abs(GRID.wavelength[left.argmax()] - astars.OXYGEN_LINE) < 1
    both = np.hypot(astars.OXYGEN, astars.OTHER_LINES)  # the sky's lines have 5577 too
    assert left.max() == pytest.approx(0.6745 * both / 5, rel=0.1)
    assert left[GRID.wavelength < 4300].max() < 0.01  # there the sky has no lines
