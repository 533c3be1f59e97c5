"""Transfer the labelled Ondrejov spectra to the domain of LAMOST."""

from starsift.io.parquet import write_counts, write_parquet
from starsift.logs import log_to
from starsift.searches.emission.dataset import initial_set

log_to(snakemake.log[0])
settings = snakemake.params
table, counts = initial_set(settings.root, settings.labels, blur=settings.blur, **settings.window)
write_parquet(table, snakemake.output.table)
write_counts(counts, snakemake.output.counts, "status")
