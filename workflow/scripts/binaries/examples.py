"""Choose the spectra that the report shows."""

from starsift.io.parquet import write_parquet
from starsift.logs import log_to
from starsift.searches.binaries.examples import collect_examples

log_to(snakemake.log[0])
write_parquet(collect_examples(**snakemake.input, **snakemake.params.settings), snakemake.output[0])
