"""Write the tables of the report as HTML pages."""

from starsift.logs import log_to
from starsift.report.pages import write_page
from starsift.searches.binaries.report import cross_validation_page, funnel_page, selection_page

log_to(snakemake.log[0])
source, output = snakemake.input, snakemake.output
write_page(selection_page(source.selection, source.status), output.selection)
if source.folds:
    write_page(cross_validation_page(source.folds), output.cross_validation)
write_page(funnel_page(source.funnel, source.methods), output.funnel)
