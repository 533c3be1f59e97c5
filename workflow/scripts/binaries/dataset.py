"""Simulate the labelled CCFs that the classifiers learn from."""

from starsift.io.parquet import write_parquet
from starsift.logs import log_to
from starsift.searches.binaries.dataset import training_set
from starsift.spectra.templates import load_grid

log_to(snakemake.log[0])
settings = snakemake.params
table = training_set(
    load_grid(snakemake.input.grid),
    ccf=settings.ccf,
    peaks=settings.peaks,
    seed=settings.seed,
    **settings.training,
)
write_parquet(table, snakemake.output[0])
