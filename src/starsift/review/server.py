"""The review app as an HTTP server on this machine: the page, queues, items and labels.

One process and one thread that takes requests; what blocks runs in a few more. Everything is below a secret
token, which whoever starts the app sees in its URL: other people of the machine can reach the port, too.
"""

import json
import os
import re
import secrets
import signal
import socket
import tempfile
import threading
import webbrowser
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict
from importlib import metadata
from itertools import chain, islice
from pathlib import Path
from typing import Annotated, Any

import anyio.to_thread
import uvicorn
from fastapi import Depends, FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from starsift.catalog.publish import to_astropy
from starsift.errors import NotFoundError, ReadOnlyError, ResultsError, SampError, SettingsError
from starsift.review.labels import LabelStore
from starsift.review.queues import Queue
from starsift.review.results import Results, spectral_lines
from starsift.review.samp import SampLink
from starsift.searches.registry import SEARCHES

HOST = "127.0.0.1"
TOKEN = "STARSIFT_REVIEW_TOKEN"  # of the environment: a token that stays the same, for tunnels and tests
BODY_LIMIT = 64 * 1024  # bytes
ROWS_LIMIT = 1000
CLAIM_LIMIT = 20
THREADS = 8  # requests that read or write at a time; reading takes turns anyway

_PAGE = Path(__file__).with_name("static")
# Found without importing Bokeh, which takes half a second.
_BOKEH = Path(str(metadata.distribution("bokeh").locate_file("bokeh/server/static/js")))
_TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
# The only files that are served, by the names that clients use: no name ever becomes part of a path.
STATIC = {
    file.name: (file, _TYPES[file.suffix])
    for file in (*sorted(_PAGE.iterdir()), _BOKEH / "bokeh.min.js", _BOKEH / "bokeh-api.min.js")
    if file.suffix in _TYPES
}
HEADERS = {
    # BokehJS puts style elements into its figures; scripts are ours or Bokeh's files, never inline.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Guard:
    """Lets through to the app only what may pass, and puts the headers on every answer.

    Checked are: Host, the token (in constant time), and of POST the Origin, the content type and the size.
    """

    def __init__(self, app: ASGIApp, *, token: str, port: int) -> None:
        self.app = app
        self.token = token.encode()
        self.hosts = {f"{name}:{port}" for name in (HOST, "localhost", "[::1]")}
        self.origins = {f"http://{host}" for host in self.hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                names = {name.lower() for name, _ in message["headers"]}
                added = HEADERS if b"cache-control" in names else HEADERS | {"Cache-Control": "no-store"}
                pairs = [(name.lower().encode(), value.encode()) for name, value in added.items()]
                message = {**message, "headers": [*message["headers"], *pairs]}
            await send(message)

        refused, path = self._check(scope)
        body = None
        if refused is None and scope["method"] == "POST":
            body = await _body(receive)
            if body is None:
                refused = _error(413, f"the request is larger than {BODY_LIMIT} bytes")
        if refused is not None:
            await refused(scope, receive, answer)
            return
        inner = dict(scope) | {"path": path, "raw_path": path.encode()}
        await self.app(inner, receive if body is None else _replay(body, receive), answer)

    def _check(self, scope: Scope) -> tuple[Response | None, str]:
        """An answer that refuses the request, or None; and the path behind the token."""
        headers: dict[str, list[str]] = {}
        for name, value in scope["headers"]:
            headers.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))
        # A page of another site that has its name point here would send that name.
        if len(headers.get("host", [])) != 1 or headers["host"][0].lower() not in self.hosts:
            return _error(400, f"Host must be one of {', '.join(sorted(self.hosts))}"), ""
        first, slash, rest = scope["path"].removeprefix("/").partition("/")
        known = secrets.compare_digest(first.encode("utf-8", "surrogateescape"), self.token)
        if not (known and slash):
            return _error(404, "there is nothing here; open the whole URL that starsift review printed"), ""
        if scope["method"] == "POST":
            if any(origin not in self.origins for origin in headers.get("origin", [])):
                return _error(403, "requests come from the page of the review app only"), ""
            kind = headers.get("content-type", [""])[0].partition(";")[0].strip().lower()
            if kind != "application/json":
                return _error(415, "Content-Type must be application/json"), ""
            size = headers.get("content-length", ["0"])[0]
            if not size.isdigit() or int(size) > BODY_LIMIT:
                return _error(413, f"the request is larger than {BODY_LIMIT} bytes"), ""
        return None, f"/{rest}"


