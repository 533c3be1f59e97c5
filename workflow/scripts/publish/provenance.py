"""Record settings, code, packages, inputs and counts of this run, and summarise it for the report."""

from pathlib import Path

from starsift.catalog.provenance import write_provenance
from starsift.io.files import atomic_path
from starsift.logs import log_to
from starsift.resources import read_rows
from starsift.searches.summary import summarise
from starsift.settings import default_settings

log_to(snakemake.log[0])
source = snakemake.input
status = {
    Path(path).name.removesuffix("-status.csv"): {
        row["status"]: int(row["spectra"]) for row in read_rows(Path(path), ["status", "spectra"])
    }
    for path in source.status
}
funnels = {Path(path).name.removesuffix("_funnel.csv"): read_rows(Path(path), []) for path in source.funnels}
inputs = {name: source[name] for name in snakemake.params.inputs}
counts = {"status": status, "funnel": funnels}
published = [*source.catalogs, *source.footprints, *source.get("hats", ())]
record = write_provenance(snakemake.output.record, snakemake.params.config, inputs, published, counts)
with atomic_path(snakemake.output.summary) as temporary:
    temporary.write_text(summarise("results", record, default_settings()))
