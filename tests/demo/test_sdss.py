"""The simulated SDSS survey of A-type stars: files as SDSS writes them, stars and images as physics says."""

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from fixtures.survey_files import digest
from scipy.ndimage import gaussian_filter1d
from scipy.stats import ks_2samp

from starsift.demo import astars, cutouts, sdss
from starsift.demo.astars import (
    EXTINCTION,
    GRID,
    KINDS,
    AStars,
    draw_astars,
    noiseless,
    observe_astars,
    pack_templates,
    read_templates,
    synthetic_magnitudes,
    template_grid,
)
from starsift.demo.cutouts import draw_cutouts, flux_of, measure_magnitudes, sky_noise
from starsift.demo.sdss import simulate_sdss
from starsift.errors import SettingsError, SpectrumError
from starsift.searches.bhb.inputs import BANDS, CLASSES
from starsift.searches.bhb.search import SEARCH
from starsift.sky.constants import C_KMS
from starsift.survey.catalog import read_catalog
from starsift.survey.index import index_folder
from starsift.survey.readers.registry import read_spectrum

TEMPLATES = Path(__file__).resolve().parents[3] / "shared/data/templates-a/grid.npz"
SIZE: dict[str, Any] = {"n_labelled": 70, "n_pool": 190, "size": 24}
MANY = {"short": 0.06, "damaged": 0.04, "masked": 0.03}
MANY_IMAGES = {"no file": 0.06, "misaligned": 0.06, "gap": 0.06, "missing band": 0.04}
H_BETA = 4862.68  # Angstrom, vacuum


