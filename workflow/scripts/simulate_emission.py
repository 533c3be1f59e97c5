"""Simulate a labelled set of Ondrejov, and a pool of LAMOST with rare emission-line stars, with their truth."""

from pathlib import Path

from starsift.logs import log_to
from starsift.simulate.emission import simulate_emission

log_to(snakemake.log[0])
print(simulate_emission(Path(snakemake.output.truth).parent, **snakemake.params.simulate))
