"""Sample the predictions of a network without active learning, with the labels that are known."""

from starsift.catalog.provenance import bundle_seed
from starsift.io.files import write_json
from starsift.io.parquet import write_parquet
from starsift.learning.labels import read_labels
from starsift.logs import log_to
from starsift.searches.emission.evaluation import sample_predicted_emission
from starsift.searches.emission.words import VOCABULARY

log_to(snakemake.log[0])
settings, output = snakemake.params, snakemake.output
labels = read_labels(settings.store, VOCABULARY, missing_ok=True)
seed = bundle_seed(settings.seed, f"baseline {snakemake.wildcards.run}")
sample, counts = sample_predicted_emission(snakemake.input.predictions, labels, settings.sample, seed)
write_parquet(sample, output.sample)
write_json({"predicted": counts}, output.counts)
