"""Settings of the search for H-alpha emission-line stars (Skoda et al. 2020)."""

from typing import Annotated, ClassVar

from starsift.settings_base import (
    MODELS,
    File,
    Fraction,
    Group,
    NonNegative,
    OneOf,
    Positive,
    SearchSettings,
    SurveyName,
    setting,
)
from starsift.survey.settings import Partition, Survey

SURVEYS = {
    "lamost-lrs": (
        "The spectra that are searched for emission-line stars: all of them.",
        Survey(
            kind="lrs",
            root="data/lamost-dr5",
            path_template="{lmjd}/{planid}/spec-{lmjd}-{planid}_sp{spid:02d}-{fiberid:03d}.fits.gz",
            catalog="data/lamost-dr5/catalog.fits.gz",
            columns=["class", "subclass", "mjd", "snrr"],
            partition=Partition(spectra_per_bundle=50000),
        ),
    )
}


class Labelled(Group):
    """The labelled spectra that the network starts from (section 3.2)."""

    root: File = setting("Folder of Ondrejov CCD700 files.", "data/ondrejov")
    labels: File = setting(
        "Table (CSV) of id and label: 0 single peak, 1 absorption, 2 of no use, 3 double peak, or the "
        "classes by name.",
        "data/ondrejov/labels.csv",
    )
    blur: NonNegative = setting(
        "Standard deviation of the Gaussian that blurs the spectra to the resolution of LAMOST.",
        7,
        unit="pixels",
    )


class Window(Group):
    """The window around H alpha, 6519 to 6732 Angstrom."""

    min_good: Fraction = setting("Fraction of its pixels that must be good.", 0.5)


class Training(Group):
    """Training of a round (section 3.4)."""

    batch_size: int = setting("Spectra in a training step.", 64, ge=1)
    learning_rate: Positive = setting("Learning rate of the optimiser Adam.", 0.001)
    min_delta: NonNegative = setting("Smallest decrease of the loss that counts as an improvement.", 0.0001)
    patience: int = setting("Epochs without improvement that end a training.", 10, ge=1)
    max_epochs: int = setting("Largest number of epochs.", 500, ge=1)


class Rounds(Group):
    """Active learning (sections 2.3 and 3.4)."""

    strategy: Annotated[str, OneOf(("entropy", "margin", "bald", "k-centre"))] = setting(
        "How spectra to label are chosen: entropy (as published), margin, bald or k-centre; "
        "docs/emission.md compares them.",
        "entropy",
    )
    batch: int = setting("Spectra that people label for the training set in a round.", 100, ge=1)
    sample: int = setting(
        "Random spectra with predicted emission that people label in a round, to estimate the precision.",
        30,
        ge=1,
    )
    threshold: Fraction = setting("Precision that ends the rounds when it is exceeded `passes` times.", 0.8)
    passes: int = setting("Rounds whose estimated precision must exceed the threshold.", 3, ge=1)
    max_rounds: int = setting("Largest number of rounds.", 40, ge=1, le=100)
    warm_start: bool = setting(
        "Start from the network of the round before, which needs fewer epochs. false: start from random "
        "weights.",
        False,
    )
    last_night: int | None = setting(
        "Last night (lmjd) whose spectra are chosen to be labelled. Spectra of later nights are classified "
        "by the final network, and nothing is trained again. null: all nights.",
        None,
    )


class Baseline(Group):
    """Networks without active learning, for comparison (Appendix A)."""

    runs: int = setting("Networks.", 3, ge=0, le=100)
    sample: int = setting(
        "Predicted spectra of each emission class; those with a label give the precision.", 100, ge=1
    )


class Catalog(Group):
    """The catalogue."""

    match_radius: Positive = setting(
        "Largest distance between exposures of one star, as in Appendix B.2.", 5, unit="arcsec"
    )
    link: str | None = setting(
        "Address of a spectrum's page, from columns of the catalogue. null: no links.",
        "https://www.lamost.org/dr10/v2.0/spectrum/view?obsid={obsid}",
    )


class Settings(SearchSettings):
    """H-alpha emission-line stars, found by active learning (Skoda et al. 2020)."""

    reason: ClassVar[str] = "the networks expect H alpha at low resolution"

    survey: Annotated[str, SurveyName()] = setting("Survey that is searched.", "lamost-lrs")
    models: File = setting(MODELS, "train")
    labelled: Labelled = Labelled()
    window: Window = Window()
    training: Training = Training()
    long_training: Training = setting(
        "The long training at the end, also that without active learning.",
        Training(min_delta=0.00001, patience=100, max_epochs=2000),
    )
    rounds: Rounds = Rounds()
    baseline: Baseline = Baseline()
    precision: Annotated[str, OneOf(("float32", "bfloat16"))] = setting(
        "Number format in which networks classify. bfloat16 is faster on some processors.", "float32"
    )
    catalog: Catalog = Catalog()
