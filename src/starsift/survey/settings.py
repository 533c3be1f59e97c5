"""Settings of a survey: its files, its catalogue, cuts, and how its spectra are grouped into jobs."""

from typing import Annotated, Any

from pydantic import AfterValidator, PlainValidator, WithJsonSchema, model_validator

from starsift.errors import SettingsError
from starsift.settings_base import File, Folder, Group, OneOf, problem, setting
from starsift.survey.paths import template_columns

KINDS = ("mrs", "lrs", "sdss")


def _check_value(value: Any) -> Any:
    for one in value if isinstance(value, list) else [value]:
        if not isinstance(one, str | int | float | bool) or one != one:  # NaN
            shown = "null" if one is None else repr(one)
            raise problem(f"must be text, a number, true, false or a list, not {shown}")
    return value


def _check_template(template: str) -> str:
    try:
        template_columns(template)
    except SettingsError as error:
        raise problem(str(error).removeprefix("path_template ")) from None
    return template


Template = Annotated[str, AfterValidator(_check_template)]


class Cut(Group):
    """A cut: which spectra to keep."""

    column: str = setting("Column of the catalogue, lower case.")
    op: Annotated[str, OneOf(("==", "!=", "<", "<=", ">", ">=", "in", "not in"))] = setting(
        "Comparison of the column with the value that must hold."
    )
    value: Annotated[
        Any, PlainValidator(_check_value), WithJsonSchema({"type": ["string", "number", "boolean", "array"]})
    ] = setting("Value to compare with; a list for `in` and `not in`.")

    @model_validator(mode="after")
    def _check_list(self) -> "Cut":
        is_list = isinstance(self.value, list)
        if is_list != (self.op in ("in", "not in")):
            expected = "one value" if is_list else "a list"
            raise problem(f"must be {expected} for the operator {self.op}, not {self.value!r}", "value")
        return self


class Partition(Group):
    """Grouping of spectra into bundles. One job handles one bundle."""

    spectra_per_bundle: int = setting(
        "Largest number of spectra in a bundle. 20 000 MRS exposures take some minutes a stage and at most "
        "2 GB of memory.",
        20000,
        ge=1,
    )
    level: Annotated[str, OneOf(("night", "spectrograph", "survey"))] = setting(
        "Spectra of a bundle. night: whole plans and spectrographs of one night; spectrograph: one plan and "
        "spectrograph; survey: whole plans and spectrographs of any nights.",
        "night",
    )


class Cutouts(Group):
    """Images in ugriz: one FITS file with five extensions, or five files. null: none."""

    root: Folder = setting("Folder that holds the images.")
    path_template: Template = setting(
        "Path of an image inside `root`, from columns of the catalogue; with {band} in it there is one file "
        "a band."
    )


class Survey(Group):
    """A survey."""

    kind: Annotated[str, OneOf(KINDS)] = setting(
        "Layout of the files: mrs (LAMOST medium resolution), lrs (LAMOST low resolution) or sdss."
    )
    root: Folder = setting("Folder that holds the spectra.")
    path_template: Template | None = setting(
        "Path of a spectrum inside `root`, from columns of the catalogue, lower case. null: the catalogue "
        "has a column `path`, `file` or `filename`.",
        None,
    )
    catalog: File | None = setting(
        "Catalogue of the survey: FITS, Parquet, VOTable, ECSV or CSV (with commas, semicolons, bars or "
        "tabs), also compressed. null: starsift makes one from the headers of all files under `root`.",
        None,
    )
    selection: list[Cut] = setting(
        "Cuts, in order; results/manifest/ has the number of spectra that each removed. Operators: ==, !=, "
        "<, <=, >, >=, in, not in.",
        [],
    )
    partition: Partition = Partition()
    columns: list[str] = setting("Further columns of the catalogue that later stages need, lower case.", [])
    cutouts: Cutouts | None = None
