"""A simulated LAMOST low-resolution survey: files in both layouts, catalogues, Gaia, and the truth."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import astropy.units as u
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from astropy.coordinates import SkyCoord
from threadpoolctl import threadpool_limits

from starsift.catalog.naming import designation
from starsift.demo import common, fitswriter
from starsift.demo.common import BOOL, INT32, INT64, REAL, TEXT
from starsift.demo.fitswriter import Card
from starsift.demo.lrs_sky import (
    STELLAR,
    SUN_HEIGHT,
    Observed,
    Sources,
    assign_spectra,
    draw_sources,
    gaia_table,
    labels,
    make_plans,
    observe_again,
)
from starsift.demo.sky import Plan
from starsift.parallel import map_chunks
from starsift.sky.constants import C_KMS
from starsift.sky.dates import obsdate
from starsift.spectra.resample import LAMOST_LRS
from starsift.synthesis.bands import (
    M0,
    carbon_stars,
    dwarfs,
    galaxies,
    giants,
    lrs_bands,
    quasars,
    redden,
    white_dwarfs,
)
from starsift.synthesis.degrade import add_noise, bad_runs, damage, featureless, miscalibrate, shift

RESOLUTION = 1800.0
EXPTIME = 1800.0  # s, of each of three exposures
AGAIN = {"released": 0.03, "unknown": 0.04}  # shares of spectra of sources that were observed before
CONFIRMED = 0.12  # share of UNKNOWN spectra that people have seen and called not M
DEFECTIVE = {"released": 0.015, "unknown": 0.04}
CALIBRATION = 0.06  # median rms of flux-calibration errors
BAD_RUNS = 1.2  # runs of bad pixels a spectrum
COSMIC_RAYS = 0.4  # unflagged hits a spectrum
LAYOUTS = ("image", "table")
STRENGTH_SCATTER = 0.06  # of ln(strength) of each species from star to star
RV_ERROR = 6.0  # km/s, of released velocities at S/N 10
MISSING = -9999
CHUNK = 1000
SNR_BANDS = {"u": (3700, 4000), "g": (4000, 5500), "r": (5600, 6950), "i": (7000, 8300), "z": (8300, 9000)}


def noiseless(rng: np.random.Generator, sources: Sources, row: np.ndarray) -> np.ndarray:
    """Spectra (n, p) of sources `row` (n,) at their velocities, behind dust, median about 1 in the r band."""
    model = lrs_bands()
    kind = sources.kind[row]
    flux = np.zeros((len(row), LAMOST_LRS.pixels), dtype=np.float32)

    def of(name: str) -> tuple[np.ndarray, np.ndarray]:
        at = np.flatnonzero(kind == name)
        return at, row[at]

    for name in ("dwarf", "star"):
        at, own = of(name)
        flux[at] = dwarfs(
            model,
            np.clip(sources.number[own], 0, 49),
            feh=sources.feh[own],
            ewha=sources.ewha[own],
            scatter=STRENGTH_SCATTER,
            rng=rng,
        )
    at, own = of("giant")
    subtype = np.clip(sources.number[own] - M0, 0, 9)
    flux[at] = giants(model, subtype, feh=sources.feh[own], scatter=STRENGTH_SCATTER, rng=rng)
    at, own = of("white_dwarf")
    flux[at] = white_dwarfs(model, sources.parameter[own])
    at, own = of("carbon")
    flux[at] = carbon_stars(model, sources.parameter[own], rng.uniform(0.5, 1.3, len(own)))
    at, _ = of("junk")
    flux[at] = featureless(rng, len(at), model.wavelength)
    star = np.flatnonzero(np.isin(kind, STELLAR))
    dusty = redden(flux[star], model.wavelength, sources.extinction[row[star]])
    flux[star] = shift(LAMOST_LRS, dusty, sources.rv[row[star]])
    # These come redshifted.
    for name, make in (("galaxy", galaxies), ("quasar", quasars)):
        at, own = of(name)
        flux[at] = make(rng, sources.parameter[own])
    return flux


@dataclass(frozen=True)
class Spectra:
    """n spectra on the LRS grid: flux and ivar (n, p) float32, masks (n, p) bool, and which are defective."""

    flux: np.ndarray
    ivar: np.ndarray
    and_mask: np.ndarray
    or_mask: np.ndarray
    defective: np.ndarray


def observe(
    rng: np.random.Generator, sources: Sources, row: np.ndarray, snr: np.ndarray, defective: np.ndarray
) -> Spectra:
    """Expose sources `row` (n,) at S/N `snr` (n,): noise, calibration errors, bad pixels, defects."""
    n, p = len(row), LAMOST_LRS.pixels
    flux, ivar = np.empty((2, n, p), dtype=np.float32)
    and_mask, or_mask = np.empty((2, n, p), dtype=bool)
    for start in range(0, n, CHUNK):
        part = slice(start, start + CHUNK)
        ideal = noiseless(rng, sources, row[part])
        exposed = expose(rng, ideal, snr[part], defective[part])
        flux[part], ivar[part], and_mask[part], or_mask[part] = exposed
    return Spectra(flux, ivar, and_mask, or_mask, defective)


def expose(
    rng: np.random.Generator, flux: np.ndarray, snr: np.ndarray, defective: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Flux, ivar and both masks (n, p) of a chunk of noiseless spectra."""
    wavelength = LAMOST_LRS.wavelength
    n, p = flux.shape
    flux = miscalibrate(flux, rng.lognormal(np.log(CALIBRATION), 0.5, n), rng)
    flux, ivar = add_noise(flux, snr, rng, wavelength)
    hits = rng.poisson(COSMIC_RAYS * n)
    at = rng.integers(0, n, hits), rng.integers(0, p, hits)
    np.add.at(flux, at, rng.lognormal(np.log(12.0), 0.5, hits) / np.sqrt(ivar[at]))
    and_mask, lost_once = np.zeros((2, n, p), dtype=bool)
    bad_runs(rng, and_mask, BAD_RUNS)
    bad_runs(rng, lost_once, BAD_RUNS)
    or_mask = and_mask | lost_once
    ivar[and_mask] = 0.0
    broken = np.flatnonzero(defective)
    flux[broken], ivar[broken] = damage(flux[broken], ivar[broken], rng, wavelength)
    lost = ivar == 0
    scale = (200 * np.sqrt(snr / 10) * rng.lognormal(0, 0.5, n)).astype(np.float32)[:, None]
    return flux * scale, ivar / scale**2, and_mask | lost, or_mask | lost


