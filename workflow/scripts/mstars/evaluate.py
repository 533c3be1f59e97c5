"""Evaluate methods and code lengths on halves of the sample that they have not seen."""

from functools import cache

from starsift.io.parquet import write_parquet
from starsift.logs import log_to
from starsift.searches.mstars.dataset import read_sample
from starsift.searches.mstars.evaluation import evaluate
from starsift.searches.mstars.features import represent

log_to(snakemake.log[0])
settings = snakemake.params
sample = read_sample(snakemake.input.spectra, snakemake.input.table)


@cache
def represented(kind):
    return represent(sample.flux, sample.ivar, sample.zero, kind)


table = evaluate(represented, sample.labels, sample.is_m, seed=settings.seed, **settings.evaluation)
write_parquet(table, snakemake.output[0])
