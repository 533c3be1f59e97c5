"""Publish the catalogue of M stars, the list of candidates to be looked at, and the funnel."""

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from starsift.catalog.parquet import write_csv, write_parquet
from starsift.catalog.provenance import provenance
from starsift.catalog.publish import publish
from starsift.catalog.schema import MSTARS
from starsift.logs import log_to
from starsift.mstars.results import assemble, read_labels, read_sources, velocity_bins

log_to(snakemake.log[0])
source, output, settings = snakemake.input, snakemake.output, snakemake.params
catalog, vetting, counts = assemble(
    pq.read_table(source.candidates),
    pa.concat_tables([pq.read_table(path) for path in source.measurements]),
    pq.read_table(source.manifest),
    read_sources(source.get("sources") or None),
    read_labels(source.get("labels") or None),
    giants=settings.giants,
    kinematics=settings.kinematics,
    **settings.catalog,
)
inputs = {name: source[name] for name in ("catalog", "labelled", "sources", "labels") if source.get(name)}
publish(catalog, MSTARS, "results/catalogs/mstars", provenance(settings.settings, inputs))
write_parquet(vetting, output.vetting)
write_parquet(velocity_bins(catalog), output.bins)
steps = pa.table({"step": list(counts), "spectra": list(counts.values())})
write_csv(pa.concat_tables([pyarrow.csv.read_csv(source.search), steps]), output.funnel)
