"""Write a simulated survey: FITS files, catalogue, truth."""

from pathlib import Path

from starsift.logs import log_to
from starsift.simulate.mrs import simulate_survey

log_to(snakemake.log[0])
simulate_survey(Path(snakemake.output.catalog).parent, **snakemake.params.simulate)
