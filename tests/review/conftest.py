"""A folder of results, a label store, and the review app over both."""

import shutil
from collections.abc import Iterator
from copy import copy
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from fixtures.review_files import Truth, make_results
from fixtures.review_server import SECRET, client_of

from starsift.review.labels import LabelStore
from starsift.review.results import Results


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> Truth:
    """Results that no test changes; a link leads out of them."""
    folder = tmp_path_factory.mktemp("review")
    (folder / "secret.txt").write_text(SECRET)
    truth = make_results(folder / "results")
    (folder / "results/link.txt").symlink_to(folder / "secret.txt")
    return truth


@pytest.fixture
def truth(written: Truth, tmp_path: Path) -> Truth:
    """A copy that a test may change."""
    copied = copy(written)
    copied.folder = shutil.copytree(written.folder, tmp_path / "results")
    return copied


@pytest.fixture(scope="session")
def results(written: Truth) -> Results:
    return Results(written.folder)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LabelStore]:
    with LabelStore(tmp_path / "labels" / "starsift.sqlite") as store:
        yield store


@pytest.fixture(autouse=True)
def no_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Never speak to a SAMP hub of whoever runs the tests."""
    monkeypatch.setenv("SAMP_HUB", f"std-lockurl:{(tmp_path / 'no-hub').as_uri()}")


@pytest.fixture
def client(results: Results, store: LabelStore) -> Iterator[TestClient]:
    with client_of(results, store, user="ann", queue="emission-round-00") as client:
        yield client
