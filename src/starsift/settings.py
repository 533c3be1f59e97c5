"""The settings of a run: defaults from the models, the user's own on top, checked before anything runs.

A setting that cannot be used gives one sentence that names its place and its key.
"""

import copy
import difflib
import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import yaml
from pydantic import Field, ValidationError, create_model, model_validator
from pydantic_core import ErrorDetails

from starsift.demo.settings import Simulate
from starsift.errors import SettingsError
from starsift.searches.registry import SEARCHES
from starsift.settings_base import (
    TRAIN,
    File,
    Group,
    OneOf,
    SearchSettings,
    Unique,
    choices_of,
    is_nullable,
    meaning_of,
    place_of,
    problem,
    setting,
    size,
    survey_names,
)
from starsift.survey.settings import Survey

_TYPES = {
    "bool_type": "true or false",
    "dict_type": "a group of settings",
    "finite_number": "a number",
    "float_type": "a number",
    "int_type": "a whole number",
    "list_type": "a list",
    "model_type": "a group of settings",
    "string_type": "text",
}
_CONVERTIBLE = {*_TYPES, "literal_error"}
_LIMITS = {
    "greater_than": ("more than", "gt"),
    "greater_than_equal": ("at least", "ge"),
    "less_than": ("less than", "lt"),
    "less_than_equal": ("at most", "le"),
}
_NAME = "^[A-Za-z0-9][A-Za-z0-9-]*$"
# Path of a setting in the tree.
Key = tuple[str | int, ...]
# Former names of settings.
_RENAMED: dict[Key, str] = {("paths",): "searches", ("mstars", "survey"): "mstars.surveys"}
# Files that the workflow writes beside a survey's manifest, results/manifest/{survey}.parquet.
_TABLES_OF_A_SURVEY = ("index", "unusable")
# What each of Snakemake's rerun triggers notices.
_TRIGGERS = {
    "params": "settings, labels and the library",
    "input": "the set of files that a job reads",
    "mtime": "files",
    "code": "rules and scripts",
}
_KINDS = ", ".join(f"{name} {' or '.join(search.kinds)}" for name, search in SEARCHES.items())
# Surveys that searches give as examples: what they are for, and their settings.
EXAMPLES: dict[str, tuple[str, Survey]] = {
    name: example
    for search in SEARCHES.values()
    for name, example in getattr(search.module("settings"), "SURVEYS", {}).items()
}


class Publish(Group):
    """Formats of the published catalogues."""

    hats_rows: Annotated[int, Field(ge=1)] | None = setting(
        "Rows from which a catalogue is also written as HATS, partitioned by HEALPix, for LSDB. They are in "
        "results/catalogs/hats/. null: never.",
        None,
    )


class _Common(Group):
    """Settings of starsift."""

    seed: int = setting(
        "Seed of every random number. Each bundle derives its own from it.", 20231201, ge=0, le=2**63 - 1
    )
    gpu: bool = setting(
        "Ask the cluster for one GPU for each job that can use it (cross-correlation, networks).", False
    )
    template_grid: File | None = setting(
        "Synthetic spectra (Parquet); docs/templates.md has the format. null: the grid that comes with "
        "starsift.",
        None,
    )
    searches: Annotated[list[Annotated[str, OneOf((*SEARCHES,))]], size(1), Unique] = setting(
        f"Searches to run. Kinds of surveys that they search: {_KINDS}.", [*SEARCHES]
    )
    labels: File = setting(
        "Labels: the file that `starsift review` writes, a table that it exported (.parquet), or a CSV with "
        "spectrum_id, label and, if known, search and vetted_by. Keep it outside results/, which can be made "
        "again.",
        "labels/starsift.sqlite",
    )
    publish: Publish = setting("Formats of the published catalogues.", Publish())
    surveys: Annotated[dict[Annotated[str, Field(pattern=_NAME)], Survey], size(1)] = setting(
        "Surveys by name. A name becomes part of file names in results/. A survey needs only kind and root. "
        "The surveys in config.yaml are examples: a survey of yours takes nothing from an example of the "
        "same name, and your settings need not name them.",
        {name: survey for name, (_, survey) in EXAMPLES.items()},
    )

    @model_validator(mode="after")
    def _check_names(self) -> "_Common":
        for name in self.surveys:
            stem, _, table = name.rpartition("-")
            if stem in self.surveys and table in _TABLES_OF_A_SURVEY:
                file = f"results/manifest/{name}.parquet"
                raise problem(
                    f": {file} is a table of the survey {stem}; choose another name", "surveys", name
                )
        return self

    @model_validator(mode="after")
    def _check_surveys_of_searches(self) -> "_Common":
        for search in self.searches:
            group: SearchSettings = getattr(self, search)
            kinds = SEARCHES[search].kinds
            for key, name, mark in survey_names(group):
                if mark.training and getattr(group, "models", TRAIN) != TRAIN:
                    continue
                if name not in self.surveys:
                    raise problem(
                        f"is {name!r}, but surveys has: {', '.join(sorted(self.surveys))}", search, *key
                    )
                if self.surveys[name].kind not in kinds:
                    reason = f": {group.reason}" if group.reason else ""
                    raise problem(
                        f"is {name!r}, whose kind is not {' or '.join(kinds)}{reason}", search, *key
                    )
                if mark.cutouts and self.surveys[name].cutouts is None:
                    raise problem(
                        f"is {name!r}, and surveys.{name} has no cutouts to learn from", search, *key
                    )
        return self


