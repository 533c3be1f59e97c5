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
        Figure("examples", "networks", "Examples"),
        Figure("roc_pr", "networks", "ROC and precision-recall"),
        Figure("weights", "networks", "Weights of segments and bands"),
        Figure("fusion", "networks", "Fusion of spectrum and image"),
        Figure("training", "networks", "Training"),
        Figure("reliability", "catalog", "Reliability"),
        Figure("purity", "catalog", "Purity and completeness"),
        Figure("colours", "catalog", "Colours"),
        Figure("distances", "catalog", "Distances"),
        Figure("table5", "networks", "Table 5: by class", "html"),
        Figure("table6", "networks", "Table 6: encoders", "html"),
        Figure("table7", "networks", "Table 7: the Transformer", "html"),
        Figure("table8", "networks", "Table 8: models", "html"),
        Figure("gaps", "networks", "Differences between models", "html"),
        Figure("dataset", "networks", "Labelled stars", "html"),
        Figure("candidates", "catalog", "Candidates", "html"),
        Figure("funnel", "catalog", "Funnel: from spectra to BHB stars", "html"),
    ),
    queues=(Queue("bhb-candidates", "Blue horizontal branch", "catalogs/bhb.parquet"),),
)
