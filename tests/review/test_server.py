"""The server of the review app: its answers, and attempts to get past its guard."""

import asyncio
import http.client
import json
import os
import queue
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import webbrowser
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import httpx
import pyarrow.parquet as pq
import pytest
from fastapi.testclient import TestClient
from fixtures.review_files import LRS, Truth, make_results

from starsift.cli import main
from starsift.review.app import create_app
from starsift.review.guard import BODY_LIMIT
from starsift.review.labels import LabelStore
from starsift.review.results import Results
from starsift.review.routers.page import STATIC
from starsift.review.server import _open_browser
from starsift.searches.registry import SEARCHES

TOKEN = "t" * 43
PORT = 8123
ORIGIN = f"http://127.0.0.1:{PORT}"
BASE = f"{ORIGIN}/{TOKEN}"
ROUND = f"{BASE}/api/queues/emission-round-00"
SECRET = "what nobody may read"


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> Truth:
    folder = tmp_path_factory.mktemp("server")
    (folder / "secret.txt").write_text(SECRET)
    truth = make_results(folder / "results")
    (folder / "results/link.txt").symlink_to(folder / "secret.txt")
    return truth


@pytest.fixture(scope="module")
def results(truth: Truth) -> Results:
    return Results(truth.folder)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LabelStore]:
    with LabelStore(tmp_path / "labels.sqlite") as store:
        yield store


