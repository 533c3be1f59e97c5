"""Compare the binaries that were found with the truth of the simulated survey."""

from starsift.searches.binaries.tables import join_stages
from starsift.logs import log_to
from starsift.demo.score import score, write_card

log_to(snakemake.log[0])
stages = {name: snakemake.input[name] for name in ("components", "errors", "classes", "suspects")}
card = score(snakemake.input.truth, join_stages(stages))
write_card(card, snakemake.output.card, snakemake.output.text)
