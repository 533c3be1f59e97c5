"""Groups of settings as pydantic models: base classes, types that groups share, and questions to a model."""

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Any, ClassVar, NamedTuple, Union, get_args, get_origin

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WrapValidator
from pydantic.fields import FieldInfo
from pydantic_core import CoreSchema, PydanticCustomError, core_schema


class Group(BaseModel):
    """A group of settings. Its docstring is its help; a field has its help as description."""

    # Strict: text is no number, and 64.0 no integer. `starsift.settings` converts what has an equivalent.
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


class SearchSettings(Group):
    """The settings of a search."""

    # Why the search needs surveys of its kinds, to end a message with.
    reason: ClassVar[str] = ""


@dataclass(frozen=True)
class OneOf:
    """Marks a setting that has one of these values."""

    values: tuple[Any, ...]

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> CoreSchema:
        return core_schema.literal_schema([*self.values])


@dataclass(frozen=True)
class SurveyName:
    """Marks a setting that names surveys of the search's kinds, with images if it needs `cutouts`.

    `training`: the search learns from it; with a model set it does not matter.
    """

    cutouts: bool = False
    training: bool = False


TRAIN = "train"
# Help of the setting `models` of a search that learns.
MODELS = (
    "Networks and thresholds. train: learn them in this run; shipped: those that come with starsift; or the "
    "folder of a model set."
)


def setting(help: str, default: Any = ..., *, unit: str | None = None, **limits: Any) -> Any:
    """A setting of a group: help in sentences, the first one short, without unit and limits."""
    return Field(default, description=help, json_schema_extra={"unit": unit} if unit else None, **limits)


def size(least: int, most: int | None = None) -> Any:
    """The number of items of a list or dictionary."""
    return Field(min_length=least, max_length=most)


def problem(message: str, *key: str | int) -> PydanticCustomError:
    """An error that a validator raises: a message to go on after the name of the setting.

    It says what is wrong and what to do; `key` is that of the setting inside the group that is validated.
    """
    return PydanticCustomError("problem", "{message}", {"message": message, "key": key})


def _keep_integer(value: Any, handler: Any) -> Any:
    # A number that is written as 5 stays 5: results and digests are made of it.
    checked = handler(value)
    return value if type(value) is int else checked


def _expand_user(path: str) -> str:
    if not path:
        raise problem("is empty; give a path")
    return os.path.expanduser(path)  # noqa: PTH111 (settings are text)


def _refuse_braces(path: str) -> str:
    if "{" in path:
        raise problem(f"is {path!r}: Snakemake takes braces in a path for a wildcard; rename the file")
    return path


def _check_ascending(values: list[float]) -> list[float]:
    if values[0] > values[1]:
        raise problem(f"must ascend, not {values[0]} to {values[1]}")
    return values


def _check_strictly_ascending(values: list[float]) -> list[float]:
    if values[0] >= values[1]:
        raise problem(f"must ascend, not {values[0]} to {values[1]}")
    return values


def _check_unique(values: list[Any]) -> list[Any]:
    for value in values:
        if values.count(value) > 1:
            raise problem(f"has {value!r} twice; make it one")
    return values


Number = Annotated[float, WrapValidator(_keep_integer)]
Positive = Annotated[float, Field(gt=0), WrapValidator(_keep_integer)]
NonNegative = Annotated[float, Field(ge=0), WrapValidator(_keep_integer)]
Fraction = Annotated[float, Field(ge=0, le=1), WrapValidator(_keep_integer)]
PositiveFraction = Annotated[float, Field(gt=0, le=1), WrapValidator(_keep_integer)]
Share = Annotated[float, Field(gt=0, lt=1), WrapValidator(_keep_integer)]
Count = Annotated[int, Field(ge=1)]
Ascending = AfterValidator(_check_ascending)
StrictlyAscending = AfterValidator(_check_strictly_ascending)
# Values are drawn from a range, all the same one where its ends are equal. An interval has a width.
Range = Annotated[list[Positive], size(2, 2), Ascending]
Interval = Annotated[list[Positive], size(2, 2), StrictlyAscending]
# A folder, and a file or folder that Snakemake watches.
Folder = Annotated[str, AfterValidator(_expand_user)]
File = Annotated[Folder, AfterValidator(_refuse_braces)]
Unique = AfterValidator(_check_unique)


