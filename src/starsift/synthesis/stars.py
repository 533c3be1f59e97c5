"""Stars, close binaries and hierarchical triples, and their noiseless spectra.

Populations are drawn as `Systems`: arrays (n, k) of n systems of k components. A `Synthesizer` turns them
into absolute fluxes, so that two components add up with the ratio that their temperatures and radii give.
"""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import scipy.fft
from numba import get_num_threads, prange
from scipy.interpolate import CubicSpline
from scipy.special import j1

from starsift.errors import InputError
from starsift.kernels import njit
from starsift.sky.constants import C_KMS
from starsift.spectra.templates import TemplateGrid

LIMB_DARKENING = 0.6
FWHM_PER_SIGMA = 2.0 * np.sqrt(2.0 * np.log(2.0))
MARGIN_KMS = 1200.0  # periodic padding: more than the largest shift and half the widest profile together
VSINI_MAX = 500.0
NEGLIGIBLE = 1e-7  # Fourier amplitudes below this add nothing to a float32 spectrum
CHUNK = 256

# Dwarf sequence, hot to cool (A5V to M2V): mass (solar), Teff (K), radius (solar). Rounded from the table
# that continues Pecaut & Mamajek (2013, ApJS 208, 9), version 2022.04.16, within the range of the template
# grid.
DWARFS = np.array(
    [
        (1.86, 8080, 1.785),
        (1.77, 7760, 1.750),
        (1.61, 7220, 1.728),
        (1.46, 6820, 1.622),
        (1.33, 6550, 1.473),
        (1.18, 6180, 1.221),
        (1.08, 5930, 1.100),
        (1.00, 5770, 1.012),
        (0.98, 5660, 0.977),
        (0.94, 5480, 0.914),
        (0.88, 5270, 0.813),
        (0.82, 5100, 0.783),
        (0.78, 4830, 0.755),
        (0.70, 4440, 0.701),
        (0.63, 4100, 0.630),
        (0.57, 3850, 0.588),
        (0.50, 3660, 0.501),
        (0.44, 3560, 0.446),
    ]
)[::-1]
MASS_MIN, MASS_MAX = 0.47, 1.83
LOGG_SUN = 4.438
KRAFT_BREAK = 6250.0  # K; hotter dwarfs keep their fast rotation (Kraft 1967, ApJ 150, 551)

# Two-body constants for solar masses, solar radii, days and km/s.
VELOCITY = 212.9129  # (2 pi G Msun / day)^(1/3)
SEPARATION = 4.2083  # (G Msun day^2 / 4 pi^2)^(1/3) in solar radii
SYNCHRONOUS = 50.593  # 2 pi Rsun / day
CIRCULAR_BELOW = 10.0  # days: tides circularise and synchronise closer pairs
DETACHED = 2.2  # periastron distance in units of the summed radii, at least
STABLE = 8.0  # outer period in units of the inner one, at least


def true_anomaly(mean_anomaly: np.ndarray, eccentricity: np.ndarray) -> np.ndarray:
    """Solve Kepler's equation; radians, any shape. Newton converges to 1e-12 for eccentricities to 0.9."""
    mean = np.remainder(mean_anomaly, 2 * np.pi)
    eccentric = mean + eccentricity * np.sin(mean) / (1 - np.sin(mean + eccentricity) + np.sin(mean))
    for _ in range(12):
        eccentric -= (eccentric - eccentricity * np.sin(eccentric) - mean) / (
            1 - eccentricity * np.cos(eccentric)
        )
    return 2 * np.arctan2(
        np.sqrt(1 + eccentricity) * np.sin(eccentric / 2), np.sqrt(1 - eccentricity) * np.cos(eccentric / 2)
    )


