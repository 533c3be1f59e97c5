"""Synthetic stars against slow, independent calculations, and the physics of the populations."""

from pathlib import Path

import numpy as np
import pytest
from scipy.interpolate import CubicSpline

from starsift.errors import InputError
from starsift.sky.constants import C_KMS
from starsift.spectra.templates import TemplateGrid, load_grid
from starsift.synthesis.stars import (
    DETACHED,
    SEPARATION,
    Orbits,
    Synthesizer,
    draw_binaries,
    draw_singles,
    draw_triples,
    dwarf,
    rotation_transform,
    separations,
    true_anomaly,
)

GRID = Path(__file__).parents[2] / "resources/templates/grid.parquet"
SUN = {"teff": [5750.0], "logg": [4.0], "feh": [0.0], "vsini": [0.0], "rv": [0.0], "radius": [1.0]}


@pytest.fixture(scope="module")
def grid() -> TemplateGrid:
    return load_grid(GRID)


@pytest.fixture(scope="module")
def synthesizer(grid: TemplateGrid) -> Synthesizer:
    return Synthesizer(grid)


def convolve(wavelength: np.ndarray, flux: np.ndarray, velocity: np.ndarray, profile: np.ndarray):
    """Direct sum over a velocity profile: slow, and nothing like a Fourier transform."""
    spline = CubicSpline(wavelength, flux, extrapolate=True)
    weight = profile / profile.sum()
    return sum(w * spline(wavelength * np.exp(-v / C_KMS)) for v, w in zip(velocity, weight, strict=True))


def inner(wavelength: np.ndarray) -> np.ndarray:
    """Pixels that no edge can touch."""
    return (wavelength > 4905) & (wavelength < 5395)


def test_resolution_matches_a_direct_convolution(grid: TemplateGrid, synthesizer: Synthesizer) -> None:
    star = grid.nearest(5750, 4.0, 0.0)
    sigma = C_KMS * np.sqrt(7500.0**-2 - 20_000.0**-2) / 2.35482
    velocity = np.linspace(-6 * sigma, 6 * sigma, 121)
    slow = convolve(grid.wavelength, grid.flux[star], velocity, np.exp(-0.5 * (velocity / sigma) ** 2))
    slow = CubicSpline(grid.wavelength, slow)(synthesizer.wavelength)
    fast = synthesizer.flux(**SUN)[0]
    keep = inner(synthesizer.wavelength)
    assert np.abs(fast / slow - 1)[keep].max() < 1e-3


def test_rotation_matches_a_direct_convolution(grid: TemplateGrid, synthesizer: Synthesizer) -> None:
    vsini, limb = 80.0, 0.6
    still = synthesizer.flux(**SUN)[0]
    velocity = np.linspace(-vsini, vsini, 401)
    x = np.minimum(1.0, (velocity / vsini) ** 2)
    profile = 2 * (1 - limb) * np.sqrt(1 - x) + 0.5 * np.pi * limb * (1 - x)  # Gray (2005), eq. 18.14
    slow = convolve(synthesizer.wavelength, still, velocity, profile)
    fast = synthesizer.flux(**SUN | {"vsini": [vsini]})[0]
    keep = inner(synthesizer.wavelength)
    assert np.abs(fast / slow - 1)[keep].max() < 1e-3
    assert fast[keep].std() < 0.8 * still[keep].std()


def test_rotation_transform_of_a_point_is_one() -> None:
    assert rotation_transform(np.array([0.0]))[0] == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("rv", [-321.7, -40.0, 0.3, 77.7, 350.0])
def test_doppler_shift_against_interpolation(synthesizer: Synthesizer, rv: float) -> None:
    still, moving = (synthesizer.flux(**SUN | {"rv": [v]})[0].astype(np.float64) for v in (0.0, rv))
    spline = CubicSpline(synthesizer.wavelength, still)
    keep = inner(synthesizer.wavelength)
    trials = rv + np.linspace(-1, 1, 41)
    chi2 = [((spline(synthesizer.wavelength / (1 + v / C_KMS)) - moving)[keep] ** 2).sum() for v in trials]
    curve = np.polyfit(trials, chi2, 2)
    assert -curve[1] / (2 * curve[0]) == pytest.approx(rv, abs=0.02)
    residual = spline(synthesizer.wavelength / (1 + rv / C_KMS)) - moving
    assert np.abs(residual[keep]).max() < 1e-3 * moving.max()


