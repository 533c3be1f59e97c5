"""Wavelengths in standard air and in vacuum.

Dispersion of standard dry air (15 C, 101 325 Pa, 450 ppm CO2) after Ciddor (1996, Applied Optics 35, 1566),
equation 1. The inverse is iterated, so that a round trip is exact to better than 1e-9 Angstrom.
"""

import numpy as np
from numpy.typing import ArrayLike

# Below 2000 Angstrom the dispersion formula does not hold and wavelengths are given in vacuum by custom.
AIR_MIN = 2000.0


def refractive_index(vacuum: ArrayLike) -> np.ndarray:
    """Refractive index of standard air at vacuum wavelengths (Angstrom, any shape); 1 below 2000 Angstrom."""
    wavelength = np.asarray(vacuum, dtype=np.float64)
    valid = wavelength >= AIR_MIN
    s2 = (1e4 / np.where(valid, wavelength, AIR_MIN)) ** 2  # squared wavenumber, 1/micrometre^2
    index = 1.0 + 0.05792105 / (238.0185 - s2) + 0.00167917 / (57.362 - s2)
    return np.where(valid, index, 1.0)


def vacuum_to_air(vacuum: ArrayLike) -> np.ndarray:
    """Vacuum wavelengths (Angstrom, any shape) to standard air."""
    wavelength = np.asarray(vacuum, dtype=np.float64)
    return wavelength / refractive_index(wavelength)


def air_to_vacuum(air: ArrayLike) -> np.ndarray:
    """Standard-air wavelengths (Angstrom, any shape) to vacuum."""
    wavelength = np.asarray(air, dtype=np.float64)
    vacuum = wavelength
    for _ in range(3):  # the index varies slowly: each pass gains about five digits
        vacuum = wavelength * refractive_index(vacuum)
    # The gap between 2000 Angstrom in vacuum and in air belongs to both: leave it as it is.
    return np.where(wavelength >= AIR_MIN, vacuum, wavelength)
