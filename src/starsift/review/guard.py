"""The guard of the review app: only requests with its token, of this machine and of its own page pass."""

import secrets

from fastapi.responses import JSONResponse, Response
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HOST = "127.0.0.1"
BODY_LIMIT = 64 * 1024  # bytes
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
                headers = MutableHeaders(scope=message)
                headers.update(HEADERS)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        refusal, path = self._check(scope)
        body = None
        if refusal is None and scope["method"] == "POST":
            body = await _read_body(receive)
            if body is None:
                refusal = error_answer(413, f"the request is larger than {BODY_LIMIT} bytes")
        if refusal is not None:
            await refusal(scope, receive, answer)
            return
        inner = dict(scope) | {"path": path, "raw_path": path.encode()}
        await self.app(inner, receive if body is None else _replay(body, receive), answer)

    def _check(self, scope: Scope) -> tuple[Response | None, str]:
        """An answer that refuses the request, or None; and the path behind the token."""
        headers = Headers(scope=scope)
        hosts = headers.getlist("host")
        # A page of another site that has its name point here would send that name.
        if len(hosts) != 1 or hosts[0].lower() not in self.hosts:
            return error_answer(400, f"Host must be one of {', '.join(sorted(self.hosts))}"), ""
        first, slash, rest = scope["path"].removeprefix("/").partition("/")
        known = secrets.compare_digest(first.encode("utf-8", "surrogateescape"), self.token)
        if not (known and slash):
            return error_answer(
                404, "there is nothing here; open the whole URL that starsift review printed"
            ), ""
        if scope["method"] == "POST":
            if any(origin not in self.origins for origin in headers.getlist("origin")):
                return error_answer(403, "requests come from the page of the review app only"), ""
            kind = headers.get("content-type", "").partition(";")[0].strip().lower()
            if kind != "application/json":
                return error_answer(415, "Content-Type must be application/json"), ""
            size = headers.get("content-length", "0")
            if not size.isdigit() or int(size) > BODY_LIMIT:
                return error_answer(413, f"the request is larger than {BODY_LIMIT} bytes"), ""
        return None, f"/{rest}"


async def _read_body(receive: Receive) -> bytes | None:
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
    """A body that has been read, to be received again."""
    messages = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive_again() -> Message:
        return messages.pop() if messages else await receive()

    return receive_again


def error_answer(status: int, sentence: str) -> JSONResponse:
    """An error as one sentence."""
    return JSONResponse({"detail": sentence}, status)
