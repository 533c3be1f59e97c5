"""Simulate labelled spectra of Ondrejov and a LAMOST pool with rare emission-line stars, with the truth."""

from pathlib import Path

from starsift.demo.emission import simulate_emission
from starsift.logs import log_to

log_to(snakemake.log[0])
print(simulate_emission(Path(snakemake.output.truth).parent, **snakemake.params.simulate))
