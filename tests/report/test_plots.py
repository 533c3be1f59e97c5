"""What figures share."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from fixtures.figures import words
from matplotlib.figure import Figure

from starsift.report.plots import draw_figures, empty, plot_reliability


def test_reliability_shows_shares_and_numbers() -> None:
    p, outcome = np.array([0.05, 0.05, 0.55, 0.95, 0.95]), np.array([False, True, True, True, True])
    figure = Figure()
    main, below = figure.subplots(2, 1)
    plot_reliability(main, below, {"before": p, "after": 1 - p}, outcome)
    before = main.containers[0].lines[0]
    np.testing.assert_allclose(before.get_xdata(), [0.05, 0.55, 0.95])  # no point for an empty bin
    np.testing.assert_allclose(before.get_ydata(), [0.5, 1.0, 1.0])
    counts, edges, _ = below.patches[0].get_data()
    assert counts.tolist() == [2, 0, 0, 0, 0, 1, 0, 0, 0, 2]
    assert edges == pytest.approx(np.linspace(0, 1, 11))
    assert "before" in words(figure)
    assert "after" in words(figure)


def test_figures_take_the_tables_of_their_arguments(tmp_path: Path) -> None:
    drawn: dict[str, Figure] = {}

    def first(catalog: str, size: int = 1) -> Figure:
        drawn["first"] = empty(Figure().add_subplot(), f"{catalog}, {size}")
        return drawn["first"]

    def second(runs: str) -> Figure:
        raise AssertionError("nobody wants it")

    outputs = [("first", tmp_path / "first.svg")]
    draw_figures(SimpleNamespace(first=first, second=second), {"catalog": "stars", "other": "no"}, outputs)
    assert "stars, 1" in words(drawn["first"])
    draw_figures(SimpleNamespace(first=first), {"catalog": "stars"}, outputs, {"first": {"size": 3}})
    assert "stars, 3" in words(drawn["first"])
    assert [path.name for path in tmp_path.iterdir()] == ["first.svg"]
