"""M stars among unclassified spectra (Guo et al. 2019), as declared to the rest of starsift."""

from starsift.searches.base import Figure, Queue, Search, Word

SEARCH = Search(
    name="mstars",
    title="M stars",
    reference="Guo et al. 2019",
    kinds=("lrs", "sdss"),
    sections={"search": "search", "catalog": "catalogue", "kinds": "giants, activity, kinematics"},
    stages=("mstars/codes", "mstars/measurements", "mstars/released"),
    steps={"hash functions": "mstars/model.npz"},
    catalogs=("mstars",),
    figures=(
        Figure("recall_precision", "search", "Precision and recall"),
        Figure("top_matches", "search", "Nearest spectra to a late-type query"),
        Figure("ranked_matches", "search", "Spectra by rank for an early-type query"),
        Figure("subtypes", "catalog", "Subtypes"),
        Figure("snr", "catalog", "Signal-to-noise ratios"),
        Figure("magnitudes", "catalog", "Magnitudes"),
        Figure("subtype_comparison", "catalog", "Subtypes, compared with released M stars"),
        Figure("giants_spectra", "kinds", "Giants by indices"),
        Figure("giants_photometry", "kinds", "Giants by colours"),
        Figure("activity", "kinds", "Activity"),
        Figure("kinematics", "kinds", "Kinematics"),
        Figure("positive_sample", "search", "The positive sample", "html"),
        Figure("evaluation", "search", "Average precision of the methods", "html"),
        Figure("vetting", "catalog", "Candidates", "html"),
        Figure("funnel", "catalog", "Funnel: from spectra to M stars", "html"),
    ),
    queues=(
        Queue("mstars-vetting", "M stars to vet", "catalogs/mstars_vetting.parquet"),
        Queue("mstars-catalog", "M stars, catalogue", "catalogs/mstars.parquet"),
    ),
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
