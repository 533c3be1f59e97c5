"""Settings of the demo: the surveys to simulate, `simulate:` in the configuration."""

from typing import Annotated

from pydantic import Field, model_validator

from starsift.settings_base import Fraction, Group, OneOf, problem, setting

Seed = Annotated[int, Field(ge=0)]
Layout = Annotated[str, OneOf(("image", "table", "both"))]


class _Lamost(Group):
    seed: Seed = setting("Seed of the simulated sky.")
    layout: Layout = setting("Layout of the files: image (DR1 to DR8), table of one row (DR10), or both.")
    n_plans: int = setting("Observing plans.", ge=1)
    n_spectrographs: int = setting("Spectrographs of each plan.", ge=1, le=16)


class Mrs(_Lamost):
    """LAMOST-MRS exposures of single, double and triple stars."""

    layout: Annotated[str, OneOf(("wide", "tall", "both"))] = setting(
        "Layout of the files: tall, a row a pixel (DR6 to DR8), wide, one row (DR9 on), or both."
    )
    n_stars: int = setting("Stars.", ge=1)
    exposures: int = setting("Exposures of each plan.", ge=1)
    n_nights: int = setting(
        "Nights on which one spectrograph observes `n_binaries` bright binaries, for orbits. 0: none.",
        0,
        ge=0,
    )
    n_binaries: int = setting("Bright binaries that are observed on `n_nights`.", 14, ge=1)


class Lrs(_Lamost):
    """LAMOST-LRS spectra for the search for M stars."""

    n_released: int = setting("Spectra with a class.", ge=1)
    n_unknown: int = setting("Spectra without a class.", ge=1)
    bright: Fraction = setting(
        "Fraction of the spectra with a class whose S/N is 20 to 200; that of the others is mostly 5 to 20.",
        0.0,
    )


class Emission(_Lamost):
    """LAMOST-LRS spectra and labelled spectra of Ondrejov for the search for emission-line stars."""

    n_labelled: int = setting("Labelled spectra of Ondrejov.", ge=10)
    n_pool: int = setting("Spectra of the pool.", ge=10)
    emitters: Fraction = setting("Fraction of emission-line stars in the pool.")


class Sdss(Group):
    """SDSS spectra and images for the search for BHB stars."""

    seed: Seed = setting("Seed of the simulated sky.")
    n_labelled: int = setting("Spectra with a label.", ge=1)
    n_pool: int = setting("Spectra without a label.", ge=1)
    size: int = setting("Pixels a side of the images.", ge=16)


class Simulate(Group):
    """Surveys to simulate. By default there are none."""

    mrs: Mrs | None = None
    lrs: Lrs | None = None
    emission: Emission | None = None
    sdss: Sdss | None = None

    @model_validator(mode="after")
    def _check_any(self) -> "Simulate":
        if not self.model_fields_set:
            raise problem("is empty (surveys to simulate)")
        return self
