"""The simulated medium-resolution survey: files as LAMOST writes them, a truth that agrees with them."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from astropy.table import Table
from fixtures.survey_files import assert_cards_of, assert_repeats, real
from scipy.ndimage import median_filter

from starsift.demo.mrs import simulate_survey
from starsift.errors import SettingsError

SURVEY: dict[str, int] = {"n_plans": 2, "n_spectrographs": 2, "n_stars": 100, "exposures": 2}


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
        assert len(row["period"]) == {"sb2": 1, "sb3": 2}.get(row["kind"], 0)
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


def test_more_nights_leave_other_spectra_alone(tmp_path: Path) -> None:
    size = {"n_plans": 2, "n_spectrographs": 1, "n_stars": 6, "exposures": 2}
    simulate_survey(tmp_path / "few", seed=3, **size)
    simulate_survey(tmp_path / "many", seed=3, n_nights=4, n_binaries=3, **size)
    few, many = (pq.read_table(tmp_path / name / "truth.parquet").to_pylist() for name in ("few", "many"))
    assert [row for row in many if row["star_id"] < 6] == few
    for path in (tmp_path / "few").rglob("*.fits.gz"):
        assert path.read_bytes() == (tmp_path / "many" / path.relative_to(tmp_path / "few")).read_bytes()

    more = [row for row in many if row["star_id"] >= 6]
    assert len(more) == 3 * 4 * 2
    assert {row["kind"] for row in more} == {"sb2"}
    assert max(row["phot_g_mean_mag"] for row in more) <= 12.5
    nights = sorted({row["lmjd"] for row in more})
    assert len(nights) == 4
    assert np.diff(nights).min() >= 4
    for star in {row["star_id"] for row in more}:
        rows = [row for row in more if row["star_id"] == star]
        assert len(rows) == 8
        assert len({(row["gaia_source_id"], row["spid"], *row["period"]) for row in rows}) == 1


def test_bytes_repeat(tmp_path: Path) -> None:
    nights = {"n_nights": 2, "n_binaries": 2}
    assert_repeats(simulate_survey, tmp_path, n_plans=2, n_spectrographs=1, n_stars=12, exposures=2, **nights)


def test_one_layout_only(tmp_path: Path) -> None:
    size = {"n_plans": 2, "n_spectrographs": 1, "n_stars": 6, "exposures": 1}
    counts = simulate_survey(tmp_path, seed=3, layout="wide", **size)
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
