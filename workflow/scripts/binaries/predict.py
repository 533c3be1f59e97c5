"""Let the classifiers vote on one bundle of CCFs."""

from starsift.io.parquet import write_parquet
from starsift.logs import log_to
from starsift.searches.binaries.predict import predict_bundle

log_to(snakemake.log[0])
source = snakemake.input
table = predict_bundle(source.curves, source.components, source.models, **snakemake.params.vote)
write_parquet(table, snakemake.output[0])
