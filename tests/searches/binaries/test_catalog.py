"""Rows of the catalogues, from stages and exposures."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from fixtures.binaries_files import write_stages
from fixtures.settings import BINARIES

from starsift.catalog.columns import conform
from starsift.errors import ResultsError
from starsift.searches.binaries.catalog import (
    collect_velocities,
    find_variables,
    gather_catalog,
    group_exposures,
    make_objects,
    weigh_exposures,
)
from starsift.searches.binaries.columns import BINARIES_OBJECTS, BINARIES_VARIABLES

RADIUS = BINARIES["objects"]["match_radius"]
ARCSEC = 1 / 3600


def exposures(**columns):
    n = len(columns["ra"])
    base = {"spectrum_id": [f"e{i}" for i in range(n)], "band": ["B"] * n, "lmjm": list(range(n))}
    source = pa.array(columns.pop("gaia_source_id"), pa.int64())
    return pa.table(base | columns | {"gaia_source_id": source})


def detections(survey, rows, **columns):
    some = survey.take(pa.array(rows, pa.int64()))
    n = len(rows)
    number, flag = pa.float32(), pa.bool_()
    base = {
        "phot_g_mean_mag": ([12.5] * n, number),
        "snr": ([20.0 + i for i in range(n)], number),
        "multiplicity": (["SB2"] * n, pa.string()),
        "p_star": ([0.9] * n, number),
        "rv_1": ([-50.0] * n, number),
        "rv_2": ([50.0] * n, number),
        "rv_3": ([None] * n, number),
        **{f"rv_{i}_err": ([1.0] * n, number) for i in (1, 2)},
        **{f"light_{i}": ([share] * n, number) for i, share in ((1, 0.7), (2, 0.3))},
        **{f"light_{i}_err": ([0.05] * n, number) for i in (1, 2)},
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
    spectra, objects = make_objects(found, group_exposures(survey, RADIUS))
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
    assert conform(objects, BINARIES_OBJECTS).num_rows == 2


def test_exposures_of_one_star_support_each_other():
    """Three stars: two likely exposures, one likely exposure, and one that is clear beside a doubtful one."""
    survey = exposures(
        ra=[10.0] * 3 + [20.0] + [30.0] * 3, dec=[1.0] * 7, gaia_source_id=[1, 1, 1, 2, 3, 3, 3]
    )
    p_binary = [0.55, 0.55, 0.01, 0.55, 0.99, 0.3, 0.001]
    survey = survey.append_column("p_single", pa.array(1 - np.array(p_binary), pa.float32()))
    some = detections(survey, [0, 1, 3, 4, 5], multiplicity=[None, None, None, "SB3", None])
    some = some.drop_columns("p_star")
    found = weigh_exposures(some, group_exposures(survey, RADIUS), threshold=0.6, binaries=0.1)
    names = dict(zip(found["spectrum_id"].to_pylist(), found["by_star"].to_pylist(), strict=True))
    assert names == {"e0": True, "e1": True, "e4": False, "e5": True}
    assert found["multiplicity"].to_pylist() == ["SB2", "SB2", "SB3", "SB2"]
    # One exposure alone has its own probability.
    alone = weigh_exposures(some, group_exposures(survey, RADIUS), threshold=0.54, binaries=0.1)
    assert "e3" in alone["spectrum_id"].to_pylist()
    # Without models, the vote's detections stay, and nothing is added.
    unknown = survey.drop_columns("p_single").append_column("p_single", pa.nulls(7, pa.float32()))
    voted = detections(unknown, [4]).drop_columns("p_star")
    found = weigh_exposures(voted, group_exposures(unknown, RADIUS), threshold=0.6, binaries=0.1)
    assert found["spectrum_id"].to_pylist() == ["e4"]
    assert found["p_star"].to_pylist() == [None]


def test_stars_are_followed_through_exposures():
    """Masses 1 and 0.8, at rest at 12 km/s; the fourth exposure belongs to a star without others."""
    survey = exposures(ra=[10.0] * 3 + [20.0], dec=[1.0] * 4, gaia_source_id=[1, 1, 1, 2])
    first, second = np.array([52.0, -68.0, -28.0, 0.0]), np.array([-38.0, 112.0, 62.0, 90.0])
    low, high = np.minimum(first, second), np.maximum(first, second)
    light_1 = np.where(first < second, 0.7, 0.3)
    found = detections(survey, range(4), rv_1=low, rv_2=high, light_1=light_1, light_2=1 - light_1)
    spectra, objects = make_objects(found, group_exposures(survey, RADIUS))
    assert spectra["primary"].to_pylist() == [2, 1, 1, 1]
    ratio, systemic = (objects[name].to_pylist() for name in ("mass_ratio", "systemic_velocity"))
    assert ratio == [pytest.approx(0.8, abs=0.001), None]
    assert systemic == [pytest.approx(12.0, abs=0.05), None]
    assert conform(objects, BINARIES_OBJECTS).num_rows == 2
    # Without light, three exposures tell the stars apart all the same, one does not.
    dark = {name: [None] * 4 for name in ("light_1", "light_2", "light_1_err", "light_2_err")}
    found = detections(survey, range(4), rv_1=low, rv_2=high, **dark)
    spectra, objects = make_objects(found, group_exposures(survey, RADIUS))
    assert objects["mass_ratio"][0].as_py() == pytest.approx(0.8, abs=0.001)
    assert spectra["primary"].to_pylist() == [2, 1, 1, None]


def test_stars_of_variable_velocity_are_listed():
    rng = np.random.default_rng(3)
    n, each = 3000, 4
    star = np.repeat(np.arange(n), each)
    source = [int(s) + 1 for s in star]
    survey = exposures(ra=star * 0.1, dec=star * 0.0, gaia_source_id=source)
    error = rng.uniform(0.2, 3.0, star.size)
    rv = 20 * rng.standard_normal(n)[star] + np.hypot(error, 1.0) * rng.standard_normal(star.size)
    rv[:40] += np.tile([-15, 15], 20)  # the first ten vary
    rv[-1], magnitude = np.nan, np.full(star.size, 12.0)
    for name, values in {"rv": rv, "rv_err": error, "phot_g_mean_mag": magnitude}.items():
        survey = survey.append_column(name, pa.array(values, pa.float32(), from_pandas=True))
    options, survey = {"stability": 1.0}, group_exposures(survey, RADIUS)
    found = find_variables(survey, pa.chunked_array([["gaia-3"]]), **options, p_value=1e-4)
    # The third is a known binary.
    names = found["object_id"].to_pylist()
    assert {f"gaia-{i}" for i in range(1, 11) if i != 3} <= set(names)
    assert len(names) <= 9 + 2
    assert (found["rv_range"].to_numpy() > 10).all()
    # As many constant stars as the chance says.
    every = find_variables(survey, pa.chunked_array([["none"]]), **options, p_value=0.05)
    assert (every.num_rows - 10) / n == pytest.approx(0.05, abs=0.01)
    assert conform(found, BINARIES_VARIABLES).num_rows == len(names)


def test_velocities_of_all_exposures_are_collected():
    """A binary with two pairs, one blend and a coadd, a varying star, a constant one, and a triple."""
    source = [1, 1, 1, 1, 2, 2, 3, 3, 4, 4]
    survey = exposures(ra=[10.0 * s for s in source], dec=[1.0] * 10, gaia_source_id=source)
    minute = 1440 * 58_500 + 480
    lmjm = pa.array([minute + 30 * i for i in range(3)] + [-9999] + [minute] * 6, pa.int64())
    survey = survey.set_column(survey.column_names.index("lmjm"), "lmjm", lmjm)
    rv = [None, None, 5.0, 6.0, -20.0, 20.0, 1.0, 1.0, None, None]
    magnitude = [12.0] * 10
    columns = {"rv": rv, "rv_err": [0.5] * 10, "exptime": [1200.0] * 10, "phot_g_mean_mag": magnitude}
    for name, values in columns.items():
        survey = survey.append_column(name, pa.array(values, pa.float32()))
    some = survey.drop_columns("phot_g_mean_mag")
    found = detections(some, [0, 1, 8], multiplicity=["SB2", "SB2", "SB3"], rv_1=[-50.0, -40.0, 0.0])
    grouped = group_exposures(survey, RADIUS)
    spectra, objects = make_objects(found, grouped)
    variables = find_variables(grouped, objects["object_id"], stability=1.0, p_value=1e-4)
    rows = collect_velocities(spectra, grouped, objects, variables).to_pylist()
    named = [(row["object_id"], row["spectrum_id"], row["rv_1"], row["rv_2"], row["light_1"]) for row in rows]
    share = pytest.approx(0.7)
    assert named == [
        ("gaia-1", "e0", -50.0, 50.0, share),
        ("gaia-1", "e1", -40.0, 50.0, share),
        ("gaia-1", "e2", 5.0, None, None),
        ("gaia-2", "e4", -20.0, None, None),
        ("gaia-2", "e5", 20.0, None, None),
    ]
    # What may be moonlight, or has no error, tells nothing of an orbit.
    flagged = spectra.set_column(
        spectra.column_names.index("suspect_moonlight"), "suspect_moonlight", pa.array([True, False, False])
    )
    blank = spectra.set_column(
        spectra.column_names.index("rv_2_err"), "rv_2_err", pa.array([None, 1.0, 1.0], pa.float32())
    )
    for less in (flagged, blank):
        left = collect_velocities(less, grouped, objects, variables)["spectrum_id"].to_pylist()
        assert left == ["e1", "e2", "e4", "e5"]
    # The middle of the exposure, within the light time of the Earth's orbit.
    assert rows[0]["time"] == pytest.approx(58_500 + 600 / 86_400, abs=600 / 86_400)
    assert rows[1]["time"] - rows[0]["time"] == pytest.approx(30 / 1440, abs=1e-5)


def test_object_is_named_after_its_first_exposure():
    survey = exposures(ra=[30.0, 30 + 2 * ARCSEC], dec=[5.0, 5.0], gaia_source_id=[None, None])
    found = detections(survey, [1])
    spectra, objects = make_objects(found, group_exposures(survey, RADIUS))
    assert spectra["object_id"].to_pylist() == ["J020000.00+050000.0"]
    assert objects["ra"].to_pylist() == [30.0]
    assert objects["n_exposures"].to_pylist() == [2]
    # The source is known from another exposure of the star.
    survey = exposures(ra=[30.0, 30 + 2 * ARCSEC], dec=[5.0, 5.0], gaia_source_id=[None, 77])
    spectra, _ = make_objects(detections(survey, [0]), group_exposures(survey, RADIUS))
    assert spectra["object_id"].to_pylist() == ["gaia-77"]


def test_objects_do_not_depend_on_the_order_of_rows():
    rng = np.random.default_rng(0)
    place = rng.integers(0, 15, 60)
    source = [int(p) + 1 if p % 2 else None for p in place]
    survey = exposures(ra=place * 0.1, dec=place * 0.2, gaia_source_id=source)
    found = detections(survey, np.arange(0, 60, 2), snr=rng.uniform(5, 100, 30).astype(np.float32))
    _, objects = make_objects(found, group_exposures(survey, RADIUS))
    turned = found.take(rng.permutation(30)), survey.take(rng.permutation(60))
    assert make_objects(turned[0], group_exposures(turned[1], RADIUS))[1].equals(objects)
    assert objects["n_detections"].to_numpy().sum() == 30


def test_no_detections_make_empty_objects():
    survey = exposures(ra=[1.0], dec=[1.0], gaia_source_id=[None])
    spectra, objects = make_objects(detections(survey, []), group_exposures(survey, RADIUS))
    assert spectra.num_rows == objects.num_rows == 0
    assert conform(objects, BINARIES_OBJECTS).num_rows == 0


def test_detection_that_is_no_exposure_is_an_error():
    survey = exposures(ra=[1.0, 2.0], dec=[1.0, 2.0], gaia_source_id=[None, None])
    with pytest.raises(ResultsError, match="e1 is a detection, but not among"):
        make_objects(detections(survey, [0, 1]), group_exposures(survey.slice(0, 1), RADIUS))


def test_star_without_name_is_an_error():
    nowhere = pa.nulls(1, pa.float64())
    survey = exposures(ra=nowhere, dec=nowhere, gaia_source_id=[None])
    with pytest.raises(ResultsError, match="e0 has neither gaia_source_id nor coordinates"):
        make_objects(detections(survey, [0]), group_exposures(survey, RADIUS))


def test_the_catalogue_has_the_chosen_spectra_and_all_usable_exposures(
    components: Path, tmp_path: Path
) -> None:
    spectra, exposures, candidates, called = gather_catalog(write_stages(components, tmp_path))
    assert spectra["spectrum_id"].to_pylist() == ["s0", "s1"]
    assert spectra["n_ccf_components"].to_pylist() == [1, 2]
    assert spectra["rv_1"].to_pylist() == [-20.0, -80.0]
    assert spectra["rv_3"].to_pylist() == [None, None]
    assert spectra["rv_2_err"].to_pylist() == [3.0, 1.5]
    np.testing.assert_allclose(spectra["light_2"], [0.2, 0.5])
    assert exposures["spectrum_id"].to_pylist() == ["s0", "s1", "s2"]
    assert exposures["rv"].to_pylist() == [None, None, 0.0]
    assert exposures["rv_err"].to_pylist() == [None, None, 0.5]
    # Those of the CCF, for the paper's Table 2.
    assert candidates["vote"].to_pylist() == [None, "SB3"]
    assert called["spectrum_id"].to_pylist() == ["s0", "s1", "s2"]
    assert called["model"].to_pylist() == ["SB2", "SB2", None]
    assert called["vote"].to_pylist() == [None, None, "SB3"]
    assert called["separation"].to_pylist() == [45.0, 150.0, None]
    assert called["light_ratio"].to_pylist() == [pytest.approx(0.25), 1.0, None]
