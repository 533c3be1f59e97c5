"""Draw the figures of the emission report from tables."""

import pyarrow.parquet as pq

from starsift.io.files import read_json
from starsift.logs import log_to
from starsift.report.plots import draw_figures
from starsift.searches.emission import figures


def read(paths):
    """A table, the content of a JSON file, or a list of these."""
    if not isinstance(paths, str):
        return [read(path) for path in paths]
    return read_json(paths) if paths.endswith(".json") else pq.read_table(paths)


log_to(snakemake.log[0])
tables = {name: read(paths) for name, paths in snakemake.input.items()}
draw_figures(figures, tables, snakemake.output.items(), snakemake.params.settings)
