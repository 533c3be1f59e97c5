"""Put what a search learnt into a model set, or copy the set that the settings name."""

from pathlib import Path

from starsift.learning.model_sets import make_model_set
from starsift.logs import log_to

log_to(snakemake.log[0])
files = {Path(path).name: path for path in snakemake.input}
make_model_set(Path(snakemake.output.record).parent, files=files, **snakemake.params.set)