def test_systems_add_up_by_their_absolute_fluxes(grid: TemplateGrid, synthesizer: Synthesizer) -> None:
    hot, cool = grid.nearest(6500, 4.0, 0.0), grid.nearest(5000, 4.0, 0.0)
    both = synthesizer.flux([[6500, 5000]], [[4, 4]], [[0, 0]], [[5, 9]], [[-50, 70]], [[1.4, 0.8]])
    one = synthesizer.flux([6500, 5000], [4, 4], [0, 0], [5, 9], [-50, 70], [1.4, 0.8])
    np.testing.assert_allclose(both[0], one.sum(axis=0), rtol=1e-5)
    expected = (grid.flux[hot].mean() * 1.4**2) / (grid.flux[cool].mean() * 0.8**2)
    assert one[0].mean() / one[1].mean() == pytest.approx(expected, rel=2e-3)
    absent = synthesizer.flux([[6500, np.nan]], [[4, 4]], [[0, 0]], [[5, 9]], [[-50, np.nan]], [[1.4, 0.0]])
    np.testing.assert_allclose(absent[0], one[0], rtol=1e-5)


def test_interpolation_is_linear_between_nodes(synthesizer: Synthesizer) -> None:
    teff, logg, feh = np.array([5500, 5625, 5750]), np.full(3, 4.0), np.zeros(3)
    flux = synthesizer.flux(teff, logg, feh, np.zeros(3), np.zeros(3), np.ones(3)).astype(np.float64)
    np.testing.assert_allclose(flux[1], 0.5 * (flux[0] + flux[2]), rtol=1e-5)


def test_a_missing_node_keeps_its_temperature(grid: TemplateGrid, synthesizer: Synthesizer) -> None:
    # There is no 7000 K star of log g 1: the one of log g 2 has the right flux.
    hole, neighbour = synthesizer.flux([7000, 7000], [1, 2], [0, 0], [0, 0], [0, 0], [1, 1])
    np.testing.assert_allclose(hole, neighbour, rtol=1e-6)


def test_batches_do_not_mix(synthesizer: Synthesizer) -> None:
    systems = draw_singles(np.random.default_rng(3), 300)
    flux = synthesizer.system_flux(systems)
    order = np.random.default_rng(4).permutation(300)
    np.testing.assert_allclose(synthesizer.system_flux(systems.take(order)), flux[order], rtol=1e-5)


def test_bad_requests_are_refused(grid: TemplateGrid, synthesizer: Synthesizer) -> None:
    with pytest.raises(InputError, match="sharper than the instrument"):
        Synthesizer(grid, resolution=50_000)
    with pytest.raises(ValueError, match="teff is not finite"):
        synthesizer.flux(**SUN | {"teff": [np.nan]})
    with pytest.raises(ValueError, match="vsini must be 0 to 500"):
        synthesizer.flux(**SUN | {"vsini": [900.0]})
    rng = np.random.default_rng(0)
    scattered = TemplateGrid(
        rng.normal(size=(30, 4)) + 5000, grid.wavelength, grid.normalized[:30], grid.continuum[:30], 20_000.0
    )
    with pytest.raises(InputError, match="common axes"):
        Synthesizer(scattered)


def test_the_sun_is_on_the_main_sequence() -> None:
    teff, radius, logg = dwarf(1.0)
    assert (teff, radius) == (5770, 1.012)
    assert logg == pytest.approx(4.43, abs=0.01)


def test_kepler_equation() -> None:
    eccentricity = np.repeat([0.0, 0.3, 0.7, 0.9], 500)
    mean = np.tile(np.linspace(0, 2 * np.pi, 500, endpoint=False), 4)
    nu = true_anomaly(mean, eccentricity)
    ratio = np.sqrt((1 - eccentricity) / (1 + eccentricity))
    eccentric = 2 * np.arctan2(ratio * np.sin(nu / 2), np.cos(nu / 2))
    difference = eccentric - eccentricity * np.sin(eccentric) - mean
    assert np.abs(np.angle(np.exp(1j * difference))).max() < 1e-9


def test_a_known_orbit() -> None:
    # Two suns, one day, edge on: K = 212.9 / 2^(2/3) km/s each.
    orbit = Orbits(
        np.ones((1, 2)), np.ones((1, 1)), np.zeros((1, 1)), np.zeros((1, 1)), np.zeros((1, 1)),
        np.full((1, 1), np.pi / 2), np.array([10.0]),
    )  # fmt: skip
    np.testing.assert_allclose(orbit.velocities(0.0), [[10 + 134.13, 10 - 134.13]], atol=0.02)
    np.testing.assert_allclose(orbit.velocities(0.25), [[10, 10]], atol=1e-9)
    np.testing.assert_allclose(orbit.velocities(0.5), [[10 - 134.13, 10 + 134.13]], atol=0.02)


