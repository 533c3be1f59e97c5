"""SAMP: what the app sends arrives at an application on a hub of the test's own."""

import threading
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import numpy as np
import pytest
from astropy.table import Table
from astropy.utils.exceptions import AstropyDeprecationWarning
from fastapi.testclient import TestClient
from fixtures.review_files import LRS, MRS, Truth
from fixtures.review_server import BASE

from starsift.errors import SampError
from starsift.review import samp
from starsift.review.results import Results
from starsift.review.samp import SampLink

with warnings.catch_warnings():
    warnings.simplefilter("ignore", AstropyDeprecationWarning)
    from astropy.samp import SAMPHubServer, SAMPIntegratedClient

pytestmark = pytest.mark.filterwarnings("ignore:The unit 'Angstrom'")
TABLE, SPECTRUM = "table.load.votable", "spectrum.load.ssa-generic"
ROW, SKY = "table.highlight.row", "coord.pointAt.sky"


@dataclass
class Application:
    """A client of the hub that keeps what it is sent, and says no to the next `failures` of a kind."""

    mtypes: tuple[str, ...]
    client: SAMPIntegratedClient = field(init=False)
    got: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    failures: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.client = SAMPIntegratedClient(name="listener", addr="127.0.0.1")
        self.client.connect()
        for mtype in self.mtypes:
            self.client.bind_receive_call(mtype, self.receive)

    def receive(self, key: str, sender: str, id: str, mtype: str, parameters: dict, extra: dict) -> None:
        self.got.append((mtype, parameters))
        time.sleep(0.05)  # astropy's hub loses an answer that comes before it begins to wait for it
        if self.failures.get(mtype, 0):
            self.failures[mtype] -= 1
            self.client.ereply(id, "samp.error", error={"samp.errortxt": "not yet"})
            return
        if "url" in parameters:
            # Read while it is there, as TOPCAT does.
            self.tables.append(Table.read(unquote(urlsplit(parameters["url"]).path), format="votable"))
        self.client.ereply(id, "samp.ok", result={})

    def kinds(self) -> list[str]:
        return [mtype for mtype, _ in self.got]


def start_hub(folder: Path) -> SAMPHubServer:
    options = {"addr": "127.0.0.1", "web_profile": False, "mode": "single", "timeout": 60}
    hub = SAMPHubServer(lockfile=str(folder / "hub.samp"), **options)
    hub.start()
    return hub


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SAMPHubServer]:
    """A hub that only those who know its file can find, on this machine."""
    monkeypatch.setenv("SAMP_HUB", f"std-lockurl:{(tmp_path / 'hub.samp').as_uri()}")
    hub = start_hub(tmp_path)
    yield hub
    if hub.is_running:
        hub.stop()


@pytest.fixture
def link() -> Iterator[SampLink]:
    link = SampLink()
    yield link
    link.close()


@pytest.fixture
def application(hub: SAMPHubServer) -> Iterator[Application]:
    listener = Application((TABLE, SPECTRUM, ROW, SKY))
    yield listener
    if hub.is_running:
        listener.client.disconnect()


WAVE = np.linspace(6500.0, 6700.0, 50)
FLUX = np.linspace(1.0, 2.0, 50, dtype=np.float32)
ERROR = np.full(50, 0.1, np.float32)


def test_without_a_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, link: SampLink) -> None:
    monkeypatch.setenv("SAMP_HUB", f"std-lockurl:{(tmp_path / 'none').as_uri()}")
    assert not link.available()
    with pytest.raises(SampError, match="no SAMP hub is running"):
        link.send_spectrum("a", WAVE, FLUX, ERROR)


def test_with_a_hub_where_nobody_listens(hub: SAMPHubServer, link: SampLink) -> None:
    assert link.available()
    with pytest.raises(SampError, match="no application"):
        link.send_spectrum("a", WAVE, FLUX, ERROR)


def test_a_spectrum(application: Application, link: SampLink) -> None:
    assert link.send_spectrum(MRS[0], WAVE, FLUX, ERROR) == 1
    # An application that knows spectra does not get it a second time as a table.
    assert application.kinds() == [SPECTRUM]
    sent = application.got[0][1]
    assert sent["name"] == MRS[0]
    assert sent["url"].startswith("file:///")
    table = application.tables[0]
    np.testing.assert_array_equal(table["wavelength"], WAVE)
    np.testing.assert_array_equal(table["flux"], FLUX)
    assert str(table["wavelength"].unit) == "Angstrom"


