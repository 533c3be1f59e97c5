"""Air and vacuum wavelengths against published pairs and against each other."""

import numpy as np
import pytest

from starsift.sky.air import air_to_vacuum, vacuum_to_air

# NIST Atomic Spectra Database, Angstrom: H alpha, Na D2, Mg b1, H beta in vacuum (SDSS line list).
PAIRS = [(6562.819, 6564.632), (5889.951, 5891.583), (5183.604, 5185.048), (4861.333, 4862.691)]


@pytest.mark.parametrize(("air", "vacuum"), PAIRS)
def test_known_lines(air: float, vacuum: float) -> None:
    assert air_to_vacuum(air) == pytest.approx(vacuum, abs=0.01)
    assert vacuum_to_air(vacuum) == pytest.approx(air, abs=0.01)


def test_round_trip_is_exact() -> None:
    air = np.linspace(2001.0, 25_000.0, 5000).reshape(50, 100)
    assert np.abs(vacuum_to_air(air_to_vacuum(air)) - air).max() < 1e-9


def test_ultraviolet_is_left_in_vacuum() -> None:
    ultraviolet = np.array([1215.67, 1900.0])
    np.testing.assert_array_equal(air_to_vacuum(ultraviolet), ultraviolet)
    np.testing.assert_array_equal(vacuum_to_air(ultraviolet), ultraviolet)