async def _body(receive: Receive) -> bytes | None:
    """The body of a request, None where it is too large."""
    parts, size = [], 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return b""
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > BODY_LIMIT:
            return None
        if not message.get("more_body", False):
            return b"".join(parts)


def _replay(body: bytes, receive: Receive) -> Receive:
    waiting = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return waiting.pop() if waiting else await receive()

    return again


def _error(status: int, sentence: str) -> JSONResponse:
    return JSONResponse({"detail": sentence}, status)


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _User(_Body):
    user: str


class _Label(_User):
    label: str | None = None
    flag: bool | None = None
    comment: str | None = None


class _Claim(_User):
    count: int = Field(default=5, ge=1, le=CLAIM_LIMIT)
    second_opinion: bool = False
    after: int = Field(default=-1, ge=-1)


class _Samp(_Body):
    queue: str


class _SampItem(_Samp):
    position: int


def create_app(
    results: Results,
    store: LabelStore,
    *,
    token: str,
    port: int,
    user: str = "",
    read_only: bool = False,
    queue: str | None = None,
    samp: SampLink | None = None,
) -> ASGIApp:
    """The app that answers requests.

    Parameters
    ----------
    results : what is shown
    store : where labels go
    token : first part of every path
    port : that the server listens on, as clients name it in Host
    user : name that the page suggests
    read_only : labels are shown and none is taken
    queue : that the page opens first
    samp : to other applications; by default a new one
    """
    link = samp or SampLink()
    labels = {
        name: [
            {
                "label": word.label,
                "key": word.key,
                "class": word.label_class,
                "description": word.description,
            }
            for word in search.words
        ]
        for name, search in SEARCHES.items()
    }
    known = {path: {entry["label"] for entry in entries} for path, entries in labels.items()}
    lines = spectral_lines()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        anyio.to_thread.current_default_thread_limiter().total_tokens = THREADS
        yield
        link.close()

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False, lifespan=lifespan)
    _add_errors(app)

    def find(queue: str) -> Queue:
        return results.queue(queue)

    def candidate(position: int, queue: Annotated[Queue, Depends(find)]) -> str:
        if not 0 <= position < len(queue.ids):
            raise NotFoundError(f"{queue.id} has positions 0 to {len(queue.ids) - 1}, not {position}")
        return queue.ids[position]

    def writable() -> None:
        if read_only:
            raise HTTPException(409, "the review app was started with --read-only: labels cannot be given")

    OneQueue = Annotated[Queue, Depends(find)]
    Candidate = Annotated[str, Depends(candidate)]
    writes = [Depends(writable)]

    def progress(queue: Queue, user: str) -> dict[str, Any]:
        found = store.progress(queue.search, queue.ids)
        return asdict(found) | {"mine": found.by_person.get(user, 0)}

    def said(queue: Queue, name: str) -> dict[str, Any]:
        """The labels that a spectrum has, and all that was ever said of it."""
        states = store.current(queue.search, [name]).get(name, {})
        keys = ("who", "label", "flag", "comment", "time", "version", "undone")
        # An event that undoes another says nothing itself: the other one is marked.
        events = [asdict(event) for event in store.history(queue.search, name) if event.undoes is None]
        return {
            "labels": {
                who: {"label": s.label, "flag": s.flag, "comment": s.comment, "time": s.time}
                for who, s in sorted(states.items())
            },
            "history": [{key: event[key] for key in keys} for event in events],
        }

    @app.get("/")
    def page() -> Response:
        return _file(_PAGE / "index.html", "text/html")

    @app.get("/static/{name}")
    def static(name: str) -> Response:
        if name not in STATIC:
            raise HTTPException(404, "there is no such file")
        return _file(*STATIC[name])

    @app.get("/api/session")
    def session() -> Response:
        queues = results.queues().values()
        return JSONResponse(
            {
                "user": user,
                "read_only": read_only,
                "version": metadata.version("starsift"),
                "samp": link.available(),
                "queue": queue,
                "queues": [
                    {"id": q.id, "search": q.search, "title": q.title, "total": len(q.ids), "group": q.group}
                    for q in queues
                ],
                "titles": {name: search.title for name, search in SEARCHES.items()},
                "vocabulary": labels,
                "lines": lines,
                "windows": {name: search.view().window for name, search in SEARCHES.items()},
            }
        )

    @app.get("/api/queues/{queue}")
    def show_progress(queue: OneQueue, user: str = "") -> Response:
        return JSONResponse(progress(queue, user))

    @app.get("/api/queues/{queue}/rows")
    def rows(
        queue: OneQueue,
        start: Annotated[int, Query(ge=0)] = 0,
        count: Annotated[int, Query(ge=0, le=ROWS_LIMIT)] = 200,
    ) -> Response:
        names = queue.ids[start : start + count]
        current = store.current(queue.search, names)
        found = []
        for position, name in enumerate(names, start):
            states = current.get(name, {})
            given = {who: s.label for who, s in sorted(states.items()) if s.label is not None}
            found.append(
                {
                    "position": position,
                    "spectrum_id": name,
                    "labels": given,
                    "flag": any(s.flag for s in states.values()),
                    "disagreement": len(set(given.values())) > 1,
                }
            )
        return JSONResponse({"rows": found})

    @app.post("/api/queues/{queue}/claim", dependencies=writes)
    def claim(queue: OneQueue, body: _Claim) -> Response:
        first = body.after + 1
        order = chain(islice(queue.ids, first, None), islice(queue.ids, first))
        second = body.second_opinion
        names = store.claim(queue.search, queue.id, body.user, order, body.count, second_opinion=second)
        return JSONResponse({"positions": [queue.positions[name] for name in names]})

    @app.post("/api/queues/{queue}/release", dependencies=writes)
    def release(queue: OneQueue, body: _User) -> Response:
        store.release(queue.id, body.user)
        return JSONResponse({})

    @app.get("/api/queues/{queue}/items/{position:int}")
    def item(queue: OneQueue, position: int, name: Candidate) -> Response:
        return _json(results.item(queue.id, position) | said(queue, name))

    @app.get("/api/queues/{queue}/items/{position:int}/others/{key}")
    def other(queue: OneQueue, position: int, key: str, name: Candidate) -> Response:
        return _json(results.other(queue.id, position, key))

    @app.post("/api/queues/{queue}/items/{position:int}/label", dependencies=writes)
    def label(queue: OneQueue, body: _Label, name: Candidate) -> Response:
        if body.label is not None and body.label not in known[queue.search]:
            expected = ", ".join(entry["label"] for entry in labels[queue.search])
            raise HTTPException(422, f"{body.label!r} is not a label of {queue.search}; expected {expected}")
        given = {"label": body.label, "flag": body.flag, "comment": body.comment}
        if all(value is None for value in given.values()):
            raise HTTPException(422, "nothing to save: expected a label, a flag or a comment")
        store.add(queue.search, name, body.user, queue=queue.id, **given)  # type: ignore[arg-type]
        return JSONResponse(said(queue, name) | {"progress": progress(queue, body.user)})

    @app.post("/api/queues/{queue}/undo", dependencies=writes)
    def undo(queue: OneQueue, body: _User) -> Response:
        event = store.undo(queue.id, body.user)
        name = None if event is None else event.spectrum_id
        position = None if name is None else queue.positions.get(name)
        about = {"labels": {}, "history": []} if name is None else said(queue, name)
        return JSONResponse({"position": position} | about | {"progress": progress(queue, body.user)})

    @app.post("/api/samp/spectrum")
    def samp_spectrum(body: _SampItem) -> Response:
        queue = find(body.queue)
        name = candidate(body.position, queue)
        return JSONResponse({"sent_to": link.send_spectrum(name, *results.spectrum(queue.id, body.position))})

    @app.post("/api/samp/table")
    def samp_table(body: _Samp) -> Response:
        queue = find(body.queue)
        return JSONResponse({"sent_to": link.send_table(queue.id, lambda: to_astropy(queue.table))})

    @app.post("/api/samp/highlight")
    def samp_highlight(body: _SampItem) -> Response:
        queue = find(body.queue)
        candidate(body.position, queue)
        ra, dec = (queue.value(name, body.position) for name in ("ra", "dec"))
        return JSONResponse({"sent_to": link.highlight(queue.id, body.position, ra, dec)})

    @app.get("/api/export")
    def export() -> Response:
        with tempfile.TemporaryDirectory(prefix="starsift-") as folder:
            file = Path(folder) / "labels.parquet"
            store.export(file)
            content = file.read_bytes()
        disposition = {"Content-Disposition": 'attachment; filename="labels.parquet"'}
        return Response(content, media_type="application/vnd.apache.parquet", headers=disposition)

    return Guard(app, token=token, port=port)


