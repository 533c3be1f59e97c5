"""Figures of all searches are drawn from many, few or no rows; figures and pages have captions."""

from importlib import import_module
from pathlib import Path

import pytest

from starsift.report.plots import save
from starsift.resources import workflow_root
from starsift.searches.base import Search
from starsift.searches.registry import SEARCHES

FIGURES = [(name, one.name) for name, each in SEARCHES.items() for one in each.figures if one.suffix == "svg"]
# Of others, tests draw rows in another order.
REPEATED = {"binaries": "rv_differences", "mstars": "giants_photometry"}


@pytest.mark.parametrize(("search", "name"), FIGURES)
@pytest.mark.parametrize("rows", [None, 1, 0])
def test_a_figure_is_drawn(search: str, name: str, rows: int | None, tmp_path: Path) -> None:
    save(import_module(f"fixtures.{search}_figures").draw(name, rows), tmp_path / "figure.svg")
    assert (tmp_path / "figure.svg").read_text().rstrip().endswith("</svg>")


@pytest.mark.parametrize(("search", "name"), REPEATED.items())
def test_the_same_tables_make_the_same_bytes(search: str, name: str, tmp_path: Path) -> None:
    for path in (tmp_path / "a.svg", tmp_path / "b.svg"):
        save(import_module(f"fixtures.{search}_figures").draw(name), path)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


@pytest.mark.parametrize("search", SEARCHES.values())
def test_every_figure_and_page_has_a_caption(search: Search) -> None:
    captions = {path.stem for path in (workflow_root() / "workflow/report" / search.name).glob("*.rst")}
    assert captions == {"search", "scorecard", *(figure.name for figure in search.figures)}
