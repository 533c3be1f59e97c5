"""Chunks of a batch on several threads.

Each thread runs whole chunks, with single-threaded matrix products in them. A matrix product that is
itself split over threads waits at barriers, for long on cores shared with other jobs, and the work between
two products would run on one core. Results do not depend on the number of threads.
"""

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar

from threadpoolctl import ThreadpoolController

T = TypeVar("T")


def thread_count() -> int:
    """Threads that this process may use: OMP_NUM_THREADS where it is set (Snakemake does), else all cores."""
    number = os.environ.get("OMP_NUM_THREADS", "")
    return max(1, int(number)) if number.isdigit() else len(os.sched_getaffinity(0))


@cache
def _controller() -> ThreadpoolController:
    return ThreadpoolController()


_inside = threading.local()


def map_chunks(work: Callable[[slice], T], n: int, size: int, *, serial: bool = False) -> list[T]:
    """Call `work` with the slices of `size` rows that make up n, on all threads; results in order.

    Within such work, further calls run on the thread that they are in. `serial` runs the chunks one after the
    other and leaves the threads to what `work` calls (a Keras backend).
    """
    parts = [slice(start, min(start + size, n)) for start in range(0, n, size)]
    if serial or getattr(_inside, "thread", False):
        return [work(part) for part in parts]

    def marked(part: slice) -> T:
        _inside.thread = True
        try:
            return work(part)
        finally:
            _inside.thread = False

    with _controller().limit(limits=1, user_api="blas"):
        threads = min(thread_count(), len(parts))
        if threads <= 1:
            return [marked(part) for part in parts]
        with ThreadPoolExecutor(threads) as pool:
            return list(pool.map(marked, parts))
