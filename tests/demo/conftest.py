"""Stars that several modules of the demo share."""

import numpy as np
import pytest

from starsift.demo.astars import AStars, draw_astars


@pytest.fixture(scope="session")
def stars() -> AStars:
    return draw_astars(np.random.default_rng(0), 4000)
