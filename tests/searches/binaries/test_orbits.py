"""Orbits from the velocities of several nights."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from fixtures.settings import BINARIES

from starsift.catalog.columns import conform
from starsift.searches.binaries import orbits
from starsift.searches.binaries.columns import BINARIES_ORBITS
from starsift.searches.binaries.orbit_catalog import MASS, find_orbits, summarise_orbits
from starsift.searches.binaries.orbits import Velocities, radial_velocities, sample_orbits
from starsift.synthesis.stars import VELOCITY, draw_binaries, true_anomaly
from starsift.synthesis.velocities import measure_binary, night_times

PERIODS = (0.2, 2000.0)


def observe(seed, *, nights, single_lined=False):
    """A binary of a few days, and what 3 exposures a night show of it."""
    rng = np.random.default_rng(seed)
    binaries = draw_binaries(rng, 40, None)
    period = binaries.orbits.period[:, 0]
    binary = binaries.take([int(np.flatnonzero((period > 2.5) & (period < 20))[0])])
    time = night_times(rng, nights, 3, 400.0) + 58_000.0
    measured = measure_binary(rng, binary, time, error=1.0, closest=45.0)
    if single_lined:
        measured["rv"][:, 0] = binary.orbits.take([0] * len(time)).velocities(time)[:, 0]
        measured["rv"][:, 0] += rng.normal(0.0, 1.0, len(time))
        measured["rv"][:, 1] = np.nan
        measured["rv_err"][:, 0] = 1.0
    return binary, Velocities(time, **measured)


@pytest.fixture(scope="module")
def double():
    """A double-lined binary, its velocities and the samples of its orbit."""
    binary, velocities = observe(5, nights=8)
    return binary, velocities, sample_orbits(velocities, PERIODS, samples=512, seed=1)


def amplitudes(binary):
    orbit = binary.orbits
    total, e = orbit.mass[0].sum(), orbit.eccentricity[0, 0]
    unit = VELOCITY * np.sin(orbit.inclination[0, 0]) / (total ** (2 / 3) * np.cbrt(orbit.period[0, 0]))
    return orbit.mass[0, ::-1] * unit / np.sqrt(1 - e**2)


def test_velocities_in_units_of_the_amplitude_follow_kepler():
    time, period, e, omega, periastron = np.linspace(-40, 90, 400), 7.3, 0.62, 1.1, 3.2
    nu = true_anomaly(2 * np.pi * (time - periastron) / period, np.full(400, e))
    expected = np.cos(nu + omega) + e * np.cos(omega)
    np.testing.assert_allclose(radial_velocities(time, period, e, omega, periastron), expected, atol=1e-8)


def test_the_orbit_of_a_double_lined_binary_is_found(double):
    binary, velocities, found = double
    assert velocities.paired.sum() >= 6
    assert not velocities.paired.all()  # some exposures show blended lines
    row = summarise_orbits(*found, velocities)
    assert row["period_probability"] > 0.9
    assert row["period"] == pytest.approx(binary.orbits.period[0, 0], rel=1e-3)
    for i, true in enumerate(amplitudes(binary), 1):
        assert abs(row[f"semi_amplitude_{i}"] - true) < 4 * row[f"semi_amplitude_{i}_err"] < 12
    mass = binary.orbits.mass[0]
    assert abs(row["mass_ratio"] - mass[1] / mass[0]) < 4 * row["mass_ratio_err"] < 0.3
    minimum = mass * np.sin(binary.orbits.inclination[0, 0]) ** 3
    assert abs(row["m1_sin3i"] - minimum[0]) < 4 * row["m1_sin3i_err"]
    assert abs(row["m2_sin3i"] - minimum[1]) < 4 * row["m2_sin3i_err"]
    assert abs(row["eccentricity"] - binary.orbits.eccentricity[0, 0]) < 0.05
    assert (row["multiplicity"], row["mass_function"]) == ("SB2", None)
    assert row["dof"] == len(velocities.time) + row["n_pairs"] - 7
    assert row["chi2"] < 2 * row["dof"]


def test_the_orbit_of_a_single_lined_binary_is_found():
    binary, velocities = observe(7, nights=8, single_lined=True)
    found, likely = sample_orbits(velocities, PERIODS, samples=512, seed=1)
    row = summarise_orbits(found, likely, velocities)
    assert (row["multiplicity"], row["n_pairs"], row["mass_ratio"]) == ("SB1", 0, None)
    assert row["period"] == pytest.approx(binary.orbits.period[0, 0], rel=1e-3)
    k = amplitudes(binary)[0]
    assert abs(row["semi_amplitude_1"] - k) < 4 * row["semi_amplitude_1_err"] < 12
    e, period = row["eccentricity"], row["period"]
    assert row["mass_function"] == pytest.approx(
        MASS * (1 - e**2) ** 1.5 * row["semi_amplitude_1"] ** 3 * period
    )


def test_two_nights_leave_many_periods_the_true_one_among_them():
    binary, velocities = observe(5, nights=2)
    found, likely = sample_orbits(velocities, PERIODS, samples=1024, seed=3)
    row = summarise_orbits(found, likely, velocities)
    assert row["period_probability"] < 0.5
    true = binary.orbits.period[0, 0]
    low, high = np.percentile(found.period, (2.5, 97.5))
    assert low < true < high


def test_it_does_not_matter_which_velocity_is_called_first_where_stars_are_alike(double):
    # Equal light: only the orbit tells the stars apart.
    _, velocities, (other, _) = double
    dark = np.full(len(velocities.time), np.nan)
    blind = Velocities(velocities.time, velocities.rv, velocities.rv_err, dark, dark)
    found, likely = sample_orbits(blind, PERIODS, samples=256, seed=1)
    row = summarise_orbits(found, likely, blind)
    assert row["period"] == pytest.approx(np.median(other.period), rel=1e-3)
    assert row["semi_amplitude_1"] <= row["semi_amplitude_2"]


def test_exposures_of_one_night_tell_no_period():
    _, velocities = observe(5, nights=2)
    night = velocities.time < velocities.time[0] + 0.5
    one = Velocities(*(np.concatenate([getattr(velocities, name)[night]] * 2) for name in vars(velocities)))
    found, likely = sample_orbits(one, PERIODS, samples=256, seed=1)
    assert summarise_orbits(found, likely, one)["period_probability"] < 0.5


def test_velocities_without_an_error_are_refused():
    _, velocities = observe(5, nights=2)
    for wrong in (np.nan, 0.0):
        errors = velocities.rv_err.copy()
        errors[0, 0] = wrong
        with pytest.raises(ValueError, match="an error is not above 0"):
            sample_orbits(replace(velocities, rv_err=errors), PERIODS, samples=64, seed=1)


def test_chi2_tells_that_the_model_is_wrong(double):
    _, velocities, found = double
    wrong = velocities.rv.copy()
    wrong[np.flatnonzero(velocities.paired)[:2]] += 40.0
    row = summarise_orbits(*found, replace(velocities, rv=wrong))
    assert row["chi2"] > 50 * row["dof"]


def nights_of(period, eccentricity, amplitudes, *, nights, span, seed):
    """Velocities of two stars, errors of 1 km/s, three exposures a night; of blends, the mean by light."""
    rng = np.random.default_rng(seed)
    time = night_times(rng, nights, 3, span)
    f = radial_velocities(time, period, eccentricity, rng.uniform(0, 2 * np.pi), rng.uniform(0, period))
    both, light = 20.0 + f[:, None] * np.array([1.0, -1.0]) * amplitudes, np.array([0.55, 0.45])
    order = np.argsort(both, axis=1)
    rv = np.take_along_axis(both, order, axis=1)
    apart = rv[:, 1] - rv[:, 0] > 45.0
    rv[~apart] = np.stack([both @ light, np.full(len(time), np.nan)], axis=1)[~apart]
    rv += rng.normal(0.0, 1.0, rv.shape)
    excess = np.where(apart, np.diff(light[order], axis=1)[:, 0] + rng.normal(0.0, 0.1, len(time)), np.nan)
    return Velocities(time, rv, np.where(np.isfinite(rv), 1.0, np.nan), excess, np.where(apart, 0.1, np.nan))


@pytest.mark.slow
def test_a_narrow_period_among_thousands_is_found():
    velocities = nights_of(1.1, 0.0, (110.0, 140.0), nights=4, span=1500, seed=10)
    row = summarise_orbits(*sample_orbits(velocities, PERIODS, samples=512, seed=0), velocities)
    assert row["period"] == pytest.approx(1.1, rel=1e-3)
    assert row["period_probability"] > 0.9


@pytest.mark.slow
def test_seeds_agree_about_periods_that_fit_equally_well():
    velocities = nights_of(3.3, 0.2, (80.0, 90.0), nights=4, span=400, seed=2)
    width = 4 / (2 * np.pi * np.ptp(velocities.time))
    share = [
        np.mean(
            np.abs(1 / sample_orbits(velocities, PERIODS, samples=1024, seed=seed)[0].period - 1 / 3.3)
            < width
        )
        for seed in (1, 2)
    ]
    assert min(share) > 0.1
    assert abs(share[0] - share[1]) < 0.2


def test_equal_seeds_give_equal_samples():
    _, velocities = observe(5, nights=2)
    first, again, other = (
        sample_orbits(velocities, PERIODS, samples=64, seed=seed)[0].period for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_short_orbits_are_round_and_none_touch(double):
    rng = np.random.default_rng(1)
    data = orbits._pack(double[1], 58_200.0)
    theta, _, _ = orbits._draw_prior(rng, (1 / PERIODS[1], 1 / PERIODS[0]), data, 1 << 16)
    e, period = theta[:, 1] ** 2 + theta[:, 2] ** 2, 1 / theta[:, 0]
    assert e[period < 2].max() <= 0.05
    assert 0.5 < e[period > 100].max() < 1
    assert np.isfinite(orbits._log_prior(theta, (1 / PERIODS[1], 1 / PERIODS[0]))).all()
    outside = np.array([[1 / 3000.0, 0.1, 0.1, 0.5], [0.1, 0.9, 0.4, 0.5]])
    assert (orbits._log_prior(outside, (1 / PERIODS[1], 1 / PERIODS[0])) == -np.inf).all()


def table(rows):
    names = ("rv_1", "rv_2", "rv_1_err", "rv_2_err", "light_1", "light_2", "light_1_err", "light_2_err")
    columns = {name: [row.get(name) for row in rows] for name in names}
    return pa.table(
        {
            "object_id": [row["object_id"] for row in rows],
            "spectrum_id": [f"e{i}" for i in range(len(rows))],
            "time": [float(row["time"]) for row in rows],
            **{name: pa.array(values, pa.float32()) for name, values in columns.items()},
        }
    )


def test_stars_with_few_exposures_have_no_orbit():
    light = {"light_1": 0.6, "light_2": 0.4, "light_1_err": 0.05, "light_2_err": 0.05}
    pair = {"rv_1": -50.0, "rv_2": 60.0, "rv_1_err": 1.0, "rv_2_err": 1.0, **light}
    rows = [{"object_id": "many", "time": 58000 + 3 * i, **pair} for i in range(6)]
    rows += [{"object_id": "few", "time": 58000 + 3 * i, **pair} for i in range(5)]
    stars = pa.table(
        {
            "object_id": ["few", "many"],
            "ra": [1.0, 2.0],
            "dec": [3.0, 4.0],
            "gaia_source_id": pa.array([None, 7], pa.int64()),
            "phot_g_mean_mag": pa.array([12.0, None], pa.float32()),
        }
    )
    settings = {**BINARIES["orbits"], "samples": 64, "stability": 1.0, "seed": 1}
    catalog, samples = find_orbits(table(rows), stars, **settings)
    catalog = conform(catalog, BINARIES_ORBITS)
    assert catalog["object_id"].to_pylist() == ["many"]
    assert catalog["ra"].to_pylist() == [2.0]
    assert set(samples["object_id"].to_pylist()) == {"many"}
    assert samples.num_rows == 64
    assert samples["period"].null_count == 0
    empty, none = find_orbits(table(rows[6:]), stars, **settings)
    assert conform(empty, BINARIES_ORBITS).num_rows == none.num_rows == 0
