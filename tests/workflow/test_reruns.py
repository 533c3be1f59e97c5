"""What runs again after an edit, and only that; proven by dry runs on finished tiny surveys."""

import os
import re
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import yaml
from astropy.table import Table
from fixtures.checkouts import CATALOG, Checkout, edited, merged, processors
from pyarrow import feather

from starsift.searches.registry import SEARCHES
from starsift.spectra.batches import read_identity

ENDS = {"provenance", "all"}
ORBITS = {"binaries_orbits", "binaries_figures", *ENDS}
PUBLISHED = {"binaries_catalog", "binaries_pages", *ORBITS}
COMPLETE = {"binaries_completeness", "binaries_figures", *ENDS}
CLASSIFIED = {"binaries_predict", "binaries_suspects", "binaries_examples", *COMPLETE, *PUBLISHED}
TRAINED = {"binaries_train", "binaries_cross_validate", "binaries_models", *CLASSIFIED}
INJECTED = {"binaries_injection", "binaries_figures", *ENDS}
PEAKS = {"binaries_peaks", "binaries_errors", "binaries_dataset", *INJECTED, *TRAINED}
DECIDED = {"binaries_decide", "binaries_models", *CLASSIFIED}
MODELLED = {"binaries_fit", "binaries_simulate", *DECIDED}

# M stars.
DRAWN = {"mstars_figures", "mstars_pages", *ENDS}
LISTED = {"mstars_catalog", *DRAWN}
MEASURED = {"mstars_measure", "mstars_released", *LISTED}
# Known M stars are not sought, so not measured again.
SEARCHED = {"mstars_rank", "mstars_measure", *LISTED}
ENCODED = {"mstars_train", "mstars_models", "mstars_encode", "mstars_matches", *SEARCHED}
HAMMING = {"mstars_evaluate", *ENCODED}
SAMPLED = {"mstars_dataset", "mstars_templates", *HAMMING, *MEASURED}


BINARIES, MODULES, RESOURCES = "src/starsift/searches/binaries", "src/starsift/searches", "resources/mstars"


@pytest.mark.parametrize("search", [*SEARCHES, "demo"])
def test_a_finished_run_has_nothing_to_do(run: Checkout) -> None:
    assert run.planned() == set()


@pytest.mark.parametrize(
    ("search", "setting", "value", "rules"),
    [
        ("binaries", "vote.sb2_threshold", 0.9, CLASSIFIED),
        ("binaries", "peaks.sigma_max", 90, PEAKS),
        ("binaries", "ccf.velocity_step", 2, {"binaries_ccf"} | PEAKS),
        ("binaries", "errors.n_copies", 12, {"binaries_errors"} | CLASSIFIED),
        ("binaries", "model.closest", 50, MODELLED),
        ("binaries", "decision.proportions", [0.8, 0.1, 0.1], DECIDED),
        ("binaries", "decision.method", "vote", CLASSIFIED),
        ("binaries", "network.epochs", 3, TRAINED),
        ("binaries", "cross_validation.folds", 3, {"binaries_cross_validate", "binaries_pages"} | ENDS),
        ("binaries", "suspects.moonlight_floor", 2.0, {"binaries_suspects"} | PUBLISHED),
        ("binaries", "objects.match_radius", 3.0, {"binaries_suspects"} | PUBLISHED),
        ("binaries", "objects.stability", 2.0, PUBLISHED),
        ("binaries", "orbits.samples", 128, ORBITS),
        ("binaries", "injection.trials", 3, INJECTED),
        ("binaries", "completeness.trials", 2, COMPLETE),
        ("binaries", "training.per_class", 31, {"binaries_dataset"} | TRAINED),
        ("mstars", "sample.groups", 2, SAMPLED),
        ("mstars", "hash.bits", 32, ENCODED),
        ("mstars", "search.probability", 0.2, SEARCHED),
        ("mstars", "measure.velocity_floor", 4.0, MEASURED),
        ("mstars", "catalog.probability", 0.6, LISTED),
        ("mstars", "giants.giant_share", 0.1, LISTED),
        ("mstars", "kinematics.sun_height", 0.0, LISTED),
        ("mstars", "evaluation.splits", 2, {"mstars_evaluate", *DRAWN}),
    ],
)
def test_a_setting_reruns_the_stages_that_use_it(
    run: Checkout, search: str, setting: str, value: Any, rules: set[str]
) -> None:
    group, name = setting.split(".")
    assert Checkout(run.folder, merged(run.settings, {search: {group: {name: value}}})).planned() == rules


