"""What runs again after an edit, and only that; proven by dry runs on a finished tiny survey."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import Checkout, merged

pytestmark = pytest.mark.xdist_group("workflow")

PUBLISHED = {
    "catalogs",
    "figure_differences",
    "figure_errors",
    "figure_exposures",
    "figure_snr",
    "provenance",
    "report_tables",
    "all",
}
FIGURES = {
    "figure_detection",
    "figure_differences",
    "figure_errors",
    "figure_examples",
    "figure_exposures",
    "figure_flux_ratio",
    "figure_snr",
    "all",
}
EXAMPLES = {"examples", "figure_examples"}
CLASSIFIED = {"classify", *EXAMPLES, *PUBLISHED}
TRAINED = {"train", "cross_validate", *CLASSIFIED}
INJECTED = {"injection", "figure_detection", "figure_flux_ratio"}
PEAKS = {"peaks", "errors", "suspects", "training_set", *INJECTED, *TRAINED}


@contextmanager
def edited(path: Path, text: str) -> Iterator[None]:
    """A file with something appended, and then as it was, its time as well."""
    before, times = path.read_bytes(), path.stat()
    try:
        path.write_bytes(before + text.encode())
        yield
    finally:
        path.write_bytes(before)
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def test_a_finished_run_has_nothing_to_do(finished: Checkout) -> None:
    assert finished.planned() == set()


@pytest.mark.parametrize(
    ("change", "rules"),
    [
        ({"vote": {"sb2_threshold": 0.9}}, CLASSIFIED),
        ({"peaks": {"sigma_max": 90}}, PEAKS | {"figure_examples"}),
        ({"ccf": {"velocity_step": 2}}, {"ccf"} | PEAKS),
        ({"errors": {"n_copies": 12}}, {"errors", "suspects"} | PUBLISHED),
        ({"network": {"epochs": 3}}, TRAINED),
        ({"cross_validation": {"folds": 3}}, {"cross_validate", "report_tables", "provenance", "all"}),
        ({"suspects": {"moonlight_floor": 2.0}}, {"suspects"} | PUBLISHED),
        ({"objects": {"match_radius": 3.0}}, PUBLISHED),
        ({"injection": {"trials": 3}}, INJECTED | {"provenance", "all"}),
        ({"training": {"per_class": 31}}, {"training_set"} | TRAINED),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_setting_reruns_the_stages_that_use_it(
    finished: Checkout, change: dict[str, Any], rules: set[str]
) -> None:
    edit = Checkout(finished.folder, merged(finished.settings, {"binaries": change}))
    assert edit.planned() == rules


@pytest.mark.parametrize(
    ("module", "rules"),
    [
        ("binaries/peaks.py", PEAKS),
        ("binaries/suspects.py", {"suspects"} | PUBLISHED),
        ("binaries/figures.py", FIGURES | {"provenance"}),
        ("binaries/voting.py", CLASSIFIED),
        ("binaries/objects.py", {"suspects"} | PUBLISHED),
        ("simulate/injection.py", INJECTED | {"provenance", "all"}),
        ("catalog/publish.py", PUBLISHED),
        ("cli.py", {"provenance", "all"}),
    ],
)
def test_a_module_reruns_the_stages_that_run_it(finished: Checkout, module: str, rules: set[str]) -> None:
    with edited(finished.folder / "src/starsift" / module, "\n# edited\n"):
        assert finished.planned() == rules


@pytest.mark.parametrize("name", ["README.md", "config/demo.yaml"])
def test_a_text_reruns_nothing(finished: Checkout, name: str) -> None:
    with edited(finished.folder / name, "\n# edited\n"):
        assert finished.planned() == set()


def test_a_new_night_is_processed_alone(finished: Checkout, sky: Path, tmp_path: Path) -> None:
    """A catalogue with one night more: only its bundle goes through the stages."""
    later = finished.copy(tmp_path / "later")
    later.settings["surveys"]["tiny"]["catalog"] = str(sky / "all.parquet")
    before = {path: path.stat().st_mtime_ns for path in (later.folder / "results/spectra").rglob("*.arrow")}
    jobs = later.executed()
    for rule in ("manifest", "pack", "ccf", "peaks", "errors", "classify", "suspects", "catalogs"):
        assert jobs.count(rule) == 1, f"{rule}: {jobs.count(rule)} jobs"
    assert not {"training_set", "train", "cross_validate", "injection"} & set(jobs)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert len(list((later.folder / "results/spectra").rglob("*.arrow"))) == len(before) + 1
    assert later.planned() == set()


def test_a_killed_run_goes_on(checkout: Callable[[], Checkout]) -> None:
    """Killed after its first bundle, a run does the others and leaves that one alone."""
    run = checkout()
    (run.folder / "settings.yaml").write_text(yaml.safe_dump(run.settings))
    target = ["--", "results/manifest/tiny-status.csv"]
    process = subprocess.Popen(
        [*run.command, "--cores", "1", *target],
        cwd=run.folder,
        env=run.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    folder = run.folder / "results/spectra/tiny"
    deadline = time.monotonic() + 120
    while not list(folder.glob("[0-9]*.parquet")) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    packed = {path: path.stat().st_mtime_ns for path in folder.glob("[0-9]*.parquet")}
    assert len(packed) == 1
    run.snakemake("--unlock")
    jobs = run.executed(*target)
    assert jobs.count("reading") == 1
    assert "manifest" not in jobs
    # The bundle being packed when the run was killed is packed again, unless Snakemake knew that it was done.
    assert jobs.count("pack") in (1, 2)
    assert len(list(folder.glob("[0-9]*.parquet"))) == 2


def test_two_runs_make_the_same_bytes(
    finished: Checkout,
    checkout: Callable[[], Checkout],
    files: Callable[[Path, list[str]], dict[str, bytes]],
) -> None:
    again = checkout()
    again.snakemake()
    kinds = ["*.parquet", "*.arrow", "*.csv", "*.json", "*.svg", "*.keras"]
    first, second = (files(run.folder / "results", kinds) for run in (finished, again))
    assert sorted(first) == sorted(second)
    assert [name for name in first if first[name] != second[name]] == []
