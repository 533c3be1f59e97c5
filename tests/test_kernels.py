"""Compiled functions: without a place for a cache they compile all the same, and processes share one."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from starsift.kernels import njit


def test_a_function_without_a_place_for_its_cache_is_compiled() -> None:
    names: dict[str, Any] = {}
    exec("def double(number): return 2 * number", names)  # in no file: Numba has no place for its cache
    assert njit(cache=True, nogil=True)(names["double"])(3) == 6


SLOW = """
import sys, time
from numba.core.caching import IndexDataCacheFile
load = IndexDataCacheFile._load_index
def slow(*arguments):
    index = load(*arguments)
    time.sleep(0.5)  # in which the other process reads the same index
    return index
IndexDataCacheFile._load_index = slow
sys.path.insert(0, sys.argv[1])
from summed import add
value = float(sys.argv[2]) if "." in sys.argv[2] else int(sys.argv[2])
print(add(value, value), sum(add.stats.cache_hits.values()))
"""


def test_two_processes_may_fill_one_cache(tmp_path: Path) -> None:
    source = "from starsift.kernels import njit\n@njit(cache=True)\ndef add(a, b):\n    return a + b\n"
    (tmp_path / "summed.py").write_text(source)
    environment = {name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"}

    def run() -> list[str]:
        """Two processes at once, with an integer and a float: the sum, and whether its code was found."""
        commands = [[sys.executable, "-c", SLOW, str(tmp_path), value] for value in ("2", "2.5")]
        options: dict[str, Any] = {"stdout": subprocess.PIPE, "text": True, "env": environment}
        processes = [subprocess.Popen(command, **options) for command in commands]
        return [process.communicate()[0].strip() for process in processes]

    assert run() == ["4 0", "5.0 0"]
    assert run() == ["4 1", "5.0 1"]
