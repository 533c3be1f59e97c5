"""The sky of a simulated low-resolution survey: sources of every class, their places and motions.

M dwarfs and giants are drawn in numbers that a search can be scored with, the other classes in numbers that a
search has to cope with. Magnitude, distance, dust, population, activity and space motion of a star belong
together: what Gaia, 2MASS and WISE would say of it follows from them.
"""

import csv
from dataclasses import dataclass
from pathlib import Path

import astropy.units as u
import numpy as np
import pyarrow as pa
from astropy.coordinates import CartesianDifferential, CartesianRepresentation, Galactic, SkyCoord

from starsift.demo.sky import PATCH, Plan
from starsift.errors import SettingsError
from starsift.synthesis.bands import M0, SHIPPED, type_names

# km/s towards the centre, the rotation, the north (Guo et al. 2019, section 4.2)
SOLAR_MOTION = (10.0, 5.0, 7.0)
SUN_HEIGHT = 20.8  # pc above the plane (Bennett & Bovy 2019, MNRAS 482, 1417)
# Heights in pc, local densities of thick disc and halo against the thin one: Juric et al. 2008, ApJ 673, 864.
# The halo is no exponential, but that length serves up to some 10 kpc.
SCALE_HEIGHT = {"thin": 300.0, "thick": 900.0, "halo": 4000.0}
LOCAL_SHARE = {"thin": 1.0, "thick": 0.12, "halo": 0.005}
# Dispersions in U, V, W and the lag in V, km/s: Bensby et al. 2003, A&A 410, 527, Table 1. Active stars are
# young; their ellipsoid is the thin disc's, scaled.
ELLIPSOIDS = {
    "active": (22.0, 12.0, 9.0, -5.0),
    "thin": (35.0, 20.0, 16.0, -15.0),
    "thick": (67.0, 38.0, 35.0, -46.0),
    "halo": (160.0, 90.0, 90.0, -220.0),
}
# Centres of the fields, ICRS degrees; two plans look at each.
FIELDS = (
    (120.0, 22.0),
    (185.0, 30.0),
    (88.0, 26.0),
    (215.0, 35.0),
    (15.0, 25.0),
    (250.0, 40.0),
    (335.0, 8.0),
)
FIRST_NIGHT = 56_300
FIBERS = 250
BRIGHT = (20.0, 200.0)  # signal-to-noise ratios of the spectra of shallow plates

# Shares of the classes among released spectra and among UNKNOWN ones.
RELEASED = {
    "dwarf": 0.42,
    "giant": 0.13,
    "star": 0.33,
    "white_dwarf": 0.02,
    "carbon": 0.01,
    "galaxy": 0.05,
    "quasar": 0.04,
}
UNKNOWN = {
    "dwarf": 0.073,
    "giant": 0.017,
    "star": 0.38,
    "white_dwarf": 0.02,
    "carbon": 0.01,
    "galaxy": 0.12,
    "quasar": 0.08,
    "junk": 0.20,
    "empty": 0.10,
}
STELLAR = ("dwarf", "giant", "star", "white_dwarf", "carbon")
# Shares of M0 to M9. A survey limited in magnitude sees few late dwarfs: of the 5336 M dwarfs in the positive
# sample of Guo et al. (2019, Table 1), which favours rare kinds, 47 % are M0 and 0.5 % later than M5; of the
# M stars that they found among UNKNOWN spectra 5.0 % are later than M5, giants among them (section 3.6). Of
# released dwarfs types from M4 on are two to three times as frequent here as in Table 1, to learn from.
DWARF_SUBTYPES = {
    "released": (0.39, 0.19, 0.20, 0.16, 0.04, 0.01, 0.006, 0.002, 0.001, 0.001),
    "unknown": (0.355, 0.18, 0.18, 0.15, 0.07, 0.03, 0.018, 0.008, 0.006, 0.003),
}
GIANT_SUBTYPES = (0.36, 0.13, 0.14, 0.09, 0.10, 0.05, 0.06, 0.04, 0.02, 0.01)  # Table 1, rounded
# Mean metallicities. The halo's M giants are those of its young and metal-rich streams: old giants below -1
# are too hot for type M (Majewski et al. 2003, ApJ 599, 1082).
MEAN_FEH = {"active": 0.0, "thin": -0.1, "thick": -0.5, "halo": -1.4, "": 0.0}
HALO_GIANT_FEH, LOWEST_GIANT_FEH = -0.7, -1.0
# Subtype, share of active dwarfs in the plane, scale height of that share (pc): the trend of West et al. 2008
# (AJ 135, 785), Figure 3 (activity grows to M7 and falls with height, later types more slowly), by eye.
ACTIVITY = np.array(
    [(0, 0.08, 120), (3, 0.20, 170), (5, 0.50, 230), (7, 0.80, 300), (9, 0.85, 350)], dtype=float
)
DUST_HEIGHT, DUST_MAG_KPC = 100.0, 0.7  # pc; visual magnitudes a kpc in the plane
BAND_EXTINCTION = np.array([0.80, 0.28, 0.18, 0.11, 0.06, 0.05])  # G, J, H, Ks, W1, W2 over visual
BANDS = ("phot_g_mean_mag", "j", "h", "k", "w1", "w2")
# Typical errors of Gaia DR2: G, parallax (mas), proper motion (mas/yr); Gaia Collaboration et al. 2018
# (A&A 616, A1), Table 3.
GAIA_ERRORS = np.array([(15.0, 0.04, 0.06), (17.0, 0.1, 0.2), (20.0, 0.7, 1.2), (22.0, 2.0, 3.5)])

