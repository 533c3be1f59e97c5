"""Select the spectra of the pool that people label in a round."""

import pyarrow as pa
import pyarrow.parquet as pq

from starsift.catalog.provenance import bundle_seed
from starsift.io.files import write_json
from starsift.io.parquet import write_parquet
from starsift.logs import log_to
from starsift.searches.emission.active import select_query
from starsift.searches.emission.classes import count_classes, probabilities
from starsift.searches.emission.dataset import add_windows

log_to(snakemake.log[0])
source, output, settings = snakemake.input, snakemake.output, snakemake.params
pool = pa.concat_tables(pq.read_table(path) for path in source.predictions)
queried = [("purpose", "==", "query")]
labelled = [
    name
    for path in source.get("labels", [])
    for name in pq.read_table(path, columns=["spectrum_id"], filters=queried)["spectrum_id"].to_pylist()
]
seed = bundle_seed(settings.seed, f"precision {snakemake.wildcards.round}")
query = select_query(pool, labelled, seed=seed, **settings.query)
write_parquet(add_windows(query, source.windows), output.query)
write_json({"predicted": count_classes(probabilities(pool))}, output.counts)
