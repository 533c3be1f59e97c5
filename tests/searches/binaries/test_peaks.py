"""Peak finding against a slow reference with SciPy's filters, and its invariants."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from fixtures.settings import BINARIES
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter1d

from starsift.searches.binaries.peaks import (
    cosine_basis,
    find_components,
    read_components,
    rectangle,
    smoothed_derivatives,
    write_components,
)

VELOCITIES = np.arange(-500.0, 501.0)


def curves(rng, n, centres, heights, width=35.0, noise=0.0):
    """Sums of Gaussians, with noise as smooth as that of a CCF at R = 7500."""
    shape = np.exp(-0.5 * ((VELOCITIES - np.asarray(centres)[:, :, None]) / width) ** 2)
    curve = (np.asarray(heights)[:, :, None] * shape).sum(axis=1)
    curve += 10 * noise * gaussian_filter1d(rng.standard_normal((n, VELOCITIES.size)), 25)
    return curve.astype(np.float32)


def find(ccf, **changes):
    return find_components(ccf, VELOCITIES, **BINARIES["peaks"] | changes)


def slow_components(curve, *, start=13.0, stop=100.0, ccf_threshold=0.6, d2_threshold=0.4):
    """One curve, one sigma at a time: gaussian_filter1d of order 0, 2 and 3, crossings one by one."""
    curve = curve.astype(float)
    sigma = start
    while True:
        smooth, second, third = (gaussian_filter1d(curve, sigma, order=k, truncate=8) for k in (0, 2, 3))
        tall = smooth >= smooth.min() + ccf_threshold * np.ptp(smooth)
        deep = second <= second.min() + d2_threshold * np.ptp(second)
        found, valleys = [], 0
        for j in range(curve.size - 1):
            if third[j] < 0 <= third[j + 1]:
                rv = VELOCITIES[j] + third[j] / (third[j] - third[j + 1])
                near = int(np.rint(rv - VELOCITIES[0]))
                if deep[near]:
                    valleys += 1
                    if tall[near]:
                        found.append(rv)
        if (len(found) == valleys and found) or sigma + 1 > stop:
            return found, sigma, len(found) == valleys and bool(found)
        sigma += 1


def test_equals_the_slow_reference():
    rng = np.random.default_rng(2)
    n = 60
    centres = np.sort(rng.uniform(-300, 300, (n, 3)), axis=1)
    heights = rng.uniform(0, 1, (n, 3)) * (rng.random((n, 3)) < 0.7) + np.array([0.3, 0, 0])
    ccf = curves(rng, n, centres, heights, noise=0.02)
    result = find(ccf)
    assert set(result.count.tolist()) >= {1, 2, 3}  # the comparison means something
    assert (result.sigma > 13).any()
    differing = 0
    for i in range(n):
        rv, sigma, converged = slow_components(ccf[i])
        if (len(rv), sigma, converged) != (result.count[i], result.sigma[i], result.converged[i]):
            differing += 1  # a valley within a hair of a threshold may fall on either side
            continue
        np.testing.assert_allclose(result.rv[i, : len(rv)], rv, atol=0.05)
        assert np.isnan(result.rv[i, len(rv) :]).all()
    assert differing <= 2


def test_derivatives_are_those_of_scipy():
    rng = np.random.default_rng(4)
    ccf = curves(rng, 5, rng.uniform(-200, 200, (5, 2)), np.ones((5, 2)), noise=0.05)
    basis = cosine_basis(VELOCITIES, 13.0)
    ours = smoothed_derivatives(ccf @ basis.analysis, basis, 20.0)
    for k, got in zip((0, 2), ours[:2], strict=True):
        expected = gaussian_filter1d(ccf.astype(float), 20.0, order=k, axis=1, truncate=8)
        np.testing.assert_allclose(got, expected, atol=2e-5 * np.ptp(expected))
    third = gaussian_filter1d(ccf.astype(float), 20.0, order=3, axis=1, truncate=8)
    middle = 0.5 * (third[:, 1:] + third[:, :-1])
    np.testing.assert_allclose(ours[2], middle, atol=1e-3 * np.ptp(middle))


def test_two_gaussians_are_found_where_they_are():
    rng = np.random.default_rng(1)
    result = find(curves(rng, 1, [[-60.3, 70.6]], [[1.0, 0.9]], width=30.0))
    assert result.count[0] == 2
    assert result.converged[0]
    np.testing.assert_allclose(result.rv[0, :2], [-60.3, 70.6], atol=1.0)


def test_thresholds_decide_what_counts():
    rng = np.random.default_rng(1)
    ccf = curves(rng, 1, [[-150.0, 150.0]], [[1.0, 0.35]], width=30.0)
    alone = find(ccf)
    assert alone.count[0] == 1
    assert alone.rv[0, 0] == pytest.approx(-150, abs=1)
    lower = find(ccf, ccf_threshold=0.3, d2_threshold=0.6)
    assert lower.count[0] == 2
    np.testing.assert_allclose(lower.rv[0, :2], [-150, 150], atol=1.0)


@settings(max_examples=25, deadline=None)
@given(shift=st.integers(-150, 150), scale=st.floats(0.1, 50), offset=st.floats(-1, 1))
def test_shift_scale_and_offset(shift, scale, offset):
    rng = np.random.default_rng(9)
    ccf = curves(rng, 1, [[-40.0, 90.0]], [[1.0, 0.8]])
    moved = curves(rng, 1, [[-40.0 + shift, 90.0 + shift]], [[1.0, 0.8]])
    first = find(ccf)
    second = find((scale * moved + offset).astype(np.float32))
    assert second.count[0] == first.count[0] == 2
    np.testing.assert_allclose(second.rv[0, :2] - shift, first.rv[0, :2], atol=0.1)


def test_order_and_batch_size_do_not_matter():
    rng = np.random.default_rng(7)
    n = 3000  # more than a chunk
    ccf = curves(rng, n, rng.uniform(-300, 300, (n, 2)), rng.uniform(0.2, 1, (n, 2)), noise=0.05)
    whole = find(ccf)
    order = rng.permutation(n)
    permuted = find(ccf[order])
    # Of 3 000 noisy curves one may lie on a threshold, where the last bit decides.
    same = permuted.count == whole.count[order]
    assert same.mean() > 0.998
    np.testing.assert_allclose(permuted.rv[same], whole.rv[order][same], atol=1e-2)
    alone = find(ccf[17:18])
    np.testing.assert_allclose(alone.rv[0, :2], whole.rv[17, :2], atol=1e-2)


def test_constant_and_empty_input():
    flat = find(np.zeros((3, VELOCITIES.size), np.float32))
    assert flat.count.tolist() == [0, 0, 0]
    assert not flat.converged.any()
    assert np.isnan(flat.rv).all()
    empty = find(np.zeros((0, VELOCITIES.size), np.float32))
    assert empty.rv.shape == (0, 3)


def test_a_deep_valley_below_the_ccf_threshold_widens_the_smoothing():
    rng = np.random.default_rng(1)
    result = find(curves(rng, 1, [[-150.0, 150.0]], [[1.0, 0.5]], width=30.0))
    assert result.sigma[0] > 13
    assert result.count[0] == 1


def test_components_keep_every_spectrum(components: Path) -> None:
    table, found = read_components(components)
    assert table["n_components"].to_pylist() == [1, 2, 3, 0, 0]
    assert table["template"].to_pylist() == [0, 1, 2, None, None]
    assert table["rv"].to_pylist()[3] == []
    np.testing.assert_allclose(found.rv[1, :2], [-80, 70], atol=1)
    assert np.isnan(found.rv[0, 1:]).all()


def test_rectangles_hold_more_than_three_components_and_none() -> None:
    lists = pa.chunked_array([[[1.0, 2.0, 3.0, 4.0], [], None], [[5.0]]], pa.list_(pa.float32()))
    values = rectangle(lists)
    assert values.shape == (4, 4)
    np.testing.assert_array_equal(values[0], [1, 2, 3, 4])
    assert np.isnan(values[1:3]).all()
    assert values[3, 0] == 5
    assert rectangle(lists.slice(1, 1)).shape == (1, 3)


def test_empty_components_make_an_empty_table(tmp_path: Path) -> None:
    write_components(tmp_path / "c.parquet", [])
    table, found = read_components(tmp_path / "c.parquet")
    assert table.num_rows == 0
    assert found.rv.shape == (0, 3)
