"""Compare the binaries that were found with the truth of the simulated survey."""

from starsift.demo.score_binaries import score
from starsift.demo.scorecard import write_card
from starsift.logs import log_to
from starsift.searches.binaries.bundles import join_stages

log_to(snakemake.log[0])
stages = {name: snakemake.input[name] for name in ("classes", "components", "errors", "suspects")}
card = score(snakemake.input.truth, join_stages(stages))
write_card(card, snakemake.output.card, snakemake.output.text)
