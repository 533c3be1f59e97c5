"""From predictions to the catalogue of blue horizontal branch stars: thresholds, people, stars, files."""

import csv
import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy import units as u
from astropy.table import Table
from fixtures import settings as shipped
from fixtures.figures import put
from fixtures.survey_files import identity_of

from starsift.catalog.columns import conform
from starsift.catalog.publish import publish, read_table
from starsift.errors import ResultsError
from starsift.io.parquet import write_parquet
from starsift.learning.labels import read_labels
from starsift.searches.bhb.catalog import build_catalog, gather_candidates, read_manifests
from starsift.searches.bhb.columns import BHB
from starsift.searches.bhb.search import SEARCH

SETTINGS = shipped.BHB["catalog"]
BOTH, ALONE = "spectrum+image", "spectrum"

CALIBRATION = {
    "run": 0,
    "purity": 0.9,
    "modalities": {
        BOTH: {"temperature": 1.0, "threshold": 0.7},
        ALONE: {"temperature": 2.0, "threshold": 0.8},
    },
}
IDS = [f"spec-0266-51602-{k:04d}" for k in range(1, 9)]
LAMOST = ["spec-56300-A_sp01-001", "spec-56300-A_sp01-002"]
# modality, image_status, p: spectra of two bundles of the SDSS, then of LAMOST. 0.95 at T = 2 is 0.813.
ROWS: list[tuple[str | None, str | None, float | None]] = [
    (BOTH, "ok", 0.9),
    (BOTH, "ok", 0.6),
    (ALONE, "no file", 0.95),
    (ALONE, "gap", 0.9),
    (None, "ok", None),
    (BOTH, "ok", 0.7),
    (BOTH, "ok", 0.99),
    (BOTH, "ok", 0.1),
    (ALONE, None, 0.99),
    (ALONE, None, 0.2),
]


def write_predictions(path: Path, names: list[str], rows: list[Any]) -> Path:
    write_parquet(
        pa.table(
            {
                "spectrum_id": names,
                "row": pa.array(range(len(names)), pa.int32()),
                "status": ["ok" if modality else "gap" for modality, _, _ in rows],
                "image_status": pa.array([image for _, image, _ in rows], pa.string()),
                "modality": pa.array([modality for modality, _, _ in rows], pa.string()),
                "p_bhb": pa.array([p for _, _, p in rows], pa.float32()),
            }
        ),
        path,
    )
    return path


def manifest(names: list[str], **more: Any) -> pa.Table:
    n = len(names)
    columns = {
        **identity_of(names, planid=["266"] * n, obsid=pa.array(range(1, n + 1), pa.int64())),
        "spid": pa.array([1] * n, pa.int8()),
        "fiberid": pa.array(range(1, n + 1), pa.int16()),
        "lmjd": pa.array([51602] * n, pa.int32()),
        "ra": 10 + 0.1 * np.arange(n),
        "dec": [20.0] * n,
        "snr": pa.array([20.0 + k for k in range(n)], pa.float32()),
        "gaia_source_id": pa.array([0, *range(1, n)], pa.int64()),
        "phot_g_mean_mag": pa.nulls(n, pa.float32()),
        "file": [f"{name}.fits" for name in names],
        "partition": ["266-sp01"] * n,
        "bundle": ["b"] * n,
    }
    return pa.table(columns | more)


@pytest.fixture
def run(tmp_path: Path) -> dict[str, Any]:
    folder = tmp_path / "predictions"
    values = {"psfmag": (17.5, 16.3, 16.3, 16.4, 16.5), "extinction": (0.5, 0.4, 0.3, 0.2, 0.1)}
    photometry = {
        f"{name}_{band}": pa.array([value] * 8, pa.float32())
        for name, five in values.items()
        for band, value in zip("ugriz", five, strict=True)
    }
    photometry["psfmag_r"] = pa.array([16.3] * 5 + [-9999.0, 16.8, 16.3], pa.float32())
    ra = 10 + 0.1 * np.arange(8)
    ra[2] = ra[0] + 1 / 3600  # two spectra of one star, the second without an image
    files = {
        "predictions": [
            write_predictions(folder / "sdss/51602-b.parquet", IDS[4:], ROWS[4:8]),
            write_predictions(folder / "sdss/51602-a.parquet", IDS[:4], ROWS[:4]),
            write_predictions(folder / "lamost/56300-A.parquet", LAMOST, ROWS[8:]),
        ],
        "manifests": [tmp_path / "manifest/sdss.parquet", tmp_path / "manifest/lamost.parquet"],
    }
    more = {"class": ["STAR"] * 8, "subclass": pa.array(["A0"] * 8, pa.large_string())}
    write_parquet(manifest(IDS, ra=ra, **photometry, **more), files["manifests"][0])
    write_parquet(
        manifest(LAMOST, lmjd=pa.array([56300] * 2, pa.int32()), ra=[200.0, 201.0]), files["manifests"][1]
    )
    return files


