"""H-alpha emission-line stars (Skoda et al. 2020), as declared to the rest of starsift."""

from starsift.searches.base import Figure, Queue, Search
from starsift.searches.emission.words import VOCABULARY

SEARCH = Search(
    **vars(VOCABULARY),
    title="Emission-line stars",
    reference="Skoda et al. 2020",
    kinds=("lrs",),
    sections={"learning": "active learning", "catalog": "catalogue"},
    stages=(
        "emission/windows",
        "emission/round-*/predictions",
        "emission/final/predictions",
        "emission/baseline/run-*/predictions",
    ),
    steps={
        "rounds queried": "emission/round-*/query.parquet",
        "rounds labelled": "emission/round-*/labels.parquet",
        "rounds evaluated": "emission/round-*/round.json",
    },
    catalogs=("emission",),
    figures=(
        Figure("precision", "learning", "Precision by round", of_training=True),
        Figure("answers", "learning", "Labels by round", of_training=True),
        Figure("queries", "learning", "Queried spectra", of_training=True),
        Figure("initial", "learning", "Initial examples", of_training=True),
        Figure("single_peaks", "catalog", "Single peaks"),
        Figure("double_peaks", "catalog", "Double peaks"),
        Figure("calibration", "catalog", "Reliability", of_training=True),
        Figure("snr_magnitude", "catalog", "S/N and magnitudes"),
        Figure("exposures", "catalog", "Exposures of one star"),
        Figure("rounds", "learning", "Rounds", "html", of_training=True),
        Figure("baseline", "learning", "Without active learning", "html", of_training=True),
        Figure("confusion", "catalog", "Confusion matrix", "html"),
        Figure("candidates", "catalog", "Candidates", "html"),
        Figure("funnel", "catalog", "Funnel: from spectra to emission-line stars", "html"),
    ),
    queues=(
        Queue("emission-candidates", "Emission", "catalogs/emission.parquet"),
        Queue("emission-round-*", "Emission, round *", "emission/round-*/query.parquet", "round"),
    ),
    models=("model.keras", "calibration.json"),
    learning=("labelled", "window", "training", "long_training", "rounds"),
    learnt_from=(
        "Simulated spectra of the Ondrejov telescope, blurred to the resolution of LAMOST, and spectra "
        "of a simulated LAMOST survey, labelled by active learning with the simulated truth. No observed "
        "spectrum."
    ),
    limits=(
        "LAMOST LRS, 6519 to 6732 Angstrom. The background of nebulae and badly subtracted sky lines can "
        "look like emission."
    ),
    sifts=("lrs",),
)
