"""Settings of the search for double- and triple-lined spectroscopic binaries (Li et al. 2023)."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, model_validator

from starsift.settings_base import (
    MODELS,
    Count,
    File,
    Fraction,
    Group,
    Interval,
    NonNegative,
    Number,
    OneOf,
    Positive,
    Range,
    SearchSettings,
    StrictlyAscending,
    SurveyName,
    problem,
    setting,
    size,
)
from starsift.survey.settings import Cut, Partition, Survey

SURVEYS = {
    "lamost-mrs": (
        "The exposures that are searched for binaries, with the cuts of Li et al. (2023), Table 1.",
        Survey(
            kind="mrs",
            root="data/lamost-dr9-mrs",
            path_template="{lmjd}/{planid}/med-{lmjd}-{planid}_sp{spid:02d}-{fiberid:03d}.fits.gz",
            catalog="data/lamost-dr9-mrs/catalog.fits.gz",
            selection=[
                Cut(column="band", op="==", value="B"),
                Cut(column="coadd", op="==", value=0),
                Cut(column="fibermask", op="==", value=0),
                Cut(column="bad_b", op="==", value=0),
                Cut(column="snr", op=">=", value=5),
            ],
            partition=Partition(spectra_per_bundle=20000, level="night"),
        ),
    )
}

METHODS = ("model", "vote")


class Ccf(Group):
    """Cross-correlation with templates (section 3.1.1)."""

    templates: Annotated[list[Annotated[list[Number], size(3, 3)]], size(1, 127)] = setting(
        "Effective temperature (K), log g and [Fe/H] of each template. The nearest spectrum of the grid is "
        "taken.",
        [[8000, 4.0, 0.0], [5000, 4.0, 0.0], [5000, 2.0, 0.0]],
    )
    resolution: Positive = setting("Resolving power of the spectra, to which templates are smoothed.", 7500)
    wavelength_range: Interval = setting(
        "Part of the spectrum that is correlated.", [4900, 5389], unit="Angstrom"
    )
    velocity_max: Positive = setting("Velocities from -velocity_max to +velocity_max.", 500, unit="km/s")
    velocity_step: Positive = setting("Step of the velocities.", 1, unit="km/s")
    continuum_degree: int = setting("Degree of the polynomial that describes the continuum.", 5, ge=0, le=20)
    minimum_pixels: int = setting(
        "Good pixels in the range that a spectrum needs; others are not correlated.", 1000, ge=2
    )


class Peaks(Group):
    """Components: peaks of the CCF, found in its derivatives (section 3.1.2)."""

    sigma_start: Positive = setting(
        "First width of the Gaussian that smooths the derivatives.", 13, unit="km/s"
    )
    sigma_step: Positive = setting("Step of the width.", 1, unit="km/s")
    sigma_max: Positive = setting("Last width.", 100, unit="km/s")
    ccf_threshold: Fraction = setting(
        "Fraction of the CCF's range. Components lie where the CCF is above it.", 0.60
    )
    d2_threshold: Fraction = setting(
        "Fraction of the second derivative's range. Components lie where the derivative is below it.", 0.40
    )

    @model_validator(mode="after")
    def _check_sigma(self) -> "Peaks":
        if self.sigma_max < self.sigma_start:
            raise problem(f"({self.sigma_max}) is below sigma_start ({self.sigma_start})", "sigma_max")
        return self


class Errors(Group):
    """Velocity errors from noisy copies of each double- and triple-lined candidate (section 3.1.2)."""

    n_copies: int = setting("Noisy copies of a spectrum.", 100, ge=10)
    components: Annotated[list[Count], size(1)] = setting(
        "Numbers of components whose spectra get errors. With 1, those of single stars get them too: fifty "
        "times the work.",
        [2, 3],
    )
    systematic: Annotated[list[NonNegative], size(1)] = setting(
        "Systematic error of spectra with one component, two, three or more, added in quadrature: "
        "template mismatch, blending, wavelength calibration. Measured on simulated spectra by "
        "benchmarks/rv_errors.py.",
        [0.1, 1.5, 2.6],
        unit="km/s",
    )


class Model(Group):
    """Models of one, two and three stars, fitted to the spectrum itself: their templates, and how far apart
    stars must be."""

    teff: Annotated[list[Positive], size(1)] = setting(
        "Effective temperatures of the templates.", [4250, 4750, 5250, 5750, 6250, 6750, 7250, 7750], unit="K"
    )
    logg: Annotated[list[Number], size(1)] = setting(
        "Surface gravities (log g) of the templates.", [4.2, 2.5]
    )
    feh: Annotated[list[Number], size(1)] = setting("Metallicities ([Fe/H]) of the templates.", [0.0, -0.6])
    vsini: Annotated[list[NonNegative], size(1)] = setting(
        "Projected rotation of the templates. Giants and cool dwarfs take the slow ones.",
        [0, 15, 30, 45, 60, 75, 95, 120, 150, 190],
        unit="km/s",
    )
    closest: Positive = setting("Least velocity difference of two stars.", 45, unit="km/s")


class Decision(Group):
    """What makes a spectrum a binary: the models, or the vote on its CCF."""

    method: Annotated[str, OneOf(METHODS)] = setting(
        "By model: models of one, two and three stars, with probabilities learnt from simulated spectra. By "
        "vote: the four networks of Li et al. (2023), section 3.3. The catalogue has both.",
        "model",
    )
    spectra: Annotated[list[Count], size(3, 3)] = setting(
        "Simulated spectra of one, two and three stars from which the probabilities are learnt.",
        [8000, 2000, 1500],
    )
    proportions: Annotated[list[Positive], size(3, 3)] = setting(
        "Proportions of single, double and triple spectra in the survey.", [0.9, 0.08, 0.02]
    )
    purity: Annotated[list[Fraction], size(2, 2)] = setting(
        "Share of right ones that is asked of the SB2, and of the SB3, at these proportions.", [0.98, 0.9]
    )


class Training(Group):
    """Simulated CCFs that the classifiers learn from (section 3.2.1)."""

    per_class: int = setting("CCFs of each class: noise, single, double, triple.", 1500, ge=1)
    delta_rv: Annotated[list[NonNegative], size(2, 2), StrictlyAscending] = setting(
        "Range of velocity differences between neighbouring components.", [60, 250], unit="km/s"
    )
    snr: Range = setting("Range of signal-to-noise ratios.", [5, 200])
    hierarchical: bool = setting(
        "Triples as a close pair and an outer star. false: three stars drawn at random, as in the paper.",
        True,
    )
    hard_fraction: Fraction = setting(
        "Fraction of hard single and double stars: the CCF step finds more components than there are stars. "
        "0 as in the paper.",
        0.3,
    )


class Network(Group):
    """The networks C1 to C4 (section 3.2.2)."""

    epochs: int = setting("Epochs of training.", 25, ge=1)
    batch_size: int = setting("CCFs in a training step.", 64, ge=1)
    learning_rate: Positive = setting(
        "Initial learning rate of the optimiser Adam. It falls to zero along a cosine.", 0.001
    )
    stride: int = setting(
        "The networks read every n-th velocity: at R = 7500 a CCF has no finer structure. 1 as in the paper.",
        4,
        ge=1,
    )
    max_shift: int = setting("Largest random shift of a CCF in an epoch.", 4, ge=0, unit="velocity steps")
    mirror: bool = setting("Mirror half of the CCFs in each epoch.", True)


class CrossValidation(Group):
    """Cross-validation: one job a fold."""

    folds: int = setting("Parts of the training set.", 10, ge=2)


class Vote(Group):
    """Probability that each classifier of the vote must exceed (section 3.3)."""

    sb2_threshold: Fraction = setting("Probability of a double-lined spectrum (SB2).", 0.95)
    sb3_threshold: Fraction = setting("Probability of a triple-lined spectrum (SB3).", 0.99)


class Suspects(Group):
    """Flags (not cuts) of candidates whose light may be contaminated."""

    moonlight_sigmas: Positive = setting(
        "Moonlight is suspected if a component is at rest for the observer within this many errors.", 3.0
    )
    moonlight_floor: NonNegative = setting(
        "Smallest error that is used in the test for moonlight.", 1.0, unit="km/s"
    )
    crosstalk_correlation: Number = setting(
        "Cross-talk is suspected if the CCFs of different stars on neighbouring fibres have a larger "
        "correlation (Pearson's r).",
        0.98,
        ge=-1,
        le=1,
    )


class Objects(Group):
    """Exposures of one star: the same Gaia source, or coordinates that are close; and stars of variable
    velocity."""

    match_radius: Positive = setting(
        "Largest distance of the coordinates: the diameter of a fibre.", 3.3, unit="arcsec"
    )
    stability: NonNegative = setting(
        "By how much the velocities of constant stars differ between exposures, beyond their errors. The "
        "zero points of LAMOST's spectrographs and nights differ by this much.",
        1.0,
        unit="km/s",
    )
    p_value: Fraction = setting(
        "Single-lined stars are listed as variable if a constant one varies as much with a smaller chance.",
        1e-4,
    )


class Orbits(Group):
    """Orbits of binaries that have many exposures, by The Joker (Price-Whelan et al. 2017)."""

    exposures: int = setting("Exposures with a velocity that a star needs.", 6, ge=3)
    period: Interval = setting("Shortest and longest period that is possible.", [0.2, 2000], unit="d")
    samples: int = setting("Samples of the posterior of each orbit.", 1024, ge=64)


def _check_axis(axis: list[float]) -> list[float]:
    if axis[0] > axis[1]:
        raise problem(f"must ascend from first to last, not {axis[0]} to {axis[1]}")
    return axis


class Injection(Group):
    """Injection and recovery: detection rates of simulated binaries for the report (Figures 5 and 6)."""

    trials: int = setting("Simulated spectra at each point of the grid.", 50, ge=1)
    delta_rv: Annotated[list[NonNegative], size(1)] = setting(
        "Velocity differences of the grid.", [20, 30, 40, 50, 60, 70, 80, 90, 100, 120, 150, 200], unit="km/s"
    )
    snr: Annotated[list[Positive], size(1)] = setting(
        "Signal-to-noise ratios of the grid.", [5, 10, 15, 20, 30, 50, 100]
    )
    teff: Annotated[list[Positive], size(3, 3), AfterValidator(_check_axis)] = setting(
        "Temperatures of the two stars in the flux-ratio diagram: first, last, step.",
        [3500, 7500, 250],
        unit="K",
    )


class Completeness(Group):
    """Completeness of the models, from pairs that are simulated and pairs made of the survey's exposures."""

    trials: int = setting("Simulated pairs at each point of the grid.", 20, ge=1)
    survey: int = setting("Pairs made of the survey's own exposures.", 3000, ge=0)
    delta_rv: Annotated[list[Positive], size(1)] = setting(
        "Velocity differences of the grid.", [40, 50, 60, 80, 120, 200], unit="km/s"
    )
    light_ratio: Annotated[list[Positive], size(1)] = setting(
        "Light of the fainter star over that of the brighter one.", [1.0, 0.5, 0.25, 0.125]
    )
    snr: Annotated[list[Positive], size(1)] = setting("Signal-to-noise ratios.", [5, 10, 20, 50, 100])
    vsini: Annotated[list[NonNegative], size(1)] = setting(
        "Projected rotation of both stars.", [5, 40, 80], unit="km/s"
    )


class Settings(SearchSettings):
    """Double- and triple-lined spectroscopic binaries (Li et al. 2023)."""

    reason: ClassVar[str] = "velocities need medium resolution"

    survey: Annotated[str, SurveyName()] = setting("Survey that is searched.", "lamost-mrs")
    models: File = setting(MODELS, "train")
    ccf: Ccf = Ccf()
    peaks: Peaks = Peaks()
    errors: Errors = Errors()
    model: Model = Model()
    decision: Decision = Decision()
    training: Training = Training()
    network: Network = Network()
    cross_validation: CrossValidation = CrossValidation()
    vote: Vote = Vote()
    suspects: Suspects = Suspects()
    objects: Objects = Objects()
    orbits: Orbits = Orbits()
    injection: Injection = Injection()
    completeness: Completeness = Completeness()


def model_settings(binaries: Mapping[str, Any]) -> dict[str, Any]:
    """The keyword arguments of `model_bank.build_models` among the settings of the search."""
    shared = ("resolution", "wavelength_range", "velocity_max", "continuum_degree", "minimum_pixels")
    return {**binaries["model"], **{name: binaries["ccf"][name] for name in shared}}
