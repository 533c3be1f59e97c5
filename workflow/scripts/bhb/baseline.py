"""Train a classifier of spectra that is not a network."""

import json

from starsift.catalog.provenance import bundle_seed
from starsift.io.files import atomic_path
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
with atomic_path(output.training) as draft:
    draft.write_text(json.dumps(record | {"run": run}, sort_keys=True) + "\n")
