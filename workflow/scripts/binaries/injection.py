"""Inject simulated binaries and measure which are recovered."""

from starsift.io.parquet import write_parquet
from starsift.logs import log_to
from starsift.searches.binaries.dataset import Laboratory
from starsift.searches.binaries.injection import detection_rates, flux_ratio_limits
from starsift.spectra.templates import load_grid

log_to(snakemake.log[0])
settings, output = snakemake.params, snakemake.output
laboratory = Laboratory.build(load_grid(snakemake.input.grid), peaks=settings.peaks, **settings.ccf)
points = dict(settings.injection)
teff = points.pop("teff")
write_parquet(detection_rates(laboratory, seed=settings.seed, **points), output.rates)
write_parquet(flux_ratio_limits(laboratory, seed=settings.seed, teff=teff), output.flux_ratios)
