"""Simulate an SDSS survey of A-type stars with images, some of them labelled, and the truth."""

from pathlib import Path

from starsift.demo.sdss import simulate_sdss
from starsift.logs import log_to

log_to(snakemake.log[0])
print(simulate_sdss(Path(snakemake.output.truth).parent, **snakemake.params.simulate))