@pytest.mark.parametrize(
    ("search", "file", "rules"),
    [
        ("binaries", f"{BINARIES}/peaks.py", PEAKS),
        ("binaries", f"{BINARIES}/suspects.py", {"binaries_suspects"} | PUBLISHED),
        ("binaries", f"{BINARIES}/figures.py", {"binaries_figures"} | ENDS),
        ("binaries", f"{BINARIES}/voting.py", CLASSIFIED | {"binaries_cross_validate"}),
        ("binaries", f"{BINARIES}/model_fit.py", MODELLED),
        ("binaries", f"{BINARIES}/model_dataset.py", {"binaries_simulate"} | DECIDED),
        ("binaries", f"{BINARIES}/stars.py", {"binaries_suspects"} | PUBLISHED),
        ("binaries", f"{BINARIES}/catalog.py", PUBLISHED),
        ("binaries", f"{BINARIES}/orbit_catalog.py", ORBITS),
        ("binaries", f"{BINARIES}/evaluation.py", {"binaries_cross_validate", "binaries_pages"} | ENDS),
        ("binaries", f"{BINARIES}/injection.py", INJECTED),
        ("binaries", "src/starsift/catalog/publish.py", COMPLETE | PUBLISHED),
        ("binaries", "src/starsift/cli.py", ENDS),
        ("binaries", "README.md", set()),
        ("binaries", "config/demo.yaml", set()),
        ("mstars", f"{MODULES}/mstars/dataset.py", SAMPLED),
        ("mstars", f"{MODULES}/mstars/indices.py", MEASURED),
        ("mstars", f"{MODULES}/mstars/luminosity.py", LISTED),
        ("mstars", f"{MODULES}/mstars/figures.py", {"mstars_figures"} | ENDS),
        ("mstars", f"{RESOURCES}/indices.csv", MEASURED),
        ("mstars", f"{RESOURCES}/subtypes.csv", MEASURED),
        # Where all searches run, a module of one leaves the others alone.
        ("demo", f"{MODULES}/mstars/hamming.py", HAMMING | {"mstars_score"}),
        ("demo", f"{BINARIES}/peaks.py", PEAKS | {"binaries_score"}),
    ],
)
def test_an_edited_file_reruns_the_stages_that_use_it(run: Checkout, file: str, rules: set[str]) -> None:
    with edited(run.folder / file, "\n" if file.endswith(".csv") else "\n# edited\n"):
        assert run.planned() == rules


Later = Callable[[str], tuple[Checkout, list[str]]]


@pytest.fixture(scope="module")
def later(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Later:
    """The finished checkout of a search a night later, and what was run for it."""

    @cache
    def later(search: str) -> tuple[Checkout, list[str]]:
        finished = request.getfixturevalue(f"finished_{search}")
        run = finished.copy(tmp_path_factory.mktemp("later") / "starsift")
        run.list_nights(search, "all.fits")
        return run, run.executed()

    return later


def times(folder: Path, pattern: str) -> dict[str, int]:
    """When each file was written, by its path below a folder."""
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in folder.glob(pattern)}


NIGHT = ["manifest", "pack", "reading", "footprint", *ENDS]
STAGES = (
    "ccf",
    "peaks",
    "errors",
    "fit",
    "predict",
    "suspects",
    "examples",
    "completeness",
    "catalog",
    "orbits",
    "figures",
    "pages",
)


