"""Blue horizontal branch stars (Wei et al. 2023), as declared to the rest of starsift."""

from starsift.searches.base import Figure, Queue, Search, Word

SEARCH = Search(
    name="bhb",
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
    # Blue stragglers and A stars of the main sequence contaminate samples of BHB stars (Wei et al. 2023,
    # introduction).
    words=(
        Word("BHB", "1", "BHB", "blue horizontal branch star: narrow, deep Balmer lines"),
        Word(
            "blue straggler",
            "2",
            "not BHB",
            "A-type spectrum of high surface gravity, in the halo or a cluster: broad Balmer lines",
        ),
        Word(
            "A main sequence", "3", "not BHB", "A-type star of the disc: broad Balmer lines and metal lines"
        ),
        Word("not BHB", "4", "not BHB", "any other star, galaxy or quasar"),
        Word("bad", "5", "not BHB", "the spectrum or the image cannot be used"),
    ),
)
