"""Write a simulated low-resolution survey: FITS files, catalogues, a table of Gaia sources, truth."""

from pathlib import Path

from starsift.demo.lrs import simulate_lrs
from starsift.logs import log_to

log_to(snakemake.log[0])
print(simulate_lrs(Path(snakemake.output.truth).parent, **snakemake.params.simulate))
