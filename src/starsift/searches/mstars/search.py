"""M stars among unclassified spectra (Guo et al. 2019), as declared to the rest of starsift."""

from starsift.searches.base import Figure, Queue, Search
from starsift.searches.mstars.words import VOCABULARY

SEARCH = Search(
    **vars(VOCABULARY),
    title="M stars",
    reference="Guo et al. 2019",
    kinds=("lrs", "sdss"),
    sections={"search": "search", "catalog": "catalogue", "kinds": "giants, activity, kinematics"},
    stages=("mstars/codes", "mstars/measurements", "mstars/released"),
    steps={"hash functions": "mstars/model.npz"},
    catalogs=("mstars",),
    figures=(
        Figure("recall_precision", "search", "Precision and recall", of_training=True),
        Figure("top_matches", "search", "Nearest spectra to a late-type query", of_training=True),
        Figure("ranked_matches", "search", "Spectra by rank for an early-type query", of_training=True),
        Figure("subtypes", "catalog", "Subtypes"),
        Figure("snr", "catalog", "Signal-to-noise ratios"),
        Figure("magnitudes", "catalog", "Magnitudes", of_training=True),
        Figure("subtype_comparison", "catalog", "Subtypes, compared with released M stars", of_training=True),
        Figure("giants_spectra", "kinds", "Giants by indices"),
        Figure("giants_photometry", "kinds", "Giants by colours"),
        Figure("activity", "kinds", "Activity"),
        Figure("kinematics", "kinds", "Kinematics"),
        Figure("positive_sample", "search", "The positive sample", "html", of_training=True),
        Figure("evaluation", "search", "Average precision of the methods", "html", of_training=True),
        Figure("vetting", "catalog", "Candidates", "html"),
        Figure("funnel", "catalog", "Funnel: from spectra to M stars", "html"),
    ),
    queues=(
        Queue("mstars-vetting", "M stars to vet", "catalogs/mstars_vetting.parquet"),
        Queue("mstars-catalog", "M stars, catalogue", "catalogs/mstars.parquet"),
        Queue("mstars-like", "Spectra like examples", "mstars/like.parquet"),
    ),
    pools=("mstars/pool.parquet",),
    models=("model.npz", "reference.parquet", "calibration.json", "templates.parquet"),
    learning=("sample", "hash", "measure.minimum_members"),
    learnt_from=(
        "A simulated low-resolution survey: M dwarfs and giants of all subtypes, other stars, galaxies, "
        "quasars and failed spectra, with noise, reddening and errors of the flux calibration as LAMOST "
        "has them. No observed spectrum."
    ),
    limits=(
        "LAMOST LRS and SDSS, 3700 to 9100 Angstrom. Trained on simulated spectra: a set that learns "
        "from the labelled spectra of your own survey knows its flux calibration better. Late K dwarfs "
        "and M0 are near each other."
    ),
    sifts=("lrs", "sdss"),
)
