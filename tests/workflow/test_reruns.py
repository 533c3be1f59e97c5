"""What runs again after an edit, and only that; proven by dry runs on finished tiny surveys."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
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

# M stars.
DRAWN = {"mstars_figures", "mstars_pages", "provenance", "all"}
LISTED = {"mstars_catalog", *DRAWN}
MEASURED = {"mstars_measure", "mstars_released", *LISTED}
# Known M stars are not sought, so not measured again.
SEARCHED = {"mstars_search", "mstars_measure", *LISTED}
ENCODED = {"mstars_train", "mstars_encode", "mstars_matches", *SEARCHED}
HAMMING = {"mstars_evaluate", *ENCODED}
SAMPLED = {"mstars_sample", *HAMMING, *MEASURED}


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


@pytest.mark.parametrize("name", ["finished", "finished_mstars", "demo"])
def test_a_finished_run_has_nothing_to_do(request: pytest.FixtureRequest, name: str) -> None:
    assert request.getfixturevalue(name).planned() == set()


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
    ("group", "setting", "value", "rules"),
    [
        ("sample", "groups", 2, SAMPLED),
        ("hash", "bits", 32, ENCODED),
        ("search", "probability", 0.2, SEARCHED),
        ("measure", "velocity_floor", 4.0, MEASURED),
        ("catalog", "probability", 0.6, LISTED),
        ("giants", "giant_share", 0.1, LISTED),
        ("kinematics", "sun_height", 0.0, LISTED),
        ("evaluation", "splits", 2, {"mstars_evaluate", *DRAWN}),
    ],
)
def test_a_setting_of_the_search_reruns_the_stages_that_use_it(
    finished_mstars: Checkout, group: str, setting: str, value: float, rules: set[str]
) -> None:
    change = {"mstars": {group: {setting: value}}}
    edit = Checkout(finished_mstars.folder, merged(finished_mstars.settings, change))
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


@pytest.mark.parametrize(
    ("module", "rules"),
    [
        ("mstars/samples.py", SAMPLED),
        ("mstars/indices.py", MEASURED),
        ("mstars/luminosity.py", LISTED),
        ("mstars/figures.py", {"mstars_figures", "provenance", "all"}),
    ],
)
def test_a_module_of_the_search_reruns_the_stages_that_run_it(
    finished_mstars: Checkout, module: str, rules: set[str]
) -> None:
    with edited(finished_mstars.folder / "src/starsift" / module, "\n# edited\n"):
        assert finished_mstars.planned() == rules


@pytest.mark.parametrize(
    ("module", "rules"),
    [
        ("mstars/hamming.py", HAMMING | {"score_mstars"}),
        ("binaries/peaks.py", PEAKS | {"score_binaries"}),
    ],
)
def test_where_both_paths_run_a_module_of_one_leaves_the_other_alone(
    demo: Checkout, module: str, rules: set[str]
) -> None:
    with edited(demo.folder / "src/starsift" / module, "\n# edited\n"):
        assert demo.planned() == rules


@pytest.mark.parametrize("name", ["indices", "subtypes"])
def test_a_table_that_ships_reruns_the_measurements(finished_mstars: Checkout, name: str) -> None:
    with edited(finished_mstars.folder / f"resources/mstars/{name}.csv", "\n"):
        assert finished_mstars.planned() == MEASURED


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


@pytest.fixture(scope="module")
def later_mstars(
    finished_mstars: Checkout, lrs_sky: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Checkout, list[str]]:
    """The finished checkout a night later, and what was run for it."""
    later = finished_mstars.copy(tmp_path_factory.mktemp("later") / "starsift")
    later.settings["surveys"]["pool"]["catalog"] = str(lrs_sky / "all.parquet")
    return later, later.executed()


def test_a_new_night_is_searched_without_training_again(
    later_mstars: tuple[Checkout, list[str]], finished_mstars: Checkout
) -> None:
    later, jobs = later_mstars
    for rule in ("manifest", "pack", "mstars_encode", "mstars_search", "mstars_catalog"):
        assert jobs.count(rule) == 1, f"{rule}: {jobs.count(rule)} jobs"
    # Ranks and probabilities are those of the whole pool: candidates change everywhere.
    assert set(jobs) - {"manifest", "pack", "reading", "mstars_encode", "mstars_matches"} == SEARCHED
    for kind in ("*.arrow", "codes/*.parquet"):
        before = {path.name: path.stat().st_mtime_ns for path in finished_mstars.folder.rglob(kind)}
        after = {path.name: path.stat().st_mtime_ns for path in later.folder.rglob(kind)}
        assert before.items() < after.items()
    assert later.planned() == set()


def test_labels_rerun_the_catalogue_alone(finished_mstars: Checkout, tmp_path: Path) -> None:
    """Labels that are new, and then others in the same file."""
    run, table = finished_mstars.copy(tmp_path / "run"), tmp_path / "labels.parquet"
    candidates = pq.read_table(run.folder / "results/mstars/candidates.parquet")["spectrum_id"].to_pylist()
    best, worst = candidates[0], candidates[-1]
    pq.write_table(pa.table({"spectrum_id": [best, worst], "label": ["K7", "gM2"]}), table)
    run.settings = merged(run.settings, {"mstars": {"catalog": {"labels": str(table)}}})
    assert run.planned() == LISTED
    target = "results/catalogs/mstars.parquet"
    assert run.executed("--", target) == ["mstars_catalog"]
    catalog = pq.read_table(run.folder / target)
    assert catalog.filter(catalog["vetted"])["spectrum_id"].to_pylist() == [worst]
    assert best not in catalog["spectrum_id"].to_pylist()
    assert run.planned("--", target) == set()
    pq.write_table(pa.table({"spectrum_id": [best], "label": ["dM0"]}), table)
    assert run.planned("--", target) == {"mstars_catalog"}


def test_a_killed_run_goes_on(checkout: Callable[..., Checkout]) -> None:
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


def differing(first: Checkout, second: Checkout) -> list[str]:
    """Names of results that are not the same in both, byte by byte."""
    kinds = (
        "*.parquet",
        "*.arrow",
        "*.csv",
        "*.json",
        "*.svg",
        "*.html",
        "*.keras",
        "*.npz",
        "*.fits",
        "*.vot",
    )
    found = [
        {
            str(path.relative_to(run.folder)): path.read_bytes()
            for kind in kinds
            for path in (run.folder / "results").rglob(kind)
        }
        for run in (first, second)
    ]
    return sorted(name for name in found[0] | found[1] if found[0].get(name) != found[1].get(name))


def test_two_runs_make_the_same_bytes(finished: Checkout, checkout: Callable[..., Checkout]) -> None:
    again = checkout()
    again.snakemake()
    assert differing(finished, again) == []


def test_a_run_in_two_steps_makes_the_bytes_of_one(
    later_mstars: tuple[Checkout, list[str]], checkout: Callable[..., Checkout], lrs_sky: Path
) -> None:
    """A search to which a night was added, and one that had it from the start."""
    later, _ = later_mstars
    again = checkout("mstars")
    again.settings["surveys"]["pool"]["catalog"] = str(lrs_sky / "all.parquet")
    again.snakemake()
    assert differing(later, again) == []
