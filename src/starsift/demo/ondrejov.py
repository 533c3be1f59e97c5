"""Labelled spectra of the Ondrejov coude spectrograph, simulated: the training set of the emission search."""

import csv
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa

from starsift.demo import fitswriter
from starsift.demo.lrs import CHUNK
from starsift.io.parquet import write_csv
from starsift.sky.air import air_to_vacuum
from starsift.sky.constants import C_KMS
from starsift.spectra.resample import LogGrid
from starsift.synthesis.bands import HALPHA, SHIPPED, lrs_bands
from starsift.synthesis.degrade import shift, smooth_curves
from starsift.synthesis.emission_lines import (
    BALMER,
    HALPHA_VACUUM,
    PATCH,
    STEP_DEX,
    Emitters,
    draw_emitters,
    emission_profiles,
    hot_balmer,
    look,
    shells,
)

# Skoda et al. 2020, section 3.3: classes of the Ondrejov dataset, and their codes in its file of labels.
ONDREJOV_SHARES = {"single peak": 0.4098, "double peak": 0.1185, "absorption": 0.4717}
ONDREJOV_CODES = {"single peak": 0, "absorption": 1, "double peak": 3}
UNUSED_CODE, UNUSED = 2, 0.03
ONDREJOV_ID = "ivo://asu.cas.cz/stel/ccd700/"

# Pixels, step (air Angstrom) of the two detectors that real files come from.
DETECTORS = ((1757, 0.25667), (1953, 0.23091))
FIRST_PIXEL = (6282.02, 6282.26)  # air Angstrom
ONDREJOV_SIGMA = 10.0  # km/s, R = 13 000
ONDREJOV_SEEN = 80.0  # km/s: people saw these spectra blurred, as the network does
ONDREJOV_SNR = (50.0, 300.0)
_FINE_START = np.log10(HALPHA_VACUUM) - STEP_DEX * 5080  # 6281 Angstrom in vacuum
FINE = LogGrid(_FINE_START, STEP_DEX, 5080 + 2260)  # H alpha is pixel 5080
CLEAR = 1.5  # an emission spectrum passes `judge` by this factor, where stars are chosen


@cache
def _line_table() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Air wavelengths and depths of each species in the range of CCD700."""
    with (SHIPPED / "emission_lines.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    return {
        name: tuple(  # type: ignore[misc]
            np.array([float(row[column]) for row in rows if row["species"] == name])
            for column in ("wavelength_air", "depth")
        )
        for name in dict.fromkeys(row["species"] for row in rows)
    }


LINE_SIGMA = 12.0  # km/s, of lines of a star without rotation
ROTATION = 0.45  # standard deviation of a rotation profile over vsini
VSINI_CLASSES = np.array([8.0, 33.0, 75.0, 140.0, 230.0, 330.0])  # km/s


def _line_depths(species: str, vsini: float) -> np.ndarray:
    """Optical depth (p,) of a species' lines on the fine grid."""
    wavelength, depth = _line_table()[species]
    centre = air_to_vacuum(wavelength)[:, None]
    sigma = np.hypot(LINE_SIGMA, ROTATION * vsini)
    apart = (FINE.wavelength / centre - 1) * C_KMS / sigma
    return (depth[:, None] * LINE_SIGMA / sigma * np.exp(-0.5 * apart**2)).sum(axis=0)


def helium_strength(number: np.ndarray) -> np.ndarray:
    """Strength (n,) of He I lines by type: B0 to B3 most, none from A1 on."""
    return np.clip((1 - number) / 5, 0, 1.2)


def _sharp_photospheres(rng: np.random.Generator, number: np.ndarray, vsini: np.ndarray) -> np.ndarray:
    """Stars (n, p) on the fine grid at rest, 1 in the continuum; types and rotation (n,)."""
    model = lrs_bands()
    strength, _ = model.strengths(number)
    strength = strength * rng.lognormal(0, 0.08, (len(number), 1))
    core, wing, far = (
        strength[:, model.species.index(name), None] * hot_balmer(number)[:, None] for name in BALMER
    )
    offset = FINE.wavelength - HALPHA_VACUUM
    # The core is as strong as at R = 1800, and narrower in cool stars; wings after the spectrum of Vega.
    still = np.interp(number, [0, 20], [45.0, 28.0])[:, None]
    sigma = np.hypot(still, ROTATION * vsini[:, None])
    apart = offset / HALPHA_VACUUM * C_KMS / sigma
    depth = 0.53 * 75 / sigma * core * np.exp(-0.5 * apart**2)
    depth += 0.35 * wing / (1 + (offset / 9) ** 2) + 0.12 * far / (1 + (offset / 25) ** 2)
    metals = strength[:, model.species.index("metals")] * np.where(number < 0, 0.3, 1)
    metals *= rng.lognormal(0, 0.3, len(number))
    lines = {
        "metals": metals,
        "ions": np.exp(-0.5 * ((number - 2) / 6) ** 2) * rng.lognormal(0, 0.4, len(number)),
        "helium": helium_strength(number),
        "carbon_ions": np.exp(-0.5 * ((number + 7) / 2.5) ** 2),
    }
    nearest = np.abs(vsini[:, None] - VSINI_CLASSES).argmin(axis=1)
    for k, speed in enumerate(VSINI_CLASSES):
        rows = np.flatnonzero(nearest == k)
        bank = np.stack([_line_depths(name, speed) for name in lines])
        depth[rows] += np.stack([x[rows] for x in lines.values()], axis=1) @ bank
    return np.exp(-depth)


