"""Windows, images and the labelled data set of blue horizontal branch stars."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from astropy.table import Table
from fixtures.cutout_files import planes, star, write_cutout
from fixtures.survey_files import identity_of, real
from hypothesis import given
from hypothesis import strategies as st

from starsift.catalog.naming import designation
from starsift.errors import InputError
from starsift.io.parquet import write_parquet
from starsift.searches.bhb.dataset import (
    BANDS,
    CLASSES,
    GRID,
    PIXELS,
    SPLITS,
    BundleFiles,
    build_dataset,
    read_dataset,
    read_labelled,
    scale_images,
    split_of,
    windows,
)
from starsift.spectra.batches import SpectrumBatch, write_bundle
from starsift.spectra.resample import LAMOST_LRS, LogGrid
from starsift.survey.cutouts import pack_cutouts, read_cutout
from starsift.survey.partition import MANIFEST_SCHEMA
from starsift.survey.readers.registry import read_spectrum

SDSS = LogGrid(3.58, 1e-4, 3850)  # 3802-9225 Angstrom


def batch(
    flux: np.ndarray, ivar: np.ndarray | None = None, wavelength: np.ndarray | None = None
) -> SpectrumBatch:
    flux = np.atleast_2d(flux)
    grid = SDSS.wavelength if wavelength is None else wavelength
    identity = identity_of([f"s{i}" for i in range(len(flux))])
    return SpectrumBatch.from_arrays(identity, grid, flux, np.ones_like(flux) if ivar is None else ivar)


def line(seed: int = 0, grid: LogGrid = SDSS) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(0, 0.05, grid.pixels)
    return np.asarray(5 - 3 * np.exp(-(((grid.wavelength - 4862.7) / 15) ** 2) / 2) + noise, np.float32)


START = round((GRID.log10_lambda0 - SDSS.log10_lambda0) * 1e4)
CUT = slice(START, START + PIXELS)


def test_pixels_of_sdss_stay_as_they_are() -> None:
    flux = np.stack([line(seed) for seed in range(3)])
    made = windows(batch(flux))
    assert made.ok.all()
    cut = flux[:, CUT]
    expected = (cut - cut.min(axis=1, keepdims=True)) / np.ptp(cut, axis=1)[:, None]
    np.testing.assert_allclose(made.flux, expected, atol=1e-6)
    assert made.flux.dtype == np.float32
    assert (made.flux.min(axis=1) == 0).all()
    assert (made.flux.max(axis=1) == 1).all()


@given(st.floats(1e-3, 1e4), st.floats(-3, 3))
def test_scale_and_zero_of_the_flux_do_not_matter(scale: float, zero: float) -> None:
    np.testing.assert_allclose(
        windows(batch(scale * (line() + zero))).flux, windows(batch(line())).flux, atol=2e-6 * (1 + abs(zero))
    )


def test_gaps_are_interpolated() -> None:
    flux, ivar = line(), np.ones(SDSS.pixels)
    ivar[START + 100 : START + 103] = 0
    flux[START + 100 : START + 103] = 1e9
    made = windows(batch(flux, ivar))
    cut = line()[CUT]
    cut[99:104] = np.linspace(cut[99], cut[103], 5)
    np.testing.assert_allclose(made.flux[0], (cut - cut.min()) / np.ptp(cut), atol=1e-6)


def test_spectra_without_a_window() -> None:
    ivar = np.ones((5, SDSS.pixels))
    ivar[0] = 0
    ivar[1, START : START + 400] = 0
    ivar[2, START : START + 300] = 0
    flux = np.stack([line(), line(), line(), np.full(SDSS.pixels, 2.0), line()])
    made = windows(batch(flux, ivar))
    assert made.status.tolist() == ["all_masked", "too_few_pixels", "ok", "constant", "ok"]
    assert not made.flux[[0, 1, 3]].any()
    assert windows(batch(flux, ivar), min_good=0.8).status[1] == "ok"


def test_the_window_must_be_covered() -> None:
    """To the last pixel, that is; float32 wavelengths may be off by a trifle."""
    for first, last, status in (
        (0, 0, "ok"),
        (1, 0, "not_covered"),
        (0, 1, "not_covered"),
        (-40, -40, "ok"),
        (400, -40, "not_covered"),
    ):
        cut = slice(START + first, START + PIXELS - last)
        made = windows(batch(line()[cut], wavelength=SDSS.wavelength[cut]))
        assert made.status.tolist() == [status]
    single = np.float32(SDSS.wavelength[CUT]).astype(np.float64)
    assert windows(batch(line()[CUT], wavelength=single)).ok.all()
    # Rows padded to the length of a longer one are not longer for it.
    short = slice(0, START + PIXELS - 30)
    ragged = SpectrumBatch.from_ragged(
        identity_of(["a", "b", "c"]) | {"status": ["ok", "ok", "missing_file"]},
        [
            (SDSS.wavelength[cut], line()[cut], np.ones(SDSS.pixels)[cut], np.zeros(SDSS.pixels, bool)[cut])
            for cut in (slice(None), short)
        ]
        + [None],
    )
    assert windows(ragged).status.tolist() == ["ok", "not_covered", "missing_file"]


def test_lamost_covers_it_too() -> None:
    assert windows(batch(line(grid=LAMOST_LRS), wavelength=LAMOST_LRS.wavelength)).ok.all()


def test_real_spectra_of_sdss() -> None:
    for path in sorted(real("sdss-spec").glob("*.fits")):
        read = read_spectrum(path, "sdss")
        ivar = np.where(read.mask, 0, read.ivar)
        made = windows(batch(read.flux, ivar, read.wavelength))
        assert made.status.tolist() == ["ok"]
        first = int(np.argmin(np.abs(read.wavelength - GRID.wavelength[0])))
        np.testing.assert_allclose(read.wavelength[first : first + PIXELS], GRID.wavelength, rtol=1e-9)
        good = (ivar > 0)[first : first + PIXELS]
        assert good.mean() > 0.9
        scale = np.polyfit(read.flux[first : first + PIXELS][good], made.flux[0][good], 1)
        expected = np.polyval(scale, read.flux[first : first + PIXELS][good])
        np.testing.assert_allclose(made.flux[0][good], expected, atol=1e-5)
        # An SDSS spectrum that starts in the window has none.
        assert windows(batch(read.flux[900:], ivar[900:], read.wavelength[900:])).status[0] == "not_covered"


def test_images_are_scaled_together() -> None:
    images = np.random.default_rng(1).normal(3, 2, (300, 5, 6, 7)).astype(np.float32)
    made = scale_images(images)
    assert made.shape == (300, 6, 7, 5)
    assert made.dtype == np.float32
    least = images.min(axis=(1, 2, 3), keepdims=True)
    expected = ((images - least) / np.ptp(images, axis=(1, 2, 3), keepdims=True) - 0.449) / 0.226
    np.testing.assert_allclose(made, np.moveaxis(expected, 1, -1), atol=1e-5)
    # Bands keep their ratios: the brightest pixel of all is the only one at the top.
    assert (made >= made.max(axis=(1, 2, 3), keepdims=True)).sum() == 300
    assert scale_images(images[:0]).shape == (0, 6, 7, 5)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((2, 4, 8, 8)), r"shape \(2, 4, 8, 8\), expected \(n, 5, h, w\)"),
        (np.zeros((5, 8, 8)), r"shape \(5, 8, 8\)"),
        (np.where(np.arange(10).reshape(2, 5, 1, 1) == 7, np.nan, 1.0), "image 1 of 2 is not finite"),
        (np.where(np.arange(10).reshape(2, 5, 1, 1) == 2, np.inf, 1.0), "image 0 of 2 is not finite"),
        (np.ones((2, 5, 3, 3)), "image 0 of 2 is constant"),
    ],
)
def test_images_that_cannot_be_scaled(images: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        scale_images(images)


def test_parts_depend_on_name_and_seed_alone() -> None:
    names = [f"J{i:06d}" for i in range(4000)]
    parts = split_of(names, 3)
    share = {name: float((parts == name).mean()) for name in SPLITS}
    assert share == pytest.approx({"train": 0.7, "validation": 0.2, "test": 0.1}, abs=0.025)
    np.testing.assert_array_equal(split_of(names[::-7], 3), parts[::-7])
    assert (split_of(names, 4) != parts).mean() > 0.3
    # Giving more to training moves stars out of the other parts, none into them.
    more = split_of(names, 3, (0.8, 0.1, 0.1))
    assert (more[parts == "train"] == "train").all()
    assert split_of([], 3).shape == (0,)
    # As it was when this was written: published splits must stay.
    first = ["J000000.00+000000.0", "J120000.00-300000.0", "x", "y"]
    assert split_of(first, 1).tolist() == ["train", "train", "train", "validation"]
    for shares in ((0.5, 0.5), (0.7, 0.2, 0.2), (1.2, -0.1, -0.1)):
        with pytest.raises(InputError, match="split shares are"):
            split_of(names, 3, shares)


def csv(path: Path, **columns: Any) -> Path:
    pyarrow.csv.write_csv(pa.table(columns), path)
    return path


def test_labels_by_plate_or_name(tmp_path: Path) -> None:
    labels = ["BHB", "blue straggler", "not BHB"]
    columns: dict[str, Any] = {
        "PLATE": [266, 1123, 266],
        "MJD": [51630] * 3,
        "FIBERID": [1, 2, 3],
        "label": labels,
    }
    Table(columns).write(tmp_path / "a.fits")
    made = read_labelled(tmp_path / "a.fits")
    assert made.column_names == ["planid", "mjd", "fiberid", "label", "class"]
    assert made["planid"].to_pylist() == ["266", "1123", "266"]
    assert made["class"].to_pylist() == ["BHB", "not BHB", "not BHB"]
    padded = csv(
        tmp_path / "a.csv", plate=["0266", "1123", "0266"], mjd=[51630] * 3, fiberid=[1, 2, 3], label=labels
    )
    assert read_labelled(padded) == made
    pq.write_table(pa.table({"spectrum_id": ["a", "b"], "label": ["bad", "BHB"]}), tmp_path / "a.parquet")
    named = read_labelled(tmp_path / "a.parquet")
    assert named.to_pylist()[0] == {"spectrum_id": "a", "label": "bad", "class": "not BHB"}


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (
            {"spectrum_id": ["a", "b"], "label": ["BHB", "quasar"]},
            "row 2: label 'quasar' is none of BHB, blue strag",
        ),
        ({"spectrum_id": ["a", "a"], "label": ["BHB", "bad"]}, "spectrum a is in row 1 and in row 2"),
        ({"spectrum_id": ["a", None], "label": ["BHB", "bad"]}, "row 2: no spectrum_id"),
        ({"spectrum_id": ["a", "b"], "label": ["", "bad"]}, "row 1: no label"),
        ({"spectrum_id": ["a"]}, "no column label"),
        ({"plate": [1], "label": ["BHB"]}, "no column mjd, fiberid"),
        (
            {"plate": [1], "mjd": ["x"], "fiber": [1], "label": ["BHB"]},
            "row 1, column mjd: 'x' is not a whole number",
        ),
        (
            {"plate": ["01", "1"], "mjd": [5, 5], "fiber": [1, 1], "label": ["BHB", "BHB"]},
            "spectrum 1-5-1 is in row 1 and in row 2",
        ),
    ],
)
def test_labels_that_cannot_be_used(tmp_path: Path, columns: dict[str, Any], message: str) -> None:
    path = csv(tmp_path / "labels.csv", **columns)
    with pytest.raises(ValueError, match=message) as caught:
        read_labelled(path)
    assert str(path) in str(caught.value)


def test_label_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_labelled(tmp_path / "none.csv")
    (tmp_path / "a.parquet").write_text("text")
    with pytest.raises(InputError, match="no parquet file"):
        read_labelled(tmp_path / "a.parquet")


def test_labels_as_pandas_and_skyserver_write_them(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("#Table1\nplate,mjd,fiberID,label\n266.0,51602.0,31.0,BHB\n0267,51608,32,bad\n")
    table = read_labelled(path)
    assert table["planid"].to_pylist() == ["266", "267"]
    assert table["fiberid"].to_pylist() == [31, 32]
    path.write_text("plate,mjd,fiber,label\n266,51602,31.5,BHB\n")
    with pytest.raises(InputError, match=r"labels\.csv: row 1, column fiber: 31\.5 is not a whole number"):
        read_labelled(path)
    path.write_text("spectrum_id,label\nspec-0266-51602-0031.fits,BHB\n")
    assert read_labelled(path)["spectrum_id"].to_pylist() == ["spec-0266-51602-0031"]


def survey(folder: Path, bundles: int = 2, n: int = 30, size: int = 16) -> tuple[pa.Table, list[BundleFiles]]:
    """Bundles of n spectra each, all labelled; of every ten, 7 and 8 show the star of 6 again."""
    files, names = [], []
    for k in range(bundles):
        plate = 266 + k
        ids = [f"spec-{plate:04d}-51630-{i:04d}" for i in range(n)]
        names += ids
        number = np.arange(n)
        of = np.where(np.isin(number % 10, (7, 8)), number // 10 * 10 + 6, number)
        made = {field.name: pa.nulls(n, field.type) for field in MANIFEST_SCHEMA}
        made |= {name: pa.array(values) for name, values in identity_of(ids).items()}
        made |= {
            "planid": pa.array([str(plate)] * n),
            "fiberid": pa.array(number, pa.int16()),
            "lmjd": pa.array([51630] * n, pa.int32()),
            "ra": pa.array(150 + 10 * k + 0.1 * of + 1e-4 * (number - of)),  # 0.4 arcsec between exposures
            "dec": pa.array(np.full(n, 20.0)),
        }
        manifest = folder / f"bundle-{k}.parquet"
        pq.write_table(pa.table(made).select(MANIFEST_SCHEMA.names).cast(MANIFEST_SCHEMA), manifest)
        status = ["missing_file" if i == 3 else "ok" for i in range(n)]
        spectra = []
        for i in range(n):
            cut = slice(900 if i == 4 else 0, None)
            arrays = (SDSS.wavelength, line(100 * k + i), np.ones(SDSS.pixels), np.zeros(SDSS.pixels, bool))
            spectra.append(None if i == 3 else tuple(values[cut] for values in arrays))
        packed = SpectrumBatch.from_ragged(identity_of(ids) | {"status": status}, spectra)
        write_bundle(folder / f"bundle-{k}.arrow", [packed], rows=7)
        for i, ra in enumerate(made["ra"].to_pylist()):
            cards = {band: {"CRVAL1": ra} for band in BANDS}
            images = planes(20) | {"u": star(20, 40.0, 3.0)} if i == 2 else planes(20, seed=100 * k + i)
            if i not in (4, 5):
                write_cutout(folder / f"{plate}-{i}.fits", images, cards)
        cutouts = folder / f"bundle-{k}-cutouts.parquet"
        pack_cutouts(manifest, folder, "{planid}-{fiberid}.fits", cutouts, size=size)
        files.append(BundleFiles("sdss", manifest, folder / f"bundle-{k}.arrow", cutouts))
    kinds = ["BHB" if i % 10 < 5 else "A main sequence" for i in range(len(names))]
    labels = pa.table({"spectrum_id": names, "label": kinds})
    return labels, files


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, pa.Table, list[BundleFiles]]:
    folder = tmp_path_factory.mktemp("survey")
    return (folder, *survey(folder))


def labelled(folder: Path, table: pa.Table) -> pa.Table:
    pq.write_table(table, folder / "labelled.parquet")
    return read_labelled(folder / "labelled.parquet")


SEED = 2


def test_a_data_set(made: tuple[Path, pa.Table, list[BundleFiles]], tmp_path: Path) -> None:
    folder, labels, files = made
    more = pa.table({"spectrum_id": ["spec-9999-1-1", "spec-9999-1-2"], "label": ["BHB", "blue straggler"]})
    table, counts, dropped = build_dataset(
        labelled(folder, pa.concat_tables([labels, more])), files, seed=SEED
    )
    assert table["spectrum_id"].to_pylist() == sorted(table["spectrum_id"].to_pylist())
    assert counts.column_names == ["class", "labelled", "with_spectrum", "with_image", *SPLITS]
    rows = counts.to_pylist()
    assert [tuple(row.values())[:4] for row in rows] == [
        ("BHB", 31, 26, 24),
        ("not BHB", 31, 30, 28),
        ("total", 62, 56, 52),
    ]
    for row in rows:
        assert sum(row[name] for name in SPLITS) == row["with_image"]
    assert dropped.to_pylist() == [
        {"reason": "not_in_survey", "BHB": 1, "not BHB": 1},
        {"reason": "spectrum: missing_file", "BHB": 2, "not BHB": 0},
        {"reason": "spectrum: not_covered", "BHB": 2, "not BHB": 0},
        {"reason": "image: misaligned", "BHB": 2, "not BHB": 0},
        {"reason": "image: missing_file", "BHB": 0, "not BHB": 2},
    ]
    # What is in a row belongs to the spectrum that it names.
    row = table.slice(table["spectrum_id"].to_pylist().index("spec-0267-51630-0012"), 1).to_pylist()[0]
    assert (row["survey"], row["bundle"], row["row"]) == ("sdss", "bundle-1", 12)
    assert (row["label"], row["class"]) == ("BHB", "BHB")
    np.testing.assert_allclose(row["spectrum"], windows(batch(line(112))).flux[0], atol=1e-6)
    image = scale_images(read_cutout(folder / "267-12.fits", 16)[None])[0]
    np.testing.assert_allclose(np.float32(row["image"]).reshape(16, 16, 5), image, rtol=1e-5, atol=1e-6)
    # Repeated exposures are one star, in one part.
    stars: dict[str, set[str]] = {}
    for name, spectrum, part in zip(
        *(table[c].to_pylist() for c in ("star", "spectrum_id", "split")), strict=True
    ):
        stars.setdefault(name, set()).add(part)
        assert split_of([name], SEED).tolist() == [part]
        if spectrum.endswith("0018"):
            assert name == designation([150.0 + 10 * (spectrum[8] == "7") + 1.6], [20.0])[0].as_py()
    assert len(stars) == 52 - 2 * 6
    assert all(len(parts) == 1 for parts in stars.values())
    apart = build_dataset(labelled(folder, labels), files, seed=SEED, match_radius=0.2)[0]
    assert len(set(apart["star"].to_pylist())) == 52

    write_parquet(table, tmp_path / "dataset.parquet")
    data = read_dataset(tmp_path / "dataset.parquet")
    assert len(data) == 52
    assert data.spectrum.shape == (52, PIXELS)
    assert data.image.shape == (52, 16, 16, 5)
    assert data.image.dtype == data.spectrum.dtype == np.float32
    at = data.spectrum_id.tolist().index("spec-0267-51630-0012")
    np.testing.assert_allclose(data.image[at], image, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(data.label, [CLASSES.index(name) for name in table["class"].to_pylist()])
    assert data.label.dtype == np.int64
    parts = [data.part(name) for name in SPLITS]
    assert [len(part) for part in parts] == [rows[2][name] for name in SPLITS]
    for part, name in zip(parts, SPLITS, strict=True):
        assert set(part.split) == {name}
        np.testing.assert_array_equal(part.image, data.image[data.split == name])
    with pytest.raises(InputError, match="part 'training': expected one of train"):
        data.part("training")


def test_stars_keep_their_part(made: tuple[Path, pa.Table, list[BundleFiles]]) -> None:
    folder, labels, files = made
    whole = build_dataset(labelled(folder, labels), files, seed=SEED)[0]
    part_of = dict(zip(whole["spectrum_id"].to_pylist(), whole["split"].to_pylist(), strict=True))
    fewer = labels.filter(
        pa.array(
            [not name.endswith(("1", "6")) or "0266" in name for name in labels["spectrum_id"].to_pylist()]
        )
    )
    again = build_dataset(labelled(folder, fewer), files[::-1], seed=SEED)[0]
    assert again.num_rows < whole.num_rows
    for name, part in zip(again["spectrum_id"].to_pylist(), again["split"].to_pylist(), strict=True):
        if not name.endswith(("7", "8")):  # their star is named after another spectrum now
            assert part_of[name] == part


def test_labels_by_plate_find_the_same(
    made: tuple[Path, pa.Table, list[BundleFiles]], tmp_path: Path
) -> None:
    folder, labels, files = made
    by_name = build_dataset(labelled(folder, labels), files, seed=SEED)[0]
    numbers = [name.split("-")[1:] for name in labels["spectrum_id"].to_pylist()]
    plates = csv(
        tmp_path / "a.csv",
        plate=[plate for plate, _, _ in numbers],
        mjd=[int(mjd) for _, mjd, _ in numbers],
        fiberid=[int(fiber) for *_, fiber in numbers],
        label=labels["label"],
    )
    assert build_dataset(read_labelled(plates), files, seed=SEED)[0] == by_name


def test_data_sets_that_cannot_be_made(
    made: tuple[Path, pa.Table, list[BundleFiles]], tmp_path: Path
) -> None:
    folder, labels, files = made
    labels = labelled(folder, labels)
    with pytest.raises(
        InputError, match=r"class BHB has no spectrum in the test part \(it has 24 in all, seed 2"
    ):
        build_dataset(labels, files, seed=SEED, shares=(0.8, 0.2, 0.0))
    other = labelled(tmp_path, pa.table({"spectrum_id": ["x"], "label": ["BHB"]}))
    with pytest.raises(
        InputError, match="none of 1 labelled spectra is in the manifests of 2 bundles; the first"
    ):
        build_dataset(other, files, seed=SEED)
    with pytest.raises(InputError, match="none of 60 labelled spectra is in the manifests of 0 bundles"):
        build_dataset(labels, [], seed=SEED)
    bad = labels.filter(
        pa.array([name.endswith(("0003", "0005")) for name in labels["spectrum_id"].to_pylist()])
    )
    with pytest.raises(
        InputError,
        match="has both a spectrum and an image: spectrum: missing_file 2, image: missing_file 2",
    ):
        build_dataset(bad, files, seed=SEED)
    with pytest.raises(InputError, match=r"is in .*bundle-0.parquet and again in .*bundle-0.parquet"):
        build_dataset(labels, [files[0], files[0]], seed=SEED)
    mixed = [files[0]._replace(cutouts=files[1].cutouts), files[1]]
    with pytest.raises(
        InputError, match=r"bundle-1-cutouts.parquet: its spectra are not those of the manifest"
    ):
        build_dataset(labels, mixed, seed=SEED)
    small = tmp_path / "small.parquet"
    pack_cutouts(files[0].manifest, folder, "{planid}-{fiberid}.fits", small, size=12)
    with pytest.raises(InputError, match="images of 16 pixels a side, others have 12"):
        build_dataset(labels, [files[0]._replace(cutouts=small), files[1]], seed=SEED)


def test_files_that_are_no_data_set(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_text("text")
    with pytest.raises(InputError, match="not a Parquet file"):
        read_dataset(tmp_path / "a.parquet")
    pq.write_table(pa.table({"spectrum_id": ["a"]}), tmp_path / "a.parquet")
    with pytest.raises(InputError, match="it lacks star, class, split, spectrum, image"):
        read_dataset(tmp_path / "a.parquet")
    columns = {name: ["a"] for name in ("spectrum_id", "star", "class", "split")}
    pq.write_table(pa.table(columns | {"spectrum": [[1.0]], "image": [[1.0]]}), tmp_path / "a.parquet")
    with pytest.raises(InputError, match="spectra of 3522 pixels"):
        read_dataset(tmp_path / "a.parquet")


def test_bands_are_those_of_the_cutouts() -> None:
    from starsift.survey import cutouts

    assert BANDS == cutouts.BANDS
