"""Blue horizontal branch stars (Wei et al. 2023), as declared to the rest of starsift."""

from starsift.searches.base import Figure, Queue, Search
from starsift.searches.bhb.words import VOCABULARY

SEARCH = Search(
    **vars(VOCABULARY),
    title="BHB stars",
    reference="Wei et al. 2023",
    kinds=("lrs", "sdss"),
    sections={"networks": "networks", "catalog": "catalogue"},
    stages=("bhb/cutouts/{survey}", "bhb/predictions/{survey}"),
    steps={"trainings": "bhb/models/*/run-*/training.json"},
    catalogs=("bhb",),
    figures=(
        Figure("examples", "networks", "Examples", of_training=True),
        Figure("roc_pr", "networks", "ROC and precision-recall", of_training=True),
        Figure("weights", "networks", "Weights of segments and bands", of_training=True),
        Figure("fusion", "networks", "Fusion of spectrum and image", of_training=True),
        Figure("training", "networks", "Training", of_training=True),
        Figure("reliability", "catalog", "Reliability", of_training=True),
        Figure("purity", "catalog", "Purity and completeness", of_training=True),
        Figure("colours", "catalog", "Colours"),
        Figure("distances", "catalog", "Distances"),
        Figure("table5", "networks", "Table 5: by class", "html", of_training=True),
        Figure("table6", "networks", "Table 6: encoders", "html", of_training=True),
        Figure("table7", "networks", "Table 7: the Transformer", "html", of_training=True),
        Figure("table8", "networks", "Table 8: models", "html", of_training=True),
        Figure("gaps", "networks", "Differences between models", "html", of_training=True),
        Figure("dataset", "networks", "Labelled stars", "html", of_training=True),
        Figure("candidates", "catalog", "Candidates", "html"),
        Figure("funnel", "catalog", "Funnel: from spectra to BHB stars", "html"),
    ),
    queues=(Queue("bhb-candidates", "Blue horizontal branch", "catalogs/bhb.parquet"),),
    models=("fused.keras", "single.keras", "calibration.json"),
    learning=("labelled", "spectrum", "image", "preset", "model", "runs", "training", "purity"),
    bound=("image.size",),
    learnt_from=(
        "Simulated A-type SDSS spectra with ugriz images: BHB stars, blue stragglers, main-sequence A "
        "stars. No observed spectrum."
    ),
    limits=(
        "SDSS spectra of types A and late B; images of 32 pixels a side if there are any. Gravities of A "
        "stars hotter than 9500 K are hardly told apart. Hotter stars, with lines of He I, were not among "
        "those learnt from, and can get a high probability. Not tested on real BHB stars. Networks of the "
        "size tiny."
    ),
    sifts=("sdss",),
    subclasses="A|B[6-9]",
)
