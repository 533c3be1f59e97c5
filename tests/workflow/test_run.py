"""The workflow from end to end at a tiny size, its profiles, its report, and what stops it."""

import json
import re
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from astropy import units as u
from astropy.table import Table
from fixtures.checkouts import CATALOG, Checkout, make_checkout, merged
from fixtures.schemas import SCHEMAS
from mocpy import MOC

from starsift.catalog.columns import PRODUCTS, conform
from starsift.io.columns import floats
from starsift.searches.registry import SEARCHES, report_categories

CHROMIUM = shutil.which("chromium")
EACH = pytest.mark.parametrize("search", SEARCHES)


def read_stage(folder: Path) -> pa.Table:
    """The tables of all bundles."""
    return pa.concat_tables([pq.read_table(path) for path in sorted(folder.glob("*.parquet"))])


def published_by(search: str) -> set[str]:
    return {name for name in SCHEMAS if name.startswith(search)}


@EACH
def test_catalogues_are_as_declared(run: Checkout, search: str) -> None:
    published = published_by(search)
    folder = run.folder / "results/catalogs"
    assert {file.stem for file in folder.glob("*.vot")} == published
    for name in published:
        table = pq.read_table(folder / f"{name}.parquet")
        assert conform(table, SCHEMAS[name]).equals(table)
        for ending in PRODUCTS:
            assert (folder / f"{name}{ending}").exists()
        if "ra" in table.column_names:
            ra, dec = (floats(table, one) for one in ("ra", "dec"))
            known = np.isfinite(ra)
            moc = MOC.from_fits(folder / f"{search}.moc.fits")
            assert moc.contains_lonlat(ra[known] * u.deg, dec[known] * u.deg).all()


def test_large_catalogues_are_written_as_hats_too(finished_mstars: Checkout, tmp_path: Path) -> None:
    run = finished_mstars.copy(tmp_path / "run")
    run.settings = merged(run.settings, {"publish": {"hats_rows": 1}})
    assert set(run.executed("--", "results/provenance.json")) == {"hats", "provenance"}
    folder = run.folder / "results/catalogs"
    parts = [pq.read_table(path) for path in (folder / "hats/mstars/dataset").rglob("Npix=*.parquet")]
    assert sum(part.num_rows for part in parts) == pq.read_table(folder / "mstars.parquet").num_rows > 0
    outputs = json.loads((run.folder / "results/provenance.json").read_text())["outputs"]
    assert {"catalogs/hats", "catalogs/mstars.moc.fits", "catalogs/mstars.csv"} <= set(outputs)


@pytest.mark.slow
@pytest.mark.parametrize("search", ["binaries", "mstars", "emission"])
def test_spectra_without_identifiers_go_to_the_end(checkout: Callable[..., Checkout], search: str) -> None:
    """LAMOST has no OBSID until DR3: the name of the spectrum is its identity."""
    run = checkout(search)
    for file in (run.folder / "results/simulated" / CATALOG[search]).parent.glob("*.fits"):
        table = Table.read(file)
        if "obsid" in table.colnames:
            table.remove_column("obsid")
            table.write(file, overwrite=True)
    run.snakemake()
    for name in published_by(search):
        published = pq.read_table(run.folder / f"results/catalogs/{name}.parquet")
        assert conform(published, SCHEMAS[name]).equals(published)
        if "obsid" in published.column_names:
            assert published["obsid"].null_count == published.num_rows


def test_every_stage_keeps_every_spectrum(finished_binaries: Checkout) -> None:
    results = finished_binaries.folder / "results"
    manifest = pq.read_table(results / "manifest/demo.parquet")
    for stage in ("components", "errors", "fits", "classes", "suspects"):
        table = read_stage(results / "binaries" / stage).select(["spectrum_id", "band"])
        keys = {tuple(row.values()) for row in table.to_pylist()}
        assert table.num_rows == manifest.num_rows, stage
        assert len(keys) == manifest.num_rows, stage


