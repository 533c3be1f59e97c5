"""Noiseless low-resolution spectra of stars A0 to M9, white dwarfs, carbon stars, galaxies and quasars.

Stars are a black body behind absorbing features: exp(-sum of strength x depth), at R = 1800. A feature is a
band that starts at its head and decays (TiO, VO, FeH to the red; MgH, CN to the violet), a Gaussian (CaH,
CaOH and CH, whose bands have no sharp head here), an atomic line, a Lorentzian wing, or a smooth haze that
stands for all that is not listed. resources/simulate/features.csv has the features of each species,
sequence.csv beside it the strengths of the species along the dwarf sequence, README.md their sources.
Spectral types are numbers: A0 = 0, F0 = 10, G0 = 20, K0 = 30, M0 = 40; the K stars end with K7 = 37, so 38
and 39 lie between K7 and M0.
"""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter1d
from scipy.special import erf

from starsift.resources import resource
from starsift.sky.air import air_to_vacuum
from starsift.sky.constants import C_KMS
from starsift.spectra.resample import LAMOST_LRS, LogGrid
from starsift.synthesis.degrade import WINDOW, shift

SHIPPED = resource("simulate")
SIGMA_KMS = 71.0  # of the line spread function at R = 1800
M0 = 40.0
MICRON_K = 14_387.769  # second radiation constant, micrometre K
HALPHA = 6562.80  # air Angstrom

# Giants against dwarfs of the same subtype: hydrides and alkali lines are weak, TiO and the calcium triplet
# strong (Mann et al. 2012, ApJ 753, 90; the factors are ours).
GIANT_FACTORS = {
    "TiO_alpha": 1.15,
    "TiO_gamma_prime": 1.15,
    "TiO_gamma": 1.1,
    "TiO_epsilon_delta": 1.3,
    "VO": 1.3,
    "FeH": 0.0,
    "MgH": 0.25,
    "CaH": 0.25,
    "CaOH": 0.2,
    "CaI_4227": 0.4,
    "NaI_D": 0.45,
    "NaI_8190": 0.15,
    "KI": 0.35,
    "MgI_b": 0.8,
    "haze_red": 0.8,
}
GIANT_TRIPLET = 1.7  # of the calcium triplet, at all subtypes, in units of its maximum among dwarfs
# Effective temperatures of giants M0, M3, M5, M7, M8, M10: Groenewegen 2004, A&A 425, 595, Table 5.
GIANT_TEFF = np.array([(0, 3850), (3, 3550), (5, 3397), (7, 3129), (8, 2890), (10, 2500)], dtype=float)

# Strengths go as 10^(exponent x [Fe/H]): TiO and metal lines fade in subdwarfs, CaH does not, so that the
# index zeta falls. The exponents are ours, guided by the mean spectra of [Fe/H] = -1.
METALLICITY = {
    "TiO_alpha": 0.5,
    "TiO_gamma_prime": 0.4,
    "TiO_gamma": 0.4,
    "TiO_epsilon_delta": 0.4,
    "VO": 0.4,
    "CaH": -0.15,
    "MgH": -0.1,
    "CaOH": 0.1,
    "CN": 0.6,
    "CH": 0.15,
    "metals": 0.55,
    "ions": 0.4,
    "NaI_D": 0.45,
    "MgI_b": 0.35,
    "CaI_4227": 0.35,
    "CaII_triplet": 0.25,
}

# Emission of active stars: air Angstrom, and flux relative to H-alpha (rounded; they vary from star to star).
CHROMOSPHERE = (
    (HALPHA, 1.0),
    (4861.33, 0.30),
    (4340.47, 0.15),
    (4101.74, 0.10),
    (3933.66, 0.12),
    (3968.47, 0.12),
)


