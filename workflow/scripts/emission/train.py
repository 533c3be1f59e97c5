"""Train the network of one stage: a round, the final one, or one without active learning."""

import json

from starsift.catalog.provenance import bundle_seed
from starsift.io.files import atomic_path
from starsift.learning.backend import save_network
from starsift.logs import log_to
from starsift.searches.emission.dataset import training_set
from starsift.searches.emission.training import train

log_to(snakemake.log[0])
source, output, settings = snakemake.input, snakemake.output, snakemake.params
windows, labels = training_set(source.initial, source.get("labels", []))
# 32 bits: what NumPy's older generators, which balance the classes, take.
seed = bundle_seed(settings.seed, snakemake.wildcards.stage) % 2**32
trained = train(windows, labels, seed=seed, start=source.get("start") or None, **settings.training)
save_network(trained.model, output.model)
told = {"epochs": trained.epochs, "loss": trained.loss, "n_training": len(labels)}
told["n_balanced"] = trained.n_examples
with atomic_path(output.told) as draft:
    draft.write_text(json.dumps(told, sort_keys=True) + "\n")
