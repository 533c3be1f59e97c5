"""The workflow from end to end at a tiny size, its profiles, its report, and what stops it."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from conftest import SMALL, Checkout, make_checkout, merged

from starsift.catalog.schema import SCHEMAS, check

pytestmark = pytest.mark.xdist_group("workflow")


def test_catalogues_are_as_declared(finished: Checkout) -> None:
    for name, schema in SCHEMAS.items():
        table = pq.read_table(finished.folder / f"results/catalogs/{name}.parquet")
        check(table, schema)
        for suffix in ("fits", "vot"):
            assert (finished.folder / f"results/catalogs/{name}.{suffix}").stat().st_size > 0


def test_every_stage_keeps_every_spectrum(finished: Checkout) -> None:
    results = finished.folder / "results"
    manifest = pq.read_table(results / "manifest/tiny.parquet")
    for stage in ("components", "errors", "classes", "suspects"):
        tables = [pq.read_table(path) for path in sorted((results / "binaries" / stage).glob("*.parquet"))]
        keys = {
            (row["spectrum_id"], row["band"])
            for table in tables
            for row in table.select(["spectrum_id", "band"]).to_pylist()
        }
        assert sum(table.num_rows for table in tables) == manifest.num_rows, stage
        assert len(keys) == manifest.num_rows, stage


def test_the_report_stands_alone(finished: Checkout) -> None:
    finished.snakemake("--report", "report.html")
    page = (finished.folder / "report.html").read_text()
    for figure in (finished.folder / "results/figures").iterdir():
        assert figure.name in page, figure.name
    # Nothing is fetched when the page is opened.
    assert not re.findall(r"<(?:script|link|img)[^>]+(?:src|href)=\"https?://", page)


def test_provenance_names_inputs_and_counts(finished: Checkout) -> None:
    record = json.loads((finished.folder / "results/provenance.json").read_text())
    assert record["counts"]["status"]["ok"] > 0
    assert record["settings"]["binaries"]["survey"] == "tiny"
    assert {"catalog", "template_grid"} <= set(record["inputs"])


def test_the_demo_is_scored(tmp_path: Path) -> None:
    """Simulation and scorecard included, at a size that only shows that the parts fit together."""
    size = {"seed": 3, "layout": "both", "n_plans": 1, "n_spectrographs": 1, "n_stars": 30, "exposures": 2}
    run = make_checkout(tmp_path / "starsift", {"simulate": size, "binaries": SMALL})
    run.snakemake("--configfile", "config/demo.yaml", "settings.yaml")
    card = json.loads((run.folder / "results/scorecard.json").read_text())
    assert card["spectra"] > 0
    assert run.planned("--configfile", "config/demo.yaml", "settings.yaml") == set()


@pytest.mark.parametrize("arguments", [[], ["--configfile", "config/demo.yaml"]], ids=["default", "demo"])
def test_the_slurm_profile_dry_runs_on_a_fresh_checkout(tmp_path: Path, arguments: list[str]) -> None:
    run = make_checkout(tmp_path / "starsift", {})
    done = run.snakemake("--profile", "slurm", "--dry-run", *arguments)
    assert "checkpoint manifest" in done.stdout + done.stderr


def test_gpus_are_asked_for_under_the_switch(checkout: Callable[[], Checkout]) -> None:
    run = checkout()
    without = run.snakemake("--dry-run")
    run.settings["gpu"] = True
    with_gpu = run.snakemake("--dry-run")
    assert "gpu=1" not in without.stdout + without.stderr
    assert "gpu=1" in with_gpu.stdout + with_gpu.stderr


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            {"binaries": {"ccf": {"velocity_stpe": 1}}},
            "config: binaries.ccf.velocity_stpe is not a setting; did you mean velocity_step?",
        ),
        ({"surveys": {"tiny": {"catalog": "nowhere.fits"}}}, "nowhere.fits: no such catalogue"),
        (
            {"surveys": {"tiny": {"selection": [{"column": "snr", "op": ">", "value": 1e9}]}}},
            "no spectrum is left after the cuts",
        ),
        ({"surveys": {"tiny": {"root": "nowhere", "catalog": None}}}, "nowhere: no such folder"),
    ],
    ids=["typo", "catalogue", "selection", "folder"],
)
def test_what_makes_a_run_meaningless_stops_it_with_a_sentence(
    checkout: Callable[[], Checkout], change: dict[str, Any], sentence: str
) -> None:
    run = checkout()
    run.settings = merged(run.settings, change)
    done = run.snakemake("--", "results/manifest/tiny-status.csv", check=False)
    assert done.returncode != 0
    assert sentence in done.stdout + done.stderr


def test_lint_has_nothing_but_what_was_decided(checkout: Callable[[], Checkout]) -> None:
    """Environments are pip locks, not one of conda a rule; functions live beside the checked settings."""
    done = checkout().snakemake("--lint", "text", check=False)
    found = set(re.findall(r"^    \* (.+):$", done.stdout + done.stderr, re.MULTILINE))
    assert found <= {
        "Specify a conda environment or container for each rule.",
        "Mixed rules and functions in same snakefile.",
    }
    assert found, "the lint says nothing at all: has its format changed?"
