"""Moonlight and cross-talk: velocities against LAMOST's own and a formula, flags against made-up cases."""

import numpy as np
import pytest
from fixtures.settings import BINARIES
from fixtures.survey_files import identity_rows

from starsift.searches.binaries.suspects import (
    SUSPECTS,
    barycentric_correction,
    find_suspects,
    flag_crosstalk,
    flag_moonlight,
)

RADIUS = BINARIES["objects"]["match_radius"]
CORRELATION = BINARIES["suspects"]["crosstalk_correlation"]
MOONLIGHT = {name: BINARIES["suspects"][f"moonlight_{name}"] for name in ("sigmas", "floor")}

# RA, Dec, middle of the observation, HELIO_RV of LAMOST DR10 headers (plan B7708). Its sign is that of the
# observer's motion away from the star.
LAMOST = [
    (141.017274, 26.602472, "2011-11-11T21:23:44.48", -29.50184),
    (140.146731, 27.69014, "2011-11-11T21:23:08.91", -29.36482),
    (141.045568, 27.955135, "2011-11-11T21:23:25.87", -29.34930),
]
VELOCITIES = np.arange(-500.0, 501.0)


def test_correction_is_the_one_that_lamost_applied():
    ra, dec, date, helio = zip(*LAMOST, strict=True)
    minutes = (np.array(date, "datetime64[ms]") - np.datetime64("1858-11-17")) / np.timedelta64(1, "m")
    # LAMOST's is heliocentric, this one barycentric: they differ by 0.02 km/s at most.
    correction = barycentric_correction(ra, dec, minutes + 480, np.zeros(3))
    np.testing.assert_allclose(correction, -np.array(helio), atol=0.02)


def test_correction_of_the_middle_of_the_exposure():
    middle = barycentric_correction([100.0], [20.0], [84_420_171], [1200.0])
    expected = barycentric_correction([100.0], [20.0], [84_420_181], [np.nan])
    np.testing.assert_allclose(middle, expected, atol=1e-9)


def test_correction_without_coordinates_is_nan():
    correction = barycentric_correction([np.nan, 10.0], [0.0, 10.0], [84_420_171] * 2, [0.0] * 2)
    assert np.isnan(correction[0])
    assert np.isfinite(correction[1])
    assert barycentric_correction([], [], [], []).shape == (0,)


def test_moonlight_within_errors_floor_and_ceiling():
    nan = np.nan
    rv = np.array(
        [[-80.0, 20.0, nan], [-80, 22.9, nan], [-80, 23.1, nan], [-80, 26, nan], [26, 41, 60], [20, nan, nan]]
    )
    err = np.array(
        [[1, 0.1, nan], [1, 0.1, nan], [1, 0.1, nan], [1, 2.5, nan], [nan, 60, 60], [nan, nan, nan]]
    )
    flag, component = flag_moonlight(rv, err, np.full(6, 20.0), sigmas=3, floor=1)
    assert flag.tolist() == [True, True, False, True, False, True]
    assert component.tolist() == [1, 1, -1, 1, -1, 0]
    assert not flag_moonlight(rv, err, np.full(6, nan), **MOONLIGHT)[0].any()


def test_moonlight_names_the_nearest_component():
    near = np.array([[18.0, 20.5]])
    flag, component = flag_moonlight(near, np.ones((1, 2)), np.array([20.0]), **MOONLIGHT)
    assert (flag.tolist(), component.tolist()) == ([True], [1])


def identity(fiberid, **columns):
    n = len(fiberid)
    columns = {"planid": "P", "spid": 1, "lmjm": 100, "band": "B"} | columns
    every = {name: value if isinstance(value, list) else [value] * n for name, value in columns.items()}
    return identity_rows([f"s{i}" for i in range(n)], fiberid=fiberid, **every)


def flag(where, star, ccf, rv, err):
    return flag_crosstalk(where, np.asarray(star), ccf, rv, err, correlation=CORRELATION)


def curves(*components):
    """CCFs with peaks of width 20 km/s and the velocities (n, 3), errors (n, 3) that go with them."""
    rv = np.full((len(components), 3), np.nan)
    ccf = np.zeros((len(components), VELOCITIES.size), np.float32)
    for i, velocities in enumerate(components):
        rv[i, : len(velocities)] = velocities
        ccf[i] = sum(np.exp(-0.5 * ((VELOCITIES - v) / 20) ** 2) for v in velocities)
    return ccf, rv, np.where(np.isnan(rv), np.nan, 0.5)


