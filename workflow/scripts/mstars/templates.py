"""Average the M stars of the sample by subtype: templates for velocities."""

from starsift.io.parquet import write_parquet
from starsift.logs import log_to
from starsift.searches.mstars.dataset import read_sample
from starsift.searches.mstars.velocity import velocity_templates

log_to(snakemake.log[0])
sample = read_sample(snakemake.input.spectra, snakemake.input.table)
write_parquet(velocity_templates(sample, snakemake.params.minimum_members), snakemake.output[0])
