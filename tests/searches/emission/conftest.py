"""Fixtures of the search for emission."""

from pathlib import Path
from typing import Any

import pytest
from fixtures.emission_data import windows
from fixtures.emission_run import make_run
from fixtures.settings import EMISSION

from starsift.learning.backend import save_network
from starsift.searches.emission.training import Trained, train


@pytest.fixture
def run(tmp_path: Path) -> dict[str, Any]:
    """The files of a small run, by stage."""
    return make_run(tmp_path)


@pytest.fixture(scope="session")
def trained() -> Trained:
    return train(*windows(150, 0), seed=5, **EMISSION["training"] | {"max_epochs": 5})


@pytest.fixture(scope="session")
def saved(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("network") / "model.keras"
    save_network(trained.model, path)
    return path
