"""The simulated low-resolution survey: anybody can read it, and its truth is in the spectra."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from fixtures.demo import Truth, file_of, numbers, read_truth
from fixtures.settings import MSTARS
from fixtures.survey_files import assert_cards_of, assert_repeats, real

from starsift.cli import main
from starsift.demo.lrs import simulate_lrs
from starsift.demo.lrs_sky import draw_sources, make_plans
from starsift.demo.score_mstars import score_mstars
from starsift.demo.scorecard import describe
from starsift.errors import SettingsError
from starsift.searches.mstars.indices import measure_indices
from starsift.searches.mstars.kinematics import height, space_velocities
from starsift.spectra.resample import LAMOST_LRS
from starsift.survey.catalog import read_catalog
from starsift.survey.readers.registry import read_spectrum
from starsift.synthesis.bands import dwarfs, giants, lrs_bands
from starsift.synthesis.degrade import shift

Gaia = Callable[[np.ndarray], dict[str, np.ndarray]]
SIZE: dict[str, int] = {"n_plans": 4, "n_spectrographs": 2, "n_released": 500, "n_unknown": 400}
CATALOGS = ("catalog", "labelled", "unknown")
EXTRA = ("designation", "obsdate", "snru", "snrg", "snrr", "snri", "snrz", "z", "rv", "subclass")


@pytest.fixture(scope="module")
def survey(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lrs")
    simulate_lrs(folder, seed=5, **SIZE)
    return folder


@pytest.fixture(scope="module")
def truth(survey: Path) -> Truth:
    return read_truth(survey)


@pytest.fixture(scope="module")
def catalogs(survey: Path) -> dict[str, pa.Table]:
    return {name: read_catalog(survey / f"{name}.fits", "lrs", EXTRA) for name in CATALOGS}


def stems(table: pa.Table) -> list[str]:
    return [Path(path).name.removesuffix(".fits.gz") for path in table["path"].to_pylist()]


def test_files_of_both_layouts_are_read(survey: Path, catalogs: dict[str, pa.Table]) -> None:
    lengths, kinds = set(), set()
    rows = catalogs["catalog"].to_pylist()
    assert len(list((survey / "spectra").rglob("*.fits.gz"))) == len(rows) == 900
    for row in rows[::23]:
        path = survey / "spectra" / row["path"]
        seen, slow = read_spectrum(path, "lrs"), read_spectrum(path, "lrs", fast=False)
        np.testing.assert_array_equal(seen.flux, slow.flux)
        np.testing.assert_array_equal(seen.mask, slow.mask)
        lengths.add(len(seen.flux))
        kinds.add(seen.extname)
        np.testing.assert_allclose(seen.wavelength, LAMOST_LRS.wavelength[: len(seen.flux)], rtol=1e-9)
        inside = (seen.wavelength > 5600) & (seen.wavelength < 6950) & (seen.ivar > 0)
        if inside.any():
            ratio = np.median(seen.flux[inside] * np.sqrt(seen.ivar[inside]))
            assert ratio == pytest.approx(row["snrr"], abs=0.03)
    assert lengths <= {3906, 3907, 3908, 3909}
    assert len(lengths) > 2
    assert kinds == {"PRIMARY", "COADD"}


def test_headers_agree_with_the_catalogue(survey: Path, catalogs: dict[str, pa.Table]) -> None:
    for row in catalogs["catalog"].to_pylist()[::97]:
        header = fits.getheader(survey / "spectra" / row["path"])
        assert header["VACUUM"] is True
        for name in ("obsid", "planid", "spid", "fiberid", "class", "subclass"):
            assert header[name.upper()] == row[name]
        assert header["DESIG"] == f"LAMOST {row['designation']}"
        assert Path(row["path"]).name == header["FILENAME"] + ".gz"
        assert row["path"].split("/")[:2] == [str(row["lmjd"]), row["planid"]]


def test_catalogues_part_the_spectra(catalogs: dict[str, pa.Table], truth: Truth) -> None:
    whole, labelled, unknown = (set(stems(catalogs[name])) for name in CATALOGS)
    assert labelled | unknown == whole == set(truth["spectrum_id"])
    assert not labelled & unknown
    assert len(catalogs["catalog"]) == len(set(catalogs["catalog"]["obsid"].to_pylist()))
    rows = dict(zip(stems(catalogs["catalog"]), catalogs["catalog"].to_pylist(), strict=True))
    roles = dict(zip(truth["spectrum_id"], truth["role"], strict=True))
    is_m = dict(zip(truth["spectrum_id"], truth["is_m"], strict=True))
    assert {stem for stem, role in roles.items() if role == "pool"} == unknown
    for stem, row in rows.items():
        if roles[stem] == "released":
            assert row["class"] in ("STAR", "GALAXY", "QSO")
            assert (row["class"] == "STAR") == (row["rv"] is not None)
            assert (row["subclass"][:2] in ("dM", "gM")) == is_m[stem]
        else:
            assert (row["class"], row["subclass"], row["rv"], row["z"]) == ("UNKNOWN", "Non", None, None)
            assert not (roles[stem] == "confirmed" and is_m[stem])
    counts = {role: list(roles.values()).count(role) for role in set(roles.values())}
    assert counts == {"released": 500, "confirmed": 48, "pool": 352}


def test_m_stars_are_many_among_released_and_few_and_faint_in_the_pool(truth: Truth) -> None:
    is_m, pool = truth["is_m"], truth["role"] == "pool"
    assert 0.45 < is_m[truth["role"] == "released"].mean() < 0.65
    assert 0.07 < is_m[pool].mean() < 0.14
    assert np.median(truth["snr"][is_m & pool]) < 3 < np.median(truth["snr"][is_m & ~pool])
    assert 0.5 <= truth["snr"][pool].min() < truth["snr"][pool].max() <= 10
    assert set(truth["kind"][pool]) >= {"dwarf", "giant", "star", "galaxy", "quasar", "junk", "empty"}
    subtype = numbers(truth["subtype"])
    assert np.isnan(subtype[~is_m]).all()
    assert subtype[is_m].min() >= 0
    assert subtype[is_m].max() > 7.5
    assert 0.005 < truth["defective"].mean() < 0.06


def test_released_subtypes_are_mostly_right(catalogs: dict[str, pa.Table], truth: Truth) -> None:
    subclass = dict(zip(stems(catalogs["catalog"]), catalogs["catalog"]["subclass"].to_pylist(), strict=True))
    chosen = (truth["role"] == "released") & truth["is_m"]
    error = []
    columns = (truth[name][chosen] for name in ("spectrum_id", "subtype", "giant"))
    for stem, subtype, giant in zip(*columns, strict=True):
        assert subclass[stem][0] == ("g" if giant else "d")
        error.append(int(subclass[stem][2]) - subtype)
    assert np.mean(np.abs(error) <= 0.51) == pytest.approx(0.88, abs=0.06)
    assert np.abs(error).max() <= 1.51


def spectrum(survey: Path, stem: str) -> tuple[np.ndarray, np.ndarray]:
    seen = read_spectrum(file_of(survey, stem), "lrs")
    missing = LAMOST_LRS.pixels - len(seen.flux)
    good = np.where(seen.mask, 0, seen.ivar)
    return np.pad(seen.flux, (0, missing)), np.pad(good, (0, missing))


def brightest(truth: Truth, chosen: np.ndarray, n: int) -> np.ndarray:
    rows = np.flatnonzero(chosen & ~truth["defective"])
    return rows[np.argsort(truth["snr"][rows])[::-1][:n]]


@pytest.mark.parametrize("kind", ["dwarf", "giant"])
def test_velocities_are_in_the_spectra(survey: Path, truth: Truth, kind: str) -> None:
    error = []
    for row in brightest(truth, truth["kind"] == kind, 12):
        flux, ivar = spectrum(survey, truth["spectrum_id"][row])
        model = lrs_bands()
        subtype = np.array([truth["subtype"][row]])
        still = giants(model, subtype) if kind == "giant" else dwarfs(model, 40 + subtype)
        trials = truth["rv"][row] + np.arange(-60.0, 61.0, 10.0)
        moved = shift(LAMOST_LRS, np.repeat(still, len(trials), axis=0), trials)[:, 2000:3850]
        # A polynomial takes the calibration error and the scale.
        slope = np.polynomial.legendre.legvander(np.linspace(-1, 1, 1850), 5)
        weight = np.sqrt(ivar[2000:3850])
        chi2 = []
        for template in moved:
            design = slope * template[:, None] * weight[:, None]
            residual = flux[2000:3850] * weight
            residual -= design @ np.linalg.lstsq(design, residual, rcond=None)[0]
            chi2.append((residual**2).sum())
        curve = np.polyfit(trials, chi2, 2)
        error.append(-0.5 * curve[1] / curve[0] - truth["rv"][row])
    assert np.abs(np.median(error)) < 9
    assert np.abs(error).max() < 40


def test_indices_are_those_of_the_subtypes(survey: Path, truth: Truth) -> None:
    ordinary = (numbers(truth["subtype"]) < 6) & (np.abs(numbers(truth["feh"])) < 0.3)
    rows = brightest(truth, (truth["kind"] == "dwarf") & ordinary, 25)
    spectra = (spectrum(survey, stem) for stem in truth["spectrum_id"][rows])
    flux, ivar = map(np.stack, zip(*spectra, strict=True))
    still = shift(LAMOST_LRS, flux, -truth["rv"][rows].astype(float))
    measured = measure_indices(LAMOST_LRS.wavelength, still, ivar)
    ideal = dwarfs(lrs_bands(), 40 + truth["subtype"][rows].astype(float))
    expected = measure_indices(LAMOST_LRS.wavelength, ideal, np.ones_like(ideal))
    for name in ("tio5", "cah2", "cah3"):
        difference = measured[name][0] - expected[name][0]
        assert np.nanmedian(difference) == pytest.approx(0, abs=0.05)
        assert np.nanstd(difference) < 0.15
    active = truth["active"][rows].astype(bool)
    assert (measured["ewha"][0][active] > 1.0).all()
    assert np.median(measured["ewha"][0][~active]) < 0.6


@pytest.fixture(scope="module")
def gaia(survey: Path, truth: Truth) -> Gaia:
    """Columns of the Gaia table for chosen spectra, NaN where missing."""
    table = pq.read_table(survey / "gaia.parquet")
    place = {key: i for i, key in enumerate(table["gaia_source_id"].to_pylist())}

    def of(chosen: np.ndarray) -> Truth:
        at = np.array([place.get(key, -1) for key in truth["gaia_source_id"][chosen]])
        return {
            name: np.where(at >= 0, numbers(np.array(table[name].to_pylist()))[at], np.nan)
            for name in table.column_names[1:]
        }

    return of


def test_astrometry_and_velocities_are_one_space_motion(truth: Truth, gaia: Gaia) -> None:
    chosen = np.flatnonzero(truth["kind"] == "dwarf")
    star = gaia(chosen)
    good = star["parallax"] > 10 * star["parallax_error"]
    assert good.sum() > 60
    at = chosen[good]
    star = {name: column[good] for name, column in star.items()}
    distance = 1000 / star["parallax"]
    rv = truth["rv"][at].astype(float)
    columns = star["ra"], star["dec"], distance, star["pmra"], star["pmdec"], rv
    uvw = space_velocities(*columns, solar_motion=MSTARS["kinematics"]["solar_motion"])
    for name, measured in zip("uvw", uvw, strict=True):
        error = measured - truth[name][at].astype(float)
        assert np.median(np.abs(error)) < 3
        assert np.abs(np.median(error)) < 1
    relative = distance / truth["distance"][at].astype(float) - 1
    assert np.std(relative) < 0.1
    m_g = star["phot_g_mean_mag"] + 5 - 5 * np.log10(distance)
    dust = 0.8 * truth["a_v"][at].astype(float)
    assert np.std(m_g - dust - truth["m_g"][at].astype(float)) < 0.2


def test_m_stars_are_those_that_lamost_sees() -> None:
    rng = np.random.default_rng(11)
    sky = draw_sources(rng, make_plans(rng, 6)[1], list(range(1, 17)), 20_000, 40_000)
    subtype = np.where(sky.is_m, sky.number - 40, np.nan)
    late, pool = subtype >= 5.5, sky.group == "unknown"
    # Guo et al. 2019: 569 of 11 410 M stars of the pool are later than M5 (section 3.6), fewer of those that
    # were released (figure 14); late dwarfs are rarer still (Table 1).
    assert late[pool & sky.is_m].mean() == pytest.approx(569 / 11_410, abs=0.012)
    assert late[~pool & sky.is_m & (sky.kind == "dwarf")].mean() < 0.015
    # No metal-poor giant is cool enough to be of type M.
    assert sky.feh[sky.kind == "giant"].min() >= -1.0
    assert sky.feh[sky.kind == "dwarf"].min() < -1.2


def test_bright_spectra_of_known_class() -> None:
    skies = []
    for bright in (0.0, 0.4):
        rng = np.random.default_rng(11)
        skies.append(draw_sources(rng, make_plans(rng, 2)[1], [1, 2], 4000, 1000, bright))
    released = skies[1].group == "released"
    assert skies[0].snr.max() <= 40
    assert 150 < skies[1].snr[released].max() <= 200
    assert (skies[1].snr[released] > 40).mean() == pytest.approx(0.4 * np.log10(200 / 40), abs=0.03)
    assert skies[1].snr[~released].max() <= 10


def test_heights_and_populations(truth: Truth) -> None:
    dwarf = truth["kind"] == "dwarf"
    active = dwarf & (truth["active"] == np.True_)
    quiet = dwarf & ~active
    h_disc = np.abs(numbers(truth["h_disc"]))
    assert np.median(h_disc[active]) < 0.6 * np.median(h_disc[quiet])
    assert numbers(truth["w"])[active].std() < 0.7 * numbers(truth["w"])[quiet].std()
    assert numbers(truth["v"])[active].mean() > numbers(truth["v"])[quiet].mean()
    assert (numbers(truth["ewha"])[active] > 1.79).all()
    assert set(truth["population"][active]) == {"active"}
    above = numbers(truth["h_disc"])[dwarf] - height(0, 0, sun=MSTARS["kinematics"]["sun_height"])
    assert np.nanmax(np.abs(above)) <= np.nanmax(numbers(truth["distance"])[dwarf])


def test_colours_tell_giants_from_dwarfs(truth: Truth, gaia: Gaia) -> None:
    early = numbers(truth["subtype"]) < 6
    dwarf, giant = (gaia((truth["kind"] == kind) & early) for kind in ("dwarf", "giant"))
    assert np.nanmedian(giant["j"] - giant["k"]) > np.nanmedian(dwarf["j"] - dwarf["k"]) + 0.2
    assert np.nanmedian(giant["h"]) < np.nanmedian(dwarf["h"]) - 2
    assert np.nanmedian(giant["w1"] - giant["w2"]) < np.nanmedian(dwarf["w1"] - dwarf["w2"]) - 0.1


def test_gaia_is_incomplete_and_has_neighbours(survey: Path, truth: Truth) -> None:
    table = pq.read_table(survey / "gaia.parquet")
    known = set(truth["gaia_source_id"])
    listed = set(table["gaia_source_id"].to_pylist())
    assert 0.6 < len(listed & known) / len(known) < 0.9
    assert listed - known
    for name in ("parallax", "w2"):
        assert 0.02 < table[name].null_count / table.num_rows < 0.5
    assert table.schema.field("pmra").metadata[b"unit"] == b"mas/yr"


def test_some_sources_are_observed_twice(truth: Truth) -> None:
    source, count = np.unique(truth["source"], return_counts=True)
    assert count.max() == 2
    assert 20 < (count == 2).sum() < 40
    first, second = (truth["spectrum_id"][truth["source"] == source[count == 2][0]])[:2]
    assert first.split("-")[1] != second.split("-")[1]


def test_equal_seeds_give_equal_bytes(tmp_path: Path) -> None:
    assert_repeats(simulate_lrs, tmp_path, n_plans=1, n_spectrographs=1, n_released=12, n_unknown=12)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"layout": "wide"}, "layout is 'wide', expected 'image', 'table' or 'both'"),
        ({"n_unknown": 0}, "a survey needs 1 or more of each of n_plans, n_released, n_unknown"),
        ({"n_released": 400}, "fall on one spectrograph of 250 fibres: use fewer spectra"),
    ],
)
def test_impossible_surveys(tmp_path: Path, change: dict[str, Any], sentence: str) -> None:
    size = {"n_plans": 1, "n_spectrographs": 1, "n_released": 5, "n_unknown": 5} | change
    with pytest.raises(SettingsError, match=sentence):
        simulate_lrs(tmp_path, seed=1, **size)


def test_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    size = ["--plans", "1", "--spectrographs", "1", "--released", "6", "--unknown", "6"]
    assert main(["simulate", str(tmp_path), "--kind", "lrs", "--layout", "image", *size]) == 0
    assert "A simulated survey is in" in capsys.readouterr().out
    assert len(list(tmp_path.rglob("spec-*.fits.gz"))) == 12
    assert main(["simulate", str(tmp_path), "--kind", "lrs", "--layout", "tall", *size]) == 1
    assert "layout is 'tall'" in capsys.readouterr().err


def results(truth: Truth, chosen: np.ndarray) -> tuple[pa.Table, pa.Table]:
    """A search and a catalogue that are right in everything about the chosen spectra."""
    rows = np.flatnonzero(chosen)
    copied = ("subtype", "rv", "giant", "active", "ewha", "distance", "u", "v", "w")
    catalog = {name: truth[name][rows].tolist() for name in copied}
    catalog |= {"spectrum_id": truth["spectrum_id"][rows].tolist(), "rv_err": [5.0] * len(rows)}
    search = {"spectrum_id": truth["spectrum_id"][rows].tolist(), "p_m": [0.9] * len(rows)}
    return pa.table(search), pa.table(catalog)


def test_a_perfect_search_scores_one(survey: Path, truth: Truth) -> None:
    card = score_mstars(survey / "truth.parquet", *results(truth, truth["is_m"] & (truth["role"] == "pool")))
    lines: dict[str, Any] = {line["name"]: line for line in card["lines"]}  # type: ignore[attr-defined]
    assert card["spectra"] == 352
    for name in ("in the union", "with p_m >= 0.5", "in the catalogue"):
        assert lines[f"M stars {name}, all"]["value"] == 1
    for name in ("precision of p_m >= 0.5", "dwarfs called dwarfs", "activity right, dwarfs"):
        assert lines[name]["value"] == 1
    assert lines["subtype within 1, dwarfs, S/N >= 3"]["value"] == 1
    assert lines["scatter of U, dwarfs (km/s)"]["value"] == 0
    steps = ("0 to 1", "1 to 2", "2 to 3", "3 to 5", "above 5")
    counts = [lines[f"M stars in the union, S/N {step}"]["number"] for step in steps]
    assert sum(counts) == ((truth["role"] == "pool") & truth["is_m"]).sum()
    assert any("M stars in the union" in line for line in describe(card))


def test_a_blind_search_scores_chance(survey: Path, truth: Truth) -> None:
    pool = truth["role"] == "pool"
    half = pool & (np.arange(len(pool)) % 2 == 0)
    card = score_mstars(survey / "truth.parquet", *results(truth, half))
    lines: dict[str, Any] = {line["name"]: line["value"] for line in card["lines"]}  # type: ignore[attr-defined]
    assert lines["share of the pool in the union"] == pytest.approx(0.5, abs=0.06)
    assert lines["precision of the catalogue"] == pytest.approx(truth["is_m"][pool].mean(), abs=0.06)
    assert lines["M stars in the catalogue, all"] == pytest.approx(0.5, abs=0.25)


def test_an_empty_search_and_a_foreign_one(survey: Path, truth: Truth) -> None:
    search, catalog = results(truth, np.zeros(len(truth["is_m"]), dtype=bool))
    nobody = pa.array([], pa.string())
    search = search.drop_columns("spectrum_id").append_column("spectrum_id", nobody)
    catalog = catalog.drop_columns("spectrum_id").append_column("spectrum_id", nobody)
    card = score_mstars(survey / "truth.parquet", search, catalog)
    values = {line["name"]: line["value"] for line in card["lines"]}  # type: ignore[attr-defined]
    assert values["M stars in the union, all"] == 0
    assert values["precision of the catalogue"] is None
    foreign = pa.table({"spectrum_id": ["spec-1-X_sp01-001"], "p_m": [0.5]})
    with pytest.raises(ValueError, match="1 spectra are not in the truth, the first is spec-1-X_sp01-001"):
        score_mstars(survey / "truth.parquet", foreign, catalog)


@pytest.mark.parametrize(
    ("layout", "folder", "name"),
    [
        ("image", "lamost-lrs-dr7", "spec-58575-HD103621N361936B01_sp03-008.fits"),
        ("table", "lamost-lrs-dr10", "spec-55877-B7708_sp13-238.fits"),
    ],
)
def test_files_have_the_cards_of_their_release(
    survey: Path, truth: Truth, layout: str, folder: str, name: str
) -> None:
    model = real(folder) / name
    for stem in truth["spectrum_id"][truth["layout"] == layout][:5]:
        assert_cards_of(file_of(survey, stem), model)
