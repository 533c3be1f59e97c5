"""Double- and triple-lined spectroscopic binaries (Li et al. 2023), as declared to the rest of starsift."""

from starsift.searches.base import Figure, Queue, Search
from starsift.searches.binaries.words import VOCABULARY

SEARCH = Search(
    **vars(VOCABULARY),
    title="Binaries",
    reference="Li et al. 2023",
    kinds=("mrs",),
    sections={
        "survey": "survey",
        "components": "components",
        "detection": "detection and classification",
        "catalog": "catalogue",
    },
    stages=(
        "binaries/ccf",
        "binaries/components",
        "binaries/errors",
        "binaries/fits",
        "binaries/classes",
        "binaries/suspects",
    ),
    steps={
        "folds of the cross-validation": "binaries/training/cv/*.json",
        "networks": "binaries/training/models/*.keras",
        "simulated samples": "binaries/decision/sample-*.parquet",
    },
    catalogs=(
        "binaries_spectra",
        "binaries_objects",
        "binaries_variables",
        "binaries_orbits",
        "binaries_completeness",
    ),
    figures=(
        Figure("snr_magnitude", "survey", "S/N against magnitude"),
        Figure("examples", "components", "Spectra, CCFs and derivatives"),
        Figure("rv_errors", "components", "Velocity errors against S/N"),
        Figure("detection_rates", "detection", "Detection rate against velocity difference and S/N"),
        Figure("completeness", "detection", "Completeness of the models"),
        Figure("methods", "detection", "Models and vote"),
        Figure("flux_ratio", "detection", "Detection against flux ratio"),
        Figure("exposures", "catalog", "Number of exposures"),
        Figure("rv_differences", "catalog", "Velocity differences"),
        Figure("orbits", "catalog", "Orbits"),
        Figure("selection", "survey", "Selection and reading", "html"),
        Figure(
            "cross_validation", "detection", "Cross-validation of the classifiers", "html", of_training=True
        ),
        Figure("funnel", "catalog", "Funnel: from candidates to binaries", "html"),
    ),
    queues=(Queue("binaries-spectra", "Binaries", "catalogs/binaries_spectra.parquet"),),
    models=("C1.keras", "C2a.keras", "C2b.keras", "C3.keras", "C4.keras", "decision.json"),
    learning=(
        "ccf",
        "peaks",
        "model",
        "training",
        "network",
        "decision.spectra",
        "decision.proportions",
        "decision.purity",
    ),
    bound=("ccf", "peaks", "model"),
    learnt_from=(
        "Synthetic spectra of the template grid (docs/templates.md): single stars, pairs and triples "
        "with rotation, noise and the errors that templates of real stars have; CCFs of simulated pairs "
        "for the networks of the vote. No observed spectrum."
    ),
    limits=(
        "LAMOST MRS, blue arm, R = 7500, S/N 5 and more. Pairs closer than 45 km/s are not sought. Cool "
        "stars and giants that rotate faster than 50 km/s are often called double (docs/binaries.md has "
        "a table)."
    ),
    sifts=("mrs",),
)
