"""Times of the simulated sky."""

import numpy as np
import pytest

from starsift.demo.sky import utc_mid


def test_local_minutes_are_eight_hours_ahead() -> None:
    assert utc_mid(np.array([58_625 * 1440])) == pytest.approx(58_625 - 8 / 24 + 10 / 1440)