def test_the_search_for_m_stars_keeps_and_measures_what_it_must(finished_mstars: Checkout) -> None:
    results = finished_mstars.folder / "results"

    def names(table: str) -> list[str]:
        path = results / table
        rows = pq.read_table(path) if path.suffix else read_stage(path)
        return rows["spectrum_id"].to_pylist()

    assert names("mstars/codes") == names("mstars/pool.parquet") == names("manifest/demo-unknown.parquet")
    codes = read_stage(results / "mstars/codes")
    assert codes["code"].is_valid().equals(pc.equal(codes["status"], "ok"))
    candidates = names("mstars/candidates.parquet")
    assert candidates
    assert sorted(names("mstars/measurements")) == sorted(candidates)
    assert names("catalogs/mstars_vetting.parquet") == candidates
    assert set() < set(names("catalogs/mstars.parquet")) <= set(candidates)


@EACH
def test_the_report_stands_alone(run: Checkout, search: str) -> None:
    run.snakemake("--report", "report.html")
    page = (run.folder / "report.html").read_text()
    for figure in (run.folder / "results/figures").glob("*/*.*"):
        assert figure.name in page, figure.name
    # docutils writes its warnings into the page.
    assert "System Message" not in page
    # Nothing is fetched when the page is opened.
    assert not re.findall(r"<(?:script|link|img)[^>]+(?:src|href)=\"https?://", page)


def open_report(file: Path) -> tuple[list[str], str, list[str], list[str]]:
    """Errors of a report's page in Chromium, its text, its categories and the captions of its figures."""
    from playwright.sync_api import sync_playwright

    problems: list[str] = []
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--headless", "--no-sandbox"])
        page = browser.new_page()
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.goto(file.as_uri())
        page.get_by_text("This run of starsift searched").wait_for()
        text = page.inner_text("body")
        shown = page.evaluate("categories")
        captions = page.evaluate("Object.values(results).map(item => item.caption)")
        browser.close()
    return problems, text, list(shown), captions


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed (Debian: apt-get install chromium)")
def test_the_report_of_all_searches_opens(demo: Checkout) -> None:
    """Its categories are in their order, each with its figures and their captions."""
    demo.snakemake("--report", "report.html")
    # In a thread of its own: another test's browser may keep this one's event loop running.
    with ThreadPoolExecutor(1) as pool:
        problems, text, shown, captions = pool.submit(open_report, demo.folder / "report.html").result()
    assert problems == []
    names = list(report_categories(SEARCHES).values())
    assert sorted(shown) == names
    places = [text.index(name) for name in names]
    assert places == sorted(places)
    assert all(len(caption) > 40 and "{{" not in caption for caption in captions)
    # One paragraph a search, and the first and the last.
    assert len(re.findall("[.]\n\n", text[text.index("This run") :])) >= len(SEARCHES) + 1


@pytest.mark.parametrize(
    ("search", "surveys", "inputs"),
    [
        ("binaries", ["demo"], {"catalog_demo", "template_grid"}),
        (
            "mstars",
            ["demo-labelled", "demo-unknown"],
            {"catalog_demo-labelled", "catalog_demo-unknown", "sources", "indices", "subtypes"},
        ),
        ("emission", ["demo-pool"], {"catalog_demo-pool", "ondrejov_labels"}),
        ("bhb", ["demo-sdss"], {"catalog_demo-sdss", "bhb_labelled"}),
    ],
)
def test_provenance_names_inputs_and_counts(
    run: Checkout, search: str, surveys: list[str], inputs: set[str]
) -> None:
    record = json.loads((run.folder / "results/provenance.json").read_text())
    assert record["settings"]["searches"] == [search]
    assert set(record["inputs"]) == inputs | {"labels"}
    status = record["counts"]["status"]
    assert sorted(status) == surveys
    for name in surveys:
        listed = pq.read_metadata(run.folder / f"results/manifest/{name}.parquet").num_rows
        assert sum(status[name].values()) == listed
    assert list(record["counts"]["funnel"]) == [search]
    assert record["counts"]["funnel"][search]
    files = {f"catalogs/{name}{ending}" for name in published_by(search) for ending in PRODUCTS}
    assert set(record["outputs"]) == files | {f"catalogs/{search}.moc.fits"}


@EACH
def test_the_demo_is_scored(demo: Checkout, search: str) -> None:
    card = json.loads((demo.folder / f"results/scorecards/{search}.json").read_text())
    assert card["spectra"] > 0
    assert len((demo.folder / f"results/scorecards/{search}.txt").read_text().splitlines()) > 10


