"""Let the classifiers vote on one bundle of CCFs."""

from pathlib import Path

from starsift.binaries.training import Classifier
from starsift.binaries.voting import classify

from starsift.binaries.tables import read_components, read_curves, write_classes
from starsift.logs import log_to

log_to(snakemake.log[0])
classifiers = {Path(path).stem: Classifier.load(path) for path in snakemake.input.models}
table, components = read_components(snakemake.input.components)
write_classes(
    snakemake.output[0],
    table,
    classify(read_curves(snakemake.input.curves), components.count, classifiers, **snakemake.params.vote),
)
