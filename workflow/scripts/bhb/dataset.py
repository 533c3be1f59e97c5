"""Put labelled spectra and their images together, and split them by star."""

from starsift.io.parquet import write_csv, write_parquet
from starsift.logs import log_to
from starsift.searches.bhb.dataset import BundleFiles, build_dataset
from starsift.searches.bhb.labelled import read_labelled

log_to(snakemake.log[0])
source, output, settings = snakemake.input, snakemake.output, snakemake.params
files = zip(source.manifests, source.spectra, source.cutouts, strict=True)
table, counts, dropped = build_dataset(
    read_labelled(settings.labelled),
    [BundleFiles(settings.survey, *names) for names in files],
    seed=settings.seed,
    **settings.dataset,
)
write_parquet(table, output.table)
write_csv(counts, output.counts)
write_csv(dropped, output.dropped)
