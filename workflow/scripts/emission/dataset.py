"""Transfer the labelled Ondrejov spectra to the domain of LAMOST."""

import pyarrow as pa

from starsift.io.parquet import write_csv, write_parquet
from starsift.logs import log_to
from starsift.searches.emission.dataset import initial_set

log_to(snakemake.log[0])
settings = snakemake.params
table, counts = initial_set(settings.root, settings.labels, blur=settings.blur)
write_parquet(table, snakemake.output.table)
counted = pa.table({"status": list(counts), "spectra": list(counts.values())})
write_csv(counted, snakemake.output.counts)
