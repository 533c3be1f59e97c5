"""A checkout of its own, and a tiny survey run in it, for tests that look at what would run again."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from starsift.simulate.mrs import simulate_survey
from starsift.survey.catalog import read_catalog

ROOT = Path(__file__).parents[2]
JOB = re.compile(r"^(?:local)?(?:rule|checkpoint) (\w+):", re.MULTILINE)
CHECKOUT = ("Snakefile", "README.md", "config", "profiles", "slurm", "src", "workflow")

# Small enough for a minute: what the stages find does not matter here.
SMALL: dict[str, Any] = {
    "ccf": {"templates": [[5000, 4.0, 0.0]]},
    "errors": {"n_copies": 10, "components": [2, 3]},
    "training": {"per_class": 30, "hard_fraction": 0.0},
    "network": {"epochs": 2, "stride": 10},
    "cross_validation": {"folds": 2},
    "injection": {"trials": 2, "delta_rv": [60, 150], "snr": [20, 50], "teff": [4000, 6000, 1000]},
}


@dataclass
class Checkout:
    """A copy of the workflow and the library, with settings, in which Snakemake runs."""

    folder: Path
    settings: dict[str, Any]

    def snakemake(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run Snakemake in the checkout, on its own copy of the library."""
        (self.folder / "settings.yaml").write_text(yaml.safe_dump(self.settings))
        done = subprocess.run(
            [*self.command, *arguments],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
        )
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    @property
    def command(self) -> list[str]:
        return [sys.executable, "-m", "snakemake", "--configfile", "settings.yaml", "--cores", "2"]

    @property
    def environment(self) -> dict[str, str]:
        return os.environ | {"PYTHONPATH": str(self.folder / "src")}

    def planned(self, *arguments: str) -> set[str]:
        """The rules that would run."""
        done = self.snakemake("--dry-run", *arguments)
        return set(
            re.findall(r"^(?:local)?(?:rule|checkpoint) (\w+):", done.stdout + done.stderr, re.MULTILINE)
        )

    def executed(self, *arguments: str) -> list[str]:
        """Run, and tell which rule each job was of."""
        done = self.snakemake(*arguments)
        return JOB.findall(done.stdout + done.stderr)

    def copy(self, folder: Path) -> "Checkout":
        """The same, results and Snakemake's records included, elsewhere."""
        shutil.copytree(self.folder, folder, symlinks=True)
        return Checkout(folder, merged(self.settings, {}))


def merged(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Settings with others on top."""
    result = dict(base)
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = merged(result[key], value) if both else value
    return {key: merged(value, {}) if isinstance(value, dict) else value for key, value in result.items()}


def make_checkout(folder: Path, settings: dict[str, Any]) -> Checkout:
    folder.mkdir(parents=True)
    for name in CHECKOUT:
        source = ROOT / name
        if source.is_symlink():
            (folder / name).symlink_to(source.readlink())
        elif source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, folder / name)
    # The template grid is large and never edited.
    (folder / "resources").symlink_to(ROOT / "resources")
    return Checkout(folder, settings)


@pytest.fixture(scope="session")
def sky(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Simulated files of three nights: `catalog.parquet` lists two of them, `all.parquet` all."""
    folder = tmp_path_factory.mktemp("sky")
    simulate_survey(folder, seed=5, n_plans=3, n_spectrographs=1, n_stars=40, exposures=2)
    catalog = read_catalog(folder / "catalog.fits")
    nights = sorted(set(catalog["lmjd"].to_pylist()))
    assert len(nights) == 3
    pq.write_table(catalog, folder / "all.parquet")
    early = pa.compute.is_in(catalog["lmjd"], pa.array(nights[:2], pa.int32()))
    pq.write_table(catalog.filter(early), folder / "catalog.parquet")
    return folder


@pytest.fixture(scope="session")
def settings(sky: Path) -> dict[str, Any]:
    survey = {
        "kind": "mrs",
        "root": str(sky / "spectra"),
        "path_template": "{lmjd}/{planid}/med-{lmjd}-{planid}_sp{spid:02d}-{fiberid:03d}.fits.gz",
        "catalog": str(sky / "catalog.parquet"),
        "selection": [
            {"column": "band", "op": "==", "value": "B"},
            {"column": "coadd", "op": "==", "value": 0},
            {"column": "snr", "op": ">=", "value": 5},
        ],
        "partition": {"spectra_per_bundle": 1000, "level": "night"},
    }
    return {"surveys": {"tiny": survey}, "binaries": {"survey": "tiny", **SMALL}}


@pytest.fixture(scope="session")
def checkout(tmp_path_factory: pytest.TempPathFactory, settings: dict[str, Any]) -> Callable[[], Checkout]:
    """A fresh checkout with the tiny survey's settings, each time it is called."""

    def make() -> Checkout:
        return make_checkout(tmp_path_factory.mktemp("checkout") / "starsift", merged(settings, {}))

    return make


@pytest.fixture(scope="session")
def finished(checkout: Callable[[], Checkout]) -> Checkout:
    """A checkout in which the tiny survey has been run to the end. Tests leave it as it is."""
    done = checkout()
    done.snakemake()
    return done


@pytest.fixture
def files() -> Callable[[Path, Sequence[str]], dict[str, bytes]]:
    """Contents of the files below a folder, by relative path."""

    def read(folder: Path, patterns: Sequence[str]) -> dict[str, bytes]:
        found = sorted({path for pattern in patterns for path in folder.rglob(pattern)})
        return {str(path.relative_to(folder)): path.read_bytes() for path in found}

    return read
