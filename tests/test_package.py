"""The wheel, installed away from any checkout: the commands, and the workflow with all files it needs."""

import os
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from fixtures.backends import run_python
from fixtures.checkouts import ROOT

SETTINGS = """
surveys:
  mine: {kind: mrs, root: simulated/spectra}
searches: [binaries]
binaries: {survey: mine}
"""


def build(source: Path, target: str, folder: Path) -> Path:
    """The archive that the build backend makes of a checkout, or of an unpacked source archive."""
    command = [sys.executable, "-m", "hatchling", "build", "--target", target, "--directory", str(folder)]
    subprocess.run(command, cwd=source, check=True, capture_output=True)
    (made,) = folder.iterdir()
    return made


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(ROOT, "wheel", tmp_path_factory.mktemp("wheel"))


@dataclass
class Installed:
    """An environment that has the wheel, and the dependencies of the one that runs the tests."""

    python: Path
    folder: Path

    def run(self, *words: str, status: int = 0, folder: Path | None = None) -> subprocess.CompletedProcess:
        command = [str(self.python.with_name(words[0])), *words[1:]]
        options = {"cwd": folder or self.folder, "capture_output": True, "text": True}
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        done = subprocess.run(command, env=environment, **options)
        assert done.returncode == status, done.stdout + done.stderr
        return done


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    folder = tmp_path_factory.mktemp("installed")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "venv"], check=True)
    python = folder / "venv/bin/python"
    install = ["install", "--quiet", "--no-deps", "--no-index", str(wheel)]
    subprocess.run([sys.executable, "-m", "pip", "--python", str(python), *install], check=True)
    (packages,) = folder.glob("venv/lib/python*/site-packages")
    # A path in a .pth file is searched last, and the .pth files in it, such as that of an editable starsift,
    # are not read.
    theirs = [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]
    (packages / "dependencies.pth").write_text("\n".join(theirs))
    (folder / "run").mkdir()
    (folder / "run/my.yaml").write_text(SETTINGS)
    return Installed(python, folder / "run")


def test_the_wheel_holds_the_workflow(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    folders = ("config", "profiles", "resources", "workflow")
    files = [path for name in folders for path in (ROOT / name).rglob("*.*") if path.is_file()]
    workflow = {path.relative_to(ROOT).as_posix() for path in files if path.suffix != ".pyc"} | {"Snakefile"}
    assert len(workflow) > 100
    assert {f"starsift/workflow_files/{name}" for name in workflow} <= names
    assert {"starsift/py.typed", "starsift/review/static/index.html"} <= names
    assert not [name for name in names if "__pycache__" in name or name.startswith("tests")]


def test_a_wheel_can_be_made_from_the_source_archive(wheel: Path, tmp_path: Path) -> None:
    archive = build(ROOT, "sdist", tmp_path / "sdist")
    with tarfile.open(archive) as packed:
        packed.extractall(tmp_path / "unpacked", filter="data")
    (source,) = (tmp_path / "unpacked").iterdir()
    again = build(source, "wheel", tmp_path / "wheel")
    assert again.read_bytes() == wheel.read_bytes()


def test_an_editable_installation_is_a_path_to_the_sources(tmp_path: Path) -> None:
    script = f"from hatchling.build import build_editable; print(build_editable({str(tmp_path)!r}))"
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True, capture_output=True)
    with zipfile.ZipFile(next(tmp_path.iterdir())) as made:
        assert made.read("_starsift.pth").decode().strip() == str(ROOT / "src")
        # A dependency on a package that the pinned environments lack would show here.
        assert b"editables" not in made.read(next(n for n in made.namelist() if n.endswith("METADATA")))


def test_the_installed_starsift_is_that_of_the_wheel(installed: Installed, wheel: Path) -> None:
    script = "import starsift, starsift.resources as r; print(starsift.__file__); print(r.workflow_root())"
    for path in installed.run("python", "-c", script).stdout.split():
        assert Path(path).is_relative_to(installed.python.parents[1])
    assert installed.run("starsift", "--version").stdout == f"starsift {wheel.name.split('-')[1]}\n"


def test_the_digest_of_the_code_is_that_of_a_checkout(installed: Installed) -> None:
    script = "from starsift.catalog.provenance import package_fingerprint as f; print(f())"
    here = run_python("-c", script, PYTHONPATH=str(ROOT / "src")).stdout
    assert installed.run("python", "-c", script).stdout == here
    assert here.strip()


def test_status_in_an_empty_folder(installed: Installed, tmp_path: Path) -> None:
    done = installed.run("starsift", "status", folder=tmp_path, status=1)
    assert done.stderr == "starsift: results: no manifest here; is this the results folder of a run?\n"


def test_a_run_from_a_folder_outside_a_checkout(installed: Installed) -> None:
    """Plan a whole run, then index, select and pack a few files."""
    size = ["--plans", "1", "--spectrographs", "1", "--stars", "3", "--exposures", "1"]
    installed.run("starsift", "simulate", "simulated", *size)
    plan = installed.run("starsift", "run", "--config", "my.yaml", "--cores", "1", "-n").stdout
    assert "binaries_pages" in plan
    assert not (installed.folder / "results").exists()
    target = "results/manifest/mine-status.csv"
    installed.run("starsift", "run", "--config", "my.yaml", "--cores", "1", "--", target)
    index = pq.read_table(installed.folder / "results/manifest/mine-index.parquet")
    assert (installed.folder / target).read_text() == f"status,spectra\nok,{index.num_rows}\n"
    assert "bundles packed: 1 of 1" in installed.run("starsift", "status").stdout


def test_the_exit_status_of_a_run_is_passed_on(installed: Installed, tmp_path: Path) -> None:
    (tmp_path / "my.yaml").write_text("searches: [binarys]")
    done = installed.run("starsift", "run", "--config", "my.yaml", "-n", status=1, folder=tmp_path)
    assert "binarys" in done.stdout + done.stderr
