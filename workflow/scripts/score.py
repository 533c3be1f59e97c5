"""Compare what was found with the truth of the simulated survey."""

import json

from starsift.binaries.tables import join_stages
from starsift.logs import log_to
from starsift.simulate.score import describe, score
from starsift.spectra.batches import atomic_path

log_to(snakemake.log[0])
stages = {name: snakemake.input[name] for name in ("components", "errors", "classes", "suspects")}
card = score(snakemake.input.truth, join_stages(stages))
for path, text in {
    snakemake.output.card: json.dumps(card, indent=1, sort_keys=True),
    snakemake.output.text: "\n".join(describe(card)),
}.items():
    with atomic_path(path) as temporary:
        temporary.write_text(text + "\n")
