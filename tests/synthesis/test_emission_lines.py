"""Simulated H alpha lines: profiles, and what a careful person sees in them."""

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from starsift.synthesis import emission_lines
from starsift.synthesis.emission_lines import (
    PATCH,
    STEP,
    VELOCITY,
    Emitters,
    draw_emitters,
    emission_profiles,
    hot_balmer,
    judge,
    look,
    photospheres,
    seen_profiles,
    shells,
)


def star(**change: Any) -> Emitters:
    """One star with a narrow, symmetric line of 10 Angstrom, over no absorption to speak of (type M)."""
    values: dict[str, Any] = dict.fromkeys(inspect.signature(Emitters).parameters, 0.0)
    values |= {"kind": "disc", "number": 45.0, "ew": 10.0, "turbulence": 30.0, "fall": 0.0}
    values |= {"wing_sigma": 300.0, "shell_sigma": 30.0} | change
    return Emitters(**{name: np.array([value]) for name, value in values.items()})


DISC = {"number": -8.0, "outer": 200.0, "inner": 420.0}
SHELL = {"number": -8.0, "turbulence": 80.0, "shell": 0.7, "shell_velocity": -250.0, "shell_sigma": 80.0}


def test_profiles_hold_the_light_of_the_line_where_it_belongs() -> None:
    rng = np.random.default_rng(0)
    stars = draw_emitters(rng, 50, {"disc": 0.6, "young": 0.2, "wind": 0.2})
    profile = emission_profiles(stars, 71.0)
    np.testing.assert_allclose(profile.sum(axis=1) * STEP, 1, rtol=1e-6)
    assert profile.min() > -1e-4 * profile.max()
    width = np.sqrt((profile[0] * VELOCITY**2).sum() * STEP)
    assert width > 71
    moved = emission_profiles(stars, 71.0, np.full(50, -300.0))
    centre = (moved * VELOCITY).sum(axis=1) - (profile * VELOCITY).sum(axis=1)
    np.testing.assert_allclose(centre * STEP, 300, atol=1)


def test_a_ring_has_its_peaks_at_its_speed() -> None:
    ring = star(outer=300.0, inner=300.0, turbulence=10.0)
    profile = emission_profiles(ring, 10.0)[0]
    left, right = (VELOCITY[side][profile[side].argmax()] for side in (VELOCITY < 0, VELOCITY > 0))
    assert (left, right) == pytest.approx((-300, 300), abs=25)
    lopsided = emission_profiles(star(outer=300.0, inner=300.0, lopsided=0.5), 10.0)[0]
    assert lopsided[VELOCITY > 0].max() > 1.5 * lopsided[VELOCITY < 0].max()


def test_hot_stars_have_weak_balmer_lines() -> None:
    depth = 1 - photospheres(np.array([-10.0, -5.0, 0.0, 10.0, 30.0])).min(axis=1)
    assert (np.diff(depth[:3]) > 0).all()
    assert (np.diff(depth[2:]) < 0).all()
    np.testing.assert_array_equal(hot_balmer(np.array([0.0, 20.0])), 1)


@pytest.mark.parametrize(
    ("make", "noise", "visible", "double"),
    [
        (lambda: star(), 0.02, True, False),
        (lambda: star(**DISC), 0.02, True, True),
        # Rotation that the spectrograph does not resolve makes one peak.
        (lambda: star(number=-8.0, outer=60.0, inner=120.0), 0.02, True, False),
        # Noise hides first the dip, then the line.
        (lambda: star(**DISC), 0.2, True, False),
        (lambda: star(**DISC), 1.0, False, False),
        (lambda: star(**DISC), np.inf, False, False),
        # Emission that fills the absorption of an A star without making a peak is not seen.
        (lambda: star(number=2.0, ew=1.0, turbulence=150.0), 0.005, False, False),
        (lambda: star(ew=0.0), 0.005, False, False),
        # The edge of a P Cygni absorption is no second peak.
        (lambda: star(**SHELL), 0.005, True, False),
        # A shell splits what is single without it.
        (lambda: star(number=-8.0, turbulence=150.0, shell=0.9, shell_sigma=60.0), 0.01, True, True),
    ],
)
def test_what_a_careful_person_sees(
    make: Callable[[], Emitters], noise: float, visible: bool, double: bool
) -> None:
    sight = judge(seen_profiles(make()), np.array([noise]))
    assert (sight.visible[0], sight.double[0], sight.margin[0] >= 1) == (visible, double, visible)


def test_measures_of_a_known_profile() -> None:
    sigma, height = 100.0, 0.5
    profile = 1 + height * np.exp(-0.5 * (VELOCITY / sigma) ** 2)[None]
    sight = judge(profile, np.array([0.05]))
    assert sight.rise[0] == pytest.approx(height, rel=1e-4)
    assert sight.rise_sigma[0] == pytest.approx(10, rel=1e-3)
    energy = height**2 * sigma * np.sqrt(np.pi) / (8 * STEP)  # of a Gaussian, in pixels
    assert sight.bump_snr[0] == pytest.approx(np.sqrt(energy) / 0.05, rel=0.02)
    pair = 1 + sum(np.exp(-0.5 * ((VELOCITY - v) / 60) ** 2) for v in (-200.0, 200.0))[None]
    sight = judge(pair, np.array([0.01]))
    assert sight.separation[0] == pytest.approx(400, abs=2 * STEP)
    assert sight.dip[0] == pytest.approx(1, abs=0.02)


def test_judging_does_not_depend_on_company(monkeypatch: pytest.MonkeyPatch) -> None:
    stars = draw_emitters(np.random.default_rng(2), 30, {"disc": 1.0})
    profiles = seen_profiles(stars)
    together = judge(profiles, np.full(30, 0.03))
    monkeypatch.setattr(emission_lines, "CHUNK", 7)
    np.testing.assert_allclose(look(stars, np.full(30, 0.03)).bump_snr, together.bump_snr, rtol=1e-9)
    alone = judge(profiles[7:8], np.array([0.03]))
    assert together.rise[7] == pytest.approx(alone.rise[0], rel=1e-12)
    assert shells(stars, 71.0).shape == (30, PATCH)
