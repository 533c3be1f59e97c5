"""Write the tables of the BHB report as HTML pages."""

import pyarrow.parquet as pq

import starsift.searches.bhb.report as report
from starsift.logs import log_to
from starsift.report.pages import write_page

log_to(snakemake.log[0])
source, output = snakemake.input, snakemake.output
if source.metrics:
    metrics = pq.read_table(source.metrics)
    for name in ("table5", *report.COMPARISONS):
        write_page(report.table_page(name, metrics), output[name])
    write_page(report.gaps_page(pq.read_table(source.gaps)), output.gaps)
    write_page(report.dataset_page(source.counts, source.dropped), output.dataset)
catalog, rejected = pq.read_table(source.catalog), pq.read_table(source.rejected)
write_page(report.candidates_page(catalog, rejected), output.candidates)
write_page(report.funnel_page(source.funnel), output.funnel)
