"""Cross-correlate one bundle of spectra with the templates."""

from starsift.learning.backend import namespace
from starsift.logs import log_to
from starsift.searches.binaries.curves import write_curves
from starsift.spectra.batches import read_bundle
from starsift.spectra.ccf import build_bank, correlate
from starsift.spectra.templates import load_grid

log_to(snakemake.log[0])
bank = build_bank(load_grid(snakemake.input.grid), **snakemake.params.ccf)
xp = namespace("keras" if snakemake.resources.get("gpu") else None)
curves = ((batch.identity, correlate(batch, bank, xp=xp)) for batch in read_bundle(snakemake.input.spectra))
write_curves(snakemake.output[0], curves, bank.velocities)
