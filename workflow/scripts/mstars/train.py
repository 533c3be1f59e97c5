"""Train the hasher, encode its sample, and calibrate its scores."""

from starsift.io.parquet import write_parquet
from starsift.logs import log_to
from starsift.searches.mstars.calibration import write_calibration
from starsift.searches.mstars.dataset import read_sample
from starsift.searches.mstars.training import train_reference

log_to(snakemake.log[0])
settings, output = snakemake.params, snakemake.output
sample = read_sample(snakemake.input.spectra, snakemake.input.table)
model, reference, calibration = train_reference(sample, seed=settings.seed, **settings.hash)
model.save(output.model)
write_parquet(reference, output.reference)
write_calibration(calibration, output.calibration)
