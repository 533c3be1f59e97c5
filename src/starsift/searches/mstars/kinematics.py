"""Absolute magnitudes, space velocities and heights above the Galactic plane (Guo et al. 2019, section 4.2).

The published examples (Table 2) differ from the published text, which is followed here: their U, V, W are
heliocentric, with U away from the Galactic centre, and distances are there whatever the error of the
parallax. Their l and b are those of the point (pmra, pmdec), and h_disc is within 4 pc of distance * sin(b)
with that b, its degrees taken as radians; so the height of the Sun that was used is unknown.
"""

from __future__ import annotations

from collections.abc import Sequence

import astropy.units as u
import numpy as np
import numpy.typing as npt
import pyarrow as pa
from astropy.coordinates import SkyCoord
from astropy.stats import sigma_clip

from starsift.io.columns import floats

COMPONENTS = ("u", "v", "w")


def distance(parallax: npt.ArrayLike, parallax_error: npt.ArrayLike, max_relative_error: float) -> np.ndarray:
    """Distances (n,) in pc of parallaxes in mas; NaN unless the error is less than this share of them."""
    parallax, error = np.asarray(parallax, dtype=np.float64), np.asarray(parallax_error, dtype=np.float64)
    good = (parallax > 0) & (error >= 0) & (error < max_relative_error * parallax)
    return np.divide(1000.0, parallax, out=np.full(good.shape, np.nan), where=good)


def absolute_magnitude(
    g: npt.ArrayLike, parallax: npt.ArrayLike, parallax_error: npt.ArrayLike, max_relative_error: float
) -> np.ndarray:
    """Absolute G magnitudes (n,), not corrected for extinction: M_G = G + 5 + 5 log10(parallax / 1000 mas).

    `g` (n,) is in mag; see `distance` for the others: where it is NaN so is the magnitude.
    """
    return (
        np.asarray(g, dtype=np.float64)
        + 5
        - 5 * np.log10(distance(parallax, parallax_error, max_relative_error))
    )


