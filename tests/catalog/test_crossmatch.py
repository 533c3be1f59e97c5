"""Cross-matching: every pair on the sphere, many spectra to one source, tables as they are published."""

import astropy.units as u
import numpy as np
import pyarrow as pa
import pytest
from astropy.coordinates import SkyCoord, search_around_sky
from hypothesis import given, settings
from hypothesis import strategies as st

from starsift.catalog.crossmatch import (
    COLUMNS,
    attach,
    crossmatch,
    group_exposures,
    nearest,
    standard_columns,
)
from starsift.errors import InputError

ARCSEC = 1 / 3600


def _sky(n, seed, around=None, spread=5.0):
    """Coordinates all over the sky, or scattered by some arcsec around others."""
    rng = np.random.default_rng(seed)
    if around is None:
        return rng.uniform(0, 360, n), np.degrees(np.arcsin(rng.uniform(-1, 1, n)))
    angle, away = rng.uniform(0, 360, n) * u.deg, rng.exponential(spread, n) * u.arcsec
    offset = SkyCoord(*around, unit="deg").directional_offset_by(angle, away)
    return offset.ra.deg, offset.dec.deg


def _check_against_astropy(ra, dec, table_ra, table_dec, radius):
    i, j, separation = crossmatch(ra, dec, table_ra, table_dec, radius)
    one, other = SkyCoord(ra, dec, unit="deg"), SkyCoord(table_ra, table_dec, unit="deg")
    expected = search_around_sky(one, other, radius * u.arcsec)
    order = np.lexsort((expected[1], expected[2], expected[0]))
    np.testing.assert_array_equal(i, expected[0][order])
    np.testing.assert_array_equal(j, expected[1][order])
    np.testing.assert_allclose(separation, expected[2][order].to_value(u.arcsec), atol=1e-7)
    return len(i)


def test_every_pair_that_astropy_finds():
    ra, dec = _sky(2000, 1)
    # Three sources about each spectrum, at 0 and 360 degrees and both poles too.
    ra[:60] = np.tile([0, 360 - 1e-4, 1e-4], 20)
    dec[60:80], dec[80:100] = 90 - 1e-4, -90 + 1e-4
    table = _sky(6000, 2, around=(np.repeat(ra, 3), np.repeat(dec, 3)))
    assert _check_against_astropy(ra, dec, *table, 5.0) > 3000
    assert _check_against_astropy(ra, dec, *table, 30.0) > 6000  # several spectra to one source as well


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0, 360), st.floats(-90, 90)), min_size=1, max_size=6),
    st.floats(0.1, 60),
    st.integers(0, 1000),
)
def test_pairs_do_not_depend_on_where_on_the_sky(centres, radius, seed):
    ra, dec = np.array(centres).T
    table_ra, table_dec = _sky(len(ra), seed, around=(ra, dec), spread=radius)
    i, j, separation = crossmatch(ra, dec, table_ra, table_dec, radius)
    all_pairs = SkyCoord(ra, dec, unit="deg")[:, None].separation(SkyCoord(table_ra, table_dec, unit="deg"))
    apart = all_pairs.to_value(u.arcsec)
    found = np.zeros_like(apart, dtype=bool)
    found[i, j] = True
    rim = np.abs(apart - radius) < 1e-6
    assert np.array_equal(found | rim, (apart <= radius) | rim)
    np.testing.assert_allclose(separation, apart[i, j], atol=1e-6)


def test_chunks_make_no_difference(monkeypatch):
    ra, dec = _sky(1000, 3)
    table = _sky(1500, 4, around=(np.resize(ra, 1500), np.resize(dec, 1500)))
    whole = crossmatch(ra, dec, *table, radius=5.0)
    monkeypatch.setattr("starsift.catalog.crossmatch._CHUNK", 37)
    row, source, separation = crossmatch(ra, dec, *table, radius=5.0)
    np.testing.assert_array_equal(row, whole[0])
    np.testing.assert_array_equal(source, whole[1])
    np.testing.assert_allclose(separation, whole[2], atol=1e-9)


def test_nearest_takes_the_nearest_within_the_radius():
    row, separation = nearest(
        [10.0, 10.0, np.nan, 50.0],
        [0.0, 8 * ARCSEC, 0.0, np.inf],
        [10.0, 10.0, 10.0, np.nan],
        [3 * ARCSEC, -2 * ARCSEC, 16 * ARCSEC, 0.0],
        radius=5.0,
    )
    np.testing.assert_array_equal(row, [1, 0, -1, -1])
    np.testing.assert_allclose(separation, [2, 5, np.nan, np.nan], atol=1e-6)


def test_friends_of_friends_and_lost_ones():
    arcsec = np.array([0, 100, 4, 8, 104, 12.5, np.nan, np.nan]) / 3600
    group = group_exposures(np.full(8, 359.9995), arcsec, radius=5.0)
    assert group.tolist() == [0, 1, 0, 0, 1, 0, 2, 3]
    around = group_exposures(np.array([359.9999, 0.0001]), np.zeros(2), radius=5.0)
    assert around.tolist() == [0, 0]
    assert group_exposures(np.empty(0), np.empty(0), radius=5.0).tolist() == []


def test_nothing_to_match_and_bad_radii():
    for pairs in (crossmatch([], [], [1], [1], radius=5.0), crossmatch([1], [1], [], [], radius=5.0)):
        assert [len(values) for values in pairs] == [0, 0, 0]
    for radius in (0, -1, np.nan, 4000):
        with pytest.raises(InputError, match="radius is"):
            crossmatch([1], [1], [1], [1], radius)


