"""A labelled set like that of Ondrejov's CCD700, and a LAMOST pool in which emission-line stars are rare.

The labelled spectra are well exposed stars of types B to K at R = 13 000. The pool is what a survey delivers:
stars of all types and brightness, cool stars whose bands look like emission, broken spectra, noise.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
from threadpoolctl import threadpool_limits

from starsift.catalog.naming import designation
from starsift.demo import common
from starsift.demo.common import BOOL, INT8, INT32, INT64, REAL, TEXT
from starsift.demo.lrs import (
    CHUNK,
    LAYOUTS,
    Spectra,
    as_rows,
    band_snr,
    catalog_columns,
    expose,
    noiseless,
    write_files,
)
from starsift.demo.lrs_sky import STELLAR, Observed, Sources, assign_fibers
from starsift.demo.ondrejov import CLEAR, UNUSED_CODE, helium_strength, write_labelled
from starsift.demo.sky import PATCH as FIELD_PATCH
from starsift.demo.sky import Plan
from starsift.errors import SettingsError
from starsift.io.parquet import write_parquet
from starsift.learning.labels import LABELS
from starsift.searches.emission.classes import CLASSES
from starsift.sky.air import air_to_vacuum
from starsift.sky.constants import C_KMS
from starsift.spectra.resample import LAMOST_LRS
from starsift.synthesis.bands import HALPHA, M0, SIGMA_KMS, black_body, lrs_bands, unit_r
from starsift.synthesis.degrade import shift
from starsift.synthesis.emission_lines import (
    BALMER,
    CORE,
    HALPHA_VACUUM,
    OVERSAMPLE,
    Emitters,
    draw_emitters,
    emission_profiles,
    hot_balmer,
    look,
    seen_profiles,
    shells,
)

# Sources of the pool that are no emission-line stars. The rest are stars of types B to K.
POOL = {
    "dwarf": 0.11,
    "giant": 0.05,
    "carbon": 0.01,
    "white_dwarf": 0.01,
    "galaxy": 0.03,
    "junk": 0.06,
    "empty": 0.02,
}
DEFECTS = {"gap": 0.25, "spike": 0.12, "sawtooth": 0.25, "step": 0.2, "wave": 0.18}  # near H alpha: shares
BROKEN = 0.07  # share of spectra of stars with such a defect
DEFECTIVE = 0.02  # and of those with any other: see `degrade.damage`
AGAIN, EMITTERS_AGAIN = 0.04, 0.2  # shares of spectra that are of a source seen before
DOUBLE = 0.35  # share of double peaks among emission spectra
WEAK = 0.3  # stars whose emission is too weak to be seen, for each whose is not
FAST = {"emitter": 0.08, "other": 0.015}  # shares of stars with high velocities
FAST_KMS = (250.0, 700.0)
EMITTER_KINDS = {"disc": 0.7, "young": 0.22, "wind": 0.08}
FIELD = (83.0, 27.0)  # ICRS degrees: towards Taurus and Auriga
FIRST_NIGHT = 56_600
POSITION_ERROR = 0.5  # arcsec, from visit to visit
OBSID_OFFSET = 100_000_000  # other simulated surveys have smaller identifiers
VETTER = "truth"


def simulate_emission(
    folder: str | Path,
    *,
    seed: int,
    n_labelled: int = 1500,
    n_pool: int = 8000,
    emitters: float = 0.005,
    n_plans: int = 4,
    n_spectrographs: int = 14,
    layout: Literal["image", "table", "both"] = "both",
) -> dict[str, int]:
    """Write a labelled set of Ondrejov and a pool of LAMOST low-resolution spectra.

    `folder` receives ``ondrejov/*.fits`` and ``labels.csv``, the labelled set; ``spectra/{lmjd}/{planid}/
    spec-*.fits.gz`` and ``pool.fits``, the pool and its catalogue; ``truth.parquet``; and ``oracle.parquet``,
    the truth as an export of labels.

    What counts as emission is decided by `emission_lines.judge` from the noiseless profile at the resolution
    of the survey and the noise of each spectrum: a peak that a careful person would see. An emission-line
    star whose peak drowns in noise, or lies on lost pixels, is uninteresting, as everything else is.

    Parameters
    ----------
    seed : of everything; equal seeds and settings give equal bytes
    n_labelled, n_pool : spectra with one of the three labels (3 % more have the unused one), and in the pool
    emitters : share of the pool's spectra with visible emission, about
    n_plans, n_spectrographs : int
        Size; all plans look at one field. Without a second one no source is observed twice.
    layout : as in `simulate_lrs`

    Returns
    -------
    dict
        Counts: labelled, unused, pool, single, double, weak (spectra of emission-line stars that show none).

    Raises SettingsError if the survey cannot have this size.
    """
    common.check_size(layout, LAYOUTS, n_spectrographs, n_plans=n_plans, n_labelled=n_labelled, n_pool=n_pool)
    if not 0 <= emitters <= 0.3:
        raise SettingsError(f"the share of emission spectra is {emitters:g}, expected 0 to 0.3")
    out = Path(folder)
    out.mkdir(parents=True, exist_ok=True)
    first, second = np.random.default_rng(seed).spawn(2)
    # One thread for each matrix product: how threads share one changes the last bit.
    with threadpool_limits(1, user_api="blas"):
        codes = write_labelled(out, first, n_labelled)
        truth = _write_pool(out, second, n_pool, emitters, n_plans, n_spectrographs, layout)
    label = np.array(truth["label"].to_pylist())
    role = np.array(truth["role"].to_pylist())
    return {
        "labelled": int((codes != UNUSED_CODE).sum()),
        "unused": int((codes == UNUSED_CODE).sum()),
        "pool": truth.num_rows,
        "single": int((label == CLASSES[0]).sum()),
        "double": int((label == CLASSES[1]).sum()),
        "weak": int((role == "weak").sum()),
    }


@dataclass(frozen=True)
class _Pool:
    """Sources, and n spectra of them in the order of plan, spectrograph and fibre."""

    sources: Sources  # `kind` is what lies beneath: a star or dwarf below each emission-line star
    kind: np.ndarray  # (sources,) str: what the source is, see `_truth`
    # stars, star: Emitters and (sources,) int, emission-line stars, and their row, -1 for all others
    stars: Emitters
    star: np.ndarray
    seen: Observed
    # role, defect: (n,) str
    role: np.ndarray
    defect: np.ndarray
    defective: np.ndarray  # (n,) bool: a defect that is none of `DEFECTS`


def _draw_snr(rng: np.random.Generator, kind: np.ndarray) -> np.ndarray:
    """Signal-to-noise ratios (n,), median a pixel in r: some 28 of most stars, many cool ones are faint."""
    n = len(kind)
    faint = rng.random(n) < np.where(np.isin(kind, ("dwarf", "carbon", "white_dwarf", "galaxy")), 0.4, 0.13)
    snr = np.where(faint, rng.lognormal(np.log(6), 0.6, n), rng.lognormal(np.log(28), 0.6, n))
    snr = np.where(kind == "junk", rng.lognormal(np.log(4), 0.8, n), snr)
    return np.clip(snr, 1.0, 180.0)


def _choose_emitters(rng: np.random.Generator, n: int, n_weak: int) -> tuple[Emitters, np.ndarray]:
    """Emission-line stars and their S/N: n with clear emission, then `n_weak` whose emission drowns."""
    draws = 16 * (n + n_weak) + 300
    stars = draw_emitters(rng, draws, EMITTER_KINDS)
    # Weak emission is as common as strong, and most of it is lost in the absorption line.
    pale = (stars.kind == "disc") & (rng.random(draws) < 0.35)
    stars = replace(stars, ew=np.where(pale, 0.25 * stars.ew, stars.ew))
    snr = _draw_snr(rng, np.full(draws, "star"))
    sight = look(stars, 1 / snr)
    clear = sight.margin >= CLEAR
    double = np.flatnonzero(clear & (sight.double_margin >= CLEAR))
    single = np.flatnonzero(clear & (sight.double_margin < 1 / CLEAR))
    weak = np.flatnonzero((sight.margin > 0.05) & (sight.margin < 1 / CLEAR))
    n_double = round(DOUBLE * n)
    rows = np.concatenate([rng.permutation(np.r_[single[: n - n_double], double[:n_double]]), weak[:n_weak]])
    return stars.take(rows), snr[rows]


def _positions(
    rng: np.random.Generator, n: int, spectrographs: list[int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Spectrograph, right ascension and declination (n,) of sources, never closer than fibres can be."""
    spid = np.asarray(spectrographs)[rng.permutation(n) % len(spectrographs)]
    side = int(np.ceil(np.sqrt(-(-n // len(spectrographs)))))
    cell = np.empty(n, dtype=np.int64)
    for one in spectrographs:
        rows = np.flatnonzero(spid == one)
        cell[rows] = rng.permutation(side * side)[: len(rows)]
    x, y = ((k + 0.5 + rng.uniform(-0.35, 0.35, n)) / side - 0.5 for k in (cell % side, cell // side))
    patch = spid - 1
    east = (patch % 4 - 1.5 + 0.96 * x) * FIELD_PATCH
    dec = FIELD[1] + (patch // 4 - 1.5 + 0.96 * y) * FIELD_PATCH
    return spid, (FIELD[0] + east / np.cos(np.radians(dec))) % 360, dec


def _type_numbers(rng: np.random.Generator, kind: np.ndarray) -> np.ndarray:
    """Spectral types (n,) of sources that are no emission-line stars, NaN of what has none."""
    n = len(kind)
    star = rng.choice([-10, 0, 10, 20, 30], n, p=[0.07, 0.2, 0.29, 0.26, 0.18]) + rng.uniform(0, 10, n)
    number = np.where(kind == "star", np.minimum(star, 37.4), np.nan)
    dwarf = M0 + np.clip(rng.gamma(1.6, 1.7, n), 0, 8.5)
    giant = M0 + np.clip(rng.gamma(1.5, 1.6, n), 0, 8.5)
    return np.select([kind == "dwarf", kind == "giant"], [dwarf, giant], number)


def _draw_pool(
    rng: np.random.Generator, n_pool: int, emitters: float, n_plans: int, spectrographs: list[int]
) -> _Pool:
    """Sources and which of their spectra there are."""
    n_bright = round(emitters * n_pool)
    more_bright = round(EMITTERS_AGAIN * n_bright) if n_plans > 1 else 0
    n_weak = min(round(WEAK * n_bright), n_pool - n_bright)
    again = round(AGAIN * n_pool) if n_plans > 1 else 0
    stars, star_snr = _choose_emitters(rng, n_bright - more_bright, n_weak)
    n_plain = max(0, n_pool - stars.n - more_bright - again)
    again = n_pool - stars.n - more_bright - n_plain
    counts = {name: round(share * n_plain) for name, share in POOL.items()}
    plain = np.repeat([*counts, "star"], [*counts.values(), max(0, n_plain - sum(counts.values()))])[:n_plain]
    kind = np.concatenate([stars.kind, plain]).astype("U11")
    n = len(kind)
    order = rng.permutation(n)
    kind, star = kind[order], np.where(np.arange(n) < stars.n, np.arange(n), -1)[order]
    emitter = star >= 0
    number = _type_numbers(rng, kind)
    number[emitter] = stars.number[star[emitter]]
    base = np.where(emitter, np.where(number >= M0 - 1, "dwarf", "star"), kind)
    snr = _draw_snr(rng, kind)
    snr[emitter] = star_snr[star[emitter]]
    stellar = np.isin(base, STELLAR)
    fast = rng.random(n) < np.where(emitter, *FAST.values())
    rv = np.where(fast, rng.choice([-1, 1], n) * rng.uniform(*FAST_KMS, n), rng.normal(0, 40, n))
    parameter = np.full(n, np.nan)
    # No strong line of a galaxy at these redshifts is redshifted to H alpha.
    for name, low, high in (("white_dwarf", 7e3, 28e3), ("carbon", 2.9e3, 4.2e3), ("galaxy", 0.04, 0.29)):
        parameter[kind == name] = rng.uniform(low, high, (kind == name).sum())
    spid, ra, dec = _positions(rng, n, spectrographs)
    magnitude = np.full((n, 6), np.nan)
    magnitude[:, 0] = 16.8 - 2.5 / 0.75 * np.log10(snr / 10) + rng.normal(0, 0.3, n)
    none = np.zeros(n)
    sources = Sources(
        group=np.full(n, "released"),
        kind=base,
        snr=snr,
        number=number,
        parameter=parameter,
        feh=np.clip(rng.normal(-0.2, 0.25, n), -1.5, 0.4),
        ewha=none,
        population=np.full(n, ""),
        field=np.zeros(n, dtype=int),
        spid=spid,
        ra=ra,
        dec=dec,
        distance=none,
        extinction=np.where(stellar, rng.gamma(1.5, 0.5, n), 0.0),
        velocity=np.zeros((n, 3)),
        rv=np.where(stellar, rv, 0.0),
        parallax=none,
        pmra=none,
        pmdec=none,
        magnitude=magnitude,
        m_g=none,
        gaia=4_000_000_000_000_000_000 + np.arange(n) * 1_000_000_000 + rng.integers(0, 1_000_000_000, n),
    )

    # The first clear emitter is seen three times if there are as many plans, some others twice.
    bright = rng.permutation(np.flatnonzero(emitter & (star < n_bright - more_bright)))
    extra = np.resize(bright[: max(1, more_bright - 1)], more_bright) if n_plans > 2 else bright[:more_bright]
    others = np.flatnonzero(~emitter & stellar)
    twice = rng.choice(others, min(again, others.size), replace=False)
    source = np.concatenate([np.arange(n), extra, twice])
    visit = np.zeros(len(source), dtype=np.int64)
    for i in range(n, len(source)):
        visit[i] = (source[:i] == source[i]).sum()
    plan = ((rng.permutation(n) % n_plans)[source] + visit) % n_plans
    ratio = snr[source] * np.where(visit > 0, rng.lognormal(0, 0.3, len(source)), 1.0)
    place, fiberid = assign_fibers(rng, plan, spid[source])
    source, plan, ratio = source[place], plan[place], ratio[place]
    role = np.where(emitter, np.where(star < n_bright - more_bright, "target", "weak"), "pool")[source]
    eligible = (role == "pool") & stellar[source]
    damaged = eligible & (rng.random(len(source)) < BROKEN)
    defect = np.where(damaged, rng.choice(list(DEFECTS), len(source), p=list(DEFECTS.values())), "none")
    defective = (role == "pool") & ~damaged & (rng.random(len(source)) < DEFECTIVE)
    seen = Observed(source, np.ones(len(source), dtype=bool), ratio, plan, spid[source], fiberid)
    return _Pool(sources, kind, stars, star, seen, role, np.where(defective, "other", defect), defective)


def _make_plans(rng: np.random.Generator, n_plans: int) -> list[Plan]:
    plans, lmjd = [], FIRST_NIGHT
    for i in range(n_plans):
        name = f"GAC{FIELD[0]:03.0f}N{FIELD[1]:02.0f}{'BMFV'[i % 4]}{i + 1}"
        plans.append(Plan(name, lmjd, (lmjd * 1440 - 60 * int(rng.integers(1, 4)),), 1.0))
        lmjd += int(rng.integers(11, 60))
    return plans


HELIUM_LINES = ((4026.2, 0.8), (4471.5, 1.0), (5875.6, 1.0), (6678.15, 1.0), (7065.2, 0.6))  # air Angstrom
HELIUM_DEPTH = 0.08  # at R = 1800, where the strength is 1
LINE_PATCH = 64  # pixels on either side of a line
HELIUM_SHARE = 0.03  # of H-alpha emission, in He I 6678 of hot discs
BALMER_LINES = ((HALPHA, 1.0), (4861.33, 1.0), (4340.47, 0.5))  # air Angstrom, share of the decrement
REJECTED, REJECTED_RISE = 0.5, 1.0  # share of strong peaks that the survey takes for cosmic rays


def _make_hot(flux: np.ndarray, number: np.ndarray, rv: np.ndarray) -> np.ndarray:
    """Spectra (n, p) of A0 stars as those of B stars of types (n,), at velocities (n,) km/s."""
    model = lrs_bands()
    wavelength = LAMOST_LRS.wavelength
    strength, temperature = model.strengths(np.zeros(1))
    rows = [model.species.index(name) for name in BALMER]
    balmer = strength[0, rows] @ model.depth[rows]
    lines = np.zeros_like(balmer)
    for air, share in HELIUM_LINES:
        apart = (wavelength / float(air_to_vacuum(air)) - 1) * C_KMS / 90.0
        lines += share * HELIUM_DEPTH * np.exp(-0.5 * apart**2)
    change = (1 - hot_balmer(number))[:, None] * balmer - helium_strength(number)[:, None] * lines
    colour = black_body(wavelength, np.interp(number, [-10, 0], [28_000.0, temperature[0]]))
    colour = colour / black_body(wavelength, temperature)
    return unit_r(flux * colour * shift(LAMOST_LRS, np.exp(change), rv), wavelength)


def add_lines(flux: np.ndarray, stars: Emitters, rv: np.ndarray) -> None:
    """Add the lines of emission-line stars at velocities (n,) km/s to their spectra (n, p), in place."""
    helium = HELIUM_SHARE * (stars.number < -2)
    lines = [(air, share * (1.0 if air == HALPHA else stars.decrement)) for air, share in BALMER_LINES]
    for air, share in [*lines, (6678.15, helium)]:
        line = float(air_to_vacuum(air))
        centre = round((np.log10(line) - LAMOST_LRS.log10_lambda0) / LAMOST_LRS.dlog10_lambda)
        near = slice(centre - LINE_PATCH, centre + LINE_PATCH)
        offset = C_KMS * np.log(LAMOST_LRS.wavelength[centre] / line) - rv
        patch = flux[:, near]
        beside = np.r_[0 : LINE_PATCH // 2, 3 * LINE_PATCH // 2 : 2 * LINE_PATCH]
        level = np.median(patch[:, beside], axis=1)[:, None]
        profile = emission_profiles(stars, SIGMA_KMS, offset)[:, ::OVERSAMPLE] * C_KMS / line
        patch += level * (stars.ew * share)[:, None] * profile
        if air == HALPHA:
            patch *= shells(stars, SIGMA_KMS, offset)[:, ::OVERSAMPLE]


def _break(
    rng: np.random.Generator,
    flux: np.ndarray,
    ivar: np.ndarray,
    mask: np.ndarray,
    defect: np.ndarray,
    rv: np.ndarray,
) -> None:
    """Give spectra (n, p) the defects (n,) near H alpha, in place: see `DEFECTS`.

    Gaps have no data, or fluxes of 0 that claim to be good; spikes are one or two pixels wide, narrower than
    any line; sawteeth alternate from pixel to pixel; steps scale all that is redder; waves are fringes.
    """
    wavelength = LAMOST_LRS.wavelength
    line = np.searchsorted(wavelength, HALPHA_VACUUM * (1 + rv / C_KMS))
    pixel = np.arange(wavelength.size)
    middle = np.searchsorted(wavelength, HALPHA_VACUUM)
    level = np.median(flux[:, middle - 60 : middle + 60], axis=1)

    def rows_of(name: str) -> np.ndarray:
        return np.flatnonzero(defect == name)

    for i in rows_of("gap"):
        first = line[i] - int(rng.integers(5, 60))
        lost = slice(first, first + int(rng.integers(15, 90)))
        flux[i, lost] = 0.0
        if rng.random() < 0.5:
            ivar[i, lost] = 0.0
            mask[i, lost] = True
    for i in rows_of("spike"):
        for _ in range(int(rng.integers(1, 4))):
            at = line[i] + int(np.clip(rng.normal(0, 15), -28, 100))
            height = level[i] * rng.lognormal(np.log(0.6), 0.8)
            flux[i, at] += height
            flux[i, at + 1] += height * rng.choice([0, 0, 0.5])
    for i in rows_of("sawtooth"):
        period = int(rng.integers(2, 5))
        first, last = line[i] - int(rng.integers(10, 120)), line[i] + int(rng.integers(10, 200))
        tooth = (pixel[first:last] % period) / (period - 1) - 0.5
        jitter = rng.lognormal(0, 0.5, last - first)
        flux[i, first:last] += level[i] * rng.uniform(0.15, 0.9) * tooth * jitter
    for i in rows_of("step"):
        at = line[i] + int(rng.integers(-25, 80))
        flux[i, at:] *= np.exp(rng.choice([-1, 1]) * rng.uniform(0.15, 1.0))
    for i in rows_of("wave"):
        phase = 2 * np.pi * (wavelength / rng.uniform(25, 110) + rng.random())
        flux[i] += level[i] * rng.uniform(0.06, 0.35) * np.sin(phase)


def _observe_pool(rng: np.random.Generator, pool: _Pool) -> tuple[Spectra, np.ndarray]:
    """Spectra of the pool, and the noise (n,) of a pixel at H alpha over the continuum, inf where lost."""
    sources, seen = pool.sources, pool.seen
    n, p = len(seen.source), LAMOST_LRS.pixels
    flux, ivar = np.empty((2, n, p), dtype=np.float32)
    and_mask, or_mask = np.empty((2, n, p), dtype=bool)
    noise = np.full(n, np.inf)
    for start in range(0, n, CHUNK):
        part = slice(start, start + CHUNK)
        row = seen.source[part]
        rv = sources.rv[row]
        ideal = noiseless(rng, sources, row)
        hot = np.flatnonzero(sources.number[row] < 0)
        ideal[hot] = _make_hot(ideal[hot], sources.number[row[hot]], rv[hot])
        bright = np.flatnonzero(pool.star[row] >= 0)
        stars = pool.stars.take(pool.star[row[bright]])
        shining = ideal[bright]
        add_lines(shining, stars, rv[bright])
        ideal[bright] = shining
        f, w, a, o = expose(rng, ideal, seen.snr[part], pool.defective[part])
        noise[part][bright] = line_noise(f[bright], w[bright], rv[bright])
        reject_peaks(rng, w, bright, stars, rv)
        _break(rng, f, w, a, pool.defect[part], rv)
        flux[part], ivar[part], and_mask[part], or_mask[part] = f, w, a, o | a
    return Spectra(flux, ivar, and_mask, or_mask, pool.defect != "none"), noise


def line_noise(flux: np.ndarray, ivar: np.ndarray, rv: np.ndarray) -> np.ndarray:
    """Noise (n,) of a pixel at H alpha over the continuum; inf where half of the pixels are lost."""
    speed = C_KMS * np.log(LAMOST_LRS.wavelength / HALPHA_VACUUM) - rv[:, None]
    core = (np.abs(speed) < CORE) & (ivar > 0)
    beside = (np.abs(speed) > 2000) & (np.abs(speed) < 5000)
    level = np.array([np.median(row[at]) for row, at in zip(flux, beside, strict=True)])
    number = core.sum(axis=1)
    variance = np.where(core, 1 / np.where(core, ivar, 1), 0).sum(axis=1) / np.maximum(number, 1)
    enough = (number > 0.5 * 2 * CORE / (C_KMS * np.log(10) * LAMOST_LRS.dlog10_lambda)) & (level > 0)
    return np.where(enough, np.sqrt(variance) / np.where(enough, level, 1), np.inf)


def reject_peaks(
    rng: np.random.Generator, ivar: np.ndarray, rows: np.ndarray, stars: Emitters, rv: np.ndarray
) -> None:
    """Take their weight from the tops of some strong peaks, as LAMOST does (section 3.1), in place."""
    profile = seen_profiles(stars)
    top = profile.max(axis=1, initial=0)
    for k in np.flatnonzero((top - 1 > REJECTED_RISE) & (rng.random(len(rows)) < REJECTED)):
        i = rows[k]
        at = np.searchsorted(LAMOST_LRS.wavelength, HALPHA_VACUUM * (1 + rv[i] / C_KMS))
        width = int(rng.integers(1, 4))
        ivar[i, at - width : at + width] = 0.0


def _write_pool(
    out: Path,
    rng: np.random.Generator,
    n_pool: int,
    emitters: float,
    n_plans: int,
    n_spectrographs: int,
    layout: str,
) -> pa.Table:
    """Files, catalogue, truth and oracle of the pool; returns the truth."""
    plans = _make_plans(rng, n_plans)
    pool = _draw_pool(rng, n_pool, emitters, n_plans, common.choose_spectrographs(n_spectrographs))
    spectra, noise = _observe_pool(rng, pool)
    n = len(noise)
    catalog = catalog_columns(
        rng, pool.sources, pool.seen, plans, np.zeros(pool.sources.n, dtype=bool), band_snr(spectra)
    )
    # A pipeline classifies what looks like a star.
    known = np.isin(pool.sources.kind[pool.seen.source], STELLAR) & (pool.seen.snr > 3)
    for name, value in (("class", "UNKNOWN"), ("subclass", "Non"), ("z", -9999), ("rv", -9999)):
        catalog[name] = np.where(known, catalog[name], value).astype(catalog[name].dtype)
    catalog["obsid"] = catalog["obsid"] + OBSID_OFFSET
    moved = np.clip(rng.normal(0, POSITION_ERROR, (2, n)), -2, 2) / 3600
    catalog["dec"] = (catalog["dec"] + moved[0]).round(7)
    catalog["ra"] = (catalog["ra"] + moved[1] / np.cos(np.radians(catalog["dec"]))).round(7)
    names = designation(catalog["ra"], catalog["dec"])
    catalog["designation"] = names.to_numpy(zero_copy_only=False).astype(str)
    layouts = common.choose_layouts(layout, LAYOUTS, n_plans)[pool.seen.plan]
    rows = as_rows(catalog | {"plan": pool.seen.plan, "layout": layouts})
    write_files(out / "spectra", rows, plans, spectra)
    common.write_catalog(out / "pool.fits", catalog)
    truth = _truth(pool, catalog, noise, layouts)
    write_parquet(truth, out / "truth.parquet", sort_by=["spectrum_id"])
    write_parquet(
        oracle_labels(truth), out / "oracle.parquet", sort_by=["search", "spectrum_id", "vetted_by"]
    )
    return truth


def _truth(pool: _Pool, catalog: Mapping[str, np.ndarray], noise: np.ndarray, layout: np.ndarray) -> pa.Table:
    sources, seen = pool.sources, pool.seen
    row = seen.source
    star = pool.star[row]
    bright = star >= 0
    own = pool.stars.take(star[bright])
    sight = look(own, noise[bright])
    n = len(row)
    kind, defect, stellar = pool.kind[row], pool.defect, np.isin(sources.kind[row], STELLAR)

    def spread(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        whole = np.zeros(n)
        whole[bright] = values
        return whole, bright

    emission, double = np.zeros((2, n), dtype=bool)
    emission[bright], double[bright] = sight.visible, sight.double
    useless = np.isin(kind, ("junk", "empty")) | (defect != "none") | (seen.snr < 4)
    oracle = np.select(
        [double, emission, useless, np.isin(kind, ("dwarf", "giant", "carbon")), kind == "galaxy"],
        [CLASSES[1], CLASSES[0], "bad", "cool star", "no line"],
        "absorption",
    )
    ids = [Path(path).name.removesuffix(".fits.gz") for path in catalog["path"]]
    role = np.where(emission, "target", np.where(bright, "weak", "pool"))
    roles = "target (emission), weak (an emission-line star that looks like none) or pool"
    kinds = "disc, young, wind (in emission), star, dwarf, giant, carbon, white_dwarf, galaxy, junk, empty"
    label = np.select([double, emission], [CLASSES[1], CLASSES[0]], CLASSES[2])
    types = sources.number[row]
    known = np.isfinite(types)
    columns = {
        "spectrum_id": (TEXT, "file stem", "", ids),
        "obsid": (INT64, "identifier of the observation", "", catalog["obsid"]),
        "source": (INT32, "row of the source: the same in all its spectra", "", row),
        "visits": (INT8, "spectra of this source", "", np.bincount(row)[row]),
        "role": (TEXT, roles, "", role),
        "kind": (TEXT, kinds, "", kind),
        "defect": (
            TEXT,
            "gap, spike, sawtooth, step or wave at H alpha, other elsewhere; or none",
            "",
            defect,
        ),
        "label": (TEXT, "class: single peak, double peak or uninteresting", "", label),
        "oracle": (TEXT, "label by a careful person, a label of the emission search", "", oracle),
        "emission": (BOOL, "single or double peak", "", emission),
        "type_number": (REAL, "B0 = -10, A0 = 0, F0 = 10, G0 = 20, K0 = 30, M0 = 40", "", types, known),
        "ewha": (REAL, "equivalent width of the H-alpha emission", "Angstrom", *spread(own.ew)),
        "rise": (
            REAL,
            "of the highest peak over its surroundings, over the continuum, R = 1800",
            "",
            *spread(sight.rise),
        ),
        "rise_sigma": (REAL, "the same over the noise of one pixel", "", *spread(sight.rise_sigma)),
        "bump_snr": (REAL, "signal-to-noise ratio of the whole peak", "", *spread(sight.bump_snr)),
        "dip": (REAL, "between the two highest peaks, over the continuum, R = 1800", "", *spread(sight.dip)),
        "dip_sigma": (REAL, "the same over the noise of one pixel", "", *spread(sight.dip_sigma)),
        "separation": (REAL, "of the two highest peaks, R = 1800", "km/s", *spread(sight.separation)),
        "rv": (REAL, "heliocentric velocity of stars", "km/s", sources.rv[row], stellar),
        "z": (REAL, "redshift of galaxies", "", sources.parameter[row], kind == "galaxy"),
        "snr": (REAL, "median S/N a pixel, 5600-6950 Angstrom, that the noise was made for", "", seen.snr),
        "defective": (BOOL, "any defect", "", defect != "none"),
        "layout": (TEXT, "image or table", "", layout),
    }
    return common.described_table(columns)


def oracle_labels(truth: pa.Table) -> pa.Table:
    """The truth as labels that somebody gave, in the columns of an export of the label store."""
    n = truth.num_rows
    columns = {
        "search": pa.array(["emission"] * n),
        "spectrum_id": truth["spectrum_id"],
        "label": truth["oracle"],
        "vetted_by": pa.array([VETTER] * n),
        "flag": pa.array([False] * n),
        "comment": pa.nulls(n, pa.string()),
        "queue": pa.array(["simulated"] * n),
        "time": pa.array([0] * n, pa.timestamp("ms", tz="UTC")),
        "version": pa.array([VETTER] * n),
    }
    return pa.table(columns).cast(LABELS)
