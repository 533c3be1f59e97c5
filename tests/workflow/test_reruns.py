"""What runs again after an edit, and only that; proven by dry runs on finished tiny surveys."""

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import yaml
from astropy.table import Table
from fixtures.checkouts import CATALOG, Checkout, edited, merged

from starsift.searches.registry import SEARCHES
from starsift.spectra.batches import read_identity

PUBLISHED = {
    "binaries_catalog",
    "binaries_figures",
    "provenance",
    "binaries_pages",
    "all",
}
CLASSIFIED = {"binaries_predict", "binaries_examples", *PUBLISHED}
TRAINED = {"binaries_train", "binaries_cross_validate", *CLASSIFIED}
INJECTED = {"binaries_injection", "binaries_figures", "provenance", "all"}
PEAKS = {"binaries_peaks", "binaries_errors", "binaries_suspects", "binaries_dataset", *INJECTED, *TRAINED}

# M stars.
DRAWN = {"mstars_figures", "mstars_pages", "provenance", "all"}
LISTED = {"mstars_catalog", *DRAWN}
MEASURED = {"mstars_measure", "mstars_released", *LISTED}
# Known M stars are not sought, so not measured again.
SEARCHED = {"mstars_rank", "mstars_measure", *LISTED}
ENCODED = {"mstars_train", "mstars_encode", "mstars_matches", *SEARCHED}
HAMMING = {"mstars_evaluate", *ENCODED}
SAMPLED = {"mstars_dataset", *HAMMING, *MEASURED}


@pytest.mark.parametrize("finished", [*(f"finished_{search}" for search in SEARCHES), "demo"])
def test_a_finished_run_has_nothing_to_do(request: pytest.FixtureRequest, finished: str) -> None:
    assert request.getfixturevalue(finished).planned() == set()


@pytest.mark.parametrize(
    ("change", "rules"),
    [
        ({"vote": {"sb2_threshold": 0.9}}, CLASSIFIED),
        ({"peaks": {"sigma_max": 90}}, PEAKS),
        ({"ccf": {"velocity_step": 2}}, {"binaries_ccf"} | PEAKS),
        ({"errors": {"n_copies": 12}}, {"binaries_errors", "binaries_suspects"} | PUBLISHED),
        ({"network": {"epochs": 3}}, TRAINED),
        (
            {"cross_validation": {"folds": 3}},
            {"binaries_cross_validate", "binaries_pages", "provenance", "all"},
        ),
        ({"suspects": {"moonlight_floor": 2.0}}, {"binaries_suspects"} | PUBLISHED),
        ({"objects": {"match_radius": 3.0}}, {"binaries_suspects"} | PUBLISHED),
        ({"injection": {"trials": 3}}, INJECTED),
        ({"training": {"per_class": 31}}, {"binaries_dataset"} | TRAINED),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_setting_reruns_the_stages_that_use_it(
    finished_binaries: Checkout, change: dict[str, Any], rules: set[str]
) -> None:
    edit = Checkout(finished_binaries.folder, merged(finished_binaries.settings, {"binaries": change}))
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
        ("searches/binaries/peaks.py", PEAKS),
        ("searches/binaries/suspects.py", {"binaries_suspects"} | PUBLISHED),
        ("searches/binaries/figures.py", {"binaries_figures", "provenance", "all"}),
        ("searches/binaries/voting.py", CLASSIFIED | {"binaries_cross_validate"}),
        ("searches/binaries/stars.py", {"binaries_suspects"} | PUBLISHED),
        ("searches/binaries/catalog.py", PUBLISHED),
        (
            "searches/binaries/evaluation.py",
            {"binaries_cross_validate", "binaries_pages", "provenance", "all"},
        ),
        ("searches/binaries/injection.py", INJECTED),
        ("catalog/publish.py", PUBLISHED),
        ("cli.py", {"provenance", "all"}),
    ],
)
def test_a_module_reruns_the_stages_that_run_it(
    finished_binaries: Checkout, module: str, rules: set[str]
) -> None:
    with edited(finished_binaries.folder / "src/starsift" / module, "\n# edited\n"):
        assert finished_binaries.planned() == rules


