"""Monte Carlo errors of the candidates of one bundle."""

import numpy as np

from starsift.catalog.provenance import bundle_seed
from starsift.logs import log_to
from starsift.searches.binaries.errors import monte_carlo, write_errors
from starsift.searches.binaries.peaks import read_components
from starsift.spectra.batches import ROWS, read_rows
from starsift.spectra.ccf import build_bank
from starsift.spectra.templates import load_grid

log_to(snakemake.log[0])
settings = snakemake.params
bank = build_bank(load_grid(snakemake.input.grid), **settings.ccf)
table, components = read_components(snakemake.input.components)
rows = np.flatnonzero(np.isin(components.count, settings.errors["components"]))
# A part at a time, each with its own seed: memory does not grow with the number of candidates.
parts = [
    monte_carlo(
        read_rows(snakemake.input.spectra, part),
        bank,
        components.take(part),
        n_copies=settings.errors["n_copies"],
        systematic=settings.errors["systematic"],
        seed=bundle_seed(settings.seed, f"{snakemake.wildcards.bundle}/{number}"),
        **settings.peaks,
    )
    for number, part in enumerate(np.array_split(rows, -(-max(1, rows.size) // ROWS)))
]
rv_err, reliability = (np.concatenate(column) for column in zip(*parts, strict=True))
write_errors(snakemake.output[0], table, rows, rv_err, reliability)
