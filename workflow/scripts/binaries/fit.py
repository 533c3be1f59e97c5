"""Fit models of one, two and three stars to one bundle of spectra."""

from starsift.learning.backend import namespace
from starsift.logs import log_to
from starsift.searches.binaries.fits import summarise, write_fits
from starsift.searches.binaries.model_bank import build_models
from starsift.searches.binaries.model_fit import fit_models
from starsift.spectra.batches import read_bundle
from starsift.spectra.templates import load_grid

log_to(snakemake.log[0])
bank = build_models(load_grid(snakemake.input.grid), **snakemake.params.model)
xp = namespace("keras" if snakemake.resources.get("gpu") else None)
batches = read_bundle(snakemake.input.spectra)
parts = ((batch.identity, summarise(fit_models(batch, bank, xp=xp), bank)) for batch in batches)
write_fits(snakemake.output[0], parts)
