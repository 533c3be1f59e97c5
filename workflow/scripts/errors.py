"""Monte Carlo errors of the candidates of one bundle."""

from starsift.binaries.errors import monte_carlo
from starsift.binaries.tables import read_components, take, with_components, write_errors
from starsift.catalog.provenance import bundle_seed
from starsift.logs import log_to
from starsift.spectra.batches import read_rows
from starsift.spectra.ccf import build_bank
from starsift.spectra.templates import load_grid

log_to(snakemake.log[0])
settings = snakemake.params
ccf = {key: value for key, value in settings.ccf.items() if key != "minimum_pixels"}
bank = build_bank(load_grid(snakemake.input.grid), **ccf)
table, components = read_components(snakemake.input.components)
rows = with_components(components, settings.errors["components"])
rv_err, reliability = monte_carlo(
    read_rows(snakemake.input.spectra, rows),
    bank,
    take(components, rows),
    n_copies=settings.errors["n_copies"],
    systematic=settings.errors["systematic"],
    seed=bundle_seed(settings.seed, snakemake.wildcards.bundle),
    continuum_degree=ccf["continuum_degree"],
    **settings.peaks,
)
write_errors(snakemake.output[0], table, rows, rv_err, reliability)
