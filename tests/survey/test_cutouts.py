"""Five-band cutouts: what is read, what is refused and why, and one file for a bundle."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from fixtures.cutout_files import FLUX, SCALE, planes, star, wcs, write_cutout
from fixtures.settings import BHB
from fixtures.survey_files import real

from starsift.demo.astars import draw_astars
from starsift.demo.cutouts import draw_cutouts
from starsift.errors import SettingsError, SpectrumError
from starsift.survey import cutouts
from starsift.survey.cutouts import BANDS, ROWS, cutout_status, iter_cutouts, pack_cutouts, read_cutouts
from starsift.survey.images import _places, read_cutout
from starsift.survey.partition import MANIFEST_SCHEMA

LIMITS = {key: BHB["image"][key] for key in ("max_offset", "max_bad")}


def refuse(path: Any, status: str, message: str = "", size: int = 32, **settings: Any) -> str:
    """Reading ends with this status; the whole message."""
    with pytest.raises(SpectrumError, match=re.escape(message)) as caught:
        read_cutout(path, size, **LIMITS | settings)
    assert caught.value.status == status
    return str(caught.value)


def test_the_middle_of_every_band_in_order(tmp_path: Path) -> None:
    images = planes(41)
    path = write_cutout(tmp_path / "a.fits", dict(reversed(images.items())))
    cut = read_cutout(path, 33, **LIMITS)
    assert cut.shape == (5, 33, 33)
    assert cut.dtype == np.float32
    for k, band in enumerate("ugriz"):
        np.testing.assert_array_equal(cut[k], images[band][4:37, 4:37])
    assert np.unravel_index(cut[2].argmax(), (33, 33)) == (16, 16)


@pytest.mark.parametrize("kind", ["plain", "gzip", "compressed", "scaled integers"])
def test_as_astropy_reads_it(tmp_path: Path, kind: str) -> None:
    path = tmp_path / ("a.fits.gz" if kind == "gzip" else "a.fits")
    hdus = []
    for band, image in planes().items():
        header = fits.Header(wcs(40))
        hdus.append(fits.ImageHDU(image, header, name=band))
        if kind == "compressed":
            hdus[-1] = fits.CompImageHDU(image, header, band, "GZIP_1", quantize_level=0)
        elif kind == "scaled integers":
            hdus[-1].scale("int16", bscale=2e-3, bzero=1.0)
    fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(path)
    with fits.open(path) as opened:
        expected = np.array([opened[band].data[4:36, 4:36] for band in BANDS], np.float32)
    np.testing.assert_array_equal(read_cutout(path, 32, **LIMITS), expected)
    np.testing.assert_array_equal(read_cutout(path, 32, fast=False, **LIMITS), expected)


def test_bands_by_filter_card_and_in_five_files(tmp_path: Path) -> None:
    images = planes()
    upper = {band.upper(): image for band, image in images.items()}
    one = read_cutout(write_cutout(tmp_path / "a.fits", upper, name="FILTER"), 32, **LIMITS)
    paths = []
    for band, image in images.items():
        paths.append(tmp_path / f"a-{band}.fits")
        fits.PrimaryHDU(image, fits.Header(wcs(40))).writeto(paths[-1])
    np.testing.assert_array_equal(read_cutout(paths, 32, **LIMITS), one)
    refuse([*paths[:4], tmp_path / "none.fits"], "missing_file")
    fits.PrimaryHDU().writeto(tmp_path / "empty.fits")
    refuse([tmp_path / "empty.fits", *paths[1:]], "missing_band", "band u")
    with pytest.raises(ValueError, match="4 files"):
        read_cutout(paths[:4], 32, **LIMITS)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    refuse(tmp_path / "none.fits", "missing_file")
    (tmp_path / "text.fits").write_text("not FITS")
    refuse(tmp_path / "text.fits", "corrupt_file")
    whole = write_cutout(tmp_path / "a.fits").read_bytes()
    (tmp_path / "short.fits").write_bytes(whole[:-20_000])
    refuse(tmp_path / "short.fits", "corrupt_file", "short.fits")
    refuse(write_cutout(tmp_path / "odd.fits", cards={"g": {"BSCALE": "much"}}), "corrupt_file")


def test_bands_and_shapes(tmp_path: Path) -> None:
    images = planes()
    path = write_cutout(tmp_path / "a.fits", {band: images[band] for band in "ugz"})
    refuse(path, "missing_band", "no image of band r, i")
    path = write_cutout(tmp_path / "b.fits", images | {"i": star(50, 20.0)})
    refuse(path, "wrong_shape", "band i has shape (50, 50)")
    hdus = [fits.ImageHDU(image[None], name=band) for band, image in images.items()]
    for last in (hdus[4], fits.ImageHDU(name="z")):  # cubes, and one without data
        fits.HDUList([fits.PrimaryHDU(), *hdus[:4], last]).writeto(tmp_path / "c.fits", overwrite=True)
        refuse(tmp_path / "c.fits", "wrong_shape")
    refuse(write_cutout(tmp_path / "e.fits"), "too_small", "40 x 40", 48)


@pytest.mark.parametrize("shift", [(1.5, 0.0), (-2.0, 2.0), (0.0, 4.0), (6.0, -3.0)])
def test_a_band_whose_star_is_elsewhere(tmp_path: Path, shift: tuple[float, float]) -> None:
    for band in "uz":
        path = write_cutout(tmp_path / "a.fits", planes() | {band: star(40, FLUX[band], *shift, seed=9)})
        apart = re.search(r"places ([\d.]+) pixels apart", refuse(path, "misaligned"))
        assert apart is not None
        assert float(apart[1]) == pytest.approx(np.hypot(*shift), abs=0.2)
        assert read_cutout(path, 32, **LIMITS | {"max_offset": 9.0}).shape == (5, 32, 32)


def test_stars_that_are_in_place(tmp_path: Path) -> None:
    """All bands off together, half a pixel between them, or too faint to tell: these are aligned."""
    off = {band: star(40, flux, 3.0, 2.0) for band, flux in FLUX.items()}
    half = planes() | {"z": star(40, 20.0, 0.5)}
    faint = planes() | {"z": star(40, 1.0, 4.0)}
    neighbour = planes()
    neighbour["z"] = neighbour["z"] + star(40, 60.0, 9.0, 0.0)  # a red one
    for images in (off, half, faint, neighbour):
        assert read_cutout(write_cutout(tmp_path / "a.fits", images), 32, **LIMITS).shape == (5, 32, 32)


def test_simulated_stars_among_neighbours(tmp_path: Path) -> None:
    """Called misaligned are fewer than 0.3 % of images in place, and 95 % of bands 2 to 10 pixels away."""
    rng = np.random.default_rng(4)
    images = draw_cutouts(rng, draw_astars(rng, 1200), 32)

    def misaligned(bands: np.ndarray) -> bool:
        path = write_cutout(tmp_path / "a.fits", dict(zip(BANDS, bands, strict=True)))
        try:
            read_cutout(path, 32, **LIMITS)
        except SpectrumError as error:
            return error.status == "misaligned"
        return False

    assert sum(map(misaligned, images)) < 0.003 * len(images)
    found = np.zeros((2, len(BANDS)))
    for k, bands in enumerate(images[:500]):
        band, far = k % len(BANDS), k // len(BANDS) % 2
        angle, away = rng.uniform(0, 2 * np.pi), rng.uniform(*((2.8, 5), (5, 10))[far])
        shift = round(away * np.sin(angle)), round(away * np.cos(angle))
        bands[band] = np.roll(bands[band], shift, axis=(0, 1))
        found[far, band] += misaligned(bands) / 50
    assert found.mean() >= 0.95
    assert found.min() >= 0.8  # z, where A-type stars are faint


def test_coordinates_that_differ(tmp_path: Path) -> None:
    read_cutout(write_cutout(tmp_path / "a.fits", cards={"g": wcs(40, 0.7)}), 32, **LIMITS)
    path = write_cutout(tmp_path / "a.fits", cards={"g": wcs(40, 1.4)})
    refuse(path, "misaligned", "coordinates of the bands are 1.40 pixels apart")
    # The same place, said otherwise: another reference pixel, and CDELT in place of CD.
    moved = WCS(fits.Header(wcs(40)))
    ra, dec = moved.wcs_pix2world([[500.0, 300.0]], 1)[0]
    far = {"CRPIX1": 500.0, "CRPIX2": 300.0, "CRVAL1": float(ra), "CRVAL2": float(dec)}
    no_cd = dict.fromkeys(("CD1_1", "CD1_2", "CD2_1", "CD2_2"))
    plain = no_cd | {"CDELT1": -SCALE, "CDELT2": SCALE}
    path = write_cutout(tmp_path / "b.fits", cards={"u": far, "r": plain})
    read_cutout(path, 32, **LIMITS | {"max_offset": 0.2})
    # Without coordinates the stars are looked at.
    nowhere = dict.fromkeys(BANDS, dict.fromkeys(wcs(40)))
    read_cutout(write_cutout(tmp_path / "c.fits", cards=nowhere), 32, **LIMITS)
    images = planes() | {"u": star(40, 20.0, 3.0)}
    refuse(write_cutout(tmp_path / "c.fits", images, cards=nowhere), "misaligned")


def test_places_are_astropys() -> None:
    first, second = wcs(40), wcs(40, 3.0, -2.0)
    first |= {"CD1_2": 3e-5, "CD2_1": 2e-5, "CRPIX1": 900.0}
    second |= {"CRVAL2": 20.01, "CD2_1": -1e-5}
    middle = np.array([19.5, 19.5])
    sky = WCS(fits.Header(first)).wcs_pix2world([middle], 0)
    expected = WCS(fits.Header(second)).wcs_world2pix(sky, 0)[0]
    np.testing.assert_allclose(_places([first, second], middle), [middle, expected], atol=1e-6)


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("turned", [True, False])
def test_a_cutout_of_another_place_is_refused(tmp_path: Path, fast: bool, turned: bool) -> None:
    cards = {band: wcs(40) | {"CRPIX1": 900.0, "CD1_2": 3e-5, "CD2_1": 2e-5} for band in BANDS}
    if turned:  # declination first, as early SDSS images have it
        for card in cards.values():
            other = {"CTYPE1": "DEC--TAN", "CTYPE2": "RA---TAN", "CRVAL1": 20.0, "CRVAL2": 150.0}
            other |= {f"CD{3 - i}_{j}": card[f"CD{i}_{j}"] for i in (1, 2) for j in (1, 2)}
            card |= other
    path = write_cutout(tmp_path / "a.fits", cards=cards)
    sky = WCS(fits.Header(cards["r"])).celestial
    for x, y, inside in ((19.5, 19.5, True), (4.0, 35.0, True), (3.0, 19.5, False), (19.5, 200.0, False)):
        place = sky.pixel_to_world(x, y)
        position = (place.ra.deg, place.dec.deg)
        if inside:
            read_cutout(path, 32, position=position, fast=fast, **LIMITS)
            continue
        away = place.separation(sky.pixel_to_world(19.5, 19.5)).arcsec
        message = f"a.fits: its middle is {away:.1f} arcsec from"
        refuse(path, "wrong_place", message, position=position, fast=fast)
    with pytest.raises(SpectrumError, match=r"its middle is 1\d\d\.\d\d deg from the star at 330\.00000 -20"):
        read_cutout(path, 32, position=(330.0, -20.0), fast=fast, **LIMITS)


def test_where_place_or_coordinates_are_unknown_nothing_is_checked(tmp_path: Path) -> None:
    nowhere = dict.fromkeys(BANDS, dict.fromkeys(wcs(40)))
    read_cutout(write_cutout(tmp_path / "a.fits", cards=nowhere), 32, position=(1.0, 2.0), **LIMITS)
    galactic = {band: {"CTYPE1": "GLON-TAN", "CTYPE2": "GLAT-TAN"} for band in BANDS}
    read_cutout(write_cutout(tmp_path / "b.fits", cards=galactic), 32, position=(1.0, 2.0), **LIMITS)
    read_cutout(write_cutout(tmp_path / "c.fits"), 32, position=(float("nan"), 2.0), **LIMITS)


def test_real_frames_in_bzip2(tmp_path: Path) -> None:
    """A frame of SDSS, for want of others in all five bands."""
    path = real("sdss-frame") / "frame-r-001000-1-0100.fits.bz2"
    with fits.open(path) as hdus:
        image, sky = hdus[0].data[34:66, 34:66], WCS(hdus[0].header)
    place = sky.pixel_to_world(50.0, 48.0)
    cut = read_cutout([path] * 5, 32, position=(place.ra.deg, place.dec.deg), **LIMITS)
    for band in cut:
        np.testing.assert_array_equal(band, image)
    far = sky.pixel_to_world(49.5, 80.0)
    message = "its middle is 12.1 arcsec from the star"
    refuse([path] * 5, "wrong_place", message, position=(far.ra.deg, far.dec.deg))
    # In a bundle, by the places of its stars.
    for band in BANDS:
        (tmp_path / f"0-{band}.fits.bz2").write_bytes(path.read_bytes())
        (tmp_path / f"1-{band}.fits.bz2").write_bytes(path.read_bytes())
    places = {"ra": [place.ra.deg, place.ra.deg + 1], "dec": [place.dec.deg] * 2}
    made, out = manifest(tmp_path / "m.parquet", 2, **places), tmp_path / "c.parquet"
    counts = pack_cutouts(made, tmp_path, "{fiberid}-{band}.fits.bz2", out, size=32, **LIMITS)
    assert counts == {"ok": 1, "wrong_place": 1}


def test_missing_pixels(tmp_path: Path) -> None:
    def spoiled(where: tuple[slice | int, slice | int], value: float) -> Path:
        images = planes()
        images["i"][where] = value
        return write_cutout(tmp_path / "a.fits", images)

    for where, value in (
        ((slice(4, 20), slice(4, 12)), np.nan),
        ((slice(None), 9), 0.0),  # a dead column
        ((10, slice(None)), 0.125),  # a row of one value
        ((slice(20, 23), slice(20, 23)), 3.0),  # a flat core, as of a saturated star
        ((19, 22), np.inf),  # one pixel in the middle
        ((slice(None), slice(None)), 0.0),
    ):
        refuse(spoiled(where, value), "gaps", "band i")
    # A few pixels far from the star become sky.
    cut = read_cutout(spoiled((slice(5, 7), slice(5, 8)), np.nan), 32, **LIMITS)
    assert np.isfinite(cut).all()
    assert (cut[3, 1:3, 1:4] == np.median(np.delete(cut[3].ravel(), [33, 34, 35, 65, 66, 67]))).all()
    refuse(spoiled((slice(5, 7), slice(5, 8)), np.nan), "gaps", max_bad=0.005)
    # Equal neighbours happen where pixels are rounded.
    chess = np.float32(0.3) * (np.indices((40, 40)).sum(0) % 2)
    rounded = {band: np.round(image, 1) + chess for band, image in planes().items()}
    read_cutout(write_cutout(tmp_path / "b.fits", rounded), 32, **LIMITS)


def manifest(path: Path, n: int, **columns: Any) -> Path:
    made = {field.name: pa.nulls(n, field.type) for field in MANIFEST_SCHEMA}
    made |= {"spectrum_id": [f"s{i:04d}" for i in range(n)], "fiberid": pa.array(range(n), pa.int16())}
    pq.write_table(pa.table(made | {"planid": ["266"] * n, "band": [""] * n} | columns), path)
    return path


def test_a_bundle_keeps_every_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cutouts, "ROWS", 4)
    template = "{planid:0>4}/cutout-{planid:0>4}-{fiberid:04d}.fits"
    made = manifest(tmp_path / "m.parquet", 11, planid=pa.array(["266"] * 10 + [None]))
    for i in (0, 1, 3, 4, 5, 9):
        write_cutout(tmp_path / f"0266/cutout-0266-{i:04d}.fits", seed=i)
    write_cutout(tmp_path / "0266/cutout-0266-0006.fits", planes() | {"u": star(40, 20.0, 3.0)})
    write_cutout(tmp_path / "0266/cutout-0266-0007.fits", planes(24))
    out = tmp_path / "out" / "c.parquet"
    counts = pack_cutouts(made, tmp_path, template, out, size=32, **LIMITS)
    assert counts == {"misaligned": 1, "missing_file": 3, "ok": 6, "too_small": 1}
    table = pq.read_table(out)
    assert table.column_names == ["spectrum_id", "status", "shape", "image"]
    assert table["spectrum_id"].to_pylist() == [f"s{i:04d}" for i in range(11)]
    status = ["ok", "ok", "missing_file", "ok", "ok", "ok", "misaligned", "too_small", "missing_file", "ok"]
    assert table["status"].to_pylist() == [*status, "missing_file"]
    assert cutout_status(out) == table.select(["spectrum_id", "status"])
    assert table["image"].null_count == table["shape"].null_count == 5
    assert table["shape"][0].as_py() == [5, 32, 32]
    paths = {i: tmp_path / f"0266/cutout-0266-{i:04d}.fits" for i in (0, 1, 3, 4, 5, 9)}
    images = {i: read_cutout(path, 32, **LIMITS) for i, path in paths.items()}
    np.testing.assert_array_equal(table["image"][4].values.to_numpy().reshape(5, 32, 32), images[4])
    assert pq.ParquetFile(out).num_row_groups == 3

    found, pictures = read_cutouts(out, [9, 2, 0, 9])
    assert found.tolist() == ["ok", "missing_file", "ok", "ok"]
    for k, i in enumerate((9, None, 0, 9)):
        np.testing.assert_array_equal(pictures[k], np.zeros((5, 32, 32)) if i is None else images[i])
    for sizes, lengths in ((5, [5, 5, 1]), ([1, 7, 3], [1, 7, 3]), (100, [11])):
        runs = list(iter_cutouts(out, sizes))
        assert [len(one) for one, _ in runs] == lengths
        np.testing.assert_array_equal(np.concatenate([one for one, _ in runs]), [*status, "missing_file"])
        together = np.concatenate([pictures for _, pictures in runs])
        assert not together[[2, 6, 7, 8, 10]].any()
        for i, image in images.items():
            np.testing.assert_array_equal(together[i], image)
    with pytest.raises(ValueError, match="fewer than asked for"):
        list(iter_cutouts(out, [6, 6]))
    with pytest.raises(IndexError, match="rows 0 to 10, asked for 3 to 11"):
        read_cutouts(out, [3, 11])

    before = out.read_bytes()
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    pack_cutouts(made, tmp_path, template, out, size=32, **LIMITS)
    assert out.read_bytes() == before


def test_five_files_a_spectrum(tmp_path: Path) -> None:
    made = manifest(tmp_path / "m.parquet", 2)
    for k, (_, image) in enumerate(planes().items()):
        fits.PrimaryHDU(image, fits.Header(wcs(40))).writeto(tmp_path / f"0-{BANDS[k]}.fits")
    counts = pack_cutouts(made, tmp_path, "{fiberid}-{band}.fits", tmp_path / "c.parquet", size=32, **LIMITS)
    assert counts == {"missing_file": 1, "ok": 1}
    _, images = read_cutouts(tmp_path / "c.parquet", [0])
    np.testing.assert_array_equal(images[0, 2], planes()["r"][4:36, 4:36])


def test_a_survey_without_images(tmp_path: Path) -> None:
    made = manifest(tmp_path / "m.parquet", ROWS + 3)
    out = tmp_path / "c.parquet"
    assert pack_cutouts(made, None, None, out, size=32, **LIMITS) == {"no_cutouts": ROWS + 3}
    status, images = next(iter_cutouts(out, 8))
    assert set(status) == {"no_cutouts"}
    assert images.shape == (8, 5, 32, 32)
    assert not images.any()


def test_wrong_templates_and_files(tmp_path: Path) -> None:
    made = manifest(tmp_path / "m.parquet", 2)
    with pytest.raises(SettingsError, match="uses plate"):
        pack_cutouts(made, tmp_path, "{plate}.fits", tmp_path / "c.parquet", size=32, **LIMITS)
    assert not (tmp_path / "c.parquet").exists()
    with pytest.raises(ValueError, match="not a file of cutouts"):
        read_cutouts(made, [0])
    (tmp_path / "text.parquet").write_text("text")
    with pytest.raises(ValueError, match="not a Parquet file"):
        next(iter_cutouts(tmp_path / "text.parquet", 1))
