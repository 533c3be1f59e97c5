"""Classify the windows of one bundle."""

from starsift.catalog.provenance import bundle_seed
from starsift.io.parquet import write_parquet
from starsift.logs import log_to
from starsift.searches.emission.predict import predict_bundle

log_to(snakemake.log[0])
settings = snakemake.params
seed = bundle_seed(settings.seed, f"{snakemake.wildcards.stage} {snakemake.wildcards.bundle}")
predictions = predict_bundle(
    snakemake.input.windows,
    snakemake.input.model,
    strategy=settings.strategy,
    precision=settings.precision,
    seed=seed,
    kind="keras" if snakemake.resources.get("gpu") else None,
)
write_parquet(predictions, snakemake.output[0])