@dataclass(frozen=True)
class Orbits:
    """Keplerian orbits of n binaries, or of n triples whose outer star circles the inner pair."""

    mass: np.ndarray  # (n, k) float64: solar masses; k = 2, or 3 with the outer star last
    # period, eccentricity, argument, periastron, inclination: (n, k - 1) float64, days, -, radians, time
    # of periastron in days, radians. Column 0 is the inner pair, column 1 the outer orbit
    period: np.ndarray
    eccentricity: np.ndarray
    argument: np.ndarray
    periastron: np.ndarray
    inclination: np.ndarray
    gamma: np.ndarray  # (n,) float64: velocity of the centre of mass, km/s

    def shape(self, time: npt.ArrayLike) -> np.ndarray:
        """cos(nu + omega) + e cos(omega) of each orbit at `time` (scalar or (n,), days): (n, k - 1)."""
        elapsed = (
            np.broadcast_to(np.asarray(time, dtype=np.float64), self.gamma.shape)[:, None] - self.periastron
        )
        anomaly = true_anomaly(2 * np.pi * elapsed / self.period, self.eccentricity)
        return np.cos(anomaly + self.argument) + self.eccentricity * np.cos(self.argument)

    def velocities(self, time: npt.ArrayLike) -> np.ndarray:
        """Radial velocities (n, k) in km/s at `time` (scalar or (n,), days)."""
        shape = self.shape(time)
        pair = self.mass[:, 0] + self.mass[:, 1]
        centre = self.gamma
        rv = np.empty_like(self.mass)
        if self.mass.shape[1] == 3:
            unit = self.amplitude_per_mass(pair + self.mass[:, 2], 1)
            rv[:, 2] = self.gamma - unit * pair * shape[:, 1]
            centre = self.gamma + unit * self.mass[:, 2] * shape[:, 1]
        unit = self.amplitude_per_mass(pair, 0)
        rv[:, 0] = centre + unit * self.mass[:, 1] * shape[:, 0]
        rv[:, 1] = centre - unit * self.mass[:, 0] * shape[:, 0]
        return rv

    def amplitude_per_mass(self, total: np.ndarray, k: int) -> np.ndarray:
        """Semi-amplitude (n,) of orbits k, km/s, for each solar mass of the companion.

        `k` is 0 for the inner pair, 1 for the outer orbit; `total` (n,) is the mass in it, solar masses.
        """
        root = np.cbrt(self.period[:, k]) * np.sqrt(1 - self.eccentricity[:, k] ** 2)
        return VELOCITY * np.sin(self.inclination[:, k]) / (total ** (2 / 3) * root)

    def take(self, index: npt.ArrayLike) -> "Orbits":
        """The orbits at `index` (integers or booleans)."""
        return Orbits(**{name: getattr(self, name)[index] for name in self.__dataclass_fields__})


@dataclass(frozen=True)
class Systems:
    """n stellar systems of k components each.

    Components of binaries are ordered by mass; in hierarchical triples the inner pair comes first, then the
    outer star.
    """

    # mass, radius: (n, k) float64, solar units
    mass: np.ndarray
    radius: np.ndarray
    # teff, logg, feh: (n, k) float64, K, dex (cgs), dex
    teff: np.ndarray
    logg: np.ndarray
    feh: np.ndarray
    # vsini, rv: (n, k) float64, projected rotation and radial velocity (at time 0), km/s
    vsini: np.ndarray
    rv: np.ndarray
    orbits: Orbits | None = None  # what gives the velocities at another time; None where they never change

    @property
    def n(self) -> int:
        """Number of systems."""
        return len(self.mass)

    @property
    def n_components(self) -> int:
        """Components in each system."""
        return self.mass.shape[1]

    def take(self, index: npt.ArrayLike) -> "Systems":
        """The systems at `index` (integers or booleans)."""
        orbits = None if self.orbits is None else self.orbits.take(index)
        return Systems(**{name: getattr(self, name)[index] for name in COLUMNS}, orbits=orbits)

    def velocities(self, time: npt.ArrayLike) -> np.ndarray:
        """Radial velocities (n, k) in km/s at `time` (scalar or (n,), days)."""
        return self.rv.copy() if self.orbits is None else self.orbits.velocities(time)


COLUMNS = ("mass", "radius", "teff", "logg", "feh", "vsini", "rv")


def concatenate(parts: list[Systems]) -> Systems:
    """One table of systems that all have the same number of components, and all or none have orbits."""

    def join(name: str, items: list) -> np.ndarray:
        return np.concatenate([getattr(item, name) for item in items])

    parts_orbits = [part.orbits for part in parts if part.orbits is not None]
    orbits = None
    if parts_orbits:
        orbits = Orbits(**{name: join(name, parts_orbits) for name in Orbits.__dataclass_fields__})
    return Systems(**{name: join(name, parts) for name in COLUMNS}, orbits=orbits)


