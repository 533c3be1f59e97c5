"""Labels that people can give, apart from what else the search declares: stages depend on them."""

from starsift.searches.base import Vocabulary, Word

VOCABULARY = Vocabulary(
    name="emission",
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
