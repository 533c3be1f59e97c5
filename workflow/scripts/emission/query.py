"""Choose which spectra of the pool people are asked about."""

import json

import pyarrow as pa
import pyarrow.parquet as pq

from starsift.catalog.provenance import bundle_seed
from starsift.io.files import atomic_path
from starsift.io.parquet import write_parquet
from starsift.logs import log_to
from starsift.searches.emission.active import count_classes, make_query
from starsift.searches.emission.dataset import add_windows

log_to(snakemake.log[0])
source, output, settings = snakemake.input, snakemake.output, snakemake.params
pool = pa.concat_tables(pq.read_table(path) for path in source.predictions)
taught = [("purpose", "==", "query")]
labelled = [
    name
    for path in source.get("labels", [])
    for name in pq.read_table(path, columns=["spectrum_id"], filters=taught)["spectrum_id"].to_pylist()
]
seed = bundle_seed(settings.seed, f"precision {snakemake.wildcards.round}")
query = make_query(pool, labelled, seed=seed, **settings.query)
write_parquet(add_windows(query, source.windows), output.query)
with atomic_path(output.counts) as draft:
    draft.write_text(json.dumps(count_classes(pool), sort_keys=True) + "\n")
