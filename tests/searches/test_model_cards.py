"""Published model sets: complete, small, with scores and a card that says what people must know."""

import json
from pathlib import Path

import pytest

from starsift.cli import main
from starsift.errors import ResultsError
from starsift.learning.model_sets import read_model_set, write_model_set
from starsift.searches.model_cards import publish_model_set
from starsift.searches.registry import SEARCHES


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A run that made a set of M stars, with a scorecard."""
    folder = tmp_path / "results"
    source = tmp_path / "source"
    source.write_bytes(b"codes")
    files = dict.fromkeys(SEARCHES["mstars"].models, source)
    write_model_set(
        folder / "mstars/model_set", "mstars", files, settings={"seed": 3, "hash": {"bits": 64}}, scores={}
    )
    (folder / "scorecards").mkdir()
    lines = [{"name": "recall of M stars", "value": 0.93}, {"name": "not measured", "value": None}]
    (folder / "scorecards/mstars.json").write_text(json.dumps({"lines": lines}))
    return folder


def test_a_published_set_has_its_scores_and_a_card(results: Path, tmp_path: Path) -> None:
    record = publish_model_set(results, SEARCHES["mstars"], tmp_path / "sets/mstars")
    assert read_model_set(tmp_path / "sets/mstars", "mstars", SEARCHES["mstars"].models) == record
    assert record.scores == {"recall of M stars": 0.93}
    card = (tmp_path / "sets/mstars/README.md").read_text()
    for text in (record.digest, "| recall of M stars | 0.93 |", "bits: 64", SEARCHES["mstars"].limits):
        assert text in card


def test_a_run_without_a_set_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ResultsError, match="no model set of bhb here; run its search first"):
        publish_model_set(tmp_path, SEARCHES["bhb"], tmp_path / "sets")
    assert main(["models", str(tmp_path / "sets"), "--results", str(tmp_path)]) == 1
    assert "no model set here; name the results of a run with --results" in capsys.readouterr().err


def test_the_command_writes_each_set(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["models", str(tmp_path / "sets"), "--results", str(results)]) == 0
    assert capsys.readouterr().out.startswith(f"mstars: {tmp_path / 'sets/mstars'}, 0.0 MB, digest ")


def test_every_search_says_what_its_sets_learnt_from_and_their_limits() -> None:
    for search in SEARCHES.values():
        assert search.models, search.name
        assert all(text.endswith(".") for text in (search.learnt_from, search.limits)), search.name
