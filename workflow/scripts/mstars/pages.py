"""Write the tables of the M-star report as HTML pages."""

import pyarrow.parquet as pq

from starsift.logs import log_to
from starsift.report.pages import page, read_csv, write_page
from starsift.searches.mstars.report import evaluation_page, positive_sample_page, vetting_page

log_to(snakemake.log[0])
source, output = snakemake.input, snakemake.output
if source.sample:
    sample = positive_sample_page(pq.read_table(source.sample), pq.read_table(source.clusters))
    write_page(sample, output.positive_sample)
    write_page(evaluation_page(pq.read_table(source.evaluation)), output.evaluation)
write_page(vetting_page(pq.read_table(source.candidates)), output.vetting)
write_page(page("Funnel", [("From spectra to M stars", read_csv(source.funnel))]), output.funnel)
