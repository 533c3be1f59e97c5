"""Fixtures of the search for emission."""

from pathlib import Path
from typing import Any

import pytest
from fixtures.emission_run import make_run


@pytest.fixture
def run(tmp_path: Path) -> dict[str, Any]:
    """The files of a small run, by stage."""
    return make_run(tmp_path)
