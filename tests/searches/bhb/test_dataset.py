"""The data set: labelled spectra with images, split by star."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from fixtures.bhb_data import SDSS, absorption_line, batch
from fixtures.cutout_files import planes, star, write_cutout
from fixtures.settings import BHB
from fixtures.survey_files import identity_of

from starsift.catalog.naming import designation
from starsift.errors import InputError
from starsift.io.parquet import write_parquet
from starsift.searches.bhb.dataset import SPLITS, BundleFiles, build_dataset, read_dataset, split_stars
from starsift.searches.bhb.inputs import BANDS, CLASSES, PIXELS, scale_images, windows
from starsift.searches.bhb.labelled import read_labelled
from starsift.spectra.batches import SpectrumBatch, write_bundle
from starsift.survey.cutouts import pack_cutouts
from starsift.survey.images import read_cutout
from starsift.survey.partition import MANIFEST_SCHEMA

SHARES = BHB["labelled"]["shares"]
SEED = 2
OPTIONS = {"seed": SEED, "shares": SHARES, "match_radius": BHB["catalog"]["match_radius"], **BHB["spectrum"]}

LIMITS = {key: BHB["image"][key] for key in ("max_offset", "max_bad")}


def test_parts_depend_on_name_and_seed_alone() -> None:
    names = [f"J{i:06d}" for i in range(4000)]
    parts = split_stars(names, 3, shares=SHARES)
    share = {name: float((parts == name).mean()) for name in SPLITS}
    assert share == pytest.approx({"train": 0.7, "validation": 0.2, "test": 0.1}, abs=0.025)
    np.testing.assert_array_equal(split_stars(names[::-7], 3, shares=SHARES), parts[::-7])
    assert (split_stars(names, 4, shares=SHARES) != parts).mean() > 0.3
    # Giving more to training moves stars out of the other parts, none into them.
    more = split_stars(names, 3, (0.8, 0.1, 0.1))
    assert (more[parts == "train"] == "train").all()
    assert split_stars([], 3, shares=SHARES).shape == (0,)
    # As it was when this was written: published splits must stay.
    first = ["J000000.00+000000.0", "J120000.00-300000.0", "x", "y"]
    assert split_stars(first, 1, shares=SHARES).tolist() == ["train", "train", "train", "validation"]
    for shares in ((0.5, 0.5), (0.7, 0.2, 0.2), (1.2, -0.1, -0.1)):
        with pytest.raises(InputError, match="split shares are"):
            split_stars(names, 3, shares)


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
            good, clear = np.ones(SDSS.pixels), np.zeros(SDSS.pixels, bool)
            arrays = SDSS.wavelength, absorption_line(100 * k + i), good, clear
            spectra.append(None if i == 3 else tuple(values[cut] for values in arrays))
        packed = SpectrumBatch.from_ragged(identity_of(ids) | {"status": status}, spectra)
        write_bundle(folder / f"bundle-{k}.arrow", [packed], rows=7)
        for i, ra in enumerate(made["ra"].to_pylist()):
            cards = {band: {"CRVAL1": ra} for band in BANDS}
            images = planes(20) | {"u": star(20, 40.0, 3.0)} if i == 2 else planes(20, seed=100 * k + i)
            if i not in (4, 5):
                write_cutout(folder / f"{plate}-{i}.fits", images, cards)
        cutouts = folder / f"bundle-{k}-cutouts.parquet"
        pack_cutouts(manifest, folder, "{planid}-{fiberid}.fits", cutouts, size=size, **LIMITS)
        files.append(BundleFiles("sdss", manifest, folder / f"bundle-{k}.arrow", cutouts))
    kinds = ["BHB" if i % 10 < 5 else "A main sequence" for i in range(len(names))]
    labels = pa.table({"spectrum_id": names, "label": kinds})
    return labels, files


Made = tuple[Path, pa.Table, list[BundleFiles]]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("survey")
    return (folder, *survey(folder))


def labelled(folder: Path, table: pa.Table) -> pa.Table:
    pq.write_table(table, folder / "labelled.parquet")
    return read_labelled(folder / "labelled.parquet")


def build(labels: pa.Table, files: list[BundleFiles], **changes: Any) -> tuple[pa.Table, pa.Table, pa.Table]:
    return build_dataset(labels, files, **OPTIONS | changes)


def test_a_data_set(made: Made, tmp_path: Path) -> None:
    folder, labels, files = made
    more = pa.table({"spectrum_id": ["spec-9999-1-1", "spec-9999-1-2"], "label": ["BHB", "blue straggler"]})
    table, counts, dropped = build(labelled(folder, pa.concat_tables([labels, more])), files)
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
    expected = windows(batch(absorption_line(112)), **BHB["spectrum"]).flux[0]
    np.testing.assert_allclose(row["spectrum"], expected, atol=1e-6)
    image = scale_images(read_cutout(folder / "267-12.fits", 16, **LIMITS)[None])[0]
    np.testing.assert_allclose(np.float32(row["image"]).reshape(16, 16, 5), image, rtol=1e-5, atol=1e-6)
    # Repeated exposures are one star, in one part.
    stars: dict[str, set[str]] = {}
    columns = (table[name].to_pylist() for name in ("star", "spectrum_id", "split"))
    for name, spectrum, part in zip(*columns, strict=True):
        stars.setdefault(name, set()).add(part)
        assert split_stars([name], SEED, shares=SHARES).tolist() == [part]
        if spectrum.endswith("0018"):
            assert name == designation([150.0 + 10 * (spectrum[8] == "7") + 1.6], [20.0])[0].as_py()
    assert len(stars) == 52 - 2 * 6
    assert all(len(parts) == 1 for parts in stars.values())
    apart = build(labelled(folder, labels), files, match_radius=0.2)[0]
    assert len(set(apart["star"].to_pylist())) == 52

    write_parquet(table, tmp_path / "dataset.parquet")
    data = read_dataset(tmp_path / "dataset.parquet")
    assert len(data.label) == 52
    assert data.spectrum.shape == (52, PIXELS)
    assert data.image.shape == (52, 16, 16, 5)
    assert data.image.dtype == data.spectrum.dtype == np.float32
    at = data.spectrum_id.tolist().index("spec-0267-51630-0012")
    np.testing.assert_allclose(data.image[at], image, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(data.label, [CLASSES.index(name) for name in table["class"].to_pylist()])
    assert data.label.dtype == np.int64
    parts = [data.part(name) for name in SPLITS]
    assert [len(part.label) for part in parts] == [rows[2][name] for name in SPLITS]
    for part, name in zip(parts, SPLITS, strict=True):
        assert set(part.split) == {name}
        np.testing.assert_array_equal(part.image, data.image[data.split == name])
    with pytest.raises(InputError, match="part 'training': expected one of train"):
        data.part("training")


def test_stars_keep_their_part(made: Made) -> None:
    folder, labels, files = made
    whole = build(labelled(folder, labels), files)[0]
    part_of = dict(zip(whole["spectrum_id"].to_pylist(), whole["split"].to_pylist(), strict=True))
    names = labels["spectrum_id"].to_pylist()
    fewer = labels.filter(pa.array([not name.endswith(("1", "6")) or "0266" in name for name in names]))
    again = build(labelled(folder, fewer), files[::-1])[0]
    assert again.num_rows < whole.num_rows
    for name, part in zip(again["spectrum_id"].to_pylist(), again["split"].to_pylist(), strict=True):
        if not name.endswith(("7", "8")):  # their star is named after another spectrum now
            assert part_of[name] == part


def test_labels_by_plate_find_the_same(made: Made, tmp_path: Path) -> None:
    folder, labels, files = made
    by_name = build(labelled(folder, labels), files)[0]
    plate, mjd, fiber = zip(*(name.split("-")[1:] for name in labels["spectrum_id"].to_pylist()), strict=True)
    columns = {"plate": plate, "mjd": map(int, mjd), "fiberid": map(int, fiber), "label": labels["label"]}
    pyarrow.csv.write_csv(pa.table(columns), tmp_path / "a.csv")
    assert build(read_labelled(tmp_path / "a.csv"), files)[0] == by_name


def test_data_sets_that_cannot_be_made(made: Made, tmp_path: Path) -> None:
    folder, labels, files = made
    labels = labelled(folder, labels)
    other = labelled(tmp_path, pa.table({"spectrum_id": ["x"], "label": ["BHB"]}))
    names = labels["spectrum_id"].to_pylist()
    bad = labels.filter(pa.array([name.endswith(("0003", "0005")) for name in names]))
    mixed = [files[0]._replace(cutouts=files[1].cutouts), files[1]]
    small = tmp_path / "small.parquet"
    pack_cutouts(files[0].manifest, folder, "{planid}-{fiberid}.fits", small, size=12, **LIMITS)
    sizes = [files[0]._replace(cutouts=small), files[1]]
    for rows, bundles, message in (
        (other, files, "none of 1 labelled spectra is in the manifests of 2 bundles; the first"),
        (labels, [], "none of 60 labelled spectra is in the manifests of 0 bundles"),
        (bad, files, "has both a spectrum and an image: spectrum: missing_file 2, image: missing_file 2"),
        (labels, [files[0]] * 2, r"is in .*bundle-0.parquet and again in .*bundle-0.parquet"),
        (labels, mixed, r"bundle-1-cutouts.parquet: its spectra are not those of the manifest"),
        (labels, sizes, "images of 16 x 16 pixels, others are 12 x 12"),
    ):
        with pytest.raises(InputError, match=message):
            build(rows, bundles)
    with pytest.raises(InputError, match=r"class BHB has no spectrum in the test set \(24 in total, seed 2"):
        build(labels, files, shares=(0.8, 0.2, 0.0))


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
