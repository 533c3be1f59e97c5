"""starsift sifts rare stars out of spectroscopic surveys.

The public names, such as `starsift.read_spectra`, are listed in `starsift.api`.
"""

import importlib
import os
import sys
from typing import Any

# Numba would take all cores of a node; a job gets as many as the workflow gave it. Numba reads this once.
if os.environ.get("OMP_NUM_THREADS", "").isdigit() and "numba" not in sys.modules:
    os.environ.setdefault("NUMBA_NUM_THREADS", os.environ["OMP_NUM_THREADS"])


# Not by an import statement: with one, a change of any public function would rerun all stages.
def __getattr__(name: str) -> Any:
    value = importlib.import_module("starsift.api").find_public(name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *importlib.import_module("starsift.api").PUBLIC})