def test_a_spectrum_for_those_who_know_tables_only(hub: SAMPHubServer, link: SampLink) -> None:
    topcat = Application((TABLE,))
    assert link.send_spectrum(LRS[0], WAVE, FLUX, ERROR) == 1
    assert topcat.kinds() == [TABLE]
    np.testing.assert_array_equal(topcat.tables[0]["flux"], FLUX)
    topcat.client.disconnect()


def test_files_are_private_and_go_with_the_app(application: Application) -> None:
    link = SampLink()
    link.send_spectrum("a", WAVE, FLUX, ERROR)
    link.send_spectrum("b", WAVE, 2 * FLUX, ERROR)
    files = [Path(unquote(urlsplit(sent["url"]).path)) for _, sent in application.got]
    assert len(set(files)) == 2
    assert all(file.is_file() for file in files)
    assert files[0].parent.stat().st_mode & 0o077 == 0
    link.close()
    assert not files[0].parent.exists()


def test_a_row_is_marked_once_the_table_is_there(
    application: Application, link: SampLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(samp, "PAUSE", 0.05)
    table = Table({"spectrum_id": LRS})
    assert link.send_table("q", lambda: table) == 1
    identifier = application.got[0][1]["table-id"]
    application.failures[ROW] = 2  # as TOPCAT, which still loads
    assert link.highlight("q", 3, 10.5, -0.25) == 1
    assert application.kinds() == [TABLE, ROW, ROW, ROW, SKY]
    assert application.got[3][1] == {"table-id": identifier, "row": "3"}
    assert {key: float(value) for key, value in application.got[4][1].items()} == {"ra": 10.5, "dec": -0.25}
    application.failures[ROW] = 99
    with pytest.raises(SampError, match="no application"):
        link.highlight("q", 3, None, None)


def test_a_row_of_a_table_that_was_not_sent(application: Application, link: SampLink) -> None:
    with pytest.raises(SampError, match="send the table first"):
        link.highlight("q", 0, None, None)
    assert application.kinds() == []
    assert link.highlight("q", 0, 1.0, 2.0) == 1  # the sky can still be shown
    assert application.kinds() == [SKY]


def test_a_second_hub_is_found_when_the_first_has_ended(
    hub: SAMPHubServer, application: Application, link: SampLink, tmp_path: Path
) -> None:
    link.send_table("q", lambda: Table({"a": [1]}))
    application.client.disconnect()
    hub.stop()
    with pytest.raises(SampError):
        link.send_table("q", lambda: Table({"a": [1]}))
    second = start_hub(tmp_path)
    try:
        other = Application((TABLE, ROW))
        # What the first hub's applications were sent is unknown here.
        with pytest.raises(SampError, match="send the table first"):
            link.highlight("q", 0, None, None)
        assert link.send_table("q", lambda: Table({"a": [1]})) == 1
        other.client.disconnect()
    finally:
        second.stop()


def test_nobody_can_send_to_the_app(application: Application, link: SampLink) -> None:
    link.send_spectrum("a", WAVE, FLUX, ERROR)
    mine = application.client
    names = {mine.get_metadata(id).get("samp.name"): id for id in mine.get_registered_clients()}
    assert mine.get_subscriptions(names["starsift"]) == {}


def test_through_the_server(
    application: Application, written: Truth, results: Results, client: TestClient
) -> None:
    assert client.get(f"{BASE}/api/session").json()["samp"] is True
    where = {"queue": "binaries-spectra", "position": 2}
    table = {"queue": "binaries-spectra"}
    for what, body in (("spectrum", where), ("table", table), ("highlight", where)):
        assert client.post(f"{BASE}/api/samp/{what}", json=body).json() == {"sent_to": 1}
    spectrum, table = application.tables
    np.testing.assert_array_equal(spectrum["flux"], np.delete(written.spectra["night"].flux[3], 30))
    # Row and position agree, units and missing values are kept.
    assert tuple(table["spectrum_id"]) == results.queue("binaries-spectra").ids
    assert str(table["rv_1"].unit) == "km / s"
    assert np.ma.getmaskarray(table["rv_3"]).all()
    assert application.got[2] == (ROW, {"table-id": "starsift:binaries-spectra", "row": "2"})
    assert application.kinds() == [SPECTRUM, TABLE, ROW, SKY]


def test_a_slow_application_does_not_stop_the_rest(
    application: Application, link: SampLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(samp, "TIMEOUT", 1)
    stuck = Application((TABLE,))
    release = threading.Event()
    stuck.client.bind_receive_call(TABLE, lambda *_: release.wait(20))
    start = time.monotonic()
    assert link.send_table("q", lambda: Table({"a": [1]})) == 1
    assert time.monotonic() - start < 10
    assert application.kinds() == [TABLE]
    release.set()
    stuck.client.disconnect()