def galactic(ra: npt.ArrayLike, dec: npt.ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Galactic longitude and latitude (n,) of ICRS coordinates (n,), all in degrees; NaN where not finite."""
    ra, dec = np.asarray(ra, dtype=np.float64), np.asarray(dec, dtype=np.float64)
    good = np.isfinite(ra) & np.isfinite(dec)
    longitude, latitude = np.full(ra.shape, np.nan), np.full(ra.shape, np.nan)
    stars = SkyCoord(ra[good] * u.deg, dec[good] * u.deg).galactic
    longitude[good], latitude[good] = stars.l.deg, stars.b.deg
    return longitude, latitude


def height(distance: npt.ArrayLike, b: npt.ArrayLike, sun: float) -> np.ndarray:
    """Height (n,) above the Galactic plane in pc, negative to the south.

    From `distance` (n,) pc, latitude `b` (n,) degrees, and the height of the `sun` in pc.
    """
    return np.asarray(distance, dtype=np.float64) * np.sin(np.radians(b)) + sun


def space_velocities(
    ra: npt.ArrayLike,
    dec: npt.ArrayLike,
    distance: npt.ArrayLike,
    pmra: npt.ArrayLike,
    pmdec: npt.ArrayLike,
    rv: npt.ArrayLike,
    solar_motion: Sequence[float],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Space velocities with respect to the local standard of rest.

    Right-handed: U towards the Galactic centre, V in the direction of rotation, W to the north Galactic pole.

    Parameters
    ----------
    ra, dec : (n,) degrees, ICRS
    distance : (n,) pc
    pmra, pmdec : (n,) mas/yr, pmra times cos(dec), as Gaia gives it
    rv : (n,) km/s, heliocentric
    solar_motion : km/s, U, V, W of the Sun; added to the heliocentric velocities. (0, 0, 0) leaves them so.

    Returns
    -------
    u, v, w : (n,) km/s, NaN where one of the others is
    """
    values = np.broadcast_arrays(*(np.asarray(x, float) for x in (ra, dec, distance, pmra, pmdec, rv)))
    good = np.isfinite(values).all(axis=0) & (values[2] > 0)
    result = np.full((3, *good.shape), np.nan)
    if not good.any():  # astropy has no velocities of no stars
        return result[0], result[1], result[2]
    alpha, delta, away, along, up, radial = (x[good] for x in values)
    stars = SkyCoord(
        alpha * u.deg,
        delta * u.deg,
        distance=away * u.pc,
        pm_ra_cosdec=along * u.mas / u.yr,
        pm_dec=up * u.mas / u.yr,
        radial_velocity=radial * u.km / u.s,
    )
    heliocentric = stars.galactic.velocity.d_xyz.to_value(u.km / u.s)
    result[:, good] = heliocentric + np.asarray(solar_motion, dtype=np.float64)[:, None]
    return result[0], result[1], result[2]


def derive(
    rows: pa.Table, *, max_relative_error: float, solar_motion: Sequence[float], sun_height: float
) -> pa.Table:
    """Magnitudes, distances and velocities from coordinates, radial velocities and astrometry.

    Parameters
    ----------
    rows : n rows with ra, dec, rv, phot_g_mean_mag, parallax, parallax_error, pmra, pmdec, which may be null

    Returns a Table of n rows: m_g (mag), distance, h_disc (pc), u, v, w (km/s), l, b (degrees); null
    where what they follow from is missing, or the parallax too uncertain.
    """
    ra, dec, rv, g, parallax, error, pmra, pmdec = (
        floats(rows, name)
        for name in ("ra", "dec", "rv", "phot_g_mean_mag", "parallax", "parallax_error", "pmra", "pmdec")
    )
    away = distance(parallax, error, max_relative_error)
    longitude, latitude = galactic(ra, dec)
    velocities = space_velocities(ra, dec, away, pmra, pmdec, rv, solar_motion)
    columns = {
        "m_g": absolute_magnitude(g, parallax, error, max_relative_error),
        "distance": away,
        **dict(zip(COMPONENTS, velocities, strict=True)),
        "h_disc": height(away, latitude, sun_height),
    }
    return pa.table(
        {name: pa.array(values, pa.float32(), from_pandas=True) for name, values in columns.items()}
        | {"l": pa.array(longitude, from_pandas=True), "b": pa.array(latitude, from_pandas=True)}
    )


def dispersions(
    h_disc: npt.ArrayLike,
    u: npt.ArrayLike,
    v: npt.ArrayLike,
    w: npt.ArrayLike,
    active: npt.ArrayLike,
    width: float = 100.0,
    *,
    clip: float | None = 5.0,
) -> pa.Table:
    """Mean velocities and dispersions by distance from the Galactic plane (Guo et al. 2019, figure 18).

    Parameters
    ----------
    h_disc : (n,) pc; its sign does not matter
    u, v, w : (n,) km/s
    active : (n,), 1 for active, 0 for inactive stars; others do not count, nor do rows with NaN
    width : of a bin, pc
    clip : robust standard deviations from the median beyond which values are left out, because one wrong
        radial velocity of 400 km/s makes a dispersion; None: nothing is left out, as in the paper

    Returns a Table: one row a bin and population with any star, sorted: bin_low, bin_high (pc),
    population (active, inactive), n, and for each of u, v, w the mean and dispersion and their errors,
    mean_u, mean_u_err, sigma_u, sigma_u_err, in km/s; the last three are null for a single star. Errors are
    those of normal distributions, sigma / sqrt(n) and sigma / sqrt(2 (n - 1)).
    """
    velocities = np.stack([np.asarray(x, dtype=np.float64) for x in (u, v, w)])
    h, active = np.abs(np.asarray(h_disc, dtype=np.float64)), np.asarray(active, dtype=np.float64)
    usable = np.isfinite(h) & np.isfinite(velocities).all(axis=0)
    number = np.floor(np.where(usable, h, 0) / width).astype(np.int64)
    rows = []
    for code, population in ((1, "active"), (0, "inactive")):
        chosen = usable & (active == code)
        for k in np.unique(number[chosen]):
            here = velocities[:, chosen & (number == k)]
            row = {
                "bin_low": k * width,
                "bin_high": (k + 1) * width,
                "population": population,
                "n": here.shape[1],
            }
            for name, values in zip(COMPONENTS, here, strict=True):
                row |= _moments(name, values, clip)
            rows.append(row)
    order = sorted(rows, key=lambda row: (row["bin_low"], row["population"]))
    return pa.Table.from_pylist(order, schema=_DISPERSIONS)


_MOMENTS = ("mean_{}", "mean_{}_err", "sigma_{}", "sigma_{}_err")
_DISPERSIONS = pa.schema(
    [
        pa.field("bin_low", pa.float64(), metadata={"unit": "pc"}),
        pa.field("bin_high", pa.float64(), metadata={"unit": "pc"}),
        pa.field("population", pa.string()),
        pa.field("n", pa.int64()),
        *(
            pa.field(kind.format(name), pa.float64(), metadata={"unit": "km/s"})
            for name in COMPONENTS
            for kind in _MOMENTS
        ),
    ]
)


def _moments(name: str, values: np.ndarray, clip: float | None) -> dict[str, float | None]:
    """Mean and dispersion with their errors; None where there is only one value."""
    if clip is not None:
        values = sigma_clip(values, clip, cenfunc="median", stdfunc="mad_std", masked=False)
    n = len(values)
    moments: list[float | None] = [float(values.mean()), None, None, None]
    if n > 1:
        sigma = float(values.std(ddof=1))
        moments[1:] = [sigma / np.sqrt(n), sigma, sigma / np.sqrt(2 * (n - 1))]
    return {kind.format(name): value for kind, value in zip(_MOMENTS, moments, strict=True)}