@dataclass(frozen=True)
class BandModel:
    """Features on one grid."""

    wavelength: np.ndarray  # (p,) float64: vacuum Angstrom, uniform in log10
    species: tuple[str, ...]  # s names
    depth: np.ndarray  # (s, p) float32: optical depth of each species at strength 1
    number: np.ndarray  # (k,) float64: spectral types of the nodes
    # (k,) float64, of the black body (a colour temperature, not Teff, from A to K), K
    temperature: np.ndarray
    strength: np.ndarray  # (k, s) float64

    def strengths(self, number: npt.ArrayLike) -> tuple[np.ndarray, np.ndarray]:
        """Strengths (n, s) and temperatures (n,) of dwarfs of types `number` (n,), interpolated."""
        at = np.atleast_1d(np.asarray(number, dtype=np.float64))
        rows = np.stack([np.interp(at, self.number, column) for column in self.strength.T], axis=1)
        return rows, np.interp(at, self.number, self.temperature)

    def factors(self, table: dict[str, float], default: float = 1.0) -> np.ndarray:
        """Numbers (s,) of a table by species."""
        return np.array([table.get(name, default) for name in self.species])

    def absorb(self, strength: np.ndarray, temperature: np.ndarray) -> np.ndarray:
        """Flux (n, p) float32 of black bodies (n,) behind features (n, s), median 1 in the r band."""
        depth = strength.astype(np.float32) @ self.depth
        flux = black_body(self.wavelength, temperature) * np.exp(-depth)
        return unit_r(flux, self.wavelength)


def unit_r(flux: np.ndarray, wavelength: np.ndarray) -> np.ndarray:
    """Spectra (n, p) over their median in the r band."""
    inside = (wavelength >= WINDOW[0]) & (wavelength <= WINDOW[1])
    return flux / np.median(flux[:, inside], axis=1, keepdims=True)


def black_body(wavelength: np.ndarray, temperature: npt.ArrayLike) -> np.ndarray:
    """Planck's law (n, p) float32, per unit wavelength, 1 at 6500 Angstrom."""
    teff = np.atleast_1d(np.asarray(temperature, dtype=np.float32))[:, None]
    lam = wavelength.astype(np.float32)
    flux = np.expm1(np.float32(MICRON_K / 0.65) / teff) / np.expm1(np.float32(MICRON_K * 1e4) / teff / lam)
    flux *= (np.float32(6500) / lam) ** 5
    return np.asarray(flux)


def _feature(wavelength: np.ndarray, shape: str, air: float, width: float) -> np.ndarray:
    """Depth (p,) of one feature, 1 at most (the haze grows without bound to the blue)."""
    if shape == "haze":
        return np.exp(-(wavelength - 3700.0) / width)
    centre = float(air_to_vacuum(air))
    sigma = centre * SIGMA_KMS / C_KMS
    offset = wavelength - centre
    if shape in ("red", "violet"):
        beyond = offset if shape == "red" else -offset
        head = 0.5 * (1 + erf(beyond / sigma / np.sqrt(2)))  # a step seen by the spectrograph
        return head * np.exp(-np.maximum(beyond, 0) / width)
    if shape == "line":  # width in km/s, with the line spread
        return np.exp(-0.5 * (offset / (centre * width / C_KMS)) ** 2)
    if shape == "gauss":
        return np.exp(-0.5 * (offset / width) ** 2)
    if shape == "lorentz":
        return 1 / (1 + (offset / width) ** 2)
    raise ValueError(f"shape of a feature is {shape!r}, expected red, violet, line, gauss, lorentz or haze")


def load_bands(grid: LogGrid = LAMOST_LRS, folder: Path = SHIPPED) -> BandModel:
    """Read the features and the sequence, and compute the depths on a grid.

    Raises ValueError if a species of one file is not in the other, or a feature has an unknown shape.
    """
    wavelength = grid.wavelength
    with (folder / "sequence.csv").open(newline="") as stream:
        nodes = list(csv.DictReader(stream))
    species = tuple(nodes[0])[4:]  # after type, number, teff, colour_temperature
    depth = np.zeros((len(species), wavelength.size), dtype=np.float32)
    with (folder / "features.csv").open(newline="") as stream:
        features = list(csv.DictReader(stream))
    unknown = {row["species"] for row in features} ^ set(species)
    if unknown:
        raise ValueError(f"{folder}: species only in one of features.csv and sequence.csv: {sorted(unknown)}")
    for row in features:
        curve = _feature(wavelength, row["shape"], float(row["wavelength_air"]), float(row["width"]))
        depth[species.index(row["species"])] += float(row["strength"]) * curve.astype(np.float32)
    return BandModel(
        wavelength,
        species,
        depth,
        np.array([float(row["number"]) for row in nodes]),
        np.array([float(row["colour_temperature"]) for row in nodes]),
        np.array([[float(row[name]) for name in species] for row in nodes]),
    )


