"""Count spectra by status, and list those that could not be read."""

from starsift.logs import log_to
from starsift.survey.reading import summarize_reading

log_to(snakemake.log[0])
summarize_reading(snakemake.input.index, snakemake.input.manifest, **snakemake.output)
