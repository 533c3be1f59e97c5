"""Write the tables of the emission report as HTML pages."""

import json
from pathlib import Path

import pyarrow.parquet as pq

from starsift.logs import log_to
from starsift.report.pages import page, read_csv, write_page
from starsift.searches.emission.report import Run, baseline_page, candidates_page, confusion_page, rounds_page


def told(path):
    return json.loads(Path(path).read_text())


log_to(snakemake.log[0])
source, output = snakemake.input, snakemake.output
candidates = pq.read_table(source.candidates)
runs = [
    Run(told(counts)["predicted"], pq.read_table(sample))
    for counts, sample in zip(source.get("counts", []), source.get("samples", []), strict=True)
]
write_page(rounds_page([told(path) for path in source.rounds], snakemake.params.threshold), output.rounds)
write_page(confusion_page(candidates), output.confusion)
write_page(baseline_page(runs, candidates), output.baseline)
write_page(candidates_page(candidates), output.candidates)
write_page(page("Funnel", [("From spectra to emission-line stars", read_csv(source.funnel))]), output.funnel)
