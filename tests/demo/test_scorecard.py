"""Lines of a scorecard against their bounds, and the card as files."""

import json
from pathlib import Path

import numpy as np
import pytest

from starsift.demo.scorecard import Line, describe, mean_line, value_line, velocity_lines, write_card


@pytest.mark.parametrize(
    ("value", "low", "high", "target", "passed"),
    [
        (0.95, 0.95, None, ">= 0.95", True),
        (0.94, 0.95, None, ">= 0.95", False),
        (0.1, None, 0.002, "<= 0.002", False),
        (1.0, 0.8, 1.25, ">= 0.8 and <= 1.25", True),
        (1.3, 0.8, 1.25, ">= 0.8 and <= 1.25", False),
        (0.5, None, None, "", None),
        (None, 0.5, None, ">= 0.5", None),
    ],
)
def test_lines_and_their_bounds(
    value: float | None, low: float | None, high: float | None, target: str, passed: bool | None
) -> None:
    assert value_line("x", value, 3, low, high) == Line("x", value, 3, target, passed)


def test_means_of_cases() -> None:
    assert mean_line("x", np.array([True, True, False]), 0.5) == Line("x", 0.66667, 3, ">= 0.5", True)
    assert mean_line("x", np.array([], bool), 0.5) == Line("x", None, 0, ">= 0.5", None)


def test_velocities_against_the_truth() -> None:
    error = np.array([1.0, -1.0, 3.0, -3.0, np.nan, 5.0, 5.0])
    sigma = np.array([1.0, 1.0, 3.0, 3.0, 1.0, np.nan, 0.0])
    lines = {line.name.split(": ")[1]: line for line in velocity_lines("stars", error, sigma)}
    assert {line.number for line in lines.values()} == {4}
    assert [line.value for line in lines.values()] == pytest.approx([0, np.sqrt(5), 1.4826 * 2, 1], abs=1e-4)
    assert [line.passed for line in lines.values()] == [True, None, None, True]
    (bias, *_) = velocity_lines("stars", error + 1, sigma, bias=None)
    assert (bias.value, bias.target) == (1.0, "")
    assert all(line.value is None for line in velocity_lines("stars", error[:1], sigma[:1]))


def test_a_card_is_written_for_programs_and_for_people(tmp_path: Path) -> None:
    lines = [
        Line("found", 0.98, 50, ">= 0.95", True),
        Line("false", 0.1, 40, "<= 0.002", False),
        Line("scatter", 12.5, 30, "", None),
        Line("no case", None, 0, ">= 0.5", None),
    ]
    card: dict[str, object] = {"spectra": 120, "lines": [vars(line) for line in lines]}
    write_card(card, tmp_path / "new" / "card.json", tmp_path / "card.txt")
    assert json.loads((tmp_path / "new" / "card.json").read_text()) == card
    assert (tmp_path / "card.txt").read_text().splitlines() == [
        "Scorecard: 120 spectra against the truth",
        "  ok      0.9800  found [n = 50], >= 0.95",
        "  MISS    0.1000  false [n = 40], <= 0.002",
        "         12.5000  scatter [n = 30]",
        "            none  no case [n = 0], >= 0.5",
    ]
    assert describe(card) == (tmp_path / "card.txt").read_text().splitlines()
    first = (tmp_path / "new" / "card.json").read_bytes()
    write_card(dict(reversed(card.items())), tmp_path / "new" / "card.json", tmp_path / "card.txt")
    assert (tmp_path / "new" / "card.json").read_bytes() == first
