"""What the review app answers, and requests that it refuses."""

import base64
import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
from fastapi.testclient import TestClient
from fixtures.review_files import LRS, MRS
from fixtures.review_server import BASE, ROUND, SECRET, TOKEN, client_of, label, raw_get

from starsift.review.events import insert_event
from starsift.review.labels import LabelStore
from starsift.review.results import Results
from starsift.review.routers.page import STATIC
from starsift.searches.registry import SEARCHES


def test_session(client: TestClient, results: Results) -> None:
    session = client.get(f"{BASE}/api/session").json()
    assert (session["user"], session["read_only"], session["samp"]) == ("ann", False, False)
    assert session["queue"] == "emission-round-00"
    queues = {q["id"]: q["total"] for q in session["queues"]}
    assert queues == {id: len(q.ids) for id, q in results.queues().items()}
    words = {name: [word["label"] for word in words] for name, words in session["vocabulary"].items()}
    assert words == {name: [word.label for word in search.words] for name, search in SEARCHES.items()}
    assert set(session["lines"]) == set(session["windows"]) == set(SEARCHES)


def test_labelling_shows_in_everything(client: TestClient) -> None:
    answer = label(client, 1, label="double peak", comment="narrow").json()
    assert answer["labels"]["ann"]["label"] == "double peak"
    counts = {"total": 3, "labelled": 1, "mine": 1, "disagreements": 0, "flagged": 0}
    assert answer["progress"] == counts | {"by_person": {"ann": 1}}
    label(client, 1, "bob", label="single peak", flag=True)
    item = client.get(f"{ROUND}/items/1").json()
    labels = {"ann": "double peak", "bob": "single peak"}
    assert item["spectrum_id"] == LRS[1]
    assert {who: said["label"] for who, said in item["labels"].items()} == labels
    assert item["labels"]["ann"]["comment"] == "narrow"
    history = [(event["who"], event["label"], event["undone"]) for event in item["history"]]
    assert history == [(who, name, False) for who, name in labels.items()]
    rows = client.get(f"{ROUND}/rows", params={"start": 1, "count": 1}).json()["rows"]
    state = {"labels": labels, "flag": True, "disagreement": True}
    assert rows == [{"position": 1, "spectrum_id": LRS[1]} | state]
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


def test_columns_have_descriptions(client: TestClient) -> None:
    columns = client.get(f"{BASE}/api/queues/binaries-spectra/columns").json()["columns"]
    assert {"name", "kind", "unit", "description", "group"} == set(columns[0])
    rv = next(column for column in columns if column["name"] == "rv_1")
    assert (rv["kind"], rv["unit"]) == ("number", "km/s")
    assert rv["description"] == "Lowest heliocentric radial velocity"


def test_a_selection_and_its_rows(client: TestClient) -> None:
    queue = f"{BASE}/api/queues/mstars-vetting"

    def positions(**params: Any) -> list[int]:
        text = client.get(f"{queue}/selection", params=params).json()["positions"]
        return np.frombuffer(base64.b64decode(text), "<i4").tolist()

    assert positions() == [0, 1, 2, 3]
    assert positions(where=["p_m:0.3..", "p_m:..0.95"], sort="p_m") == [2, 1]
    client.post(f"{queue}/items/2/label", json={"user": "ann", "label": "M dwarf"})
    assert positions(label="mine", user="ann") == [2]
    assert positions(label="mine", user="bob") == []
    rows = client.get(f"{queue}/rows", params={"at": "2,0", "show": "rv"}).json()["rows"]
    assert [(row["position"], row["spectrum_id"], row["value"]) for row in rows] == [
        (2, LRS[7], ""),
        (0, LRS[6], "12.5"),
    ]
    assert rows[0]["labels"] == {"ann": "M dwarf"}
    answer = client.get(f"{queue}/selection", params={"where": "rv:fast"})
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith("rv is a number")
    assert client.get(f"{queue}/rows", params={"show": "speed"}).status_code == 404


def test_a_spectrum_is_found_by_its_name(client: TestClient) -> None:
    url = f"{BASE}/api/queues/binaries-spectra/position"
    assert client.get(url, params={"spectrum_id": MRS[3]}).json() == {"position": 2}
    assert client.get(url, params={"spectrum_id": "nobody/1"}).json() == {"position": None}


