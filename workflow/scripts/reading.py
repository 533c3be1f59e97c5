"""Count what was read, and list what was not."""

from starsift.survey.summary import summarize_reading

from starsift.logs import log_to

log_to(snakemake.log[0])
summarize_reading(snakemake.input.index, snakemake.input.manifest, **snakemake.output)