@njit(parallel=True, cache=True)
def _combine(
    nodes: np.ndarray,
    corner: np.ndarray,
    weight: np.ndarray,
    vsini: np.ndarray,
    shift: np.ndarray,
    kernel: np.ndarray,
    rotation: np.ndarray,
    rotation_step: float,
    frequency_step: float,
    out: np.ndarray,
) -> None:
    """Fourier transforms of n systems: weighted nodes x rotation x line spread x Doppler phase, summed
    over k.
    """
    n, components, corners = corner.shape
    size = kernel.size
    for s in prange(n):
        buffer = np.empty(size, dtype=np.complex64)
        for f in range(size):
            out[s, f] = 0.0
        for k in range(components):
            buffer[:] = 0.0
            used = False
            for c in range(corners):
                w = weight[s, k, c]
                if w != 0.0:
                    used = True
                    node = nodes[corner[s, k, c]]
                    for f in range(size):
                        buffer[f] += w * node[f]
            if not used:
                continue
            turn = -2.0 * np.pi * frequency_step * shift[s, k]
            step_r, step_i = np.cos(turn), np.sin(turn)
            real, imaginary = 1.0, 0.0
            # The rotation profile is tabulated in u = 2 pi v f.
            scale = 2.0 * np.pi * frequency_step * vsini[s, k] / rotation_step
            for f in range(size):
                x = f * scale
                i = min(int(x), rotation.size - 2)
                amplitude = kernel[f] * (rotation[i] + (x - i) * (rotation[i + 1] - rotation[i]))
                out[s, f] += buffer[f] * np.complex64(complex(real * amplitude, imaginary * amplitude))
                real, imaginary = real * step_r - imaginary * step_i, real * step_i + imaginary * step_r


def rotation_transform(u: np.ndarray, limb_darkening: float = LIMB_DARKENING) -> np.ndarray:
    """Fourier transform of Gray's rotation profile (Gray 2005, eq. 18.14), u = 2 pi (v sin i) (frequency)."""
    x = np.maximum(np.abs(u), 1e-3)  # the limits at 0 are exact to 1e-7 here
    disc = 2 * (1 - limb_darkening) * j1(x) / x
    limb = 2 * limb_darkening * (np.sin(x) / x**3 - np.cos(x) / x**2)
    return (disc + limb) / (1 - limb_darkening / 3)