GAIA_COLUMNS = {
    "gaia_source_id": (pa.int64(), ""),
    "ra": (pa.float64(), "deg"),
    "dec": (pa.float64(), "deg"),
    "phot_g_mean_mag": (pa.float32(), "mag"),
    "parallax": (pa.float32(), "mas"),
    "parallax_error": (pa.float32(), "mas"),
    "pmra": (pa.float32(), "mas/yr"),
    "pmra_error": (pa.float32(), "mas/yr"),
    "pmdec": (pa.float32(), "mas/yr"),
    "pmdec_error": (pa.float32(), "mas/yr"),
    "j": (pa.float32(), "mag"),
    "h": (pa.float32(), "mag"),
    "k": (pa.float32(), "mag"),
    "w1": (pa.float32(), "mag"),
    "w2": (pa.float32(), "mag"),
}


@dataclass(frozen=True)
class Field:
    """A centre on the sky (ICRS degrees) and the plans (numbers) that observe it."""

    ra: float
    dec: float
    plans: tuple[int, ...]


@dataclass(frozen=True)
class Sources:
    """n sources, one row each; NaN where a column does not apply."""

    group: np.ndarray  # (n,) str: released or unknown
    # (n,) str, dwarf or giant (both M), star (A to K), white_dwarf, carbon, galaxy, quasar, junk, empty
    kind: np.ndarray
    # (n,) float64, signal-to-noise ratio of the (first) spectrum, median a pixel in the r band
    snr: np.ndarray
    number: np.ndarray  # (n,) float64: spectral type of dwarfs, giants and stars (`bands`)
    # (n,) float64, temperature of white dwarfs and carbon stars (K), redshift of galaxies and quasars
    parameter: np.ndarray
    # feh, ewha: (n,) float64, metallicity, dex, and H-alpha emission of active M dwarfs, Angstrom, 0 for
    # others
    feh: np.ndarray
    ewha: np.ndarray
    population: np.ndarray  # (n,) str: active, thin, thick or halo; empty unless a star
    # field, spid: (n,) int
    field: np.ndarray
    spid: np.ndarray
    # ra, dec: (n,) float64, ICRS degrees
    ra: np.ndarray
    dec: np.ndarray
    # distance, extinction: (n,) float64, pc; visual magnitudes
    distance: np.ndarray
    extinction: np.ndarray
    # (n, 3) float64, U, V, W with respect to the local standard of rest, km/s; U towards the centre
    velocity: np.ndarray
    rv: np.ndarray  # (n,) float64: heliocentric, km/s; c z for galaxies and quasars
    # parallax, pmra, pmdec: (n,) float64, true ones, mas and mas/yr; pmra includes cos(dec)
    parallax: np.ndarray
    pmra: np.ndarray
    pmdec: np.ndarray
    magnitude: np.ndarray  # (n, 6) float64: Gaia G, 2MASS J, H, Ks, WISE W1, W2, with dust
    m_g: np.ndarray  # (n,) float64: absolute G magnitude
    gaia: np.ndarray  # (n,) int64: made-up, unique identifiers

    @property
    def n(self) -> int:
        """Number of sources."""
        return len(self.kind)

    @property
    def is_m(self) -> np.ndarray:
        """M dwarfs and giants (n,) bool."""
        return np.isin(self.kind, ("dwarf", "giant"))


