"""The catalogue of orbits, from the velocities of all stars."""

import zlib
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from starsift.parallel import map_chunks
from starsift.searches.binaries.orbits import (
    ONE_PERIOD,
    Orbits,
    Velocities,
    light_shares,
    radial_velocities,
    sample_orbits,
    velocity_variance,
)

LIGHT_ERROR = 0.1  # of shares of the light: wrong templates
MASS = 1.036149e-7  # solar masses, of (km/s)**3 days: 1 / (2 pi G), IAU 2015 nominal solar mass parameter
WIDEST = 0.2  # share of a frequency, within which periods count as one at most
NIGHT = 0.3  # days without an exposure, between two nights
SAMPLED = ("period", "eccentricity", "arg_periastron", "t_periastron", "systemic_velocity")
AMPLITUDES = ("semi_amplitude_1", "semi_amplitude_2")


def find_orbits(
    velocities: pa.Table,
    stars: pa.Table,
    *,
    exposures: int,
    period: Sequence[float],
    samples: int,
    stability: float,
    seed: int,
) -> tuple[pa.Table, pa.Table]:
    """Orbits of the stars that have enough exposures.

    Parameters
    ----------
    velocities : from `catalog.collect_velocities`
    stars : object_id, ra, dec, gaia_source_id, phot_g_mean_mag of all of them
    exposures : with a velocity, that a star needs
    period, samples : see `sample_orbits`
    stability : km/s, added to the errors in quadrature

    Returns the catalogue, columns as in `BINARIES_ORBITS`, and the samples of the posteriors, with object_id
    and `SAMPLED` and `AMPLITUDES` in the same units.
    """
    name = velocities["object_id"].combine_chunks().dictionary_encode()
    names, index = name.dictionary.to_pylist(), name.indices.to_numpy()
    enough = np.flatnonzero(np.bincount(index, minlength=len(names)) >= exposures)
    order = np.argsort(index, kind="stable")
    first, last = (np.searchsorted(index[order], enough, side=side) for side in ("left", "right"))
    columns = {
        key: velocities[key].to_numpy().astype(np.float64)
        for key in velocities.column_names
        if key not in ("object_id", "spectrum_id")
    }

    def one(part: slice) -> tuple[dict[str, object], pa.Table]:
        at, star = order[first[part.start] : last[part.start]], names[enough[part.start]]
        found = _velocities({key: values[at] for key, values in columns.items()}, stability)
        start = [seed, zlib.crc32(star.encode())]
        orbits, likely = sample_orbits(found, period, samples=samples, seed=start)
        return {"object_id": star, **summarise_orbits(orbits, likely, found)}, _samples(star, orbits)

    parts = map_chunks(one, len(enough), 1)
    catalog = pa.Table.from_pylist([row for row, _ in parts], _SUMMARY)
    drawn = pa.concat_tables([_SAMPLES.empty_table(), *(table for _, table in parts)])
    return catalog.join(stars, "object_id", join_type="left outer").sort_by("object_id"), drawn


def summarise_orbits(orbits: Orbits, likely: Orbits, velocities: Velocities) -> dict[str, object]:
    """The most probable period, and the elements that samples of this period have.

    Periods count as one where they differ by less than 4 radians of phase over the time span (Price-Whelan
    et al. 2020, ApJ 895, 2, section 4) and by less than 20 %; `period_probability` is the share of samples
    with the one of which there are most. Elements are those of its sample of the highest posterior density,
    with the most likely amplitudes; errors are half the range that 68 % of its samples span, scaled with the
    reduced chi-square where that is above 1. They hold if the period is the right one.
    """
    span = float(np.ptp(velocities.time))
    frequency = 1.0 / orbits.period
    ordered = np.sort(frequency)
    width = np.minimum(ONE_PERIOD / (2 * np.pi * max(span, 1e-9)), WIDEST * ordered)
    number = np.searchsorted(ordered, ordered + width, side="right") - np.arange(len(ordered))
    low, high = ordered[number.argmax()], (ordered + width)[number.argmax()]
    inside = np.flatnonzero((frequency >= low) & (frequency <= high))
    best = int(inside[orbits.log_posterior[inside].argmax()])

    paired = velocities.paired
    double = bool(paired.any())
    central = {key: float(values[best]) for key, values in _derived(likely).items()}
    chi2, dof = _chi2(likely, best, velocities), int(np.isfinite(velocities.rv).sum()) - (7 if double else 6)
    scale = np.sqrt(max(1.0, chi2 / dof)) if dof > 0 else 1.0
    row: dict[str, object] = {
        "multiplicity": "SB2" if double else "SB1",
        "n_velocities": len(paired),
        "n_pairs": int(paired.sum()),
        "n_nights": 1 + int((np.diff(np.sort(velocities.time)) > NIGHT).sum()),
        "time_span": span,
        "period_probability": len(inside) / len(frequency),
        "chi2": chi2,
        "dof": dof,
    }
    turns = {"arg_periastron": 360.0, "t_periastron": central["period"]}
    for key, values in _derived(orbits).items():
        away = values[inside] - central[key]
        if key in turns:  # angles and times of periastron repeat
            away -= np.round(away / turns[key]) * turns[key]
        row[key] = central[key]
        row[f"{key}_err"] = scale * float(np.ptp(np.percentile(away, (16, 84)))) / 2
    return {key: None if value != value else value for key, value in row.items()}


