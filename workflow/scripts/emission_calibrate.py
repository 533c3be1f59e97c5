"""Learn what the final network's probabilities are worth."""

import json

from starsift.catalog.parquet import write_parquet
from starsift.emission.results import fit_calibration, held_out, read_answers
from starsift.logs import log_to
from starsift.spectra.batches import atomic_path

log_to(snakemake.log[0])
labelled = held_out(read_answers(snakemake.input.rounds), snakemake.input.predictions)
write_parquet(labelled, snakemake.output.held_out)
with atomic_path(snakemake.output.calibration) as draft:
    draft.write_text(json.dumps(fit_calibration(labelled), sort_keys=True) + "\n")
