"""Simulated exposures and survey files: what was asked for is what comes out, and anybody can read it."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from astropy.table import Table
from fixtures.survey_files import assert_cards_of, real
from scipy.interpolate import CubicSpline
from scipy.ndimage import median_filter

from starsift.demo import fitswriter
from starsift.demo.mrs import simulate_survey
from starsift.demo.sky import utc_mid
from starsift.errors import SettingsError
from starsift.sky.constants import C_KMS
from starsift.spectra.templates import load_grid
from starsift.synthesis.mrs import ARMS, Observation, coadd, native_wavelength, observe, red_model, sample
from starsift.synthesis.stars import Synthesizer, draw_binaries, draw_singles

PERFECT: dict[str, bool] = {"cosmic_rays": False, "masked": False, "sky": False, "blaze": False}
SURVEY: dict[str, int] = {"n_plans": 2, "n_spectrographs": 2, "n_stars": 100, "exposures": 2}


@pytest.fixture(scope="module")
def synthesizer() -> Synthesizer:
    return Synthesizer(load_grid())


@pytest.fixture(scope="module")
def survey(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("survey")
    simulate_survey(folder, seed=11, **SURVEY)
    return folder


@pytest.fixture(scope="module")
def truth(survey: Path) -> list[dict[str, Any]]:
    return pq.read_table(survey / "truth.parquet").to_pylist()


@pytest.fixture(scope="module")
def catalog(survey: Path) -> Table:
    table = Table.read(survey / "catalog.fits")
    table.convert_bytestring_to_unicode()
    return table


def flat(n: int) -> tuple[np.ndarray, np.ndarray]:
    wavelength = 4890.0 * np.exp(np.arange(6000) * 1.7e-5)
    return wavelength, np.ones((n, wavelength.size), dtype=np.float32)


def test_pixels_are_native() -> None:
    wavelength = native_wavelength(np.random.default_rng(0), np.linspace(-30, 30, 50))
    assert wavelength.shape == (50, 4136)
    assert wavelength[:, 0] == pytest.approx(4898, abs=1.2)
    assert wavelength[:, -1] == pytest.approx(5389, abs=1.2)
    step = np.diff(wavelength, axis=1)
    assert step.min() > 0.1
    assert (step[:, 0] / step[:, -1] > 1.05).all()
    # Not uniform in the logarithm either.
    assert (np.ptp(np.diff(np.log(wavelength), axis=1), axis=1) / 2.3e-5 > 0.05).all()


@pytest.mark.parametrize("arm", ["B", "R"])
def test_signal_to_noise_is_as_requested(arm: str) -> None:
    snr = np.geomspace(5, 200, 60)
    wavelength = 4890.0 * np.exp(np.arange(6000) * 1.7e-5) * (1 if arm == "B" else 6275 / 4890)
    seen = observe(wavelength, np.ones((60, 6000)), snr=snr, rng=np.random.default_rng(1), arm=arm)
    # Noise pulls the median of the blaze's skewed distribution towards its mean where the S/N is low.
    np.testing.assert_allclose(seen.snr, snr, rtol=0.06)
    np.testing.assert_allclose(seen.snr[snr > 30], snr[snr > 30], rtol=0.015)
    assert seen.flux.shape == (60, ARMS[arm].pixels)
    assert seen.flux.dtype == seen.ivar.dtype == np.float32


def test_errors_are_honest() -> None:
    wavelength, flux = flat(40)
    seen = observe(wavelength, flux, snr=np.linspace(5, 200, 40), rng=np.random.default_rng(2), **PERFECT)
    level = np.median(seen.flux, axis=1, keepdims=True)
    scatter = ((seen.flux - level) * np.sqrt(seen.ivar)).std(axis=1)
    np.testing.assert_allclose(scatter, 1.0, atol=0.06)


def test_interpolation_against_a_spline(synthesizer: Synthesizer) -> None:
    flux = synthesizer.system_flux(draw_singles(np.random.default_rng(3), 20))
    wavelength = native_wavelength(np.random.default_rng(4), np.zeros(20))
    fast = sample(synthesizer.wavelength, flux, wavelength)
    for i in range(20):
        slow = CubicSpline(synthesizer.wavelength, flux[i])(wavelength[i])
        assert np.abs(fast[i] / slow - 1).max() < 2e-3


@pytest.mark.parametrize("rv", [-250.0, 12.3, 180.0])
def test_velocity_survives_the_spectrograph(synthesizer: Synthesizer, rv: float) -> None:
    star = {"teff": [5200.0], "logg": [4.4], "feh": [0.0], "vsini": [3.0], "radius": [1.0]}
    still = CubicSpline(synthesizer.wavelength, synthesizer.flux(rv=[0.0], **star)[0])
    moving = synthesizer.flux(rv=[rv], **star)
    seen = observe(
        synthesizer.wavelength, moving, snr=np.array([200.0]), rng=np.random.default_rng(5), **PERFECT
    )
    keep = (seen.wavelength[0] > 4910) & (seen.wavelength[0] < 5380)
    trials = rv + np.arange(-3, 3.1, 0.25)
    chi2 = []
    for trial in trials:
        model = still(seen.wavelength[0] / (1 + trial / C_KMS))
        weight = seen.ivar[0] * keep
        scale = (seen.flux[0] * model * weight).sum() / (model**2 * weight).sum()
        chi2.append((weight * (seen.flux[0] - scale * model) ** 2).sum())
    curve = np.polyfit(trials, chi2, 2)
    assert -curve[1] / (2 * curve[0]) == pytest.approx(rv, abs=0.2)
    assert min(chi2) / keep.sum() == pytest.approx(1.0, abs=0.1)


def test_resolution_survives_the_spectrograph() -> None:
    # A line far narrower than a pixel, smoothed to R = 7500, has that width on the detector.
    wavelength, flux = flat(1)
    sigma = 5150 / 7500 / 2.35482
    flux[0] -= 0.8 * np.exp(-0.5 * ((wavelength - 5150) / sigma) ** 2)
    seen = observe(wavelength, flux, snr=np.array([1e4]), rng=np.random.default_rng(6), **PERFECT)
    near = np.abs(seen.wavelength[0] - 5150) < 3
    x, depth = seen.wavelength[0, near] - 5150, 1 - seen.flux[0, near] / np.median(seen.flux[0])
    width = np.sqrt((depth * x**2).sum() / depth.sum() - ((depth * x).sum() / depth.sum()) ** 2)
    assert 5150 / (2.35482 * width) == pytest.approx(7500, rel=0.02)


def test_defects_are_there_and_can_be_left_out() -> None:
    wavelength, flux = flat(200)
    snr = np.full(200, 50.0)
    clean = observe(wavelength, flux, snr=snr, rng=np.random.default_rng(7), **PERFECT)
    assert not clean.mask.any()
    assert (clean.ivar > 0).all()
    dirty = observe(wavelength, flux, snr=snr, rng=np.random.default_rng(7), **PERFECT | {"masked": True})
    assert 0.0005 < dirty.mask.mean() < 0.02
    assert (dirty.ivar[dirty.mask] == 0).all()
    rays = observe(wavelength, flux, snr=snr, rng=np.random.default_rng(7), **PERFECT | {"cosmic_rays": True})
    high = (rays.flux - np.median(rays.flux, axis=1, keepdims=True)) * np.sqrt(rays.ivar) > 8
    assert 200 < high.sum() < 2000
    assert 0.3 < rays.mask[high].mean() < 0.7
    shaped = observe(wavelength, flux, snr=snr, rng=np.random.default_rng(7), **PERFECT | {"blaze": True})
    ends = shaped.flux[:, :50].mean() / shaped.flux[:, 2000:2200].mean()
    assert 0.3 < ends < 0.75


def test_sky_lines_stand_still_for_the_observer() -> None:
    wavelength, flux = flat(400)
    helio = np.where(np.arange(400) % 2 == 0, -30.0, 30.0)
    seen = observe(
        wavelength,
        flux,
        snr=np.full(400, 5.0),
        rng=np.random.default_rng(8),
        helio_rv=helio,
        **PERFECT | {"sky": True},
    )
    level = np.median(seen.flux, axis=1, keepdims=True)
    power = (seen.flux - level) ** 2 * seen.ivar - 1
    line = 5199.35  # [N I] 5197.90 in air
    for sign in (0, 1):
        rest = seen.wavelength[sign::2] / (1 + helio[sign] / C_KMS)
        on = power[sign::2][np.abs(rest - line) < 0.15].mean()
        off = power[sign::2][np.abs(rest - line - 20) < 2].mean()
        assert on > off + 0.3


def test_observing_is_reproducible_and_takes_nothing() -> None:
    wavelength, flux = flat(5)
    one, two = (
        observe(wavelength, flux, snr=np.full(5, 20.0), rng=np.random.default_rng(9)) for _ in range(2)
    )
    for a, b in zip(one, two, strict=True):
        np.testing.assert_array_equal(a, b)
    assert observe(*flat(0), snr=np.empty(0), rng=np.random.default_rng(9)).flux.shape == (0, 4136)
    dark = observe(wavelength, 0 * flux, snr=np.full(5, 20.0), rng=np.random.default_rng(9))
    assert np.isfinite(dark.flux).all()
    assert (np.abs(dark.snr) < 1).all()


def test_bad_requests_are_refused() -> None:
    wavelength, flux = flat(2)
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="2 positive numbers"):
        observe(wavelength, flux, snr=np.array([10.0, -1.0]), rng=rng)
    with pytest.raises(ValueError, match="use templates of a wider range"):
        observe(wavelength[500:], flux[:, 500:], snr=np.full(2, 10.0), rng=rng)
    with pytest.raises(ValueError, match="not uniform in ln"):
        observe(np.linspace(4890, 5410, 6000), flux, snr=np.full(2, 10.0), rng=rng)
    with pytest.raises(ValueError, match="expected \\(2, 6000\\)"):
        observe(wavelength, flux[:, 1:], snr=np.full(2, 10.0), rng=rng)


def test_coadds() -> None:
    wavelength, flux = flat(6)
    single = observe(wavelength, flux, snr=np.full(6, 20.0), rng=np.random.default_rng(1), **PERFECT)
    mask = single.mask.copy()
    mask[0, 1000:1010] = True
    mask[3:, 2000:2010] = True
    grid, total, ivar, and_mask, or_mask = coadd(
        Observation(single.wavelength, single.flux, single.ivar, mask), 3, "B"
    )
    assert total.shape == (2, grid.size)
    np.testing.assert_allclose(np.diff(np.log10(grid)), 1e-5, rtol=1e-6)
    # Interpolation averages neighbours, so a pixel gains a little more than sqrt(3).
    ratio = np.median(total * np.sqrt(ivar), axis=1) / 20
    assert ((ratio > np.sqrt(3) * 0.97) & (ratio < np.sqrt(3) * 1.45)).all()
    assert or_mask[0].any()
    assert not and_mask[0].any()
    assert and_mask[1].any()
    assert (total[1][and_mask[1]] == 0).all()


def test_red_arm_shows_halpha_of_both_stars() -> None:
    systems = draw_binaries(np.random.default_rng(2), 1, (200.0, 201.0))
    wavelength, flux = red_model(systems, systems.rv, np.array([[0.5, 0.5]]))
    for rv in systems.rv[0]:
        at = np.argmin(np.abs(wavelength - 6564.61 * (1 + rv / C_KMS)))
        assert flux[0, at] < 0.95 * np.median(flux)


def test_local_minutes_are_eight_hours_ahead() -> None:
    assert utc_mid(np.array([58_625 * 1440])) == pytest.approx(58_625 - 8 / 24 + 10 / 1440)


def test_writer_agrees_with_astropy(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    columns = {
        "FLUX": rng.normal(size=77).astype(np.float32),
        "N": np.arange(77, dtype=np.int64),
        "D": rng.normal(size=77),
    }
    cards: list[fitswriter.Card] = [
        ("WHO", "O'Brien", "a quote"),
        ("X", 1.5, ""),
        ("BIG", 2_000_000_000_000, ""),
        ("YES", True, ""),
    ]
    for tall in (True, False):
        path = tmp_path / f"{tall}.fits.gz"
        fitswriter.write_gzip(
            path, [fitswriter.primary([]), fitswriter.table("T", columns, cards, tall=tall)]
        )
        with fits.open(path) as hdus:
            hdus.verify("exception")
            for name, values in columns.items():
                np.testing.assert_array_equal(np.ravel(hdus["T"].data[name]), values)
            header = hdus["T"].header
            assert (header["WHO"], header["X"], header["BIG"], header["YES"]) == (
                "O'Brien",
                1.5,
                2_000_000_000_000,
                True,
            )


def test_files_are_as_lamost_writes_them(survey: Path, catalog: Table) -> None:
    layouts = set()
    for path in np.unique(catalog["path"])[::17]:
        rows = catalog[catalog["path"] == path]
        with fits.open(survey / "spectra" / path) as hdus:
            hdus.verify("exception")
            primary = hdus[0].header
            first = rows[0]
            for key in ("OBSID", "PLANID", "SPID", "FIBERID", "LMJD", "MJD"):
                assert primary[key] == first[key.lower()]
            assert primary["RA"] == pytest.approx(first["ra"])
            assert primary["FILENAME"] == Path(path).name.removesuffix(".gz")
            assert path == f"{first['lmjd']}/{first['planid']}/{Path(path).name}"
            tall = hdus[1].header["NAXIS2"] > 1
            assert primary["FIBERMAS" if tall else "FIB_MASK"] == first["fibermask"]
            layouts.add(tall)
            assert primary["VACUUM"] is primary["HELIO"] is True
            names = [hdu.name for hdu in hdus[1:]]
            times = sorted({int(row["lmjm"]) for row in rows if row["coadd"] == 0})
            assert names == ["COADD_B", "COADD_R", *(f"{arm}-{time}" for arm in "BR" for time in times)]
            for hdu in hdus[1:]:
                expected = ["FLUX", "IVAR", "LOGLAM" if tall else "WAVELENGTH"]
                expected += ["ANDMASK", "ORMASK"] if hdu.name.startswith("COADD") else ["PIXMASK"]
                assert hdu.columns.names == expected
                wave = np.ravel(hdu.data[expected[2]]).astype(float)
                turned = tall and hdu.name.startswith("R-")
                assert (np.diff(wave[::-1] if turned else wave) > 0).all()
                wave = 10**wave if tall else wave
                middle = 5143 if "B" in hdu.name else 6550
                assert wave.mean() == pytest.approx(middle, abs=12)
            for row in rows[rows["coadd"] == 0]:
                header = hdus[f"{row['band']}-{row['lmjm']}"].header
                assert header["LMJM"] == (str(row["lmjm"]) if tall else row["lmjm"])
                assert header["SNR"] == pytest.approx(row["snr"], abs=0.006)
    assert layouts == {True, False}


def test_files_have_the_cards_of_their_release(survey: Path, catalog: Table) -> None:
    model = real("lamost-mrs-dr7") / "med-58644-TD192102N424113K01_sp12-076.fits.gz"
    found = 0
    for path in np.unique(catalog["path"])[::23]:
        with fits.open(survey / "spectra" / path) as hdus:
            tall = hdus[1].header["NAXIS2"] > 1
        if tall:
            assert_cards_of(survey / "spectra" / path, model)
            found += 1
    assert found


def test_catalog_has_what_the_cuts_must_remove(catalog: Table) -> None:
    assert set(catalog["band"]) == {"B", "R"}
    assert set(catalog["coadd"]) == {0, 1}
    assert (catalog["snr"] < 5).any()
    assert catalog["fibermask"].max() == 1
    assert catalog["bad_b"].max() == 1
    assert catalog["ra"].unit == "deg"
    blue = catalog[(catalog["band"] == "B") & (catalog["coadd"] == 0)]
    faint = blue["gaia_g_mean_mag"] > 14
    assert np.median(blue["snr"][~faint]) > 2 * np.median(blue["snr"][faint])
    keys = {tuple(row) for row in blue["obsid", "lmjm"]}
    assert len(keys) == len(blue)


def test_truth_agrees_with_catalog_and_physics(truth: list[dict[str, Any]], catalog: Table) -> None:
    blue = catalog[(catalog["band"] == "B") & (catalog["coadd"] == 0)]
    assert len(truth) == len(blue)
    assert {row["kind"] for row in truth} == {"single", "rotator", "sb2", "sb3", "noise", "moon", "crosstalk"}
    snr = {(row["obsid"], row["lmjm"]): row["snr"] for row in blue}
    stars: dict[int, list[dict[str, Any]]] = {}
    for row in truth:
        assert row["snr"] == pytest.approx(snr[row["obsid"], row["lmjm"]], abs=0.006)
        assert len(row["rv"]) == len(row["flux_fraction"]) == row["n_components"]
        if row["n_components"]:
            assert sum(row["flux_fraction"]) == pytest.approx(1.0, abs=1e-5)
        stars.setdefault(row["star_id"], []).append(row)
    for rows in stars.values():
        moves = np.ptp([row["rv"] for row in rows], axis=0)
        assert (moves > 0).all() if rows[0]["kind"] in ("sb2", "sb3") else (moves == 0).all()
        assert len({row["gaia_source_id"] for row in rows}) == 1
    assert len({row["gaia_source_id"] for row in truth}) == len(stars)
    repeated = [rows for rows in stars.values() if len({row["planid"] for row in rows}) > 1]
    assert 10 < len(repeated) < 50
    widest = [max(np.ptp(row["rv"]) for row in rows) for rows in stars.values() if rows[0]["kind"] == "sb2"]
    assert np.mean(np.array(widest) > 60) > 0.7


def test_contaminants_in_the_truth(truth: list[dict[str, Any]]) -> None:
    ids = {row["spectrum_id"]: row for row in truth}
    moons = [row for row in truth if row["suspect"] == "moonlight"]
    leaks = [row for row in truth if row["suspect"] == "crosstalk"]
    assert moons
    assert leaks
    for row in moons:
        assert row["contaminant_rv"] == pytest.approx(row["barycentric_correction"], abs=1e-4)
        assert abs(row["rv"][0] - row["contaminant_rv"]) > 40
    for row in leaks:
        donor = ids[row["partner"]]
        assert donor["kind"] == "sb2"
        assert donor["snr"] > row["snr"]
        assert abs(donor["fiberid"] - row["fiberid"]) == 1
        assert all(donor[key] == row[key] for key in ("planid", "spid", "lmjm"))
    assert all(row["partner"] is None for row in truth if row["kind"] != "crosstalk")


def test_cross_talk_makes_spectra_alike(survey: Path, truth: list[dict[str, Any]], catalog: Table) -> None:
    row = next(row for row in truth if row["suspect"] == "crosstalk")
    spectra = []
    for spectrum_id in (row["spectrum_id"], row["partner"]):
        stem, lmjm = spectrum_id.split("/")
        with fits.open(survey / "spectra" / str(row["lmjd"]) / row["planid"] / f"{stem}.fits.gz") as hdus:
            table = hdus["COADD_B"].data
            assert f"B-{lmjm}" in hdus
            flux = np.ravel(table["FLUX"]).astype(float)
        # A running median forgets cosmic rays.
        spectra.append(median_filter(flux, 9) / median_filter(flux, 401))
    assert np.corrcoef(spectra[0][300:-300], spectra[1][300:-300])[0, 1] > 0.8


def test_bytes_repeat(survey: Path, tmp_path: Path) -> None:
    simulate_survey(tmp_path / "again", seed=11, **SURVEY)
    names = sorted(p.relative_to(survey) for p in survey.rglob("*") if p.is_file())
    assert names == sorted(
        p.relative_to(tmp_path / "again") for p in (tmp_path / "again").rglob("*") if p.is_file()
    )
    assert all((survey / name).read_bytes() == (tmp_path / "again" / name).read_bytes() for name in names)
    simulate_survey(tmp_path / "other", seed=12, **SURVEY | {"n_stars": 30})
    assert (tmp_path / "other/truth.parquet").read_bytes() != (survey / "truth.parquet").read_bytes()


def test_one_layout_only(tmp_path: Path) -> None:
    counts = simulate_survey(
        tmp_path, seed=3, layout="wide", n_plans=2, n_spectrographs=1, n_stars=6, exposures=1
    )
    assert counts["files"] == counts["blue_exposures"]
    for path in tmp_path.rglob("*.fits.gz"):
        with fits.open(path) as hdus:
            assert all(hdu.header["NAXIS2"] == 1 for hdu in hdus[1:])


def test_impossible_surveys_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="expected 'tall', 'wide' or 'both'"):
        simulate_survey(tmp_path, seed=1, layout="dr5")  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="1 or more of each of n_plans"):
        simulate_survey(tmp_path, seed=1, n_plans=0)
    with pytest.raises(SettingsError, match="use fewer stars"):
        simulate_survey(tmp_path, seed=1, n_plans=1, n_spectrographs=1, n_stars=300)