def people(tmp_path: Path, *said: tuple[str, str]) -> pa.Table:
    file = tmp_path / "labels.csv"
    rows = "".join(f"bhb,{name},{label},A. Reader\n" for name, label in said)
    file.write_text("path,spectrum_id,label,vetted_by\n" + rows)
    return read_labels(file, SEARCH)


def labelled(*rows: tuple[str, str, str]) -> pa.Table:
    """The data set: spectrum, class, split."""
    names = ("spectrum_id", "class", "split")
    columns = {name: pa.array([row[k] for row in rows], pa.string()) for k, name in enumerate(names)}
    return pa.table(columns | {"survey": pa.array(["sdss"] * len(rows), pa.string())})


def catalog(run: dict[str, Any], said: pa.Table, dataset: pa.Table | None = None, **settings: Any) -> Any:
    dataset = labelled() if dataset is None else dataset
    rows, funnel = gather_candidates(run["predictions"], said, settings.pop("calibration", CALIBRATION))
    names = {name: SETTINGS[name] for name in ("magnitude", "extinction")}
    listed = read_manifests(run["manifests"], rows, dataset, **names)
    good, bad, more = build_catalog(rows, listed, said, dataset, **SETTINGS | {"link": None} | settings)
    return good, bad, funnel | more


def numbers(table: pa.Table) -> list[int]:
    return [(IDS + LAMOST).index(name) for name in table["spectrum_id"].to_pylist()]


def test_each_modality_has_its_threshold(run: dict[str, Any], tmp_path: Path) -> None:
    good, bad, funnel = catalog(run, people(tmp_path))
    assert numbers(good) == [0, 2, 5, 6, 8]  # 0.7 is on the threshold
    assert good["p_bhb"].to_pylist() == pytest.approx([0.9, 0.81340, 0.7, 0.99, 0.90867], abs=1e-5)
    assert good["modality"].to_pylist() == [BOTH, ALONE, BOTH, BOTH, ALONE]
    assert good["image_status"].to_pylist() == ["ok", "no file", "ok", "ok", None]
    assert good["survey"].to_pylist() == ["sdss"] * 4 + ["lamost"]
    assert set(good["origin"].to_pylist()) == {"predicted"}
    assert bad.num_rows == 0
    steps = ["spectra in the survey", "with a usable spectrum", "with an image", "predicted BHB"]
    steps += [f"{what} by people" for what in ("looked at", "rejected", "added")] + ["catalogue", "stars"]
    assert funnel == dict(zip(steps, (10, 9, 5, 5, 0, 0, 0, 5, 4), strict=True))
    again = catalog(run | {"predictions": run["predictions"][::-1]}, people(tmp_path))[0]
    assert again.equals(good)


def test_people_have_the_last_word(run: dict[str, Any], tmp_path: Path) -> None:
    labels = {0: "BHB", 1: "BHB", 4: "BHB", 6: "not BHB", 7: "not BHB"}
    said = people(tmp_path, *((IDS[k], label) for k, label in labels.items()))
    good, bad, funnel = catalog(run, said)
    assert numbers(good) == [0, 1, 2, 4, 5, 8]
    assert numbers(bad) == [6]  # what the network did not call BHB needs no rejection
    rows = good.to_pylist()
    assert [row["origin"] for row in rows] == ["predicted", "people"] * 2 + ["predicted"] * 2
    assert [row["label"] for row in rows] == ["BHB", "BHB", None, "BHB", None, None]
    assert [row["vetted"] for row in rows] == [True, True, False, True, False, False]
    assert rows[0]["vetted_by"] == bad["vetted_by"][0].as_py() == "A. Reader"
    assert (rows[3]["p_bhb"], rows[3]["modality"]) == (None, None)  # the network could not use it
    steps = ("predicted BHB", "looked at by people", "rejected by people", "added by people", "catalogue")
    assert [funnel[step] for step in steps] == [5, 4, 1, 2, 6]