def _draw_labelled(rng: np.random.Generator, n: int) -> tuple[Emitters, np.ndarray, np.ndarray]:
    """Stars (n + unused), their codes and signal-to-noise ratios; `ew` is 0 of those in absorption."""
    counts = {name: round(share * n) for name, share in ONDREJOV_SHARES.items()}
    counts["absorption"] = n - counts["single peak"] - counts["double peak"]
    draws = 6 * n + 300
    stars = draw_emitters(rng, draws, {"disc": 0.88, "young": 0.04, "wind": 0.08}, typical_ew=10.0)
    snr = np.exp(rng.uniform(np.log(ONDREJOV_SNR[0]), np.log(ONDREJOV_SNR[1]), draws))
    # The blur averages over some ten pixels.
    sight = look(stars, 1 / (3 * snr), ONDREJOV_SEEN)
    clear = sight.margin >= CLEAR
    chosen = {
        "single peak": clear & (sight.double_margin < 1 / CLEAR),
        "double peak": clear & (sight.double_margin >= CLEAR),
    }
    rows = [np.flatnonzero(chosen[name])[: counts[name]] for name in chosen]
    doubtful = np.flatnonzero((sight.margin > 0.4) & ~chosen["single peak"] & ~chosen["double peak"])
    rows.append(doubtful[: round(UNUSED * n)])
    used = np.concatenate(rows)
    plain = np.setdiff1d(np.arange(draws), used)[: counts["absorption"]]
    code = np.repeat(
        [*(ONDREJOV_CODES[name] for name in chosen), UNUSED_CODE, ONDREJOV_CODES["absorption"]],
        [*map(len, rows), len(plain)],
    )
    everyone = np.concatenate([used, plain])
    order = rng.permutation(len(everyone))
    everyone, code = everyone[order], code[order]
    stars, snr = stars.take(everyone), snr[everyone]
    quiet = np.flatnonzero(code == ONDREJOV_CODES["absorption"])
    part = rng.choice(3, quiet.size, p=[0.5, 0.3, 0.2])
    number, vsini = stars.number.copy(), stars.vsini.copy()
    # B, A, and F to K stars.
    number[quiet] = rng.uniform(np.array([-10, 0, 10])[part], np.array([0, 10, 36])[part])
    vsini[quiet] = rng.uniform(np.array([10, 10, 3])[part], np.array([330, 220, 60])[part])
    ew, shell = stars.ew.copy(), stars.shell.copy()
    ew[quiet] = shell[quiet] = 0.0
    return replace(stars, number=number, vsini=vsini, ew=ew, shell=shell), code, snr


def _add(flux: np.ndarray, patch: np.ndarray, centre: int) -> None:
    """Add a patch (n, q) to spectra (n, p), its middle pixel at `centre`; what lies outside is lost."""
    half = patch.shape[1] // 2
    low, high = max(0, centre - half), min(flux.shape[1], centre - half + patch.shape[1])
    flux[:, low:high] += patch[:, low - centre + half : high - centre + half]