def _settings_model() -> type[_Common]:
    groups: dict[str, Any] = {}
    for name, search in SEARCHES.items():
        model = search.module("settings").Settings
        groups[name] = (model, model())
    return create_model(
        "Settings", __base__=_Common, __doc__=_Common.__doc__, **groups, simulate=(Simulate | None, None)
    )


Settings = _settings_model()


class Source(NamedTuple):
    """Where settings come from: a name for messages, the lines of settings by their path."""

    name: str
    lines: Mapping[Key, int | None]


def default_settings() -> dict[str, Any]:
    """All settings with their defaults, as dictionaries, lists, numbers and text."""
    return as_dict(Settings())


def as_dict(settings: Group) -> dict[str, Any]:
    """Settings as dictionaries; surveys that are not simulated are left out."""
    tree = settings.model_dump()
    simulate = tree.pop("simulate")
    if simulate is not None:
        tree["simulate"] = {name: group for name, group in simulate.items() if group is not None}
    return tree


def complete_settings(
    files: Mapping[str | os.PathLike[str], Mapping[str, Any]], arguments: Iterable[str] = ()
) -> dict[str, Any]:
    """All settings of a run: the user's own on top of the defaults, checked.

    Groups of settings are merged key by key. A survey that the user names takes nothing from an example of
    the same name. Text becomes a number, and a number text, where only that fits: the command line does not
    tell them apart, and to YAML 1e-4 is text.

    Parameters
    ----------
    files : contents of the user's configuration files by path, later ones win
    arguments : "key=value" of the command line, values in YAML; these win over files

    Returns settings as dictionaries, lists, numbers and text. Raises SettingsError: names a key that is
    wrong, its file and line where they are known, what was expected and what was found.
    """
    sources = [
        Source(_shown(path), dict.fromkeys(_paths(content)) | read_lines(path))
        for path, content in files.items()
    ]
    own: dict[str, Any] = {}
    for content in files.values():
        own = _merged(own, content)
    text: dict[str, Any] = {}
    for key, _, value in (argument.partition("=") for argument in arguments):
        with suppress(yaml.YAMLError):
            _find_lines(value, "--config")
        own = _merged(own, {key: _parsed(value, yaml.SafeLoader)})
        text = _merged(text, {key: _parsed(value, yaml.BaseLoader)})
    sources.append(Source("--config", dict.fromkeys(_paths(text))))
    own = copy.deepcopy(own)  # lists are converted in place
    settings = _merged(default_settings(), own)
    if isinstance(own.get("surveys"), dict):
        settings["surveys"] |= own["surveys"]
    _convert(settings, text)
    try:
        return as_dict(Settings.model_validate(settings))
    except ValidationError as error:
        errors = error.errors(include_url=False)
    # A misspelt key is also a missing one: the misspelling is what the user must see.
    errors.sort(key=lambda error: error["type"] != "extra_forbidden")
    raise SettingsError(_message(errors[0], sources))