def test_without_a_threshold_people_alone_publish(run: dict[str, Any], tmp_path: Path) -> None:
    modalities = CALIBRATION["modalities"] | {BOTH: {"temperature": 1.0, "threshold": None}}
    good, bad, funnel = catalog(
        run, people(tmp_path, (IDS[6], "BHB"), (IDS[0], "not BHB")), calibration={"modalities": modalities}
    )
    assert numbers(good) == [2, 6, 8]
    assert good["origin"].to_pylist() == ["predicted", "people", "predicted"]
    assert good["p_bhb"][1].as_py() == pytest.approx(0.99)
    assert (bad.num_rows, funnel["predicted BHB"]) == (0, 2)


def test_labels_of_spectra_that_are_not_there(
    run: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        good, _, _ = catalog(run, people(tmp_path, ("spec-9999-51602-0001", "BHB")))
    assert numbers(good) == [0, 2, 5, 6, 8]
    assert "1 spectra labelled BHB are in no bundle" in caplog.text
    assert "the first is spec-9999-51602-0001" in caplog.text


def test_colours_and_distances(run: dict[str, Any], tmp_path: Path) -> None:
    good, _, _ = catalog(run, people(tmp_path))
    rows = dict(zip(numbers(good), good.to_pylist(), strict=True))
    first = rows[0]
    # g_0 = 15.9, r_0 = 16.0, u_0 = 17: M_g = 0.4630927 (test_bhb_photometry.py), a modulus of 15.4369073
    values = [first[name] for name in ("g_0", "g_r_0", "u_g_0", "absmag_g", "distance", "distance_err")]
    assert values == pytest.approx([15.9, -0.1, 1.1, 0.46309, 12.229, 0.84474], rel=1e-4)
    assert first["psfmag_z"] == pytest.approx(16.5)
    # No r, a colour outside the relation, a survey without photometry.
    assert [rows[5][name] for name in ("psfmag_r", "g_r_0", "distance")] == [None] * 3
    assert rows[5]["g_0"] == pytest.approx(15.9)
    assert rows[6]["g_r_0"] == pytest.approx(-0.6, abs=1e-5)
    assert [rows[6][name] for name in ("absmag_g", "distance", "distance_err")] == [None] * 3
    assert [rows[8][name] for name in ("psfmag_u", "g_0", "u_g_0", "distance")] == [None] * 4


def test_what_the_survey_knows(run: dict[str, Any], tmp_path: Path) -> None:
    good, _, _ = catalog(run, people(tmp_path), link="https://a.example/?plate={planid}&mjd={mjd}")
    assert good.column_names == BHB.names
    rows = dict(zip(numbers(good), good.to_pylist(), strict=True))
    assert (rows[0]["mjd"], rows[0]["obsdate"]) == (51602, "2000-02-28")
    assert (rows[8]["mjd"], rows[8]["obsdate"]) == (56299, "2013-01-07")  # the night before the local day
    assert (rows[0]["gaia_source_id"], rows[2]["gaia_source_id"]) == (None, 2)
    assert (rows[0]["class"], rows[0]["subclass"], rows[8]["subclass"]) == ("STAR", "A0", None)
    assert (rows[2]["snr"], rows[2]["file"]) == (22.0, f"{IDS[2]}.fits")
    assert rows[0]["designation"] == "J004000.00+200000.0"
    assert rows[0]["link"] == "https://a.example/?plate=266&mjd=51602"
    with pytest.raises(ResultsError, match=r"bhb.catalog.link: .* names nonsense"):
        catalog(run, people(tmp_path), link="https://a.example/{nonsense}")


def test_stars_and_their_part_in_the_training(run: dict[str, Any], tmp_path: Path) -> None:
    dataset = labelled((IDS[0], "BHB", "train"), (IDS[5], "not BHB", "test"), (IDS[7], "BHB", "validation"))
    good, _, _ = catalog(run, people(tmp_path), dataset)
    rows = dict(zip(numbers(good), good.to_pylist(), strict=True))
    assert [rows[k]["split"] for k in (0, 2, 5, 6, 8)] == ["train", "train", "test", None, None]
    assert [rows[k]["known_class"] for k in (0, 2, 5, 6)] == ["BHB", None, "not BHB", None]
    assert rows[0]["group_id"] == rows[2]["group_id"] != rows[5]["group_id"]
    assert [rows[k]["n_exposures"] for k in (0, 2, 5)] == [2, 2, 1]
    assert rows[2]["group_name"] == rows[0]["designation"] != rows[2]["designation"]
    apart, _, funnel = catalog(run, people(tmp_path), dataset, match_radius=0.5)
    rows = dict(zip(numbers(apart), apart.to_pylist(), strict=True))
    assert (rows[0]["split"], rows[2]["split"], funnel["stars"]) == ("train", None, 5)
    # A rejected spectrum does not count for its star.
    good, _, funnel = catalog(run, people(tmp_path, (IDS[0], "not BHB")), dataset)
    assert good["n_exposures"].to_pylist() == [1] * 4
    assert funnel["stars"] == 4


def test_a_star_without_coordinates(run: dict[str, Any], tmp_path: Path) -> None:
    table = pq.read_table(run["manifests"][0])
    columns = {name: [None, *table[name].to_pylist()[1:]] for name in ("ra", "dec")}
    write_parquet(put(table, **columns), run["manifests"][0])
    good, _, _ = catalog(run, people(tmp_path), labelled((IDS[0], "BHB", "validation")))
    first = good.to_pylist()[0]
    assert [first[name] for name in ("ra", "designation", "group_name")] == [None] * 3
    assert (first["split"], first["n_exposures"]) == ("validation", 1)


def test_a_spectrum_has_one_prediction(run: dict[str, Any], tmp_path: Path) -> None:
    none = people(tmp_path)
    twice = write_predictions(tmp_path / "p/other/c.parquet", [IDS[0]], [(ALONE, "no file", 0.99)])
    rows = [(ALONE, "gap", 0.9), (BOTH, "ok", 0.1)]
    one = write_predictions(tmp_path / "p/sdss/d.parquet", [IDS[0]] * 2, rows)
    for where, files in {"of all bundles": [*run["predictions"], twice], "d.parquet": [one]}.items():
        message = f"{where}: 1 spectra are listed more than once, the first is {IDS[0]}"
        with pytest.raises(ResultsError, match=message):
            gather_candidates(files, none, CALIBRATION)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ((BOTH, "ok", None), "has modality spectrum.image and p_bhb nan; expected 0 to 1"),
        ((None, "ok", 0.5), "has modality None and p_bhb 0.5; expected 0 to 1, or null without a modality"),
        ((BOTH, "ok", 1.5), "p_bhb 1.5; expected 0 to 1"),
        (("image", "ok", 0.5), "modality 'image' is not calibrated, only spectrum.image, spectrum;"),
    ],
)
def test_predictions_that_cannot_be(row: Any, message: str, tmp_path: Path) -> None:
    file = write_predictions(tmp_path / "sdss/a.parquet", IDS[:2], [ROWS[0], row])
    with pytest.raises(ResultsError, match=f"a.parquet: .*{message}"):
        gather_candidates([file], people(tmp_path), CALIBRATION)


