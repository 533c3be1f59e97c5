"""Train without one fold, and test on it."""

import json

from starsift.io.files import atomic_path
from starsift.logs import log_to
from starsift.searches.binaries.dataset import read_training
from starsift.searches.binaries.evaluation import cross_validate_fold

log_to(snakemake.log[0])
settings = snakemake.params
ccf, label = read_training(snakemake.input.training)
fold = int(snakemake.wildcards.fold)
metrics = cross_validate_fold(ccf, label, fold, settings.folds, seed=settings.seed, **settings.network)
with atomic_path(snakemake.output[0]) as temporary:
    temporary.write_text(json.dumps(metrics, indent=1, sort_keys=True) + "\n")
