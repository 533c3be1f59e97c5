"""How many rare stars a few examples of them find in a simulated survey, by the codes of the M-star search.

    python benchmarks/likeness.py RESULTS

RESULTS are those of a simulated low-resolution survey, such as that of `make demo`.
"""

import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from starsift.searches.mstars.hashing import codes_of
from starsift.searches.mstars.likeness import rank_like

EXAMPLES, DRAWS = 3, 10


def main() -> int:
    if len(sys.argv) != 2:
        print(__doc__)
        return 2
    results = Path(sys.argv[1])
    files = sorted((results / "mstars/codes").glob("*.parquet"))
    truth = pq.read_table(results / "simulated/lrs/truth.parquet", columns=["spectrum_id", "kind"])
    kind = dict(zip(truth["spectrum_id"].to_pylist(), truth["kind"].to_pylist(), strict=True))
    codes = {}
    for file in files:
        table = pq.read_table(file, columns=["spectrum_id", "snr", "code"])
        table = table.filter(table["code"].is_valid())
        rows = zip(
            table["spectrum_id"].to_pylist(), table["snr"].to_pylist(), codes_of(table["code"]), strict=True
        )
        codes |= {name: (snr, code) for name, snr, code in rows}
    print("| kind | in the survey | of the first n - 3 in the list | found among the first 2 n |")
    print("|---|---|---|---|")
    rng = np.random.default_rng(0)
    for wanted in ("carbon", "white_dwarf"):
        names = sorted((name for name in codes if kind[name] == wanted), key=lambda name: -codes[name][0])
        n, shares = len(names), []
        for _ in range(DRAWS):
            examples = [str(name) for name in rng.choice(names[: n // 2], EXAMPLES, replace=False)]
            found = rank_like(files, examples, np.stack([codes[name][1] for name in examples]), number=2 * n)
            right = np.array([kind[name] == wanted for name in found["spectrum_id"].to_pylist()])
            shares.append((right[: n - EXAMPLES].mean(), right.sum() / (n - EXAMPLES)))
        first, all_found = 100 * np.mean(shares, axis=0)
        print(f"| {wanted.replace('_', ' ')} | n = {n} | {first:.0f} % | {all_found:.0f} % |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
