"""Double- and triple-lined spectroscopic binaries (Li et al. 2023), as declared to the rest of starsift."""

from starsift.searches.base import Figure, Queue, Search, Word

SEARCH = Search(
    name="binaries",
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
        "binaries/classes",
        "binaries/suspects",
    ),
    steps={
        "folds of the cross-validation": "binaries/training/cv/*.json",
        "networks": "binaries/training/models/*.keras",
    },
    catalogs=("binaries_spectra", "binaries_objects"),
    figures=(
        Figure("snr_magnitude", "survey", "S/N against magnitude"),
        Figure("examples", "components", "Spectra, CCFs and derivatives"),
        Figure("rv_errors", "components", "Velocity errors against S/N"),
        Figure("detection_rates", "detection", "Detection rate against velocity difference and S/N"),
        Figure("flux_ratio", "detection", "Detection against flux ratio"),
        Figure("exposures", "catalog", "Number of exposures"),
        Figure("rv_differences", "catalog", "Velocity differences"),
        Figure("selection", "survey", "Selection and reading", "html"),
        Figure("cross_validation", "detection", "Cross-validation of the classifiers", "html"),
        Figure("funnel", "catalog", "Funnel: from candidates to binaries", "html"),
    ),
    queues=(Queue("binaries-spectra", "Binaries", "catalogs/binaries_spectra.parquet"),),
    # The catalogue holds SB2 and SB3: the peaks of the CCF stand out clearly from its wings (Li et al. 2023).
    # The other labels say why a candidate is none.
    words=(
        Word(
            "SB1",
            "1",
            "SB1",
            "one component in this exposure, but its velocity differs from that of other exposures",
        ),
        Word("SB2", "2", "SB2", "two components: both peaks of the CCF stand out from its wings"),
        Word("SB3", "3", "SB3", "three components: all three peaks of the CCF stand out from its wings"),
        Word("not binary", "4", "not binary", "one component, with a symmetric peak"),
        Word("fast rotator", "5", "not binary", "one broad peak, with or without ripples on top"),
        Word(
            "artefact",
            "6",
            "not binary",
            "a second peak that is due to noise, cosmic rays, sky lines, emission or wrong continuum",
        ),
        Word("bad", "7", "not binary", "the spectrum cannot be used"),
    ),
)
