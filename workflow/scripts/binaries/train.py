"""Train one classifier on the whole training set."""

from starsift.logs import log_to
from starsift.searches.binaries.dataset import read_training
from starsift.searches.binaries.training import train_classifier

log_to(snakemake.log[0])
ccf, label = read_training(snakemake.input.training)
name = snakemake.wildcards.classifier
classifier = train_classifier(ccf, label, name, seed=snakemake.params.seed, **snakemake.params.network)
classifier.save(snakemake.output[0])
