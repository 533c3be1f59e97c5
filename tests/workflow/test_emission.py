"""Active learning as a workflow: rounds that wait for people, go on, and can be made again from labels."""

import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from fixtures.checkouts import Checkout, merged

from starsift.review.labels import LabelStore
from starsift.searches.emission.classes import CLASSES

ROUND = "results/emission/round-{:02d}"
DRAWN = {"emission_figures", "emission_pages", "provenance", "all"}
LISTED = {"emission_catalog", *DRAWN}
FINAL = {"emission_train", "emission_predict", "emission_calibrate", "emission_models", *LISTED}
LABELLED = {"emission_labels", "emission_evaluate", *FINAL}
QUERIED = {"emission_query", *LABELLED}


def table(run: Checkout, name: str) -> pa.Table:
    return pq.read_table(run.folder / "results" / name)


def stage(run: Checkout, name: str) -> pa.Table:
    paths = sorted((run.folder / "results/emission" / name).glob("*.parquet"))
    return pa.concat_tables([pq.read_table(path) for path in paths])


def queried(run: Checkout, number: int) -> list[str]:
    return table(run, f"emission/round-{number:02d}/query.parquet")["spectrum_id"].to_pylist()


def labels_of(run: Checkout, spectra: list[str], path: Path) -> str:
    """An export that has the oracle's labels of these spectra, and no others."""
    oracle = table(run, "simulated/emission/oracle.parquet")
    pq.write_table(oracle.filter(pc.is_in(oracle["spectrum_id"], value_set=pa.array(spectra))), path)
    return str(path)


def test_every_stage_keeps_every_spectrum(finished_emission: Checkout) -> None:
    listed = table(finished_emission, "manifest/demo-pool.parquet")["spectrum_id"].to_pylist()
    windows = stage(finished_emission, "windows")
    assert windows["spectrum_id"].to_pylist() == listed
    usable = windows.filter(pc.equal(windows["status"], "ok"))["spectrum_id"].to_pylist()
    for name in ("round-00", "round-01", "final", "baseline/run-0"):
        assert stage(finished_emission, f"{name}/predictions")["spectrum_id"].to_pylist() == usable


def test_rounds_query_train_and_stop(finished_emission: Checkout) -> None:
    first, second = queried(finished_emission, 0), queried(finished_emission, 1)
    rows = [table(finished_emission, f"emission/round-{k:02d}/labels.parquet").to_pylist() for k in (0, 1)]
    queries = [[row["spectrum_id"] for row in part if row["purpose"] == "query"] for part in rows]
    assert [len(names) for names in queries] == [6, 6]
    assert not set(queries[0]) & set(second)
    truth = table(finished_emission, "simulated/emission/truth.parquet")
    label = dict(zip(truth["spectrum_id"].to_pylist(), truth["label"].to_pylist(), strict=True))
    assert all(row["label"] == label[row["spectrum_id"]] for part in rows for row in part)
    paths = [finished_emission.folder / ROUND.format(k) / "round.json" for k in (0, 1)]
    story = [json.loads(path.read_text()) for path in paths]
    states = [(state["stop"], state["n_training"], state["n_labelled"]) for state in story]
    assert states == [(False, 40, 6), (True, 46, 12)]
    final = json.loads((finished_emission.folder / "results/emission/final/training.json").read_text())
    assert final["n_training"] == 52
    predictions = stage(finished_emission, "final/predictions")
    assert sum(story[0]["predicted"].values()) == predictions.num_rows
    assert first != second


def test_the_catalogue_is_what_was_predicted_and_found(finished_emission: Checkout) -> None:
    catalog, rejected = (
        table(finished_emission, f"catalogs/{name}.parquet") for name in ("emission", "emission_rejected")
    )
    final = stage(finished_emission, "final/predictions")
    best = pc.greater(pc.max_element_wise(final["p_single"], final["p_double"]), final["p_uninteresting"])
    predicted = set(final.filter(best)["spectrum_id"].to_pylist())
    answers = table(finished_emission, "emission/queries.parquet")
    queries = answers.filter(pc.equal(answers["purpose"], "query"))
    emission = queries.filter(pc.is_in(queries["label"], value_set=pa.array(CLASSES[:2])))
    found = set(emission["spectrum_id"].to_pylist())
    candidates = (predicted - set(queries["spectrum_id"].to_pylist())) | found
    listed = catalog["spectrum_id"].to_pylist()
    assert set(listed) | set(rejected["spectrum_id"].to_pylist()) == candidates
    assert set(rejected["label"].to_pylist()) <= {CLASSES[2]}
    lines = (finished_emission.folder / "results/catalogs/emission.csv").read_text().splitlines()
    assert len(lines) == catalog.num_rows + 1