@pytest.mark.parametrize(
    ("module", "rules"),
    [
        ("searches/mstars/dataset.py", SAMPLED),
        ("searches/mstars/indices.py", MEASURED),
        ("searches/mstars/luminosity.py", LISTED),
        ("searches/mstars/figures.py", {"mstars_figures", "provenance", "all"}),
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
        ("searches/mstars/hamming.py", HAMMING | {"mstars_score"}),
        ("searches/binaries/peaks.py", PEAKS | {"binaries_score"}),
    ],
)
def test_where_all_paths_run_a_module_of_one_leaves_the_other_alone(
    demo: Checkout, module: str, rules: set[str]
) -> None:
    with edited(demo.folder / "src/starsift" / module, "\n# edited\n"):
        assert demo.planned() == rules


@pytest.mark.parametrize("name", ["indices", "subtypes"])
def test_a_table_that_ships_reruns_the_measurements(finished_mstars: Checkout, name: str) -> None:
    with edited(finished_mstars.folder / f"resources/mstars/{name}.csv", "\n"):
        assert finished_mstars.planned() == MEASURED


@pytest.mark.parametrize("name", ["README.md", "config/demo.yaml"])
def test_a_text_reruns_nothing(finished_binaries: Checkout, name: str) -> None:
    with edited(finished_binaries.folder / name, "\n# edited\n"):
        assert finished_binaries.planned() == set()


@pytest.fixture(scope="module")
def later(
    finished_binaries: Checkout, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Checkout, list[str]]:
    """The finished checkout a night later, and what was run for it."""
    return night_added(finished_binaries, "binaries", tmp_path_factory.mktemp("later") / "starsift")


@pytest.fixture(scope="module")
def later_mstars(
    finished_mstars: Checkout, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Checkout, list[str]]:
    """The same of M stars."""
    return night_added(finished_mstars, "mstars", tmp_path_factory.mktemp("later") / "starsift")


@pytest.fixture(scope="module")
def later_bhb(finished_bhb: Checkout, tmp_path_factory: pytest.TempPathFactory) -> tuple[Checkout, list[str]]:
    """The same of BHB stars; none of that night is among the labelled ones."""
    return night_added(finished_bhb, "bhb", tmp_path_factory.mktemp("later") / "starsift")


def night_added(finished: Checkout, search: str, folder: Path) -> tuple[Checkout, list[str]]:
    later = finished.copy(folder)
    later.list_nights(search, "all.fits")
    return later, later.executed()


def times(folder: Path, pattern: str) -> dict[str, int]:
    """When each file was written, by its path below a folder."""
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in folder.glob(pattern)}


def test_a_new_night_is_processed_alone(
    later: tuple[Checkout, list[str]], finished_binaries: Checkout
) -> None:
    """A catalogue with one night more: only its bundle goes through the stages."""
    run, jobs = later
    for rule in (
        "manifest",
        "pack",
        "binaries_ccf",
        "binaries_peaks",
        "binaries_errors",
        "binaries_predict",
        "binaries_suspects",
        "binaries_catalog",
    ):
        assert jobs.count(rule) == 1, f"{rule}: {jobs.count(rule)} jobs"
    assert not {"binaries_dataset", "binaries_train", "binaries_cross_validate", "binaries_injection"} & set(
        jobs
    )
    for kind in ("spectra/*/*.arrow", "binaries/ccf/*"):
        before, after = (times(one.folder / "results", kind) for one in (finished_binaries, run))
        assert before
        assert before.items() < after.items()
    assert run.planned() == set()


def test_a_corrected_catalogue_is_packed_again(checkout: Callable[..., Checkout]) -> None:
    """The same spectra with other values: their bundle keeps its name."""
    run, counts = checkout("binaries"), "results/manifest/demo-status.csv"
    run.snakemake(counts)
    catalog = run.folder / "results/simulated" / CATALOG["binaries"]
    table = Table.read(catalog)
    table["dec"] += 0.25
    table.write(catalog, overwrite=True)
    jobs = run.executed(counts)
    assert jobs.count("pack") == len(list((run.folder / "results/spectra/demo").glob("*.arrow")))
    manifest = pq.read_table(run.folder / "results/manifest/demo.parquet")
    for path in (run.folder / "results/spectra/demo").glob("*.arrow"):
        packed = read_identity(path)
        at = pc.index_in(packed["spectrum_id"], value_set=manifest["spectrum_id"].combine_chunks())
        assert packed["dec"].to_pylist() == manifest["dec"].take(at).to_pylist()
    assert run.planned(counts) == set()


