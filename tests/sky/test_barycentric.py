"""Barycentric corrections: against astropy where its tables reach, and beyond them on any day."""

import os
import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import EarthLocation, SkyCoord
from astropy.time import Time
from astropy.utils import iers

from starsift.sky.barycentric import LAST_MJD, XINGLONG, Site, barycentric_time, correction, mid_exposure

FAKETIME = next(Path("/usr").glob("lib*/**/faketime/libfaketimeMT.so.1"), None)
# Modified Julian dates of 1 January of some years, 2101 not in any.
YEAR = {1990: 47892, 2019: 58484, 2026: 61041, 2035: 64328, 2099: 87704, 2100: 88069, 2101: 88434}


def stars(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.uniform(0, 360, n), np.degrees(np.arcsin(rng.uniform(-1, 1, n)))


@contextmanager
def times_of_astropy(mjd: np.ndarray, site: Site) -> Iterator[Time]:
    """Times at a site, by the table that astropy brings along, whatever the day."""
    place = EarthLocation.from_geodetic(site.longitude * u.deg, site.latitude * u.deg, site.altitude * u.m)
    with (
        iers.conf.set_temp("auto_download", False),
        iers.earth_orientation_table.set(iers.IERS_B.open()),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")  # its leap seconds may be out of date
        yield Time(mjd, format="mjd", scale="utc", location=place)


@pytest.mark.parametrize("site", [XINGLONG, Site(-105.8203, 32.7803, 2788.0)])
def test_agrees_with_astropy_where_its_tables_are_valid(site: Site) -> None:
    ra, dec = stars(500, 1)
    mjd = np.random.default_rng(2).uniform(YEAR[1990], 60_600, 500)
    with times_of_astropy(mjd, site) as time:
        velocity = SkyCoord(ra * u.deg, dec * u.deg).radial_velocity_correction(obstime=time)
    np.testing.assert_allclose(correction(ra, dec, mjd, site), velocity.to_value(u.km / u.s), atol=2e-4)


@pytest.mark.parametrize("year", YEAR)
def test_follows_the_earth_in_every_year(year: int) -> None:
    # Towards a star near the ecliptic: a sine of a year, 29.8 km/s, zero when the Sun is in front of it.
    mjd = np.arange(YEAR[year] - 360, YEAR[year], 5.3)
    sun = np.radians(280.46 + 0.9856474 * (mjd - 51544.5))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = correction(116.3, 21.4, mjd)  # ecliptic longitude 114.4, latitude 0.2, of 2000
    assert np.abs(found - 29.8 * np.sin(sun - np.radians(114.4 + (year - 2000) * 0.014))).max() < 1.6


def test_velocities_of_a_night_are_continuous() -> None:
    mjd = np.linspace(YEAR[2100] - 0.5, YEAR[2100] + 1.5, 500)
    velocity = correction(np.full(500, 200.0), 30.0, mjd)
    assert np.abs(np.diff(velocity, 2)).max() < 3e-4  # the rotation alone bends it by 2e-4


def test_dates_without_an_orbit_and_missing_values_are_nan() -> None:
    nan, day = np.nan, YEAR[2019]
    ra, dec = [nan, 1, 1, 1, 1, 1, 1], [1, nan, 1, 1, 1, 1, 1]
    mjd = [day, day, nan, np.inf, -9999, YEAR[2101], day]
    assert np.isfinite(correction(ra, dec, mjd)).tolist() == [False] * 6 + [True]
    assert np.isfinite(correction(1, 1, LAST_MJD + 0.99))
    assert correction([], [], []).shape == (0,)


def test_middle_of_an_exposure() -> None:
    lmjm = YEAR[2019] * 1440 + 480  # midnight UTC
    np.testing.assert_allclose(mid_exposure([lmjm] * 3, [0, 1200, np.nan]) - YEAR[2019], [0, 1 / 144, 0])


def test_barycentric_times_are_those_of_astropy() -> None:
    ra, dec = stars(300, 4)
    mjd = np.random.default_rng(5).uniform(YEAR[1990], 60_600, 300)
    with times_of_astropy(mjd, XINGLONG) as time:
        delay = time.light_travel_time(SkyCoord(ra, dec, unit="deg"), ephemeris="builtin")
        expected = (time.tdb + delay).mjd
    away = np.abs(barycentric_time(ra, dec, mjd) - expected) * 86_400
    assert away.max() < 13  # s: the leap seconds since 1990
    assert away[mjd > 57_754].max() < 0.1
    # Half an orbit's light time at most where nobody knows the star.
    assert barycentric_time(np.nan, 1.0, 58_500.0) == pytest.approx(58_500, abs=0.001)


# Whatever asks for dates or coordinates, in a process of its own: what astropy found out once it keeps.
PROGRAM = """
import socket, sys, time, warnings
import numpy as np
from astropy.time import Time
from starsift.searches.binaries.suspects import barycentric_correction
from starsift.searches.mstars.kinematics import galactic, space_velocities
from starsift.demo.mrs import simulate_survey

def refuse(*arguments, **named):
    raise AssertionError("this needs a network")

socket.socket.connect = socket.getaddrinfo = refuse
if sys.argv[1] == "patched":
    now = Time("2031-05-01", scale="tai")
    Time.now = classmethod(lambda cls: now)
else:
    assert time.gmtime().tm_year == 2031
warnings.simplefilter("error")
minutes = 1440 * np.array([47892, 58484, 61349, 64328, 66000, 87704, 88433])
velocity = barycentric_correction(np.full(7, 100.0), np.full(7, 20.0), minutes, np.full(7, 1200.0))
assert np.isfinite(velocity).all()
assert np.isfinite(galactic([10.0], [20.0])).all()
star = ([10.0], [20.0], [100.0], [5.0], [5.0], [30.0])
assert np.isfinite(space_velocities(*star, solar_motion=(10, 5, 7))).all()
simulate_survey(sys.argv[2], seed=1, n_plans=1, n_spectrographs=1, n_stars=40, exposures=1)
"""


@pytest.mark.parametrize("clock", ["patched", "libfaketime"])
def test_nothing_depends_on_the_day_of_the_computation(clock: str, tmp_path: Path) -> None:
    environment = dict(os.environ)
    if clock == "libfaketime":
        if FAKETIME is None:
            pytest.skip("libfaketime is not installed (Debian package libfaketime)")
        environment |= {"LD_PRELOAD": str(FAKETIME), "FAKETIME": "@2031-05-01 00:00:00", "NO_FAKE_STAT": "1"}
    command = [sys.executable, "-c", PROGRAM, clock, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
