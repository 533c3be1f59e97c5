"""Labels that people can give, apart from what else the search declares: stages depend on them."""

from starsift.searches.base import Vocabulary, Word

VOCABULARY = Vocabulary(
    name="mstars",
    # CaH and Na I at 8190 Angstrom separate dwarfs from giants (Guo et al. 2019). A label that begins with M
    # confirms a candidate.
    words=(
        Word("M dwarf", "1", "M", "bands of TiO, strong CaH and Na I 8190"),
        Word("M giant", "2", "M", "bands of TiO, weak or no CaH and Na I 8190"),
        Word(
            "M binary",
            "3",
            "M",
            "bands of TiO in the red and a hot companion, such as a white dwarf, in the blue",
        ),
        Word("not M", "4", "not M", "another star, galaxy or quasar"),
        Word("bad", "5", "not M", "noise or sky: no star can be seen"),
    ),
    # Spectral types, such as dM4 or K7.
    other_labels=r"(?:[dg]|[eu]?sd)?[OBAFGKMLT](?:\d(?:\.\d+)?)?e?[IV]*",
)
