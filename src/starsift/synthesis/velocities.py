"""Velocities of binaries as they are measured on several nights, without their spectra."""

import numpy as np

from starsift.synthesis.stars import Systems

CADENCE = 23 / 1440  # days between exposures of a night


def night_times(rng: np.random.Generator, nights: int, exposures: int, span: float) -> np.ndarray:
    """Times (nights * exposures,), days: nights at random within `span`, exposures one after the other."""
    start = np.sort(rng.choice(int(span), nights, replace=False)) + rng.uniform(-0.1, 0.1, nights)
    return (start[:, None] + CADENCE * np.arange(exposures)).ravel()


def measure_binary(
    rng: np.random.Generator, binary: Systems, time: np.ndarray, *, error: float, closest: float
) -> dict[str, np.ndarray]:
    """Velocities of one binary at times (n,), days.

    Parameters
    ----------
    binary : one system of two stars with orbits
    error : km/s, of each velocity
    closest : km/s, velocity difference from which the lines are apart; below it, one velocity is measured:
        the mean by light

    Returns `rv`, `rv_err` (n, 2) km/s, ascending, the second NaN of one velocity; `excess`, `excess_err`
    (n,): share of the light of the star at the higher velocity minus the other's.
    """
    assert binary.orbits is not None
    rv = binary.orbits.take(np.zeros(len(time), int)).velocities(time)
    luminosity = binary.radius[0] ** 2 * binary.teff[0] ** 4
    share = luminosity / luminosity.sum()
    apart = np.abs(rv[:, 0] - rv[:, 1]) >= closest
    order = np.argsort(rv, axis=1)
    noisy = np.take_along_axis(rv, order, axis=1) + rng.normal(0.0, error, rv.shape)
    noisy[~apart] = np.stack(
        [rv @ share + rng.normal(0.0, error, len(rv)), np.full(len(rv), np.nan)], axis=1
    )[~apart]
    excess = np.diff(share[order], axis=1)[:, 0] + rng.normal(0.0, 0.1, len(rv))
    return {
        "rv": noisy,
        "rv_err": np.where(np.isfinite(noisy), error, np.nan),
        "excess": np.where(apart, excess, np.nan),
        "excess_err": np.where(apart, 0.1, np.nan),
    }
