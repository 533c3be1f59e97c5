"""Learn what the final network's probabilities are worth."""

import json
from pathlib import Path

from starsift.io.files import atomic_path
from starsift.io.parquet import write_parquet
from starsift.logs import log_to
from starsift.searches.emission.catalog import fit_calibration, held_out, read_answers
from starsift.searches.emission.window import CLASSES, TARGETS

log_to(snakemake.log[0])
source = snakemake.input
told = [json.loads(Path(path).read_text()) for path in source.told]
predicted = {one["round"]: sum(one["predicted"][name] for name in CLASSES[:TARGETS]) for one in told}
labelled = held_out(read_answers(source.rounds), source.predictions, predicted)
write_parquet(labelled, snakemake.output.held_out)
with atomic_path(snakemake.output.calibration) as draft:
    draft.write_text(json.dumps(fit_calibration(labelled), sort_keys=True) + "\n")
