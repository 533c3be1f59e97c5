"""Write the tables of the emission report as HTML pages."""

import pyarrow.parquet as pq

from starsift.io.files import read_json
from starsift.logs import log_to
from starsift.report.pages import page, read_csv, write_page
from starsift.searches.emission.report import Run, baseline_page, candidates_page, confusion_page, rounds_page

log_to(snakemake.log[0])
source, output = snakemake.input, snakemake.output
candidates = pq.read_table(source.candidates)
runs = [
    Run(read_json(counts)["predicted"], pq.read_table(sample))
    for counts, sample in zip(source.get("counts", []), source.get("samples", []), strict=True)
]
rounds = [read_json(path) for path in source.rounds]
if rounds:
    write_page(rounds_page(rounds, snakemake.params.threshold), output.rounds)
    write_page(baseline_page(runs, candidates), output.baseline)
write_page(confusion_page(candidates), output.confusion)
write_page(candidates_page(candidates), output.candidates)
write_page(page("Funnel", [("From spectra to emission-line stars", read_csv(source.funnel))]), output.funnel)
