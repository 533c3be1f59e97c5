"""Sample what a network without active learning predicts, and take the labels that there are."""

import json

from starsift.catalog.provenance import bundle_seed
from starsift.io.files import atomic_path
from starsift.io.parquet import write_parquet
from starsift.learning.labels import read_labels
from starsift.logs import log_to
from starsift.searches.emission.catalog import sample_predicted
from starsift.searches.emission.search import SEARCH

log_to(snakemake.log[0])
settings, output = snakemake.params, snakemake.output
labels = read_labels(settings.store, SEARCH, missing_ok=True)
seed = bundle_seed(settings.seed, f"baseline {snakemake.wildcards.run}")
sample, counts = sample_predicted(snakemake.input.predictions, labels, settings.sample, seed)
write_parquet(sample, output.sample)
with atomic_path(output.counts) as draft:
    draft.write_text(json.dumps({"predicted": counts}, sort_keys=True) + "\n")
