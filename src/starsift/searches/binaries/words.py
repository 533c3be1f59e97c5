"""Labels that people can give, apart from what else the search declares: stages depend on them."""

from starsift.searches.base import Vocabulary, Word

VOCABULARY = Vocabulary(
    name="binaries",
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
