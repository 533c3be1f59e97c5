"""Draw the figures of the emission report from tables."""

import json
from pathlib import Path

import pyarrow.parquet as pq

from starsift.logs import log_to
from starsift.report.plots import save
from starsift.searches.emission.figures import FIGURES, INPUTS


def read(paths):
    """A table; what a JSON file holds; or of several files a list."""
    if not isinstance(paths, str):
        return [read(path) for path in paths]
    if not paths.endswith(".json"):
        return pq.read_table(paths)
    return json.loads(Path(paths).read_text())


log_to(snakemake.log[0])
data = {name: read(paths) for name, paths in snakemake.input.items()}
for name, path in snakemake.output.items():
    inputs = {argument: data[table] for argument, table in INPUTS[name].items()}
    save(FIGURES[name](**inputs, **snakemake.params.settings.get(name, {})), path)