def check_file(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The settings in a file. SettingsError if it is not UTF-8, not YAML or JSON, or no group of settings.

    Snakemake, which reads the file, names neither the file nor the line.
    """
    file, content = _shown(path), Path(path).read_bytes()
    try:
        text = content.decode()
        try:
            settings = json.loads(text)  # with tabs, it is not YAML
        except ValueError:
            settings = yaml.safe_load(text)
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise SettingsError(f"{file}, line {line}: this is not UTF-8; save the file as UTF-8") from error
    except (yaml.YAMLError, ValueError) as error:  # ValueError: such as the date 2023-13-01
        mark = getattr(error, "problem_mark", None)
        where = f"{file}, line {mark.line + 1}, column {mark.column + 1}" if mark else file
        reason = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise SettingsError(f"{where}: this is not YAML ({reason}); indent with spaces") from error
    if not isinstance(settings, dict):
        found = "no settings" if settings is None else f"{settings!r:.40}, which is no group of settings"
        raise SettingsError(f"{file}: it holds {found}; write lines such as seed: 7")
    read_lines(path)
    return settings


def read_lines(path: str | os.PathLike[str]) -> dict[Key, int | None]:
    """Lines of a YAML file in which settings are, by the path of the setting; none if it is not YAML.

    Raises SettingsError if a key is there twice in one group: YAML would forget the first.
    """
    try:
        return _find_lines(Path(path).read_text(), _shown(path))
    except (yaml.YAMLError, OSError, UnicodeDecodeError):  # the caller loads the file and reports the error
        return {}


def _find_lines(text: str, source: str) -> dict[Key, int | None]:
    document = yaml.compose(text, yaml.SafeLoader)
    try:
        return dict(_lines_of(document, (), source)) if document else {}
    except RecursionError:
        raise SettingsError(f"{source}: a group of settings is inside itself, by an anchor (&)") from None


def _lines_of(node: yaml.Node, path: Key, file: str) -> Iterator[tuple[Key, int]]:
    if isinstance(node, yaml.SequenceNode):
        for at, item in enumerate(node.value):
            yield (*path, at), item.start_mark.line + 1
            yield from _lines_of(item, (*path, at), file)
    if isinstance(node, yaml.MappingNode):
        first: dict[str, int] = {}
        # Merged groups come first, so that the group's own keys win.
        for key, value in sorted(node.value, key=lambda pair: pair[0].value != "<<"):
            name, line = str(key.value), key.start_mark.line + 1
            if name == "<<":
                for merged in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                    yield from _lines_of(merged, path, file)
                continue
            if name in first:
                raise SettingsError(
                    f"{file}, line {line}: {name} is there twice, first in line {first[name]}; make it one"
                )
            first[name] = line
            yield (*path, name), line
            yield from _lines_of(value, (*path, name), file)


def _shown(path: str | os.PathLike[str]) -> str:
    """A path for messages, from the current folder if it is in there."""
    absolute = Path(path).absolute()
    return str(absolute.relative_to(Path.cwd()) if absolute.is_relative_to(Path.cwd()) else path)


def _paths(tree: Any, path: Key = ()) -> Iterator[Key]:
    """Paths of all settings of a tree."""
    items = tree.items() if isinstance(tree, Mapping) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in items:
        key = key if isinstance(tree, list) else str(key)
        yield (*path, key)
        yield from _paths(value, (*path, key))


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with others on top; names of settings are text, also where YAML reads a number."""
    result = {
        str(key): _merged(value, {}) if isinstance(value, Mapping) else value for key, value in base.items()
    }
    for key, value in over.items():
        below = result.get(str(key))
        if isinstance(value, Mapping):
            value = _merged(below if isinstance(below, Mapping) else {}, value)
        result[str(key)] = value
    return result


def _parsed(text: str, loader: Any) -> Any:
    try:
        return yaml.load(text, loader)
    except (yaml.YAMLError, ValueError):  # such as the date 2023-13-01
        return text


def _errors(settings: Mapping[str, Any]) -> list[ErrorDetails]:
    try:
        Settings.model_validate(settings)
    except ValidationError as error:
        return error.errors(include_url=False)
    return []


def _convert(settings: dict[str, Any], text: dict[str, Any]) -> None:
    """Give values of a wrong type the right one, where they have an equivalent of it."""
    for error in _errors(settings):
        if error["type"] in _CONVERTIBLE:
            *groups, key = error["loc"]
            group = _at(settings, groups)
            for candidate in _equivalents(error["input"], _at(text, error["loc"])):
                group[key] = candidate
                left = [other["type"] for other in _errors(settings) if other["loc"] == error["loc"]]
                if not _CONVERTIBLE.intersection(left):
                    break
            else:
                group[key] = error["input"]


def _at(tree: Any, path: Iterable[str | int]) -> Any:
    """The value at a path of a tree of settings, None if there is none."""
    for key in path:
        try:
            tree = tree[key]
        except (KeyError, IndexError, TypeError):
            return None
    return tree


def _equivalents(value: Any, written: Any) -> Iterator[Any]:
    if isinstance(written, str) and value is not None:
        yield written  # 007 is a name, too
    if isinstance(value, str):
        yield _parsed(value, yaml.SafeLoader)
    if isinstance(value, str | float):
        with suppress(ValueError, OverflowError):
            number = float(value)
            if math.isfinite(number):
                yield number
            if number.is_integer():
                yield int(number)


def missing_triggers(active: Iterable[str]) -> str | None:
    """A warning that names the rerun triggers of Snakemake that are off, such as "mtime"; None: all on."""
    on = set(active)
    off = [name for name in _TRIGGERS if name not in on]
    if not off:
        return None
    unnoticed = "; ".join(f"{name}: {_TRIGGERS[name]}" for name in off)
    return (
        f"rerun-triggers lacks {', '.join(off)}: old results stay, stale, when what these notice changes "
        f"({unnoticed}). Remove rerun-triggers from the profile or the command line to have them made again."
    )


def complete_group(model: type[Group], key: Key, own: Mapping[str, Any]) -> dict[str, Any]:
    """All settings of the group at `key`: `own` from Python, also as tuples, and else defaults.

    Raises SettingsError: names a key that is wrong, what was expected and what was found.
    """
    try:
        return model.model_validate(own, strict=False).model_dump()
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise SettingsError(_sentence(first, (*key, *_path_of(first)))) from None


def _message(error: ErrorDetails, sources: Sequence[Source]) -> str:
    path = _path_of(error)
    return f"{_origin(path, sources)}: {_sentence(error, path)}"


def _path_of(error: ErrorDetails) -> Key:
    path = error["loc"]
    if path[-1:] == ("[key]",):
        path = path[:-1]
    return (*path, *error["ctx"]["key"]) if error["type"] == "problem" else path


def _origin(path: Key, sources: Sequence[Source]) -> str:
    """Where a setting, or else the group that it is in, was set last."""
    for length in range(len(path), 0, -1):
        for source in reversed(sources):
            if path[:length] in source.lines:
                line = source.lines[path[:length]]
                return source.name if line is None else f"{source.name}, line {line}"
    return "config"


def _key(parts: Sequence[str | int]) -> str:
    """Path of a setting as people write it: surveys.demo.selection[0].op."""
    key = ""
    for part in parts:
        key += f"[{part}]" if isinstance(part, int) else f".{part}" if key else part
    return key


def _sentence(error: ErrorDetails, path: Key) -> str:
    key, found, context = _key(path), error["input"], error.get("ctx", {})
    shown = "null" if found is None else repr(found)
    match error["type"]:
        case "problem":
            return f"{key}{'' if error['msg'].startswith(':') else ' '}{error['msg']}"
        case "extra_forbidden":
            return _unknown_key(path)
        case "missing":
            return f"{key} is missing{_meaning(path)}"
        case "string_pattern_mismatch":
            return f"{key}: a name here has only letters, digits and hyphens"
        case "literal_error":
            return f"{key} must be one of {_choices(path)}, not {shown}"
        case "too_short" if found == {}:
            return f"{key} is empty{_meaning(path)}"
        case "too_short":
            count = context["min_length"]
            return f"{key} must have at least {_values(count)}, not {len(found)}{_meaning(path)}"
        case "too_long":
            count = context["max_length"]
            return f"{key} must have at most {_values(count)}, not {len(found)}{_meaning(path)}"
        case kind if kind in _LIMITS:
            words, name = _LIMITS[kind]
            return f"{key} must be {words} {_number(context[name])}, not {shown}{_meaning(path)}"
        case kind if kind in _TYPES:
            place = place_of(Settings, path)
            nullable = place.field and not place.is_item and is_nullable(place.field.annotation)
            return (
                f"{key} must be {_TYPES[kind]}{' or null' if nullable else ''}, not {shown}{_meaning(path)}"
            )
    return f"{key}: {error['msg']}"


def _unknown_key(path: Key) -> str:
    if path in _RENAMED:
        return f"{_key(path)} is now called {_RENAMED[path]}; rename it"
    *above, unknown = path
    group = place_of(Settings, above).group
    known = sorted(group.model_fields) if group else []
    close = difflib.get_close_matches(str(unknown), known, n=1)
    hint = (
        f"did you mean {close[0]}?" if close else f"{_key(above) or 'the top level'} has: {', '.join(known)}"
    )
    return f"{_key(path)} is not a setting; {hint}"


def _choices(path: Key) -> str:
    field = place_of(Settings, path).field
    return ", ".join(map(str, choices_of(field))) if field else ""


def _number(limit: float) -> str:
    return str(limit) if isinstance(limit, int) else f"{limit:g}"


def _values(count: int) -> str:
    return f"{count} value" if count == 1 else f"{count} values"


def _meaning(path: Key) -> str:
    help = meaning_of(place_of(Settings, path))
    return f" ({help})" if help else ""
