"""Moonlight and cross-talk: velocities against LAMOST's own and a formula, flags against made-up cases."""

import numpy as np
import pyarrow as pa
import pytest
from fixtures.settings import BINARIES

from starsift.searches.binaries.suspects import (
    SUSPECTS,
    barycentric_correction,
    find_suspects,
    flag_crosstalk,
    flag_moonlight,
)

RADIUS = BINARIES["objects"]["match_radius"]

CORRELATION = BINARIES["suspects"]["crosstalk_correlation"]

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
    np.testing.assert_allclose(
        barycentric_correction(ra, dec, minutes + 480, np.zeros(3)), -np.array(helio), atol=0.02
    )


def test_correction_of_the_middle_of_the_exposure():
    middle = barycentric_correction([100.0], [20.0], [84_420_171], [1200.0])
    np.testing.assert_allclose(
        middle, barycentric_correction([100.0], [20.0], [84_420_181], [np.nan]), atol=1e-9
    )


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
    assert not flag_moonlight(
        rv,
        err,
        np.full(6, nan),
        sigmas=BINARIES["suspects"]["moonlight_sigmas"],
        floor=BINARIES["suspects"]["moonlight_floor"],
    )[0].any()


def test_moonlight_names_the_nearest_component():
    flag, component = flag_moonlight(
        np.array([[18.0, 20.5]]),
        np.ones((1, 2)),
        np.array([20.0]),
        sigmas=BINARIES["suspects"]["moonlight_sigmas"],
        floor=BINARIES["suspects"]["moonlight_floor"],
    )
    assert flag.all()
    assert component.tolist() == [1]


def identity(fiberid, planid="P", spid=1, lmjm=100, band="B"):
    n = len(fiberid)
    every = lambda value: value if isinstance(value, list) else [value] * n  # noqa: E731
    return pa.table(
        {
            "spectrum_id": [f"s{i}" for i in range(n)],
            "obsid": pa.array(range(n), pa.int64()),
            "planid": every(planid),
            "spid": pa.array(every(spid), pa.int8()),
            "fiberid": pa.array(fiberid, pa.int16()),
            "lmjd": pa.array([58625] * n, pa.int32()),
            "lmjm": pa.array(every(lmjm), pa.int64()),
            "band": every(band),
        }
    )


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
    flag, partner = flag_crosstalk(
        identity([7, 40, 6, 8]), np.arange(4), ccf, rv, err, correlation=CORRELATION
    )
    assert flag.tolist() == [True, False, True, False]
    assert partner.tolist() == [2, -1, 0, -1]


def test_crosstalk_prefers_the_better_of_two_neighbours():
    ccf, rv, err = curves((-60, 50), (-58, 52), (-60, 50.2))
    _, partner = flag_crosstalk(identity([5, 4, 6]), np.arange(3), ccf, rv, err, correlation=CORRELATION)
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
    assert not flag_crosstalk(identity(**where), np.arange(2), ccf, rv, err, correlation=CORRELATION)[0].any()


def test_crosstalk_needs_different_stars_two_components_and_like_curves():
    fibers = identity([3, 4])
    ccf, rv, err = curves((-60, 50), (-60, 50))
    assert flag_crosstalk(fibers, np.arange(2), ccf, rv, err, correlation=CORRELATION)[0].all()
    assert not flag_crosstalk(fibers, np.zeros(2, int), ccf, rv, err, correlation=CORRELATION)[0].any()
    noise = np.random.default_rng(0).normal(0, 0.15, ccf.shape)
    assert not flag_crosstalk(fibers, np.arange(2), ccf + noise, rv, err, correlation=CORRELATION)[0].any()
    # Two single stars of a cluster look alike, and that means nothing.
    ccf, rv, err = curves((-60,), (-60,))
    assert not flag_crosstalk(fibers, np.arange(2), ccf, rv, err, correlation=CORRELATION)[0].any()


def test_crosstalk_with_a_component_of_noise_on_one_side():
    ccf, rv, err = curves((-60, 50), (-60, 50))
    rv[1, 2] = 300.0
    assert flag_crosstalk(identity([3, 4]), np.arange(2), ccf, rv, err, correlation=CORRELATION)[0].all()


def test_crosstalk_does_not_depend_on_the_order_of_rows():
    rng = np.random.default_rng(3)
    components = [tuple(np.sort(rng.choice([-90, -30, 40, 120], 2, replace=False))) for _ in range(120)]
    ccf, rv, err = curves(*components)
    fibers = identity(rng.permutation(120) + 1, planid=rng.choice(["P", "Q"], 120).tolist())
    flag, partner = flag_crosstalk(fibers, np.arange(120), ccf, rv, err, correlation=CORRELATION)
    assert 0 < flag.sum() < 120
    order = rng.permutation(120)
    again, other = flag_crosstalk(
        fibers.take(order), np.arange(120), ccf[order], rv[order], err[order], correlation=CORRELATION
    )
    assert (again == flag[order]).all()
    # Equal curves on both sides: the partner may be either, but is one that fits.
    assert (rv[order][other[again]] == rv[partner[order][again]])[:, :2].all()


def test_suspects_of_a_bundle():
    correction = barycentric_correction([100.0], [20.0], [84_420_171], [1200.0])[0]
    ccf, rv, err = curves((-60, 50), (-60, 50), (correction,), (-90, correction + 1))
    rows = identity([3, 4, 8, 12], lmjm=84_420_171)
    rows = rows.append_column("ra", pa.array([100.0, 100.1, 100.0, 100.0]))
    rows = rows.append_column("dec", pa.array([20.0] * 4))
    rv = np.pad(rv, ((0, 0), (0, 2)), constant_values=np.nan)  # some CCF of the bundle has more components
    table = find_suspects(
        rows,
        ccf,
        rv,
        err,
        np.full(4, 1200.0),
        np.zeros(4, np.int64),
        match_radius=RADIUS,
        **BINARIES["suspects"],
    )
    assert table.schema.equals(SUSPECTS)
    assert table["suspect_moonlight"].to_pylist() == [False, False, False, True]
    assert table["suspect_crosstalk"].to_pylist() == [True, True, False, False]
    assert table["crosstalk_partner"].to_pylist() == ["s1", "s0", None, None]
    assert table["barycentric_correction"].null_count == 1
    assert table["barycentric_correction"][3].as_py() == pytest.approx(correction, abs=1e-4)


def test_suspects_of_a_bundle_without_candidates():
    ccf, rv, err = curves((1,), ())
    rows = (
        identity([3, 4]).append_column("ra", pa.array([1.0, 2.0])).append_column("dec", pa.array([1.0, 2.0]))
    )
    table = find_suspects(
        rows, ccf, rv, err, np.zeros(2), np.zeros(2, np.int64), match_radius=RADIUS, **BINARIES["suspects"]
    )
    assert not any(table["suspect_moonlight"].to_pylist() + table["suspect_crosstalk"].to_pylist())