def test_thumbnails(client: TestClient) -> None:
    found = client.get(f"{ROUND}/thumbnails", params={"at": "2,0", "whole": True}).json()["thumbnails"]
    assert [each["position"] for each in found] == [2, 0]
    assert all(len(base64.b64decode(each["image"])) == 400 for each in found)
    assert client.get(f"{ROUND}/thumbnails").json() == {"thumbnails": []}


def test_one_label_for_several_spectra(client: TestClient, store: LabelStore) -> None:
    def label_all(*positions: int, **body: Any) -> Any:
        body = {"user": "ann", "label": "bad", "positions": positions} | body
        return client.post(f"{ROUND}/labels", json=body)

    answer = label_all(0, 2).json()
    assert (answer["saved"], answer["progress"]["labelled"]) == (2, 2)
    assert label_all(0, 1, 2).json()["saved"] == 1  # the others have it
    for positions, body, status in (((7,), {}, 404), ((), {}, 422), ((0,), {"label": "good"}, 422)):
        assert label_all(*positions, **body).status_code == status
    current = store.current("emission")
    assert {name: states["ann"].label for name, states in current.items()} == {
        LRS[row]: "bad" for row in (5, 1, 0)
    }
    undone = client.post(f"{ROUND}/undo", json={"user": "ann", "count": 2}).json()
    assert (undone["undone"], undone["position"], undone["progress"]["labelled"]) == (2, 2, 1)
    assert list(store.current("emission")) == [LRS[5]]


