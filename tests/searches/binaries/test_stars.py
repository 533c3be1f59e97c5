"""Grouping of exposures into stars, against all pairs."""

import numpy as np
from fixtures.settings import BINARIES
from hypothesis import given, settings
from hypothesis import strategies as st

from starsift.searches.binaries.stars import group_stars

RADIUS = BINARIES["objects"]["match_radius"]
ARCSEC = 1 / 3600


def all_pairs(ra, dec, radius):
    """Friends of friends by brute force, for positions near each other."""
    n = len(ra)
    star = list(range(n))
    for i in range(n):
        for j in range(n):
            away = np.hypot((ra[i] - ra[j]) * np.cos(np.radians(dec[i])), dec[i] - dec[j])
            if away <= radius * ARCSEC:
                old, new = star[i], star[j]
                star = [new if s == old else s for s in star]
    return np.array(star)


def same_partition(a, b):
    return ((a[:, None] == a) == (b[:, None] == b)).all()


def test_one_gaia_source_is_one_star_wherever_it_is():
    star = group_stars([1.0, 200.0, 1.0], [2.0, -5.0, 2.0], [7, 7, 8], radius=RADIUS)
    assert star[0] == star[1] != star[2]


def test_exposure_without_source_joins_the_nearest_star_within_the_radius():
    ra = np.array([10.0, 10 + 4 * ARCSEC, 10 + 1.5 * ARCSEC, 10 + 8 * ARCSEC])
    star = group_stars(ra, np.zeros(4), [5, 6, 0, 0], radius=RADIUS)
    assert star[2] == star[0] != star[1]
    assert star[3] not in star[:3]


def test_friends_of_friends_are_one_star():
    ra = 10 + np.array([0, 3, 6, 9, 13]) * ARCSEC
    star = group_stars(ra, np.zeros(5), np.zeros(5), radius=RADIUS)
    assert same_partition(star, np.array([0, 0, 0, 0, 1]))


def test_grouping_across_ra_zero_and_at_the_pole():
    star = group_stars(
        [359.9999, 0.0001, 10.0, 190.0], [0.0, 0.0, 89.9999, 89.9999], np.zeros(4), radius=RADIUS
    )
    assert same_partition(star, np.array([0, 0, 1, 1]))


def test_exposure_without_position_and_source_is_a_star_of_its_own():
    star = group_stars([np.nan, np.nan, 1.0], [np.nan, 1.0, 1.0], [0, 0, 0], radius=RADIUS)
    assert sorted(star.tolist()) == [0, 1, 2]
    assert group_stars([], [], [], radius=RADIUS).size == 0


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_grouping_agrees_with_all_pairs_in_any_order(seed):
    rng = np.random.default_rng(seed)
    ra, dec = 150 + rng.integers(0, 12, 25) * 2.1 * ARCSEC, 20 + rng.integers(0, 12, 25) * 2.1 * ARCSEC
    star = group_stars(ra, dec, np.zeros(25), radius=RADIUS)
    assert same_partition(star, all_pairs(ra, dec, 3.3))
    order = rng.permutation(25)
    assert same_partition(group_stars(ra[order], dec[order], np.zeros(25), radius=RADIUS), star[order])