@pytest.fixture(scope="module")
def survey(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sdss")
    with pytest.MonkeyPatch.context() as patch:
        # More of what is wrong than a survey has, so that there is some of each.
        patch.setattr(sdss, "SPECTRUM_DEFECTS", MANY)
        patch.setattr(sdss, "IMAGE_DEFECTS", MANY_IMAGES)
        counts = simulate_sdss(folder, seed=3, **SIZE)
    rows = pq.read_table(folder / "truth.parquet", columns=["labelled", "class"]).to_pylist()
    bhb = [row["labelled"] for row in rows if row["class"] == "BHB"]
    assert counts == {
        **{"plates": 1, "stars": 250, "labelled": 70, "pool": 190},
        **{"bhb_labelled": bhb.count(True), "bhb_pool": bhb.count(False)},
    }
    return folder


@pytest.fixture(scope="module")
def truth(survey: Path) -> dict[str, np.ndarray]:
    table = pq.read_table(survey / "truth.parquet")
    return {name: np.array(table[name].to_pylist()) for name in table.column_names}


@pytest.fixture(scope="module")
def stars() -> AStars:
    return draw_astars(np.random.default_rng(0), 4000)


def alike(**change: float) -> AStars:
    """One star without rotation, velocity or dust, and parameters changed as asked."""
    one = draw_astars(np.random.default_rng(1), 1)
    values = {"teff": 8500.0, "logg": 4.0, "feh": -1.0, "rv": 0.0, "vsini": 0.0, **change}
    return replace(
        one, extinction=np.zeros((1, 5)), **{name: np.array([value]) for name, value in values.items()}
    )


def spectrum_of(survey: Path, stem: str) -> Path:
    return survey / "spectra" / stem[5:9] / f"{stem}.fits"


def image_of(survey: Path, stem: str) -> Path:
    return survey / "cutouts" / stem[5:9] / f"cutout{stem[4:]}.fits"


# Templates.


@pytest.mark.skipif(not TEMPLATES.exists(), reason="the templates as computed are not here")
def test_packed_templates_are_those_that_were_computed(tmp_path: Path) -> None:
    grid = np.load(TEMPLATES)
    params, log10_wavelength, flux = read_templates()
    np.testing.assert_array_equal(params, grid["params"])
    np.testing.assert_allclose(log10_wavelength, grid["log10_wavelength"], atol=1e-9)
    assert np.abs(flux / grid["flux"] - 1).max() < 1e-3
    pack_templates(TEMPLATES, tmp_path / "again.parquet")
    for ours, again in zip((params, flux), read_templates(tmp_path / "again.parquet")[::2], strict=True):
        np.testing.assert_array_equal(ours, again)


def test_packed_templates_are_small() -> None:
    assert astars.SHIPPED.stat().st_size < 1.5e6


def test_the_grid_has_every_combination_and_keeps_the_templates() -> None:
    grid = template_grid()
    params, log10_wavelength, flux = read_templates()
    assert len(params) == 113
    assert len(grid.log_flux) == 120
    assert np.isfinite(grid.log_flux).all()
    first = round((log10_wavelength[0] - GRID.log10_lambda0) / GRID.dlog10_lambda)
    assert GRID.wavelength[first] == pytest.approx(10 ** log10_wavelength[0], rel=1e-9)
    some = slice(0, 113, 9)
    seen = np.exp(grid.weights(*params[some].T) @ grid.log_flux)[:, first : first + flux.shape[1]]
    np.testing.assert_allclose(
        seen[:, 200::300], gaussian_filter1d(flux[some], 0.7495, axis=1)[:, 200::300], rtol=3e-3
    )
    half = grid.weights(*np.array([[8250.0], [3.25], [-0.5]]))
    assert half.sum() == pytest.approx(1)
    np.testing.assert_allclose(half.data, 0.125)


def test_missing_templates_are_like_their_neighbours() -> None:
    grid = template_grid()
    colour = (grid.magnitude[:, 0] - grid.magnitude[:, 1]).reshape(8, 5, 3)
    assert (np.diff(colour, axis=0) < 0).all()  # g-r tells the temperature
    flux = np.exp(grid.log_flux).reshape(8, 5, 3, -1)
    hot = flux[-1, 3] / flux[-1, 3].mean(axis=1, keepdims=True)  # 10500 K, log g 4, filled in at -2
    window = slice(250, 3700)
    np.testing.assert_allclose(hot[0, window], hot[1, window], rtol=0.08)


def test_colours_of_an_a0_dwarf_are_those_of_vega() -> None:
    grid = template_grid()
    magnitude = (grid.weights(*np.array([[9500.0], [4.0], [0.0]])) @ grid.magnitude)[0]
    # SDSS DR16, "Estimates for the ugriz colors of Vega and the Sun": g-r, r-i, i-z.
    np.testing.assert_allclose(-np.diff(magnitude), [-0.25, -0.23, -0.17], atol=0.03)


# Stars.


def test_kinds_differ_in_gravity_metals_and_motion_but_not_in_colour_or_magnitude(stars: AStars) -> None:
    of = [stars.kind == kind for kind in KINDS]
    assert [some.sum() for some in of] == [1600, 1400, 1000]
    assert {word.label for word in SEARCH.words} >= set(KINDS)
    bare = stars.magnitude - stars.extinction
    g_r = bare[:, 1] - bare[:, 2]
    assert g_r.min() > -0.25
    assert g_r.max() < 0
    for other in of[1:]:
        assert ks_2samp(g_r[of[0]], g_r[other]).pvalue > 0.01
        assert ks_2samp(stars.magnitude[of[0], 1], stars.magnitude[other, 1]).pvalue > 0.01
        assert ks_2samp(stars.snr[of[0]], stars.snr[other]).pvalue > 0.01
    bhb, straggler, young = of
    assert stars.logg[bhb].max() < 3.7
    assert np.corrcoef(stars.logg[bhb], stars.teff[bhb])[0, 1] > 0.4
    assert stars.logg[straggler].mean() == pytest.approx(4.18, abs=0.03)
    assert [round(stars.feh[some].mean(), 1) for some in of] == [-1.7, -1.3, -0.2]
    np.testing.assert_allclose([stars.rv[some].std() for some in of], [110, 110, 35], rtol=0.06)
    assert stars.vsini[bhb].max() <= 30
    assert stars.vsini[young].min() >= 20
    assert stars.magnitude[:, 1].min() > astars.G_RANGE[0]
    assert stars.magnitude[:, 1].max() < astars.G_RANGE[1]
    assert 5 < np.median(stars.snr) < 7


def test_photometry_follows_the_published_relations(stars: AStars) -> None:
    bare = stars.magnitude - stars.extinction
    u_g, x = bare[:, 0] - bare[:, 1], bare[:, 1] - bare[:, 2]
    # Deason et al. 2011, equations 2, 3, 5 and 7, written out.
    for some, ridge, width in (
        ((stars.kind == "BHB") & (stars.logg < 3.3), 1.167 - 0.775 * x - 1.934 * x**2 + 9.936 * x**3, 0.04),
        (
            (stars.kind == "blue straggler") & (stars.logg > 4),
            1.078 - 0.489 * x + 0.556 * x**2 + 13.444 * x**3,
            0.045,
        ),
    ):
        apart = (u_g - ridge)[some]
        assert apart.mean() == pytest.approx(0, abs=0.005)
        assert apart.std() == pytest.approx(width, abs=0.004)
    bhb, straggler = stars.kind == "BHB", stars.kind == "blue straggler"
    for some, m_g, scatter in (
        (bhb, 0.434 - 0.169 * x + 2.319 * x**2 + 20.449 * x**3 + 94.517 * x**4, 0.15),
        (straggler, 3.108 + 5.495 * x, 0.5),
    ):
        assert (stars.m_g - m_g)[some].std() == pytest.approx(scatter, rel=0.1)
        assert (stars.m_g - m_g)[some].mean() == pytest.approx(0, abs=0.05)
    np.testing.assert_allclose(bare[:, 1] - stars.m_g, 5 * np.log10(stars.distance * 100))
    dust = stars.extinction / EXTINCTION
    np.testing.assert_allclose(dust, dust[:, :1] * np.ones(5))
    assert dust.min() >= 0.01
    assert dust.max() <= 0.08


# Spectra.


def width_of_h_beta(star: AStars) -> float:
    """Full width in Angstrom where the line has a quarter of its depth."""
    flux = noiseless(star)[0]
    near = np.abs(GRID.wavelength - H_BETA) < 60
    level = np.median(flux[np.abs(np.abs(GRID.wavelength - H_BETA) - 70) < 10])
    deep = flux[near] < level - 0.25 * (level - flux[near].min())
    return float(np.ptp(GRID.wavelength[near][deep]))


def test_balmer_lines_of_dwarfs_are_broader() -> None:
    assert width_of_h_beta(alike(logg=4.2)) > 1.3 * width_of_h_beta(alike(logg=3.0))


def test_metal_lines_grow_with_metallicity() -> None:
    near = (GRID.wavelength > 5160) & (GRID.wavelength < 5190)  # Mg b

    def depth(feh: float) -> float:
        flux = noiseless(alike(feh=feh, teff=7800.0))[0][near]
        return float(1 - flux.min() / np.median(flux))

    assert depth(-0.1) > 0.05
    assert depth(-1.8) < 0.6 * depth(-0.1)


@pytest.mark.parametrize("rv", [-200.0, 310.0])
def test_velocity_moves_every_line_to_the_red_if_positive(rv: float) -> None:
    place = []
    for star in (alike(), alike(rv=rv)):
        flux = noiseless(star)[0].astype(np.float64)
        near = np.abs(GRID.wavelength - H_BETA) < 40
        depth = 1 - flux[near] / flux[near].max()
        place.append((depth**4 * GRID.wavelength[near]).sum() / (depth**4).sum())
    assert C_KMS * np.log(place[1] / place[0]) == pytest.approx(rv, abs=5)


def test_rotation_broadens_and_keeps_the_light() -> None:
    slow, fast = (noiseless(alike(feh=0.0, vsini=v))[0] for v in (0.0, 200.0))
    near = (GRID.wavelength > 4450) & (GRID.wavelength < 4600)
    assert fast[near].min() > slow[near].min()
    assert fast[near].mean() == pytest.approx(slow[near].mean(), rel=1e-3)


def test_spectra_have_the_magnitudes_of_their_stars(stars: AStars) -> None:
    some = stars.take(np.arange(60))
    seen = synthetic_magnitudes(noiseless(some).astype(np.float64) * 1e-17)
    np.testing.assert_allclose(seen[:, 0], some.magnitude[:, 1], atol=1e-4)
    np.testing.assert_allclose(
        seen[:, :2] - seen[:, 1:3], some.magnitude[:, 1:3] - some.magnitude[:, 2:4], atol=0.02
    )


def test_noise_is_as_strong_as_asked_and_ivar_knows_it(stars: AStars) -> None:
    some = stars.take(np.arange(300))
    flux, ivar, mask = observe_astars(np.random.default_rng(5), some)
    assert flux.shape == ivar.shape == mask.shape == (300, GRID.pixels)
    assert flux.dtype == ivar.dtype == np.float32
    assert mask.any(axis=1).mean() > 0.5
    assert (ivar[mask] == 0).all()
    inside = (GRID.wavelength > 4000) & (GRID.wavelength < 9000)
    ratio = np.median(flux[:, inside] * np.sqrt(ivar[:, inside]), axis=1)
    # Residuals of sky lines move the median of spectra of little signal.
    np.testing.assert_allclose(ratio, some.snr, rtol=0.25)
    near = slice(2100, 2300)  # between lines
    smooth = np.polynomial.polynomial.polyfit(np.arange(200), flux[:, near].T, 4)
    left = flux[:, near] - np.polynomial.polynomial.polyval(np.arange(200), smooth)
    assert np.median((left * np.sqrt(ivar[:, near])).std(axis=1)) == pytest.approx(1, abs=0.06)


def test_spikes_are_hits_and_residuals_of_sky_lines() -> None:
    flux = np.ones((2000, GRID.pixels), np.float32)
    astars.add_spikes(np.random.default_rng(3), flux, np.full(2000, 1e9))
    hit = flux > 1.01
    assert hit.sum() == pytest.approx(2 * astars.HITS * 2000, rel=0.06)  # two pixels each
    height = np.maximum(flux[:, :-1], flux[:, 1:])[hit[:, :-1] & hit[:, 1:]] - 1
    assert np.median(height) == pytest.approx(astars.HIT_HEIGHT, rel=0.08)
    faint = np.ones((2000, GRID.pixels), np.float32)
    astars.add_spikes(np.random.default_rng(3), faint, np.full(2000, 5.0))
    left = np.median(np.abs(faint - flux), axis=0)
    assert abs(GRID.wavelength[left.argmax()] - astars.OXYGEN_LINE) < 1
    both = np.hypot(astars.OXYGEN, astars.OTHER_LINES)  # the sky's lines have 5577 too
    assert left.max() == pytest.approx(0.6745 * both / 5, rel=0.1)
    assert left[GRID.wavelength < 4300].max() < 0.01  # there the sky has no lines


# Images.


def lonely(monkeypatch: pytest.MonkeyPatch, stars: AStars, size: int = 32) -> np.ndarray:
    """Images without neighbours and gradients."""
    monkeypatch.setattr(cutouts, "NEIGHBOURS", 0.0)
    monkeypatch.setattr(cutouts, "_gradients", lambda rng, n, size: np.float32(0))
    return draw_cutouts(np.random.default_rng(6), stars, size)


def test_images_hold_the_light_of_the_star_in_its_place(
    monkeypatch: pytest.MonkeyPatch, stars: AStars
) -> None:
    bright = np.flatnonzero(stars.magnitude[:, 4] < 17)[:80]
    some = stars.take(bright)
    images = lonely(monkeypatch, some)
    assert images.shape == (80, 5, 32, 32)
    assert images.dtype == np.float32
    light = images.sum(axis=(2, 3)) / flux_of(some.magnitude + some.zero_point)
    np.testing.assert_allclose(np.median(light, axis=0), 1, atol=0.015)
    core = images[:, :, 8:24, 8:24].astype(np.float64)
    for axis in (0, 1):
        pixel = np.arange(8, 24) - 15.5
        weighted = (core * (pixel[:, None] if axis == 0 else pixel)).sum(axis=(2, 3)) / core.sum(axis=(2, 3))
        apart = weighted - some.offset[:, axis, None]
        assert np.abs(np.median(apart, axis=0)).max() < 0.03
        assert apart[:, 1:4].std() < 0.05
    width = np.sqrt((core[:, 2] * (np.arange(16) - 7.5) ** 2).sum(axis=(1, 2)) / core[:, 2].sum(axis=(1, 2)))
    assert np.corrcoef(width, some.fwhm[:, 2])[0, 1] > 0.5


def test_noise_of_images_and_magnitudes_is_that_of_the_depths(
    monkeypatch: pytest.MonkeyPatch, stars: AStars
) -> None:
    images = lonely(monkeypatch, stars.take(np.arange(60)))
    np.testing.assert_allclose(images[:, :, :5, :].std(axis=(0, 2, 3)), sky_noise(), rtol=0.06)
    assert sky_noise()[0] > 2 * sky_noise()[1]
    assert sky_noise()[4] > 2 * sky_noise()[3]
    # At the depth of a band, five times the noise of a fit of the point-spread function.
    n = 3000
    limit = replace(
        stars.take(np.zeros(n, dtype=int)),
        magnitude=np.tile(cutouts.DEPTH, (n, 1)),
        zero_point=np.zeros((n, 5)),
        fwhm=np.tile(cutouts.FWHM, (n, 1)),
    )
    seen = flux_of(measure_magnitudes(np.random.default_rng(1), limit).astype(np.float64))
    error = (seen / flux_of(limit.magnitude)).std(axis=0)
    # Photons of the star add a little to those of the sky.
    assert (error > 0.195).all()
    assert (error < 0.225).all()


def test_magnitudes_are_what_a_fit_to_the_image_gives(monkeypatch: pytest.MonkeyPatch, stars: AStars) -> None:
    some = stars.take(np.flatnonzero(np.abs(stars.magnitude[:, 1] - 19) < 0.2)[:300])
    images = lonely(monkeypatch, some)
    place = 15.5 + some.offset
    shape = cutouts._point_sources(np.ones((300, 5)), cutouts._sigma(some.fwhm), place, 32)
    fitted = (images * shape).sum(axis=(2, 3)) / (shape**2).sum(axis=(2, 3))
    true = flux_of(some.magnitude + some.zero_point)
    seen = flux_of(measure_magnitudes(np.random.default_rng(8), some).astype(np.float64))
    # The fit here does not weigh pixels by their noise.
    np.testing.assert_allclose((fitted / true).std(axis=0), (seen / true).std(axis=0), rtol=0.25)


def test_neighbours_are_stars_and_galaxies_some_brighter_than_the_star(stars: AStars) -> None:
    rng = np.random.default_rng(2)
    sigma = cutouts._sigma(stars.fwhm[:1000])
    images = np.zeros((1000, 5, 32, 32), dtype=np.float32)
    cutouts._add_neighbours(rng, images, sigma)
    light = images[:, 2].sum(axis=(1, 2))
    assert 0.25 < (light > flux_of(np.array(22.5))).mean() < 0.6
    brighter = light > flux_of(stars.magnitude[:1000, 2])
    assert 0.01 < brighter.mean() < 0.15
    galaxy = rng.random(2000) < 0.5
    magnitude = cutouts._neighbour_magnitudes(rng, galaxy)
    assert (magnitude[:, 1] - magnitude[:, 2]).mean() > 0.5  # redder than A stars
    assert 15 <= magnitude[:, 2].min() < magnitude[:, 2].max() <= 22.5


# Files.


def test_files_are_read_and_agree_with_the_catalogue(survey: Path, truth: dict[str, np.ndarray]) -> None:
    bands = [f"{name}_{band}" for name in ("psfmag", "extinction") for band in BANDS]
    catalog = read_catalog(survey / "catalog.fits", "sdss", bands)
    assert catalog.num_rows == 260
    index = index_folder(survey / "spectra")
    good = [row for row in index.to_pylist() if row["status"] == "ok"]
    rows = {row["obsid"]: row for row in catalog.to_pylist()}
    assert len(rows) == 260
    for row in good:
        listed = rows[row["obsid"]]
        for name in ("planid", "mjd", "fiberid", "class", "subclass"):
            assert row[name] == listed[name]
        assert row["ra"] == pytest.approx(listed["ra"], abs=1e-6)
        assert row["snr"] == pytest.approx(listed["snr"])
        assert row["path"] == f"{row['planid']}/spec-{row['planid']}-{row['mjd']}-{row['fiberid']:04d}.fits"
    assert sorted(rows) == sorted(truth["obsid"])
    assert len({(row["mjd"], row["fiberid"]) for row in rows.values()}) == 260
    assert max(row["fiberid"] for row in rows.values()) <= 640
    assert len({row["mjd"] for row in rows.values()}) == 2
    by_id = {key: rows[key] for key in truth["obsid"]}
    psf_g = np.array([row["psfmag_g"] for row in by_id.values()])
    assert np.abs(psf_g - truth["g"]).max() < 0.15
    np.testing.assert_allclose([row["extinction_g"] for row in by_id.values()], truth["a_g"], rtol=1e-5)
    with fits.open(survey / "catalog.fits") as hdus:
        assert hdus[1].columns["psfmag_u"].unit == "mag"
        assert set(hdus[1].data["class"]) == {"STAR"}


def test_spectra_are_as_sdss_writes_them(survey: Path, truth: dict[str, np.ndarray]) -> None:
    whole = np.flatnonzero(truth["spectrum_defect"] == "none")[:6]
    for stem in truth["spectrum_id"][whole]:
        path = spectrum_of(survey, stem)
        fast, slow = read_spectrum(path, "sdss"), read_spectrum(path, "sdss", fast=False)
        for name in ("wavelength", "flux", "ivar", "mask"):
            np.testing.assert_array_equal(getattr(fast, name), getattr(slow, name))
        np.testing.assert_allclose(fast.wavelength, GRID.wavelength, rtol=1e-9)
        with fits.open(path) as hdus:
            hdus.verify("exception")
            assert hdus["COADD"].columns.names == ["flux", "loglam", "ivar", "and_mask", "or_mask", "sky"]
            table = hdus["COADD"].data
            assert ((table["and_mask"] & ~table["or_mask"]) == 0).all()
            assert (table["sky"] > 0).all()
            assert f"spec-{hdus[0].header['PLATEID']:04d}-{hdus[0].header['MJD']}" == stem[:15]


def test_defects_of_spectra_are_in_the_files_and_in_the_truth(
    survey: Path, truth: dict[str, np.ndarray]
) -> None:
    defect = truth["spectrum_defect"]
    assert set(defect) == {"none", "short", "damaged", "masked", "broken"}
    ends = []
    for stem, what in zip(truth["spectrum_id"], defect, strict=True):
        if what == "short":
            seen = read_spectrum(spectrum_of(survey, stem), "sdss").wavelength[[0, -1]]
            ends.append((seen[0] > 4000, seen[1] < 9000))
        elif what in ("masked", "broken"):
            with pytest.raises(SpectrumError) as caught:
                read_spectrum(spectrum_of(survey, stem), "sdss")
            assert caught.value.status == {"masked": "all_masked", "broken": "truncated"}[what]
    assert set(ends) == {(True, False), (False, True)}


def test_images_are_aligned_planes_with_coordinates(survey: Path, truth: dict[str, np.ndarray]) -> None:
    catalog = {row["obsid"]: row for row in read_catalog(survey / "catalog.fits", "sdss").to_pylist()}
    for row in np.flatnonzero((truth["image_defect"] == "none") & (truth["visits"] == 1))[:8]:
        with fits.open(image_of(survey, truth["spectrum_id"][row])) as hdus:
            hdus.verify("exception")
            assert [hdu.name.lower() for hdu in hdus[1:]] == list(BANDS)
            assert hdus[0].data is None
            listed = catalog[truth["obsid"][row]]
            for hdu in hdus[1:]:
                assert hdu.data.shape == (24, 24)
                assert hdu.data.dtype == np.dtype(">f4")
                x, y = WCS(hdu.header).all_world2pix(listed["ra"], listed["dec"], 0)
                assert abs(x - 11.5) < 0.6
                assert abs(y - 11.5) < 0.6
                assert WCS(hdu.header).proj_plane_pixel_scales()[0].to_value("arcsec") == pytest.approx(0.396)


def test_defects_of_images_are_in_the_files_and_in_the_truth(
    survey: Path, truth: dict[str, np.ndarray]
) -> None:
    defect = truth["image_defect"]
    assert set(defect) == {"none", *MANY_IMAGES}
    known = set()
    for stem, what in zip(truth["spectrum_id"], defect, strict=True):
        path = image_of(survey, stem)
        assert path.exists() == (what != "no file")
        if what == "no file":
            continue
        with fits.open(path) as hdus:
            assert (len(hdus) == 5) == (what == "missing band")
            images = [hdu.data for hdu in hdus[1:]]
            gaps = any((~np.isfinite(image) | (image == 0)).any() for image in images)
            assert gaps == (what == "gap")
            if what == "misaligned":
                middle = np.array([[hdu.header["CRPIX1"], hdu.header["CRPIX2"]] for hdu in hdus[1:]])
                apart = np.hypot(*(middle - np.median(middle, axis=0)).T)
                known.add(bool(apart.max() > 0))
                assert apart.max() == 0 or 2 <= apart.max() <= 5.1
            else:
                assert len({hdu.header["CRPIX1"] for hdu in hdus[1:]}) == 1
    assert known == {True, False}


def test_some_stars_are_seen_on_two_nights(survey: Path, truth: dict[str, np.ndarray]) -> None:
    catalog = {row["obsid"]: row for row in read_catalog(survey / "catalog.fits", "sdss").to_pylist()}
    again = np.unique(truth["star"][truth["visits"] == 2])
    assert len(again) == 10
    images = 0
    for star in again:
        rows = np.flatnonzero(truth["star"] == star)
        first, second = (catalog[truth["obsid"][row]] for row in rows)
        assert first["mjd"] != second["mjd"]
        dec = first["dec"] - second["dec"]
        ra = (first["ra"] - second["ra"]) * np.cos(np.radians(first["dec"]))
        assert 0 < np.hypot(ra, dec) * 3600 < 0.3
        paths = [image_of(survey, truth["spectrum_id"][row]) for row in rows]
        if paths[0].exists():
            images += 1
            assert paths[0].read_bytes() == paths[1].read_bytes()
    assert images > 0
    once = [catalog[truth["obsid"][np.argmax(truth["star"] == star)]] for star in np.unique(truth["star"])]
    place = np.array([(row["ra"] * np.cos(np.radians(row["dec"])), row["dec"]) for row in once]) * 3600
    apart = np.hypot(*(place[:, None] - place[None]).transpose(2, 0, 1))
    assert apart[~np.eye(len(place), dtype=bool)].min() > 20


def test_labels_are_right_and_of_some_spectra(survey: Path, truth: dict[str, np.ndarray]) -> None:
    with (survey / "labelled.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    named = {f"spec-{int(r['plate']):04d}-{r['mjd']}-{int(r['fiberid']):04d}": r["label"] for r in rows}
    assert len(named) == 70
    labelled = truth["labelled"].astype(bool)
    assert sorted(named) == sorted(truth["spectrum_id"][labelled])
    for stem, kind in zip(truth["spectrum_id"][labelled], truth["kind"][labelled], strict=True):
        assert named[stem] == kind
    np.testing.assert_array_equal(truth["class"] == CLASSES[1], truth["kind"] == "BHB")
    assert list(truth["spectrum_id"]) == sorted(truth["spectrum_id"])


def test_equal_seeds_give_equal_bytes_on_any_number_of_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, seed, threads in (("a", 1, "1"), ("b", 1, "2"), ("c", 2, "1")):
        monkeypatch.setenv("OMP_NUM_THREADS", threads)
        simulate_sdss(tmp_path / name, seed=seed, n_labelled=6, n_pool=14, size=16)
    assert digest(tmp_path / "a") == digest(tmp_path / "b")
    assert digest(tmp_path / "a") != digest(tmp_path / "c")
    assert not list(tmp_path.rglob("*.part"))


def test_stars_fill_several_plates() -> None:
    seen = sdss._draw_survey(np.random.default_rng(0), 1300)
    assert len(np.unique(seen.plate)) == 3
    for plate in np.unique(seen.plate):
        for night in np.unique(seen.mjd[seen.plate == plate]):
            on = (seen.plate == plate) & (seen.mjd == night)
            assert on.sum() <= 640
            assert len(np.unique(seen.fiber[on])) == on.sum()
    assert np.bincount(seen.star).max() == 2


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"n_pool": 0}, "70 labelled spectra and 0 others: expected one of each or more"),
        ({"n_pool": 1_000_000}, "96000 in all at most"),
        ({"size": 8}, "images of 8 pixels do not hold a star and its sky: use 16 or more"),
    ],
)
def test_impossible_surveys(tmp_path: Path, change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SettingsError, match=sentence):
        simulate_sdss(tmp_path, seed=1, **(SIZE | change))