def test_tables_that_do_not_belong_together(run: dict[str, Any], tmp_path: Path) -> None:
    none = people(tmp_path)
    write_parquet(pa.table({"spectrum_id": ["a"], "p_bhb": [0.5]}), tmp_path / "sdss/a.parquet")
    with pytest.raises(ResultsError, match="predictions lack row, modality, image_status; delete the file"):
        gather_candidates([tmp_path / "sdss/a.parquet"], none, CALIBRATION)
    with pytest.raises(ResultsError, match=f"manifests: candidate lamost/{LAMOST[0]} is missing"):
        catalog(run | {"manifests": run["manifests"][:1]}, none)
    with pytest.raises(ResultsError, match="labelled spectrum sdss/spec-1 is missing"):
        catalog(run, none, labelled(("spec-1", "BHB", "train")))
    with pytest.raises(ResultsError, match="manifests: none was given"):
        catalog(run | {"manifests": []}, none)


def test_labelled_spectra_of_another_survey(run: dict[str, Any], tmp_path: Path) -> None:
    """The same file may be in the survey that is searched and in that of the labelled spectra."""
    other = tmp_path / "manifest/known.parquet"
    write_parquet(manifest(IDS, ra=[10.0 + k / 3600 for k in range(8)]), other)
    dataset = labelled((IDS[1], "BHB", "test"))
    dataset = dataset.set_column(3, "survey", pa.array(["known"]))
    good, _, _ = catalog(run | {"manifests": [other, *run["manifests"]]}, people(tmp_path), dataset)
    rows = dict(zip(numbers(good), good.to_pylist(), strict=True))
    assert rows[5]["ra"] == 10.5
    assert [rows[k]["split"] for k in (0, 2, 5)] == ["test", "test", None]  # by place
    assert rows[0]["known_class"] is None


