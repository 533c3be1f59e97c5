"""The list of searches, and the report's categories that are made of it."""

import json
import re
from pathlib import Path

import pytest
from fixtures.schemas import SCHEMAS

from starsift.searches.registry import SEARCHES, report_categories

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("searches", [[*SEARCHES], ["bhb"], ["emission", "binaries"]], ids="-".join)
def test_categories_sort_by_their_place_and_are_one_each(searches: list[str]) -> None:
    """Without a colon, which would end the name of a link's target and so make two of them equal."""
    names = list(report_categories(searches).values())
    assert names == sorted(names)
    assert len({re.sub(r"^\d+ ", "", name) for name in names}) == len(names)
    assert not re.search("[:_`]", "".join(names))
    expected = sum(len(SEARCHES[name].sections) for name in searches)
    assert len(names) == expected + 1


def test_every_figure_is_drawn_once_and_explained_in_a_section_of_its_search() -> None:
    for search in SEARCHES.values():
        rules = (ROOT / f"workflow/rules/{search.name}.smk").read_text()
        calls = re.findall(rf'\bfigures\(\s*"{search.name}",([^)]*)\)', rules)
        drawn = re.findall(r'"(\w+)"', "".join(calls))
        assert sorted(drawn) == sorted(figure.name for figure in search.figures)
        assert len({(figure.section, figure.title) for figure in search.figures}) == len(drawn)
        assert {figure.section for figure in search.figures} == set(search.sections)
        captions = {path.stem for path in (ROOT / f"workflow/report/{search.name}").glob("*.rst")}
        assert captions == {*drawn, "scorecard", "search"}


def test_searches_are_those_of_the_settings_and_of_the_catalogues() -> None:
    schema = json.loads((ROOT / "config/schema/config.schema.json").read_text())
    assert set(schema["properties"]["searches"]["items"]["enum"]) == set(SEARCHES)
    assert {name for search in SEARCHES.values() for name in search.catalogs} == set(SCHEMAS)


def test_stages_and_steps_are_files_that_rules_write() -> None:
    rules = "".join(path.read_text() for path in (ROOT / "workflow/rules").glob("*.smk"))
    for search in SEARCHES.values():
        for pattern in (*search.stages, *search.steps.values()):
            parts = [re.escape(part) for part in re.split(r"\*|\{survey\}", f"results/{pattern}")]
            # In rules a wildcard of another name, {stage} of emission for a whole part of the path.
            flexible = r"[^\"/]*".join(parts)
            stage = re.sub(
                r"emission/(round-|final|baseline/run-).*/predictions",
                "emission/{stage}/predictions",
                f"results/{pattern}",
            )
            assert re.search(f'"{flexible}', rules) or f'"{stage}' in rules, pattern
