"""Train one network: an encoder, the fusion of two encoders, or all parts at once."""

from starsift.catalog.provenance import bundle_seed
from starsift.io.files import write_json
from starsift.io.parquet import write_parquet
from starsift.learning.backend import load_network, save_network
from starsift.logs import log_to
from starsift.searches.bhb.dataset import read_dataset
from starsift.searches.bhb.training import TrainingOptions, train

log_to(snakemake.log[0])
source, output, settings = snakemake.input, snakemake.output, snakemake.params
model, run = snakemake.wildcards.model, int(snakemake.wildcards.run)
trained = train(
    model,
    read_dataset(source.dataset),
    preset=settings.preset,
    options=TrainingOptions(**settings.options),
    seed=bundle_seed(settings.seed, f"{model} {run}") % 2**32,
    spectrum=load_network(source.spectrum) if source.get("spectrum") else None,
    image=load_network(source.image) if source.get("image") else None,
    pretrained=settings.pretrained,
)
save_network(trained.model, output.model)
write_parquet(trained.predictions, output.predictions)
write_json(trained.record | {"run": run}, output.training)