class Place(NamedTuple):
    """The group or field at a path of a tree of settings."""

    group: type[Group] | None
    field: FieldInfo | None
    is_item: bool


def place_of(root: type[Group], path: Sequence[str | int]) -> Place:
    """The setting or group at a path, such as ("surveys", "demo", "selection", 0, "op")."""
    group: type[Group] | None = root
    field, is_item = None, False
    for part in path:
        inside = field is not None and not is_item and collection_of(field.annotation) is not None
        if inside:
            is_item = True
        elif group is not None and part in group.model_fields:
            field, is_item = group.model_fields[str(part)], False
        else:
            return Place(None, field, is_item)
        group = group_in(field.annotation) if field else None
    return Place(
        group if field is None or is_item or not collection_of(field.annotation) else None, field, is_item
    )


def group_in(annotation: Any) -> type[Group] | None:
    """The kind of group that a setting of this type is or has, None: it has none."""
    if isinstance(annotation, type) and issubclass(annotation, Group):
        return annotation
    found = (group_in(inner) for inner in get_args(annotation))
    return next((group for group in found if group), None)


def collection_of(annotation: Any) -> type | None:
    """list or dict, None: a setting of this type is neither."""
    origin = get_origin(annotation)
    if origin in (Union, UnionType, Annotated):
        return next((kind for kind in map(collection_of, get_args(annotation)) if kind), None)
    return origin if origin in (list, dict) else None


def is_nullable(annotation: Any) -> bool:
    """Whether a setting of this type can be null."""
    return get_origin(annotation) in (Union, UnionType) and type(None) in get_args(annotation)


def help_of(field: FieldInfo) -> str:
    """Help of a setting or group, in sentences."""
    group = group_in(field.annotation)
    return field.description or (group.__doc__ if group else "") or ""


def unit_of(field: FieldInfo) -> str | None:
    """Unit of a setting."""
    extra = field.json_schema_extra
    return str(extra["unit"]) if isinstance(extra, dict) else None


def choices_of(field: FieldInfo) -> tuple[Any, ...]:
    """The values that a setting, or its items, can have; empty: any of its type."""
    return next((mark.values for mark in _marks(field) if isinstance(mark, OneOf)), ())


def _marks(field: FieldInfo) -> Iterator[Any]:
    yield from field.metadata
    waiting = [field.annotation]
    while waiting:
        annotation = waiting.pop()
        inner = get_args(annotation)
        if get_origin(annotation) is Annotated:
            yield from inner[1:]
            inner = inner[:1]
        waiting += inner


def meaning_of(place: Place) -> str:
    """The type of a setting, in a few words that continue a sentence."""
    help = help_of(place.field) if place.field else ""
    if place.group and place.is_item:
        help = place.group.__doc__ or ""
    words = re.split(r"(?<=[a-z0-9)])(?<! al)\. ", help)[0].rstrip(".")
    unit = unit_of(place.field) if place.field else None
    words = words[:1].lower() + words[1:] if re.match("[A-Z][a-z]|A ", words) else words
    return f"{words}, {unit}" if unit else words


def survey_names(group: Group) -> Iterator[tuple[tuple[str, ...], str, SurveyName]]:
    """The surveys that a group of settings names: key in the group, name, and what the setting asks of it."""
    for name, field in type(group).model_fields.items():
        value = getattr(group, name)
        if isinstance(value, Group):
            for key, survey, mark in survey_names(value):
                yield (name, *key), survey, mark
        for mark in field.metadata:
            if isinstance(mark, SurveyName):
                for survey in [value] if isinstance(value, str) else value:
                    yield (name,), survey, mark
