"""Train the network of one stage: a round, the final one, or one without active learning."""

from starsift.catalog.provenance import bundle_seed
from starsift.io.files import write_json
from starsift.learning.backend import save_network
from starsift.logs import log_to
from starsift.searches.emission.dataset import training_set
from starsift.searches.emission.training import train

log_to(snakemake.log[0])
source, output, settings = snakemake.input, snakemake.output, snakemake.params
windows, labels = training_set(source.initial, source.get("labels", []))
# 32 bits: the limit of NumPy's older generators, which balance the classes.
seed = bundle_seed(settings.seed, snakemake.wildcards.stage) % 2**32
trained = train(windows, labels, seed=seed, start=source.get("start") or None, **settings.training)
save_network(trained.model, output.model)
scores = {"epochs": trained.epochs, "loss": trained.loss}
write_json(scores | {"n_training": len(labels), "n_balanced": trained.n_examples}, output.training)
