"""Simulate the labelled CCFs of the training set."""

from starsift.io.parquet import write_parquet
from starsift.logs import log_to
from starsift.searches.binaries.dataset import Laboratory, training_set
from starsift.spectra.templates import load_grid

log_to(snakemake.log[0])
settings = snakemake.params
laboratory = Laboratory.build(load_grid(snakemake.input.grid), peaks=settings.peaks, **settings.ccf)
write_parquet(training_set(laboratory, seed=settings.seed, **settings.training), snakemake.output[0])
