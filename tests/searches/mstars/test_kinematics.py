"""Velocities against published rows and an independent formula, heights, dispersions of known samples."""

import astropy.units as u
import numpy as np
import pyarrow as pa
import pytest
from astropy.coordinates import Galactocentric, SkyCoord
from fixtures.settings import MSTARS
from hypothesis import given, settings
from hypothesis import strategies as st

from starsift.searches.mstars.kinematics import (
    absolute_magnitude,
    derive,
    dispersions,
    distance,
    galactic,
    height,
    space_velocities,
)

SUN_HEIGHT, SOLAR_MOTION, MAX_ERROR = (
    MSTARS["kinematics"][name] for name in ("sun_height", "solar_motion", "max_relative_error")
)
# Guo et al. 2019, Table 2: the rows with a parallax.
PUBLISHED = np.array(
    [
        [13.213834, 12.538397, 9.3263115],  # ra
        [38.825212, 38.44155, 39.820105],  # dec
        [0.6844, 2.0459, 1.2663],  # parallax
        [0.2827, 0.4649, 0.1689],  # its error
        [5.783, -0.554, 9.599],  # pmra
        [2.885, -1.613, -8.694],  # pmdec
        [-33.14, -51.63, 35.45],  # rv
        [1461.13, 488.78, 789.7],  # distance
        [21.33, -27.3, 38.95],  # U
        [-40.31, -40.17, -0.39],  # V
        [31.97, 17.96, -45.72],  # W
        [109.020028, 93.931123, 112.827489],  # l
        [-59.220041, -61.426298, -71.309437],  # b
        [-660.1, 480.95, -644.74],  # h_disc
    ]
)

# Johnson & Soderblom 1987 (AJ 93, 864), with the pole and the origin of longitudes that they give, for J2000
# instead of B1950: Galactic pole at ra 192.85948, dec 27.12825; longitude of the celestial pole 122.93192.
POLE_RA, POLE_DEC, POLE_L = np.radians([192.85948, 27.12825, 122.93192])
KMS = 4.740470  # km/s of 1 arcsec/yr at 1 pc


def _johnson_soderblom(ra, dec, parallax, pmra, pmdec, rv):
    """U, V, W (3, n) without the Sun's motion: the matrix product T A of the published formula."""
    (cos_l, cos_d, cos_a), (sin_l, sin_d, sin_a) = (f([POLE_L, POLE_DEC, POLE_RA]) for f in (np.cos, np.sin))
    theta = np.array([[cos_l, sin_l, 0], [sin_l, -cos_l, 0], [0, 0, 1]])
    tilt = np.array([[-sin_d, 0, cos_d], [0, -1, 0], [cos_d, 0, sin_d]])
    turn = np.array([[cos_a, sin_a, 0], [sin_a, -cos_a, 0], [0, 0, 1]])
    (cos_a, cos_d), (sin_a, sin_d) = (f(np.radians([ra, dec])) for f in (np.cos, np.sin))
    local = [[cos_a * cos_d, -sin_a, -cos_a * sin_d], [sin_a * cos_d, cos_a, -sin_a * sin_d]]
    local = np.array([*local, [sin_d, np.zeros_like(sin_d), cos_d]])
    moves = np.array([rv, KMS * pmra / parallax, KMS * pmdec / parallax])
    return np.einsum("ij,jkn,kn->in", theta @ tilt @ turn, local, moves)


def test_velocities_of_the_published_rows():
    ra, dec, parallax, _, pmra, pmdec, rv, away = PUBLISHED[:8]
    np.testing.assert_allclose(1000 / parallax, away, atol=0.01)
    lsr = np.array(space_velocities(ra, dec, away, pmra, pmdec, rv, solar_motion=SOLAR_MOTION))
    # The published ones are heliocentric, and U points away from the Galactic centre.
    heliocentric = lsr - np.array([[10], [5], [7]])
    np.testing.assert_allclose(heliocentric * [[-1], [1], [1]], PUBLISHED[8:11], atol=0.01)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_velocities_by_the_formula_of_johnson_and_soderblom(seed):
    rng = np.random.default_rng(seed)
    ra, dec = rng.uniform(0, 360, 20), np.degrees(np.arcsin(rng.uniform(-1, 1, 20)))
    parallax, rv = rng.uniform(0.5, 50, 20), rng.normal(0, 100, 20)
    pmra, pmdec = rng.normal(0, 50, (2, 20))
    expected = _johnson_soderblom(ra, dec, parallax, pmra, pmdec, rv)
    found = space_velocities(ra, dec, 1000 / parallax, pmra, pmdec, rv, solar_motion=(0, 0, 0))
    np.testing.assert_allclose(found, expected, atol=1e-3 + 1e-5 * np.abs(expected).max())
    speed = np.hypot(rv, KMS * np.hypot(pmra, pmdec) / parallax)
    np.testing.assert_allclose(np.linalg.norm(found, axis=0), speed, rtol=1e-6)


