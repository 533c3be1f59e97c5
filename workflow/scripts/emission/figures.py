"""Draw the figures of the emission report from tables."""

import pyarrow.parquet as pq

from starsift.io.files import read_json
from starsift.logs import log_to
from starsift.report.plots import save
from starsift.searches.emission.figures import FIGURES, INPUTS


def read(paths):
    """A table, the content of a JSON file, or a list of these."""
    if not isinstance(paths, str):
        return [read(path) for path in paths]
    return read_json(paths) if paths.endswith(".json") else pq.read_table(paths)


log_to(snakemake.log[0])
data = {name: read(paths) for name, paths in snakemake.input.items()}
for name, path in snakemake.output.items():
    inputs = {argument: data[table] for argument, table in INPUTS[name].items()}
    save(FIGURES[name](**inputs, **snakemake.params.settings.get(name, {})), path)
