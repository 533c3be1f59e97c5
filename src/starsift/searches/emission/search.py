"""H-alpha emission-line stars (Skoda et al. 2020), as declared to the rest of starsift."""

from starsift.searches.base import Figure, Search

SEARCH = Search(
    name="emission",
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
        "rounds asked": "emission/round-*/query.parquet",
        "rounds labelled": "emission/round-*/labels.parquet",
        "rounds judged": "emission/round-*/round.json",
    },
    catalogs=("emission",),
    figures=(
        Figure("precision", "learning", "Precision by round"),
        Figure("answers", "learning", "Labels by round"),
        Figure("queries", "learning", "Queried spectra"),
        Figure("initial", "learning", "Initial examples"),
        Figure("single_peaks", "catalog", "Single peaks"),
        Figure("double_peaks", "catalog", "Double peaks"),
        Figure("calibration", "catalog", "Reliability"),
        Figure("snr_magnitude", "catalog", "S/N and magnitudes"),
        Figure("exposures", "catalog", "Exposures of one star"),
        Figure("rounds", "learning", "Rounds", "html"),
        Figure("baseline", "learning", "Without active learning", "html"),
        Figure("confusion", "catalog", "Confusion matrix", "html"),
        Figure("candidates", "catalog", "Candidates", "html"),
        Figure("funnel", "catalog", "Funnel: from spectra to emission-line stars", "html"),
    ),
)