@pytest.mark.parametrize(
    ("search", "jobs", "files"),
    [
        (
            "binaries",
            [*NIGHT, *(f"binaries_{name}" for name in STAGES)],
            ["binaries/ccf/*", "binaries/fits/*"],
        ),
        # Ranks and probabilities are those of the whole pool: candidates change, codes do not.
        ("mstars", [*NIGHT, "mstars_encode", "mstars_matches", *SEARCHED - ENDS], ["mstars/codes/*"]),
        # None of that night is among the labelled stars.
        (
            "bhb",
            [*NIGHT, "bhb_cutouts", "bhb_predict", "bhb_catalog", "bhb_figures", "bhb_pages"],
            ["bhb/cutouts/*/*", "bhb/predictions/*/*"],
        ),
    ],
)
def test_a_new_night_is_processed_alone(
    run: Checkout, later: Later, search: str, jobs: list[str], files: list[str]
) -> None:
    """A catalogue with one night more: only its bundle goes through the stages, and nothing is trained."""
    new, executed = later(search)
    assert set(executed) == set(jobs)
    # Candidates may change among the spectra of other nights, too.
    assert {name for name, count in Counter(executed).items() if count > 1} <= {"mstars_measure"}
    for kind in ("spectra/*/*.arrow", *files):
        before, after = (times(one.folder / "results", kind) for one in (run, new))
        assert before
        assert before.items() < after.items()
    assert new.planned() == set()


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
    command = [*run.slow_command, "--cores", "1", *target]
    silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(command, cwd=run.folder, env=run.environment, start_new_session=True, **silent)
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
def test_two_runs_make_the_same_bytes(later: Later, demo: Checkout) -> None:
    """Each path by itself, with a night that came later; and all of them in the demo, at once.

    Of active learning `test_emission.py` proves it: there a night that comes later is asked about too.
    """
    apart = [results_of(later(search)[0]) for search in ("binaries", "mstars", "bhb")]
    together = results_of(demo)
    # These also say which paths were run.
    for results in (*apart, together):
        del results["provenance.json"], results["summary.rst"]
    if len(processors) > 1:  # a virtual machine may move to another one
        pytest.skip(f"the processor changed meanwhile, and with it the last bits: {sorted(processors)}")
    found = {name: content for results in apart for name, content in results.items()}
    assert len(found) == sum(map(len, apart))
    assert sorted(found) == sorted(name for name in together if not re.search("emission|demo-pool", name))
    assert [
        difference(name, found[name], together[name]) for name in found if found[name] != together[name]
    ] == []


def difference(name: str, first: bytes, second: bytes) -> str:
    """What differs between two results of one name: of tables, how often in which columns."""
    if not name.endswith((".parquet", ".arrow")):
        return name
    read = pq.read_table if name.endswith(".parquet") else feather.read_table
    one, other = (read(pa.BufferReader(content)) for content in (first, second))
    if one.schema != other.schema or one.num_rows != other.num_rows:
        return f"{name}: other columns, or {one.num_rows} rows and {other.num_rows}"
    found = [f"{name}, {one.num_rows} rows"]
    for column in one.column_names:
        pairs = zip(one[column].to_pylist(), other[column].to_pylist(), strict=True)
        unequal = [pair for pair in pairs if repr(pair[0]) != repr(pair[1])]
        if unequal and np.issubdtype(np.asarray(unequal[0][0]).dtype, np.floating):
            change = max(np.nanmax(np.abs(np.subtract(a, b, dtype=float)), initial=0.0) for a, b in unequal)
            found += [f"{column} {len(unequal)} times, by up to {change:.1g}"]
        elif unequal:
            found += [f"{column} {len(unequal)} times, first {unequal[0]}"]
    return "; ".join(found)