@pytest.fixture(autouse=True)
def no_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Never speak to a SAMP hub of whoever runs the tests."""
    monkeypatch.setenv("SAMP_HUB", f"std-lockurl:{(tmp_path / 'no-hub').as_uri()}")


def client_of(results: Results, store: LabelStore, **settings: Any) -> TestClient:
    app = create_app(results, store, token=TOKEN, port=PORT, **settings)
    return TestClient(app, base_url=ORIGIN, raise_server_exceptions=False, follow_redirects=False)


@pytest.fixture
def client(results: Results, store: LabelStore) -> Iterator[TestClient]:
    with client_of(results, store, user="ann", queue="emission-round-00") as client:
        yield client


def raw_get(client: TestClient, path: str) -> tuple[int, str]:
    """Status and body of a path as it is: HTTP clients tidy up dots."""
    scope = {
        "type": "http",
        "method": "GET",
        "path": unquote(path),
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(b"host", f"127.0.0.1:{PORT}".encode())],
    }
    messages: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b""}

    async def send(message: dict[str, Any]) -> None:
        messages.append(message)

    # In a thread of its own: where browsers are tested in the same process, this one has a loop already.
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, client.app(scope, receive, send)).result()  # type: ignore[arg-type]
    return messages[0]["status"], b"".join(m.get("body", b"") for m in messages[1:]).decode(errors="replace")


def label(client: TestClient, position: int, user: str = "ann", **body: Any) -> httpx.Response:
    return client.post(f"{ROUND}/items/{position}/label", json={"user": user, **body})


# -- what it answers -------------------------------------------------------------------------------------


def test_session(client: TestClient, results: Results) -> None:
    session = client.get(f"{BASE}/api/session").json()
    assert (session["user"], session["read_only"], session["samp"]) == ("ann", False, False)
    assert session["queue"] == "emission-round-00"
    assert {q["id"]: q["total"] for q in session["queues"]} == {
        id: len(q.ids) for id, q in results.queues().items()
    }
    assert {name: [word["label"] for word in words] for name, words in session["vocabulary"].items()} == {
        name: [word.label for word in search.words] for name, search in SEARCHES.items()
    }
    assert set(session["lines"]) == set(session["windows"]) == {"binaries", "mstars", "emission", "bhb"}


def test_labelling_shows_in_everything(client: TestClient) -> None:
    answer = label(client, 1, label="double peak", comment="narrow").json()
    assert answer["labels"]["ann"]["label"] == "double peak"
    assert answer["progress"] == {
        "total": 3,
        "labelled": 1,
        "mine": 1,
        "by_person": {"ann": 1},
        "disagreements": 0,
        "flagged": 0,
    }
    label(client, 1, "bob", label="single peak", flag=True)
    item = client.get(f"{ROUND}/items/1").json()
    assert item["spectrum_id"] == LRS[1]
    assert {who: said["label"] for who, said in item["labels"].items()} == {
        "ann": "double peak",
        "bob": "single peak",
    }
    assert item["labels"]["ann"]["comment"] == "narrow"
    assert [(e["who"], e["label"], e["undone"]) for e in item["history"]] == [
        ("ann", "double peak", False),
        ("bob", "single peak", False),
    ]
    rows = client.get(f"{ROUND}/rows", params={"start": 1, "count": 1}).json()["rows"]
    assert rows == [
        {
            "position": 1,
            "spectrum_id": LRS[1],
            "labels": {"ann": "double peak", "bob": "single peak"},
            "flag": True,
            "disagreement": True,
        }
    ]
    progress = client.get(ROUND, params={"user": "bob"}).json()
    assert (progress["mine"], progress["disagreements"], progress["flagged"]) == (1, 1, 1)


def test_undo_goes_back_and_keeps_history(client: TestClient) -> None:
    label(client, 0, label="bad")
    label(client, 2, label="single peak")
    answer = client.post(f"{ROUND}/undo", json={"user": "ann"}).json()
    assert (answer["position"], answer["labels"], answer["progress"]["mine"]) == (2, {}, 1)
    assert [(e["label"], e["undone"]) for e in answer["history"]] == [("single peak", True)]
    assert client.post(f"{ROUND}/undo", json={"user": "ann"}).json()["position"] == 0
    assert client.post(f"{ROUND}/undo", json={"user": "ann"}).json()["position"] is None


def test_claims_of_two_people_do_not_overlap(client: TestClient) -> None:
    def claim(**body: Any) -> list[int]:
        return client.post(f"{ROUND}/claim", json=body).json()["positions"]

    assert claim(user="ann", count=2, after=0) == [1, 2]  # after the first, in order
    assert claim(user="bob", count=2) == [0]
    assert claim(user="bea", count=2) == []
    client.post(f"{ROUND}/release", json={"user": "ann"})
    assert claim(user="bea", count=1, after=1) == [2]
    assert claim(user="ann", count=5, after=1) == [1]  # wraps past the end
    label(client, 1, label="bad")
    assert claim(user="bob", count=5, second_opinion=True) == [0, 1]


def test_export_is_what_the_store_exports(client: TestClient, store: LabelStore, tmp_path: Path) -> None:
    label(client, 0, label="single peak")
    answer = client.get(f"{BASE}/api/export")
    (tmp_path / "got.parquet").write_bytes(answer.content)
    store.export(tmp_path / "expected.parquet")
    assert answer.content == (tmp_path / "expected.parquet").read_bytes()
    assert pq.read_table(tmp_path / "got.parquet")["label"].to_pylist() == ["single peak"]


def test_other_exposures(client: TestClient) -> None:
    item = f"{BASE}/api/queues/binaries-spectra/items/0"
    key = client.get(item).json()["others"][0]["key"]
    other = client.get(f"{item}/others/{key}").json()
    assert other["spectrum_id"].endswith("/84420194")
    assert set(other) == {"spectrum_id", "spectrum", "flux", "error", "good"}
    assert client.get(f"{item}/others/77").status_code == 404


def test_read_only_takes_nothing(results: Results, store: LabelStore) -> None:
    store.add("emission", LRS[5], "ann", queue="emission-round-00", label="bad")
    with client_of(results, store, read_only=True) as client:
        assert client.get(f"{BASE}/api/session").json()["read_only"] is True
        assert client.get(f"{ROUND}/items/0").json()["labels"]["ann"]["label"] == "bad"
        for answer in (
            label(client, 0, label="single peak"),
            client.post(f"{ROUND}/undo", json={"user": "ann"}),
            client.post(f"{ROUND}/claim", json={"user": "ann"}),
            client.post(f"{ROUND}/release", json={"user": "ann"}),
        ):
            assert answer.status_code == 409
            assert "--read-only" in answer.json()["detail"]
    assert store.current("emission")[LRS[5]]["ann"].label == "bad"


def test_samp_without_a_hub(client: TestClient) -> None:
    answer = client.post(f"{BASE}/api/samp/table", json={"queue": "emission-round-00"})
    assert answer.status_code == 503
    assert "start TOPCAT or Aladin" in answer.json()["detail"]


# -- what it refuses -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "/",
        f"/{TOKEN}",
        f"/{TOKEN[:-1]}/",
        f"/{TOKEN}t/",
        f"/{TOKEN.upper()}/",
        "//",
        f"//{TOKEN}/",
        "/api/session",
        "/static/app.js",
        f"/x/{TOKEN}/",
        f"/%20{TOKEN}/",
        "/\u00e9/",
        "/docs",
        "/openapi.json",
    ],
)
def test_nothing_without_the_token(client: TestClient, path: str) -> None:
    answer = client.get(f"{ORIGIN}{path}")
    assert answer.status_code == 404
    assert set(answer.json()) == {"detail"}
    assert TOKEN not in answer.text


def test_token_elsewhere_does_not_help(client: TestClient) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}", "Cookie": f"token={TOKEN}"}
    answer = client.get(f"{ORIGIN}/api/session", params={"token": TOKEN}, headers=headers)
    assert answer.status_code == 404


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        f"evil.example:{PORT}",
        "127.0.0.1",
        "127.0.0.1:1",
        f"127.0.0.2:{PORT}",
        f"0.0.0.0:{PORT}",
        f"127.0.0.1:{PORT}.evil.example",
        f"localhost.evil.example:{PORT}",
        f"user@127.0.0.1:{PORT}",
        "",
    ],
)
def test_other_hosts_are_refused(client: TestClient, host: str) -> None:
    answer = client.get(f"{BASE}/api/session", headers={"Host": host})
    assert answer.status_code == 400
    assert "Host must be" in answer.json()["detail"]


@pytest.mark.parametrize(
    "host", [f"127.0.0.1:{PORT}", f"localhost:{PORT}", f"LOCALHOST:{PORT}", f"[::1]:{PORT}"]
)
def test_its_own_hosts_are_served(client: TestClient, host: str) -> None:
    assert client.get(f"{BASE}/api/session", headers={"Host": host}).status_code == 200


def test_two_hosts_are_refused(client: TestClient) -> None:
    request = client.build_request("GET", f"{BASE}/api/session")
    request.headers = httpx.Headers([("host", f"127.0.0.1:{PORT}"), ("host", "evil.example")])
    assert client.send(request).status_code == 400


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example",
        "null",
        f"https://127.0.0.1:{PORT}",
        "http://127.0.0.1",
        f"{ORIGIN}.evil.example",
        "",
        f"{ORIGIN}/",
        f"{ORIGIN}, http://evil.example",
    ],
)
def test_other_origins_cannot_write(client: TestClient, store: LabelStore, origin: str) -> None:
    body = {"user": "ann", "label": "bad"}
    answer = client.post(f"{ROUND}/items/0/label", json=body, headers={"Origin": origin})
    assert answer.status_code == 403
    assert store.current("emission") == {}


def test_its_own_origin_can(client: TestClient) -> None:
    body = {"user": "ann", "label": "bad"}
    for origin in (ORIGIN, f"http://localhost:{PORT}"):
        answer = client.post(f"{ROUND}/items/0/label", json=body, headers={"Origin": origin})
        assert answer.status_code == 200


@pytest.mark.parametrize(
    "kind",
    ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "application/jsonp", ""],
)
def test_forms_of_other_pages_cannot_write(client: TestClient, store: LabelStore, kind: str) -> None:
    body = json.dumps({"user": "ann", "label": "bad"})
    answer = client.post(f"{ROUND}/items/0/label", content=body, headers={"Content-Type": kind})
    assert answer.status_code == 415
    assert store.current("emission") == {}


def test_large_bodies_are_refused(client: TestClient, store: LabelStore) -> None:
    body = json.dumps({"user": "ann", "comment": "x" * BODY_LIMIT}).encode()
    kind = {"Content-Type": "application/json"}
    assert client.post(f"{ROUND}/items/0/label", content=body, headers=kind).status_code == 413
    chunks = (body[at : at + 1000] for at in range(0, len(body), 1000))  # no length is told
    assert client.post(f"{ROUND}/items/0/label", content=chunks, headers=kind).status_code == 413
    lying = kind | {"Content-Length": "-1"}
    assert client.post(f"{ROUND}/items/0/label", content=b"{}", headers=lying).status_code == 413
    assert store.current("emission") == {}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"user": 1}',
        b'{"user": "ann", "label": 3}',
        b'{"user": "ann", "flag": "yes"}',
        b'{"user": "ann", "label": "bad", "path": "bhb"}',
        b'{"label": "bad"}',
        b'{"user": "ann"}',
        b"\xff\xfe",
        b'{"user": "", "label": "bad"}',
        b'{"user": "a\\u0000b", "label": "bad"}',
        b'{"user": "ann", "label": ""}',
        json.dumps({"user": "u" * 65, "label": "bad"}).encode(),
        json.dumps({"user": "ann", "comment": "c" * 2001}).encode(),
        json.dumps({"user": "ann", "label": "SB2"}).encode(),
        b"[" * 5000,
    ],
)
def test_malformed_labels_are_refused(client: TestClient, store: LabelStore, body: bytes) -> None:
    kind = {"Content-Type": "application/json"}
    answer = client.post(f"{ROUND}/items/0/label", content=body, headers=kind)
    assert answer.status_code in (400, 422)
    assert isinstance(answer.json()["detail"], str)
    assert store.current("emission") == {}


def test_a_label_outside_the_vocabulary_names_those_in_it(client: TestClient) -> None:
    detail = label(client, 0, label="emision").json()["detail"]
    assert "'emision'" in detail
    assert "single peak, double peak" in detail


WAYS_OUT = (
    *(
        "../server.py",
        "..%2fserver.py",
        "%2e%2e/server.py",
        "%2e%2e%2fserver.py",
        "..%5cserver.py",
        "....//app.js",
    ),
    *(
        "/etc/passwd",
        "%2fetc%2fpasswd",
        "file:///etc/passwd",
        "app.js%00",
        "app.js/",
        "app.js/..",
        "./app.js",
    ),
    *("index.html", "link.txt", "", "%252e%252e%252fserver.py", "APP.JS", "~root", "C:%5cwindows"),
)


@pytest.mark.parametrize("name", WAYS_OUT)
def test_static_serves_only_its_table(client: TestClient, name: str) -> None:
    status, text = raw_get(client, f"/{TOKEN}/static/{name}")
    assert status == 404
    assert "detail" in json.loads(text)


@pytest.mark.parametrize("name", [n for n, (path, _) in STATIC.items() if path.is_file()])
def test_static_serves_its_table(client: TestClient, name: str) -> None:
    answer = client.get(f"{BASE}/static/{name}")
    path, kind = STATIC[name]
    assert answer.status_code == 200
    assert answer.content == path.read_bytes()
    assert answer.headers["content-type"].startswith(kind)
    cached = answer.headers["cache-control"]
    assert cached == ("private, max-age=86400" if name.startswith("bokeh") else "no-store")


@pytest.mark.parametrize(
    "queue", ["..", "../emission-round-00", "%2e%2e", "/etc/passwd", "link.txt", "emission", "'"]
)
def test_a_queue_is_never_a_path(client: TestClient, queue: str) -> None:
    for rest in ("", "/rows", "/items/0"):
        status, text = raw_get(client, f"/{TOKEN}/api/queues/{queue}{rest}")
        assert status == 404
        assert SECRET not in text
    answer = client.post(f"{BASE}/api/samp/table", json={"queue": queue})
    assert answer.status_code == 404


@pytest.mark.parametrize(
    "position", ["3", "-1", "1e3", "0x0", "..", "%2e%2e", "9" * 40, "0/others/../../0", "x"]
)
def test_positions_outside_the_queue(client: TestClient, position: str) -> None:
    assert raw_get(client, f"/{TOKEN}/api/queues/emission-round-00/items/{position}")[0] == 404


@pytest.mark.parametrize(
    "key", ["..", "%2e%2e%2f0", "-1", "9" * 40, "0;", "%00", quote("/etc/passwd", safe="")]
)
def test_keys_that_no_item_gave(client: TestClient, key: str) -> None:
    assert raw_get(client, f"/{TOKEN}/api/queues/binaries-spectra/items/0/others/{key}")[0] == 404


@pytest.mark.parametrize("params", [{"count": 1001}, {"count": -1}, {"start": -1}, {"start": "x"}])
def test_rows_are_limited(client: TestClient, params: dict[str, Any]) -> None:
    assert client.get(f"{ROUND}/rows", params=params).status_code == 422


@pytest.mark.parametrize("body", [{"count": 21}, {"count": 0}, {"after": -2}, {"count": "5"}])
def test_claims_are_limited(client: TestClient, body: dict[str, Any]) -> None:
    assert client.post(f"{ROUND}/claim", json={"user": "ann", **body}).status_code == 422


INJECTIONS = ("x'); DROP TABLE events; --", 'a" OR "1"="1', "ann' OR 1=1 --", "%", "_", "?1", ":who")


@pytest.mark.parametrize("text", INJECTIONS)
def test_sql_is_text(client: TestClient, store: LabelStore, text: str) -> None:
    label(client, 1, "bob", label="bad")
    assert label(client, 0, text, label="single peak", comment=text).status_code == 200
    item = client.get(f"{ROUND}/items/0").json()
    assert item["labels"] == {text: item["labels"][text]}
    assert item["labels"][text]["comment"] == text
    assert client.get(ROUND, params={"user": text}).json()["mine"] == 1
    assert client.post(f"{ROUND}/undo", json={"user": text}).json()["position"] == 0
    assert label(client, 0, label=text).status_code == 422
    assert store.current("emission")[LRS[1]]["bob"].label == "bad"


def test_markup_is_data(client: TestClient) -> None:
    text = "</script><script>alert(1)</script><img src=x onerror=alert(1)>"
    label(client, 0, text, label="bad", comment=text)
    answer = client.get(f"{ROUND}/items/0")
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.json()["labels"][text]["comment"] == text


def test_headers_on_every_answer(
    client: TestClient, results: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError(SECRET)

    monkeypatch.setattr(results, "item", broken)
    answers = {
        200: client.get(f"{BASE}/api/session"),
        404: client.get(f"{ORIGIN}/"),
        405: client.delete(f"{BASE}/api/session"),
        400: client.get(f"{BASE}/api/session", headers={"Host": "evil.example"}),
        403: client.post(f"{ROUND}/undo", json={}, headers={"Origin": "http://evil.example"}),
        415: client.post(f"{ROUND}/undo", content=b"", headers={"Content-Type": "text/plain"}),
        422: client.post(f"{ROUND}/undo", json={}),
        500: client.get(f"{ROUND}/items/0"),
    }
    for status, answer in answers.items():
        assert answer.status_code == status
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self';" in policy
        assert "unsafe-eval" not in policy
        assert "frame-ancestors 'none'" in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cache-control"] == "no-store"
        assert "access-control-allow-origin" not in answer.headers
        if status != 200:
            assert isinstance(answer.json()["detail"], str)
    assert SECRET not in answers[500].text


def test_a_label_that_cannot_be_saved_is_not_hidden(
    client: TestClient, store: LabelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError("labels.sqlite: cannot be written (database or disk is full)")

    monkeypatch.setattr(store, "add", full)
    answer = label(client, 0, label="bad")
    assert answer.status_code == 500
    assert "disk is full" in answer.json()["detail"]


@pytest.mark.parametrize("path", ["docs", "redoc", "openapi.json", "docs/oauth2-redirect"])
def test_no_documentation_is_served(client: TestClient, path: str) -> None:
    assert client.get(f"{BASE}/{path}").status_code == 404


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_other_methods_do_nothing(client: TestClient, method: str) -> None:
    headers = {"Origin": "http://evil.example", "Access-Control-Request-Method": "POST"}
    answer = client.request(method, f"{ROUND}/items/0/label", headers=headers)
    assert answer.status_code == 405
    assert "access-control-allow-origin" not in answer.headers


# -- the program -----------------------------------------------------------------------------------------


class Program:
    """`starsift review` in a process of its own."""

    def __init__(self, folder: Path, labels: Path, *arguments: str, **environment: str) -> None:
        command = [sys.executable, "-m", "starsift.cli", "review", str(folder), "--labels", str(labels)]
        self.process = subprocess.Popen(
            [*command, "--no-browser", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | environment,
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        found = re.fullmatch(r"Review app: (http://127\.0\.0\.1:(\d+)/([A-Za-z0-9_-]{43,})/)\n", line)
        assert found, (line, self.process.communicate())
        self.url, self.port, self.token = found[1], int(found[2]), found[3]

    def end(self, number: int) -> tuple[int, str, str]:
        self.process.send_signal(number)
        out, error = self.process.communicate(timeout=20)
        return self.process.returncode, out, error


def test_the_program(truth: Truth, tmp_path: Path) -> None:
    labels = tmp_path / "new/labels.sqlite"
    program = Program(truth.folder, labels, "--user", "ann")
    try:
        api = f"{program.url}api/queues/emission-round-00"
        assert httpx.get(f"{program.url}api/session").json()["user"] == "ann"
        page = httpx.get(program.url)
        assert page.status_code == 200
        assert page.headers["content-type"].startswith("text/html")
        body = {"user": "ann", "label": "double peak"}
        assert httpx.post(f"{api}/items/0/label", json=body).json()["progress"]["mine"] == 1
        # It listens on one loopback address: one socket on all addresses would answer here, too.
        with pytest.raises(OSError, match=r"refused|timed out|assign|reach"):
            socket.create_connection(("127.0.0.2", program.port), timeout=5)
        raw = http.client.HTTPConnection("127.0.0.1", program.port, timeout=5)
        raw.request("GET", f"/{program.token}/static/../../server.py", headers={"Host": "evil.example"})
        assert raw.getresponse().status == 400
        raw.close()
        with socket.create_connection(("127.0.0.1", program.port), timeout=5) as plain:
            plain.sendall(f"GET /{program.token}/api/session HTTP/1.0\r\n\r\n".encode())
            assert b" 400 " in plain.recv(200).splitlines()[0]
    finally:
        code, _, _ = program.end(signal.SIGKILL)
    assert code == -signal.SIGKILL
    # What was answered is there, and a second run goes on with another token.
    second = Program(truth.folder, labels)
    try:
        assert second.token != program.token
        item = httpx.get(f"{second.url}api/queues/emission-round-00/items/0").json()
        assert item["labels"]["ann"]["label"] == "double peak"
    finally:
        code, out, error = second.end(signal.SIGINT)
    assert (code, out, error) == (0, "", "")
    with sqlite3.connect(labels) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    database.close()


def test_a_fixed_token_and_an_end_by_sigterm(truth: Truth, tmp_path: Path) -> None:
    token = "A-fixed_token" * 4
    program = Program(truth.folder, tmp_path / "labels.sqlite", STARSIFT_REVIEW_TOKEN=token)
    try:
        assert program.token == token
        answer = httpx.get(f"{program.url}api/session")
        assert answer.status_code == 200
        assert "server" not in answer.headers
    finally:
        code, _, error = program.end(signal.SIGTERM)
    assert (code, error) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nowhere"], "nowhere: no such folder"),
        (["--queue", "nothing"], "there is no queue 'nothing'"),
        (["--port", "99999"], "port 99999 cannot be used"),
        (["--read-only"], "labels.sqlite"),
    ],
)
def test_what_a_user_can_mend(
    truth: Truth,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    sentence: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    where = [] if arguments == ["nowhere"] else [str(truth.folder)]
    assert main(["review", *where, "--no-browser", "--labels", "labels.sqlite", *arguments]) == 1
    error = capsys.readouterr().err
    assert sentence in error
    assert len(error.splitlines()) == 1


def test_the_browser_is_not_told_the_token_where_others_see_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: queue.Queue[str] = queue.Queue()
    monkeypatch.setattr(webbrowser, "open", opened.put)
    _open_browser(f"{BASE}/", tmp_path)
    argument = opened.get(timeout=10)
    assert TOKEN not in argument
    assert f"url={BASE}/" in Path(unquote(urlsplit(argument).path)).read_text()


def test_a_weak_token_is_refused(
    truth: Truth, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STARSIFT_REVIEW_TOKEN", "short")
    assert main(["review", str(truth.folder), "--labels", str(tmp_path / "l.sqlite"), "--no-browser"]) == 1
    assert "at least 32 letters" in capsys.readouterr().err
    assert not (tmp_path / "l.sqlite").exists()


def test_export_and_import_commands(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # not where a run's results may lie
    first, second, file = tmp_path / "a.sqlite", tmp_path / "b.sqlite", tmp_path / "labels.parquet"
    with LabelStore(first) as store:
        store.add("mstars", LRS[0], "ann", queue="mstars-vetting", label="M dwarf")
        store.add("emission", LRS[1], "bob", queue="emission-round-00", label="bad", comment="blend")
    assert main(["export", str(file), "--labels", str(first)]) == 0
    assert f"2 labels are in {file}" in capsys.readouterr().out
    assert main(["import", str(file), "--labels", str(second)]) == 0
    assert "2 labels were added" in capsys.readouterr().out
    again = tmp_path / "again.parquet"
    assert main(["export", str(again), "--labels", str(second)]) == 0
    assert again.read_bytes() == file.read_bytes()
    assert main(["import", str(file), "--labels", str(second)]) == 0
    assert "0 labels were added" in capsys.readouterr().out.splitlines()[-1]
    table = tmp_path / "mine.csv"
    table.write_text(f"spectrum_id,label\n{LRS[2]},bad\n")
    named = ["--labels", str(second), "--search", "bhb", "--user", "bea"]
    assert main(["import", str(table), *named]) == 0
    with LabelStore(second) as store:
        assert store.current("bhb")[LRS[2]]["bea"].label == "bad"
    capsys.readouterr()
    assert main(["export", str(again), "--labels", str(tmp_path / "none.sqlite")]) == 1
    assert "none.sqlite" in capsys.readouterr().err
