"""Let the classifiers vote on one bundle of CCFs."""

from pathlib import Path

import numpy as np

from starsift.logs import log_to
from starsift.searches.binaries.curves import read_curves
from starsift.searches.binaries.tables import read_components, write_classes
from starsift.searches.binaries.training import Classifier
from starsift.searches.binaries.voting import classify

log_to(snakemake.log[0])
classifiers = {Path(path).stem: Classifier.load(path) for path in snakemake.input.models}
table, components = read_components(snakemake.input.components)
ccf = np.concatenate([curves.ccf for curves in read_curves(snakemake.input.curves)])
classes = classify(ccf, components.count, classifiers, **snakemake.params.vote)
write_classes(snakemake.output[0], table, classes)
