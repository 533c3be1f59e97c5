"""The simulated SDSS survey of A-type stars: files as SDSS writes them."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from fixtures.demo import Truth, assert_apart, assert_repeats_on_any_threads, read_truth, separation

from starsift.demo import sdss
from starsift.demo.astars import GRID
from starsift.demo.sdss import simulate_sdss
from starsift.errors import SettingsError, SpectrumError
from starsift.searches.bhb.inputs import BANDS, CLASSES
from starsift.survey.catalog import read_catalog
from starsift.survey.index import index_folder
from starsift.survey.readers.registry import read_spectrum

SIZE: dict[str, Any] = {"n_labelled": 70, "n_pool": 190, "size": 24}
MANY = {"short": 0.06, "damaged": 0.04, "masked": 0.03}
MANY_IMAGES = {"no file": 0.06, "misaligned": 0.06, "gap": 0.06, "missing band": 0.04}


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
def truth(survey: Path) -> Truth:
    return read_truth(survey)


def spectrum_of(survey: Path, stem: str) -> Path:
    return survey / "spectra" / stem[5:9] / f"{stem}.fits"


def image_of(survey: Path, stem: str) -> Path:
    return survey / "cutouts" / stem[5:9] / f"cutout{stem[4:]}.fits"


def test_files_are_read_and_agree_with_the_catalogue(survey: Path, truth: Truth) -> None:
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
    psf_g, a_g = (
        np.array([rows[k][f"{name}_g"] for k in truth["obsid"]]) for name in ("psfmag", "extinction")
    )
    assert np.abs(psf_g - truth["g"]).max() < 0.15
    np.testing.assert_allclose(a_g, truth["a_g"], rtol=1e-5)
    with fits.open(survey / "catalog.fits") as hdus:
        assert hdus[1].columns["psfmag_u"].unit == "mag"
        assert set(hdus[1].data["class"]) == {"STAR"}


def test_spectra_are_as_sdss_writes_them(survey: Path, truth: Truth) -> None:
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


def test_defects_of_spectra_are_in_the_files_and_in_the_truth(survey: Path, truth: Truth) -> None:
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


def test_images_are_aligned_planes_with_coordinates(survey: Path, truth: Truth) -> None:
    catalog = {row["obsid"]: row for row in read_catalog(survey / "catalog.fits", "sdss").to_pylist()}
    for row in np.flatnonzero((truth["image_defect"] == "none") & (truth["visits"] == 1))[:8]:
        with fits.open(image_of(survey, truth["spectrum_id"][row])) as hdus:
            hdus.verify("exception")
            assert [hdu.name.lower() for hdu in hdus[1:]] == list(BANDS)
            assert hdus[0].data is None
            listed = catalog[truth["obsid"][row]]
            for hdu in hdus[1:]:
                assert (hdu.data.shape, hdu.data.dtype) == ((24, 24), np.dtype(">f4"))
                place = WCS(hdu.header).all_world2pix(listed["ra"], listed["dec"], 0)
                assert np.abs(np.array(place) - 11.5).max() < 0.6
                assert WCS(hdu.header).proj_plane_pixel_scales()[0].to_value("arcsec") == pytest.approx(0.396)


def test_defects_of_images_are_in_the_files_and_in_the_truth(survey: Path, truth: Truth) -> None:
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


def test_some_stars_are_seen_on_two_nights(survey: Path, truth: Truth) -> None:
    catalog = {row["obsid"]: row for row in read_catalog(survey / "catalog.fits", "sdss").to_pylist()}
    again = np.unique(truth["star"][truth["visits"] == 2])
    assert len(again) == 10
    images = 0
    for star in again:
        rows = np.flatnonzero(truth["star"] == star)
        first, second = (catalog[truth["obsid"][row]] for row in rows)
        assert first["mjd"] != second["mjd"]
        assert 0 < separation(first, second) < 0.3
        paths = [image_of(survey, truth["spectrum_id"][row]) for row in rows]
        if paths[0].exists():
            images += 1
            assert paths[0].read_bytes() == paths[1].read_bytes()
    assert images > 0
    once = [catalog[truth["obsid"][np.argmax(truth["star"] == star)]] for star in np.unique(truth["star"])]
    assert_apart(*(np.array([row[name] for row in once]) for name in ("ra", "dec")))


def test_labels_are_right_and_of_some_spectra(survey: Path, truth: Truth) -> None:
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


def test_equal_seeds_give_equal_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert_repeats_on_any_threads(simulate_sdss, tmp_path, monkeypatch, n_labelled=6, n_pool=14, size=16)


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
