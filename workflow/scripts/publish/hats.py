"""Write large catalogues as HATS."""

from starsift.catalog.hats import write_large
from starsift.logs import log_to

log_to(snakemake.log[0])
write_large(snakemake.input, snakemake.output[0], snakemake.params.least)
