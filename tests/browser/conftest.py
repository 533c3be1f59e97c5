"""A server of the review app over small results, and Chromium pages that must not complain or leave it."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pyarrow as pa
import pytest
from fixtures.browser import BUNDLE, PROBABILITIES, ROUNDS, Server, Watch
from fixtures.review_files import make_results
from fixtures.survey_files import identity_of

from starsift.io.parquet import write_parquet
from starsift.review.labels import LabelStore
from starsift.spectra.batches import SpectrumBatch, write_bundle, write_index

CHROMIUM = shutil.which("chromium")
ARGUMENTS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
MISSING = "Chromium is not installed (Debian: apt-get install chromium)"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Without Chromium these tests are skipped on a laptop, and fail where changes are checked."""
    if CHROMIUM is None and not os.environ.get("CI"):
        for item in items:
            if Path(__file__).parent in item.path.parents:
                item.add_marker(pytest.mark.skip(reason=MISSING))


def add_rounds(folder: Path) -> None:
    """Rounds of queries, each of spectra of its own: a continuum with an emission line at Halpha."""
    n = sum(ROUNDS.values())
    rng = np.random.default_rng(5)
    wavelength = 10.0 ** (3.8 + 1e-4 * np.arange(400))  # 6310 to 6917 Angstrom
    identity = identity_of(BUNDLE, planid=["R"] * n, lmjd=[56400] * n, dec=np.full(n, 5.0))
    identity |= {"snr": np.full(n, 30.0), "ra": np.arange(float(n))}
    line = rng.uniform(0, 2, (n, 1)) * np.exp(-0.5 * ((wavelength - 6564.6) / 3) ** 2)
    flux = 100 * (1 + line) + rng.normal(0, 3, line.shape)
    mask = np.zeros(flux.shape, np.uint8)
    mask[:, 100:104] = 1
    arrow = folder / "spectra/pool/fields.arrow"
    batch = SpectrumBatch.from_arrays(identity, wavelength, flux, np.full(flux.shape, 1 / 9), mask)
    write_bundle(arrow, [batch])
    write_index(arrow, arrow.with_suffix(".parquet"))
    manifest = batch.identity.drop_columns(["status"]).append_column("bundle", pa.array(["fields"] * n))
    write_parquet(manifest, folder / "manifest/pool.parquet")
    first = 0
    for number, count in ROUNDS.items():
        rows = np.arange(first, first + count)
        query = {
            "purpose": ["query"] * count,
            "rank": pa.array(range(count), pa.int32()),
            "spectrum_id": [BUNDLE[row] for row in rows],
            "bundle": ["fields"] * count,
            "row": pa.array(rows, pa.int64()),
            **{name: pa.array([p] * count, pa.float32()) for name, p in PROBABILITIES.items()},
            "score": pa.array([1.04] * count, pa.float32()),
        }
        write_parquet(pa.table(query), folder / f"emission/round-{number}/query.parquet")
        first += count


@pytest.fixture(scope="session")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("review") / "results"
    make_results(folder)
    add_rounds(folder)
    return folder


@pytest.fixture(scope="session")
def server(results: Path) -> Iterator[Server]:
    server = Server(results, results.parent / "labels.sqlite")
    server.start()
    yield server
    server.kill()


@pytest.fixture
def store(server: Server) -> Iterator[LabelStore]:
    """What the server has saved, read from the file."""
    with LabelStore(server.labels, read_only=True) as store:
        yield store


@pytest.fixture(scope="session")
def browser():
    if CHROMIUM is None:
        pytest.fail(MISSING)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
def open_page(browser, server: Server, watch: Watch) -> Iterator[Callable]:
    """Opens the app in a context of its own (as another person's browser); checks its manners afterwards."""
    contexts = []

    def open_page(queue: str = "", user: str | None = "ada", *, url: str | None = None, **options):
        context = browser.new_context(viewport={"width": 1440, "height": 900}, **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(15_000)
        page.on("console", lambda message: message.type == "error" and watch.errors.append(message.text))
        page.on("pageerror", lambda error: watch.errors.append(str(error)))
        page.on("request", lambda request: watch.hosts.add(urlsplit(request.url).hostname or "data"))
        page.goto((url or server.url) + (f"?user={user}" if user else "") + (f"#{queue}" if queue else ""))
        return page

    yield open_page
    for context in contexts:
        context.close()
    errors = [e for e in watch.errors if not (watch.may_lose_server and "net::ERR_" in e)]
    assert errors == []
    assert watch.hosts <= {"127.0.0.1", "data"}
