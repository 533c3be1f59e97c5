"""Attempts to get past the guard of the review app."""

import json
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient
from fixtures.review_server import BASE, ORIGIN, PORT, ROUND, SECRET, TOKEN

from starsift.review.guard import BODY_LIMIT
from starsift.review.labels import LabelStore
from starsift.review.results import Results

PATHS = ("/", f"/{TOKEN}", f"/{TOKEN[:-1]}/", f"/{TOKEN}t/", f"//{TOKEN}/")


@pytest.mark.parametrize("path", [*PATHS, "/api/session", "/static/app.js", "/openapi.json"])
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
    "host", ["evil.example", "127.0.0.1:1", f"localhost.evil.example:{PORT}", f"user@127.0.0.1:{PORT}", ""]
)
def test_other_hosts_are_refused(client: TestClient, host: str) -> None:
    answer = client.get(f"{BASE}/api/session", headers={"Host": host})
    assert answer.status_code == 400
    assert "Host must be" in answer.json()["detail"]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LOCALHOST", "[::1]"])
def test_its_own_hosts_are_served(client: TestClient, host: str) -> None:
    assert client.get(f"{BASE}/api/session", headers={"Host": f"{host}:{PORT}"}).status_code == 200


def test_two_hosts_are_refused(client: TestClient) -> None:
    request = client.build_request("GET", f"{BASE}/api/session")
    request.headers = httpx.Headers([("host", f"127.0.0.1:{PORT}"), ("host", "evil.example")])
    assert client.send(request).status_code == 400


EVIL = "http://evil.example"
JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        *(
            (JSON | {"Origin": origin}, 403)
            for origin in (EVIL, "null", f"https://127.0.0.1:{PORT}", f"{ORIGIN}.evil.example")
        ),
        (JSON | {"Origin": f"{ORIGIN}, {EVIL}"}, 403),
        *((JSON | {"Origin": origin}, 200) for origin in (ORIGIN, f"http://localhost:{PORT}")),
        *(({"Content-Type": kind}, 415) for kind in ("text/plain", "multipart/form-data", "")),
    ],
)
def test_only_its_own_page_can_write(
    client: TestClient, store: LabelStore, headers: dict[str, str], status: int
) -> None:
    body = json.dumps({"user": "ann", "label": "bad"})
    answer = client.post(f"{ROUND}/items/0/label", content=body, headers=headers)
    assert answer.status_code == status
    assert (store.current("emission") == {}) == (status != 200)


def test_large_bodies_are_refused(client: TestClient, store: LabelStore) -> None:
    body = json.dumps({"user": "ann", "comment": "x" * BODY_LIMIT}).encode()
    chunks = (body[at : at + 1000] for at in range(0, len(body), 1000))  # no length is told
    lying = JSON | {"Content-Length": "-1"}
    for content, headers in ((body, JSON), (chunks, JSON), (b"{}", lying)):
        assert client.post(f"{ROUND}/items/0/label", content=content, headers=headers).status_code == 413
    assert store.current("emission") == {}


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
        403: client.post(f"{ROUND}/undo", json={}, headers={"Origin": EVIL}),
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
        names = ("x-content-type-options", "referrer-policy", "cache-control")
        assert [answer.headers[name] for name in names] == ["nosniff", "no-referrer", "no-store"]
        assert "access-control-allow-origin" not in answer.headers
        if status != 200:
            assert isinstance(answer.json()["detail"], str)
    assert SECRET not in answers[500].text


@pytest.mark.parametrize("path", ["docs", "openapi.json"])
def test_no_documentation_is_served(client: TestClient, path: str) -> None:
    assert client.get(f"{BASE}/{path}").status_code == 404


@pytest.mark.parametrize("method", ["DELETE", "OPTIONS"])
def test_other_methods_do_nothing(client: TestClient, method: str) -> None:
    headers = {"Origin": "http://evil.example", "Access-Control-Request-Method": "POST"}
    answer = client.request(method, f"{ROUND}/items/0/label", headers=headers)
    assert answer.status_code == 405
    assert "access-control-allow-origin" not in answer.headers
