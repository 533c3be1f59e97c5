"""Measure the candidates of one bundle: velocities, indices, subtypes, activity."""

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from starsift.catalog.parquet import write_parquet
from starsift.logs import log_to
from starsift.mstars.measure import measure
from starsift.mstars.samples import read_sample
from starsift.mstars.velocity import build_velocity_bank, mean_templates
from starsift.spectra.batches import ROWS, read_rows

log_to(snakemake.log[0])
source, settings = snakemake.input, dict(snakemake.params.measure)
sample = read_sample(source.sample, source.sample_table)
m = sample.is_m
names, templates = mean_templates(
    sample.flux[m] - sample.zero[m, None],
    sample.ivar[m],
    sample.subclass[m],
    minimum=settings.pop("minimum_members"),
)
bank = build_velocity_bank(names, templates, velocity_max=settings.pop("velocity_max"))
candidates = pq.read_table(source.candidates, columns=["bundle", "row"])
mine = pc.equal(candidates["bundle"], snakemake.wildcards.bundle)
rows = sorted(candidates["row"].filter(mine).to_pylist())
# At least one part, so that a bundle without candidates has a table too.
parts = [rows[start : start + ROWS] for start in range(0, max(1, len(rows)), ROWS)]
tables = [measure(read_rows(source.spectra, part), bank, **settings) for part in parts]
write_parquet(pa.concat_tables(tables), snakemake.output[0])
