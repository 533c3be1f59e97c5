"""Publish the catalogue of M stars; write the candidates to be vetted, all M stars, and the funnel."""

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

import starsift.searches.mstars.catalog as stage
from starsift.catalog.provenance import provenance
from starsift.catalog.publish import publish
from starsift.io.parquet import write_counts, write_parquet
from starsift.learning.labels import read_labels, warn_unmatched
from starsift.logs import log_to
from starsift.searches.mstars.columns import MSTARS
from starsift.searches.mstars.luminosity import separators
from starsift.searches.mstars.words import VOCABULARY

log_to(snakemake.log[0])
source, output, settings = snakemake.input, snakemake.output, snakemake.params
warn_unmatched(settings.store, "mstars", "results")
labels = read_labels(settings.store, VOCABULARY, strict=False, missing_ok=True)
properties = {
    **settings.properties,
    "sources": stage.read_sources(source.get("sources") or None),
    "separators": separators(settings.properties["separators"]),
}
measured = pa.concat_tables(pq.read_table(path) for path in source.measurements)
candidates = stage.join_measurements(pq.read_table(source.candidates), measured)
manifest = pa.concat_tables((pq.read_table(path) for path in source.manifests), promote_options="permissive")
rows = stage.characterize(candidates, manifest, **properties)
m_stars, vetting, counts = stage.build_catalog(rows, labels, probability=settings.probability)
released = [
    stage.characterize(
        pa.concat_tables(pq.read_table(file) for file in source.released),
        pq.read_table(manifest),
        **properties,
    )
    for manifest in source.released_manifest  # none where the search learns nothing
]
known = stage.all_m(m_stars, *released)
inputs = {name: source[name] for name in ("catalog", "labelled", "models", "sources") if source.get(name)}
publish(m_stars, MSTARS, "results/catalogs/mstars", provenance(settings.settings, inputs))
write_parquet(vetting, output.vetting)
write_parquet(known, output.all_m)
write_parquet(stage.velocity_bins(known), output.bins)
before = pyarrow.csv.read_csv(source.funnel).to_pydict()
write_counts(dict(zip(before["step"], before["spectra"], strict=True)) | counts, output.funnel)
