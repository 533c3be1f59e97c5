"""Barycentric corrections of velocities, for any date from 1900 to 2100, without tables of Earth orientation.

`astropy.time` asks two such tables, of leap seconds and of the Earth's orientation, and warns, downloads or
fails beyond them. Velocities need neither: they follow from the Earth's orbit, its mean rotation and
constants. UT1 is within a second of UTC, in which the rotation of a site turns by less than 0.0001 km/s.
Terrestrial time has been 57 to 69 s ahead of UTC since 1990, and in 12 s the Earth's velocity changes by as
little.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from erfa import DAU, DAYSEC, DJM0, ufunc

from starsift.sky.constants import C


class Site(NamedTuple):
    """Where a telescope stands: degrees east, degrees north, metres above the ellipsoid WGS84."""

    longitude: float
    latitude: float
    altitude: float


XINGLONG = Site(117.5775, 40.3958, 960.0)
UTC_OFFSET = 480  # minutes by which local time at Xinglong is ahead of UTC

FIRST_MJD, LAST_MJD = 15020, 88433  # of the years 1900 and 2100, for which ERFA knows the Earth's orbit
TT_UTC = 69.184  # s, terrestrial time minus UTC since 2017
GM_SUN = 1.32712440018e20  # m^3/s^2
EARTH_POTENTIAL = 6.25e7  # m^2/s^2, GM / r on the surface


def mid_exposure(lmjm: npt.ArrayLike, exptime: npt.ArrayLike) -> np.ndarray:
    """UTC modified Julian dates (n,) of the middle of exposures at Xinglong.

    They start at local modified Julian minutes `lmjm` (n,); `exptime` (n,) is in s, NaN is taken as 0.
    """
    start = (np.asarray(lmjm, dtype=np.float64) - UTC_OFFSET) / 1440
    return np.asarray(start + np.nan_to_num(np.asarray(exptime, dtype=np.float64)) / 2 / DAYSEC)


def correction(
    ra: npt.ArrayLike, dec: npt.ArrayLike, mjd: npt.ArrayLike, site: Site = XINGLONG
) -> np.ndarray:
    """Velocity to be added to observed ones, which refers them to the barycentre of the solar system.

    Parameters
    ----------
    ra, dec : degrees, ICRS
    mjd : UTC modified Julian dates; all three of any shapes that broadcast

    Returns float64, km/s, good to 0.001 km/s; NaN where a coordinate or date is not finite, or the date is
    not in the years 1900 to 2100.

    Source: Wright & Eastman 2014, PASP 126, 838, equation 28, for a star without motion of its own.
    """
    ra, dec, mjd = np.broadcast_arrays(*(np.asarray(x, dtype=np.float64) for x in (ra, dec, mjd)))
    good = np.isfinite(ra) & np.isfinite(dec) & (mjd >= FIRST_MJD) & (mjd < LAST_MJD + 1)
    from_sun, velocity = _observer(mjd[good], site)
    beta = velocity / C
    toward = ufunc.s2c(np.radians(ra[good]), np.radians(dec[good]))
    gamma = 1 / np.sqrt(1 - (beta**2).sum(axis=-1))
    potential = (GM_SUN / np.linalg.norm(from_sun, axis=-1) + EARTH_POTENTIAL) / C**2
    result = np.full(mjd.shape, np.nan)
    result[good] = (gamma * (1 + (beta * toward).sum(axis=-1)) / (1 - potential) - 1) * C / 1000
    return result


def barycentric_time(ra: npt.ArrayLike, dec: npt.ArrayLike, mjd: npt.ArrayLike) -> np.ndarray:
    """Times at which light that the Earth sees would reach the barycentre of the solar system.

    Parameters
    ----------
    ra, dec : degrees, ICRS; where not finite, the time is that of the Earth
    mjd : UTC modified Julian dates; all three of any shapes that broadcast

    Returns float64, modified Julian dates, barycentric dynamical time (TDB), good to 0.1 s from 2017 to 2026
    and to 12 s from 1990 on, since leap seconds are left out.
    """
    ra, dec, mjd = np.broadcast_arrays(*(np.asarray(x, dtype=np.float64) for x in (ra, dec, mjd)))
    tt = mjd + TT_UTC / DAYSEC
    toward = ufunc.s2c(np.radians(ra), np.radians(dec))
    _, earth, _ = ufunc.epv00(DJM0, tt)
    return np.asarray(tt + np.nan_to_num((earth["p"] * toward).sum(axis=-1)) * DAU / C / DAYSEC)


def _observer(mjd: np.ndarray, site: Site) -> tuple[np.ndarray, np.ndarray]:
    """Position from the Sun (n, 3), m, and barycentric velocity (n, 3), m/s, of a site; axes of the ICRS.

    ERFA's bare functions, not the wrappers that warn from noon of 1 January 2100 on: its series for the orbit
    loses nothing in the rest of that year.
    """
    tt = mjd + TT_UTC / DAYSEC
    heliocentric, barycentric, _ = ufunc.epv00(DJM0, tt)
    longitude, latitude = np.radians(site.longitude), np.radians(site.latitude)
    spinning = ufunc.pvtob(longitude, latitude, site.altitude, 0.0, 0.0, 0.0, ufunc.era00(DJM0, mjd))
    spin = ufunc.trxp(ufunc.c2i00b(DJM0, tt), spinning["v"])
    return heliocentric["p"] * DAU, barycentric["v"] * (DAU / DAYSEC) + spin
