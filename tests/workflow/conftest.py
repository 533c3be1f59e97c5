"""Tiny surveys that run in checkouts of their own."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from astropy.table import Table
from fixtures.checkouts import CATALOG, FILES, ROOT, SKY, SMALL, Checkout, list_nights, make_checkout, merged

from starsift.demo.emission import simulate_emission
from starsift.demo.lrs import simulate_lrs
from starsift.demo.mrs import simulate_survey
from starsift.demo.sdss import simulate_sdss
from starsift.searches.registry import SEARCHES


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
        folder = tmp_path_factory.mktemp("checkout") / "starsift"
        done = make_checkout(folder, merged(real, {"searches": [path]}))
        for kind in SKY:
            files = done.folder / "results/simulated" / kind
            shutil.copytree(sky / kind, files, ignore=shutil.ignore_patterns(*FILES))
            for name in FILES:
                if (sky / kind / name).exists():
                    (files / name).symlink_to(sky / kind / name)
        done.list_nights(path, "early.fits")
        return done

    return make


def finish(search: str) -> Callable[..., Checkout]:
    """A fixture: a checkout in which a search has run to the end. Tests leave it as it is."""

    @pytest.fixture(scope="session", name=f"finished_{search}")
    def run(checkout: Callable[..., Checkout]) -> Checkout:
        done = checkout(search)
        done.snakemake()
        return done

    return run


finished_binaries, finished_mstars, finished_emission, finished_bhb = map(finish, SEARCHES)


@pytest.fixture
def run(search: str, request: pytest.FixtureRequest) -> Checkout:
    """The finished checkout of a search, or of the demo."""
    done: Checkout = request.getfixturevalue("demo" if search == "demo" else f"finished_{search}")
    return done


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory, settings: dict[str, Any]) -> Checkout:
    """A checkout in which the demo has run to the end, all searches. Tests leave it as it is."""
    done = make_checkout(tmp_path_factory.mktemp("demo") / "starsift", settings)
    done.snakemake()
    return done
