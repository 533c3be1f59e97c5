"""Settings of the search for M stars (Guo et al. 2019)."""

from typing import Annotated, ClassVar

from pydantic import model_validator

from starsift.settings_base import (
    MODELS,
    TRAIN,
    File,
    Fraction,
    Group,
    NonNegative,
    Number,
    OneOf,
    Positive,
    PositiveFraction,
    Range,
    SearchSettings,
    Share,
    SurveyName,
    Unique,
    problem,
    setting,
    size,
)
from starsift.survey.settings import Cut, Survey

_PATH = "{lmjd}/{planid}/spec-{lmjd}-{planid}_sp{spid:02d}-{fiberid:03d}.fits.gz"
SURVEYS = {
    "lamost-lrs-unknown": (
        "The spectra that are searched for M stars.",
        Survey(
            kind="lrs",
            root="data/lamost-dr5",
            path_template=_PATH,
            catalog="data/lamost-dr5/catalog.fits.gz",
            selection=[Cut(column="class", op="in", value=["Unknown", "UNKNOWN"])],
            columns=["mjd", "snrr"],
        ),
    ),
    "lamost-lrs-labelled": (
        "The spectra that the search learns from: M stars, other classes, and spectra of class UNKNOWN that "
        "people have seen not to be M stars. Velocities: rv (km/s), or z of stars.",
        Survey(
            kind="lrs",
            root="data/lamost-dr5",
            path_template=_PATH,
            catalog="data/lamost-dr5/labelled.fits.gz",
            columns=["class", "subclass", "z", "mjd", "snrr"],
        ),
    ),
}
Bits = Annotated[int, OneOf((32, 64, 128, 256))]


class Sample(Group):
    """The positive and the negative sample (sections 3.3 and 3.4)."""

    templates: File | None = setting(
        "Table (Parquet) of further M spectra at rest; docs/mstars.md has the format. null: none.", None
    )
    positives: int = setting("M spectra to draw.", 6699, ge=2)
    giant_fraction: Fraction = setting("Fraction of giants among them.", 0.2)
    negatives: int = setting("Spectra of other classes.", 5000, ge=0)
    unknown_negatives: int = setting("Spectra of class UNKNOWN that are not M.", 10000, ge=0)
    groups: int = setting("Groups of dwarfs, made by BIRCH.", 50, ge=1)
    subclusters: int = setting("Clusters in each group of dwarfs, made by K-means.", 20, ge=1)
    giant_clusters: int = setting("Clusters of giants, made by K-means.", 80, ge=1)
    n_components: int = setting("Principal components in which spectra are clustered.", 30, ge=1)


class Hash(Group):
    """Codes of spectra (section 3.2)."""

    method: Annotated[
        str,
        OneOf(
            (
                "discriminant",
                "PIL",
                "PIL + contrast",
                "PIL + bands + contrast",
                "random projections",
                "random projections + bands + contrast",
                "PCA signs",
                "ITQ",
            )
        ),
    ] = setting(
        "How spectra become codes and codes are ranked. `PIL` is the published method; docs/mstars.md "
        "compares them.",
        "discriminant",
    )
    bits: Bits = setting("Length of a code.", 256)
    copies: int = setting(
        "Noisy copies of each labelled spectrum in the sample: labelled spectra are better than those of "
        "the pool. 0 as in the paper.",
        2,
        ge=0,
    )
    copy_snr: Range = setting("Range of the copies' S/N (a pixel in r).", [0.7, 4])


class Search(Group):
    """The search (section 3.6)."""

    fraction: PositiveFraction = setting(
        "Fraction of the pool that each query keeps. The union over queries is used.", 0.10
    )
    probability: Fraction = setting(
        "Candidates of the union that are M stars with a smaller probability are not measured.", 0.10
    )


class Measure(Group):
    """Measurements of candidates."""

    minimum_members: int = setting(
        "Spectra of a subtype that a velocity template needs; it is their mean.", 3, ge=1
    )
    velocity_max: Positive = setting("Largest velocity.", 800, unit="km/s")
    velocity_floor: NonNegative = setting(
        "Systematic error of velocities, added in quadrature.", 3.0, unit="km/s"
    )
    activity_snr: NonNegative = setting("Smallest S/N of the continuum at H alpha of an active star.", 3)
    activity_width: NonNegative = setting(
        "Smallest equivalent width of H alpha of an active star.", 1, unit="Angstrom"
    )


class Catalog(Group):
    """The catalogue."""

    probability: Fraction = setting(
        "Candidates without a label are published if they are M stars with this probability.", 0.5
    )
    sources: File | None = setting(
        "Table of Gaia, 2MASS and WISE sources, matched by gaia_source_id or by coordinates. null: none.",
        None,
    )
    match_radius: Positive = setting("Largest distance of the coordinates.", 5, unit="arcsec", le=3600)
    epoch_years: Number = setting(
        "Epoch of the sources' coordinates (Gaia DR2 2015.5) minus that of the spectra's, 2000 for LAMOST.",
        0,
        unit="years",
    )


