"""Settings of the search for blue horizontal branch stars (Wei et al. 2023)."""

from typing import Annotated, ClassVar

from pydantic import AfterValidator

from starsift.searches.bhb.models import BASELINES, ENCODERS, END_TO_END, FUSIONS
from starsift.settings_base import (
    MODELS,
    File,
    Fraction,
    Group,
    NonNegative,
    OneOf,
    Positive,
    SearchSettings,
    Share,
    SurveyName,
    Unique,
    problem,
    setting,
    size,
)
from starsift.survey.settings import Cutouts, Survey

SURVEYS = {
    "sdss": (
        "The A-type spectra that are searched for blue horizontal branch stars, with their images. The "
        "columns are the photometry from which distances follow.",
        Survey(
            kind="sdss",
            root="data/sdss",
            path_template="{planid:0>4}/spec-{planid:0>4}-{lmjd}-{fiberid:04d}.fits",
            catalog="data/sdss/catalog.fits",
            columns=["class", "subclass", "mjd"]
            + [f"{quantity}_{band}" for quantity in ("psfmag", "extinction") for band in "ugriz"],
            cutouts=Cutouts(
                root="data/sdss-cutouts",
                path_template="{planid:0>4}/cutout-{planid:0>4}-{lmjd}-{fiberid:04d}.fits",
            ),
        ),
    )
}
# Models that see spectrum and image, and all that can be compared.
_JOINT = tuple(name for name in (*FUSIONS, END_TO_END) if name != "transformer-spectrum")
_MODELS = (*reversed(ENCODERS), *BASELINES, *FUSIONS, END_TO_END)


def _check_sum(shares: list[float]) -> list[float]:
    if abs(sum(shares) - 1) > 1e-6:
        raise problem(f"are {shares}: their sum must be 1")
    return shares


class Labelled(Group):
    """The labelled stars."""

    survey: Annotated[str, SurveyName(cutouts=True, training=True)] = setting(
        "Survey of the labelled stars.", "sdss"
    )
    catalog: File = setting(
        "Table of plate, mjd, fiberid (or spectrum_id) and label: BHB, blue straggler, A main sequence or "
        "not BHB.",
        "data/sdss/labelled.csv",
    )
    shares: Annotated[list[Share], size(3, 3), AfterValidator(_check_sum)] = setting(
        "Fractions of the stars for training, validation and test (section 6).", [0.7, 0.2, 0.1]
    )


class Spectrum(Group):
    """Spectra."""

    min_good: Fraction = setting("Fraction of the pixels from 4000 to 9000 Angstrom that must be good.", 0.9)


class Image(Group):
    """Images."""

    size: int = setting("Pixels a side: the middle of each cutout.", 64, ge=8)
    max_offset: Positive = setting(
        "Largest offset between the bands; images with a larger one are not used.", 1.0, unit="pixels"
    )
    max_bad: Fraction = setting(
        "Largest fraction of bad pixels; images with a larger one are not used.", 0.01
    )
    pretrained: File | None = setting(
        "File of weights of keras.applications.ResNet50 without top to start from. null: random weights.",
        None,
    )


class TrainingOf(Group):
    """One training."""

    epochs: int = setting("Largest number of epochs.", 50, ge=1)
    patience: int = setting(
        "Epochs without a better validation loss that end the training. The best weights are kept.", 10, ge=1
    )
    batch_size: int = setting("Stars in a training step.", 32, ge=1)
    learning_rate: Positive = setting(
        "Learning rate of the optimiser AdamW. It rises from 0 in the first epochs and falls along a cosine.",
        0.0001,
    )
    weight_decay: NonNegative = setting("Weight decay of AdamW.", 0.05)
    warmup_epochs: NonNegative = setting("Epochs in which the learning rate rises.", 5)
    noise: NonNegative = setting("Noise that is added to spectra, as a fraction of their range.", 0.0)
    spike: NonNegative = setting(
        "Height of spikes that are added to spectra, as a fraction of their range.", 0.0
    )
    shift: int = setting("Largest random shift of spectra.", 4, unit="pixels", ge=0)
    flip: bool = setting("Rotate and mirror images at random.", True)
    copies: int = setting("Augmented copies of each star that the fusion learns from.", 1, ge=1)


class Training(Group):
    """Training of the networks."""

    spectrum: TrainingOf = setting("Training of the encoder of spectra.", TrainingOf())
    image: TrainingOf = setting("Training of the encoder of images.", TrainingOf())
    fusion: TrainingOf = setting("Training of the fusion, with the paper's numbers.", TrainingOf(copies=4))
    end_to_end: TrainingOf = setting("Training of encoders and fusion at once.", TrainingOf())


def _check_band(columns: str) -> str:
    if "{band}" not in columns:
        raise problem(f"is {columns!r}, one column for all bands; write {{band}} for u, g, r, i and z")
    return columns


Bands = Annotated[str, AfterValidator(_check_band)]


class Catalog(Group):
    """The catalogue."""

    match_radius: Positive = setting("Largest distance between spectra of one star.", 3, unit="arcsec")
    magnitude: Bands = setting("Columns of the magnitudes, with {band}.", "psfmag_{band}")
    extinction: Bands = setting("Columns of the extinction, with {band}.", "extinction_{band}")
    link: str | None = setting(
        "Address of a spectrum's page, from columns of the catalogue. null: no links.",
        "https://dr16.sdss.org/optical/spectrum/view?plateid={planid}&mjd={mjd}&fiberid={fiberid}",
    )


class Settings(SearchSettings):
    """Blue horizontal branch stars, by fusion of spectra and images (Wei et al. 2023)."""

    reason: ClassVar[str] = "the networks need 4000 to 9000 Angstrom"

    surveys: Annotated[list[str], SurveyName(), Unique] = setting(
        "Surveys that are searched. Spectra without an image are classified by the spectrum alone.",
        ["sdss"],
        min_length=1,
    )
    models: File = setting(MODELS, "train")
    labelled: Labelled = Labelled()
    spectrum: Spectrum = Spectrum()
    image: Image = Image()
    preset: Annotated[str, OneOf(("paper", "tiny"))] = setting(
        "Size of the networks: paper, or tiny for a laptop.", "paper"
    )
    model: Annotated[str, OneOf(_JOINT)] = setting(
        "Model for the search; batmm is the published one.", "batmm"
    )
    runs: int = setting("Trainings of each model, with different random numbers.", 5, ge=1)
    compare: Annotated[list[Annotated[str, OneOf(_MODELS)]], Unique] = setting(
        "Models of Tables 5 to 8; every run of each is a job.", [*_MODELS]
    )
    training: Training = Training()
    purity: Share = setting(
        "Fraction of BHB stars that the catalogue should have; it sets the threshold of the probability.",
        0.95,
    )
    catalog: Catalog = Catalog()
