"""Train without one fold, and measure on it."""

import json
from pathlib import Path

from starsift.binaries.tables import read_training
from starsift.binaries.training import cross_validate_fold
from starsift.logs import log_to

log_to(snakemake.log[0])
settings = snakemake.params
ccf, label = read_training(snakemake.input.training)
fold = int(snakemake.wildcards.fold)
metrics = cross_validate_fold(ccf, label, fold, settings.folds, seed=settings.seed, **settings.network)
Path(snakemake.output[0]).write_text(json.dumps(metrics, indent=1, sort_keys=True) + "\n")
