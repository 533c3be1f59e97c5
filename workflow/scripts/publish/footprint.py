"""Map the part of the sky in which a search looked."""

from starsift.catalog.footprint import footprint, write_footprint
from starsift.logs import log_to

log_to(snakemake.log[0])
write_footprint(footprint(snakemake.input), snakemake.output[0])
