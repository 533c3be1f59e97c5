"""Peak memory of the stages of the binaries path on one bundle of the default size, 20 000 exposures.

    python benchmarks/memory.py [--spectra 20000]

Each stage runs in a process of its own, on files, as a job does. 15 % of the spectra are binaries. Prints a
Markdown table: peak resident memory (limit: 2 GB), wall time and size of what was written.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from _arguments import whole_number

from starsift.searches.binaries.curves import read_curves, write_curves
from starsift.searches.binaries.errors import monte_carlo, write_errors
from starsift.searches.binaries.peaks import find_components, read_components, write_components
from starsift.settings import default_settings
from starsift.spectra.batches import ROWS, read_bundle, read_rows, write_bundle
from starsift.spectra.ccf import build_bank, correlate
from starsift.spectra.templates import load_grid
from starsift.synthesis.exposures import anonymous_batch, draw_snr
from starsift.synthesis.mrs import observe
from starsift.synthesis.stars import Synthesizer, draw_binaries, draw_singles

BINARIES = default_settings()["binaries"]


def spectra(folder: Path, n: int) -> None:
    """Simulate the packed bundle."""
    synthesizer, rng = Synthesizer(load_grid()), np.random.default_rng(0)

    def batches():
        for start in range(0, n, ROWS):
            m = min(ROWS, n - start)
            pairs = round(0.15 * m)
            flux = [
                synthesizer.system_flux(draw_singles(rng, m - pairs)),
                synthesizer.system_flux(draw_binaries(rng, pairs)),
            ]
            snr = draw_snr(rng, m, 5, 200)
            exposed = observe(synthesizer.wavelength, np.concatenate(flux), snr=snr, rng=rng)
            yield anonymous_batch(*exposed, snr)

    write_bundle(folder / "spectra", batches())


def ccf(folder: Path, n: int) -> None:
    """The CCF stage."""
    bank = build_bank(load_grid(), **BINARIES["ccf"])
    curves = ((batch.identity, correlate(batch, bank)) for batch in read_bundle(folder / "spectra"))
    write_curves(folder / "ccf", curves, bank.velocities)


def peaks(folder: Path, n: int) -> None:
    """The components."""
    found = (
        (curves, find_components(curves.ccf, curves.velocities, **BINARIES["peaks"]))
        for curves in read_curves(folder / "ccf")
    )
    write_components(folder / "peaks", found)


def errors(folder: Path, n: int) -> None:
    """The Monte Carlo errors of the candidates."""
    bank = build_bank(load_grid(), **BINARIES["ccf"])
    table, components = read_components(folder / "peaks")
    rows = np.flatnonzero(np.isin(components.count, [2, 3]))
    parts = [
        monte_carlo(
            read_rows(folder / "spectra", part),
            bank,
            components.take(part),
            n_copies=BINARIES["errors"]["n_copies"],
            seed=0,
            systematic=[0.0],
            **BINARIES["peaks"],
        )
        for part in np.array_split(rows, max(1, -(-rows.size // ROWS)))
    ]
    rv_err, reliability = (np.concatenate(column) for column in zip(*parts, strict=True))
    write_errors(folder / "errors", table, rows, rv_err, reliability)


STAGES = {stage.__name__: stage for stage in (spectra, ccf, peaks, errors)}


def main() -> None:
    """Run every stage in a process, or one stage in this."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--spectra", type=whole_number(), default=20000)
    parser.add_argument("--stage", choices=STAGES, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.stage:
        start = time.perf_counter()
        STAGES[options.stage](options.folder, options.spectra)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        size = (options.folder / options.stage).stat().st_size / 1e6
        print(
            f"| {options.stage} | {peak:,.0f} | {time.perf_counter() - start:.0f} | {size:,.1f} |", flush=True
        )
        return
    print(f"{options.spectra} exposures\n")
    print("| stage | peak memory, MB | seconds | written, MB |\n|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for stage in STAGES:
            command = [sys.executable, __file__, "--spectra", str(options.spectra), "--stage", stage]
            subprocess.run([*command, "--folder", folder], check=True)


if __name__ == "__main__":
    main()
