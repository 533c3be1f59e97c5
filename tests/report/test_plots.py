"""What figures share."""

import numpy as np
import pytest
from fixtures.figure_words import words
from matplotlib.figure import Figure

from starsift.learning.calibration import reliability
from starsift.report.plots import plot_reliability


def test_reliability_shows_shares_and_numbers() -> None:
    p, outcome = np.array([0.05, 0.05, 0.55, 0.95, 0.95]), np.array([False, True, True, True, True])
    figure = Figure()
    main, below = figure.subplots(2, 1)
    plot_reliability(main, below, {"before": reliability(p, outcome), "after": reliability(1 - p, outcome)})
    before = main.containers[0].lines[0]
    np.testing.assert_allclose(before.get_xdata(), [0.05, 0.55, 0.95])  # no point for an empty bin
    np.testing.assert_allclose(before.get_ydata(), [0.5, 1.0, 1.0])
    counts, edges, _ = below.patches[0].get_data()
    assert counts.tolist() == [2, 0, 0, 0, 0, 1, 0, 0, 0, 2]
    assert edges == pytest.approx(np.linspace(0, 1, 11))
    assert "before" in words(figure)
    assert "after" in words(figure)
