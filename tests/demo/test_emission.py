"""The simulated labelled set and pool of the emission path: files as surveys write them, an honest truth."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from fixtures.demo import (
    Truth,
    assert_apart,
    assert_repeats_on_any_threads,
    file_of,
    numbers,
    read_truth,
    separation,
)
from scipy.ndimage import gaussian_filter1d

from starsift.demo.emission import oracle_labels, simulate_emission
from starsift.demo.ondrejov import ONDREJOV_ID, UNUSED_CODE
from starsift.errors import SettingsError
from starsift.learning.labels import read_labels
from starsift.searches.emission.classes import CLASSES, TARGETS
from starsift.searches.emission.search import SEARCH
from starsift.sky.air import air_to_vacuum
from starsift.sky.constants import C_KMS
from starsift.survey.catalog import read_catalog
from starsift.survey.readers.registry import read_spectrum
from starsift.synthesis.emission_lines import BUMP_SNR, HALPHA_VACUUM

SIZE: dict[str, Any] = {"n_labelled": 90, "n_pool": 420, "emitters": 0.12, "n_plans": 3, "n_spectrographs": 2}
REAL = Path(__file__).resolve().parents[3] / "shared/data/ondrejov-lamost/ondrejov/a201402030013.fits"


@pytest.fixture(scope="module")
def survey(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("emission")
    counts = simulate_emission(folder, seed=5, **SIZE)
    assert counts["labelled"] == SIZE["n_labelled"]
    assert counts["pool"] == SIZE["n_pool"]
    return folder


@pytest.fixture(scope="module")
def truth(survey: Path) -> Truth:
    return read_truth(survey)


def codes(survey: Path) -> dict[str, int]:
    with (survey / "labels.csv").open(newline="") as stream:
        return {row["id"]: int(row["label"]) for row in csv.DictReader(stream)}


def test_files_of_the_labelled_set_are_like_the_archives(survey: Path) -> None:
    labels = codes(survey)
    files = sorted((survey / "ondrejov").iterdir())
    assert sorted(ONDREJOV_ID + path.stem for path in files) == sorted(labels)
    lengths = set()
    for path in files[::9]:
        with fits.open(path) as hdus:
            table = hdus[1]
            assert (table.columns.names, table.columns.formats) == (["spectral", "flux"], ["D", "D"])
            assert table.header["DS_IDPUB"] == ONDREJOV_ID + path.stem
            assert table.header["TUNIT1"] == "Angstrom"
            wavelength, flux = table.data["spectral"], table.data["flux"]
        lengths.add(len(wavelength))
        assert 6282 < wavelength[0] < 6282.3
        assert 6732.3 < wavelength[-1] < 6733.1
        np.testing.assert_allclose(np.diff(wavelength), wavelength[1] - wavelength[0], rtol=1e-6)
        assert np.median(flux) == pytest.approx(1, abs=0.1)
    assert lengths == {1757, 1953}


def test_classes_of_the_labelled_set_are_those_of_the_paper(survey: Path) -> None:
    code = np.array(list(codes(survey).values()))
    assert [(code == k).sum() for k in (0, 1, UNUSED_CODE, 3)] == [37, 42, 3, 11]


def test_labels_are_in_the_labelled_spectra(survey: Path) -> None:
    height, peaks = ({0: [], 1: [], 3: []} for _ in range(2))
    for name, code in codes(survey).items():
        if code == UNUSED_CODE:
            continue
        table = fits.getdata(survey / "ondrejov" / f"{name.rsplit('/', 1)[1]}.fits", 1)
        flux = gaussian_filter1d(table["flux"], 7.0)
        core = np.abs(air_to_vacuum(table["spectral"]) - HALPHA_VACUUM) < 14
        values = flux[core]
        height[code].append(values.max() - values.min())
        up = (values[1:-1] > values[:-2]) & (values[1:-1] > values[2:]) & (values[1:-1] > values.min() + 0.01)
        peaks[code].append(int(up.sum()))
        if code == 1:
            assert values.min() < 0.97
            assert values.max() < 1.05
    assert np.median(height[0]) > 0.5
    assert np.mean(np.array(peaks[3]) >= 2) > 0.9
    assert np.mean(np.array(peaks[0]) == 1) > 0.75


@pytest.mark.skipif(not REAL.exists(), reason="real spectra of Ondrejov are not here")
def test_layout_is_that_of_a_real_file(survey: Path) -> None:
    path = min((survey / "ondrejov").glob("a*.fits"))
    with fits.open(path) as ours, fits.open(REAL) as real:
        assert ours[1].columns.names == real[1].columns.names
        assert ours[1].columns.formats == real[1].columns.formats
        assert len(ours[1].data) == len(real[1].data)
        for name in ("DS_IDPUB", "OBJECT", "RA", "DEC", "SPECSDIM", "TITLE"):
            assert isinstance(ours[1].header[name], type(real[1].header[name]))
        step = [np.diff(hdus[1].data["spectral"]).mean() for hdus in (ours, real)]
        assert step[0] == pytest.approx(step[1], abs=1e-4)


def test_files_of_the_pool_are_read_and_agree_with_the_catalogue(survey: Path, truth: Truth) -> None:
    catalog = read_catalog(survey / "pool.fits", "lrs", ("designation", "snrr", "class", "subclass", "mjd"))
    rows = {Path(row["path"]).name.removesuffix(".fits.gz"): row for row in catalog.to_pylist()}
    assert sorted(rows) == sorted(truth["spectrum_id"])
    assert len(list((survey / "spectra").rglob("*.fits.gz"))) == SIZE["n_pool"]
    kinds = set()
    for stem in list(rows)[::29]:
        row = rows[stem]
        seen = read_spectrum(survey / "spectra" / row["path"], "lrs")
        kinds.add(seen.extname)
        assert seen.header["OBSID"] == row["obsid"]
        assert seen.header["DESIG"] == f"LAMOST {row['designation']}"
        assert abs(seen.header["RA"] - row["ra"]) < 1e-6
    assert kinds == {"PRIMARY", "COADD"}
    assert len(set(catalog["obsid"].to_pylist())) == SIZE["n_pool"]


def test_the_truth_is_whole_and_consistent(truth: Truth) -> None:
    emission = truth["emission"].astype(bool)
    assert emission.sum() == pytest.approx(0.12 * SIZE["n_pool"], abs=6)
    share = (truth["label"] == CLASSES[1]).sum() / emission.sum()
    assert 0.2 < share < 0.5
    np.testing.assert_array_equal(emission, np.isin(truth["label"], CLASSES[:TARGETS]))
    np.testing.assert_array_equal(emission, truth["role"] == "target")
    assert set(truth["kind"][emission]) == {"disc", "young", "wind"}
    assert numbers(truth["bump_snr"])[emission].min() >= BUMP_SNR
    weak = truth["role"] == "weak"
    assert weak.sum() > 5
    assert (truth["label"][weak] == CLASSES[2]).all()
    assert (numbers(truth["ewha"])[weak] > 0).all()
    assert np.isnan(numbers(truth["ewha"])[truth["role"] == "pool"]).all()
    assert set(truth["kind"]) >= {"star", "dwarf", "giant", "galaxy", "junk", "empty"}
    assert set(truth["defect"]) >= {"gap", "spike", "sawtooth", "step", "wave", "none"}
    assert (truth["defect"][emission] == "none").all()
    fast = np.abs(numbers(truth["rv"])) > 250
    assert fast[emission].any()
    assert fast[~emission].any()
    assert np.nanmax(np.abs(numbers(truth["rv"]))) <= 700
    assert 10 < np.median(truth["snr"]) < 30
    assert 0.03 < (truth["snr"] < 5).mean() < 0.25


def contrast(survey: Path, truth: Truth, rows: np.ndarray) -> np.ndarray:
    """H alpha (mean of seven pixels at the star's velocity) over the sides, in units of the noise."""
    values = []
    for row in rows:
        seen = read_spectrum(file_of(survey, truth["spectrum_id"][row]), "lrs")
        place = HALPHA_VACUUM * (1 + float(truth["rv"][row]) / C_KMS)
        speed = np.abs(C_KMS * np.log(seen.wavelength / place))
        sides = (speed > 1500) & (speed < 4000)
        level, spread = np.median(seen.flux[sides]), np.std(seen.flux[sides])
        values.append((seen.flux[speed < 240].mean() - level) / (spread / np.sqrt(7)))
    return np.array(values)


def test_emission_is_in_the_spectra_and_absent_elsewhere(survey: Path, truth: Truth) -> None:
    single = (truth["label"] == CLASSES[0]) & (numbers(truth["bump_snr"]) > 20)
    assert np.mean(contrast(survey, truth, np.flatnonzero(single)) > 3) > 0.9
    plain = (truth["kind"] == "star") & (truth["defect"] == "none") & (numbers(truth["type_number"]) < 25)
    rows = np.flatnonzero(plain & (truth["snr"] > 15))[:40]
    assert np.mean(contrast(survey, truth, rows) < 0) > 0.95


def test_some_sources_are_observed_again_nearby_under_other_names(survey: Path, truth: Truth) -> None:
    rows = read_catalog(survey / "pool.fits", "lrs", ("designation",)).to_pylist()
    by_stem = {Path(row["path"]).name.removesuffix(".fits.gz"): row for row in rows}
    source, count = np.unique(truth["source"], return_counts=True)
    assert count.max() == 3
    again = source[count > 1]
    assert truth["visits"][np.isin(truth["source"], again)].min() == 2
    assert np.isin(truth["source"][truth["emission"].astype(bool)], again).any()
    names = 0
    for one in again:
        seen = [by_stem[stem] for stem in truth["spectrum_id"][truth["source"] == one]]
        assert len({row["planid"] for row in seen}) == len(seen)
        assert max(separation(row, seen[0]) for row in seen) < 5
        names += len({row["designation"] for row in seen}) > 1
    assert names > 0.5 * len(again)
    first = [by_stem[truth["spectrum_id"][np.argmax(truth["source"] == one)]] for one in source]
    assert_apart(*(np.array([row[name] for row in first]) for name in ("ra", "dec")))


def test_the_oracle_speaks_as_people_do(survey: Path, truth: Truth) -> None:
    labels = read_labels(survey / "oracle.parquet", SEARCH)
    said = dict(zip(labels["spectrum_id"].to_pylist(), labels["label"].to_pylist(), strict=True))
    terms = {word.label: word.label_class for word in SEARCH.words}
    assert len(said) == SIZE["n_pool"]
    for stem, label in zip(truth["spectrum_id"], truth["label"], strict=True):
        assert terms[said[stem]] == label
    assert set(said.values()) == set(terms)
    table = pq.read_table(survey / "oracle.parquet")
    assert table.equals(oracle_labels(pq.read_table(survey / "truth.parquet")))
    assert set(table["vetted_by"].to_pylist()) == {"truth"}


def test_equal_seeds_give_equal_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    size = {"n_labelled": 8, "n_pool": 40, "emitters": 0.2, "n_plans": 2, "n_spectrographs": 1}
    assert_repeats_on_any_threads(simulate_emission, tmp_path, monkeypatch, **size)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"layout": "wide"}, "layout is 'wide', expected 'image', 'table' or 'both'"),
        ({"n_pool": 0}, "needs 1 or more of each of n_plans, n_labelled, n_pool"),
        ({"emitters": 0.9}, "share of emission spectra is 0.9, expected 0 to 0.3"),
        ({"n_pool": 300}, "fall on one spectrograph of 250 fibres: use fewer spectra"),
    ],
)
def test_impossible_surveys(tmp_path: Path, change: dict[str, Any], sentence: str) -> None:
    size = {"n_labelled": 4, "n_pool": 5, "n_plans": 1, "n_spectrographs": 1} | change
    with pytest.raises(SettingsError, match=sentence):
        simulate_emission(tmp_path, seed=1, **size)


def test_a_pool_without_emission(tmp_path: Path) -> None:
    size = {"n_labelled": 4, "n_pool": 20, "emitters": 0.0, "n_plans": 1, "n_spectrographs": 1}
    counts = simulate_emission(tmp_path, seed=1, **size)
    assert (counts["single"], counts["double"], counts["weak"]) == (0, 0, 0)
