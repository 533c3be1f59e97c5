"""starsift sifts rare stars out of spectroscopic surveys."""

import os
import sys

# Numba would take all cores of a node; a job gets as many as the workflow gave it. Numba reads this once.
if os.environ.get("OMP_NUM_THREADS", "").isdigit() and "numba" not in sys.modules:
    os.environ.setdefault("NUMBA_NUM_THREADS", os.environ["OMP_NUM_THREADS"])
