"""A checkout of its own, and tiny surveys run in it, for tests that look at what would run again."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from astropy.table import Table

from starsift.demo.emission import simulate_emission
from starsift.demo.lrs import simulate_lrs
from starsift.demo.mrs import simulate_survey
from starsift.demo.sdss import simulate_sdss

ROOT = Path(__file__).parents[2]
JOB = re.compile(r"^(?:local)?(?:rule|checkpoint) (\w+):", re.MULTILINE)
CHECKOUT = ("Snakefile", "README.md", "config", "profiles", "slurm", "src", "workflow")

# Small enough for a minute: what the stages find does not matter here.
SMALL: dict[str, Any] = {
    "binaries": {
        "ccf": {"templates": [[5000, 4.0, 0.0]]},
        "errors": {"n_copies": 10, "components": [2, 3]},
        "training": {"per_class": 30, "hard_fraction": 0.0},
        "network": {"epochs": 2, "stride": 10},
        "cross_validation": {"folds": 2},
        "injection": {"trials": 2, "delta_rv": [60, 150], "snr": [20, 50], "teff": [4000, 6000, 1000]},
    },
    "mstars": {
        "sample": {"groups": 3, "subclusters": 2, "giant_clusters": 2, "n_components": 5},
        "hash": {"bits": 64},
        "evaluation": {"splits": 1, "bits": [32, 64]},
    },
    "emission": {
        "training": {"max_epochs": 1},
        "long_training": {"max_epochs": 1},
        "rounds": {"batch": 6, "sample": 4, "max_rounds": 2},
        "baseline": {"runs": 1, "sample": 5},
    },
    "bhb": {
        "preset": "tiny",
        "runs": 2,
        "compare": ["image", "svm"],
        "image": {"size": 16},
        # What networks of one epoch reach.
        "purity": 0.2,
        "training": {stage: {"epochs": 1} for stage in ("spectrum", "image", "fusion", "end_to_end")},
    },
}


# The sky of the demo, made small: two nights.
SKY: dict[str, Any] = {
    "mrs": {"seed": 5, "layout": "both", "n_plans": 2, "n_spectrographs": 1, "n_stars": 40, "exposures": 2},
    "lrs": {
        "seed": 5,
        "layout": "both",
        "n_plans": 2,
        "n_spectrographs": 2,
        "n_released": 150,
        "n_unknown": 150,
    },
    "emission": {
        "seed": 5,
        "layout": "both",
        "n_plans": 2,
        "n_spectrographs": 2,
        "n_labelled": 40,
        "n_pool": 160,
        "emitters": 0.1,
    },
    "sdss": {"seed": 5, "n_labelled": 240, "n_pool": 80, "size": 32},
}
# The catalogue that each path searches.
CATALOG = {
    "binaries": "mrs/catalog.fits",
    "mstars": "lrs/unknown.fits",
    "emission": "emission/pool.fits",
    "bhb": "sdss/catalog.fits",
}
# Folders of simulated files that checkouts share.
FILES = ("spectra", "cutouts")


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
        return set(self.executed("--dry-run", *arguments))

    def executed(self, *arguments: str) -> list[str]:
        """Run, and tell which rule each job was of."""
        done = self.snakemake(*arguments)
        return JOB.findall(done.stdout + done.stderr)

    def list_nights(self, path: str, name: str) -> None:
        """Let the catalogue that a path searches be `early.fits` or `all.fits`."""
        catalog = self.folder / "results/simulated" / CATALOG[path]
        shutil.copyfile(catalog.with_name(name), catalog)

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


def make_checkout(folder: Path, settings: dict[str, Any]) -> Checkout:
    folder.mkdir(parents=True)
    for name in CHECKOUT:
        source = ROOT / name
        if source.is_symlink():
            (folder / name).symlink_to(source.readlink())
        elif source.is_dir():
            # What Numba compiled comes along: it takes longer than most jobs.
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("*.pyc*", "*.tmp.*"))
        else:
            shutil.copy2(source, folder / name)
    # The template grid is large and never edited.
    shutil.copytree(ROOT / "resources", folder / "resources", ignore=shutil.ignore_patterns("templates"))
    (folder / "resources/templates").symlink_to(ROOT / "resources/templates")
    return Checkout(folder, settings)


def list_nights(catalog: Path) -> None:
    """Write beside a catalogue `all.fits`, the same, and `early.fits`, without its last night."""
    shutil.copyfile(catalog, catalog.with_name("all.fits"))
    table = Table.read(catalog)
    night = table["lmjd" if "lmjd" in table.colnames else "mjd"]
    table[night < night.max()].write(catalog.with_name("early.fits"))


@pytest.fixture(scope="session")
def sky(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the demo simulates at this size, with catalogues of some of its nights."""
    folder = tmp_path_factory.mktemp("sky")
    simulate_survey(folder / "mrs", **SKY["mrs"])
    simulate_lrs(folder / "lrs", **SKY["lrs"])
    simulate_emission(folder / "emission", **SKY["emission"])
    simulate_sdss(folder / "sdss", **SKY["sdss"])
    for name in CATALOG.values():
        list_nights(folder / name)
    labelled = Table.read(folder / "sdss/labelled.csv")
    early = Table.read(folder / "sdss/early.fits")
    labelled[np.isin(labelled["mjd"], early["mjd"])].write(folder / "early_labelled.csv")
    return folder