GAIA = pa.table(
    {
        "SOURCE_ID": pa.array([5853498713190525696, 11, 12]),
        "RA": [10.0, 20.0, 30.0],
        "DEC": [0.0, 0.0, 0.0],
        "phot_g_mean_mag": [15.5, -9999.0, float("nan")],
        "parallax": [2.0, -0.5, None],
        "pmra": [0.0, 0.0, 1000.0],
        "pmdec": [0.0, 0.0, 0.0],
        "j_m": pa.array([12.5, 13.5, -9999], pa.float32()),
        "Ks_m": [11.5, 12.5, 13.5],
        "w1mpro": [11.0, 12.0, 13.0],
        "bibcode": ["a", "b", "c"],
    }
)


def _rows(ra, source):
    rows = pa.table({"spectrum_id": [f"s{i}" for i in range(len(ra))], "ra": pa.array(ra, pa.float64())})
    rows = rows.append_column("dec", pa.array([0.0] * len(ra), pa.float64()))
    return rows.append_column("gaia_source_id", pa.array(source, pa.int64()))


def test_identifiers_come_before_coordinates():
    # The first is nearest to source 11, but is source 5853498713190525696; the second has an identifier that
    # the table lacks; the last is too far from everything.
    rows = _rows([20.0, 20.0 + ARCSEC, 10.0, 30.0 + 6 * ARCSEC], [5853498713190525696, 99, None, 77])
    result = attach(rows, GAIA, radius=5.0)
    added = [name for name in COLUMNS if name != "gaia_source_id"]
    assert result.column_names == [*rows.column_names, *added, "match_separation"]
    assert result["gaia_source_id"].to_pylist() == [5853498713190525696, 11, 5853498713190525696, 77]
    assert result["parallax"].to_pylist() == [2.0, -0.5, 2.0, None]
    assert result["phot_g_mean_mag"].to_pylist() == [15.5, None, 15.5, None]
    separation = result["match_separation"].to_numpy()
    np.testing.assert_allclose(separation, [36000, 1, 0, np.nan], rtol=1e-6, atol=1e-6)
    assert result["k"].to_pylist() == [11.5, 12.5, 11.5, None]
    assert result["h"].null_count == 4  # the table has no H
    assert result.schema.field("parallax").metadata == {b"unit": b"mas"}


def test_columns_of_the_same_name_are_replaced():
    rows = _rows([10.0], [None]).append_column("k", pa.array([99.0]))
    result = attach(rows, GAIA, radius=5.0)
    assert result.column_names.count("k") == 1
    assert result["k"].to_pylist() == [11.5]


def test_proper_motion_brings_sources_back_to_the_time_of_the_spectra():
    rows = _rows([30.0 - 15.5 * ARCSEC], [None])
    assert attach(rows, GAIA, radius=5.0)["gaia_source_id"].to_pylist() == [None]
    moved = attach(rows, GAIA, years=15.5, radius=5.0)
    assert moved["gaia_source_id"].to_pylist() == [12]
    np.testing.assert_allclose(moved["match_separation"].to_numpy(), 0, atol=1e-4)


def test_tables_without_identifiers_and_empty_tables():
    bare = GAIA.drop_columns(["SOURCE_ID"])
    assert attach(_rows([10.0], [5]), bare, radius=5.0)["gaia_source_id"].to_pylist() == [5]
    unnamed = _rows([10.0], [5]).drop_columns(["gaia_source_id"])
    assert attach(unnamed, bare, radius=5.0)["parallax"].to_pylist() == [2.0]
    assert attach(_rows([], []), GAIA, radius=5.0).num_rows == 0
    assert attach(_rows([10.0], [5]), GAIA.slice(0, 0), radius=5.0)["match_separation"].to_pylist() == [None]
    nulls = _rows([10.0, None], [None, 11])
    assert attach(nulls, GAIA, radius=5.0)["gaia_source_id"].to_pylist() == [5853498713190525696, 11]


def test_texts_become_numbers_where_they_are_some():
    table = standard_columns(pa.table({"ra": ["1.5"], "dec": ["2.5"], "source_id": ["123"], "Jmag": ["9"]}))
    assert table["ra"].to_pylist() == [1.5]
    assert table["gaia_source_id"].to_pylist() == [123]
    assert table["j"].to_pylist() == [9.0]


@pytest.mark.parametrize(
    ("sources", "message"),
    [
        ({"x": [1.0]}, r"lacks columns: ra or raj2000.*; dec or dej2000.*It has: x"),
        ({"ra": [1.0], "y": [1.0]}, "lacks columns: dec or dej2000"),
        ({"ra": [1.0], "dec": ["north"]}, "row 1, column dec: 'north' is not a number"),
        ({"ra": [1.0, 400.0], "dec": [1.0, 2.0]}, "row 2, column ra: 400.0 is not between -180 and 360 deg"),
        ({"ra": [1.0], "dec": [1.0], "J": ["x"]}, "row 1, column J: 'x' is not a number"),
        ({"ra": [1.0], "dec": [1.0], "source_id": [1e18]}, "floating-point numbers, which round them"),
        ({"ra": [1.0], "dec": [1.0], "source_id": ["DR2 5"]}, "should be integers"),
        (
            {"ra": [1.0] * 4, "dec": [1.0] * 4, "source_id": [7, 8, 7, None]},
            "1 identifiers more than once, such as 7; each source must occur once",
        ),
    ],
)
def test_tables_that_cannot_be_used_say_why(sources, message):
    for rows in (_rows([1.0], [7]), _rows([1.0], [7]).drop_columns(["gaia_source_id"])):
        with pytest.raises(InputError, match=message):
            attach(rows, pa.table(sources), radius=5.0)
