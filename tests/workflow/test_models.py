"""A run with a model set: nothing is trained, and what it finds is what the run that made the set found."""

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from fixtures.checkouts import Checkout, merged

from starsift.learning.model_sets import read_model_set
from starsift.searches.mstars.dataset import read_sample
from starsift.searches.mstars.evaluation import evaluate
from starsift.searches.mstars.features import represent
from starsift.searches.mstars.hashing import codes_of
from starsift.searches.mstars.training import train_reference
from starsift.searches.registry import SEARCHES

LEARNING = {
    "binaries": {"dataset", "train", "cross_validate", "simulate", "decide"},
    "mstars": {"dataset", "train", "templates", "evaluate", "matches", "released"},
    "emission": {"dataset", "train", "query", "labels", "evaluate", "calibrate", "baseline"},
    "bhb": {"dataset", "train", "baseline", "calibrate", "evaluate"},
}


@pytest.fixture
def given(search: str, run: Checkout, tmp_path: Path) -> Checkout:
    """A finished run whose results are gone, with a setting that names the model set that it made."""
    other = run.copy(tmp_path / "run")
    (other.folder / f"results/{search}/model_set").rename(other.folder / "my-set")
    for name in (search, "catalogs", "figures"):
        shutil.rmtree(other.folder / "results" / name)
    other.settings = merged(run.settings, {search: {"models": "my-set"}})
    return other


def published(run: Checkout, name: str) -> pa.Table:
    return pq.read_table(run.folder / f"results/catalogs/{name}.parquet").replace_schema_metadata(None)


@pytest.mark.parametrize("search", [*SEARCHES])
def test_a_run_leaves_a_model_set_that_says_how_it_was_made(run: Checkout, search: str) -> None:
    made = read_model_set(run.folder / f"results/{search}/model_set", search, SEARCHES[search].models)
    assert sorted(made.files) == sorted(SEARCHES[search].models)
    assert made.settings["seed"] == 20231201
    assert set(made.settings) == {"seed", *SEARCHES[search].learning}


@pytest.mark.slow
@pytest.mark.parametrize("search", [*SEARCHES])
def test_a_run_with_a_set_trains_nothing_and_finds_the_same(
    run: Checkout, given: Checkout, search: str
) -> None:
    jobs = set(given.executed())
    assert not jobs & {f"{search}_{name}" for name in LEARNING[search]}
    assert f"{search}_predict" in jobs or search == "mstars"
    assert read_model_set(given.folder / f"results/{search}/model_set", search).digest == (
        read_model_set(given.folder / "my-set", search).digest
    )
    for name in SEARCHES[search].catalogs:
        before, after = published(run, name), published(given, name)
        if search == "emission":  # what an oracle labelled in training is no candidate there
            labelled = pq.read_table(run.folder / "results/emission/queries.parquet")[
                "spectrum_id"
            ].to_pylist()
            before, after = (
                [row for row in table.to_pylist() if row["spectrum_id"] not in labelled]
                for table in (
                    before.select(["spectrum_id", "p_single"]),
                    after.select(["spectrum_id", "p_single"]),
                )
            )
        if search == "bhb":  # a run that learns from labelled stars says which of its candidates these are
            before, after = (table.drop_columns(["split", "known_class"]) for table in (before, after))
        assert before == after
    assert given.planned() == set()


def test_a_set_that_is_trained_again_is_the_same_and_scores_the_same(finished_mstars: Checkout) -> None:
    """With its settings and seed, the same codes; with another seed, the same precision within errors."""
    folder = finished_mstars.folder / "results/mstars"
    made = read_model_set(folder / "model_set", "mstars")
    sample = read_sample(folder / "sample.arrow", folder / "sample.parquet")
    seed, settings = made.settings["seed"], made.settings["hash"]
    _, reference, _ = train_reference(sample, seed=seed, **settings)
    before = codes_of(pq.read_table(folder / "model_set/reference.parquet")["code"])
    differ = np.bitwise_count(before ^ codes_of(reference["code"])).sum() / (8 * before.size)
    assert differ < 1e-3
    scores = [
        evaluate(
            lambda kind: represent(sample.flux, sample.ivar, sample.zero, kind),
            *(sample.labels, sample.is_m),
            seed=one,
            splits=6,
            bits=[settings["bits"]],
            methods=["discriminant"],
        )
        for one in (seed % 2**32, 11)
    ]
    first, second = (
        np.array(
            [
                split["average_precision_mean"]
                for split in table.group_by("split").aggregate([("average_precision", "mean")]).to_pylist()
            ]
        )
        for table in scores
    )
    error = np.hypot(first.std(ddof=1), second.std(ddof=1)) / np.sqrt(len(first))
    assert first.mean() > 0.8
    assert abs(first.mean() - second.mean()) < 4 * error + 0.01


def test_a_set_that_does_not_fit_is_refused(finished_binaries: Checkout, tmp_path: Path) -> None:
    """Another search's, one whose files changed, none, and one for other settings: one sentence each."""
    run, sets = finished_binaries, tmp_path / "sets"
    shutil.copytree(run.folder / "results/binaries/model_set", sets / "good")
    shutil.copytree(sets / "good", sets / "changed")
    (sets / "changed/decision.json").write_text("{}")

    def refused(change: dict[str, object]) -> str:
        one = Checkout(run.folder, merged(run.settings, {"binaries": change}))
        done = one.snakemake("--dry-run", check=False)
        assert done.returncode != 0
        return done.stdout + done.stderr

    try:
        assert "changed/decision.json: not the file that model.json describes" in refused(
            {"models": str(sets / "changed")}
        )
        assert "no file" in refused({"models": str(sets / "nowhere")})
        other = refused({"models": str(sets / "good"), "peaks": {"sigma_max": 90}})
        assert "binaries.peaks.sigma_max is 90, and the model set was made with 100" in other
    finally:
        (run.folder / "settings.yaml").write_text(yaml.safe_dump(run.settings))