def make_plans(rng: np.random.Generator, n_plans: int) -> tuple[list[Plan], list[Field]]:
    """Plans on nights a few weeks apart, and their fields: two successive plans share one."""
    fields, plans = [], []
    lmjd = FIRST_NIGHT
    for i in range(n_plans):
        if i % 2 == 0:
            ra, dec = FIELDS[(i // 2) % len(FIELDS)]
            pair = tuple(k for k in (i, i + 1) if k < n_plans)
            fields.append(Field(ra + rng.uniform(-1, 1), dec + rng.uniform(-1, 1), pair))
        field = fields[-1]
        hours, minutes = divmod(field.ra * 4, 60)
        name = f"HD{int(hours):02d}{int(minutes):02d}00N{int(field.dec):02d}{round(field.dec % 1 * 59):02d}00"
        start = lmjd * 1440 - 60 * int(rng.integers(1, 4))  # late in the evening of the night before
        plans.append(Plan(f"{name}{'BF'[i % 2]}{i + 1:02d}", lmjd, (start,), 1.0))
        lmjd += int(rng.integers(11, 33))
    return plans, fields


def _kinds(group: str, shares: dict[str, float], n: int) -> tuple[np.ndarray, np.ndarray]:
    """Kinds (n,) in the wanted shares; rounding is paid by the stars."""
    counts = {kind: round(share * n) for kind, share in shares.items() if kind != "star"}
    counts["star"] = max(0, n - sum(counts.values()))
    kind = np.repeat(list(counts), list(counts.values()))[:n]
    return np.full(n, group, dtype="U8"), kind


def draw_snr(rng: np.random.Generator, released: np.ndarray, bright: float = 0.0) -> np.ndarray:
    """Signal-to-noise ratios (n,): mostly 5 to 20 of released spectra, 1 to 4 of UNKNOWN ones.

    A share `bright` of the released ones has `BRIGHT` instead, uniform in the logarithm.
    """
    n = len(released)
    ratio = np.where(
        released,
        np.clip(rng.lognormal(np.log(9.0), 0.6, n), 2.0, 40.0),
        np.clip(rng.lognormal(np.log(2.1), 0.6, n), 0.5, 10.0),
    )
    if bright:
        chosen = released & (rng.random(n) < bright)
        low, high = np.log(BRIGHT)
        ratio[chosen] = np.exp(rng.uniform(low, high, chosen.sum()))
    return ratio


def _types(rng: np.random.Generator, group: np.ndarray, kind: np.ndarray) -> np.ndarray:
    """Spectral types (n,); M subtypes scatter by half a subtype around whole ones, none below M0."""
    n = len(kind)
    number = np.full(n, np.nan)
    for name, shares in DWARF_SUBTYPES.items():
        at = (kind == "dwarf") & (group == name)
        number[at] = M0 + rng.choice(10, at.sum(), p=shares)
    giant = kind == "giant"
    number[giant] = M0 + rng.choice(10, giant.sum(), p=GIANT_SUBTYPES)
    m_star = np.isin(kind, ("dwarf", "giant"))
    number[m_star] = np.clip(number[m_star] + rng.uniform(-0.5, 0.5, m_star.sum()), M0 - 0.3, M0 + 9)
    star = kind == "star"
    # From A0 to K7, half of them G and K.
    number[star] = rng.choice([0, 10, 20, 30], star.sum(), p=[0.15, 0.25, 0.3, 0.3]) + rng.uniform(
        0, 10, star.sum()
    )
    number[star & (number >= 37.5)] = 37.0
    return number


def _absolute(number: np.ndarray, giant: np.ndarray, folder: Path = SHIPPED) -> np.ndarray:
    """Absolute magnitudes (n, 6) by spectral type."""
    with (folder / "photometry.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    magnitude = np.empty((len(number), 6))
    for luminosity, chosen in (("dwarf", ~giant), ("giant", giant)):
        part = [row for row in rows if row["luminosity"] == luminosity]
        at = np.array([float(row["number"]) for row in part])
        for band, column in enumerate(("m_g", "m_j", "m_h", "m_k", "m_w1", "m_w2")):
            magnitude[chosen, band] = np.interp(number[chosen], at, [float(row[column]) for row in part])
    return magnitude


def visual_extinction(distance: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Visual extinction (n,) at distances (n,) pc, latitudes (n,) degrees: an exponential layer of dust."""
    height = np.abs(distance * np.sin(np.radians(b)))
    ratio = np.maximum(height / DUST_HEIGHT, 1e-6)
    return DUST_MAG_KPC * distance / 1000 * (1 - np.exp(-ratio)) / ratio


def _distances(modulus: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Distances (n,) pc, 5 to 60 000, at which distance and dust make up G - M_G (n,); b (n,) in degrees."""
    low, high = np.full(len(modulus), np.log10(5.0)), np.full(len(modulus), np.log10(60_000.0))
    for _ in range(40):  # dimming grows with distance: bisect
        middle = 0.5 * (low + high)
        dust = BAND_EXTINCTION[0] * visual_extinction(10**middle, b)
        near = 5 * middle - 5 + dust < modulus
        low, high = np.where(near, middle, low), np.where(near, high, middle)
    return np.asarray(10**low)


def _apparent(rng: np.random.Generator, kind: np.ndarray, snr: np.ndarray) -> np.ndarray:
    """Apparent G (n,): S/N 10 at G = 16.8, a typical plate; giants are bright whatever their S/N."""
    g_mag = 16.8 - 2.5 / 0.75 * np.log10(snr / 10) + rng.normal(0, 0.3, len(snr))
    giant = np.isin(kind, ("giant", "carbon"))
    g_mag[giant] = np.clip(g_mag[giant] - 4.5, 9.5, 14.0) + rng.uniform(-0.7, 0.7, giant.sum())
    return np.clip(g_mag, 9.0, 20.5)


def _populations(rng: np.random.Generator, height: np.ndarray, active: np.ndarray) -> np.ndarray:
    """Population (n,) of stars at heights (n,) pc above the plane."""
    density = {
        name: LOCAL_SHARE[name] * np.exp(-np.abs(height) / scale) for name, scale in SCALE_HEIGHT.items()
    }
    total = sum(density.values())
    draw = rng.random(len(height)) * total
    population = np.where(draw < density["halo"], "halo", "thick").astype("U6")
    population[draw > density["halo"] + density["thick"]] = "thin"
    population[active] = "active"
    return population


def _motion(
    ra: np.ndarray, dec: np.ndarray, distance: np.ndarray, velocity: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Radial velocity (km/s), pmra, pmdec (mas/yr) of velocities (n, 3) from the local standard of rest."""
    heliocentric = (velocity - SOLAR_MOTION) * u.km / u.s
    place = SkyCoord(ra * u.deg, dec * u.deg, distance=distance * u.pc).galactic.cartesian
    moving = Galactic(CartesianRepresentation(place.xyz, differentials=CartesianDifferential(heliocentric.T)))
    icrs = SkyCoord(moving).icrs
    return (
        icrs.radial_velocity.to_value(u.km / u.s),
        icrs.pm_ra_cosdec.to_value(u.mas / u.yr),
        icrs.pm_dec.to_value(u.mas / u.yr),
    )


def draw_sources(
    rng: np.random.Generator,
    fields: list[Field],
    spectrographs: list[int],
    n_released: int,
    n_unknown: int,
    bright: float = 0.0,
) -> Sources:
    """Sources of all classes, in random order; `bright` as in `draw_snr`."""
    parts = [_kinds("released", RELEASED, n_released), _kinds("unknown", UNKNOWN, n_unknown)]
    group, kind = (np.concatenate([part[i] for part in parts]) for i in (0, 1))
    n = len(kind)
    order = rng.permutation(n)
    group, kind = group[order], kind[order]
    ratio = draw_snr(rng, group == "released", bright)
    number = _types(rng, group, kind)
    stellar, giant = np.isin(kind, STELLAR), np.isin(kind, ("giant", "carbon"))
    parameter = np.full(n, np.nan)
    for name, low, high in (("white_dwarf", 7e3, 28e3), ("carbon", 2.9e3, 4.2e3), ("galaxy", 0.01, 0.3)):
        parameter[kind == name] = rng.uniform(low, high, (kind == name).sum())
    parameter[kind == "quasar"] = 0.2 + 2.8 * rng.beta(1.6, 1.6, (kind == "quasar").sum())

    cell = rng.permutation(n) % (len(fields) * len(spectrographs))
    field, spid = cell // len(spectrographs), np.asarray(spectrographs)[cell % len(spectrographs)]
    patch = spid - 1
    east = (patch % 4 - 1.5) * PATCH + rng.uniform(-0.48, 0.48, n)
    dec = np.array([f.dec for f in fields])[field] + (patch // 4 - 1.5) * PATCH + rng.uniform(-0.48, 0.48, n)
    ra = (np.array([f.ra for f in fields])[field] + east / np.cos(np.radians(dec))) % 360
    b = SkyCoord(ra * u.deg, dec * u.deg).galactic.b.deg

    g_mag = _apparent(rng, kind, ratio)
    absolute = _absolute(np.where(np.isnan(number), M0 + 3, number), giant)
    absolute[kind == "white_dwarf"] = 12.0 - np.array([0.0, -0.3, -0.4, -0.4, -0.5, -0.5])
    scatter = np.where(giant, 0.5, 0.25)
    absolute += (rng.normal(0, 1, n) * scatter)[:, None] + rng.normal(0, 0.015, (n, 6))
    distance = np.where(stellar, _distances(g_mag - absolute[:, 0], b), np.nan)
    extinction = np.where(stellar, visual_extinction(np.nan_to_num(distance), b), 0.0)
    height = distance * np.sin(np.radians(b)) + SUN_HEIGHT

    subtype = np.clip(np.nan_to_num(number - M0), 0, 9)
    share = np.interp(subtype, ACTIVITY[:, 0], ACTIVITY[:, 1]) * np.exp(
        -np.abs(np.nan_to_num(height)) / np.interp(subtype, ACTIVITY[:, 0], ACTIVITY[:, 2])
    )
    active = (kind == "dwarf") & (rng.random(n) < share)
    ewha = np.where(active, np.maximum(rng.lognormal(np.log(2.0 + 0.9 * subtype), 0.45), 1.8), 0.0)
    population = np.where(stellar, _populations(rng, np.nan_to_num(height), active), "")
    m_giant = kind == "giant"
    feh = np.array([MEAN_FEH[p] for p in population])
    feh[m_giant & (population == "halo")] = HALO_GIANT_FEH
    feh = np.clip(feh + rng.normal(0, 0.15, n), np.where(m_giant, LOWEST_GIANT_FEH, -1.5), 0.4)

    ellipsoid = np.array([ELLIPSOIDS.get(p, (0.0, 0.0, 0.0, 0.0)) for p in population])
    velocity = rng.normal(0, 1, (n, 3)) * ellipsoid[:, :3]
    velocity[:, 1] += ellipsoid[:, 3]
    rv, pmra, pmdec = _motion(ra, dec, np.where(stellar, distance, 100.0), velocity)
    velocity[~stellar] = np.nan
    far = np.isin(kind, ("galaxy", "quasar"))
    rv = np.where(far, 299_792.458 * parameter, np.where(stellar, rv, 0.0))
    magnitude = absolute + np.where(
        stellar[:, None],
        (5 * np.log10(np.where(stellar, distance, 10.0)) - 5)[:, None]
        + extinction[:, None] * BAND_EXTINCTION,
        0.0,
    )
    # Galaxies and quasars have colours of their own kind.
    colours = {"galaxy": (0, -1.9, -2.6, -3.0, -3.2, -3.4), "quasar": (0, -1.2, -1.9, -2.6, -3.7, -4.9)}
    for name, offset in colours.items():
        at = kind == name
        magnitude[at] = g_mag[at, None] + np.array(offset) + rng.normal(0, 0.15, (at.sum(), 6))
    magnitude[np.isin(kind, ("junk", "empty"))] = np.nan
    gaia = 1_000_000_000_000_000_000 + np.arange(n) * 1_000_000_000 + rng.integers(0, 1_000_000_000, n)
    return Sources(
        group,
        kind,
        ratio,
        number,
        parameter,
        feh,
        ewha,
        population,
        field,
        spid,
        ra,
        dec,
        distance,
        extinction,
        velocity,
        rv,
        np.where(stellar, 1000 / distance, 0.0),
        np.where(stellar, pmra, 0.0),
        np.where(stellar, pmdec, 0.0),
        magnitude,
        np.where(stellar, absolute[:, 0], np.nan),
        gaia,
    )


@dataclass(frozen=True)
class Observed:
    """Which spectra there are, n rows in the order of plan, spectrograph and fibre."""

    source: np.ndarray  # (n,) int: row of `Sources`
    # (n,) bool, whether the spectrum has a class; it may differ between two spectra of one source
    released: np.ndarray
    snr: np.ndarray  # (n,) float64
    # plan, spid, fiberid: (n,) int
    plan: np.ndarray
    spid: np.ndarray
    fiberid: np.ndarray


def observe_again(
    rng: np.random.Generator, sources: Sources, fields: list[Field], counts: dict[str, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Rows (k,) of sources that a second plan observes too, and whether that spectrum is released (k,).

    Half of the UNKNOWN ones are second spectra of stars whose first one is released.
    """
    shared = np.array([len(field.plans) == 2 for field in fields])[sources.field]
    known = sources.group == "released"
    bright = rng.permutation(np.flatnonzero(shared & known & np.isin(sources.kind, STELLAR)))
    faint = rng.permutation(np.flatnonzero(shared & ~known))
    half = counts["unknown"] // 2
    released, mixed = bright[: counts["released"]], bright[counts["released"] :][:half]
    unknown = faint[: counts["unknown"] - len(mixed)]
    rows = np.concatenate([released, mixed, unknown])
    return rows, np.arange(len(rows)) < len(released)


def assign_fibers(
    rng: np.random.Generator, plan: np.ndarray, spid: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Order (n,) of spectra by plan, spectrograph and fibre, and the fibres in this order.

    Raises SettingsError if a spectrograph has not enough fibres.
    """
    order = np.lexsort([rng.random(len(plan)), spid, plan])
    _, start, count = np.unique((plan * 100 + spid)[order], return_index=True, return_counts=True)
    if count.max(initial=0) > FIBERS:
        raise SettingsError(
            f"{count.max()} sources fall on one spectrograph of {FIBERS} fibres: use fewer spectra, or "
            "more plans or spectrographs"
        )
    fiberid = np.empty(len(plan), dtype=np.int64)
    for i, m in zip(start, count, strict=True):
        fiberid[i : i + m] = np.sort(rng.permutation(FIBERS)[:m] + 1)
    return order, fiberid


def assign_spectra(
    rng: np.random.Generator, sources: Sources, fields: list[Field], again: tuple[np.ndarray, np.ndarray]
) -> Observed:
    """Plans and fibres of one spectrum a source, and of a second one of those `again` (see `observe_again`).

    Raises SettingsError if a spectrograph has not enough fibres.
    """
    plans = np.array([(field.plans * 2)[:2] for field in fields])
    first = plans[sources.field, rng.integers(0, 2, sources.n)]
    source = np.concatenate([np.arange(sources.n), again[0]])
    plan = np.concatenate([first, plans[sources.field[again[0]]].sum(axis=1) - first[again[0]]])
    released = np.concatenate([sources.group == "released", again[1]])
    snr = np.concatenate([sources.snr, draw_snr(rng, again[1])])
    spid = sources.spid[source]
    order, fiberid = assign_fibers(rng, plan, spid)
    return Observed(source[order], released[order], snr[order], plan[order], spid[order], fiberid)


def labels(rng: np.random.Generator, sources: Sources) -> tuple[np.ndarray, np.ndarray]:
    """Class and subclass (n,) that a pipeline gives when it does; its M subtypes are off by one at times."""
    slip = np.where(rng.random(sources.n) < 0.12, rng.choice([-1, 1], sources.n), 0)
    number = np.nan_to_num(sources.number) + slip * sources.is_m
    names = type_names(np.clip(number, np.where(sources.is_m, M0, 0.0), 49))
    kind = sources.kind
    upper = np.select(
        [np.isin(kind, STELLAR), kind == "galaxy", kind == "quasar"], ["STAR", "GALAXY", "QSO"], "UNKNOWN"
    )
    subclass = np.select(
        [kind == "dwarf", kind == "giant", kind == "star", kind == "white_dwarf", kind == "carbon"],
        [np.char.add("d", names), np.char.add("g", names), names, "WD", "Carbon"],
        "Non",
    )
    return upper, subclass


def gaia_table(rng: np.random.Generator, sources: Sources) -> tuple[pa.Table, np.ndarray]:
    """What Gaia DR2, 2MASS and WISE would say, with errors; and which sources are in it (n,) bool.

    Some sources are missing, some have no parallax, faint ones no infrared magnitudes; a few unrelated stars
    lie a few arcseconds from a source.
    """
    n = sources.n
    g_mag = sources.magnitude[:, 0]
    listed = np.isfinite(g_mag) & (rng.random(n) > 0.05)
    listed &= ~((sources.kind == "galaxy") & (rng.random(n) < 0.6))
    sigma = np.interp(g_mag, GAIA_ERRORS[:, 0], np.log(GAIA_ERRORS[:, 1]))
    error = np.exp(sigma) * rng.lognormal(0, 0.15, n)
    pm_error = np.exp(np.interp(g_mag, GAIA_ERRORS[:, 0], np.log(GAIA_ERRORS[:, 2])))
    pm_error = pm_error * rng.lognormal(0, 0.15, n)
    # Catalogue positions are of 2015.5, fibres look at those of 2000; both have small errors.
    ra = sources.ra + rng.normal(0, 0.15, n) / 3600 / np.cos(np.radians(sources.dec))
    dec = sources.dec + rng.normal(0, 0.15, n) / 3600
    photometry = sources.magnitude + rng.normal(0, 1, (n, 6)) * _photometric_errors(sources.magnitude)
    columns: dict[str, np.ndarray] = {
        "ra": ra,
        "dec": dec,
        "parallax": sources.parallax + error * rng.normal(0, 1, n),
        "parallax_error": error,
        "pmra": sources.pmra + pm_error * rng.normal(0, 1, n),
        "pmra_error": pm_error,
        "pmdec": sources.pmdec + pm_error * rng.normal(0, 1, n),
        "pmdec_error": pm_error,
        **{name: photometry[:, i] for i, name in enumerate(BANDS)},
    }
    two_parameters = rng.random(n) < 0.05
    for name in ("parallax", "parallax_error", "pmra", "pmra_error", "pmdec", "pmdec_error"):
        columns[name][two_parameters] = np.nan
    limits = {"j": 16.4, "h": 15.6, "k": 15.0, "w1": 17.0, "w2": 16.0}
    for name, limit in limits.items():
        columns[name][columns[name] > limit] = np.nan
    rows = np.flatnonzero(listed)
    neighbours = rng.choice(rows, len(rows) // 40, replace=False)
    identifier = np.concatenate([sources.gaia[rows], 3_000_000_000_000_000_000 + np.arange(len(neighbours))])
    arrays = {"gaia_source_id": identifier}
    for name, values in columns.items():
        arrays[name] = np.concatenate([values[rows], _beside(rng, name, values[neighbours])])
    order = np.argsort(identifier)
    data, schema = [], []
    for name, (kind, unit) in GAIA_COLUMNS.items():
        values = arrays[name][order]
        schema.append(pa.field(name, kind, metadata={"unit": unit} if unit else None))
        data.append(pa.array(values.astype(kind.to_pandas_dtype()), kind, mask=~np.isfinite(values)))
    return pa.Table.from_arrays(data, schema=pa.schema(schema)), listed


def _photometric_errors(magnitude: np.ndarray) -> np.ndarray:
    """Errors (n, 6) of Gaia, 2MASS (0.025 mag, 0.1 at 16) and WISE (0.023, 0.1 at 16)."""
    floor = np.array([0.003, 0.025, 0.025, 0.025, 0.023, 0.021])
    faint = 0.1 * 10 ** (0.4 * (np.nan_to_num(magnitude, nan=16.0) - 16.0))
    faint[:, 0] = 0.0
    return np.sqrt(floor**2 + faint**2)


def _beside(rng: np.random.Generator, name: str, values: np.ndarray) -> np.ndarray:
    """A column of unrelated stars 6 to 12 arcseconds from given ones: fainter, and far away."""
    n = len(values)
    if name in ("ra", "dec"):
        return values + rng.choice([-1, 1], n) * rng.uniform(5, 8, n) / 3600
    if name in BANDS:
        return values + 1.5
    if name == "parallax":
        return rng.normal(0.3, 0.2, n)
    if name in ("pmra", "pmdec"):
        return rng.normal(0, 4, n)
    return values
