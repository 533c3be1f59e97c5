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
from starsift.searches.registry import SEARCHES


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that look at one finished run go to one process, those of other runs to others."""
    for item in items:
        if Path(__file__).parent not in item.path.parents:
            continue
        fixtures = {*getattr(item, "fixturenames", ())}
        # Fixtures that a test asks for by the value of a parameter.
        if (spec := getattr(item, "callspec", None)) and {"run", "request"} & fixtures:
            fixtures |= {f"finished_{spec.params.get('search')}", spec.params.get("finished")}
        for name in ("demo", *(f"finished_{search}" for search in SEARCHES)):
            if name in fixtures:
                item.add_marker(pytest.mark.xdist_group(name))
                break


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


def finish(checkout: Callable[..., Checkout], search: str) -> Checkout:
    """A checkout in which a search has run to the end. Tests leave it as it is."""
    done = checkout(search)
    done.snakemake()
    return done


@pytest.fixture(scope="session")
def finished_binaries(checkout: Callable[..., Checkout]) -> Checkout:
    return finish(checkout, "binaries")


@pytest.fixture(scope="session")
def finished_mstars(checkout: Callable[..., Checkout]) -> Checkout:
    return finish(checkout, "mstars")


@pytest.fixture(scope="session")
def finished_emission(checkout: Callable[..., Checkout]) -> Checkout:
    return finish(checkout, "emission")


@pytest.fixture(scope="session")
def finished_bhb(checkout: Callable[..., Checkout]) -> Checkout:
    return finish(checkout, "bhb")


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory, settings: dict[str, Any]) -> Checkout:
    """A checkout in which the demo has run to the end, all searches. Tests leave it as it is."""
    done = make_checkout(tmp_path_factory.mktemp("demo") / "starsift", settings)
    done.snakemake()
    return done
