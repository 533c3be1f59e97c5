"""What README and docs say works: commands are run, or planned where they take long, settings exist."""

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from fixtures.checkouts import ROOT, make_checkout, python
from fixtures.review_files import make_results

from starsift.catalog.provenance import write_provenance
from starsift.cli import make_parser
from starsift.demo.lrs import simulate_lrs
from starsift.demo.mrs import simulate_survey
from starsift.learning.model_sets import write_model_set
from starsift.review.labels import LabelStore
from starsift.searches.registry import SEARCHES
from starsift.settings import complete_settings, default_settings

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PROGRAMS = ("make", "snakemake", "starsift", "python")
# Files beside the pages that name commands.
OTHERS = [ROOT / "Makefile", *sorted((ROOT / "config").glob("*.yaml")), *sorted(ROOT.glob("profiles/*/*"))]
SPAN = re.compile(r"`([^`\n]+)`")


def blocks(text: str, language: str) -> list[str]:
    """Code in fences of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def words_of(line: str) -> Iterator[list[str]]:
    """The words of each command in a line, without comments; none where the line is no command."""
    if re.match(r"(\.venv/bin/)?(make|snakemake|starsift|python) [^─]+$", line):
        words: list[str] = []
        for word in [*shlex.split(line.replace(";", " ; "), comments=True), ";"]:
            if word not in (";", "&&"):
                words.append(word)
            elif words:
                yield words
                words = []


def commands_of(path: Path) -> Iterator[tuple[str, ...]]:
    text = re.sub(r"^```.*?^```", "", path.read_text(), flags=re.MULTILINE | re.DOTALL)
    if path.suffix != ".md":
        lines = re.findall(r"^# {4,}(.+)", text, re.MULTILINE)
        lines += re.findall(r"make [a-z]+ DIR=[\w/]+", text)
    else:
        lines = re.findall(r"^ {4}(\S.*)", text, re.MULTILINE) + SPAN.findall(text)
    for line in lines:
        for words in words_of(line):
            if words[0].removeprefix(".venv/bin/") in PROGRAMS:
                yield tuple(words)


def options_of(path: Path) -> list[str]:
    """Options that a page names by themselves."""
    return [span for span in SPAN.findall(path.read_text()) if re.match(r"--?[a-z]", span)]


COMMANDS = sorted({command for path in [*PAGES, *OTHERS] for command in commands_of(path)})


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout with small results, the files that commands name, and programs of its own to run."""
    folder = tmp_path_factory.mktemp("docs") / "starsift"
    make_checkout(folder, {})
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy2(ROOT / name, folder)
    for name in ("docs", "envs", "benchmarks"):
        shutil.copytree(ROOT / name, folder / name)
    programs = folder / ".venv/bin"
    programs.mkdir(parents=True)
    # `starsift run` becomes another program, which a process of the server cannot.
    starts = {
        "snakemake": [python(), "-m", "snakemake"],
        "starsift": [sys.executable, "-m", "starsift.cli"],
        "python": [python()],
    }
    for name, words in starts.items():
        (programs / name).write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n')
        (programs / name).chmod(0o755)
    (folder / ".venv/.installed").touch()
    simulate_survey(folder / "simulated", seed=3, n_plans=1, n_spectrographs=1, n_stars=3, exposures=1)
    (folder / "simulated/spectra").rename(folder / "spectra")
    simulate_lrs(folder / "other", seed=3, n_plans=1, n_spectrographs=1, n_released=4, n_unknown=4)
    (folder / "data").mkdir()
    (folder / "other/spectra").rename(folder / "data/it's here")
    first = next((folder / "data/it's here").rglob("*.fits*"))
    for name in ("night-1", "night-2"):
        (folder / name).symlink_to(folder / "data/it's here")
    (folder / "spec-55859-F5907_sp03-205.fits.gz").symlink_to(first)
    (folder / "list.txt").write_text(f"{first}\n")
    make_results(folder / "results")
    (folder / "other-results").mkdir()
    write_model_set(
        folder / "results/mstars/model_set",
        "mstars",
        dict.fromkeys(SEARCHES["mstars"].models, folder / "README.md"),
        settings={},
        scores={},
    )
    (folder / "results/manifest").mkdir(exist_ok=True)
    (folder / "results/manifest/mrs-selection.csv").write_text("cut,before,removed,after\n")
    write_provenance(folder / "results/provenance.json", {"seed": 1}, outputs=[])
    shutil.copytree(folder / "results", folder / "old/results")
    with LabelStore(folder / "labels/starsift.sqlite") as store:
        store.export(folder / "colleague.parquet")
    survey = yaml.safe_load(blocks((ROOT / "docs/running.md").read_text(), "yaml")[0])
    (folder / "my-survey.yaml").write_text(yaml.safe_dump(survey))
    shutil.copytree(ROOT / "profiles/slurm", folder / "my-slurm")
    (folder / "all-searches.yaml").write_text(yaml.safe_dump(survey | {"searches": [*SEARCHES]}))
    (folder / "seed-11.yaml").write_text("{searches: [emission], seed: 11, simulate: {emission: {seed: 11}}}")
    grid = small_grid()
    grid |= {"wave": grid["wavelength"], "flux": grid["normalized"] * grid["continuum"]}
    np.savez(folder / "my-grid.npz", **grid)
    return folder


def small_grid() -> dict[str, Any]:
    wavelength = 4800.0 + 0.5 * np.arange(1400)
    params = np.array([[teff, 4.0, 0.0, 1.0] for teff in (5000, 6000, 7000)])
    shape = (len(params), len(wavelength))
    spectra = {"normalized": np.full(shape, 0.9), "continuum": np.full(shape, 1e6)}
    return {"params": params, "wavelength": wavelength} | spectra


