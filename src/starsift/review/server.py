"""Serve the review app on this machine.

One process and one thread that takes requests; what blocks runs in a few more. Everything is below a secret
token, which whoever starts the app sees in its URL: other people of the machine can reach the port, too.
"""

import os
import re
import secrets
import signal
import socket
import sys
import tempfile
import threading
import webbrowser
from contextlib import suppress
from pathlib import Path

import uvicorn

from starsift.errors import ResultsError, SettingsError
from starsift.review.app import create_app
from starsift.review.guard import HOST
from starsift.review.labels import LabelStore
from starsift.review.results import Results

TOKEN = "STARSIFT_REVIEW_TOKEN"  # of the environment: a token that stays the same, for tunnels and tests


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
    labels : the label store; if it is not there, it is made, or `read_only` shows no labels
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
    candidates = Results(results)
    queues = candidates.queues()
    if not queues:
        raise ResultsError(f"{results}: there are no candidates yet; run the workflow as far as a catalogue")
    if queue is not None and queue not in queues:
        raise ResultsError(f"there is no queue {queue!r} in {results}; queues: {', '.join(queues)}")
    # Where nobody has labelled anything yet, a reader gets an empty store in memory: nothing is written.
    unlabelled = read_only and not Path(labels).exists()
    store = LabelStore(":memory:") if unlabelled else LabelStore(labels, read_only=read_only)
    # With the protocol named, asyncio sends small answers at once; else each waits 40 ms (Nagle's algorithm).
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    with store, listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, port))
        except (OSError, OverflowError) as error:
            raise OSError(f"port {port} cannot be used ({error}); give another one, or 0 for any") from error
        port = listener.getsockname()[1]
        app = create_app(
            candidates, store, token=token, port=port, user=user, read_only=read_only, queue=queue
        )
        # No access log: its lines would hold the token.
        config = uvicorn.Config(
            app, http="h11", ws="none", access_log=False, log_level="warning", server_header=False
        )
        listener.listen(128)
        url = f"http://{HOST}:{port}/{token}/"
        print(f"Review app: {url}", flush=True)
        if unlabelled:
            print(f"{labels}: no such label store; no labels are shown", file=sys.stderr)
        with tempfile.TemporaryDirectory(prefix="starsift-") as folder:
            if browser:
                _open_browser(url, Path(folder))
            # uvicorn ends what is under way, then raises the signal again.
            signal.signal(signal.SIGTERM, signal.default_int_handler)
            with suppress(KeyboardInterrupt):
                uvicorn.Server(config).run(sockets=[listener])


def _token() -> str:
    token = os.environ.get(TOKEN)
    if token is None:
        return secrets.token_urlsafe(32)
    if not re.fullmatch(r"[A-Za-z0-9_-]{32,}", token):
        raise SettingsError(
            f"{TOKEN} must have at least 32 letters, digits, - or _; or unset it to get a new token"
        )
    return token


def _open_browser(url: str, folder: Path) -> None:
    """Open the page by way of a private file: arguments of programs can be read by all users of a machine."""
    file = folder / "review.html"
    file.write_text(
        f'<!doctype html><meta http-equiv="refresh" content="0; url={url}"><title>starsift</title>'
    )
    threading.Thread(target=webbrowser.open, args=(file.as_uri(),), daemon=True).start()