def _add_errors(app: FastAPI) -> None:
    """What can go wrong, as one sentence each."""
    statuses: list[tuple[type[Exception], int]] = [
        (NotFoundError, 404),
        (ReadOnlyError, 409),
        (ResultsError, 409),
        (SampError, 503),
        (ValueError, 422),
        (OSError, 500),  # a full disk: people must know that a label is not saved
    ]

    def handler(status: int) -> Callable[[Request, Exception], JSONResponse]:
        return lambda request, error: _error(status, _sentence(error))

    for kind, status in statuses:
        app.add_exception_handler(kind, handler(status))

    @app.exception_handler(HTTPException)
    def refused(request: Request, error: HTTPException) -> JSONResponse:
        return JSONResponse({"detail": str(error.detail)}, error.status_code, error.headers)

    @app.exception_handler(RequestValidationError)
    def malformed(request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"] if part != "body") or "the request"
        return _error(422, f"{where}: {first['msg']}")

    @app.exception_handler(Exception)
    def unexpected(request: Request, error: Exception) -> JSONResponse:
        return _error(500, f"the review app failed ({type(error).__name__}); its terminal tells more")


def _sentence(error: Exception) -> str:
    """What an error says; a KeyError would put it in quotes."""
    return str(error.args[0]) if isinstance(error, KeyError) else str(error)


def _json(content: Any) -> Response:
    return Response(json.dumps(content, allow_nan=False), media_type="application/json")


def _file(path: Path, kind: str) -> Response:
    """A file of the page; Bokeh's, which do not change, may stay in the browser."""
    cache = "private, max-age=86400" if path.parent == _BOKEH else "no-store"
    return FileResponse(path, media_type=kind, headers={"Cache-Control": cache})


def serve(
    results: str | os.PathLike[str],
    labels: str | os.PathLike[str],
    *,
    port: int = 0,
    user: str = "",
    read_only: bool = False,
    queue: str | None = None,
    browser: bool = True,
) -> None:
    """Serve the review app on this machine until SIGINT or SIGTERM.

    Parameters
    ----------
    results : folder of a run
    labels : the label store
    port : 0 for any that is free
    user, read_only, queue : as in `create_app`
    browser : open the page in the user's browser

    Raises
    ------
    ResultsError : there are no such results, nothing in them to look at, or no such queue
    InputError, SettingsError : the label store cannot be used, or STARSIFT_REVIEW_TOKEN is no good
    OSError : the port is taken
    """
    token = _token()
    found = Results(results)
    queues = found.queues()
    if not queues:
        raise ResultsError(f"{results}: there are no candidates yet; run the workflow as far as a catalogue")
    if queue is not None and queue not in queues:
        raise ResultsError(f"there is no queue {queue!r} in {results}; queues: {', '.join(queues)}")
    # With the protocol named, asyncio sends small answers at once; else each waits 40 ms (Nagle's algorithm).
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    with listener, LabelStore(labels, read_only=read_only) as store:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, port))
        except (OSError, OverflowError) as error:
            raise OSError(f"port {port} cannot be used ({error}); give another one, or 0 for any") from error
        port = listener.getsockname()[1]
        app = create_app(found, store, token=token, port=port, user=user, read_only=read_only, queue=queue)
        # No access log: its lines would hold the token.
        config = uvicorn.Config(
            app, http="h11", ws="none", access_log=False, log_level="warning", server_header=False
        )
        listener.listen(128)
        url = f"http://{HOST}:{port}/{token}/"
        print(f"Review app: {url}", flush=True)
        with tempfile.TemporaryDirectory(prefix="starsift-") as folder:
            if browser:
                _open_browser(url, Path(folder))
            # uvicorn ends what is under way, then raises the signal again.
            signal.signal(signal.SIGTERM, signal.default_int_handler)
            with suppress(KeyboardInterrupt):
                uvicorn.Server(config).run(sockets=[listener])


def _token() -> str:
    given = os.environ.get(TOKEN)
    if given is None:
        return secrets.token_urlsafe(32)
    if not re.fullmatch(r"[A-Za-z0-9_-]{32,}", given):
        raise SettingsError(
            f"{TOKEN} must have at least 32 letters, digits, - or _; or unset it to get a new token"
        )
    return given


def _open_browser(url: str, folder: Path) -> None:
    """Open the page by way of a private file: arguments of programs can be read by all users of a machine."""
    file = folder / "review.html"
    file.write_text(
        f'<!doctype html><meta http-equiv="refresh" content="0; url={url}"><title>starsift</title>'
    )
    threading.Thread(target=webbrowser.open, args=(file.as_uri(),), daemon=True).start()
