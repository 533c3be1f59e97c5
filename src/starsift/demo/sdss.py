"""A simulated SDSS survey of A-type stars: which of them are on the blue horizontal branch is in the truth.

Stars of three kinds share one distribution of magnitudes and of g-r. They differ as physics says: in gravity
(wings of Balmer lines, Balmer jump), in metallicity (metal lines), in rotation and velocity. The Balmer jump
is not in the spectra, which are of use from 4000 Angstrom on; it is in u-g, so in the images only.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from threadpoolctl import threadpool_limits

from starsift.demo import fitswriter
from starsift.demo.astars import BAD_RUNS, CHUNK, GRID, KINDS, AStars, draw_astars, observe_astars
from starsift.demo.common import BOOL, INT8, INT32, INT64, REAL, TEXT, described_table
from starsift.demo.cutouts import PIXEL, draw_cutouts, measure_magnitudes
from starsift.demo.fitswriter import Card
from starsift.errors import SettingsError
from starsift.io.parquet import write_csv, write_parquet
from starsift.searches.bhb.inputs import BANDS, CLASSES
from starsift.survey.names import sdss_obsid
from starsift.synthesis.degrade import bad_runs, damage, sky_lines

# The survey: plates of two nights each; what is wrong with some of its spectra and images.
PLATE_STARS, FIBRES, PLATES = 480, 640, 200
FIRST_PLATE, FIRST_NIGHT, LATER = 2303, 53_700, 730  # LATER: days between the visits of a plate
EXPTIME = 2700.0  # s
AGAIN = 0.04  # share of spectra that are of a star seen before, on the plate's other night
POSITION_ERROR = 0.05  # arcsec, from visit to visit
SPECTRUM_DEFECTS = {"short": 0.015, "damaged": 0.01, "masked": 0.005}
BROKEN = 0.0006  # share of spectra whose file cannot be read, one at least
IMAGE_DEFECTS = {"no file": 0.02, "misaligned": 0.01, "gap": 0.01, "missing band": 0.003}
FULL_REJECT, PARTIAL_REJECT = 1 << 18, 1 << 19  # bits of and_mask and or_mask (SDSS's SPPIXMASK)
SKY_FLUX = 3.0  # of the sky's continuum in a fibre, 1e-17 erg/s/cm2/Angstrom


@dataclass(frozen=True)
class _Survey:
    """n spectra of stars: which star (row), plate, night, fibre, place (degrees), S/N, defects of each."""

    stars: AStars
    star: np.ndarray
    plate: np.ndarray
    mjd: np.ndarray
    fiber: np.ndarray
    ra: np.ndarray
    dec: np.ndarray
    snr: np.ndarray
    spectrum_defect: np.ndarray
    image_defect: np.ndarray  # of each star, as all its spectra have one image

    @property
    def names(self) -> list[str]:
        """Folder and ``PPPP-MMMMM-FFFF`` of each spectrum."""
        return [
            f"{plate:04d}/{{}}-{plate:04d}-{mjd}-{fiber:04d}"
            for plate, mjd, fiber in zip(
                *(x.tolist() for x in (self.plate, self.mjd, self.fiber)), strict=True
            )
        ]


def _positions(rng: np.random.Generator, field: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Right ascension and declination (n,) of stars on plates (n,), an arcminute or more apart."""
    n = len(field)
    east, north = np.empty((2, n))
    for one in np.unique(field):
        rows = np.flatnonzero(field == one)
        side = int(np.ceil(np.sqrt(len(rows))))
        cell = rng.permutation(side * side)[: len(rows)]
        for values, k in ((east, cell % side), (north, cell // side)):
            values[rows] = (k + 0.5 + rng.uniform(-0.3, 0.3, len(rows))) / side - 0.5
    dec = 4.0 + 6.0 * (field // 20) + 2.0 * north
    return 125.0 + 6.0 * (field % 20) + 2.0 * east / np.cos(np.radians(dec)), dec


def _defects(rng: np.random.Generator, n: int, shares: dict[str, float]) -> np.ndarray:
    """One defect, or none, for each of n."""
    left = 1 - sum(shares.values())
    return rng.choice([*shares, "none"], n, p=[*shares.values(), left]).astype("U12")


def _draw_survey(rng: np.random.Generator, n: int) -> _Survey:
    """Stars, and n spectra of them, in the order of plate, night and fibre."""
    n_stars = n - round(AGAIN * n)
    n_plates = -(-n_stars // PLATE_STARS)
    stars = draw_astars(rng, n_stars, n_plates)
    star = np.concatenate([np.arange(n_stars), rng.choice(n_stars, n - n_stars, replace=False)])
    night = rng.integers(0, 2, n_stars)[star]
    night[n_stars:] = 1 - night[n_stars:]
    field = stars.field[star]
    mjd = FIRST_NIGHT + field % 2 + LATER * night
    fiber = np.empty(n, dtype=np.int64)
    for one in np.unique(2 * field + night):
        rows = np.flatnonzero(2 * field + night == one)
        fiber[rows] = rng.permutation(FIBRES)[: len(rows)] + 1
    ra, dec = (x[star] for x in _positions(rng, stars.field))
    error = np.clip(POSITION_ERROR * rng.standard_normal((2, n)), -0.1, 0.1) / 3600
    snr = stars.snr[star] * np.where(np.arange(n) < n_stars, 1.0, rng.lognormal(0, 0.2, n))
    defect = _defects(rng, n, SPECTRUM_DEFECTS)
    defect[rng.choice(n, max(1, round(BROKEN * n)), replace=False)] = "broken"
    order = np.lexsort([fiber, mjd, field])
    return _Survey(
        stars,
        star[order],
        (FIRST_PLATE + 7 * field)[order],
        mjd[order],
        fiber[order],
        (ra + error[0] / np.cos(np.radians(dec))).round(7)[order],
        (dec + error[1]).round(7)[order],
        snr[order],
        defect[order],
        _defects(rng, n_stars, IMAGE_DEFECTS),
    )


def _subclasses(rng: np.random.Generator, teff: np.ndarray) -> np.ndarray:
    """Types (n,) bytes as a pipeline gives them, by temperature alone."""
    return np.where(teff + 200 * rng.standard_normal(len(teff)) > 8000, b"A0", b"F2").astype("S6")


def _write_spectra(root: Path, rng: np.random.Generator, survey: _Survey, subclass: np.ndarray) -> np.ndarray:
    """One file a spectrum; returns the median S/N (n,) of their pixels."""
    n = len(survey.star)
    names, ratio = survey.names, np.zeros(n)
    loglam = (GRID.log10_lambda0 + GRID.dlog10_lambda * np.arange(GRID.pixels)).astype(np.float32)
    sky = SKY_FLUX * (1 + sky_lines(GRID.wavelength))
    for start in range(0, n, CHUNK):
        rows = np.arange(start, min(start + CHUNK, n))
        defect = survey.spectrum_defect[rows]
        flux, ivar, bad = observe_astars(
            rng, replace(survey.stars.take(survey.star[rows]), snr=survey.snr[rows])
        )
        broken = np.flatnonzero(defect == "damaged")
        flux[broken], ivar[broken] = damage(flux[broken], ivar[broken], rng, GRID.wavelength)
        bad |= (ivar == 0) | (defect == "masked")[:, None]
        partial = np.zeros_like(bad)  # lost in one of the exposures only
        bad_runs(rng, partial, BAD_RUNS)
        ivar[bad] = 0.0
        and_mask = np.where(bad, FULL_REJECT, 0).astype(np.int32)
        or_mask = and_mask | np.where(partial, PARTIAL_REJECT, 0).astype(np.int32)
        glow = rng.lognormal(0, 0.2, len(rows))
        # Cut at one end: after 4000 Angstrom, or before 9000.
        first, last = np.zeros(len(rows), dtype=int), np.full(len(rows), GRID.pixels)
        blue = rng.random(len(rows)) < 0.5
        limit = np.where(blue, rng.uniform(4050, 4600, len(rows)), rng.uniform(8200, 8950, len(rows)))
        pixel = np.searchsorted(GRID.wavelength, limit)
        short = defect == "short"
        first[short & blue], last[short & ~blue] = pixel[short & blue], pixel[short & ~blue]
        for i, row in enumerate(rows.tolist()):
            cut = slice(first[i], last[i])
            good = ivar[i, cut] > 0
            snr = flux[i, cut][good] * np.sqrt(ivar[i, cut][good])
            ratio[row] = np.median(snr) if snr.size else 0.0
            columns = {
                "flux": flux[i, cut],
                "loglam": loglam[cut],
                "ivar": ivar[i, cut],
                "and_mask": and_mask[i, cut],
                "or_mask": or_mask[i, cut],
                "sky": (sky[cut] * glow[i]).astype(np.float32),
            }
            parts = [
                fitswriter.primary(_cards(survey, row)),
                fitswriter.table("COADD", columns, [], tall=True),
                fitswriter.table("SPECOBJ", _classification(survey, row, subclass, ratio), [], tall=True),
            ]
            if defect[i] == "broken":  # half of a file, as a copy that was interrupted
                parts = [b"".join(parts)[:40_000]]
            fitswriter.write(root / f"{names[row].format('spec')}.fits", parts)
    return ratio


def _cards(survey: _Survey, row: int) -> list[Card]:
    field_ra, field_dec = survey.ra[row].round(0), survey.dec[row].round(0)
    return [
        ("TELESCOP", "SDSS 2.5-M", ""),
        ("ORIGIN", "SIMULATED", "not an observation"),
        ("AUTHOR", "starsift", "who made this file"),
        ("RA", float(field_ra), "[deg] of the telescope, about"),
        ("DEC", float(field_dec), "[deg] of the telescope, about"),
        ("RADECSYS", "ICRS", ""),
        ("EQUINOX", 2000.0, ""),
        ("MJD", int(survey.mjd[row]), "modified Julian day"),
        ("PLATEID", int(survey.plate[row]), "plate"),
        ("FIBERID", int(survey.fiber[row]), "fibre"),
        ("PLUG_RA", float(survey.ra[row]), "[deg] right ascension of the object"),
        ("PLUG_DEC", float(survey.dec[row]), "[deg] declination of the object"),
        ("EXPTIME", EXPTIME, "[s] summed exposure time"),
        ("VACUUM", True, "wavelengths are in vacuum"),
        ("COEFF0", GRID.log10_lambda0, "log10(wavelength) of the grid's first pixel"),
        ("COEFF1", GRID.dlog10_lambda, "log10 step a pixel"),
        ("BUNIT", "1E-17 erg/cm^2/s/Ang", "of fluxes"),
    ]


def _classification(
    survey: _Survey, row: int, subclass: np.ndarray, ratio: np.ndarray
) -> dict[str, np.ndarray]:
    """The row of a pipeline's results for a spectrum."""
    return {
        "PLATE": np.array([survey.plate[row]], np.int32),
        "MJD": np.array([survey.mjd[row]], np.int32),
        "FIBERID": np.array([survey.fiber[row]], np.int32),
        "PLUG_RA": np.array([survey.ra[row]], np.float64),
        "PLUG_DEC": np.array([survey.dec[row]], np.float64),
        "CLASS": np.array([b"STAR"], "S6"),
        "SUBCLASS": subclass[row : row + 1],
        "SN_MEDIAN_ALL": np.array([ratio[row]], np.float32),
    }


def _write_cutouts(root: Path, rng: np.random.Generator, survey: _Survey, size: int) -> None:
    """One file a spectrum, those of one star alike; a file has an image a band."""
    names = survey.names
    spectra = np.argsort(survey.star, kind="stable")
    first = np.searchsorted(survey.star[spectra], np.arange(survey.stars.n + 1))
    for start in range(0, survey.stars.n, CHUNK):
        rows = np.arange(start, min(start + CHUNK, survey.stars.n))
        images = draw_cutouts(rng, survey.stars.take(rows), size)
        for star, bands in zip(rows, images, strict=True):
            defect = survey.image_defect[star]
            if defect == "no file":
                continue
            own = spectra[first[star] : first[star + 1]]
            middle = np.tile((size + 1) / 2 + survey.stars.offset[star], (5, 1))
            lost = -1
            if defect == "misaligned":
                # Another piece of the sky: the header has its coordinates, or not.
                band, known = int(rng.integers(5)), bool(rng.integers(2))
                moved = _displacement(rng)
                bands[band] = np.roll(bands[band], moved, axis=(0, 1))
                middle[band] += moved if known else 0
            elif defect == "gap":
                _cut(rng, bands)
            elif defect == "missing band":
                lost = int(rng.integers(5))
            parts = [fitswriter.primary([("ORIGIN", "SIMULATED", "not an observation")])]
            for k, (name, image) in enumerate(zip(BANDS, bands, strict=True)):
                if k != lost:
                    cards = _image_cards(name, survey.ra[own[0]], survey.dec[own[0]], *middle[k])
                    parts.append(fitswriter.image(image, cards, extension=True))
            for row in own:
                fitswriter.write(root / f"{names[row].format('cutout')}.fits", parts)


def _displacement(rng: np.random.Generator) -> tuple[int, int]:
    """Pixels in y and x, 2 to 5 away."""
    angle, away = rng.uniform(0, 2 * np.pi), rng.uniform(2.8, 4.5)
    return round(away * np.sin(angle)), round(away * np.cos(angle))


def _cut(rng: np.random.Generator, bands: np.ndarray) -> None:
    """A strip without data through one band or all (5, size, size), in place: 0 or NaN."""
    band = int(rng.integers(5))
    some = bands if rng.random() < 0.5 else bands[band : band + 1]
    strip = some if rng.random() < 0.5 else some.transpose(0, 2, 1)
    first = int(rng.integers(0, bands.shape[-1] - 3))
    strip[:, first : first + int(rng.integers(3, 9))] = rng.choice([0.0, np.nan])


def _image_cards(band: str, ra: float, dec: float, y: float, x: float) -> list[Card]:
    return [
        ("EXTNAME", band, "name of this extension"),
        ("FILTER", band, "SDSS band"),
        ("BUNIT", "nanomaggy", "22.5 mag has flux 1"),
        ("CTYPE1", "RA---TAN", ""),
        ("CTYPE2", "DEC--TAN", ""),
        ("CUNIT1", "deg", ""),
        ("CUNIT2", "deg", ""),
        ("CRPIX1", float(x), "of the star, from 1"),
        ("CRPIX2", float(y), "of the star, from 1"),
        ("CRVAL1", float(ra), "[deg] right ascension"),
        ("CRVAL2", float(dec), "[deg] declination"),
        ("CD1_1", -PIXEL / 3600, "east is left"),
        ("CD1_2", 0.0, ""),
        ("CD2_1", 0.0, ""),
        ("CD2_2", PIXEL / 3600, "north is up"),
        ("RADESYS", "ICRS", ""),
    ]


def _write_catalog(
    path: Path, survey: _Survey, photometry: np.ndarray, columns: dict[str, np.ndarray]
) -> None:
    """All spectra as a FITS table."""
    extinction = survey.stars.extinction[survey.star].astype(np.float32)
    table = {
        "plate": survey.plate.astype(np.int32),
        "mjd": survey.mjd.astype(np.int32),
        "fiberid": survey.fiber.astype(np.int16),
        "ra": survey.ra,
        "dec": survey.dec,
        **columns,
        **{f"psfmag_{band}": photometry[survey.star, k] for k, band in enumerate(BANDS)},
        **{f"extinction_{band}": extinction[:, k] for k, band in enumerate(BANDS)},
    }
    units = {"mjd": "d", "ra": "deg", "dec": "deg"}
    units |= {name: "mag" for name in table if name.startswith(("psfmag", "extinction"))}
    cards: list[Card] = [(f"TUNIT{i}", units[name], "") for i, name in enumerate(table, 1) if name in units]
    fitswriter.write(path, [fitswriter.primary([]), fitswriter.table("SPECTRA", table, cards, tall=True)])


def _truth(survey: _Survey, labelled: np.ndarray) -> pa.Table:
    row, stars = survey.star, survey.stars.take(survey.star)
    bare = stars.magnitude - stars.extinction
    ids = [Path(name.format("spec")).name for name in survey.names]
    obsid: Any = sdss_obsid(survey.plate, survey.mjd, survey.fiber)  # type: ignore[arg-type]
    classes = np.array(CLASSES)[(stars.kind == KINDS[0]).astype(int)]
    defect = survey.spectrum_defect
    defects = "none, short (not all of 4000-9000 Angstrom), damaged, masked (altogether) or broken (file)"
    image_defect = survey.image_defect[row]
    columns = {
        "spectrum_id": (TEXT, "file stem", "", ids),
        "obsid": (INT64, "one number of plate, night and fibre", "", obsid),
        "star": (INT32, "row of the star: the same in all its spectra", "", row),
        "visits": (INT8, "spectra of this star", "", np.bincount(row)[row]),
        "labelled": (BOOL, "listed in labelled.csv; all others are the pool", "", labelled),
        "kind": (TEXT, "BHB, blue straggler or A main sequence", "", stars.kind),
        "class": (TEXT, "BHB or not BHB", "", classes),
        "teff": (REAL, "effective temperature", "K", stars.teff),
        "logg": (REAL, "surface gravity", "dex(cm/s2)", stars.logg),
        "feh": (REAL, "metallicity", "dex", stars.feh),
        "rv": (REAL, "heliocentric velocity", "km/s", stars.rv),
        "vsini": (REAL, "projected rotation", "km/s", stars.vsini),
        "u_g": (REAL, "u-g without dust", "mag", bare[:, 0] - bare[:, 1]),
        "g_r": (REAL, "g-r without dust", "mag", bare[:, 1] - bare[:, 2]),
        "g": (REAL, "behind dust", "mag", stars.magnitude[:, 1]),
        "a_g": (REAL, "extinction in g", "mag", stars.extinction[:, 1]),
        "m_g": (REAL, "absolute magnitude in g", "mag", stars.m_g),
        "distance": (REAL, "heliocentric", "kpc", stars.distance),
        "snr": (REAL, "median S/N a pixel, 4000-9000 Angstrom, that the noise was made for", "", survey.snr),
        "fwhm_r": (REAL, "of the point-spread function in r", "arcsec", stars.fwhm[:, 2]),
        "spectrum_defect": (TEXT, defects, "", defect),
        "image_defect": (TEXT, "none, no file, misaligned, gap or missing band", "", image_defect),
    }
    return described_table(columns)


def simulate_sdss(
    folder: str | Path, *, seed: int, n_labelled: int, n_pool: int, size: int = 32
) -> dict[str, int]:
    """Write an SDSS survey of A-type stars, some of which have labels.

    `folder` receives ``spectra/{plate}/spec-PPPP-MMMMM-FFFF.fits``; images in five bands,
    ``cutouts/{plate}/cutout-PPPP-MMMMM-FFFF.fits``; ``catalog.fits``, all spectra with their photometry;
    ``labelled.csv``; and ``truth.parquet``.

    Parameters
    ----------
    seed : of everything; equal seeds and settings give equal bytes
    n_labelled, n_pool : spectra with and without a label
    size : pixels a side of the images

    Returns
    -------
    dict : counts: plates, stars, labelled, pool, and of the latter two those of BHB stars

    Raises SettingsError if the survey cannot have this size.
    """
    n = n_labelled + n_pool
    if min(n_labelled, n_pool) < 1 or n > PLATES * PLATE_STARS:
        raise SettingsError(
            f"{n_labelled} labelled spectra and {n_pool} others: expected one of each or more, and "
            f"{PLATES * PLATE_STARS} in all at most"
        )
    if size < 16:
        raise SettingsError(f"images of {size} pixels do not hold a star and its sky: use 16 or more")
    out = Path(folder)
    rng = np.random.default_rng(seed)
    # One thread for each matrix product: how threads share one changes the last bit.
    with threadpool_limits(1, user_api="blas"):
        survey = _draw_survey(rng, n)
        stars = survey.stars
        for kind in ("spectra", "cutouts"):
            for plate in np.unique(survey.plate):
                (out / kind / f"{plate:04d}").mkdir(parents=True, exist_ok=True)
        labelled = rng.permutation(n) < n_labelled
        subclass = _subclasses(rng, stars.teff[survey.star])
        ratio = _write_spectra(out / "spectra", rng, survey, subclass)
        photometry = measure_magnitudes(rng, stars)
        _write_cutouts(out / "cutouts", rng, survey, size)
    columns = {
        "sn_median_all": ratio.astype(np.float32),
        "class": np.full(n, b"STAR", dtype="S6"),
        "subclass": subclass,
    }
    _write_catalog(out / "catalog.fits", survey, photometry, columns)
    kind = stars.kind[survey.star]
    listed = {"plate": survey.plate, "mjd": survey.mjd, "fiberid": survey.fiber, "label": kind}
    write_csv(pa.table({name: values[labelled] for name, values in listed.items()}), out / "labelled.csv")
    write_parquet(_truth(survey, labelled), out / "truth.parquet", sort_by=["spectrum_id"])
    bhb = kind == KINDS[0]
    return {
        "plates": len(np.unique(survey.plate)),
        "stars": stars.n,
        "labelled": n_labelled,
        "pool": n_pool,
        "bhb_labelled": int((bhb & labelled).sum()),
        "bhb_pool": int((bhb & ~labelled).sum()),
    }