def band_snr(spectra: Spectra) -> dict[str, np.ndarray]:
    """Median S/N a pixel (n,) in u, g, r, i and z, over pixels with ivar > 0; 0 without any."""
    wavelength = LAMOST_LRS.wavelength
    measured = {}
    for name, (low, high) in SNR_BANDS.items():
        inside = (wavelength >= low) & (wavelength <= high)
        ivar = spectra.ivar[:, inside]
        ratio = spectra.flux[:, inside] * np.sqrt(ivar)
        ratio[ivar <= 0] = np.inf  # sorted to the end
        ratio.sort(axis=1)
        good = (ivar > 0).sum(axis=1)
        pair = np.take_along_axis(ratio, np.stack([(good - 1) // 2, good // 2], axis=1).clip(0), axis=1)
        measured[name] = np.where(good > 0, np.where(good[:, None] > 0, pair, 0).mean(axis=1), 0.0)
    return measured


_IMAGE_CARDS: list[Card] = [
    ("EXTEN0", "Flux, Inverse, Wavelength, Andmask, Ormask", ""),
    ("N_EXTEN", 1, "units in this file"),
    ("EXTNAME", "Flux", "name of this unit"),
]


def _cards(row: dict[str, Any], plan: Plan, layout: str) -> list[Card]:
    """Header of the primary unit of one spectrum (a row of the catalogue)."""
    image = layout == "image"
    return [
        ("FILENAME", Path(row["path"]).name.removesuffix(".gz"), ""),
        ("OBSID", row["obsid"], "unique number of this spectrum"),
        ("AUTHOR", "starsift", "who made this file"),
        ("DATA_V", "LAMOST DR7" if image else "LAMOST DR10", "release whose files these imitate"),
        *(_IMAGE_CARDS if image else [("N_EXTEN", 2, "units in this file")]),
        *common.SITE_CARDS,
        ("DATE-OBS", f"{row['obsdate']}T14:00:00", "median UTC"),
        ("LMJD", row["lmjd"], "local modified Julian day"),
        ("MJD", row["mjd"], "modified Julian day"),
        ("LMJMLIST", str(plan.lmjm[0]), "local modified Julian minutes"),
        ("PLANID", row["planid"], "observing plan"),
        *common.target_cards(row["ra"], row["dec"], row["designation"], row["fiberid"]),
        *common.source_cards(old=image, fibermask=0),
        *common.FRAME_CARDS,
        ("NEXP", 3, "exposures"),
        ("EXPTIME", 3 * EXPTIME, "[s] summed exposure time"),
        ("SPID", row["spid"], "spectrograph"),
        ("HELIO", True, "velocities refer to the Sun"),
        ("VACUUM", True, "wavelengths are in vacuum"),
        ("WFITTYPE", "LOG-LINEAR", "kind of wavelengths"),
        ("COEFF0", LAMOST_LRS.log10_lambda0, "log10(wavelength) of the first pixel"),
        ("COEFF1", LAMOST_LRS.dlog10_lambda, "log10 step a pixel"),
        ("CRVAL1", LAMOST_LRS.log10_lambda0, "log10(wavelength) of the first pixel"),
        ("CD1_1", LAMOST_LRS.dlog10_lambda, "log10 step a pixel"),
        ("CRPIX1", 1, "first pixel"),
        ("CTYPE1", "LINEAR", ""),
        ("DC-FLAG", 1, "log-linear"),
        ("CLASS", row["class"], "of the object"),
        ("SUBCLASS", row["subclass"], "of the object"),
        ("Z", row["z"], "redshift, -9999 where unknown"),
        *((f"SNR{band.upper()}", row[f"snr{band}"], f"S/N in {band}") for band in SNR_BANDS),
    ]


def write_files(root: Path, rows: list[dict[str, Any]], plans: list[Plan], spectra: Spectra) -> None:
    """One file a spectrum: an image as in DR1 to DR8, or a one-row table as in DR10."""
    wavelength = LAMOST_LRS.wavelength.astype(np.float32)
    for folder in {Path(row["path"]).parent for row in rows}:
        (root / folder).mkdir(parents=True, exist_ok=True)

    def work(part: slice) -> None:
        for i, row in enumerate(rows[part], part.start):
            # Lengths differ a little from file to file.
            m = LAMOST_LRS.pixels - row["obsid"] % 4
            flux, ivar = spectra.flux[i, :m], spectra.ivar[i, :m]
            and_mask, or_mask = (x[i, :m].astype(np.float32) for x in (spectra.and_mask, spectra.or_mask))
            cards = _cards(row, plans[row["plan"]], row["layout"])
            if row["layout"] == "image":
                units = [fitswriter.image(np.stack([flux, ivar, wavelength[:m], and_mask, or_mask]), cards)]
            else:
                level = np.median(flux)
                columns = {
                    "FLUX": flux,
                    "IVAR": ivar,
                    "WAVELENGTH": wavelength[:m],
                    "ANDMASK": and_mask,
                    "ORMASK": or_mask,
                    "NORMALIZATION": flux / level if level > 0 else np.zeros(m, np.float32),
                }
                units = [
                    fitswriter.primary(cards, bitpix=16, lengths=(m, 5)),
                    fitswriter.table("COADD", columns, [], tall=False),
                ]
            fitswriter.write_gzip(root / row["path"], units)

    map_chunks(work, len(rows), 128)


def catalog_columns(
    rng: np.random.Generator,
    sources: Sources,
    seen: Observed,
    plans: list[Plan],
    listed: np.ndarray,
    ratios: dict[str, np.ndarray],
) -> dict[str, np.ndarray]:
    """Columns of the catalogue, LAMOST's names; -9999 where LAMOST has it."""
    row, released = seen.source, seen.released
    n = len(row)
    upper, subclass = (column[row] for column in labels(rng, sources))
    upper, subclass = np.where(released, upper, "UNKNOWN"), np.where(released, subclass, "Non")
    lmjd = np.array([plan.lmjd for plan in plans])[seen.plan]
    planid = np.array([plan.planid for plan in plans])[seen.plan]
    ra, dec = sources.ra[row].round(7), sources.dec[row].round(7)
    stellar = np.isin(sources.kind[row], STELLAR)
    error = RV_ERROR * np.sqrt(1 + (10 / np.maximum(ratios["r"], 1)) ** 2)
    rv = sources.rv[row] + error * rng.normal(0, 1, n)
    g_mag = sources.magnitude[row, 0] + rng.normal(0, 0.01, n)
    matched = listed[row]
    return {
        "obsid": (500 + seen.plan) * 100_000 + seen.spid * 1000 + seen.fiberid,
        "designation": designation(ra, dec).to_numpy(zero_copy_only=False).astype(str),
        "obsdate": obsdate(lmjd - 1),
        "lmjd": lmjd.astype(np.int32),
        "mjd": (lmjd - 1).astype(np.int32),
        "planid": planid,
        "spid": seen.spid.astype(np.int16),
        "fiberid": seen.fiberid.astype(np.int16),
        "ra": ra,
        "dec": dec,
        **{f"snr{band}": ratio.astype(np.float32).round(2) for band, ratio in ratios.items()},
        "class": upper,
        "subclass": subclass,
        "z": np.where(released, rv / C_KMS, MISSING).round(8),
        "rv": np.where(released & stellar, rv, MISSING).astype(np.float32).round(2),
        "gaia_source_id": np.where(matched, sources.gaia[row], MISSING),
        "gaia_g_mean_mag": np.where(matched, g_mag, MISSING).astype(np.float32).round(3),
        "path": np.array(
            [
                f"{day}/{plan}/spec-{day}-{plan}_sp{spid:02d}-{fiber:03d}.fits.gz"
                for day, plan, spid, fiber in zip(lmjd, planid, seen.spid, seen.fiberid, strict=True)
            ]
        ),
    }


def _truth(
    sources: Sources,
    seen: Observed,
    catalog: dict[str, np.ndarray],
    role: np.ndarray,
    spectra: Spectra,
    layout: np.ndarray,
) -> pa.Table:
    row, gaia = seen.source, sources.gaia[seen.source]
    kind, m_star = sources.kind[row], sources.is_m[row]
    dwarf, stellar, far = kind == "dwarf", np.isin(kind, STELLAR), np.isin(kind, ("galaxy", "quasar"))
    b = SkyCoord(sources.ra[row] * u.deg, sources.dec[row] * u.deg).galactic.b.deg
    types, distance = sources.number[row], sources.distance[row]
    height = distance * np.sin(np.radians(b)) + SUN_HEIGHT
    ids = [Path(path).name.removesuffix(".fits.gz") for path in catalog["path"]]
    kinds = "dwarf, giant (both M), star, white_dwarf, carbon, galaxy, quasar, junk, empty"
    u_v_w = sources.velocity[row].T
    columns = {
        "spectrum_id": (TEXT, "file stem", "", ids),
        "obsid": (INT64, "identifier of the observation", "", catalog["obsid"]),
        "source": (INT32, "row of the source: the same in all its spectra", "", row),
        "gaia_source_id": (INT64, "made-up identifier, also of sources that the Gaia table lacks", "", gaia),
        "role": (TEXT, "released, confirmed (UNKNOWN, seen not to be M) or pool (UNKNOWN)", "", role),
        "kind": (TEXT, kinds, "", kind),
        "is_m": (BOOL, "M dwarf or giant", "", m_star),
        "giant": (BOOL, "giant, of M stars", "", kind == "giant", m_star),
        "subtype": (REAL, "0 to 9, of M stars", "", np.clip(types - M0, 0, 9), m_star),
        "type_number": (REAL, "A0 = 0, F0 = 10, G0 = 20, K0 = 30, M0 = 40", "", types, np.isfinite(types)),
        "feh": (REAL, "metallicity of stars", "dex", sources.feh[row], stellar),
        "active": (BOOL, "H-alpha in emission, of M dwarfs", "", sources.ewha[row] > 0, dwarf),
        "ewha": (REAL, "equivalent width of the added H-alpha line", "Angstrom", sources.ewha[row], dwarf),
        "rv": (REAL, "heliocentric velocity of stars", "km/s", sources.rv[row], stellar),
        "z": (REAL, "redshift of galaxies and quasars", "", sources.parameter[row], far),
        "snr": (REAL, "median S/N a pixel, 5600-6950 Angstrom, that the noise was made for", "", seen.snr),
        "defective": (BOOL, "flux gap or step", "", spectra.defective),
        "layout": (TEXT, "image or table", "", layout),
        "population": (TEXT, "active, thin, thick or halo", "", sources.population[row], stellar),
        "distance": (REAL, "of stars", "pc", distance, stellar),
        "h_disc": (REAL, "height above the Galactic plane", "pc", height, stellar),
        "u": (REAL, "towards the centre, from the local standard of rest", "km/s", u_v_w[0], stellar),
        "v": (REAL, "towards the rotation, from the local standard of rest", "km/s", u_v_w[1], stellar),
        "w": (REAL, "towards the north, from the local standard of rest", "km/s", u_v_w[2], stellar),
        "m_g": (REAL, "absolute Gaia G magnitude, without dust", "mag", sources.m_g[row], stellar),
        "a_v": (REAL, "visual extinction", "mag", sources.extinction[row], stellar),
    }
    return common.described_table(columns)


def as_rows(columns: dict[str, np.ndarray]) -> list[dict[str, Any]]:
    """Columns (n,) as n rows of plain Python values."""
    names = list(columns)
    return [
        dict(zip(names, values, strict=True))
        for values in zip(*(column.tolist() for column in columns.values()), strict=True)
    ]


def simulate_lrs(
    folder: str | Path,
    *,
    seed: int,
    layout: Literal["image", "table", "both"] = "both",
    n_plans: int = 6,
    n_spectrographs: int = 6,
    n_released: int = 3000,
    n_unknown: int = 3000,
    bright: float = 0.0,
) -> dict[str, int]:
    """Write a LAMOST-LRS survey in which M stars hide among UNKNOWN spectra.

    `folder` receives ``spectra/{lmjd}/{planid}/spec-*.fits.gz``; ``catalog.fits``, all spectra;
    ``unknown.fits``, the pool to be searched; ``labelled.fits``, what a search can learn from: the released
    spectra and UNKNOWN ones that people have seen not to be M (class UNKNOWN, subclass Non);
    ``gaia.parquet``, a mock of Gaia DR2, 2MASS and WISE; and ``truth.parquet``.

    Parameters
    ----------
    seed : of everything; equal seeds and settings give equal bytes
    layout : {"image", "table", "both"}
        The primary image (5, n) of DR1 to DR8, the one-row table of DR10, or the two in turn, plan by plan.
    n_plans, n_spectrographs : size; two plans share a field, so that some sources are observed twice
    n_released, n_unknown : spectra with a class, and without
    bright : share of the spectra with a class whose S/N is 20 to 200; that of the others is mostly 5 to 20

    Returns
    -------
    dict : counts: files, m_released, m_pool (M stars among released ones and in the pool), confirmed, pool

    Raises SettingsError if the survey cannot have this size.
    """
    common.check_size(
        layout, LAYOUTS, n_spectrographs, n_plans=n_plans, n_released=n_released, n_unknown=n_unknown
    )
    out = Path(folder)
    out.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    plans, fields = make_plans(rng, n_plans)
    spectrographs = common.choose_spectrographs(n_spectrographs)
    again = {
        group: round(AGAIN[group] * number) if n_plans > 1 else 0
        for group, number in (("released", n_released), ("unknown", n_unknown))
    }
    sources = draw_sources(
        rng, fields, spectrographs, n_released - again["released"], n_unknown - again["unknown"], bright
    )
    seen = assign_spectra(rng, sources, fields, observe_again(rng, sources, fields, again))
    released = seen.released
    defective = rng.random(len(released)) < np.where(released, *DEFECTIVE.values())
    # One thread for each matrix product: how threads share one changes the last bit.
    with threadpool_limits(1, user_api="blas"):
        spectra = observe(rng, sources, seen.source, seen.snr, defective)
    gaia, listed = gaia_table(rng, sources)
    catalog = catalog_columns(rng, sources, seen, plans, listed, band_snr(spectra))
    candidates = np.flatnonzero(~released & ~sources.is_m[seen.source])
    confirmed = rng.choice(candidates, min(len(candidates), round(CONFIRMED * n_unknown)), replace=False)
    role = np.where(released, "released", "pool").astype("U9")
    role[confirmed] = "confirmed"
    plan_layout = common.choose_layouts(layout, LAYOUTS, n_plans)
    rows = as_rows(catalog | {"plan": seen.plan, "layout": plan_layout[seen.plan]})
    write_files(out / "spectra", rows, plans, spectra)
    for name, chosen in (("catalog", role != ""), ("labelled", role != "pool"), ("unknown", role == "pool")):
        common.write_catalog(out / f"{name}.fits", {key: column[chosen] for key, column in catalog.items()})
    truth = _truth(sources, seen, catalog, role, spectra, plan_layout[seen.plan])
    pq.write_table(gaia, out / "gaia.parquet", compression="zstd")
    pq.write_table(truth.sort_by("spectrum_id"), out / "truth.parquet", compression="zstd")
    m_star = sources.is_m[seen.source]
    return {
        "files": len(rows),
        "m_released": int((m_star & released).sum()),
        "m_pool": int((m_star & (role == "pool")).sum()),
        "confirmed": int((role == "confirmed").sum()),
        "pool": int((role == "pool").sum()),
    }