def test_directions_of_the_velocities():
    centre = SkyCoord(l=[0, 90, 0] * u.deg, b=[0, 0, 90] * u.deg, frame="galactic").icrs
    zero = np.zeros(3)
    velocities = space_velocities(
        centre.ra.deg, centre.dec.deg, zero + 100, zero, zero, zero + 30, solar_motion=SOLAR_MOTION
    )
    np.testing.assert_allclose(velocities, 30 * np.eye(3) + [[10], [5], [7]], atol=1e-6)


def test_velocities_are_missing_where_anything_is():
    columns = np.tile([[10.0], [20.0], [100.0], [1.0], [2.0], [3.0]], 8)
    columns[range(6), range(6)] = np.nan
    columns[2, 6] = -5.0
    found = np.array(space_velocities(*columns, solar_motion=SOLAR_MOTION))
    np.testing.assert_array_equal(np.isnan(found), [[True] * 7 + [False]] * 3)
    assert [len(x) for x in space_velocities(*np.empty((6, 0)), solar_motion=SOLAR_MOTION)] == [0, 0, 0]


def test_distances_only_of_good_parallaxes():
    parallax = [10.0, 10.0, 10.0, -3.0, 0.0, np.nan, 5.0, 5.0]
    error = [1.9, 2.0, 3.0, 0.1, 0.1, 0.1, np.nan, -1.0]
    np.testing.assert_array_equal(distance(parallax, error, MAX_ERROR), [100, *[np.nan] * 7])
    np.testing.assert_array_equal(distance(parallax, error, 0.25)[:3], [100, 100, np.nan])
    # Of the published rows, only the third has a parallax that is good enough.
    assert np.isfinite(distance(*PUBLISHED[2:4], MAX_ERROR)).tolist() == [False, False, True]


def test_absolute_magnitudes():
    found = absolute_magnitude([15.0, 15.0, 15.0, np.nan], [100.0, 1, 1, 1], [1.0, 0.1, 0.3, 0.1], MAX_ERROR)
    np.testing.assert_allclose(found, [15.0, 5.0, np.nan, np.nan])


def test_heights():
    np.testing.assert_allclose(height([100, 100, 200], [90, -90, -30], sun=SUN_HEIGHT), [120.8, -79.2, -79.2])
    assert height(100.0, 0.0, sun=0.0) == 0
    rng = np.random.default_rng(5)
    stars = SkyCoord(rng.uniform(0, 360, 50) * u.deg, rng.uniform(-90, 90, 50) * u.deg, distance=300 * u.pc)
    expected = stars.transform_to(Galactocentric(z_sun=SUN_HEIGHT * u.pc)).z.to_value(u.pc)
    # astropy tilts the plane so that the Galactic centre lies in it: 0.15 degrees.
    latitude = galactic(stars.ra.deg, stars.dec.deg)[1]
    np.testing.assert_allclose(height(300, latitude, sun=SUN_HEIGHT), expected, atol=1.0)


def test_galactic_coordinates_of_missing_ones():
    longitude, latitude = galactic([266.40499, np.nan, 1], [-28.93617, 0, np.inf])
    np.testing.assert_allclose(longitude % 360, [0, np.nan, np.nan], atol=1e-4)
    np.testing.assert_allclose(latitude, [0, np.nan, np.nan], atol=1e-4)


def _rows():
    ra, dec, parallax, error, pmra, pmdec, rv = PUBLISHED[:7]
    columns = {"ra": ra, "dec": dec, "parallax": parallax, "parallax_error": error, "pmra": pmra}
    columns |= {"pmdec": pmdec, "rv": rv, "phot_g_mean_mag": [15.0, 15.0, 15.0]}
    return pa.table(columns)


