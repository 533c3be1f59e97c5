"""Temperature scaling and reliability: known temperatures come back, and few labels change nothing."""

import logging

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import softmax
from scipy.stats import binom

from starsift.errors import TrainingError
from starsift.learning.calibration import (
    TEMPERATURES,
    apply_temperature,
    expected_calibration_error,
    fit_temperature,
    reliability,
    wilson,
)


def network(temperature: float, n: int = 20_000) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities (n, 3) of a network that is too sure by a factor, and classes as they truly are."""
    rng = np.random.default_rng(3)
    logits = rng.normal(size=(n, 3)) * 2
    true = softmax(logits, axis=1)
    labels = (rng.random((n, 1)) > true.cumsum(axis=1)).sum(axis=1)
    return softmax(logits * temperature, axis=1).astype(np.float32), labels


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_the_temperature_comes_back(temperature: float) -> None:
    p, labels = network(temperature)
    assert fit_temperature(p, labels) == pytest.approx(temperature, rel=0.04)


def test_scaling_calibrates_and_keeps_the_class() -> None:
    p, labels = network(3.0)
    scaled = apply_temperature(p, fit_temperature(p, labels))
    np.testing.assert_allclose(scaled.sum(axis=1), 1.0)
    assert (scaled.argmax(axis=1) == p.argmax(axis=1)).all()
    before, after = (expected_calibration_error(q[:, 0], labels == 0) for q in (p, scaled))
    assert before > 0.1
    assert after < 0.012
    np.testing.assert_allclose(apply_temperature(p, 1.0), p, atol=1e-6)


def test_few_labels_change_nothing_and_say_so(caplog: pytest.LogCaptureFixture) -> None:
    p, labels = network(3.0, 19)
    with caplog.at_level(logging.WARNING):
        assert fit_temperature(p, labels) == 1.0
        assert fit_temperature(np.empty((0, 3)), np.empty(0, int)) == 1.0
    assert "only 19 held-out labels, 20 are needed" in caplog.text
    assert "only 0 held-out labels" in caplog.text
    assert fit_temperature(p, labels, fewest=10) > 1.5


def test_a_perfect_separation_is_bounded(caplog: pytest.LogCaptureFixture) -> None:
    labels = np.arange(60) % 3
    right = np.full((60, 3), 0.1)
    right[np.arange(60), labels] = 0.8
    with caplog.at_level(logging.WARNING):
        assert fit_temperature(right, labels) == pytest.approx(TEMPERATURES[0])
        # Wrong throughout: less sure is better, without end.
        assert fit_temperature(right, (labels + 1) % 3) == pytest.approx(TEMPERATURES[1])
    assert caplog.text.count("at its bound") == 2


def test_probabilities_of_zero_and_one_have_a_temperature() -> None:
    labels = np.r_[np.zeros(59, int), 1]
    sure = np.tile(np.float32([1, 0, 0]), (60, 1))
    found = fit_temperature(sure, labels)
    assert found > 10
    scaled = apply_temperature(sure, found)
    assert np.isfinite(scaled).all()
    assert scaled[0, 0] < 1


@pytest.mark.parametrize(
    ("p", "labels", "message"),
    [
        ([[0.5, 0.5]], [2], "label 2 has no column; there are 2 classes"),
        ([[0.5, 0.5]], [-1], "labels should be numbers of classes, from 0"),
        ([[0.5, 0.5]], [0.0], "labels should be numbers of classes"),
        ([[0.5, 0.5]], [0, 1], r"they are \(1, 2\) and \(2,\)"),
        ([0.5, 0.5], [0, 1], r"probabilities should be \(n, k\)"),
        ([[0.5, 0.5], [0.5, np.nan]], [0, 1], "row 1 does not hold probabilities"),
        ([[3.0, -2.0]], [0], "row 0 does not hold probabilities"),
        ([[1.0, 2.0]], [0], "row 0 does not hold probabilities"),
    ],
)
def test_what_is_not_of_probabilities(p: list, labels: list, message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        fit_temperature(p, labels)


@pytest.mark.parametrize("temperature", [0, -1, np.nan, np.inf])
def test_temperatures_that_are_none(temperature: float) -> None:
    with pytest.raises(TrainingError, match="expected a positive number"):
        apply_temperature([[0.5, 0.5]], temperature)


def test_intervals_hold_what_they_promise() -> None:
    """Published values for 30 of which 24 are right, and the coverage of the interval over all outcomes."""
    low, high = wilson(24, 30)
    assert [float(low), float(high)] == pytest.approx([0.6269, 0.9050], abs=2e-4)
    for share in (0.5, 0.8, 0.95):
        found = np.arange(31)
        low, high = wilson(found, 30)
        covered = binom.pmf(found, 30, share)[(low <= share) & (share <= high)].sum()
        assert 0.91 < covered < 0.995
    low, high = wilson([0, 30, 0], [30, 30, 0])
    assert low.tolist() == [0.0, pytest.approx(0.8865, abs=1e-3), 0.0]
    assert high.tolist() == [pytest.approx(0.1135, abs=1e-3), 1.0, 1.0]


def test_bins_count_what_is_in_them() -> None:
    table = reliability([0.0, 0.05, 0.1, 0.95, 1.0], [False, True, True, True, False])
    assert table["n"].to_pylist() == [2, 1, *[0] * 7, 2]
    assert table["found"].to_pylist() == [1, 1, *[0] * 7, 1]
    assert table["mean_probability"].to_pylist()[-1] == pytest.approx(0.975)
    assert table["share"].to_pylist() == [0.5, 1.0, *[None] * 7, 0.5]
    assert table["share_low"].null_count == 7
    assert reliability(np.float32([1]) * 1.0000001, [True])["n"][-1].as_py() == 1  # rounding of a sum


def test_the_error_is_the_mean_distance() -> None:
    assert expected_calibration_error([0.8] * 10, [True] * 8 + [False] * 2) == pytest.approx(0)
    # Half of the examples are 0.3 too high, the others 0.1 too low.
    outcome = [True] * 5 + [False] * 5 + [True] * 3 + [False] * 7
    assert expected_calibration_error([0.8] * 10 + [0.2] * 10, outcome) == pytest.approx(0.2)
    assert np.isnan(expected_calibration_error([], []))


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), max_size=50), st.integers(1, 20))
def test_every_example_is_in_one_bin(examples: list[tuple[float, bool]], bins: int) -> None:
    p, outcome = [e[0] for e in examples], [e[1] for e in examples]
    table = reliability(p, outcome, bins).to_pylist()
    assert sum(row["n"] for row in table) == len(examples)
    assert sum(row["found"] for row in table) == sum(outcome)
    for row in table:
        if row["n"]:
            assert row["low"] - 1e-12 <= row["mean_probability"] <= row["high"] + 1e-12
            assert row["share_low"] <= row["share"] <= row["share_high"]


@pytest.mark.parametrize(
    ("p", "outcome", "message"),
    [
        ([0.5], [True, False], "should both be"),
        ([0.5, 1.1], [True, False], r"probability 1 is 1\.1, expected 0 to 1"),
        ([np.nan], [True], "probability 0 is nan"),
    ],
)
def test_bins_that_cannot_be_filled(p: list, outcome: list, message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        reliability(p, outcome)
