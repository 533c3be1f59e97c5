"""Simulated LAMOST medium-resolution exposures: as arrays, and as a survey of files with its truth."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import astropy.units as u
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from astropy.coordinates import SkyCoord

from starsift.demo import common, fitswriter
from starsift.demo.common import INT8, INT32, INT64, REAL, TEXT
from starsift.demo.fitswriter import Card
from starsift.demo.sky import (
    BAD_BLUE,
    BAD_FIBER,
    EXPTIME,
    SNR_MAX,
    SNR_MIN,
    Plan,
    Sky,
    add_binaries,
    assign_fibers,
    draw_sky,
    expected_snr,
    make_nights,
    make_plans,
    utc_mid,
)
from starsift.sky import barycentric
from starsift.sky.dates import MJD_EPOCH
from starsift.spectra.templates import TemplateGrid, load_grid
from starsift.synthesis.mrs import RESOLUTION, Observation, coadd, featureless, observe, red_model
from starsift.synthesis.stars import Synthesizer

LAYOUTS = ("tall", "wide")
REALS = pa.list_(pa.float32())


@dataclass(frozen=True)
class Visit:
    """What one spectrograph saw in one plan: m fibres, e exposures, m * e rows in that order."""

    plan: Plan
    spid: int
    star: np.ndarray  # (m,) rows of the sky
    fiber: np.ndarray  # (m,)
    bad_fiber: np.ndarray  # (m,) bool
    bad_blue: np.ndarray  # (m * e,) bool
    lmjm: np.ndarray  # (m * e,)
    helio: np.ndarray  # (m * e,) km/s
    rv: np.ndarray  # (m * e, 3) km/s
    blue: Observation
    red: Observation

    @property
    def exposures(self) -> int:
        return len(self.plan.lmjm)

    def stem(self, i: int) -> str:
        """File name of fibre i, without extensions."""
        return f"med-{self.plan.lmjd}-{self.plan.planid}_sp{self.spid:02d}-{self.fiber[i]:03d}"

    def obsid(self, number: int) -> np.ndarray:
        """Identifiers (m,): number of the plan, spectrograph, fibre."""
        return (700 + number) * 100_000 + self.spid * 1000 + self.fiber


def _blue_flux(
    rng: np.random.Generator,
    synthesizer: Synthesizer,
    sky: Sky,
    star: np.ndarray,
    rv: np.ndarray,
    helio: np.ndarray,
    donor: np.ndarray,
) -> np.ndarray:
    """Noiseless spectra (n, p) of exposures, mean 1, with the light that does not belong.

    `star` (n,) are rows of the sky, `donor` (n,) the exposures that leak into each, or -1.
    """
    flux = synthesizer.system_flux(sky.systems.take(star), rv)
    flux /= flux.mean(axis=1, keepdims=True)
    noise = sky.kind[star] == "noise"
    flux[noise] = featureless(rng, int(noise.sum()), flux.shape[1])
    share = sky.contamination[star][:, None].astype(np.float32)
    moon = np.flatnonzero(sky.kind[star] == "moon")
    if len(moon):
        one = np.ones(len(moon))
        # Scattered sunlight rests in the observer's frame; to the heliocentre it moves by the correction.
        sun = synthesizer.flux(5777 * one, 4.44 * one, 0 * one, 2 * one, helio[moon], one)
        sun /= sun.mean(axis=1, keepdims=True)
        flux[moon] = (1 - share[moon]) * flux[moon] + share[moon] * sun
    leaking = np.flatnonzero(donor >= 0)
    flux[leaking] = (1 - share[leaking]) * flux[leaking] + share[leaking] * flux[donor[leaking]]
    return flux


def _visit(
    rng: np.random.Generator, synthesizer: Synthesizer, sky: Sky, plan: Plan, home: int, spid: int
) -> Visit:
    """Observe with spectrograph `spid` in a plan everything that plan number `home` puts on it."""
    star, fiber = assign_fibers(rng, sky, home, spid)
    m, e = len(star), len(plan.lmjm)
    row = np.repeat(star, e)
    lmjm = np.tile(np.array(plan.lmjm, dtype=np.int64), m)
    mjd = utc_mid(lmjm)
    helio = barycentric.correction(sky.ra[row], sky.dec[row], mjd)
    rv = sky.velocities(row, mjd)
    place = {int(s): i for i, s in enumerate(star)}
    donor_star = np.array([place.get(int(p), -1) for p in sky.partner[star]], dtype=np.int64)
    donor = np.where(
        np.repeat(donor_star, e) >= 0, np.repeat(donor_star, e) * e + np.tile(np.arange(e), m), -1
    )
    flux = _blue_flux(rng, synthesizer, sky, row, rv, helio, donor)
    seeing = np.tile(rng.lognormal(0.0, 0.1, e), m) * rng.lognormal(0.0, 0.08, m * e)
    snr = np.clip(expected_snr(sky.g_mag[row]) * plan.depth * seeing, SNR_MIN, SNR_MAX)
    bad_fiber = rng.random(m) < BAD_FIBER
    bad_blue = rng.random(m * e) < BAD_BLUE
    blue = observe(synthesizer.wavelength, flux, snr=snr, rng=rng, helio_rv=helio)
    # What these flags stand for, so that a forgotten cut shows: wrong wavelengths, and half the light.
    blue.wavelength[bad_blue] += 4.0
    blue.flux[np.repeat(bad_fiber, e)] *= np.float32(0.5)
    fraction = synthesizer.flux_fractions(sky.systems.take(row))
    wavelength, red_flux = red_model(sky.systems.take(row), rv, fraction)
    red = observe(wavelength, red_flux, snr=1.3 * snr, rng=rng, arm="R", helio_rv=helio)
    return Visit(plan, spid, star, fiber, bad_fiber, bad_blue, lmjm, helio, rv, blue, red)


def _isot(minute: float) -> str:
    """Date and time of a modified Julian minute, to the millisecond, as FITS headers have it."""
    return str(MJD_EPOCH + np.timedelta64(round(minute * 60_000), "ms"))


def _primary_cards(visit: Visit, sky: Sky, i: int, obsid: int, layout: str) -> list[Card]:
    plan, star, e = visit.plan, visit.star[i], visit.exposures
    ra, dec = float(sky.ra[star]), float(sky.dec[star])
    start, end = plan.lmjm[0], plan.lmjm[-1] + EXPTIME / 60
    middle = 0.5 * (start + end)
    utc = middle - barycentric.UTC_OFFSET
    designation = SkyCoord(ra * u.deg, dec * u.deg).to_string("hmsdms", sep="", precision=2)
    tall = layout == "tall"
    return [
        ("FILENAME", f"{visit.stem(i)}.fits", ""),
        ("OBSID", obsid, "unique number of this spectrum"),
        ("AUTHOR", "starsift", "who made this file"),
        ("DATA_V", "LAMOST DR7" if tall else "LAMOST DR9", "release whose files these imitate"),
        ("N_EXTEN", 2 * e + 3, "units in this file"),
        ("EXTNAME", "Information", "no data here"),
        *common.SITE_CARDS,
        ("DATE-OBS", _isot(utc), "median UTC"),
        ("DATE-BEG", _isot(start), "start, local time"),
        ("DATE-END", _isot(end), "end, local time"),
        ("LMJD", plan.lmjd, "local modified Julian day"),
        ("MJD", int(utc // 1440), "modified Julian day"),
        ("PLANID", plan.planid, "observing plan"),
        *common.target_cards(
            round(ra, 7), round(dec, 7), f"J{designation.replace(' ', '')}", int(visit.fiber[i])
        ),
        ("OBJNAME", str(sky.gaia[star]), "Gaia source identifier"),
        *common.source_cards(old=tall, fibermask=int(visit.bad_fiber[i])),
        ("MAGTYPE", "G", "Gaia"),
        ("MAG1", round(float(sky.g_mag[star]), 3), "[mag]"),
        *common.FRAME_CARDS,
        ("NEXP_B", e, "blue exposures"),
        ("COMBIN_B", True, "there is a blue coadd"),
        ("NEXP_R", e, "red exposures"),
        ("COMBIN_R", True, "there is a red coadd"),
        ("SPID", visit.spid, "spectrograph"),
        ("HELIO", True, "velocities refer to the Sun"),
        ("HELIO_RV", round(float(visit.helio[i * e : (i + 1) * e].mean()), 5), "[km/s] correction applied"),
        ("VACUUM", True, "wavelengths are in vacuum"),
    ]


def _minutes(lmjm: Sequence[int]) -> list[Card]:
    """Exposures of a coadd; a card holds three, so that more take several."""
    lists = ["-".join(map(str, lmjm[k : k + 3])) for k in range(0, len(lmjm), 3)]
    keys = ["LMJMLIST"] if len(lists) == 1 else [f"LMJMLIS{k}" for k in range(len(lists))]
    return [(key, text, "local modified Julian minutes") for key, text in zip(keys, lists, strict=True)]


def _columns(
    layout: str, wavelength: np.ndarray, flux: np.ndarray, ivar: np.ndarray
) -> dict[str, np.ndarray]:
    name = "LOGLAM" if layout == "tall" else "WAVELENGTH"
    values = np.log10(wavelength) if layout == "tall" else wavelength
    return {"FLUX": flux, "IVAR": ivar, name: values.astype(np.float32)}


def _mask_column(layout: str, mask: np.ndarray) -> np.ndarray:
    # As released: integers in rows of pixels, floating point in rows of arrays.
    return mask.astype(np.int16 if layout == "tall" else np.float32)


def _write_visit(
    root: Path, visit: Visit, sky: Sky, number: int, layout: str, coadds: dict[str, tuple[np.ndarray, ...]]
) -> None:
    """One file a fibre, in {lmjd}/{planid}/."""
    folder = root / str(visit.plan.lmjd) / visit.plan.planid
    folder.mkdir(parents=True, exist_ok=True)
    e, tall = visit.exposures, layout == "tall"
    obsid = visit.obsid(number)
    arms = {"B": visit.blue, "R": visit.red}
    snr = {arm: observation.snr for arm, observation in arms.items()}
    for i in range(len(visit.star)):
        units = [fitswriter.primary(_primary_cards(visit, sky, i, int(obsid[i]), layout), bitpix=16)]
        for arm in arms:
            grid, flux, ivar, and_mask, or_mask = (a if a.ndim == 1 else a[i] for a in coadds[arm])
            columns = _columns(layout, grid, flux, ivar)
            columns |= {"ANDMASK": _mask_column(layout, and_mask), "ORMASK": _mask_column(layout, or_mask)}
            cards: list[Card] = [
                *_minutes(visit.plan.lmjm),
                ("SNR", round(_median_snr(flux, ivar), 4), "median S/N a pixel"),
            ]
            units.append(fitswriter.table(f"COADD_{arm}", columns, cards, tall=tall))
        for arm, seen in arms.items():
            # As released: exposures of the red arm are written from red to blue in rows of pixels.
            order = slice(None, None, -1 if tall and arm == "R" else 1)
            for row in range(i * e, (i + 1) * e):
                pixels = (a[row, order] for a in (seen.wavelength, seen.flux, seen.ivar))
                columns = _columns(layout, *pixels)
                columns["PIXMASK"] = _mask_column(layout, seen.mask[row, order])
                lmjm = int(visit.lmjm[row])
                cards = [
                    ("LMJM", str(lmjm) if tall else lmjm, "local modified Julian minute of the start"),
                    ("EXPTIME", int(EXPTIME), "[s] exposure time"),
                    ("SNR", round(float(snr[arm][row]), 4), "median S/N a pixel"),
                ]
                units.append(fitswriter.table(f"{arm}-{visit.lmjm[row]}", columns, cards, tall=tall))
        fitswriter.write_gzip(folder / f"{visit.stem(i)}.fits.gz", units)


def _median_snr(flux: np.ndarray, ivar: np.ndarray) -> float:
    good = ivar > 0
    return float(np.median(flux[good] * np.sqrt(ivar[good]))) if good.any() else 0.0


def _catalog_rows(
    visit: Visit, sky: Sky, number: int, coadds: dict[str, tuple[np.ndarray, ...]]
) -> Iterator[dict[str, Any]]:
    """Columns of the catalogue, one set for each arm of exposures and coadds; coadds have lmjm -9999."""
    e, m = visit.exposures, len(visit.star)
    obsid = visit.obsid(number)
    mjd = np.floor(utc_mid(np.array(visit.plan.lmjm))[0]).astype(np.int32)
    paths = np.array(
        [f"{visit.plan.lmjd}/{visit.plan.planid}/{visit.stem(i)}.fits.gz" for i in range(m)], dtype="U128"
    )
    any_bad = visit.bad_blue.reshape(m, e).any(axis=1)
    for arm, seen in (("B", visit.blue), ("R", visit.red)):
        _, flux, ivar, _, _ = coadds[arm]
        stacked = np.array([_median_snr(f, w) for f, w in zip(flux, ivar, strict=True)])
        for is_coadd, times in ((0, e), (1, 1)):
            star = np.repeat(visit.star, times)
            n = len(star)
            yield {
                "obsid": np.repeat(obsid, times),
                "planid": np.full(n, visit.plan.planid, dtype="U40"),
                "spid": np.full(n, visit.spid, dtype=np.int16),
                "fiberid": np.repeat(visit.fiber, times).astype(np.int16),
                "lmjd": np.full(n, visit.plan.lmjd, dtype=np.int32),
                "mjd": np.full(n, mjd, dtype=np.int32),
                "lmjm": np.full(n, -9999, dtype=np.int64) if is_coadd else visit.lmjm,
                "band": np.full(n, arm, dtype="U1"),
                "coadd": np.full(n, is_coadd, dtype=np.int16),
                "fibermask": np.repeat(visit.bad_fiber, times).astype(np.int16),
                "bad_b": (any_bad if is_coadd else visit.bad_blue).astype(np.int16),
                "bad_r": np.zeros(n, dtype=np.int16),
                "snr": (stacked if is_coadd else seen.snr).astype(np.float32).round(2),
                "ra": sky.ra[star].round(7),
                "dec": sky.dec[star].round(7),
                "gaia_source_id": sky.gaia[star],
                "gaia_g_mean_mag": sky.g_mag[star].astype(np.float32).round(3),
                "exptime": np.full(n, EXPTIME * e if is_coadd else EXPTIME, dtype=np.float32),
                "path": np.repeat(paths, times),
            }


def _truth_rows(visit: Visit, sky: Sky, number: int, fraction: np.ndarray) -> pa.Table:
    """Truth of the blue exposures of a visit; `fraction` (star, 3) are shares of light."""
    e, m = visit.exposures, len(visit.star)
    star = np.repeat(visit.star, e)
    fiber_row = np.repeat(np.arange(m), e).tolist()
    ids = [f"{visit.stem(i)}/{lmjm}" for i, lmjm in zip(fiber_row, visit.lmjm, strict=True)]
    place = {int(s): i for i, s in enumerate(visit.star)}
    leaks = [place.get(int(p)) for p in sky.partner[star]]
    kind = sky.kind[star]
    suspect = np.where(kind == "moon", "moonlight", np.where(kind == "crosstalk", "crosstalk", ""))
    count = sky.n_components[star]
    systems = sky.systems.take(star)

    def lists(values: np.ndarray) -> list[np.ndarray]:
        return [row[:k].astype(np.float32) for row, k in zip(values, count, strict=True)]

    moonlight = [h if k == "moon" else None for h, k in zip(visit.helio, kind, strict=True)]
    partner = [None if j is None else f"{visit.stem(j)}/{t}" for j, t in zip(leaks, visit.lmjm, strict=True)]
    n, contamination = len(star), sky.contamination[star]
    magnitude = sky.g_mag[star].astype(np.float32).round(3)
    inner_first = "velocity of each component; inner pair first in triples"
    columns = {
        "spectrum_id": (TEXT, "file stem and exposure", "", ids),
        "obsid": (INT64, "identifier of the observation", "", np.repeat(visit.obsid(number), e)),
        "planid": (TEXT, "observing plan", "", [visit.plan.planid] * n),
        "spid": (INT8, "spectrograph", "", np.full(n, visit.spid)),
        "fiberid": (pa.int16(), "fibre", "", np.repeat(visit.fiber, e)),
        "lmjd": (INT32, "local modified Julian day", "d", np.full(n, visit.plan.lmjd)),
        "lmjm": (INT64, "local modified Julian minute", "min", visit.lmjm),
        "band": (TEXT, "arm", "", ["B"] * n),
        "star_id": (INT32, "row of the star on the simulated sky", "", star),
        "gaia_source_id": (INT64, "made-up identifier of the star", "", sky.gaia[star]),
        "phot_g_mean_mag": (REAL, "magnitude", "mag", magnitude),
        "kind": (TEXT, "single, rotator, sb2, sb3, noise, moon or crosstalk", "", kind),
        "n_components": (INT8, "stars in the system", "", count),
        "rv": (REALS, inner_first, "km/s", lists(visit.rv)),
        "flux_fraction": (REALS, "share of each component in the system's light", "", lists(fraction[star])),
        "mass": (REALS, "mass of each component", "solMass", lists(systems.mass)),
        "radius": (REALS, "radius of each component", "solRad", lists(systems.radius)),
        "teff": (REALS, "effective temperature of each component", "K", lists(systems.teff)),
        "logg": (REALS, "surface gravity of each component", "dex", lists(systems.logg)),
        "feh": (REALS, "metallicity of each component", "dex", lists(systems.feh)),
        "vsini": (REALS, "projected rotation of each component", "km/s", lists(systems.vsini)),
        "period": (REALS, "orbital periods; inner pair first in triples", "d", sky.periods(star)),
        "snr": (REAL, "median S/N a pixel of the exposure", "", visit.blue.snr),
        "fibermask": (INT8, "1: bad fibre", "", np.repeat(visit.bad_fiber, e)),
        "bad_b": (INT8, "1: bad blue exposure", "", visit.bad_blue),
        "barycentric_correction": (
            pa.float64(),
            "velocity that was added to observed ones",
            "km/s",
            visit.helio,
        ),
        "suspect": (TEXT, "moonlight, crosstalk or empty", "", suspect),
        "contamination": (REAL, "share of the light that is not the star's", "", contamination),
        "contaminant_rv": (REAL, "velocity of scattered moonlight", "km/s", moonlight),
        "partner": (TEXT, "spectrum_id of the exposure that leaks into this one", "", partner),
    }
    return common.described_table(columns)


def simulate_survey(
    out_dir: str | Path,
    *,
    seed: int,
    layout: Literal["tall", "wide", "both"] = "both",
    n_plans: int = 3,
    n_spectrographs: int = 4,
    n_stars: int = 600,
    exposures: int = 3,
    n_nights: int = 0,
    n_binaries: int = 14,
    grid: TemplateGrid | None = None,
) -> dict[str, int]:
    """Write a LAMOST-MRS survey: files, catalogue and truth.

    Parameters
    ----------
    out_dir : receives ``spectra/{lmjd}/{planid}/med-*.fits.gz``, ``catalog.fits`` and ``truth.parquet``
    seed : of everything; equal seeds and settings give equal bytes
    layout : {"tall", "wide", "both"}
        A row a pixel (DR6 to DR8), one row of arrays (from DR9), or the two in turn, plan by plan.
    n_plans, n_spectrographs, n_stars : size. About a third of the stars are observed in two plans.
    exposures : of each plan
    n_nights, n_binaries : bright binaries that one spectrograph observes on so many nights more, for orbits;
        all other spectra stay the same
    grid : by default the one that ships

    Returns
    -------
    dict : counts: files, blue exposures, and stars of each kind

    Raises SettingsError if the survey cannot have this size.
    """
    common.check_size(layout, LAYOUTS, n_spectrographs, n_plans=n_plans, n_stars=n_stars, exposures=exposures)
    out = Path(out_dir)
    out.mkdir(parents=True, exist_ok=True)
    synthesizer = Synthesizer(load_grid() if grid is None else grid, RESOLUTION)
    rng = np.random.default_rng(seed)
    plans = make_plans(rng, n_plans, exposures)
    spectrographs = common.choose_spectrographs(n_spectrographs)
    sky = draw_sky(rng, plans, spectrographs, n_stars)
    if n_nights:
        # Streams of random numbers of plans have a spectrograph in their seed, this one none.
        rng = np.random.default_rng([seed, n_plans])
        plans += make_nights(rng, n_plans, n_nights, exposures)
        epoch = float(utc_mid(np.array(plans[n_plans].lmjm))[0])
        sky = add_binaries(rng, sky, n_binaries, n_plans, spectrographs[-1], epoch)
    fraction = synthesizer.flux_fractions(sky.systems)
    catalog: list[dict[str, Any]] = []
    truth: list[pa.Table] = []
    files = 0
    for number, plan_layout in enumerate(common.choose_layouts(layout, LAYOUTS, len(plans))):
        home = min(number, n_plans)  # all nights have the stars of the first one
        for spid in spectrographs:
            # Its own stream of random numbers: a spectrograph more changes no other one's noise.
            stream = np.random.default_rng([seed, number, spid])
            visit = _visit(stream, synthesizer, sky, plans[number], home, spid)
            if not len(visit.star):
                continue
            coadds = {"B": coadd(visit.blue, exposures, "B"), "R": coadd(visit.red, exposures, "R")}
            _write_visit(out / "spectra", visit, sky, number, plan_layout, coadds)
            catalog += _catalog_rows(visit, sky, number, coadds)
            truth.append(_truth_rows(visit, sky, number, fraction))
            files += len(visit.star)
    _write_catalog(out / "catalog.fits", catalog)
    table = pa.concat_tables(truth).sort_by([("spectrum_id", "ascending")])
    pq.write_table(table, out / "truth.parquet", compression="zstd")
    kinds, counts = np.unique(sky.kind, return_counts=True)
    return {"files": files, "blue_exposures": table.num_rows} | dict(
        zip(kinds.tolist(), counts.tolist(), strict=True)
    )


def _write_catalog(path: Path, parts: list[dict[str, Any]]) -> None:
    """The survey's catalogue as a FITS table, sorted by plan, spectrograph, fibre, coadd, time and arm."""
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    keys = ("band", "lmjm", "coadd", "fiberid", "spid", "planid")
    order = np.lexsort([columns[key] for key in keys])
    common.write_catalog(path, {name: column[order] for name, column in columns.items()})
