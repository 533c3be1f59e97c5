"""Errors of velocities: scatter over noisy copies, and their table."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from fixtures.settings import BINARIES

from starsift.searches.binaries.errors import matched_scatter, monte_carlo, write_errors
from starsift.searches.binaries.peaks import read_components
from starsift.synthesis.stars import draw_singles


def test_scatter_is_that_of_the_matched_components():
    rng = np.random.default_rng(0)
    observed = np.array([[-50.0, 60.0, np.nan], [10.0, np.nan, np.nan]])
    copies = np.full((2, 400, 4), np.nan)
    copies[0, :, 0] = rng.normal(-50, 1.5, 400)
    copies[0, :, 1] = rng.normal(60, 3.0, 400)
    copies[0, ::4, 2] = 300.0  # a spurious third peak in every fourth copy belongs to nobody
    copies[1, :5, 0] = 10.0
    scatter = matched_scatter(observed, copies)
    np.testing.assert_allclose(scatter[0, :2], [1.5, 3.0], rtol=0.1)
    assert np.isnan(scatter[0, 2])
    assert np.isnan(scatter[1]).all()  # five copies say nothing


def test_errors_are_null_where_there_is_no_candidate(components: Path, tmp_path: Path) -> None:
    table, found = read_components(components)
    chosen = np.flatnonzero(np.isin(found.count, [2, 3]))
    rv_err = np.array([[1.0, 2.0, np.nan], [3.0, np.nan, 5.0]], np.float32)
    write_errors(tmp_path / "errors.parquet", table, chosen, rv_err, np.array([0.5, 0.75]))
    errors = pq.read_table(tmp_path / "errors.parquet")
    assert errors["rv_err"].to_pylist() == [[], [1.0, 2.0], [3.0, None, 5.0], [], []]
    assert errors["reliability"].to_pylist() == [None, 0.5, 0.75, None, None]


def test_errors_repeat_and_fall_with_signal(laboratory):
    rng = np.random.default_rng(5)
    systems = draw_singles(rng, 40)
    medians = []
    for snr in (10.0, 80.0):
        batch = laboratory.observe(systems, np.full(40, snr), np.random.default_rng(6))
        _, found = laboratory.measure(batch)
        settings = {"n_copies": 30, "seed": 4, "systematic": [0.0]} | BINARIES["peaks"]
        first, again = (monte_carlo(batch, laboratory.bank, found, **settings) for _ in range(2))
        np.testing.assert_array_equal(first[0], again[0])
        medians.append(np.nanmedian(first[0]))
    assert medians[0] > 3 * medians[1]