@cache
def lrs_bands() -> BandModel:
    """The model on the grid of LAMOST-LRS."""
    return load_bands()


def _vary(strength: np.ndarray, scatter: float, rng: np.random.Generator | None) -> np.ndarray:
    """Strengths with a lognormal scatter of their own in each star and species."""
    if rng is None or scatter == 0:
        return strength
    return strength * rng.lognormal(0.0, scatter, strength.shape)


def dwarfs(
    model: BandModel,
    number: npt.ArrayLike,
    *,
    feh: npt.ArrayLike = 0.0,
    ewha: npt.ArrayLike = 0.0,
    scatter: float = 0.0,
    rng: np.random.Generator | None = None,
) -> np.ndarray:
    """Main-sequence stars A0 to M9.

    Parameters
    ----------
    number : (n,) spectral type, 0 (A0) to 49 (M9)
    feh : (n,) or one number, metallicity, dex
    ewha : (n,) array or float
        Equivalent width of H-alpha emission, Angstrom, 0 for inactive stars; other lines go with it.
    scatter : standard deviation of ln(strength), drawn with `rng`

    Returns (n, p) float32, median 1 in the r band. Raises ValueError if a type lies outside the sequence.
    """
    at = np.atleast_1d(np.asarray(number, dtype=np.float64))
    _check_types(at, model)
    strength, temperature = model.strengths(at)
    iron = np.broadcast_to(np.asarray(feh, dtype=np.float64), at.shape)[:, None]
    strength *= 10 ** (iron * model.factors(METALLICITY, 0.0))
    flux = model.absorb(_vary(strength, scatter, rng), temperature)
    return emit(flux, model.wavelength, ewha)


def giants(
    model: BandModel,
    subtype: npt.ArrayLike,
    *,
    feh: npt.ArrayLike = 0.0,
    scatter: float = 0.0,
    rng: np.random.Generator | None = None,
) -> np.ndarray:
    """Giants M0 to M9 (`subtype` (n,), 0 to 9); otherwise as `dwarfs`."""
    at = np.atleast_1d(np.asarray(subtype, dtype=np.float64))
    _check_types(at + M0, model)
    strength, _ = model.strengths(at + M0)
    strength *= model.factors(GIANT_FACTORS)
    strength[:, model.species.index("CaII_triplet")] = GIANT_TRIPLET
    iron = np.broadcast_to(np.asarray(feh, dtype=np.float64), at.shape)[:, None]
    strength *= 10 ** (iron * model.factors(METALLICITY, 0.0))
    temperature = np.interp(at, *GIANT_TEFF.T)
    return model.absorb(_vary(strength, scatter, rng), temperature)


def _check_types(number: np.ndarray, model: BandModel) -> None:
    if not ((number >= model.number[0]) & (number <= model.number[-1])).all():
        raise ValueError(
            f"spectral types must lie between {model.number[0]:g} (A0) and {model.number[-1]:g} (M9)"
        )


def emit(flux: np.ndarray, wavelength: np.ndarray, ewha: npt.ArrayLike) -> np.ndarray:
    """Add chromospheric lines with `ewha` (n,) Angstrom of H-alpha to spectra (n, p)."""
    width = np.broadcast_to(np.asarray(ewha, dtype=np.float64), len(flux))
    active = np.flatnonzero(width != 0)
    if not active.size:
        return flux
    bright = flux.copy()
    at = np.argmin(np.abs(wavelength - air_to_vacuum(HALPHA)))
    energy = (width * flux[:, at])[active, None]
    for air, share in CHROMOSPHERE:
        centre = float(air_to_vacuum(air))
        sigma = centre * SIGMA_KMS / C_KMS
        profile = np.exp(-0.5 * ((wavelength - centre) / sigma) ** 2) / (sigma * np.sqrt(2 * np.pi))
        bright[active] += (share * energy * profile).astype(np.float32)
    return bright


