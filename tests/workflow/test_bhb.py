"""Networks of spectra and images as a workflow: what they leave, and that nights and labels train nothing."""

import json
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from fixtures.checkouts import JOB, SMALL, Checkout, edited, make_checkout, merged

from starsift.searches.bhb.baselines import BASELINES
from starsift.searches.bhb.columns import BHB
from starsift.searches.bhb.training import NETWORKS

RUNS = range(SMALL["bhb"]["runs"])
TRAINED_HERE = ("batmm", "image", "spectrum")
ALL = (*TRAINED_HERE, "svm")
DRAWN = {"bhb_figures", "bhb_pages", "provenance", "all"}
PUBLISHED = {"bhb_catalog", *DRAWN}
COMPARED = {"bhb_evaluate", *DRAWN}
EVALUATED = {"bhb_calibrate", "bhb_evaluate", "bhb_models", *PUBLISHED}
FUSED = {"bhb_train", "bhb_predict", *EVALUATED}
TRAINED = {"bhb_baseline", *FUSED}


def table(run: Checkout, name: str) -> pa.Table:
    return pq.read_table(run.folder / "results" / name)


def predictions(run: Checkout) -> pa.Table:
    paths = sorted((run.folder / "results/bhb/predictions/demo-sdss").glob("*.parquet"))
    return pa.concat_tables([pq.read_table(path) for path in paths])


def planned(run: Checkout, *arguments: str) -> tuple[set[str], dict[str, int]]:
    """The rules that would run, and how many runs of each model they would train."""
    done = run.snakemake("--dry-run", *arguments)
    text = done.stdout + done.stderr
    models = re.findall(r"log: results/logs/bhb_(?:train|baseline)/([a-z0-9-]+)/", text)
    return set(JOB.findall(text)), Counter(models)


def test_every_network_is_there_with_predictions_of_the_same_stars(finished_bhb: Checkout) -> None:
    folder = finished_bhb.folder / "results/bhb/models"
    assert sorted(path.name for path in folder.iterdir()) == list(ALL)
    dataset = table(finished_bhb, "bhb/dataset.parquet")
    held = dataset.filter(pc.not_equal(dataset["split"], "train"))["spectrum_id"].to_pylist()
    seeds = set()
    for model in ALL:
        for k in RUNS:
            one = folder / model / f"run-{k}"
            training = json.loads((one / "training.json").read_text())
            assert (training["model"], training["run"]) == (model, k)
            seeds.add(training["seed"])
            assert sorted(pq.read_table(one / "predictions.parquet")["spectrum_id"].to_pylist()) == held
            assert (one / "model.keras").exists() == (model in TRAINED_HERE)
    assert len(seeds) == 4 * len(RUNS)


def test_every_spectrum_is_classified_by_what_there_is_of_it(finished_bhb: Checkout) -> None:
    listed = table(finished_bhb, "manifest/demo-sdss.parquet")["spectrum_id"].to_pylist()
    rows = predictions(finished_bhb).to_pylist()
    assert [row["spectrum_id"] for row in rows] == listed
    for row in rows:
        readable, imaged = row["status"] == "ok", row["image_status"] == "ok"
        assert row["modality"] == (("spectrum+image" if imaged else "spectrum") if readable else None)
        assert (row["p_bhb"] is not None) == readable
    assert set(Counter(row["modality"] for row in rows)) == {"spectrum+image", "spectrum", None}
    calibration = json.loads((finished_bhb.folder / "results/bhb/calibration.json").read_text())
    assert set(calibration["modalities"]) == {"spectrum+image", "spectrum"}
    assert calibration["run"] in RUNS


def test_the_funnel_adds_up(finished_bhb: Checkout) -> None:
    lines = pyarrow.csv.read_csv(finished_bhb.folder / "results/catalogs/bhb_funnel.csv").to_pylist()
    step = {row["step"]: row["spectra"] for row in lines}
    found = predictions(finished_bhb)
    catalog = table(finished_bhb, "catalogs/bhb.parquet")
    assert step["spectra in the survey"] == found.num_rows
    assert step["with a usable spectrum"] == pc.sum(pc.is_valid(found["modality"])).as_py()
    assert step["with an image"] == pc.sum(pc.equal(found["modality"], "spectrum+image")).as_py()
    left = step["predicted BHB"] - step["rejected by people"] + step["added by people"]
    assert step["catalogue"] == left == catalog.num_rows > 0
    assert step["stars"] == len(set(catalog["group_id"].to_pylist()))
    counts = pyarrow.csv.read_csv(finished_bhb.folder / "results/bhb/dataset.csv").to_pylist()
    dropped = pyarrow.csv.read_csv(finished_bhb.folder / "results/bhb/dataset-dropped.csv").to_pylist()
    for row in counts:
        assert row["train"] + row["validation"] + row["test"] == row["with_image"]
        names = [row["class"]] if row["class"] != "total" else ["BHB", "not BHB"]
        assert row["labelled"] - row["with_image"] == sum(one[name] for one in dropped for name in names)


