"""Collect the spectra that the report shows beside a query."""

import pyarrow.parquet as pq

from starsift.io.parquet import write_parquet
from starsift.logs import log_to
from starsift.searches.mstars.dataset import read_sample
from starsift.searches.mstars.matches import collect_matches

log_to(snakemake.log[0])
source = snakemake.input
sample = read_sample(source.sample, source.sample_table)
matches = collect_matches(sample, pq.read_table(source.reference), list(source.codes), list(source.spectra))
write_parquet(matches, snakemake.output[0])