@pytest.mark.parametrize("arguments", [[], ["--configfile", "config/demo.yaml"]], ids=["default", "demo"])
def test_the_slurm_profile_dry_runs_on_a_fresh_checkout(tmp_path: Path, arguments: list[str]) -> None:
    run = make_checkout(tmp_path / "starsift", {})
    rules = {"manifest", "binaries_catalog", "mstars_rank", "mstars_catalog", "bhb_train", "provenance"}
    assert rules <= run.planned("--profile", "slurm", *arguments)


def test_a_profile_that_keeps_stale_results_is_warned_of(tmp_path: Path) -> None:
    run = make_checkout(tmp_path / "starsift", {})
    (tmp_path / "mine").mkdir()
    for profile, off in (
        ("{rerun-triggers: mtime}", ["params, input, code"]),
        ("{rerun-triggers: [mtime, params]}", ["input, code"]),
        ("{}", []),
    ):
        (tmp_path / "mine/config.yaml").write_text(profile)
        target = ("--", "results/manifest/sdss.parquet")
        done = run.snakemake("--dry-run", "--profile", str(tmp_path / "mine"), *target)
        assert re.findall("rerun-triggers lacks (.*?):", done.stdout + done.stderr) == off


def test_a_plan_warns_of_what_is_missing_or_unused(tmp_path: Path) -> None:
    survey = {"kind": "lrs", "root": "nowhere", "catalog": "nowhere.csv", "path_template": "{fiberid}.fits"}
    settings = {"searches": ["mstars"], "surveys": {"mine": survey, "unused": survey}}
    run = make_checkout(tmp_path / "starsift", settings | {"mstars": {"surveys": ["mine"]}})
    done = run.snakemake("--dry-run")
    lines = (done.stdout + done.stderr).splitlines()
    for name in ("nowhere", "nowhere.csv"):
        assert lines.count(f"{name}: no such file or folder; the job that reads it will stop the run") == 1
    assert lines.count("No search of this run uses these surveys: unused.") == 1


def test_gpus_are_asked_for_under_the_switch(tmp_path: Path) -> None:
    run = make_checkout(tmp_path / "starsift", {})
    pattern = re.compile(r"rule (\w+):\n(?:    .*\n)*?    resources: .*gpu=1")
    without = run.snakemake("--dry-run")
    run.settings["gpu"] = True
    with_gpu = run.snakemake("--dry-run")
    assert not pattern.findall(without.stdout + without.stderr)
    asking = set(pattern.findall(with_gpu.stdout + with_gpu.stderr))
    # Further ones of binaries are planned once the bundles are known.
    binaries = {"binaries_dataset", "binaries_cross_validate", "binaries_injection"}
    assert asking >= binaries | {"mstars_rank", "bhb_train"}
    assert not asking & {"mstars_train", "mstars_evaluate", "bhb_baseline", "manifest", "provenance"}


def stops_with(run: Checkout, sentence: str, target: str) -> None:
    done = run.snakemake("--", target, check=False)
    assert done.returncode != 0
    assert sentence in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr


BRIGHT = [{"column": "snr", "op": ">", "value": 1e9}]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"selction": []}, ": surveys.demo.selction is not a setting; did you mean selection?"),
        ({"catalog": "nowhere.fits"}, "nowhere.fits: no such file"),
        ({"selection": BRIGHT}, "no spectrum is left after the cuts"),
        ({"root": "nowhere", "catalog": None}, "nowhere: no such folder"),
        ({"columns": ["redshift"]}, "to carry along are not in the catalogue: redshift; it has: obsid,"),
    ],
    ids=["typo", "catalogue", "selection", "folder", "columns"],
)
def test_what_makes_a_run_meaningless_stops_it_with_a_sentence(
    checkout: Callable[..., Checkout], change: dict[str, Any], sentence: str
) -> None:
    run = checkout()
    run.settings = merged(run.settings, {"surveys": {"demo": change}})
    stops_with(run, sentence, "results/manifest/demo-status.csv")


ODD = 'it\'s $HOME {survey} {x} [a] "b" #c \\ é'