def test_observations_without_an_identifier(run: dict[str, Any], tmp_path: Path) -> None:
    write_parquet(manifest(IDS, obsid=pa.nulls(len(IDS), pa.int64())), run["manifests"][0])
    good, _, _ = catalog(run, people(tmp_path), link="https://a.example/{obsid}")
    # The star of the other survey has one.
    assert good["obsid"].null_count == good["link"].null_count == good.num_rows - 1
    publish(good, BHB, tmp_path / "bhb", {"seed": 1})
    assert len(Table.read(tmp_path / "bhb.fits")) == good.num_rows


def test_the_catalogue_is_published(run: dict[str, Any], tmp_path: Path) -> None:
    said = people(tmp_path, (IDS[4], "BHB"), (IDS[6], "not BHB"))
    dataset = labelled((IDS[0], "BHB", "train"))
    good, bad, funnel = catalog(run, said, dataset, link="https://a.example/{obsid}")
    publish(good, BHB, tmp_path / "bhb", {"seed": 1})
    write_parquet(conform(bad, BHB), tmp_path / "rejected.parquet")
    again = read_table(tmp_path / "bhb.parquet")
    tables = [again, *(Table.read(tmp_path / f"bhb.{kind}") for kind in ("fits", "vot"))]
    for table in tables:
        assert [str(name) for name in table["spectrum_id"]] == good["spectrum_id"].to_pylist()
        assert {table[name].unit for name in ("distance", "distance_err")} == {u.kpc}
        assert {table[name].unit for name in ("psfmag_u", "g_0", "u_g_0", "g_r_0", "absmag_g")} == {u.mag}
        assert table["distance"][0] == pytest.approx(12.229, rel=1e-4)
        assert np.isnan(np.ma.filled(np.ma.asarray(table["p_bhb"]), np.nan)).tolist() == [0, 0, 1, 0, 0]
    assert again["distance"].meta["ucd"] == "pos.distance"
    with (tmp_path / "bhb.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == BHB.names
    cells = rows[0]["p_bhb"], rows[0]["split"], rows[1]["known_class"], rows[2]["p_bhb"]
    assert cells == ("0.9", "train", "", "")
    assert pq.read_table(tmp_path / "rejected.parquet")["label"].to_pylist() == ["not BHB"]
    assert json.dumps(funnel)


def test_an_empty_catalogue(run: dict[str, Any], tmp_path: Path) -> None:
    modalities = {name: {"temperature": 1.0, "threshold": None} for name in (BOTH, ALONE)}
    changes = {"calibration": {"modalities": modalities}, "link": "https://a.example/{obsid}"}
    good, bad, funnel = catalog(run, people(tmp_path), **changes)
    assert good.num_rows == bad.num_rows == funnel["catalogue"] == funnel["stars"] == 0
    assert funnel["spectra in the survey"] == 10
    publish(good, BHB, tmp_path / "bhb", {})
    assert Table.read(tmp_path / "bhb.vot")["distance"].unit == u.kpc
    rows, funnel = gather_candidates([], people(tmp_path), CALIBRATION)
    assert rows.num_rows == funnel["spectra in the survey"] == 0
