"""Mass ratios and systemic velocities of simulated binaries."""

import numpy as np
import pytest

from starsift.searches.binaries.wilson import Wilson, fit_wilson


def observe(
    rng: np.random.Generator, n: int, *, ratio: float, systemic: float, amplitude: float, error: float
) -> tuple[np.ndarray, np.ndarray]:
    """Velocities (n, 2) of stars 1 and 2 at random phases, 60 km/s or more apart, and their light."""
    first = systemic + amplitude * np.sin(rng.uniform(0, 2 * np.pi, 50 * n))
    pair = np.column_stack([first, systemic - (first - systemic) / ratio])
    pair = pair[np.abs(np.diff(pair, axis=1)[:, 0]) > 60][:n]
    return pair + rng.normal(0, error, pair.shape), np.tile([1, ratio**4] / np.sum([1, ratio**4]), (n, 1))


def fit_any_order(
    rng: np.random.Generator, rv: np.ndarray, light: np.ndarray, error: float
) -> tuple[Wilson, np.ndarray]:
    """The fit of ascending velocities, and where it should say that star 2 comes first."""
    order = np.argsort(rv, axis=1)
    light = light + rng.normal(0, 0.04, light.shape)
    rv, light = (np.take_along_axis(a, order, axis=1) for a in (rv, light))
    return fit_wilson(rv, np.full_like(rv, error), light, np.full_like(rv, 0.04)), order[:, 0] == 1


def test_errors_are_those_of_the_results() -> None:
    rng = np.random.default_rng(1)
    pulls, right, measured = [], 0, 0
    for _ in range(150):
        truth = {"ratio": rng.uniform(0.5, 0.95), "systemic": rng.normal(0, 40)}
        rv, light = observe(rng, 6, **truth, amplitude=rng.uniform(50, 120), error=1.0)
        fit, swapped = fit_any_order(rng, rv, light, 1.0)
        if np.isfinite(fit.ratio):
            measured += 1
            right += (fit.swapped == swapped).all()
            pulls.append((fit.ratio - truth["ratio"]) / fit.ratio_err)
            pulls.append((fit.systemic - truth["systemic"]) / fit.systemic_err)
    assert measured > 130
    assert right > 0.97 * measured
    assert 0.8 < 1.4826 * np.median(np.abs(pulls)) < 1.25


@pytest.mark.parametrize(("nights", "measured"), [(1, (0, 40)), (2, (60, 80))])
def test_exposures_of_one_night_have_nearly_one_phase(nights: int, measured: tuple[int, int]) -> None:
    rng = np.random.default_rng(3)
    pulls = []
    for _ in range(80):
        ratio, systemic, amplitude = rng.uniform(0.55, 0.98), rng.normal(0, 40), rng.uniform(60, 110)
        phases = rng.choice([0.1, 0.4, 0.6, 0.9], nights, replace=False)[:, None] + rng.uniform(0, 0.03, 3)
        first = systemic + amplitude * np.cos(2 * np.pi * phases.ravel())
        rv = np.column_stack([first, systemic - (first - systemic) / ratio])
        light = np.full_like(rv, [0.7, 0.3])
        fit, _ = fit_any_order(rng, rv + rng.normal(0, 0.7, rv.shape), light, 0.7)
        if np.isfinite(fit.ratio):
            pulls.append((fit.ratio - ratio) / fit.ratio_err)
    assert measured[0] <= len(pulls) <= measured[1]
    assert np.abs(pulls).max(initial=0.0) < 5


def test_two_exposures_do_if_the_light_tells_the_stars_apart() -> None:
    rng = np.random.default_rng(2)
    rv = np.array([[60.0, -75.0], [-40.0, 50.0]])
    fit, _ = fit_any_order(rng, rv, np.full((2, 2), [0.8, 0.2]), 0.5)
    assert fit.ratio == pytest.approx(0.8, abs=4 * fit.ratio_err)
    assert fit.systemic == pytest.approx(0.0, abs=4 * fit.systemic_err)
    assert fit.swapped.tolist() == [True, False]
    fit, _ = fit_any_order(rng, rv, np.full((2, 2), [0.5, 0.5]), 0.5)
    assert np.isnan([fit.ratio, fit.ratio_err, fit.systemic, fit.systemic_err]).all()


def test_exposures_at_one_phase_tell_no_mass_ratio() -> None:
    rv = np.array([[-50.0, 60.0], [-50.5, 60.2], [-49.6, 59.7]])
    light = np.full((3, 2), [0.3, 0.7])
    fit = fit_wilson(rv, np.full((3, 2), 1.0), light, np.full((3, 2), 0.05))
    assert np.isnan(fit.ratio)
    assert fit.swapped.all()  # the brighter star is the second one


def test_one_exposure_is_not_enough() -> None:
    fit = fit_wilson([[-50.0, 60.0]], [[1.0, 1.0]], [[0.7, 0.3]], [[0.1, 0.1]])
    assert np.isnan(fit.ratio)
    assert fit.swapped.tolist() == [False]
