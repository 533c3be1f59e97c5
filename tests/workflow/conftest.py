"""Tiny surveys that run in checkouts of their own."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from astropy.table import Table
from fixtures.checkouts import (
    CATALOG,
    FILES,
    ROOT,
    SKY,
    SMALL,
    Checkout,
    list_nights,
    make_checkout,
    merged,
)

from starsift.demo.emission import simulate_emission
from starsift.demo.lrs import simulate_lrs
from starsift.demo.mrs import simulate_survey
from starsift.demo.sdss import simulate_sdss


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
            tmp_path_factory.mktemp("checkout") / "starsift", merged(real, {"searches": [path]})
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
