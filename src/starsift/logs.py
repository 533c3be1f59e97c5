"""Where a job's messages go: everything into its log, an error's one sentence also to the terminal."""

import os
import sys
import traceback
from pathlib import Path
from types import TracebackType

from starsift.errors import StarsiftError


def log_to(path: str | os.PathLike[str]) -> None:
    """Send all output of this process, that of compiled libraries too, into a log file.

    An exception that ends the process leaves its message, which says what to do, in the log and on the
    terminal. Its traceback is in the log unless the exception is one of starsift's own, which tell of a file
    or a setting, or of the operating system.

    Parameters
    ----------
    path : the log file; it is begun afresh
    """
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    terminal = os.fdopen(os.dup(2), "w", buffering=1)
    with Path(path).open("w") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)

    def report(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        message = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
        sentence = f"starsift: {message or kind.__name__}\n"
        if isinstance(error, StarsiftError | OSError):
            sys.stderr.write(sentence)
        else:
            traceback.print_exception(kind, error, trace)
        terminal.write(sentence)

    sys.excepthook = report