def test_a_new_night_is_searched_without_training_again(
    later_mstars: tuple[Checkout, list[str]], finished_mstars: Checkout
) -> None:
    """Ranks and probabilities are those of the whole pool: candidates change, codes do not."""
    run, jobs = later_mstars
    for rule in ("manifest", "pack", "mstars_encode", "mstars_rank", "mstars_catalog"):
        assert jobs.count(rule) == 1, f"{rule}: {jobs.count(rule)} jobs"
    assert set(jobs) == {"manifest", "pack", "reading", "mstars_encode", "mstars_matches", *SEARCHED}
    for kind in ("spectra/*/*.arrow", "mstars/codes/*"):
        before, after = (times(one.folder / "results", kind) for one in (finished_mstars, run))
        assert before
        assert before.items() < after.items()
    assert run.planned() == set()


def test_a_night_without_labelled_stars_is_classified_without_training_again(
    later_bhb: tuple[Checkout, list[str]], finished_bhb: Checkout
) -> None:
    run, jobs = later_bhb
    expected = ["manifest", "pack", "reading", "bhb_cutouts", "bhb_predict", "bhb_catalog"]
    assert sorted(jobs) == sorted([*expected, "bhb_figures", "bhb_pages", "provenance", "all"])
    for kind in ("spectra/*/*.arrow", "bhb/cutouts/*/*", "bhb/predictions/*/*"):
        before, after = (times(one.folder / "results", kind) for one in (finished_bhb, run))
        assert before
        assert before.items() < after.items()
    assert run.planned() == set()


def test_labels_rerun_the_catalogue_alone(finished_mstars: Checkout, tmp_path: Path) -> None:
    """Labels that are new, and then others in the same file."""
    run, table = finished_mstars.copy(tmp_path / "run"), tmp_path / "labels.parquet"
    candidates = pq.read_table(run.folder / "results/mstars/candidates.parquet")["spectrum_id"].to_pylist()
    best, worst = candidates[0], candidates[-1]
    pq.write_table(pa.table({"spectrum_id": [best, worst], "label": ["K7", "gM2"]}), table)
    run.settings = merged(run.settings, {"labels": str(table)})
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
    run.list_nights("binaries", "all.fits")
    target = ["--", "results/manifest/demo-status.csv"]
    process = subprocess.Popen(
        [*run.slow_command, "--cores", "1", *target],
        cwd=run.folder,
        env=run.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    folder = run.folder / "results/spectra/demo"
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


def results_of(run: Checkout) -> dict[str, bytes]:
    """All results but logs, times and the simulated survey, by path."""
    folder = run.folder / "results"
    files = {path.relative_to(folder): path for path in folder.rglob("*") if path.is_file()}
    return {
        name.as_posix(): path.read_bytes()
        for name, path in files.items()
        if name.parts[0] not in ("benchmarks", "logs", "simulated", "scorecards")
    }


@pytest.mark.slow
def test_two_runs_make_the_same_bytes(
    later: tuple[Checkout, list[str]],
    later_mstars: tuple[Checkout, list[str]],
    later_bhb: tuple[Checkout, list[str]],
    demo: Checkout,
) -> None:
    """Each path by itself, with a night that came later; and all of them in the demo, at once.

    Of active learning `test_emission.py` proves it: there a night that comes later is asked about too.
    """
    runs = [run for run, _ in (later, later_mstars, later_bhb)]
    apart, together = [results_of(run) for run in runs], results_of(demo)
    # It also says which paths were run.
    for results in (*apart, together):
        del results["provenance.json"]
    found = {name: content for results in apart for name, content in results.items()}
    assert len(found) == sum(map(len, apart))
    assert sorted(found) == sorted(name for name in together if not re.search("emission|demo-pool", name))
    assert [name for name in found if found[name] != together[name]] == []
