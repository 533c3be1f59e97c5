"""Compare the emission-line spectra that were found with the truth of the simulated survey."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from starsift.demo.score_emission import score_emission
from starsift.demo.scorecard import write_card
from starsift.io.files import read_json
from starsift.logs import log_to


def predictions(paths, folder):
    """Predictions for all bundles by the network of a stage."""
    own = [path for path in paths if Path(path).parent.parent == Path("results/emission", folder)]
    return pa.concat_tables(pq.read_table(path) for path in own)


log_to(snakemake.log[0])
source = snakemake.input
stages = [str(Path(path).parent.parent.relative_to("results/emission")) for path in source.predictions]
by_stage = {stage: predictions(source.predictions, stage) for stage in sorted(set(stages))}
card = score_emission(
    source.truth,
    by_stage["final"],
    [table for stage, table in by_stage.items() if stage.startswith("baseline")],
    [read_json(path) for path in source.rounds],
    pq.read_table(source.catalog),
    temperature=read_json(source.calibration)["temperature"],
    predictions=[table for stage, table in by_stage.items() if stage.startswith("round")],
)
write_card(card, snakemake.output.card, snakemake.output.text)
