"""H-alpha of emission-line stars: profiles of discs and winds, and their visible classes.

A profile is drawn in Fourier space on a patch of velocities around a line, eight steps to a pixel of
LAMOST-LRS, so that rotation, turbulence, velocity and the spectrograph are products. A Keplerian disc is a
series of rings: a ring of projected speed v contributes J0(kv), and -i a J1(kv) where one side is brighter.
"""

from dataclasses import dataclass, fields
from functools import cache

import numpy as np
from scipy.special import j0, j1

from starsift.sky.air import air_to_vacuum
from starsift.sky.constants import C_KMS
from starsift.spectra.resample import LAMOST_LRS, LogGrid
from starsift.synthesis.bands import HALPHA, SIGMA_KMS, load_bands

OVERSAMPLE = 8  # steps to a pixel of LAMOST-LRS
STEP_DEX = LAMOST_LRS.dlog10_lambda / OVERSAMPLE
STEP = C_KMS * np.log(10) * STEP_DEX  # km/s
PATCH = 1024  # steps, about 8 800 km/s
VELOCITY = STEP * (np.arange(PATCH) - PATCH // 2)  # km/s
RINGS = 10
CHUNK = 512  # stars looked at together
NEGLIGIBLE = 1e-6  # Fourier amplitudes below this are left out
HALPHA_VACUUM = float(air_to_vacuum(HALPHA))
BALMER = ("balmer_core", "balmer_wing", "balmer_far_wing")
# Spectral type (B0 = -10, A0 = 0) and Balmer absorption of hot stars against A0, after the equivalent widths
# of H-alpha along the main sequence (Gray & Corbally 2009; rounded).
HOT = np.array([(-10, 0.38), (-8, 0.48), (-5, 0.58), (-2, 0.75), (0, 1.0)], dtype=float)

# What counts as emission: see `judge`.
REACH = 750.0  # km/s from the line at rest: maxima further out belong to the continuum
CORE = 600.0  # km/s from the line at rest: where the noise is taken
LEAST_RISE = 0.02  # of the continuum
LEAST_SECOND = 0.15  # of the rise of the highest peak, for a second one
RISE_SIGMA = 3.0  # a peak must rise this many standard deviations of one pixel
BUMP_SNR = 7.0  # and the whole bump must have this signal-to-noise ratio
DIP_SIGMA = 2.5  # between two peaks
LEAST_DIP = 0.05  # of the rise


@dataclass(frozen=True)
class Emitters:
    """n stars with H-alpha emission, one row each."""

    # (n,) str, disc (B and A stars), young (T Tauri and dMe stars) or wind (P Cygni profiles)
    kind: np.ndarray
    number: np.ndarray  # (n,) float64: spectral type, B0 = -10, A0 = 0, ... M0 = 40
    vsini: np.ndarray  # (n,) float64: of the star, km/s
    ew: np.ndarray  # (n,) float64: equivalent width of the emission, Angstrom, positive
    # outer, inner: (n,) float64, projected speeds of the outer and inner edge of the disc, km/s; 0
    # without a disc
    outer: np.ndarray
    inner: np.ndarray
    fall: np.ndarray  # (n,) float64: light of a ring goes as its speed to this power
    lopsided: np.ndarray  # (n,) float64: -1 to 1, how much brighter the receding side is
    turbulence: np.ndarray  # (n,) float64: standard deviation of the motions in the gas, km/s
    # wing, wing_sigma: (n,) float64, share of the light that electrons scatter, and the width that it
    # gets, km/s
    wing: np.ndarray
    wing_sigma: np.ndarray
    # shell, shell_velocity, shell_sigma: (n,) float64, depth, place and width (km/s) of an absorption
    # before star and disc
    shell: np.ndarray
    shell_velocity: np.ndarray
    shell_sigma: np.ndarray
    decrement: np.ndarray  # (n,) float64: equivalent width of H-beta over that of H-alpha

    @property
    def n(self) -> int:
        """Number of stars."""
        return len(self.kind)

    def take(self, rows: np.ndarray) -> "Emitters":
        """Chosen rows."""
        return Emitters(**{field.name: getattr(self, field.name)[rows] for field in fields(self)})


def draw_emitters(
    rng: np.random.Generator, n: int, shares: dict[str, float], typical_ew: float = 6.0
) -> Emitters:
    """Emission-line stars of kinds in the given shares; `typical_ew` (Angstrom) is the median of discs.

    Discs: isotropic inclinations, stars that rotate at 0.6 to 0.9 of 450 km/s, discs of 2 to 15 stellar radii
    in Keplerian rotation (peaks 60 to 500 km/s apart), a mode of one arm that makes V and R differ, and a
    shell absorption in most of those seen edge on (Porter & Rivinius 2003, PASP 115, 1153).
    """
    kind = rng.choice(list(shares), n, p=np.array(list(shares.values())) / sum(shares.values()))
    disc, young = kind == "disc", kind == "young"
    sin_i = np.sqrt(1 - rng.uniform(0, 1, n) ** 2)
    radius = 2.0 * (7.5 ** rng.uniform(0, 1, n))
    inner = 450.0 * sin_i * rng.uniform(0.85, 1.0, n)
    edge_on = disc & (sin_i > 0.93) & (rng.random(n) < 0.7)
    ew = np.where(
        disc,
        typical_ew * (radius / 5) ** 0.8 * rng.lognormal(0, 0.8, n),
        np.where(young, rng.lognormal(np.log(8.0), 0.7, n), rng.lognormal(np.log(12.0), 0.7, n)),
    )
    number = np.where(
        disc,
        np.clip(rng.normal(-4, 4, n), -10, 6),
        np.where(young, np.clip(rng.normal(40, 4, n), 32, 46), rng.uniform(-10, 0, n)),
    )
    # In the red continuum of M stars faint lines drown: what is called active has more than 2 Angstrom.
    ew = np.clip(np.where(young, ew + 2, ew), 0.2, 120)
    rotation = 450 * sin_i * rng.uniform(0.6, 0.9, n)
    return Emitters(
        kind=kind,
        number=number,
        vsini=np.where(young, rng.uniform(5, 30, n), np.where(disc, rotation, rng.uniform(20, 120, n))),
        ew=ew,
        outer=np.where(disc, inner / np.sqrt(radius), 0.0),
        inner=np.where(disc, inner, 0.0),
        fall=rng.uniform(-1.0, 0.5, n),
        lopsided=np.where(disc, np.clip(rng.normal(0, 0.2, n), -0.6, 0.6), 0.0),
        turbulence=np.where(
            disc, rng.uniform(12, 35, n), np.where(young, rng.uniform(20, 110, n), rng.uniform(40, 140, n))
        ),
        wing=np.where(disc, rng.uniform(0.05, 0.4, n), 0.0),
        wing_sigma=rng.uniform(250, 550, n),
        shell=np.where(
            edge_on, rng.uniform(0.4, 0.9, n), np.where(kind == "wind", rng.uniform(0.3, 0.8, n), 0.0)
        ),
        shell_velocity=np.where(kind == "wind", -rng.uniform(100, 300, n), rng.normal(0, 8, n)),
        shell_sigma=np.where(kind == "wind", rng.uniform(40, 110, n), rng.uniform(25, 60, n)),
        decrement=np.where(young, rng.uniform(0.2, 0.5, n), rng.uniform(0.02, 0.25, n)),
    )


def emission_profiles(stars: Emitters, sigma: float, offset: float | np.ndarray = 0.0) -> np.ndarray:
    """Light of the lines (n, PATCH), 1 in all, per km/s, at `VELOCITY` + `offset`.

    `sigma` is the line spread of the spectrograph, km/s; `offset`, (n,) or one number, km/s: minus the
    velocity of a star moves its line there.
    """
    frequency = 2 * np.pi * np.fft.rfftfreq(PATCH, STEP)
    some = np.exp(-0.5 * (frequency * sigma) ** 2) > NEGLIGIBLE
    k = frequency[some]
    place = np.linspace(0, 1, RINGS)
    inner, outer = np.maximum(stars.inner, 1e-3), np.maximum(stars.outer, 1e-3)
    speed = outer[:, None] * (inner / outer)[:, None] ** place
    light = speed ** stars.fall[:, None]
    light /= light.sum(axis=1, keepdims=True)
    real, imaginary = np.zeros((2, stars.n, k.size))
    for j in range(RINGS):
        phase = speed[:, j, None] * k
        real += light[:, j, None] * j0(phase)
        imaginary -= light[:, j, None] * j1(phase)
    disc = real + 1j * stars.lopsided[:, None] * imaginary
    spread = np.exp(-0.5 * (k**2 * stars.turbulence[:, None] ** 2))
    wing = stars.wing[:, None]
    scattered = np.exp(-0.5 * (k * stars.wing_sigma[:, None]) ** 2)
    transform = np.zeros((stars.n, frequency.size), dtype=complex)
    start = np.broadcast_to(np.asarray(offset, dtype=float), stars.n)[:, None] + VELOCITY[0]
    transform[:, some] = disc * spread * (1 - wing + wing * scattered)
    transform[:, some] *= np.exp(-0.5 * (k * sigma) ** 2 + 1j * k * start)
    return np.fft.irfft(transform, PATCH, axis=1) / STEP


def shells(stars: Emitters, sigma: float, offset: float | np.ndarray = 0.0) -> np.ndarray:
    """Transmission (n, PATCH) of the absorption before star and disc, at `VELOCITY` + `offset`."""
    width = np.hypot(stars.shell_sigma, sigma)
    depth = stars.shell * stars.shell_sigma / width
    place = VELOCITY + np.broadcast_to(np.asarray(offset, dtype=float), stars.n)[:, None]
    apart = (place - stars.shell_velocity[:, None]) / width[:, None]
    return 1 - depth[:, None] * np.exp(-0.5 * apart**2)


def hot_balmer(number: np.ndarray) -> np.ndarray:
    """Balmer absorption (n,) of types against A0: below 1 for B stars, 1 for all others."""
    return np.interp(number, HOT[:, 0], HOT[:, 1])


@cache
def _balmer() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """On the patch: types of nodes (k,), Balmer strengths (k, 3), optical depths (3, PATCH) at R = 1800."""
    start = np.log10(HALPHA_VACUUM) - STEP_DEX * (PATCH // 2)
    model = load_bands(LogGrid(start, STEP_DEX, PATCH))
    rows = [model.species.index(name) for name in BALMER]
    return model.number, model.strength[:, rows], model.depth[rows]


def photospheres(number: np.ndarray) -> np.ndarray:
    """H-alpha absorption (n, PATCH) of stars of types (n,) at R = 1800, 1 in the continuum, no other line."""
    nodes, strength, depth = _balmer()
    own = np.stack([np.interp(number, nodes, column) for column in strength.T], axis=1)
    return np.exp(-(own * hot_balmer(number)[:, None]) @ depth)


def seen_profiles(stars: Emitters, sigma: float = SIGMA_KMS) -> np.ndarray:
    """Profiles (n, PATCH) without noise, at rest, over the continuum, at a line spread of `sigma` km/s."""
    light = stars.ew[:, None] * emission_profiles(stars, sigma) * C_KMS / HALPHA_VACUUM
    return (photospheres(stars.number) + light) * shells(stars, sigma)


@dataclass(frozen=True)
class Sight:
    """The class of n profiles for a careful person."""

    # (n,) float64, height of the highest peak over the higher of the two minima beside it, over the
    # continuum
    rise: np.ndarray
    # (n,) float64, depth of the valley between the two highest peaks below the lower of them, 0 with one
    # peak
    dip: np.ndarray
    separation: np.ndarray  # (n,) float64: between those two, km/s; 0 with one peak
    # rise_sigma, dip_sigma, bump_snr: (n,) float64, rise and dip over the noise of a pixel of LAMOST-LRS;
    # signal-to-noise ratio of the whole bump
    rise_sigma: np.ndarray
    dip_sigma: np.ndarray
    bump_snr: np.ndarray

    @property
    def margin(self) -> np.ndarray:
        """By which factor (n,) the emission passes (above 1) or fails the rule of `visible`."""
        return np.minimum.reduce(
            [self.rise / LEAST_RISE, self.rise_sigma / RISE_SIGMA, self.bump_snr / BUMP_SNR]
        )

    @property
    def double_margin(self) -> np.ndarray:
        """By which factor (n,) the dip between the peaks passes or fails the rule of `double`."""
        relative = self.dip / np.maximum(LEAST_DIP * self.rise, 1e-9)
        return np.minimum.reduce([self.dip / LEAST_RISE, self.dip_sigma / DIP_SIGMA, relative])

    @property
    def visible(self) -> np.ndarray:
        """Emission (n,) bool."""
        return self.margin >= 1

    @property
    def double(self) -> np.ndarray:
        """Emission with two peaks (n,) bool."""
        return self.visible & (self.double_margin >= 1)


def judge(profiles: np.ndarray, noise: np.ndarray) -> Sight:
    """Whether a careful person would see emission, and one peak or two.

    Emission is a peak of the noiseless profile within `REACH` of the line at rest, at the resolution of the
    survey, that rises out of its surroundings (the continuum, or the absorption in which it sits: the higher
    of the lowest points beside it) by at least `LEAST_RISE` of the continuum, by `RISE_SIGMA` times the noise
    of one pixel, and as a whole with a signal-to-noise ratio of `BUMP_SNR`. Weaker emission, and emission
    that only fills an absorption line without making a peak, is no emission: it is invisible. Two peaks are
    double if the dip between them is at least `LEAST_RISE` of the continuum, `LEAST_DIP` of the rise, and
    `DIP_SIGMA` times the noise.

    Parameters
    ----------
    profiles : (n, PATCH) without noise and at rest, at `VELOCITY`, 1 in the continuum
    noise : (n,) standard deviation of one pixel of LAMOST-LRS, over the continuum; inf where the line is lost
    """
    n = len(profiles)
    row, column = np.arange(n), np.arange(PATCH)
    top = np.zeros(profiles.shape, dtype=bool)
    inside = slice(1, PATCH - 1)
    top[:, inside] = (profiles[:, inside] > profiles[:, :-2]) & (profiles[:, inside] >= profiles[:, 2:])
    top &= np.abs(VELOCITY) <= REACH
    some = top.any(axis=1)
    first = np.where(top, profiles, -np.inf).argmax(axis=1)
    height = profiles[row, first][:, None]
    left, right = column < first[:, None], column > first[:, None]
    higher = profiles > height
    # The terrain on either side that is reached without crossing higher ground.
    low = np.where(left & higher, column, -1).max(axis=1)[:, None]
    high = np.where(right & higher, column, PATCH).min(axis=1)[:, None]
    beside = [np.where(side, profiles, np.inf) for side in (left & (column > low), right & (column < high))]
    foot = np.maximum.reduce([np.minimum(x.min(axis=1), height[:, 0]) for x in beside])
    rise = np.where(some, height[:, 0] - foot, 0.0)

    # The saddle towards every other place: the lowest point on the way.
    onward = np.minimum.accumulate(np.where(~left, profiles, np.inf), axis=1)
    back = np.minimum.accumulate(np.where(~right, profiles, np.inf)[:, ::-1], axis=1)[:, ::-1]
    valley = np.where(right, onward, back)
    # The edge of a P Cygni absorption is no peak: it hardly rises over what lies outside.
    outside_left = np.minimum.accumulate(profiles, axis=1)
    outside_right = np.minimum.accumulate(profiles[:, ::-1], axis=1)[:, ::-1]
    outer_rise = profiles - np.where(right, outside_right, outside_left)
    real = top & (column != first[:, None]) & (outer_rise >= LEAST_SECOND * rise[:, None])
    dips = np.where(real, np.minimum(profiles - valley, outer_rise), 0.0)
    second = dips.argmax(axis=1)
    dip = dips[row, second]
    separation = np.where(dip > 0, np.abs(VELOCITY[second] - VELOCITY[first]), 0.0)

    bump = np.where((column > low) & (column < high), np.maximum(profiles - foot[:, None], 0), 0.0)
    bump[:, np.abs(VELOCITY) > 2 * REACH] = 0
    energy = np.sqrt((bump**2).sum(axis=1) / OVERSAMPLE)
    noise = np.asarray(noise, dtype=float)
    return Sight(rise, dip, separation, rise / noise, dip / noise, np.where(some, energy / noise, 0.0))


def look(stars: Emitters, noise: np.ndarray, sigma: float = SIGMA_KMS) -> Sight:
    """`judge` stars (n,) by what a spectrograph of line spread `sigma` sees; `noise` (n,) as there."""
    rows = [np.arange(start, min(start + CHUNK, stars.n)) for start in range(0, max(stars.n, 1), CHUNK)]
    parts = [judge(seen_profiles(stars.take(some), sigma), noise[some]) for some in rows]
    return Sight(*(np.concatenate([getattr(p, field.name) for p in parts]) for field in fields(Sight)))