def test_derived_columns():
    table = derive(_rows(), **MSTARS["kinematics"])
    assert table.column_names == ["m_g", "distance", "u", "v", "w", "h_disc", "l", "b"]
    assert [table[name].null_count for name in table.column_names] == [2, 2, 2, 2, 2, 2, 0, 0]
    assert table["distance"][2].as_py() == pytest.approx(789.7, abs=0.01)
    assert table["u"][2].as_py() == pytest.approx(-38.95 + 10, abs=0.01)
    assert table["b"][2].as_py() == pytest.approx(-22.9708, abs=1e-3)
    assert table["h_disc"][2].as_py() == pytest.approx(-287.4, abs=0.1)
    other = derive(_rows(), max_relative_error=0.5, solar_motion=(0, 0, 0), sun_height=0.0)
    assert other["u"].null_count == 0
    np.testing.assert_allclose(other["v"].to_numpy(), PUBLISHED[9], atol=0.01)
    assert other["h_disc"][2].as_py() == pytest.approx(-287.4 - 20.8, abs=0.1)


def test_derived_columns_of_rows_that_lack_things():
    rows = _rows()
    for name in rows.column_names:
        without = rows.set_column(rows.column_names.index(name), name, pa.nulls(3, pa.float64()))
        assert derive(without, **MSTARS["kinematics"] | {"max_relative_error": 0.5}).num_rows == 3
    nothing = pa.table({name: pa.nulls(2, pa.float32()) for name in rows.column_names})
    assert all(column.null_count == 2 for column in derive(nothing, **MSTARS["kinematics"]).columns)


def test_dispersions_of_known_samples():
    rng = np.random.default_rng(11)
    n = 20000
    h = rng.uniform(-300, 300, n)
    active = rng.choice([0.0, 1.0, np.nan], n)
    sigma = 10 + np.abs(h) // 100 * 5 + 10 * (active == 0)
    u_, v, w = rng.normal(0, 1, (3, n)) * sigma + [[1], [-20], [3]]
    table = dispersions(h, u_, v, w, active)
    assert table["bin_low"].to_pylist() == [0, 0, 100, 100, 200, 200]
    assert table["bin_high"].to_pylist() == [100, 100, 200, 200, 300, 300]
    assert table["population"].to_pylist() == ["active", "inactive"] * 3
    assert sum(table["n"].to_pylist()) == np.isfinite(active).sum()
    expected = np.array([10, 20, 15, 25, 20, 30])
    for name, mean in {"u": 1, "v": -20, "w": 3}.items():
        for kind, value in {f"mean_{name}": mean, f"sigma_{name}": expected}.items():
            off = (table[kind].to_numpy() - value) / table[f"{kind}_err"].to_numpy()
            assert np.all(np.abs(off) < 4), kind
    stated = table["mean_u_err"].to_numpy() * np.sqrt(table["n"].to_numpy())
    np.testing.assert_allclose(stated, expected, rtol=0.1)


def test_one_wrong_velocity_does_not_make_a_dispersion():
    rng = np.random.default_rng(12)
    velocities = rng.normal(0, 20, (3, 500))
    velocities[0, 7] = 4000.0
    h, active = np.full(500, 50.0), np.ones(500)
    assert dispersions(h, *velocities, active)["sigma_u"][0].as_py() == pytest.approx(20, rel=0.15)
    assert dispersions(h, *velocities, active, clip=None)["sigma_u"][0].as_py() > 100


def test_dispersions_of_few_stars():
    table = dispersions([10, 150, 160, np.nan, 20], [1, 2, 4, 5, np.nan], *np.ones((2, 5)), np.ones(5))
    assert table["n"].to_pylist() == [1, 2]
    assert table["mean_u"].to_pylist() == [1, 3]
    assert table["sigma_u"].to_pylist() == [None, pytest.approx(np.sqrt(2))]
    assert table["sigma_v"].to_pylist() == [None, 0]
    empty = dispersions([], [], [], [], [])
    assert empty.num_rows == 0
    assert empty.schema == table.schema
    codes = np.array([True, None, False], dtype=object)
    assert dispersions([1, 1, 1], *np.ones((3, 3)), codes)["population"].to_pylist() == ["active", "inactive"]
    widths = dispersions([1, 60], *np.ones((3, 2)), [1, 1], width=50)
    assert widths["bin_low"].to_pylist() == [0, 50]