def redden(flux: np.ndarray, wavelength: np.ndarray, extinction: npt.ArrayLike) -> np.ndarray:
    """Spectra (n, p) behind dust of visual `extinction` (n,) mag; A goes as wavelength^-1.3."""
    visual = np.atleast_1d(np.asarray(extinction, dtype=np.float32))[:, None]
    return flux * 10 ** (-0.4 * visual * ((5500.0 / wavelength) ** 1.3 - 1).astype(np.float32))


def white_dwarfs(model: BandModel, temperature: npt.ArrayLike) -> np.ndarray:
    """DA white dwarfs (n, p) of temperatures (n,) K: black bodies with broad Balmer lines."""
    teff = np.atleast_1d(np.asarray(temperature, dtype=np.float64))
    # Strongest near 13 000 K (Gianninas et al. 2011, ApJ 743, 138); the widths are schematic.
    strength = 0.9 * np.exp(-0.5 * (np.log(teff / 13_000) / 0.5) ** 2)
    depth = np.zeros((teff.size, model.wavelength.size), dtype=np.float32)
    for air, share in ((HALPHA, 0.55), (4861.33, 0.8), (4340.47, 1.0), (4101.74, 1.0), (3970.07, 0.8)):
        offset = (model.wavelength - air_to_vacuum(air)) / 32.0
        depth += ((share * strength)[:, None] / (1 + offset**2)).astype(np.float32)
    return unit_r(black_body(model.wavelength, teff) * np.exp(-depth), model.wavelength)


# Violet-degraded heads of carbon stars, air Angstrom: C2 Swan bands and red CN (Keenan 1993, PASP 105, 905).
CARBON = (
    (4382, 1.0),
    (4737, 1.5),
    (5165, 1.6),
    (5636, 1.2),
    (6191, 0.7),
    (5730, 0.3),
    (6925, 0.4),
    (7910, 0.4),
)


def carbon_stars(model: BandModel, temperature: npt.ArrayLike, strength: npt.ArrayLike = 1.0) -> np.ndarray:
    """Carbon stars (n, p): black bodies (n,) K behind C2 and CN bands."""
    teff = np.atleast_1d(np.asarray(temperature, dtype=np.float64))
    depth = sum(share * _feature(model.wavelength, "violet", air, 90.0) for air, share in CARBON)
    amount = np.broadcast_to(np.asarray(strength, dtype=np.float64), teff.shape)[:, None]
    haze = 1.5 * np.exp(-(model.wavelength - 3700.0) / 500.0)
    flux = black_body(model.wavelength, teff) * np.exp(-(amount * depth + haze)).astype(np.float32)
    return unit_r(flux, model.wavelength)


# Lines of galaxies: air Angstrom, flux against H-alpha in a star-forming galaxy (schematic).
NEBULAR = (
    (3727.4, 0.8),
    (4340.47, 0.14),
    (4861.33, 0.31),
    (4958.91, 0.13),
    (5006.84, 0.40),
    (6548.05, 0.12),
    (HALPHA, 1.0),
    (6583.45, 0.35),
    (6716.44, 0.20),
    (6730.82, 0.15),
)
GALAXY_Z_MAX = 0.32
_REST = LogGrid(3.4472, 1e-4, 5119)  # 2800 to 9099 Angstrom


@cache
def _populations() -> np.ndarray:
    """An old and a young mix of stars (2, p) on the grid `_REST`."""
    model = load_bands(_REST)
    old = dwarfs(model, [20, 26, 32, 34]).T @ np.array([0.2, 0.3, 0.3, 0.1], dtype=np.float32)
    old += 0.15 * giants(model, [2.0])[0]
    young = dwarfs(model, [3, 10, 20]).T @ np.array([0.6, 0.3, 0.2], dtype=np.float32)
    # The features end at 3730 Angstrom: beyond, metals and the Balmer jump take half of the light.
    jump = 1 - 0.5 / (1 + np.exp((model.wavelength - 3720.0) / 12.0))
    return (np.stack([old, young]) * jump).astype(np.float32)