def test_all_labels_are_saved_or_none(
    client: TestClient, store: LabelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def insert(*args: Any, **kwargs: Any) -> int:
        calls.append(args)
        if len(calls) == 2:
            raise OSError("disk is full")
        return insert_event(*args, **kwargs)

    monkeypatch.setattr("starsift.review.labels.insert_event", insert)
    body = {"user": "ann", "label": "bad", "positions": [0, 1, 2]}
    assert client.post(f"{ROUND}/labels", json=body).status_code == 500
    assert store.current("emission") == {}


def test_agreement(client: TestClient) -> None:
    for who, name in (("ann", "bad"), ("bob", "bad"), ("eve", "absorption")):
        label(client, 1, who, label=name)
    found = client.get(f"{ROUND}/agreement").json()
    assert found["counts"] == {"absorption": {"eve": 1}, "bad": {"ann": 1, "bob": 1}}
    assert [(*pair["people"], pair["differ"]) for pair in found["pairs"]] == [
        ("ann", "bob", 0),
        ("ann", "eve", 1),
        ("bob", "eve", 1),
    ]


def test_export_is_what_the_store_exports(client: TestClient, store: LabelStore, tmp_path: Path) -> None:
    label(client, 0, label="single peak")
    assert store.export(tmp_path / "expected.parquet")["label"].to_pylist() == ["single peak"]
    assert client.get(f"{BASE}/api/export").content == (tmp_path / "expected.parquet").read_bytes()


def test_other_exposures(client: TestClient) -> None:
    item = f"{BASE}/api/queues/binaries-spectra/items/0"
    key = client.get(item).json()["others"][0]["key"]
    other = client.get(f"{item}/others/{key}").json()
    assert other["spectrum_id"].endswith("/84420194")
    assert set(other) == {"spectrum_id", "spectrum", "flux", "error", "good"}
    assert client.get(f"{item}/others/77").status_code == 404


def test_models(client: TestClient) -> None:
    assert client.get(f"{BASE}/api/session").json()["models"] == ["binaries", "mstars"]
    answer = client.get(f"{BASE}/api/queues/binaries-spectra/items/0/model")
    assert answer.status_code == 409
    assert "models need the settings of a finished run" in answer.json()["detail"]
    assert client.get(f"{ROUND}/items/0/model").status_code == 404


def test_the_story_of_a_spectrum(client: TestClient) -> None:
    item = f"{BASE}/api/queues/binaries-spectra/items/0"
    name = client.get(item).json()["spectrum_id"]
    other = client.get(item).json()["others"][0]["spectrum_id"]
    sections = client.get(f"{item}/story").json()["sections"]
    story = {section["title"]: section["lines"] for section in sections}
    assert any(line.startswith("in the catalogue: SB") for line in story["search for binaries"])
    assert any(line.startswith(f"{other}, night ") for line in story["other exposures of the star"])
    assert not any(name in line for line in story["other exposures of the star"])
    assert client.get(f"{ROUND}/items/999/story").status_code == 404


def test_read_only_takes_nothing(results: Results, store: LabelStore) -> None:
    store.add("emission", LRS[5], "ann", queue="emission-round-00", label="bad")
    with client_of(results, store, read_only=True) as client:
        assert client.get(f"{BASE}/api/session").json()["read_only"] is True
        assert client.get(f"{ROUND}/items/0").json()["labels"]["ann"]["label"] == "bad"
        for answer in (
            label(client, 0, label="single peak"),
            client.post(f"{ROUND}/labels", json={"user": "ann", "label": "bad", "positions": [1]}),
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


BODIES = [b"", b"{", b"[]", b'{"user": 1}', b'{"user": "ann"}', b"\xff\xfe", b"[" * 5000]
BODIES += [b'{"user": "ann", "flag": "yes"}', b'{"user": "ann", "label": "bad", "path": "bhb"}']
LONG = ({"user": "u" * 65, "label": "bad"}, {"user": "ann", "comment": "c" * 2001})


@pytest.mark.parametrize("body", [*BODIES, *(json.dumps(body).encode() for body in LONG)])
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


WAYS_OUT = ("../server.py", "..%2fserver.py", "%2e%2e/server.py", "..%5cserver.py", "/etc/passwd", "APP.JS")
WAYS_OUT += ("app.js%00", "app.js/..", "index.html", "link.txt", "", "%252e%252e%252fserver.py")


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


@pytest.mark.parametrize("queue", ["../emission-round-00", "%2e%2e", "/etc/passwd", "link.txt"])
def test_a_queue_is_never_a_path(client: TestClient, queue: str) -> None:
    for rest in ("", "/rows", "/items/0"):
        status, text = raw_get(client, f"/{TOKEN}/api/queues/{queue}{rest}")
        assert status == 404
        assert SECRET not in text
    answer = client.post(f"{BASE}/api/samp/table", json={"queue": queue})
    assert answer.status_code == 404


def test_positions_outside_the_queue_and_keys_that_no_item_gave(client: TestClient) -> None:
    for position in ("3", "-1", "%2e%2e", "9" * 40, "0/others/../../0"):
        assert raw_get(client, f"/{TOKEN}/api/queues/emission-round-00/items/{position}")[0] == 404
    for key in ("%2e%2e%2f0", "-1", "9" * 40, quote("/etc/passwd", safe="")):
        assert raw_get(client, f"/{TOKEN}/api/queues/binaries-spectra/items/0/others/{key}")[0] == 404


def test_rows_and_claims_are_limited(client: TestClient) -> None:
    at = ({"at": "x"}, {"at": "-1"}, {"at": ",".join(["0"] * 1001)})
    for params in ({"count": 1001}, {"count": -1}, {"start": -1}, {"start": "x"}, *at):
        assert client.get(f"{ROUND}/rows", params=params).status_code == 422
    assert client.get(f"{ROUND}/rows", params={"at": "3"}).status_code == 404
    assert client.get(f"{ROUND}/thumbnails", params={"at": "3"}).status_code == 404
    assert client.get(f"{ROUND}/selection", params={"where": ["rank:1"] * 21}).status_code == 422
    for params in ({"find": "1" * 201}, {"where": "rank:" + "1" * 200}, {"find": "99:99:99 10"}):
        assert client.get(f"{ROUND}/selection", params=params).status_code == 422
    for body in ({"count": 21}, {"count": 0}, {"after": -2}, {"count": "5"}):
        assert client.post(f"{ROUND}/claim", json={"user": "ann", **body}).status_code == 422


def test_markup_is_data(client: TestClient) -> None:
    text = "</script><script>alert(1)</script><img src=x onerror=alert(1)>"
    label(client, 0, text, label="bad", comment=text)
    answer = client.get(f"{ROUND}/items/0")
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.json()["labels"][text]["comment"] == text


def test_a_label_that_cannot_be_saved_is_not_hidden(
    client: TestClient, store: LabelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError("labels.sqlite: cannot be written (database or disk is full)")

    monkeypatch.setattr(store, "add", full)
    answer = label(client, 0, label="bad")
    assert answer.status_code == 500
    assert "disk is full" in answer.json()["detail"]