def _labelled_flux(rng: np.random.Generator, stars: Emitters) -> np.ndarray:
    """Noiseless spectra (n, p) float32 on the fine grid, with telluric lines, at the stars' velocities."""
    flux = _sharp_photospheres(rng, np.clip(stars.number, None, 40), stars.vsini)
    bright = np.flatnonzero(stars.ew > 0)
    some = stars.take(bright)
    profile = emission_profiles(some, ONDREJOV_SIGMA)
    for air, share in ((HALPHA, 1.0), (6678.15, 0.03)):
        line = float(air_to_vacuum(air))
        centre = round((np.log10(line) - FINE.log10_lambda0) / FINE.dlog10_lambda)
        # Helium shines in the discs of hot stars only.
        strength = some.ew * (share if share == 1 else share * (some.number < -2))
        light = np.zeros((len(bright), FINE.pixels))
        _add(light, strength[:, None] * profile * C_KMS / line, centre)
        flux[bright] += light
    middle = slice(5080 - PATCH // 2, 5080 + PATCH // 2)
    flux[bright, middle] *= shells(some, ONDREJOV_SIGMA)
    n = len(flux)
    flux = shift(FINE, flux, rng.normal(0, 20, n))
    water = rng.lognormal(np.log(0.06), 0.8, (n, 1)) * _line_depths("water", 0.0)
    return flux * shift(FINE, np.exp(-water), rng.uniform(-28, 28, n))


def write_labelled(out: Path, rng: np.random.Generator, n: int) -> np.ndarray:
    """Files and labels of the labelled set; returns the codes (n,)."""
    stars, code, snr = _draw_labelled(rng, n)
    n = len(code)
    new = rng.random(n) < 0.4
    start = rng.uniform(*FIRST_PIXEL, n)
    night = rng.integers(0, 12 * 7 * 28, n)
    year, month, day = night // 336, night // 28 % 12, night % 28 + 1
    stems = [
        f"a{2010 + y}{m + 1:02d}{d:02d}{i:04d}" if a else f"{'qrstuvw'[y]}{'abcdefghijkl'[m]}{d:02d}{i:04d}"
        for i, (a, y, m, d) in enumerate(zip(new, year, month, day, strict=True))
    ]
    ra, dec = rng.uniform(0, 360, n).round(6), rng.uniform(-20, 70, n).round(6)
    (out / "ondrejov").mkdir(exist_ok=True)
    for part in (slice(a, a + CHUNK) for a in range(0, n, CHUNK)):
        fine = _labelled_flux(rng, stars.take(np.arange(n)[part]))
        for detector in (0, 1):
            rows = np.flatnonzero(new[part] == bool(detector))
            pixels, step = DETECTORS[detector]
            spectral = start[part][rows, None] + step * np.arange(pixels)
            place = (np.log10(air_to_vacuum(spectral)) - FINE.log10_lambda0) / FINE.dlog10_lambda
            whole = place.astype(np.int64)
            left, right = (np.take_along_axis(fine[rows], whole + k, axis=1) for k in (0, 1))
            flux = left + (place - whole) * (right - left)
            flux *= np.exp(0.006 * smooth_curves(rng, len(rows), pixels, 5))
            noise = rng.standard_normal(flux.shape, dtype=np.float32) / snr[part][rows, None]
            flux += noise * np.sqrt(np.maximum(flux, 0.05))
            for i, wave, values in zip(rows + part.start, spectral, flux, strict=True):
                date = f"{2010 + year[i]}-{month[i] + 1:02d}-{day[i]:02d}"
                _write_ondrejov(out / "ondrejov", stems[i], date, wave, values, ra[i], dec[i])
    order = np.argsort(stems)
    table = {"id": [ONDREJOV_ID + stems[i] for i in order], "label": pa.array(code[order], pa.int8())}
    write_csv(pa.table(table), out / "labels.csv")
    return code


def _write_ondrejov(
    folder: Path, stem: str, date: str, wavelength: np.ndarray, flux: np.ndarray, ra: float, dec: float
) -> None:
    """One file in the layout of the CCD700 archive: a table of `spectral` (air Angstrom) and `flux`."""
    cards: list[fitswriter.Card] = [
        ("TUNIT1", "Angstrom", "of the wavelengths, air"),
        ("TITLE", f"simulated/{stem}.fit", ""),
        ("DS_IDPUB", ONDREJOV_ID + stem, "made up"),
        ("ORIGIN", "SIMULATED", "not an observation"),
        ("DATE", date, ""),
        ("SPECBAND", "Optical", ""),
        ("OBJECT", f"SIM {stem}", "made up"),
        ("SRCCLASS", "star", ""),
        ("RA", float(ra), "[deg]"),
        ("DEC", float(dec), "[deg]"),
        ("SPEC_VAL", float(wavelength.mean()) * 1e-10, "[m]"),
        ("TDMIN1", float(wavelength[0]) * 1e-10, "[m]"),
        ("TDMAX1", float(wavelength[-1]) * 1e-10, "[m]"),
        ("RADECSYS", "ICRS", ""),
        ("SPECSDIM", "Angstrom", ""),
        ("FLUX_CAL", "UNCALIBRATED", ""),
    ]
    columns = {"spectral": wavelength, "flux": flux.astype(np.float64)}
    table = fitswriter.table("SPECTRUM", columns, cards, tall=True)
    fitswriter.write(folder / f"{stem}.fits", [fitswriter.primary([]), table])
