"""Labels that people can give, apart from what else the search declares: stages depend on them."""

from starsift.searches.base import Vocabulary, Word

VOCABULARY = Vocabulary(
    name="bhb",
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
