"""Logs of jobs: all output goes to the log file, the message of an error also to the terminal."""

import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from starsift.errors import StarsiftError

_returns = False  # whether this process gets its output back: `output_returned`


@contextmanager
def output_returned() -> Iterator[None]:
    """Give the process its output back after a script in it that calls `log_to`; its errors pass."""
    global _returns
    sys.stdout.flush()
    sys.stderr.flush()
    saved = [(stream, os.dup(stream)) for stream in (1, 2)]
    _returns = True
    try:
        yield
    finally:
        _returns = False
        sys.stdout.flush()
        sys.stderr.flush()
        for stream, copy in saved:
            os.dup2(copy, stream)
            os.close(copy)


def _redirect(path: str | os.PathLike[str]) -> None:
    with Path(path).open("w") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)


def log_to(path: str | os.PathLike[str]) -> None:
    """Send all output of this process, also that of compiled libraries, to a log file, which is overwritten.

    The message of an exception that ends the process goes to the log and to the terminal. Its traceback goes
    to the log, except for errors of starsift and of the operating system, whose message says what to do.
    """
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    if _returns:
        _redirect(path)
        return
    terminal = os.fdopen(os.dup(2), "w", buffering=1)
    _redirect(path)

    def report(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        message = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
        sentence = f"starsift: {message or kind.__name__}\n"
        if isinstance(error, StarsiftError | OSError):
            sys.stderr.write(sentence)
        else:
            traceback.print_exception(kind, error, trace)
        terminal.write(sentence)

    sys.excepthook = report
