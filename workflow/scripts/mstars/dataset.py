"""Draw the positive and the negative sample from the labelled survey."""

from starsift.io.parquet import write_parquet
from starsift.logs import log_to
from starsift.searches.mstars.dataset import build_sample, write_sample

log_to(snakemake.log[0])
source, output, settings = snakemake.input, snakemake.output, snakemake.params
sample, clusters = build_sample(
    list(source.spectra), list(source.manifests), seed=settings.seed, **settings.sample
)
write_sample(sample, output.spectra, output.table)
write_parquet(clusters, output.clusters)
