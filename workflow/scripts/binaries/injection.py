"""Inject simulated binaries and see which are recovered."""

from starsift.io.parquet import write_parquet
from starsift.logs import log_to
from starsift.searches.binaries.evaluation import detection_rates, flux_ratio_limits
from starsift.spectra.templates import load_grid

log_to(snakemake.log[0])
settings, grid = snakemake.params, load_grid(snakemake.input.grid)
common = {"ccf": settings.ccf, "peaks": settings.peaks, "seed": settings.seed}
points = {key: settings.injection[key] for key in ("trials", "delta_rv", "snr")}
write_parquet(detection_rates(grid, **common, **points), snakemake.output.rates)
write_parquet(
    flux_ratio_limits(grid, **common, teff=settings.injection["teff"]), snakemake.output.flux_ratios
)
