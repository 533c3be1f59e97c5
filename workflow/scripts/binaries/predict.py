"""Decide how many stars each spectrum of one bundle shows."""

from starsift.io.parquet import write_parquet
from starsift.logs import log_to
from starsift.searches.binaries.predict import predict_bundle

log_to(snakemake.log[0])
write_parquet(predict_bundle(**snakemake.input, **snakemake.params.settings), snakemake.output[0])