def _velocities(columns: dict[str, np.ndarray], stability: float) -> Velocities:
    rv, rv_err, light, light_err = (
        np.stack([columns[key.format(i)] for i in (1, 2)], axis=1)
        for key in ("rv_{}", "rv_{}_err", "light_{}", "light_{}_err")
    )
    excess_err = np.hypot(light_err.sum(axis=1), LIGHT_ERROR)
    return Velocities(columns["time"], rv, np.hypot(rv_err, stability), light[:, 1] - light[:, 0], excess_err)


def _elements(orbits: Orbits) -> dict[str, np.ndarray]:
    values = (orbits.period, orbits.eccentricity, np.degrees(orbits.omega), orbits.periastron)
    names = (*SAMPLED, *AMPLITUDES)
    return dict(zip(names, (*values, orbits.systemic, orbits.k1, orbits.k2), strict=True))


def _derived(orbits: Orbits) -> dict[str, np.ndarray]:
    """All elements, with masses."""
    double = np.isfinite(orbits.k2)
    total = orbits.k1 + np.where(double, orbits.k2, 0.0)
    scale = MASS * np.sqrt(1 - orbits.eccentricity**2) ** 3 * total**2 * orbits.period
    return {
        **_elements(orbits),
        "mass_ratio": orbits.k1 / orbits.k2,
        "m1_sin3i": scale * orbits.k2,
        "m2_sin3i": np.where(double, scale * orbits.k1, np.nan),
        "mass_function": np.where(double, np.nan, scale * orbits.k1),
    }


def _samples(star: str, orbits: Orbits) -> pa.Table:
    elements = {key: pa.array(values, from_pandas=True) for key, values in _elements(orbits).items()}
    return pa.table({"object_id": [star] * len(orbits.period), **elements}, _SAMPLES)


def _chi2(orbits: Orbits, i: int, velocities: Velocities) -> float:
    """Of all velocities; that of two blended stars is the mean by light."""
    f = radial_velocities(
        velocities.time, orbits.period[i], orbits.eccentricity[i], orbits.omega[i], orbits.periastron[i]
    )
    share, variance = light_shares(velocities), velocity_variance(velocities)
    both = np.stack([orbits.k1[i] * f, -np.nan_to_num(orbits.k2[i]) * f], axis=1)
    expected = np.where(velocities.paired[:, None], np.sort(both, axis=1), (both @ share)[:, None])
    return float(np.nansum((velocities.rv - orbits.systemic[i] - expected) ** 2 / variance))


_KEYS = (*SAMPLED, *AMPLITUDES, "mass_ratio", "m1_sin3i", "m2_sin3i", "mass_function")
_SAMPLES = pa.schema([("object_id", pa.string()), *((key, pa.float64()) for key in (*SAMPLED, *AMPLITUDES))])
_SUMMARY = pa.schema(
    [
        ("object_id", pa.string()),
        ("multiplicity", pa.string()),
        ("n_velocities", pa.int32()),
        ("n_pairs", pa.int32()),
        ("n_nights", pa.int32()),
        ("time_span", pa.float64()),
        ("period_probability", pa.float64()),
        ("chi2", pa.float64()),
        ("dof", pa.int32()),
        *((name, pa.float64()) for key in _KEYS for name in (key, f"{key}_err")),
    ]
)