@pytest.fixture(scope="session")
def settings(sky: Path) -> dict[str, Any]:
    """Settings of the demo, made small. Of SDSS, no star of the last night is in the table of labels."""
    demo = yaml.safe_load((ROOT / "config/demo.yaml").read_text())
    labelled = {"bhb": {"labelled": {"catalog": str(sky / "early_labelled.csv")}}}
    return merged(demo, merged(SMALL | {"simulate": SKY}, labelled))


@pytest.fixture(scope="session")
def checkout(
    tmp_path_factory: pytest.TempPathFactory, settings: dict[str, Any], sky: Path
) -> Callable[..., Checkout]:
    """A fresh checkout for one path, each time it is called: to it the files of the demo are a real survey.

    The last night is not in the catalogue yet.
    """

    def make(path: str = "binaries") -> Checkout:
        real = {key: value for key, value in settings.items() if key != "simulate"}
        done = make_checkout(
            tmp_path_factory.mktemp("checkout") / "starsift", merged(real, {"paths": [path]})
        )
        for kind in SKY:
            files = done.folder / "results/simulated" / kind
            shutil.copytree(sky / kind, files, ignore=shutil.ignore_patterns(*FILES))
            for name in FILES:
                if (sky / kind / name).exists():
                    (files / name).symlink_to(sky / kind / name)
        done.list_nights(path, "early.fits")
        return done

    return make


@pytest.fixture(scope="session")
def finished(checkout: Callable[..., Checkout]) -> Checkout:
    """A checkout in which binaries have been sought to the end. Tests leave it as it is."""
    done = checkout("binaries")
    done.snakemake()
    return done


@pytest.fixture(scope="session")
def finished_mstars(checkout: Callable[..., Checkout]) -> Checkout:
    """A checkout in which M stars have been sought to the end. Tests leave it as it is."""
    done = checkout("mstars")
    done.snakemake()
    return done


@pytest.fixture(scope="session")
def finished_emission(checkout: Callable[..., Checkout]) -> Checkout:
    """A checkout in which emission has been sought to the end. Tests leave it as it is."""
    done = checkout("emission")
    done.snakemake()
    return done


@pytest.fixture(scope="session")
def finished_bhb(checkout: Callable[..., Checkout]) -> Checkout:
    """A checkout in which BHB stars have been sought to the end. Tests leave it as it is."""
    done = checkout("bhb")
    done.snakemake()
    return done


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory, settings: dict[str, Any]) -> Checkout:
    """A checkout in which the demo has been run to the end, all paths. Tests leave it as it is."""
    done = make_checkout(tmp_path_factory.mktemp("demo") / "starsift", settings)
    done.snakemake()
    return done