def test_crosstalk_flags_both_of_a_pair_and_names_the_partner():
    ccf, rv, err = curves((-60, 50), (10,), (-59, 50.5), (-60, 80))
    flagged, partner = flag(identity([7, 40, 6, 8]), range(4), ccf, rv, err)
    assert flagged.tolist() == [True, False, True, False]
    assert partner.tolist() == [2, -1, 0, -1]


def test_crosstalk_prefers_the_better_of_two_neighbours():
    ccf, rv, err = curves((-60, 50), (-58, 52), (-60, 50.2))
    _, partner = flag(identity([5, 4, 6]), range(3), ccf, rv, err)
    assert partner.tolist() == [2, 0, 0]


@pytest.mark.parametrize(
    "where",
    [
        {"fiberid": [3, 5]},
        {"fiberid": [3, 3]},
        {"fiberid": [3, 4], "planid": ["P", "Q"]},
        {"fiberid": [3, 4], "spid": [1, 2]},
        {"fiberid": [250, 1], "spid": [1, 2]},
        {"fiberid": [3, 4], "lmjm": [100, 101]},
        {"fiberid": [3, 4], "band": ["B", "R"]},
    ],
)
def test_crosstalk_needs_neighbours_in_one_exposure(where):
    ccf, rv, err = curves((-60, 50), (-60, 50))
    assert not flag(identity(**where), range(2), ccf, rv, err)[0].any()


def test_crosstalk_needs_different_stars_two_components_and_like_curves():
    fibers = identity([3, 4])
    ccf, rv, err = curves((-60, 50), (-60, 50))
    assert flag(fibers, range(2), ccf, rv, err)[0].all()
    assert not flag(fibers, [0, 0], ccf, rv, err)[0].any()
    noise = np.random.default_rng(0).normal(0, 0.15, ccf.shape)
    assert not flag(fibers, range(2), ccf + noise, rv, err)[0].any()
    # Two single stars of a cluster look alike, and that means nothing.
    ccf, rv, err = curves((-60,), (-60,))
    assert not flag(fibers, range(2), ccf, rv, err)[0].any()


def test_crosstalk_with_a_component_of_noise_on_one_side():
    ccf, rv, err = curves((-60, 50), (-60, 50))
    rv[1, 2] = 300.0
    assert flag(identity([3, 4]), range(2), ccf, rv, err)[0].all()


def test_crosstalk_does_not_depend_on_the_order_of_rows():
    rng = np.random.default_rng(3)
    components = [tuple(np.sort(rng.choice([-90, -30, 40, 120], 2, replace=False))) for _ in range(120)]
    ccf, rv, err = curves(*components)
    fibers = identity(rng.permutation(120) + 1, planid=rng.choice(["P", "Q"], 120).tolist())
    flagged, partner = flag(fibers, range(120), ccf, rv, err)
    assert 0 < flagged.sum() < 120
    order = rng.permutation(120)
    again, other = flag(fibers.take(order), range(120), ccf[order], rv[order], err[order])
    assert (again == flagged[order]).all()
    # Equal curves on both sides: the partner may be either, but is one that fits.
    assert (rv[order][other[again]] == rv[partner[order][again]])[:, :2].all()


def test_suspects_of_a_bundle():
    correction = barycentric_correction([100.0], [20.0], [84_420_171], [1200.0])[0]
    ccf, rv, err = curves((-60, 50), (-60, 50), (correction,), (-90, correction + 1))
    rows = identity([3, 4, 8, 12], lmjm=84_420_171, ra=[100.0, 100.1, 100.0, 100.0], dec=20.0)
    rv = np.pad(rv, ((0, 0), (0, 2)), constant_values=np.nan)  # some CCF of the bundle has more components
    exposure, source = np.full(4, 1200.0), np.zeros(4, np.int64)
    table = find_suspects(rows, ccf, rv, err, exposure, source, match_radius=RADIUS, **BINARIES["suspects"])
    assert table.schema.equals(SUSPECTS)
    assert table["suspect_moonlight"].to_pylist() == [False, False, False, True]
    assert table["suspect_crosstalk"].to_pylist() == [True, True, False, False]
    assert table["crosstalk_partner"].to_pylist() == ["s1", "s0", None, None]
    assert table["barycentric_correction"].null_count == 1
    assert table["barycentric_correction"][3].as_py() == pytest.approx(correction, abs=1e-4)


def test_suspects_of_a_bundle_without_candidates():
    ccf, rv, err = curves((1,), ())
    rows, nothing = identity([3, 4], ra=[1.0, 2.0], dec=[1.0, 2.0]), np.zeros(2, np.int64)
    table = find_suspects(rows, ccf, rv, err, nothing, nothing, match_radius=RADIUS, **BINARIES["suspects"])
    assert not any(table["suspect_moonlight"].to_pylist() + table["suspect_crosstalk"].to_pylist())
