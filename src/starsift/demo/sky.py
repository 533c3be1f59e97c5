"""A small simulated sky and how it is observed: stars of every kind, plans, fibres, exposures, velocities."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from starsift.errors import SettingsError
from starsift.sky import barycentric
from starsift.synthesis.stars import (
    COLUMNS,
    Orbits,
    Systems,
    concatenate,
    draw_binaries,
    draw_singles,
    draw_triples,
)

FIELD_RA, FIELD_DEC = 290.6, 42.4  # centre of the one field, ICRS degrees
PATCH = 1.0  # degrees between neighbouring spectrographs on the focal plane
FIRST_NIGHT = 58_625
EXPTIME = 1200.0  # s
CADENCE = 23  # minutes between the starts of two exposures
FIBERS = 250
SNR_MIN, SNR_MAX = 2.0, 220.0

# Shares of the stars. Binaries and triples are far more common here than on the sky, to have enough to score.
SHARES = {
    "single": 0.615,
    "rotator": 0.07,
    "sb2": 0.17,
    "sb3": 0.075,
    "noise": 0.03,
    "moon": 0.02,
    "crosstalk": 0.02,
}
SEPARATED = 0.8  # share of binaries and triples whose lines are well apart in the first exposure
REPEATED = 0.32  # share of stars that a second plan observes too
# Nights between two visits of the time-domain plan, and Gaia G of its stars.
NIGHTS_APART, FOLLOWED_MAG = (4, 24), (9.5, 12.5)
BAD_FIBER, BAD_BLUE = 0.02, 0.015  # shares of visits and of exposures with a failure
# Share of a contaminated fibre's light that is not its star's.
MOONLIGHT, CROSSTALK = (0.4, 0.65), (0.9, 0.97)


@dataclass(frozen=True)
class Plan:
    """A plan on one night: name, local modified Julian day, the minutes at which its exposures start."""

    planid: str
    lmjd: int
    lmjm: tuple[int, ...]
    depth: float  # S/N relative to the mean night


@dataclass(frozen=True)
class Sky:
    """Stars, one row each; components padded to three, with radius 0 where absent."""

    kind: np.ndarray  # (n,) str: single, rotator, sb2, sb3, noise, moon or crosstalk
    systems: Systems  # parameters (n, 3); `rv` holds the constant velocities of stars without orbits
    # by group, which stars (m,) move, and how
    orbits: dict[str, tuple[np.ndarray, Orbits]]
    n_components: np.ndarray  # (n,) int: stars in the system; 0 for noise
    # ra, dec, g_mag: (n,) float64, ICRS degrees, Gaia G magnitude
    ra: np.ndarray
    dec: np.ndarray
    g_mag: np.ndarray
    gaia: np.ndarray  # (n,) int64: made-up, unique Gaia source identifiers
    # (n,) int, row of the star whose light leaks into this one's fibre (crosstalk), else -1
    partner: np.ndarray
    contamination: np.ndarray  # (n,) float64: share of the light that is moonlight or cross-talk
    # plan, spid: (n,) int, home plan and spectrograph
    plan: np.ndarray
    spid: np.ndarray
    second_plan: np.ndarray  # (n,) int: the other plan that observes the star, or -1

    def velocities(self, star: np.ndarray, time: np.ndarray) -> np.ndarray:
        """Heliocentric velocities (m, 3), km/s, of stars (rows, (m,)) at times (m,), MJD."""
        rv = self.systems.rv[star]
        for rows, orbits in self.orbits.values():
            local = np.full(len(self.kind), -1)
            local[rows] = np.arange(len(rows))
            at = np.flatnonzero(local[star] >= 0)
            rv[at, : orbits.mass.shape[1]] = orbits.take(local[star[at]]).velocities(time[at])
        return rv

    def periods(self, star: np.ndarray) -> list[np.ndarray]:
        """Orbital periods, days, of stars (rows, (m,)): a list each, empty where there is no orbit."""
        known = {
            int(row): period.astype(np.float32)
            for rows, orbits in self.orbits.values()
            for row, period in zip(rows, orbits.period, strict=True)
        }
        return [known.get(int(row), np.zeros(0, np.float32)) for row in star]


def _make_plan(rng: np.random.Generator, survey: str, number: int, lmjd: int, exposures: int) -> Plan:
    """A plan of the field; exposures start after local midnight, so the day does not change."""
    hours, minutes = divmod(FIELD_RA * 4, 60)
    name = f"{int(hours):02d}{int(minutes):02d}00N{int(FIELD_DEC):02d}{round(FIELD_DEC % 1 * 60):02d}00"
    start = lmjd * 1440 + int(rng.integers(30, 120))
    lmjm = tuple(start + CADENCE * e for e in range(exposures))
    letter = {"TD": "K", "NT": "M"}[survey]
    return Plan(f"{survey}{name}{letter}{number + 1:02d}", lmjd, lmjm, float(rng.uniform(0.85, 1.2)))


def make_plans(rng: np.random.Generator, n_plans: int, exposures: int) -> list[Plan]:
    """Plans on nights a few weeks apart."""
    plans = []
    lmjd = FIRST_NIGHT
    for i in range(n_plans):
        plans.append(_make_plan(rng, "NT" if i % 2 else "TD", i, lmjd, exposures))
        lmjd += int(rng.integers(17, 40))
    return plans


def make_nights(rng: np.random.Generator, first: int, n_nights: int, exposures: int) -> list[Plan]:
    """Plans, from number `first` on, that observe the same stars on nights spread over a season."""
    lmjd = FIRST_NIGHT + np.cumsum(rng.integers(*NIGHTS_APART, n_nights, endpoint=True))
    return [_make_plan(rng, "TD", first + i, int(night), exposures) for i, night in enumerate(lmjd)]


def utc_mid(lmjm: np.ndarray) -> np.ndarray:
    """Middle of an exposure, UTC modified Julian date, from the local minute at which it starts."""
    return barycentric.mid_exposure(lmjm, EXPTIME)


def expected_snr(g_mag: np.ndarray) -> np.ndarray:
    """S/N a pixel of a 20-minute exposure: the trend of LAMOST-MRS (Li et al. 2023, Figure 1, Table 3)."""
    return 32.0 * 10 ** (-0.25 * (g_mag - 12.5))


def _counts(n_stars: int) -> dict[str, int]:
    """Stars of each kind; rounding is paid by the singles."""
    counts = {kind: round(share * n_stars) for kind, share in SHARES.items() if kind != "single"}
    counts["crosstalk"] = min(counts["crosstalk"], counts["sb2"] // 2)
    return {"single": n_stars - sum(counts.values())} | counts


def _padded(systems: Systems) -> dict[str, np.ndarray]:
    width = 3 - systems.n_components
    return {name: np.pad(getattr(systems, name), ((0, 0), (0, width))) for name in COLUMNS}


def _binaries(rng: np.random.Generator, n: int) -> Systems:
    return _moving(lambda wide, m: draw_binaries(rng, m, (60.0, 250.0) if wide else None), n, SEPARATED)


def _moving(draw: Callable[[bool, int], Systems], n: int, wide: float) -> Systems:
    """Systems with orbits: a share `wide` with well-separated lines at epoch 0, the rest as they come."""
    first = draw(True, round(wide * n))
    second = draw(False, n - first.n)
    return concatenate([part for part in (first, second) if part.n] or [first])


def _magnitudes(rng: np.random.Generator, kind: np.ndarray) -> np.ndarray:
    """Gaia G of each star: more faint ones than bright ones, except among the multiple stars."""
    multiple = np.isin(kind, ["sb2", "sb3"])
    g_mag = 9.3 + 6.4 * rng.beta(np.where(multiple, 1.7, 2.2), 1.9)
    ranges = {"noise": (14.8, 15.6), "moon": (12.8, 14.0), "crosstalk": (13.2, 14.2)}
    for name, (low, high) in ranges.items():
        of_kind = kind == name
        g_mag[of_kind] = rng.uniform(low, high, of_kind.sum())
    return g_mag


def draw_sky(rng: np.random.Generator, plans: list[Plan], spectrographs: list[int], n_stars: int) -> Sky:
    """Stars of all kinds, and which plan and spectrograph observes them."""
    counts = _counts(n_stars)
    kind = np.repeat(list(counts), list(counts.values()))
    draws = {
        "single": lambda n: draw_singles(rng, n),
        "rotator": lambda n: draw_singles(rng, n, giant_fraction=0.0, rotator_fraction=1.0),
        "sb2": lambda n: _binaries(rng, n),
        "sb3": lambda n: _moving(
            lambda wide, m: draw_triples(rng, m, delta_rv=(60.0, 250.0) if wide else None), n, SEPARATED
        ),
    }
    parts = {name: draws.get(name, draws["single"])(count) for name, count in counts.items()}
    padded = [_padded(part) for part in parts.values()]
    systems = Systems(**{name: np.concatenate([p[name] for p in padded]) for name in COLUMNS}, orbits=None)
    first = np.cumsum([0, *counts.values()])
    rows = {name: np.arange(first[i], first[i + 1]) for i, name in enumerate(counts)}

    # A plain star with lines of a single hot-enough rotator is still one star; only its label differs.
    fast = (kind == "single") & (systems.vsini[:, 0] >= 30)
    kind = np.where(fast, "rotator", kind).astype(kind.dtype)

    plan = rng.permutation(n_stars) % len(plans)
    spid = np.asarray(spectrographs)[rng.permutation(n_stars) % len(spectrographs)]
    second = np.full(n_stars, -1)
    if len(plans) > 1:
        again = rng.random(n_stars) < REPEATED
        second[again] = (plan[again] + rng.integers(1, len(plans), again.sum())) % len(plans)
    partner = np.full(n_stars, -1)
    # The first binaries have separated lines. Those of similar, line-rich stars leak into other fibres:
    # others look like single stars there.
    separated = rows["sb2"][: round(SEPARATED * counts["sb2"])]
    mass, teff, feh = (getattr(systems, name)[separated] for name in ("mass", "teff", "feh"))
    poor = (mass[:, 1] < 0.75 * mass[:, 0]) | (teff[:, 0] > 6700) | (feh[:, 0] < -0.6)
    donors = separated[np.argsort(poor, kind="stable")][: counts["crosstalk"]]
    victims = rows["crosstalk"]
    partner[victims] = donors
    plan[victims], spid[victims] = plan[donors], spid[donors]
    second[victims] = second[donors] = -1

    epoch = np.array([utc_mid(np.array(p.lmjm))[0] for p in plans])[plan]
    orbits = {}
    for name in ("sb2", "sb3"):
        elements = parts[name].orbits
        assert elements is not None
        # The draw was for time 0; that moment becomes the star's first exposure.
        moved = replace(elements, periastron=elements.periastron + epoch[rows[name], None])
        orbits[name] = (rows[name], moved)

    g_mag = _magnitudes(rng, kind)
    g_mag[donors] = rng.uniform(10.3, 11.6, len(donors))
    contamination = np.zeros(n_stars)
    contamination[rows["moon"]] = rng.uniform(*MOONLIGHT, counts["moon"])
    contamination[victims] = rng.uniform(*CROSSTALK, len(victims))
    ra, dec = _positions(rng, spid)
    n_components = (systems.radius > 0).sum(axis=1)
    n_components[kind == "noise"] = 0
    # Moonlight matters where it does not hide under the star's own lines.
    moon = rows["moon"]
    sun = barycentric.correction(ra[moon], dec[moon], epoch[moon])
    rv = systems.rv.copy()
    rv[moon, 0] = sun + rng.choice([-1, 1], len(moon)) * rng.uniform(75, 160, len(moon))
    return Sky(
        kind,
        replace(systems, rv=rv),
        orbits,
        n_components,
        ra,
        dec,
        g_mag,
        _identifiers(rng, np.arange(n_stars)),
        partner,
        contamination,
        plan,
        spid,
        second,
    )


def _positions(rng: np.random.Generator, spid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Right ascension and declination of stars (n,) on the patches of their spectrographs."""
    patch = spid - 1
    east = (patch % 4 - 1.5) * PATCH + rng.uniform(-0.45, 0.45, spid.size)
    dec = FIELD_DEC + (patch // 4 - 1.5) * PATCH + rng.uniform(-0.45, 0.45, spid.size)
    return FIELD_RA + east / np.cos(np.radians(dec)), dec


def _identifiers(rng: np.random.Generator, row: np.ndarray) -> np.ndarray:
    """One leading digit group for all, then the row: unique whatever the random part is."""
    return 2_000_000_000_000_000_000 + row * 1_000_000_000 + rng.integers(0, 1_000_000_000, row.size)


def add_binaries(rng: np.random.Generator, sky: Sky, n: int, plan: int, spid: int, epoch: float) -> Sky:
    """The sky with n bright binaries more, at home in a plan and spectrograph.

    Lines are well apart at `epoch` (MJD) in as many of them as of other binaries.
    """
    drawn = _binaries(rng, n)
    assert drawn.orbits is not None
    row = len(sky.kind) + np.arange(n)
    ra, dec = _positions(rng, np.full(n, spid))
    orbits = replace(drawn.orbits, periastron=drawn.orbits.periastron + epoch)
    more = {
        "kind": np.full(n, "sb2"),
        "n_components": np.full(n, 2),
        "ra": ra,
        "dec": dec,
        "g_mag": rng.uniform(*FOLLOWED_MAG, n),
        "gaia": _identifiers(rng, row),
        "partner": np.full(n, -1),
        "contamination": np.zeros(n),
        "plan": np.full(n, plan),
        "spid": np.full(n, spid),
        "second_plan": np.full(n, -1),
    }
    return replace(
        sky,
        systems=concatenate([sky.systems, Systems(**_padded(drawn), orbits=None)]),
        orbits=sky.orbits | {"followed": (row, orbits)},
        **{name: np.concatenate([getattr(sky, name), values]) for name, values in more.items()},
    )


def assign_fibers(rng: np.random.Generator, sky: Sky, plan: int, spid: int) -> tuple[np.ndarray, np.ndarray]:
    """Stars that a plan observes with a spectrograph, and their fibres, in the order of fibres.

    Cross-talk victims get the fibre next to their partner's; the others any free one. Raises SettingsError if
    there are more stars than fibres.
    """
    stars = np.flatnonzero(((sky.plan == plan) | (sky.second_plan == plan)) & (sky.spid == spid))
    if len(stars) > FIBERS:
        raise SettingsError(
            f"{len(stars)} stars fall on one spectrograph of {FIBERS} fibres: use fewer stars, or "
            "more plans or spectrographs"
        )
    pairs = [(int(sky.partner[s]), int(s)) for s in stars if sky.partner[s] >= 0]
    order = rng.permutation(FIBERS // 2) * 2 + 1
    fiber: dict[int, int] = {}
    for (donor, victim), first in zip(pairs, order, strict=False):
        fiber[donor], fiber[victim] = int(first), int(first) + 1
    free = rng.permutation(np.setdiff1d(np.arange(1, FIBERS + 1), list(fiber.values())))
    rest = [int(s) for s in stars if int(s) not in fiber]
    fiber |= dict(zip(rest, free.tolist(), strict=False))
    fibers = np.array([fiber[int(s)] for s in stars], dtype=np.int64)
    order = np.argsort(fibers)
    return stars[order], fibers[order]
