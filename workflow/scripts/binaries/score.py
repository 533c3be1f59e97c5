"""Compare the binaries that were found with the truth of the simulated survey."""

import pyarrow.parquet as pq

from starsift.demo.score_binaries import score
from starsift.demo.scorecard import write_card
from starsift.logs import log_to
from starsift.searches.binaries.bundles import join_stages

log_to(snakemake.log[0])
stages = {name: snakemake.input[name] for name in ("classes", "components", "errors", "suspects")}
published = pq.read_table(snakemake.input.catalog, columns=["spectrum_id", "multiplicity"])
columns = ["gaia_source_id", "period", "period_probability", "time_span"]
orbits = pq.read_table(snakemake.input.orbits, columns=columns)
card = score(snakemake.input.truth, join_stages(stages), published, orbits)
write_card(card, snakemake.output.card, snakemake.output.text)