def galaxies(rng: np.random.Generator, z: npt.ArrayLike) -> np.ndarray:
    """Galaxies (n, p) on the LRS grid at redshifts (n,) up to 0.32: old stars, some with young ones."""
    redshift = np.atleast_1d(np.asarray(z, dtype=np.float64))
    if not ((redshift >= 0) & (redshift <= GALAXY_Z_MAX)).all():
        raise ValueError(f"redshifts of galaxies must lie between 0 and {GALAXY_Z_MAX}")
    n, rest = redshift.size, _REST.wavelength
    forming = rng.random(n) < 0.45
    share = np.where(forming, rng.uniform(0.1, 0.7, n), rng.uniform(0, 0.03, n))[:, None].astype(np.float32)
    old, young = _populations()
    flux = (1 - share) * old + share * young
    # 200 km/s of motions inside is three pixels.
    flux = gaussian_filter1d(flux, 3.0, axis=1, mode="nearest")
    width = np.where(forming, rng.lognormal(np.log(15), 0.7, n), 0.0)
    energy = (width * flux[:, np.argmin(np.abs(rest - 6564.6))])[:, None]
    for air, ratio in NEBULAR:
        centre = float(air_to_vacuum(air))
        sigma = centre * 120.0 / C_KMS
        profile = np.exp(-0.5 * ((rest - centre) / sigma) ** 2) / (sigma * np.sqrt(2 * np.pi))
        flux += (energy * ratio * rng.lognormal(0, 0.3, (n, 1)) * profile).astype(np.float32)
    moved = shift(_REST, flux, C_KMS * redshift)[:, -LAMOST_LRS.pixels :]
    return unit_r(moved, LAMOST_LRS.wavelength)


# Lines of quasars: vacuum Angstrom, rest equivalent width in Angstrom, width in km/s. After the composite of
# Vanden Berk et al. 2001, AJ 122, 549, Table 2, rounded.
QUASAR_LINES = (
    (1215.67, 90.0, 4500.0),
    (1240.1, 10.0, 4000.0),
    (1396.8, 8.0, 3500.0),
    (1549.06, 24.0, 3500.0),
    (1908.73, 21.0, 4000.0),
    (2798.75, 32.0, 3500.0),
    (3728.5, 1.6, 600.0),
    (4102.9, 5.0, 2500.0),
    (4341.7, 13.0, 2500.0),
    (4862.7, 46.0, 2800.0),
    (4960.3, 3.5, 500.0),
    (5008.2, 13.0, 500.0),
    (6564.6, 190.0, 2800.0),
)


def quasars(rng: np.random.Generator, z: npt.ArrayLike) -> np.ndarray:
    """Quasars (n, p) on the LRS grid at redshifts (n,): a power law with broad lines."""
    redshift = np.atleast_1d(np.asarray(z, dtype=np.float64))[:, None]
    n, wavelength = redshift.size, LAMOST_LRS.wavelength
    rest = wavelength / (1 + redshift)
    flux = (rest / 3000.0) ** rng.normal(-1.5, 0.3, (n, 1))
    lines = np.zeros_like(flux)
    for centre, width, speed in QUASAR_LINES:
        sigma = centre * speed * rng.lognormal(0, 0.25, (n, 1)) / C_KMS / 1.5
        area = width * rng.lognormal(0, 0.35, (n, 1))
        lines += area / (sigma * np.sqrt(2 * np.pi)) * np.exp(-0.5 * ((rest - centre) / sigma) ** 2)
    flux *= 1 + lines
    flux *= np.where(rest < 1215.67, rng.uniform(0.4, 0.8, (n, 1)), 1.0)  # the forest, smoothed
    return unit_r(flux.astype(np.float32), wavelength)


def type_name(number: float) -> str:
    """Name of a type, such as `G2` or `M4`, of its number; K8 and K9 are called K7."""
    whole = min(int(np.floor(number + 0.5)), 49)
    letter, digit = "AFGKM"[whole // 10], whole % 10
    return f"{letter}{min(digit, 7) if letter == 'K' else digit}"


def type_names(number: Sequence[float] | np.ndarray) -> np.ndarray:
    """Names (n,) of types."""
    return np.array([type_name(float(x)) for x in number])
