"""Compare the emission-line spectra that were found with the truth of the simulated survey."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from starsift.demo.score_emission import score_emission
from starsift.demo.scorecard import write_card
from starsift.logs import log_to


def predictions(paths, folder):
    """Of all bundles, by the network whose results are in a folder."""
    own = [path for path in paths if Path(path).parent.parent == Path("results/emission", folder)]
    return pa.concat_tables(pq.read_table(path) for path in own)


def told(path):
    return json.loads(Path(path).read_text())


log_to(snakemake.log[0])
source = snakemake.input
stages = [str(Path(path).parent.parent.relative_to("results/emission")) for path in source.predictions]
by_stage = {stage: predictions(source.predictions, stage) for stage in sorted(set(stages))}
card = score_emission(
    source.truth,
    by_stage["final"],
    [table for stage, table in by_stage.items() if stage.startswith("baseline")],
    [told(path) for path in source.rounds],
    pq.read_table(source.catalog),
    temperature=told(source.calibration)["temperature"],
    predictions=[table for stage, table in by_stage.items() if stage.startswith("round")],
)
write_card(card, snakemake.output.card, snakemake.output.text)