class Separator(Group):
    """A line half-way between dwarfs and giants."""

    name: Annotated[str, OneOf(("h_jk", "caoh_cah1", "jk_w1w2", "cah23_tio5"))] = setting(
        "Name. Its votes are the column giant_<name>."
    )
    evidence: Annotated[str, OneOf(("photometry", "indices"))] = setting("Measurements that it uses.")
    x: str = setting("Abscissa: a column, or a sum or difference of columns.")
    y: str = setting("Ordinate: a column, or a sum or difference of columns.")
    points: Annotated[list[Annotated[list[Number], size(3, 3)]], size(2)] = setting(
        "Points of the line: x, y of dwarfs, y of giants."
    )
    scatter: Positive = setting("Scatter of the stars themselves in y.")
    default_error: NonNegative = setting("Error of a column without errors.", 0.03)
    weight: Positive = setting("Weight of its vote, smaller where another line uses the same colour.", 1.0)


class Giants(Group):
    """Giants and dwarfs (section 4.1)."""

    giant_share: Share = setting("Fraction of giants among M stars, the prior of the vote.", 0.07)
    separators: Annotated[list[Separator], size(1)] = setting(
        "Lines between giants and dwarfs. The first two are the paper's suggestions, the others those of "
        "Zhong et al. (2015).",
        [
            Separator(
                name="h_jk",
                evidence="photometry",
                x="h",
                y="j-k",
                points=[[8, 0.83, 0.97], [12, 0.84, 1.02], [14, 0.9, 1.2], [16, 1, 1.5]],
                scatter=0.04,
            ),
            Separator(
                name="caoh_cah1",
                evidence="indices",
                x="caoh",
                y="cah1",
                points=[
                    [0.3, 0.79, 1.03],
                    [0.5, 0.8, 1.03],
                    [0.7, 0.86, 1.03],
                    [0.86, 0.935, 1.03],
                    [1, 1, 1.03],
                ],
                scatter=0.03,
            ),
            Separator(
                name="jk_w1w2",
                evidence="photometry",
                x="w1-w2",
                y="j-k",
                points=[
                    [-0.25, 0.62, 1],
                    [-0.04, 0.78, 1.08],
                    [0, 0.82, 1.15],
                    [0.17, 0.89, 1.45],
                    [0.27, 1.2, 1.6],
                ],
                scatter=0.08,
                weight=0.5,
            ),
            Separator(
                name="cah23_tio5",
                evidence="indices",
                x="tio5",
                y="cah2+cah3",
                points=[
                    [0.2, 0.84, 1.34],
                    [0.31, 1, 1.4],
                    [0.45, 1.17, 1.49],
                    [0.61, 1.4, 1.58],
                    [0.86, 1.74, 1.85],
                    [1, 1.97, 2],
                ],
                scatter=0.05,
            ),
        ],
    )


class Kinematics(Group):
    """Space velocities (section 4.2)."""

    # Dehnen & Binney (1998), as the paper rounds it.
    solar_motion: Annotated[list[Number], size(3, 3)] = setting(
        "Motion of the Sun relative to the local standard of rest: U (to the Galactic centre), V, W.",
        [10, 5, 7],
        unit="km/s",
    )
    # Bennett & Bovy (2019), astropy's default too.
    sun_height: Number = setting("Height of the Sun above the plane.", 20.8, unit="pc")
    # Luri et al. (2018).
    max_relative_error: PositiveFraction = setting(
        "Largest relative error of a parallax from which a distance and velocities are derived.", 0.2
    )


class Evaluation(Group):
    """Scores of the search on halves of the sample that it has not seen (section 3.5)."""

    splits: int = setting("Random halves.", 10, ge=1)
    bits: Annotated[list[Bits], size(1)] = setting("Lengths of codes to compare.", [32, 64, 128, 256])


class Settings(SearchSettings):
    """M stars among unclassified spectra, found by hashing (Guo et al. 2019)."""

    reason: ClassVar[str] = "the search needs the bands from 3700 to 9100 Angstrom"

    surveys: Annotated[list[str], SurveyName(), Unique] = setting(
        "Surveys that are searched.", ["lamost-lrs-unknown"], min_length=1
    )
    labelled: Annotated[str, SurveyName(training=True)] = setting(
        "Survey that the search learns from.", "lamost-lrs-labelled"
    )
    models: File = setting(MODELS, "train")
    sample: Sample = Sample()
    hash: Hash = Hash()
    search: Search = Search()
    measure: Measure = Measure()
    catalog: Catalog = Catalog()
    giants: Giants = Giants()
    kinematics: Kinematics = Kinematics()
    evaluation: Evaluation = Evaluation()

    @model_validator(mode="after")
    def _check_surveys(self) -> "Settings":
        if self.models == TRAIN and self.labelled in self.surveys:
            raise problem(f"has {self.labelled!r}, from which mstars learns; take it out of one", "surveys")
        return self

    @model_validator(mode="after")
    def _check_probabilities(self) -> "Settings":
        if self.catalog.probability < self.search.probability:
            raise problem(
                f"({self.catalog.probability}) is below mstars.search.probability "
                f"({self.search.probability}): candidates between the two would not be measured",
                "catalog",
                "probability",
            )
        return self