@pytest.mark.parametrize("name", [ODD, "-dash", "$(touch injected)", "a,b: &c", "'"])
def test_the_folder_of_spectra_may_have_any_name(tmp_path: Path, sky: Path, name: str) -> None:
    """By --config, which Snakemake hands on to each job."""
    run = make_checkout(tmp_path / "starsift", {})
    (run.folder / name).mkdir()
    spectrum = min((sky / "lrs/spectra").rglob("spec-*.fits.gz"))
    shutil.copy(spectrum, run.folder / name)
    survey = json.dumps({"s": {"kind": "lrs", "root": name}}, ensure_ascii=False)
    run.snakemake("--config", f"surveys={survey}", "--", "results/manifest/s-status.csv")
    assert (run.folder / "results/manifest/s-status.csv").read_text() == "status,spectra\nok,1\n"
    assert not (run.folder / "injected").exists()


def test_nothing_of_another_folder_stays_when_the_folder_is_missing(tmp_path: Path, sky: Path) -> None:
    survey = {"kind": "lrs", "root": str(sky / "lrs/spectra")}
    run = make_checkout(tmp_path / "starsift", {"surveys": {"s": survey}})
    done = run.snakemake("--", "results/manifest/s-status.csv")
    # An index is no survey of its own.
    assert "Exception" not in done.stdout + done.stderr
    run.settings["surveys"]["s"]["root"] = "nowhere"
    stops_with(run, "nowhere: no such folder", "results/manifest/s-status.csv")
    run.settings["surveys"]["s"] = {"kind": "sdss", "root": str(sky / "lrs/spectra")}
    stops_with(run, "no spectrum is of kind sdss, but", "results/manifest/s-status.csv")


def test_a_labelled_survey_without_m_stars_stops_the_run_with_a_sentence(
    checkout: Callable[..., Checkout],
) -> None:
    run = checkout("mstars")
    others = [{"column": "class", "op": "in", "value": ["GALAXY", "QSO"]}]
    run.settings = merged(run.settings, {"surveys": {"demo-labelled": {"selection": others}}})
    stops_with(run, "no positive sample: of 0 labelled M stars 0 are usable", "results/mstars/sample.parquet")


def test_tables_of_others_that_cannot_be_used_stop_the_run_with_a_sentence(
    finished_mstars: Checkout, tmp_path: Path
) -> None:
    run, table = finished_mstars.copy(tmp_path / "run"), tmp_path / "sources.parquet"
    pq.write_table(pa.table({"source_id": [1], "phot_g_mean_mag": [15.0]}), table)
    run.settings = merged(run.settings, {"mstars": {"catalog": {"sources": str(table)}}})
    sentence = "the table of sources lacks columns: ra or raj2000"
    stops_with(run, sentence, "results/catalogs/mstars.parquet")


def test_a_table_that_is_missing_or_no_table_stops_a_finished_run_too(
    finished_mstars: Checkout, tmp_path: Path
) -> None:
    """Snakemake would say that there is nothing to do."""
    table = str(tmp_path / "labels.parquet")
    pq.write_table(pa.table({"spectrum_id": ["a"], "lable": ["M3"]}), table)
    sources, missing = {"mstars": {"catalog": {"sources": "nowhere.csv"}}}, {"labels": "nowhere.csv"}
    for change, sentence in (
        (sources, "config: mstars.catalog.sources is 'nowhere.csv': no such file"),
        (missing, "config: labels is 'nowhere.csv': no such file"),
        ({"labels": table}, "labels lack label"),
    ):
        run = Checkout(finished_mstars.folder, merged(finished_mstars.settings, change))
        done = run.snakemake("--dry-run", check=False)
        assert done.returncode != 0
        assert sentence in done.stdout + done.stderr


def test_lint_has_nothing_but_what_was_decided(checkout: Callable[..., Checkout]) -> None:
    """Environments are pip locks, not one of conda a rule; functions live beside the checked settings."""
    run = checkout()
    run.settings["searches"] = ["binaries", "mstars", "emission", "bhb"]
    done = run.snakemake("--lint", "text", check=False)
    found = set(re.findall(r"^    \* (.+):$", done.stdout + done.stderr, re.MULTILINE))
    assert found <= {
        "Specify a conda environment or container for each rule.",
        "Mixed rules and functions in same snakefile.",
    }
    assert found, "the lint says nothing at all: has its format changed?"