class Synthesizer:
    """Spectra of rotating, moving stars at an instrument's resolution, from a grid of templates.

    Everything is a product in Fourier space of ln(wavelength): interpolation in the grid, rotation (Gray's
    profile, limb darkening 0.6), the Gaussian line spread function and the Doppler shift. Components are
    summed there too, so a system costs one inverse transform however many stars it has.

    Parameters
    ----------
    grid : templates on common axes of teff, logg and feh, at least half of that box filled. A missing node is
        replaced by the nearest one, temperature first, so that fluxes stay right. Parameters outside the axes
        are clipped to them.
    resolution : resolving power wanted, at most that of the grid

    Attributes
    ----------
    wavelength : (pixel,) float64
        Vacuum, Angstrom, uniform in ln(wavelength): the range of the grid. Near either end, within the
        shift of a star, the flux is a smooth guess.
    step_kms : float
        Velocity of one pixel.

    Raises InputError if the grid's resolution is too low or its nodes do not fill a box.
    """

    def __init__(self, grid: TemplateGrid, resolution: float = 7500.0) -> None:
        if not 0 < resolution <= grid.resolution:
            raise InputError(
                f"the grid has resolution {grid.resolution:g}, {resolution:g} was requested: "
                "templates must be sharper than the instrument"
            )
        self.resolution = float(resolution)
        self._box(grid.params[:, :3])
        span = np.log(grid.wavelength[-1] / grid.wavelength[0])
        # The grid's own sampling is kept: nothing is lost, and R = 7500 is sampled eight times a resolution
        # element.
        pixels = len(grid.wavelength)
        self._length = scipy.fft.next_fast_len(
            int(np.ceil(pixels * (1 + MARGIN_KMS / C_KMS / span))), real=True
        )
        self._step = span / (pixels - 1)
        self.step_kms = self._step * C_KMS
        self.wavelength = grid.wavelength[0] * np.exp(self._step * np.arange(pixels))
        self.wavelength[-1] = grid.wavelength[-1]  # not an ulp beyond the last template pixel
        self._frequency_step = 1.0 / (self._length * self._step)
        frequency = np.arange(self._length // 2 + 1) * self._frequency_step
        extra = np.sqrt(max(0.0, resolution**-2 - grid.resolution**-2)) / FWHM_PER_SIGMA
        full = 1 / resolution / FWHM_PER_SIGMA
        keep = int(np.searchsorted(-np.exp(-2 * (np.pi * full * frequency) ** 2), -NEGLIGIBLE))
        self._kernel = np.exp(-2 * (np.pi * extra * frequency[:keep]) ** 2)
        flux = CubicSpline(grid.wavelength, grid.flux, axis=1)(self.wavelength)
        self._mean = flux.mean(axis=1)
        margin = self._length - pixels
        blend = 0.5 - 0.5 * np.cos(np.pi * (np.arange(margin) + 1) / (margin + 1))
        # From the last value back to the first one, so that the periodic spectrum has no step.
        tail = flux[:, -1:] + blend * (flux[:, :1] - flux[:, -1:])
        transform = scipy.fft.rfft(np.concatenate([flux, tail], axis=1), axis=1)
        self._nodes = np.ascontiguousarray(transform[:, :keep]).astype(np.complex64)
        self._rotation_step = 0.01
        u_max = 2 * np.pi * VSINI_MAX / C_KMS * frequency[max(keep - 1, 0)]
        self._rotation = rotation_transform(
            np.arange(int(u_max / self._rotation_step) + 3) * self._rotation_step
        )

    def _box(self, params: np.ndarray) -> None:
        """Axes of the grid, and the row of every node of their box (nearest row where a node is missing)."""
        self._axes = [np.unique(params[:, i]) for i in range(3)]
        sizes = [len(axis) for axis in self._axes]
        if len(params) < 0.5 * np.prod(sizes):
            raise InputError(
                f"{len(params)} templates on axes of {sizes[0]} teff x {sizes[1]} logg x {sizes[2]} feh: "
                "fewer than half of that box; put the grid on common axes"
            )
        node = np.stack(np.meshgrid(*self._axes, indexing="ij"), axis=-1).reshape(-1, 3)
        # Flux depends on temperature above all: keep that, move in gravity or metallicity.
        distance = sum(w * np.abs(node[:, None, i] - params[:, i]) for i, w in enumerate((0.02, 1.0, 1.5)))
        self._row = np.argmin(distance, axis=1).astype(np.int32).reshape(sizes)

    def _weights(
        self, teff: np.ndarray, logg: np.ndarray, feh: np.ndarray
    ) -> tuple[npt.NDArray[np.int32], np.ndarray]:
        """Rows and weights (..., 8) of multilinear interpolation."""
        lower, fraction = [], []
        for axis, value in zip(self._axes, (teff, logg, feh), strict=True):
            x = np.clip(value, axis[0], axis[-1])
            i = np.clip(np.searchsorted(axis, x, side="right") - 1, 0, max(len(axis) - 2, 0))
            j = np.minimum(i + 1, len(axis) - 1)
            width = np.where(j > i, axis[j] - axis[i], 1.0)
            lower.append((i, j))
            fraction.append((x - axis[i]) / width)
        rows, weights = [], []
        for corner in np.ndindex(2, 2, 2):
            rows.append(self._row[tuple(pair[c] for pair, c in zip(lower, corner, strict=True))])
            parts = [f if c else 1 - f for f, c in zip(fraction, corner, strict=True)]
            weights.append(parts[0] * parts[1] * parts[2])
        return np.stack(rows, axis=-1), np.stack(weights, axis=-1)

    def flux(
        self,
        teff: npt.ArrayLike,
        logg: npt.ArrayLike,
        feh: npt.ArrayLike,
        vsini: npt.ArrayLike,
        rv: npt.ArrayLike,
        radius: npt.ArrayLike,
    ) -> npt.NDArray[np.float32]:
        """Absolute fluxes of stars, or of systems whose components are summed.

        Parameters
        ----------
        teff, logg, feh, vsini, rv, radius : array_like (n,) or (n, k)
            K, dex, dex, km/s, km/s, solar radii. A component of radius 0 is absent.

        Returns
        -------
        ndarray (n, pixel) float32
            Sum over components of surface flux (erg/s/cm2/A) x radius^2, on `wavelength`.

        Raises ValueError if a value is not finite, or a vsini or velocity is beyond what the padding allows
        (500 km/s).
        """
        inputs = np.broadcast_arrays(
            *(np.asarray(x, dtype=np.float64) for x in (teff, logg, feh, vsini, rv, radius))
        )
        arrays = [x[:, None] if x.ndim == 1 else x for x in inputs]
        present = arrays[5] > 0
        arrays = [np.where(present, x, 0.0) for x in arrays]
        for name, x in zip(("teff", "logg", "feh", "vsini", "rv", "radius"), arrays, strict=True):
            if not np.isfinite(x).all():
                raise ValueError(f"{name} is not finite for {int((~np.isfinite(x)).sum())} component(s)")
        if (arrays[3] > VSINI_MAX).any() or (arrays[3] < 0).any() or (np.abs(arrays[4]) > VSINI_MAX).any():
            raise ValueError(f"vsini must be 0 to {VSINI_MAX:g} km/s and rv within {VSINI_MAX:g} km/s of 0")
        corner, weight = self._weights(*arrays[:3])
        weight = (weight * arrays[5][..., None] ** 2).astype(np.float32)
        shift = np.log1p(arrays[4] / C_KMS)
        vsini_ln = arrays[3] / C_KMS
        n, pixels = len(shift), len(self.wavelength)
        out = np.empty((n, pixels), dtype=np.float32)
        transform = np.empty((min(CHUNK, n), len(self._kernel)), dtype=np.complex64)
        for start in range(0, n, CHUNK):
            part = slice(start, min(start + CHUNK, n))
            work = transform[: part.stop - start]
            _combine(
                self._nodes,
                corner[part],
                weight[part],
                vsini_ln[part],
                shift[part],
                self._kernel,
                self._rotation,
                self._rotation_step,
                self._frequency_step,
                work,
            )
            spectrum = scipy.fft.irfft(work, self._length, axis=1, workers=get_num_threads())
            out[part] = spectrum[:, :pixels]
        return out

    def system_flux(self, systems: Systems, rv: np.ndarray | None = None) -> npt.NDArray[np.float32]:
        """Summed fluxes (n, pixel) of systems, at the velocities `rv` (n, k) or at those of the draw."""
        s = systems
        return self.flux(s.teff, s.logg, s.feh, s.vsini, s.rv if rv is None else rv, s.radius)

    def flux_fractions(self, systems: Systems) -> npt.NDArray[np.float64]:
        """Each component's share (n, k) of the system's mean flux over the grid's wavelengths."""
        corner, weight = self._weights(systems.teff, systems.logg, systems.feh)
        light = (self._mean[corner] * weight).sum(axis=-1) * systems.radius**2
        return light / light.sum(axis=1, keepdims=True)


def _logg(mass: np.ndarray, radius: np.ndarray) -> np.ndarray:
    return LOGG_SUN + np.log10(mass) - 2 * np.log10(radius)


def dwarf(mass: npt.ArrayLike, age: npt.ArrayLike = 0.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Teff (K), radius (solar) and log g of dwarfs of a mass (solar).

    `age` is 0 on the mean dwarf sequence (Pecaut & Mamajek 2013) and 1 near the end of the main sequence,
    where the radius has grown by half and the star has cooled by 4 %: a schematic form of the width of the
    main sequence.
    """
    mass = np.asarray(mass, dtype=np.float64)
    age = np.asarray(age, dtype=np.float64)
    teff = np.interp(mass, DWARFS[:, 0], DWARFS[:, 1]) * (1 - 0.04 * age)
    radius = np.interp(mass, DWARFS[:, 0], DWARFS[:, 2]) * (1 + 0.5 * age)
    return teff, radius, _logg(mass, radius)


def _metallicity(rng: np.random.Generator, n: int) -> np.ndarray:
    """A solar-neighbourhood distribution: thin disc, with a tenth of metal-poor stars."""
    poor = rng.random(n) < 0.1
    return np.clip(np.where(poor, rng.normal(-0.9, 0.4, n), rng.normal(-0.1, 0.2, n)), -2.0, 0.5)


def _dwarf_rotation(rng: np.random.Generator, teff: np.ndarray) -> np.ndarray:
    """vsini of dwarfs: a few km/s below the Kraft break, tens above it."""
    cool = np.clip(rng.lognormal(np.log(4.0), 0.5, teff.shape), 1.0, 25.0)
    hot = np.clip(rng.lognormal(np.log(25.0), 0.6, teff.shape), 3.0, 120.0)
    return np.where(teff > KRAFT_BREAK, hot, cool)


def _systemic(rng: np.random.Generator, n: int, feh: np.ndarray) -> np.ndarray:
    """Velocity of a system: disc dispersion, three times wider for the metal-poor."""
    return np.clip(rng.normal(0.0, 1.0, n) * np.where(feh < -0.7, 100.0, 35.0), -350.0, 350.0)


def _evolution(rng: np.random.Generator, mass: np.ndarray) -> np.ndarray:
    """Ages (n, k) of coeval stars for `dwarf`: 0 where the heaviest is below 0.9 solar masses."""
    heaviest = mass.max(axis=1, keepdims=True)
    age = rng.random((len(mass), 1)) * (heaviest > 0.9)
    return age * (mass / heaviest) ** 5


def draw_singles(
    rng: np.random.Generator, n: int, *, giant_fraction: float = 0.35, rotator_fraction: float = 0.0
) -> Systems:
    """Single stars over the Hertzsprung-Russell diagram.

    Parameters
    ----------
    n : number of stars
    giant_fraction : float
        Share of giants, log g 1.0 to 3.3 along a straight red-giant locus with a red clump at 2.4.
    rotator_fraction : share of F and A dwarfs with vsini 50 to 150 km/s

    Returns
    -------
    Systems : one component each, no orbits
    """
    kind = rng.random(n)
    giant = kind < giant_fraction
    rotator = kind > 1 - rotator_fraction
    feh = _metallicity(rng, n)
    mass = np.clip(rng.normal(1.08, 0.26, n), MASS_MIN, MASS_MAX)
    mass = np.where(rotator, rng.uniform(1.2, MASS_MAX, n), mass)
    age = _evolution(rng, mass[:, None])[:, 0]
    teff, radius, logg = dwarf(mass, age)
    vsini = _dwarf_rotation(rng, teff)
    clump = rng.random(n) < 0.35
    giant_logg = np.where(clump, rng.normal(2.4, 0.1, n), rng.uniform(1.0, 3.3, n))
    giant_teff = 4800 + 480 * (giant_logg - 2.4) - 250 * feh + rng.normal(0, 80, n)
    giant_mass = rng.uniform(0.9, 1.8, n)
    giant_radius = 10 ** (0.5 * (LOGG_SUN + np.log10(giant_mass) - giant_logg))
    mass = np.where(giant, giant_mass, mass)
    vsini = np.where(giant, rng.uniform(1.0, 6.0, n), vsini)
    vsini = np.where(rotator, rng.uniform(50.0, 150.0, n), vsini)
    columns = {
        "mass": mass,
        "radius": np.where(giant, giant_radius, radius),
        "teff": np.where(giant, giant_teff, teff),
        "logg": np.where(giant, giant_logg, logg),
        "feh": feh,
        "vsini": vsini,
        "rv": _systemic(rng, n, feh),
    }
    return Systems(**{name: column[:, None] for name, column in columns.items()}, orbits=None)


def _mass_ratio(rng: np.random.Generator, n: int, low: float = 0.6) -> np.ndarray:
    """Mass ratios of close pairs: flat, with an excess of twins (Moe & Di Stefano 2017, ApJS 230, 15).

    Below 0.6 a companion gives less than a tenth of the light and its lines are never seen.
    """
    twin = rng.random(n) < 0.25
    return np.where(twin, rng.uniform(0.95, 1.0, n), rng.uniform(low, 1.0, n))


def _geometry(rng: np.random.Generator, period: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Eccentricity, argument of periastron and isotropic inclination of orbits of these periods (any
    shape).
    """
    eccentricity = np.where(period < CIRCULAR_BELOW, 0.0, rng.beta(1.0, 2.0, period.shape) * 0.8)
    argument = rng.uniform(0, 2 * np.pi, period.shape)
    return eccentricity, argument, np.arccos(rng.uniform(0, 1, period.shape))


def _with_orbits(rng: np.random.Generator, mass: np.ndarray, orbits: Orbits) -> Systems:
    """Stars on the main sequence, of one age and metallicity a system, that rotate with their orbit when
    close.
    """
    n, k = mass.shape
    teff, radius, logg = dwarf(mass, _evolution(rng, mass))
    feh = np.repeat(_metallicity(rng, n)[:, None], k, axis=1)
    orbits = replace(orbits, gamma=_systemic(rng, n, feh[:, 0]))
    vsini = _dwarf_rotation(rng, teff)
    close = orbits.period[:, :1] < CIRCULAR_BELOW
    locked = SYNCHRONOUS * radius[:, :2] / orbits.period[:, :1] * np.sin(orbits.inclination[:, :1])
    vsini[:, :2] = np.where(close, locked, vsini[:, :2])
    return Systems(mass, radius, teff, logg, feh, vsini, orbits.velocities(0.0), orbits)


def _detached(systems: Systems) -> np.ndarray:
    """Whether the inner pair has room: periastron beyond 2.2 times the sum of radii (n,)."""
    orbits = systems.orbits
    assert orbits is not None
    total = systems.mass[:, 0] + systems.mass[:, 1]
    separation = SEPARATION * np.cbrt(total) * orbits.period[:, 0] ** (2 / 3)
    return separation * (1 - orbits.eccentricity[:, 0]) > DETACHED * systems.radius[:, :2].sum(axis=1)


ROUNDS = 500  # of rejection; a wish that is still not met is impossible


def draw_binaries(
    rng: np.random.Generator, n: int, delta_rv: tuple[float, float] | None = (60.0, 250.0)
) -> Systems:
    """Close main-sequence binaries with their orbits.

    Parameters
    ----------
    n : number of systems
    delta_rv : (low, high) or None; velocity differences at time 0 are uniform in this range (km/s; 60-250 is
        section 3.2.1 of Li et al. 2023): masses and geometry are drawn, and the period follows. None: periods
        are log-uniform from 0.6 to 100 days, and the difference is what it is.

    Returns
    -------
    Systems : two components, the heavier first

    Raises ValueError if no such binaries exist.
    """
    wanted = np.zeros(n) if delta_rv is None else rng.uniform(*delta_rv, n)
    found: list[tuple[np.ndarray, Systems]] = []
    open_ = np.arange(n)
    for _ in range(ROUNDS):
        m = len(open_)
        primary = rng.uniform(0.65, MASS_MAX, m)
        mass = np.stack([primary, np.maximum(primary * _mass_ratio(rng, m), MASS_MIN)], axis=1)
        period = 10 ** rng.uniform(np.log10(0.6), 2.0, (m, 1))
        eccentricity, argument, inclination = _geometry(rng, period)
        phase = rng.uniform(0, 1, (m, 1))
        orbits = Orbits(mass, period, eccentricity, argument, -phase * period, inclination, np.zeros(m))
        good = np.ones(m, dtype=bool)
        if delta_rv is not None:
            rv = orbits.velocities(0.0)
            # Velocities go as P^(-1/3): this period gives the wanted difference with the same geometry.
            new = period * (np.abs(rv[:, :1] - rv[:, 1:]) / wanted[open_, None]) ** 3
            good &= ((new > 0.4) & (new < 200) & ((new < CIRCULAR_BELOW) == (period < CIRCULAR_BELOW)))[:, 0]
            new = np.maximum(new, 0.1)
            orbits = replace(orbits, period=new, periastron=-phase * new)
        systems = _with_orbits(rng, mass, orbits)
        good &= _detached(systems)
        found.append((open_[good], systems.take(good)))
        open_ = open_[~good]
        if not len(open_):
            break
    else:
        raise ValueError(f"no detached main-sequence binaries have velocity differences of {delta_rv} km/s")
    order = np.argsort(np.concatenate([index for index, _ in found]))
    return concatenate([systems for _, systems in found]).take(order)


def separations(rv: np.ndarray) -> np.ndarray:
    """Differences (n, k - 1) between neighbouring velocities of a system, after sorting, km/s."""
    return np.diff(np.sort(rv, axis=1), axis=1)


def _draw_hierarchies(rng: np.random.Generator, n: int) -> Systems:
    """Triples as they come, and which of them are possible: detached and stable."""
    primary = rng.uniform(0.65, MASS_MAX, n)
    # Three stars of like mass: those whose lines can all be seen.
    pair = np.maximum(primary * _mass_ratio(rng, n, 0.8), MASS_MIN)
    outer = np.clip(primary * rng.uniform(0.8, 1.15, n), MASS_MIN, MASS_MAX)
    inner_period = 10 ** rng.uniform(0.0, 1.0, n)
    outer_period = 10 ** rng.uniform(np.log10(STABLE * inner_period), 3.5)
    period = np.stack([inner_period, outer_period], axis=1)
    eccentricity, argument, inclination = _geometry(rng, period)
    periastron = -rng.uniform(0, 1, (n, 2)) * period
    mass = np.stack([primary, pair, outer], axis=1)
    orbits = Orbits(mass, period, eccentricity, argument, periastron, inclination, np.zeros(n))
    systems = _with_orbits(rng, mass, orbits)
    # The outer periastron must stay clear of the inner pair.
    stable = period[:, 1] * (1 - eccentricity[:, 1]) ** 1.5 > 0.7 * STABLE * period[:, 0]
    return systems.take(_detached(systems) & stable)


def draw_triples(
    rng: np.random.Generator,
    n: int,
    *,
    hierarchical: bool = True,
    delta_rv: tuple[float, float] | None = (60.0, 250.0),
) -> Systems:
    """Triple stars.

    Parameters
    ----------
    n : number of systems
    hierarchical : True: an inner pair and an outer star, with orbits; periods log-uniform, 1-10 days inside,
        at least 8 times that and up to 3000 days outside. False: three unrelated single stars at random
        velocities, as in section 3.2.1 of Li et al. (2023); no orbits.
    delta_rv : (low, high) or None; both differences between neighbouring velocities lie in this range at
        time 0, km/s: by rejection, or uniform when not hierarchical. None: any (hierarchical only).

    Raises ValueError if no such triples exist.
    """
    if not hierarchical:
        low, high = (60.0, 250.0) if delta_rv is None else delta_rv
        stars = [draw_singles(rng, n) for _ in range(3)]
        gaps = rng.uniform(low, high, (n, 2))
        # Centred on the systemic velocity, in random order of brightness.
        rv = np.concatenate([np.zeros((n, 1)), np.cumsum(gaps, axis=1)], axis=1)
        rv = rng.permuted(rv - rv.mean(axis=1, keepdims=True), axis=1) + np.clip(stars[0].rv, -100, 100)
        columns = {
            name: np.concatenate([getattr(star, name) for star in stars], axis=1) for name in COLUMNS[:-1]
        }
        return Systems(**columns, rv=rv, orbits=None)
    parts: list[Systems] = []
    found = 0
    for _ in range(ROUNDS):
        systems = _draw_hierarchies(rng, max(4 * n, 64))
        if delta_rv is not None:
            gaps = separations(systems.rv)
            systems = systems.take(((gaps >= delta_rv[0]) & (gaps <= delta_rv[1])).all(axis=1))
        parts.append(systems)
        found += systems.n
        if found >= n:
            return concatenate(parts).take(np.arange(n))
    raise ValueError(f"no hierarchical triples have velocity differences of {delta_rv} km/s")
