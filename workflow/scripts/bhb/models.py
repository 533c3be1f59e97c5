"""Put the networks of the run that classifies into a model set, or copy the set that the settings name."""

from pathlib import Path

from starsift.io.files import read_json
from starsift.learning.model_sets import make_model_set
from starsift.logs import log_to
from starsift.searches.bhb.predict import network_of

log_to(snakemake.log[0])
source = snakemake.input
calibration = read_json(source.calibration)
files = {f"{name}.keras": network_of(source[name], calibration) for name in ("fused", "single")}
files["calibration.json"] = source.calibration
make_model_set(Path(snakemake.output.record).parent, files=files, **snakemake.params.set)
