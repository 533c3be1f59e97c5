"""Exposures to stars: grouping against all pairs, and what an object's row says."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from starsift.catalog.columns import check, conform
from starsift.errors import ResultsError
from starsift.searches.binaries.columns import BINARIES_OBJECTS
from starsift.searches.binaries.objects import group_stars, make_objects

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
    star = group_stars([1.0, 200.0, 1.0], [2.0, -5.0, 2.0], [7, 7, 8])
    assert star[0] == star[1] != star[2]


def test_exposure_without_source_joins_the_nearest_star_within_the_radius():
    ra = np.array([10.0, 10 + 4 * ARCSEC, 10 + 1.5 * ARCSEC, 10 + 8 * ARCSEC])
    star = group_stars(ra, np.zeros(4), [5, 6, 0, 0])
    assert star[2] == star[0] != star[1]
    assert star[3] not in star[:3]


def test_friends_of_friends_are_one_star():
    ra = 10 + np.array([0, 3, 6, 9, 13]) * ARCSEC
    star = group_stars(ra, np.zeros(5), np.zeros(5))
    assert same_partition(star, np.array([0, 0, 0, 0, 1]))


def test_grouping_across_ra_zero_and_at_the_pole():
    star = group_stars([359.9999, 0.0001, 10.0, 190.0], [0.0, 0.0, 89.9999, 89.9999], np.zeros(4))
    assert same_partition(star, np.array([0, 0, 1, 1]))


def test_exposure_without_position_and_source_is_a_star_of_its_own():
    star = group_stars([np.nan, np.nan, 1.0], [np.nan, 1.0, 1.0], [0, 0, 0])
    assert sorted(star.tolist()) == [0, 1, 2]
    assert group_stars([], [], []).size == 0


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_grouping_agrees_with_all_pairs_in_any_order(seed):
    rng = np.random.default_rng(seed)
    ra, dec = 150 + rng.integers(0, 12, 25) * 2.1 * ARCSEC, 20 + rng.integers(0, 12, 25) * 2.1 * ARCSEC
    star = group_stars(ra, dec, np.zeros(25))
    assert same_partition(star, all_pairs(ra, dec, 3.3))
    order = rng.permutation(25)
    assert same_partition(group_stars(ra[order], dec[order], np.zeros(25)), star[order])


def exposures(**columns):
    n = len(columns["ra"])
    base = {"spectrum_id": [f"e{i}" for i in range(n)], "band": ["B"] * n, "lmjm": list(range(n))}
    table = pa.table(base | columns)
    return table.set_column(
        table.column_names.index("gaia_source_id"), "gaia_source_id", table["gaia_source_id"].cast(pa.int64())
    )


def detections(survey, rows, **columns):
    some = survey.take(pa.array(rows, pa.int64()))
    n = len(rows)
    number, flag = pa.float32(), pa.bool_()
    base = {
        "phot_g_mean_mag": ([12.5] * n, number),
        "snr": ([20.0 + i for i in range(n)], number),
        "multiplicity": (["SB2"] * n, pa.string()),
        "rv_1": ([-50.0] * n, number),
        "rv_2": ([50.0] * n, number),
        "rv_3": ([None] * n, number),
        "suspect_moonlight": ([False] * n, flag),
        "suspect_crosstalk": ([False] * n, flag),
    }
    for name, (values, kind) in base.items():
        some = some.append_column(name, pa.array(columns.get(name, values), kind))
    return some


def test_object_counts_ranges_and_flags():
    survey = exposures(
        ra=[10.0] * 5 + [20.0], dec=[1.0] * 5 + [-0.5], gaia_source_id=[99, 99, 99, 99, 99, None]
    )
    found = detections(
        survey,
        [0, 1, 3, 5],
        multiplicity=["SB2", "SB3", "SB3", "SB2"],
        rv_1=[-50, -100, -20, 0],
        rv_2=[50, 0, 10, 80],
        rv_3=[None, 30, 90, None],
        suspect_moonlight=[False, False, True, True],
        suspect_crosstalk=[True, False, False, False],
    )
    spectra, objects = make_objects(found, survey)
    assert spectra["object_id"].to_pylist() == ["gaia-99"] * 3 + ["J012000.00-003000.0"]
    rows = objects.to_pylist()
    assert [row["object_id"] for row in rows] == ["J012000.00-003000.0", "gaia-99"]
    lone, triple = rows
    assert triple["multiplicity"] == "SB3"
    assert [triple[name] for name in ("n_exposures", "n_detections", "n_sb2", "n_sb3")] == [5, 3, 1, 2]
    assert (triple["rv_separation_max"], triple["rv_range"]) == (130, 190)
    assert (triple["n_suspect_moonlight"], triple["n_suspect_crosstalk"], triple["suspect"]) == (1, 1, False)
    assert triple["best_spectrum_id"] == "e1"  # e3 has the higher S/N, but may be moonlight
    assert triple["snr_max"] == 22
    assert triple["gaia_source_id"] == 99
    assert lone["gaia_source_id"] is None
    assert (lone["multiplicity"], lone["n_exposures"], lone["suspect"]) == ("SB2", 1, True)
    check(conform(objects, BINARIES_OBJECTS), BINARIES_OBJECTS)


def test_object_is_named_after_its_first_exposure():
    survey = exposures(ra=[30.0, 30 + 2 * ARCSEC], dec=[5.0, 5.0], gaia_source_id=[None, None])
    found = detections(survey, [1])
    spectra, objects = make_objects(found, survey)
    assert spectra["object_id"].to_pylist() == ["J020000.00+050000.0"]
    assert objects["ra"].to_pylist() == [30.0]
    assert objects["n_exposures"].to_pylist() == [2]
    # The source is known from another exposure of the star.
    survey = exposures(ra=[30.0, 30 + 2 * ARCSEC], dec=[5.0, 5.0], gaia_source_id=[None, 77])
    assert make_objects(detections(survey, [0]), survey)[0]["object_id"].to_pylist() == ["gaia-77"]


def test_objects_do_not_depend_on_the_order_of_rows():
    rng = np.random.default_rng(0)
    place = rng.integers(0, 15, 60)
    source = [int(p) + 1 if p % 2 else None for p in place]
    survey = exposures(ra=place * 0.1, dec=place * 0.2, gaia_source_id=source)
    found = detections(survey, np.arange(0, 60, 2), snr=rng.uniform(5, 100, 30).astype(np.float32))
    objects = make_objects(found, survey)[1]
    shuffled = make_objects(found.take(rng.permutation(30)), survey.take(rng.permutation(60)))[1]
    assert shuffled.equals(objects)
    assert objects["n_detections"].to_numpy().sum() == 30


def test_no_detections_make_empty_objects():
    survey = exposures(ra=[1.0], dec=[1.0], gaia_source_id=[None])
    spectra, objects = make_objects(detections(survey, []), survey)
    assert spectra.num_rows == objects.num_rows == 0
    assert conform(objects, BINARIES_OBJECTS).num_rows == 0


def test_detection_that_is_no_exposure_is_an_error():
    survey = exposures(ra=[1.0, 2.0], dec=[1.0, 2.0], gaia_source_id=[None, None])
    with pytest.raises(ResultsError, match="e1 is a detection, but not among"):
        make_objects(detections(survey, [0, 1]), survey.slice(0, 1))


def test_star_without_name_is_an_error():
    survey = exposures(
        ra=pa.array([None], pa.float64()), dec=pa.array([None], pa.float64()), gaia_source_id=[None]
    )
    with pytest.raises(ResultsError, match="e0 has neither gaia_source_id nor coordinates"):
        make_objects(detections(survey, [0]), survey)
