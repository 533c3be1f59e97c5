"""Compare what was found with the truth of the simulated survey."""

import json
from pathlib import Path

from starsift.simulate.score import score

from starsift.binaries.tables import join_stages
from starsift.logs import log_to

log_to(snakemake.log[0])
stages = {name: snakemake.input[name] for name in ("components", "errors", "classes", "suspects")}
card = score(snakemake.input.truth, join_stages(**stages))
Path(snakemake.output[0]).write_text(json.dumps(card, indent=1, sort_keys=True) + "\n")
