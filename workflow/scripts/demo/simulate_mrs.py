"""Write a simulated survey: FITS files, catalogue, truth."""

from pathlib import Path

from starsift.demo.mrs import simulate_survey
from starsift.logs import log_to
from starsift.spectra.templates import load_grid

log_to(snakemake.log[0])
folder = Path(snakemake.output.truth).parent
print(simulate_survey(folder, grid=load_grid(snakemake.input.grid), **snakemake.params.simulate))