def run(sandbox: Path, words: list[str]) -> str:
    environment = {"PATH": f"{sandbox / '.venv/bin'}:/usr/bin:/bin", "PYTHONPATH": str(sandbox / "src")}
    done = subprocess.run(words, cwd=sandbox, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, f"{shlex.join(words)}\n{done.stdout}{done.stderr}"
    assert "Traceback" not in done.stdout + done.stderr
    return done.stdout


def test_there_are_commands_in_the_documentation() -> None:
    programs = [command[0].removeprefix(".venv/bin/") for command in COMMANDS]
    assert {name: programs.count(name) >= 5 for name in PROGRAMS} == dict.fromkeys(PROGRAMS, True)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_documented_command_works(sandbox: Path, command: tuple[str, ...]) -> None:
    places = {"/path/to/spectra": "spectra", "/data/": f"{sandbox}/data/"}
    words = [re.sub("|".join(places), lambda found: places[found[0]], word) for word in command]
    match words[0].removeprefix(".venv/bin/"):
        case "make":
            plan = [] if words[1] == "sift" else ["-n"]
            run(sandbox, [*words, *plan, "-o", "install", "-o", ".venv/.installed", "CORES=1"])
        case "snakemake" if "--unlock" in words:
            run(sandbox, words)
        case "snakemake":
            if "--report" in words:  # of a run; test_run.py makes one
                at = words.index("--report")
                assert words[at + 1].endswith(".html")
                del words[at : at + 2]
            elif not {"--cores", "--profile", "..."} & {*words}:
                raise AssertionError(f"without --cores this does not run: {shlex.join(words)}")
            check_rules(words)
            run(sandbox, [*(word for word in words if word != "..."), "-n"])
        case "starsift" if words[1] == "run":
            run(sandbox, [*words[:2], "-n", *words[2:]])
        case "starsift":
            options = make_parser().parse_args(words[1:])
            if words[1] == "explain" and "--results" in words:
                pass  # of a run of that folder; tests/sift makes one
            elif words[1] != "review":  # which goes on until it is stopped; tests/browser does so
                names = {"FOLDER": "data", "catalog.parquet": "results/catalog.parquet"}
                names |= {"FILE...": str(next((sandbox / "data/it's here").rglob("*.fits*")))}
                assert run(sandbox, [names.get(word, word) for word in words])
            assert callable(options.run)
        case "python" if words[1] == "-m":
            run(sandbox, words)
        case "python":
            check_options_of_script(words[1:])


def check_rules(words: list[str]) -> None:
    """Snakemake would take a rule that is not there for a file."""
    if "--forcerun" in words:
        names = re.findall(r"^ *(?:rule|checkpoint) (\w+):", all_rules(), re.MULTILINE)
        assert words[words.index("--forcerun") + 1] in names


def all_rules() -> str:
    return "\n".join(path.read_text() for path in sorted((ROOT / "workflow/rules").glob("*.smk")))


def check_options_of_script(words: list[str]) -> None:
    """Benchmarks take minutes: that they are there, and know the options."""
    source = (ROOT / words[0]).read_text()
    for option in (word for word in words[1:] if word.startswith("--")):
        assert f'"{option}"' in source or 'f"--{' in source, f"{words[0]} has no option {option}"


@pytest.mark.parametrize("option", options_of(ROOT / "docs/running.md"))
def test_an_option_of_a_run_works(sandbox: Path, option: str) -> None:
    words = shlex.split(option.replace("/data/", f"{sandbox}/data/"))
    check_rules(words)
    run(sandbox, ["snakemake", "--cores", "1", "--configfile", "all-searches.yaml", "-n", *words])


@pytest.mark.parametrize("option", options_of(ROOT / "docs/review.md"))
def test_an_option_of_the_review_app_is_known(option: str) -> None:
    values = {"N": "8080"}
    make_parser().parse_args(["review", *(values.get(word, word) for word in shlex.split(option))])


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_settings_in_a_page_are_valid(page: Path) -> None:
    for block in blocks(page.read_text(), "yaml"):
        complete_settings({page: yaml.safe_load(block)})
    for name in re.findall(r"`((?:binaries|mstars|emission|bhb)(?:\.[a-z0-9_]+)+)`", page.read_text()):
        place = default_settings()
        for key in name.split("."):
            assert key in place, f"{page.name}: {name} is no setting"
            place = place[key]


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_python_in_a_page_runs(sandbox: Path, page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(sandbox)
    names = small_grid()
    for block in blocks(page.read_text(), "python"):
        exec(compile(block, str(page), "exec"), names)


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_files_that_a_page_names_exist(page: Path) -> None:
    text = page.read_text()
    tops = "benchmarks|config|docs|envs|profiles|resources|src|tests|workflow"
    for name in re.findall(rf"`((?:{tops})/[\w./-]+)`", text):
        assert (ROOT / name).exists(), f"{page.name}: {name}"
    for name in re.findall(r"\]\((?!https?:|#)([^)#]+)", text):
        assert (page.parent / name).exists(), f"{page.name}: {name}"
    declared = [path.read_text() for path in (ROOT / "src/starsift/searches").glob("*/search.py")]
    rules = "".join([all_rules(), *declared])
    for name in re.findall(r"`results/[\w/{}.-]*?([\w-]+)\.[a-z]+`", text):
        assert name.lstrip("-") in rules or name == "report", f"{page.name}: no rule writes {name}"


@pytest.mark.parametrize("page", ["README.md", "docs/outputs.md"])
def test_every_catalogue_is_listed(page: str) -> None:
    listed = {Path(span).name for span in SPAN.findall((ROOT / page).read_text())}
    assert {name for search in SEARCHES.values() for name in search.catalogs} <= listed
