"""`starsift review` as a program."""

import http.client
import os
import queue
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import webbrowser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import httpx
import pytest
from fixtures.review_files import LRS, Truth
from fixtures.review_server import BASE, TOKEN

from starsift.cli import main
from starsift.review.labels import LabelStore
from starsift.review.server import _open_browser


class Program:
    """`starsift review` in a process of its own."""

    def __init__(self, folder: Path, labels: Path, *arguments: str, **environment: str) -> None:
        command = [sys.executable, "-m", "starsift.cli", "review", str(folder), "--labels", str(labels)]
        command += ["--no-browser", *arguments]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        self.process = subprocess.Popen(command, text=True, env=os.environ | environment, **pipes)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        found = re.fullmatch(r"Review app: (http://127\.0\.0\.1:(\d+)/([A-Za-z0-9_-]{43,})/)\n", line)
        assert found, (line, self.process.communicate())
        self.url, self.port, self.token = found[1], int(found[2]), found[3]

    def end(self, number: int) -> tuple[int, str, str]:
        self.process.send_signal(number)
        out, error = self.process.communicate(timeout=20)
        return self.process.returncode, out, error


def test_the_program(written: Truth, tmp_path: Path) -> None:
    labels = tmp_path / "new/labels.sqlite"
    program = Program(written.folder, labels, "--user", "ann")
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
    second = Program(written.folder, labels)
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


def test_a_fixed_token_and_an_end_by_sigterm(written: Truth, tmp_path: Path) -> None:
    token = "A-fixed_token" * 4
    program = Program(written.folder, tmp_path / "labels.sqlite", STARSIFT_REVIEW_TOKEN=token)
    try:
        assert program.token == token
        answer = httpx.get(f"{program.url}api/session")
        assert answer.status_code == 200
        assert "server" not in answer.headers
    finally:
        code, _, error = program.end(signal.SIGTERM)
    assert (code, error) == (0, "")


def test_a_run_without_labels_can_be_read(written: Truth, tmp_path: Path) -> None:
    labels = tmp_path / "labels" / "starsift.sqlite"
    program = Program(written.folder, labels, "--read-only")
    try:
        item = httpx.get(f"{program.url}api/queues/emission-round-00/items/0").json()
        body = {"user": "ann", "label": "double peak"}
        answer = httpx.post(f"{program.url}api/queues/emission-round-00/items/0/label", json=body)
        assert (item["labels"], item["history"], answer.status_code) == ({}, [], 409)
    finally:
        code, out, error = program.end(signal.SIGINT)
    assert (code, out, error) == (0, "", f"{labels}: no such label store; no labels are shown\n")
    assert not labels.parent.exists()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nowhere"], "nowhere: no such folder"),
        (["--queue", "nothing"], "there is no queue 'nothing'"),
        (["--port", "99999"], "port 99999 cannot be used"),
        (["--user", "weak token"], "at least 32 letters"),
    ],
)
def test_what_a_user_can_mend(
    written: Truth,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    sentence: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    weak = "weak token" in arguments
    if weak:
        monkeypatch.setenv("STARSIFT_REVIEW_TOKEN", "short")
    where = [] if arguments == ["nowhere"] else [str(written.folder)]
    assert main(["review", *where, "--no-browser", "--labels", "labels.sqlite", *arguments]) == 1
    error = capsys.readouterr().err
    assert sentence in error
    assert len(error.splitlines()) == 1
    assert not (weak and Path("labels.sqlite").exists())


def test_the_browser_is_not_told_the_token_where_others_see_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: queue.Queue[str] = queue.Queue()
    monkeypatch.setattr(webbrowser, "open", opened.put)
    _open_browser(f"{BASE}/", tmp_path)
    argument = opened.get(timeout=10)
    assert TOKEN not in argument
    assert f"url={BASE}/" in Path(unquote(urlsplit(argument).path)).read_text()


def test_export_and_import_commands(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # not where a run's results may lie

    def run(*words: str, status: int = 0) -> str:
        assert main([*words]) == status
        output = capsys.readouterr()
        return output.err if status else output.out

    with LabelStore("a.sqlite") as store:
        store.add("mstars", LRS[0], "ann", queue="mstars-vetting", label="M dwarf")
        store.add("emission", LRS[1], "bob", queue="emission-round-00", label="bad", comment="blend")
    assert "2 labels are in labels.parquet" in run("export", "labels.parquet", "--labels", "a.sqlite")
    assert "2 labels were added" in run("import", "labels.parquet", "--labels", "b.sqlite")
    run("export", "again.parquet", "--labels", "b.sqlite")
    assert Path("again.parquet").read_bytes() == Path("labels.parquet").read_bytes()
    assert "0 labels were added" in run("import", "labels.parquet", "--labels", "b.sqlite").splitlines()[-1]
    Path("mine.csv").write_text(f"spectrum_id,label\n{LRS[2]},bad\n")
    run("import", "mine.csv", "--labels", "b.sqlite", "--search", "bhb", "--user", "bea")
    with LabelStore("b.sqlite") as store:
        assert store.current("bhb")[LRS[2]]["bea"].label == "bad"
    assert "none.sqlite" in run("export", "again.parquet", "--labels", "none.sqlite", status=1)
