"""H-alpha emission-line stars (Skoda et al. 2020), as declared to the rest of starsift."""

from starsift.searches.base import Figure, Queue, Search, Word

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
        "rounds queried": "emission/round-*/query.parquet",
        "rounds labelled": "emission/round-*/labels.parquet",
        "rounds evaluated": "emission/round-*/round.json",
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
    queues=(
        Queue("emission-candidates", "Emission", "catalogs/emission.parquet"),
        Queue("emission-round-*", "Emission, round *", "emission/round-*/query.parquet", "round"),
    ),
    # Classes and reasons for `uninteresting`: Skoda et al. 2020, sections 3.2 and 3.4, appendix B.
    words=(
        Word(
            "single peak",
            "1",
            "single peak",
            "H alpha in emission with one peak, also where it fills in an absorption line",
        ),
        Word(
            "double peak",
            "2",
            "double peak",
            "H alpha in emission with two peaks, also in an absorption line",
        ),
        Word("absorption", "3", "uninteresting", "H alpha in absorption without any sign of emission"),
        Word(
            "bad",
            "4",
            "uninteresting",
            "H alpha cannot be seen: noise, missing pixels or faults of the reduction",
        ),
        Word(
            "cool star",
            "5",
            "uninteresting",
            "molecular bands mimic a peak: the rest of the spectrum varies as much",
        ),
        Word("no line", "6", "uninteresting", "neither emission nor absorption"),
    ),
)