@pytest.mark.parametrize(
    ("group", "setting", "value", "rules"),
    [
        ("window", "min_good", 0.6, QUERIED | {"emission_dataset", "emission_windows", "emission_baseline"}),
        ("rounds", "strategy", "margin", QUERIED),
        ("rounds", "sample", 5, QUERIED),
        ("rounds", "last_night", 1, QUERIED),
        ("rounds", "threshold", 0.9, {"emission_evaluate", *FINAL}),
        ("baseline", "sample", 6, {"emission_baseline", "emission_pages", "provenance", "all"}),
        ("catalog", "match_radius", 4, LISTED),
    ],
)
def test_a_setting_reruns_the_stages_that_use_it(
    finished_emission: Checkout, group: str, setting: str, value: Any, rules: set[str]
) -> None:
    change = {"emission": {group: {setting: value}}}
    planned = Checkout(finished_emission.folder, merged(finished_emission.settings, change)).planned()
    # What follows a checkpoint that runs again is planned when it has run.
    assert planned <= rules
    assert {name for name in rules if name.startswith("emission_")} & planned
    assert "pack" not in planned


def test_editing_the_catalogue_trains_nothing(finished_emission: Checkout, tmp_path: Path) -> None:
    run = finished_emission.copy(tmp_path / "run")
    source = run.folder / "src/starsift/searches/emission/catalog.py"
    source.write_text(source.read_text() + "\n# edited\n")
    assert not run.planned() & {"emission_train", "emission_predict", "emission_query", "emission_labels"}


def test_a_round_waits_for_labels_and_continues(finished_emission: Checkout, tmp_path: Path) -> None:
    run, store = finished_emission.copy(tmp_path / "run"), tmp_path / "labels.sqlite"
    done, waiting = queried(run, 0), sorted(set(queried(run, 1)))
    with LabelStore(store) as labels:
        labels.import_labels(labels_of(run, done, tmp_path / "first.parquet"))
    run.settings = merged(run.settings, {"labels": str(store)})
    target = ROUND.format(1) + "/round.json"
    stopped = run.snakemake("--", target, check=False)
    shown = stopped.stdout + stopped.stderr
    missing = len(set(waiting) - set(done))
    assert stopped.returncode != 0
    assert f"{missing} of {len(waiting)} spectra have no label yet: label them with `starsift review" in shown
    assert f"--labels {store} --queue emission-round-01`" in shown
    assert not (run.folder / ROUND.format(1) / "labels.parquet").exists()
    # A person says what is there; a label of another spectrum, and of another path, change nothing.
    truth = table(run, "simulated/emission/truth.parquet").to_pylist()
    label_of = {row["spectrum_id"]: row["label"] for row in truth}
    other = next(name for name in label_of if name not in {*done, *waiting})
    with LabelStore(store) as labels:
        for name in waiting:
            word = label_of[name] if label_of[name] != CLASSES[2] else "absorption"
            labels.add("emission", name, "ann", queue="emission-round-01", label=word)
    # The first round is not even looked at again, and networks that learned from it stay.
    assert run.executed("--", target) == ["emission_labels", "emission_evaluate"]
    with LabelStore(store) as labels:
        labels.add("emission", other, "ann", queue="emission-candidates", label="absorption")
        labels.add("mstars", waiting[0], "ann", queue="mstars-vetting", label="not M")
    assert run.planned("--", target) == set()
    with LabelStore(store) as labels:
        labels.add("emission", done[0], "ann", queue="emission-round-00", label="bad")
        labels.add("emission", done[0], "bob", queue="emission-round-00", label="bad")
    assert "emission_labels" in run.planned("--", target)


@pytest.mark.slow
def test_a_run_is_repeated_from_its_labels(finished_emission: Checkout, tmp_path: Path) -> None:
    run = finished_emission.copy(tmp_path / "run")
    names = ("catalogs/emission.parquet", "catalogs/emission.csv", "emission/final/model.keras")
    before = {name: (run.folder / "results" / name).read_bytes() for name in names}
    labels = labels_of(run, queried(run, 0) + queried(run, 1), tmp_path / "labels.parquet")
    for name in ("emission", "catalogs", "figures"):
        shutil.rmtree(run.folder / "results" / name)
    run.settings = merged(run.settings, {"labels": labels})
    run.snakemake()
    assert {name: (run.folder / "results" / name).read_bytes() for name in names} == before