@pytest.mark.parametrize("delta_rv", [(60.0, 250.0), (100.0, 120.0), None])
def test_binaries(synthesizer: Synthesizer, delta_rv: tuple[float, float] | None) -> None:
    systems = draw_binaries(np.random.default_rng(5), 400, delta_rv)
    assert systems.n == 400
    orbits = systems.orbits
    assert orbits is not None
    assert (systems.mass[:, 0] >= systems.mass[:, 1]).all()
    np.testing.assert_allclose(systems.velocities(0.0), systems.rv)
    later = systems.velocities(np.linspace(0.3, 9, 400))
    momentum = (systems.mass * later).sum(axis=1) / systems.mass.sum(axis=1)
    np.testing.assert_allclose(momentum, orbits.gamma, atol=1e-9)
    room = SEPARATION * np.cbrt(systems.mass.sum(axis=1)) * orbits.period[:, 0] ** (2 / 3)
    assert (room * (1 - orbits.eccentricity[:, 0]) > DETACHED * systems.radius.sum(axis=1)).all()
    if delta_rv is not None:
        gap = separations(systems.rv)[:, 0]
        assert delta_rv[0] <= gap.min() < gap.max() <= delta_rv[1]
        assert gap.mean() == pytest.approx(np.mean(delta_rv), abs=0.06 * np.ptp(delta_rv))
    fraction = synthesizer.flux_fractions(systems)
    np.testing.assert_allclose(fraction.sum(axis=1), 1.0)
    part = systems.take(slice(0, 20))
    first = synthesizer.flux(**{name: getattr(part, name)[:, 0] for name in SUN})
    share = first.mean(axis=1) / synthesizer.system_flux(part).mean(axis=1)
    np.testing.assert_allclose(share, fraction[:20, 0], atol=2e-3)


def test_hierarchical_triples() -> None:
    systems = draw_triples(np.random.default_rng(6), 200)
    orbits = systems.orbits
    assert orbits is not None
    gaps = separations(systems.rv)
    assert 60 <= gaps.min() < gaps.max() <= 250
    assert (orbits.period[:, 1] > 8 * orbits.period[:, 0]).all()
    later = systems.velocities(12.3)
    momentum = (systems.mass * later).sum(axis=1) / systems.mass.sum(axis=1)
    np.testing.assert_allclose(momentum, orbits.gamma, atol=1e-9)
    # Over one inner revolution the inner pair moves, the outer star hardly does.
    moved = np.abs(systems.velocities(0.25 * orbits.period[:, 0]) - systems.rv)
    assert np.median(moved[:, 0]) > 5 * np.median(moved[:, 2])


def test_random_triples_have_the_gaps_of_the_paper() -> None:
    systems = draw_triples(np.random.default_rng(7), 500, hierarchical=False)
    gaps = separations(systems.rv)
    assert 60 <= gaps.min() < gaps.max() <= 250
    assert systems.orbits is None


def test_singles_cover_the_diagram() -> None:
    systems = draw_singles(np.random.default_rng(8), 2000, rotator_fraction=0.1)
    assert (systems.logg < 3.4).mean() == pytest.approx(0.35, abs=0.05)
    assert systems.teff.min() < 4300
    assert systems.teff.max() > 7300
    assert ((systems.vsini > 50) & (systems.vsini <= 150)).mean() >= 0.08
    assert systems.vsini.max() <= 150
    same = draw_singles(np.random.default_rng(8), 2000, rotator_fraction=0.1)
    np.testing.assert_array_equal(same.rv, systems.rv)


def test_impossible_wishes_are_refused() -> None:
    with pytest.raises(ValueError, match="no detached main-sequence binaries"):
        draw_binaries(np.random.default_rng(1), 5, (800.0, 900.0))
    with pytest.raises(ValueError, match="no hierarchical triples"):
        draw_triples(np.random.default_rng(1), 5, delta_rv=(800.0, 900.0))
    assert draw_binaries(np.random.default_rng(1), 0).n == 0
    assert draw_triples(np.random.default_rng(1), 0).n == 0
