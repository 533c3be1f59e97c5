"""Simulate spectra of so many stars, and fit the models to them."""

from starsift.logs import log_to
from starsift.searches.binaries.model_bank import build_models
from starsift.searches.binaries.model_dataset import simulate, write_sample
from starsift.spectra.templates import load_grid

log_to(snakemake.log[0])
settings = snakemake.params
grid, stars = load_grid(snakemake.input.grid), int(snakemake.wildcards.stars)
sample = simulate(
    grid,
    build_models(grid, **settings.model),
    resolution=settings.model["resolution"],
    stars=stars,
    number=settings.spectra[stars - 1],
    snr=settings.snr,
    seed=settings.seed,
)
write_sample(snakemake.output[0], sample)
