"""Learn from simulated spectra how many stars a spectrum shows."""

from starsift.logs import log_to
from starsift.searches.binaries.model_dataset import decide, read_samples

log_to(snakemake.log[0])
settings = snakemake.params
decide(read_samples(snakemake.input), seed=settings.seed, **settings.decision).save(snakemake.output[0])
