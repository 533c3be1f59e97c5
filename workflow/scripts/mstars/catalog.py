"""Publish the catalogue of M stars; write the candidates to be vetted, all M stars, and the funnel."""

from functools import partial

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from starsift.catalog.provenance import provenance
from starsift.catalog.publish import publish
from starsift.io.parquet import write_csv, write_parquet
from starsift.learning.labels import read_labels, warn_unmatched
from starsift.logs import log_to
from starsift.searches.mstars.catalog import (
    all_m,
    build_catalog,
    characterize,
    join_measurements,
    read_sources,
    velocity_bins,
)
from starsift.searches.mstars.columns import MSTARS
from starsift.searches.mstars.luminosity import separators
from starsift.searches.mstars.search import SEARCH

log_to(snakemake.log[0])
source, output, settings = snakemake.input, snakemake.output, snakemake.params
warn_unmatched(settings.store, "mstars", "results")
labels = read_labels(settings.store, SEARCH, strict=False, missing_ok=True)
add_properties = partial(
    characterize,
    sources=read_sources(source.get("sources") or None),
    match_radius=settings.catalog["match_radius"],
    epoch_years=settings.catalog["epoch_years"],
    separators=separators(settings.giants["separators"]),
    giant_share=settings.giants["giant_share"],
    **settings.kinematics,
)
measured, released = (
    pa.concat_tables([pq.read_table(path) for path in paths])
    for paths in (source.measurements, source.released)
)
rows = add_properties(
    join_measurements(pq.read_table(source.candidates), measured), pq.read_table(source.manifest)
)
catalog, vetting, counts = build_catalog(rows, labels, probability=settings.catalog["probability"])
known = all_m(catalog, add_properties(released, pq.read_table(source.released_manifest)))
inputs = {name: source[name] for name in ("catalog", "labelled", "sources") if source.get(name)}
publish(catalog, MSTARS, "results/catalogs/mstars", provenance(settings.settings, inputs))
write_parquet(vetting, output.vetting)
write_parquet(known, output.all_m)
write_parquet(velocity_bins(known), output.bins)
steps = pa.table({"step": list(counts), "spectra": list(counts.values())})
write_csv(pa.concat_tables([pyarrow.csv.read_csv(source.funnel), steps]), output.funnel)
