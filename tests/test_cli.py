"""The command line, the status of a run, logs, and the pages of the report."""

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from starsift.catalog.provenance import write_provenance
from starsift.cli import main
from starsift.demo.mrs import simulate_survey
from starsift.errors import InputError
from starsift.learning.labels import load_labels, unmatched, warn_unmatched
from starsift.report.pages import write_page
from starsift.resources import workflow_root
from starsift.review.labels import LabelStore
from starsift.searches.binaries.report import funnel_page, selection_page
from starsift.searches.progress import describe_results
from starsift.survey.catalog import read_catalog
from starsift.survey.reading import summarize_reading


def test_simulate_then_index(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    size = ["--plans", "1", "--spectrographs", "1", "--stars", "3", "--exposures", "1"]
    assert main(["simulate", str(tmp_path), *size]) == 0
    assert main(["index", str(tmp_path / "spectra"), "--output", str(tmp_path / "index.parquet")]) == 0
    table = pq.read_table(tmp_path / "index.parquet")
    # One coadd and one exposure, in two arms, of each file.
    files = set(table["path"].to_pylist())
    assert table.num_rows == 4 * len(files)
    assert f"{table.num_rows} spectra are listed" in capsys.readouterr().out


def test_simulate_sdss(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    size = ["--labelled", "4", "--pool", "6"]
    assert main(["simulate", str(tmp_path), "--kind", "sdss", "--seed", "2", *size]) == 0
    assert capsys.readouterr().out == f"A simulated survey is in {tmp_path}\n"
    assert pq.read_table(tmp_path / "truth.parquet")["labelled"].to_pylist().count(True) == 4
    assert len(list(tmp_path.glob("spectra/*/spec-*.fits"))) == 10
    assert main(["simulate", str(tmp_path), "--kind", "sdss", "--pool", "0"]) == 1
    assert "expected one of each or more" in capsys.readouterr().err


def test_verify_notices_a_changed_catalogue(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    catalog, record = tmp_path / "binaries.csv", tmp_path / "provenance.json"
    catalog.write_text("rv\n1\n")
    write_provenance(record, {"seed": 1}, outputs=[catalog])
    assert main(["verify", str(record)]) == 0
    told = capsys.readouterr().out
    assert "ok       output   binaries.csv" in told
    assert told.endswith("Inputs, settings and catalogues belong together.\n")
    catalog.write_text("rv\n2\n")
    assert main(["verify", str(record)]) == 1
    output = capsys.readouterr()
    assert "changed  output   binaries.csv" in output.out
    assert "the first is binaries.csv; restore them" in output.err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["index", "nowhere", "--output", "x.parquet"], "nowhere: no such folder"),
        (["index", "file", "--output", "x.parquet"], "file: a file, not a folder"),
        (["verify", "."], "provenance.json: no such file; name the provenance.json of a finished run"),
        (["compare", "folder", "file"], "folder, file: name two folders of results, or two catalogues"),
        (["import", "file"], "file: the file is empty (labels are also read from a store, .sqlite)"),
        (
            ["import", "file", "--search", "emision"],
            "--search is 'emision', it must be one of binaries, mstars, emission, bhb",
        ),
        (["import", "file", "--results", "no"], "--results no: no such folder; give the results of a run"),
        (["index", "folder", "--output", "folder.csv"], "folder.csv: Is a directory"),
        (
            ["index", "folder", "--output", "x.fits"],
            "x.fits: the name of a table to write must end in .parquet or .csv",
        ),
        (["run", "--config", "my.yaml"], "--config my.yaml: no such file"),
        (
            ["run", "--config", "gpu=true"],
            "--config gpu=true: no such file; single settings follow --, as in -- --config gpu=true",
        ),
        (
            ["run", "--profile", "slrum"],
            "--profile slrum: no such profile; name a folder that has a config.yaml, or one that "
            "is shipped: slurm",
        ),
        (["run", "--config", "file"], "file: it holds no settings; write lines such as seed: 7"),
        (["run", "--directory", "file"], "--directory file: a file, not a folder"),
        (["status", "nowhere"], "nowhere: no manifest here; is this the results folder of a run?"),
    ],
)
def test_an_error_is_one_sentence(
    arguments: list[str],
    sentence: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    Path("folder").mkdir()
    Path("folder.csv").mkdir()
    Path("folder/x.fits").touch()
    assert main(arguments) == 1
    assert capsys.readouterr().err == f"starsift: {sentence}\n"
    assert sorted(path.name for path in Path().iterdir()) == ["file", "folder", "folder.csv"]


def test_a_bug_shows_its_traceback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(results: Path) -> list[str]:
        raise ValueError("not of starsift's own kinds")

    monkeypatch.setattr("starsift.searches.progress.describe_results", broken)
    with pytest.raises(ValueError, match="not of starsift's own kinds"):
        main(["status", str(tmp_path)])


def test_an_index_in_csv_is_the_catalogue_that_it_is_in_parquet(tmp_path: Path) -> None:
    simulate_survey(tmp_path, seed=3, n_plans=1, n_spectrographs=1, n_stars=3, exposures=1)
    (tmp_path / "spectra/broken.fits").write_text("no such page")
    for name in ("index.csv", "index.parquet"):
        assert main(["index", str(tmp_path / "spectra"), "--output", str(tmp_path / name)]) == 0
    assert (tmp_path / "index.csv").read_text().startswith("survey,obsid,")
    tables = [read_catalog(tmp_path / name, "mrs") for name in ("index.csv", "index.parquet")]
    assert tables[0].to_pylist() == tables[1].to_pylist()


def test_labels_in_csv_can_be_imported_again(tmp_path: Path) -> None:
    first, second = tmp_path / "first.sqlite", tmp_path / "second.sqlite"
    with LabelStore(first) as store:
        store.add("mstars", "spec-1", "Ada", queue="q", label="M dwarf", comment='faint,\n"noisy"', flag=True)
    assert main(["export", str(tmp_path / "labels.csv"), "--labels", str(first)]) == 0
    assert main(["import", str(tmp_path / "labels.csv"), "--labels", str(second)]) == 0
    tables = [load_labels(store) for store in (first, second)]
    assert tables[0].to_pylist() == tables[1].to_pylist()


def test_labels_of_no_spectrum_of_the_run_are_listed(
    tmp_path: Path,
    write: Callable[..., Path],
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    results = tmp_path / "results"
    (results / "manifest" / "demo").mkdir(parents=True)
    pq.write_table(pa.table({"spectrum_id": ["a", "b"]}), results / "manifest" / "demo.parquet")
    pq.write_table(pa.table({"spectrum_id": ["c"]}), results / "manifest" / "demo-unusable.parquet")
    path = write("spectrum_id,label\na,SB2\nc.fits,SB2\nd,SB1\n")
    assert unmatched(load_labels(path, search="binaries"), results) == (["c", "d"], 2)
    with caplog.at_level("WARNING"):
        warn_unmatched(path, "binaries", results)
    assert "2 labelled spectra are not among the 2 of this run: c, d" in caplog.text
    options = ["--search", "binaries", "--labels", str(tmp_path / "l.sqlite"), "--results", str(results)]
    assert main(["import", str(path), *options]) == 0
    out = capsys.readouterr().out
    assert "3 labels were added" in out
    assert "2 labelled spectra are not among the 2 spectra of" in out
    assert out.split()[-2:] == ["c", "d"]
    assert main(["import", str(path), *options[:-1], str(tmp_path / "none")]) == 1
    assert "no such folder; give the results of a run" in capsys.readouterr().err


def test_run_is_snakemake_with_the_workflow_of_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands: list[list[str]] = []
    monkeypatch.setattr("os.execv", lambda program, words: commands.append(words))
    monkeypatch.chdir(tmp_path)
    for name in ("a.yaml", "b.yaml"):
        Path(name).write_text("seed: 1")
    Path("mine").mkdir()
    Path("mine/config.yaml").touch()
    snakemake = [sys.executable, "-m", "snakemake", "--snakefile", str(workflow_root() / "Snakefile")]
    assert main(["run"]) == 0
    assert commands.pop() == [*snakemake, "--cores", "all"]
    # Paths count from the current folder, whatever the folder of the results.
    files = [str(tmp_path / name) for name in ("a.yaml", "b.yaml")]
    main(["run", "--config", "a.yaml", "--config", "b.yaml", "--cores", "2", "--directory", "out", "-n"])
    further = ["--cores", "2", "--directory", "out", "--dry-run"]
    assert commands.pop() == [*snakemake, "--configfile", *files, *further]
    main(["run", "--config", "config/demo.yaml", "--", "--forcerun", "pack", "--", "x.csv"])
    demo = str(workflow_root() / "config/demo.yaml")
    further = ["--forcerun", "pack", "--", "x.csv"]
    assert commands.pop() == [*snakemake, "--configfile", demo, "--cores", "all", *further]
    main(["run", "--profile", "slurm"])
    assert commands.pop() == [*snakemake, "--profile", str(workflow_root() / "profiles/slurm")]
    main(["run", "--profile", "mine", "--cores", "3"])
    assert commands.pop() == [*snakemake, "--profile", "mine", "--cores", "3"]


def test_index_tells_how_much_of_a_folder_is_of_use(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "spec-1.fits").write_text("no such page")
    assert main(["index", str(tmp_path), "--output", str(tmp_path / "index.parquet")]) == 1
    output = capsys.readouterr()
    assert output.out.startswith("0 spectra are listed")
    assert "no spectrum in it can be used, the first because: spec-1.fits: not a FITS file" in output.err


@pytest.mark.parametrize(
    ("command", "status", "message"),
    [
        ("--version >&-", 0, ""),
        ("--version | sleep 0", 0, ""),
        ("--version > /dev/full", 1, "starsift: output: the disk is full; make room and run again\n"),
        ("run --profile nowhere >&-", 1, "no such profile"),
        ("simulate x --seed -1", 2, "argument --seed: '-1' is not a whole number from 0 on\n"),
    ],
)
def test_no_command_line_leaves_a_traceback(command: str, status: int, message: str) -> None:
    words = ["bash", "-o", "pipefail", "-c", f"{shlex.quote(sys.executable)} -m starsift.cli {command}"]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == status
    assert message in done.stderr if message else not done.stderr
    assert "Traceback" not in done.stderr


def test_a_pager_may_be_closed(tmp_path: Path) -> None:
    for at in range(4000):
        (tmp_path / f"{at}.fits").touch()
    files = {f"{at}.fits": "0" * 64 for at in range(4000)}
    write_provenance(tmp_path / "provenance.json", {})
    record = json.loads((tmp_path / "provenance.json").read_text()) | {"inputs": {"s": files}}
    (tmp_path / "provenance.json").write_text(json.dumps(record))
    command = f"{shlex.quote(sys.executable)} -m starsift.cli verify provenance.json | head -n 1"
    done = subprocess.run(command, shell=True, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.count("\n") == 1
    assert done.stderr == ""


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A survey of two bundles, one of them packed, with a file that could not be read."""
    manifest = tmp_path / "manifest"
    (manifest / "demo").mkdir(parents=True)
    (tmp_path / "spectra/demo").mkdir(parents=True)
    rows = {"spectrum_id": ["a", "b"], "band": ["B", "B"]}
    for bundle in ("one", "two"):
        pq.write_table(pa.table(rows), manifest / f"demo/{bundle}.parquet")
    pq.write_table(pa.table({**rows, "file": ["a.fits", "b.fits"]}), manifest / "demo.parquet")
    (manifest / "demo-selection.csv").write_text("cut,before,removed,after\nsnr >= 5,9,7,2\n")
    (tmp_path / "spectra/demo/one.arrow").touch()
    index = tmp_path / "spectra/demo/one.parquet"
    pq.write_table(pa.table({**rows, "status": ["ok", "truncated"]}), index)
    summarize_reading(
        [index], manifest / "demo.parquet", manifest / "demo-status.csv", manifest / "demo-unusable.parquet"
    )
    return tmp_path


def test_status_tells_what_was_cut_packed_and_not_read(results: Path) -> None:
    listed = pq.read_table(results / "manifest/demo-unusable.parquet").to_pylist()
    assert listed == [{"spectrum_id": "b", "band": "B", "status": "truncated", "file": "b.fits"}]
    text = "\n".join(describe_results(results))
    assert "snr >= 5  9       7        2" in text
    assert "bundles packed: 1 of 2" in text
    assert "truncated  1" in text
    assert "b            B     truncated  b.fits" in text


DONE = """
binaries/ccf/one.arrow mstars/codes/one.parquet emission/windows/one.parquet
emission/round-00/predictions/one.parquet emission/round-00/round.json
emission/round-01/predictions/two.parquet
bhb/predictions/demo/one.parquet bhb/predictions/demo/two.parquet
bhb/models/batmm/run-0/training.json bhb/models/image/run-0/training.json
catalogs/bhb.parquet
"""


def test_status_knows_every_search(results: Path) -> None:
    """Files of each stage and step of each search, as the workflow writes them."""
    others = ["bhb/predictions/other/one.parquet", "mstars/codes/three.parquet"]  # of no bundle
    for name in [*DONE.split(), *others]:
        (results / name).parent.mkdir(parents=True, exist_ok=True)
        (results / name).touch()
    text = "\n".join(describe_results(results)) + "\n"
    for line in (
        "  binaries, ccf: 1 of 2 bundles",
        "  mstars, codes: 1 of 2 bundles",
        "  emission, windows: 1 of 2 bundles",
        "  emission, round-00, predictions: 1 of 2 bundles",
        "  emission, round-01, predictions: 1 of 2 bundles",
        "  bhb, predictions: 2 of 2 bundles",
        "search emission\n  rounds evaluated: 1\n  catalogues published: none yet",
        "search bhb\n  trainings: 2\n  catalogues published: bhb",
    ):
        assert f"{line}\n" in text
    assert "search binaries" not in text


def test_status_gives_examples_of_broken_spectra(results: Path) -> None:
    kinds = ["truncated"] * 50 + ["not_finite"] * 2
    rows = {"spectrum_id": [f"s{at:02d}" for at in range(52)], "band": ["B"] * 52, "status": kinds}
    table = pa.table(rows | {"file": [f"s{at:02d}.fits" for at in range(52)]})
    path = results / "manifest/demo-unusable.parquet"
    pq.write_table(table, path)
    lines = list(describe_results(results))
    shown = [line.split()[0] for line in lines if line.endswith(".fits")]
    assert shown == ["s00", "s01", "s02", "s50", "s51"]
    assert f"    all 52 are in {path}" in lines


def test_status_counts_spectra_of_kinds_that_the_survey_leaves_out(results: Path) -> None:
    files = {"path": ["a", "a", "b", "c", "d"], "survey": ["mrs", "mrs", "lrs", "lrs", None]}
    table = pa.table(files | {"band": ["B", "R", None, None, None], "status": [*["ok"] * 4, "not_fits"]})
    pq.write_table(table, results / "manifest/demo-index.parquet")
    kinds = "    spectra of each kind: 2 lrs, 2 mrs; a survey takes only those of its own kind"
    lines = list(describe_results(results))
    assert kinds in lines
    # One line a file, also where it has several spectra.
    at = lines.index("  what the files are, by their first spectrum:")
    shown = [line.split() for line in lines[at + 1 : at + 5]]
    assert shown == [["path", "survey", "band"], ["a", "mrs", "B"], ["b", "lrs"], ["c", "lrs"]]
    assert lines[at + 5] == f"    all 5 rows are in {results / 'manifest/demo-index.parquet'}"


def test_a_survey_without_any_of_its_files_is_an_error(results: Path) -> None:
    index = results / "spectra/demo/one.parquet"
    pq.write_table(pq.read_table(index).set_column(2, "status", pa.array(["missing_file"] * 2)), index)
    files = [results / f"manifest/demo{end}" for end in (".parquet", "-status.csv", "-unusable.parquet")]
    with pytest.raises(InputError, match=r"all 2 files of the survey are missing, the first is a\.fits"):
        summarize_reading([index], *files)


def job(log: Path, script: str) -> str:
    """What a job that fails tells, besides its log."""
    script = f"from starsift.logs import log_to\nlog_to({str(log)!r})\n{script}"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 1
    return done.stderr


def test_a_job_logs_its_traceback_and_tells_its_sentence(tmp_path: Path) -> None:
    log = tmp_path / "job.log"
    script = "print('noted')\nraise ValueError('catalog.fits: no such catalogue')\n"
    assert job(log, script) == "starsift: catalog.fits: no such catalogue\n"
    assert "noted" in log.read_text()
    assert "Traceback" in log.read_text()
    assert log.read_text().rstrip().endswith("ValueError: catalog.fits: no such catalogue")


def test_a_mistake_in_a_file_leaves_no_traceback(tmp_path: Path) -> None:
    log, folder = tmp_path / "job.log", tmp_path / "nowhere"
    script = f"from starsift.survey.index import index_folder\nindex_folder({str(folder)!r})\n"
    assert job(log, script) == log.read_text() == f"starsift: {folder}: no such folder\n"


def test_pages_show_numbers_and_escape_text(tmp_path: Path) -> None:
    (tmp_path / "cuts.csv").write_text("cut,before,removed,after\nsnr < 5,30000000,1,29999999\n")
    (tmp_path / "status.csv").write_text("status,spectra\nok,12\n")
    page = selection_page(tmp_path / "cuts.csv", tmp_path / "status.csv")
    assert "snr &lt; 5" in page
    assert "30,000,000" in page
    (tmp_path / "funnel.csv").write_text("candidate_class,n_candidates,classifier,l3\nSB2,3,C3,\n")
    methods = pa.table({"model": ["SB2", "SB2", None], "vote": ["SB2", "SB2", "SB3"]})
    pq.write_table(methods, tmp_path / "methods.parquet")
    write_page(funnel_page(tmp_path / "funnel.csv", tmp_path / "methods.parquet"), tmp_path / "funnel.html")
    text = (tmp_path / "funnel.html").read_text()
    assert "–" in text
    assert re.search(r"<td[^>]*>SB2</td>\s*<td[^>]*>SB2</td>\s*<td[^>]*>2</td>", text)