def test_the_list_as_text_has_the_columns_of_the_catalogue(finished_bhb: Checkout) -> None:
    text = pyarrow.csv.read_csv(finished_bhb.folder / "results/catalogs/bhb.csv")
    assert text.column_names == list(BHB.names)
    assert text.num_rows == table(finished_bhb, "catalogs/bhb.parquet").num_rows


@pytest.mark.parametrize(
    ("change", "rules", "models"),
    [
        ({"purity": 0.25}, EVALUATED, []),
        ({"training": {"fusion": {"copies": 2}}}, FUSED, ["batmm"]),
        ({"training": {"end_to_end": {"epochs": 2}}}, {"bhb_models", *PUBLISHED}, []),
        ({"image": {"size": 24}}, {"bhb_cutouts", "bhb_dataset", *TRAINED}, ALL),
        ({"compare": ["image", "svm", "add"]}, {"bhb_train", *COMPARED}, ["add"]),
    ],
    ids=["purity", "fusion", "end_to_end", "size", "compare"],
)
def test_a_setting_reruns_the_stages_that_use_it(
    finished_bhb: Checkout, change: dict[str, Any], rules: set[str], models: list[str]
) -> None:
    edit = Checkout(finished_bhb.folder, merged(finished_bhb.settings, {"bhb": change}))
    assert planned(edit) == (rules, dict.fromkeys(models, len(RUNS)))


@pytest.mark.parametrize(
    ("module", "rules", "models"),
    [
        # One script trains encoders and fusions.
        ("fusion", TRAINED - {"bhb_baseline"}, [model for model in ALL if model != "svm"]),
        ("baselines", {"bhb_baseline", *COMPARED}, ["svm"]),
        ("evaluation", EVALUATED, []),
    ],
)
def test_a_module_reruns_the_stages_that_run_it(
    finished_bhb: Checkout, module: str, rules: set[str], models: list[str]
) -> None:
    with edited(finished_bhb.folder / f"src/starsift/searches/bhb/{module}.py", "\n# edited\n"):
        assert planned(finished_bhb) == (rules, dict.fromkeys(models, len(RUNS)))


def test_all_models_of_the_tables_are_planned(tmp_path: Path) -> None:
    run = make_checkout(tmp_path / "starsift", {})
    _, models = planned(run, "--configfile", "config/demo.yaml", "config/bhb-tables.yaml")
    assert set(models) == {*NETWORKS, *BASELINES}
    assert set(models.values()) == {5}


def test_labels_rerun_the_catalogue_alone(finished_bhb: Checkout, tmp_path: Path) -> None:
    run, labels = finished_bhb.copy(tmp_path / "run"), tmp_path / "labels.parquet"
    taken, *_, kept = table(run, "catalogs/bhb.parquet")["spectrum_id"].to_pylist()
    pq.write_table(pa.table({"spectrum_id": [taken, kept], "label": ["blue straggler", "BHB"]}), labels)
    run.settings = merged(run.settings, {"labels": str(labels)})
    assert run.planned() == PUBLISHED
    target = "results/catalogs/bhb.parquet"
    assert run.executed("--", target) == ["bhb_catalog"]
    assert table(run, "catalogs/bhb_rejected.parquet")["spectrum_id"].to_pylist() == [taken]
    catalog = table(run, "catalogs/bhb.parquet")
    assert taken not in catalog["spectrum_id"].to_pylist()
    assert catalog.filter(catalog["vetted"])["spectrum_id"].to_pylist() == [kept]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (None, "no such file"),
        ("plate,mjd,fiberid,label\n2303,53700,1,RR Lyrae\n", "row 1: label 'RR Lyrae' is not one of BHB, "),
    ],
    ids=["missing", "unknown label"],
)
def test_labelled_stars_that_cannot_be_used_stop_the_run_before_spectra_are_read(
    checkout: Callable[..., Checkout], tmp_path: Path, text: str | None, sentence: str
) -> None:
    run, labelled = checkout("bhb"), tmp_path / "labelled.csv"
    if text is not None:
        labelled.write_text(text)
    run.settings = merged(run.settings, {"bhb": {"labelled": {"catalog": str(labelled)}}})
    done = run.snakemake("--", "results/bhb/dataset.parquet", check=False)
    assert done.returncode != 0
    assert f"{labelled}: {sentence}" in done.stdout + done.stderr
    assert not (run.folder / "results/spectra").exists()
