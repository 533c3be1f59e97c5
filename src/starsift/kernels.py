"""Compiled functions."""

import fcntl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba


def njit(*, cache: bool, **options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Numba's `njit`. Where no cache can be written, each process compiles afresh.

    Numba itself refuses to compile there: a shared installation, and a user without a home folder.
    """

    def compiled(function: Callable[..., Any]) -> Any:
        try:
            dispatcher = numba.njit(cache=cache, **options)(function)
        except RuntimeError:
            return numba.njit(**options)(function)
        if cache:
            _lock_cache(dispatcher)
        return dispatcher

    return compiled


def _lock_cache(dispatcher: Any) -> None:
    """Let one process at a time read and write the cache of a function.

    Numba writes its index of signatures and the code of one in two steps. Of two jobs that compile a function
    for different arrays at once, one would get the other's code, and nothing would say so.
    """
    file = dispatcher._cache._cache_file

    def locked(action: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any) -> Any:
            try:
                lock = Path(file._index_path).with_suffix(".lock").open("w")
            except OSError:  # a folder that cannot be written: nothing changes there
                return action(*arguments)
            with lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                return action(*arguments)

        return run

    file.save, file.load = locked(file.save), locked(file.load)
