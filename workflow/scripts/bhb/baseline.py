"""Train a classifier of spectra that is not a network."""

from starsift.catalog.provenance import bundle_seed
from starsift.io.files import write_json
from starsift.io.parquet import write_parquet
from starsift.logs import log_to
from starsift.searches.bhb.baselines import train_baseline
from starsift.searches.bhb.dataset import read_dataset

log_to(snakemake.log[0])
output = snakemake.output
model, run = snakemake.wildcards.model, int(snakemake.wildcards.run)
seed = bundle_seed(snakemake.params.seed, f"{model} {run}") % 2**32
record, predictions = train_baseline(model, read_dataset(snakemake.input.dataset), seed=seed)
write_parquet(predictions, output.predictions)
write_json(record | {"run": run}, output.training)
