"""Settings: put together, and checked against the JSON Schema before anything runs.

A setting that cannot be used gives one sentence that names its key.
"""

import difflib
import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator, validators
from jsonschema.exceptions import ValidationError

from starsift.errors import SettingsError

_KINDS = {
    "array": "a list",
    "boolean": "true or false",
    "integer": "a whole number",
    "null": "null",
    "number": "a number",
    "object": "a group of settings",
    "string": "text",
}
_LIMITS = {
    "minimum": "at least",
    "maximum": "at most",
    "exclusiveMinimum": "more than",
    "exclusiveMaximum": "less than",
}
# Files that the workflow writes beside a survey's manifest, results/manifest/{survey}.parquet.
_TABLES_OF_A_SURVEY = ("index", "unusable")
# Files and folders that Snakemake watches.
_FILES = (
    "template_grid",
    "labels",
    "mstars.sample.templates",
    "mstars.catalog.sources",
    "emission.labelled.root",
    "emission.labelled.labels",
    "bhb.labelled.catalog",
    "bhb.image.pretrained",
)
# What each of Snakemake's rerun triggers notices.
_TRIGGERS = {
    "params": "settings, labels and the library",
    "input": "the set of files that a job reads",
    "mtime": "files",
    "code": "rules and scripts",
}


def _is_whole(_checker: Any, value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_finite(_checker: Any, value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


# JSON Schema takes 64.0 for a whole number, and infinity for a number: range() and the methods do not.
_Validator = validators.extend(
    Draft202012Validator,
    type_checker=Draft202012Validator.TYPE_CHECKER.redefine("integer", _is_whole).redefine(
        "number", _is_finite
    ),
)


def check_repeats(path: str | os.PathLike[str]) -> None:
    """Make sure that a configuration file says nothing twice: YAML would forget what it said first.

    Raises
    ------
    SettingsError : a key is there twice in one group; the message names its line.
    """
    try:
        document = yaml.compose(Path(path).read_text(), yaml.SafeLoader)
    except (yaml.YAMLError, OSError, UnicodeDecodeError):  # whoever loads the file says what is wrong
        return
    nodes = [document]
    while nodes:
        node = nodes.pop()
        if isinstance(node, yaml.SequenceNode):
            nodes += node.value
        if isinstance(node, yaml.MappingNode):
            lines: dict[str, int] = {}
            for key, value in node.value:
                line = key.start_mark.line + 1
                name = str(key.value)
                if name in lines and name != "<<":
                    raise SettingsError(
                        f"{path}: line {line}: {name} is there twice, "
                        f"first in line {lines[name]}; make it one"
                    )
                lines[name] = line
                nodes.append(value)


def complete_settings(
    shipped: Mapping[str, Any],
    files: Iterable[Mapping[str, Any]],
    arguments: Iterable[str],
    schema: str | os.PathLike[str],
) -> dict[str, Any]:
    """All settings of a run: those that ship with starsift, the user's own on top, and defaults of surveys.

    Groups of settings are merged key by key. A survey that the user names takes nothing from a shipped one of
    the same name: what it does not say has the schema's default.

    Parameters
    ----------
    shipped : settings that come with starsift
    files : the user's configuration files, later ones win
    arguments : "key=value" of the command line, values in YAML; these win over files
    schema : path of the JSON Schema

    Returns
    -------
    settings that `validate` has yet to check; text stands as a number, and a number as text, where only that
    fits the schema: the command line does not tell them apart, and to YAML 1e-4 is text
    """
    validator = _validator(schema)
    own: dict[str, Any] = {}
    for settings in files:
        own = _merged(own, settings)
    text: dict[str, Any] = {}
    for key, _, value in (argument.partition("=") for argument in arguments):
        own = _merged(own, {key: _parsed(value, yaml.SafeLoader)})
        text = _merged(text, {key: _parsed(value, yaml.BaseLoader)})
    settings = _merged(shipped, own)
    surveys = settings.get("surveys")
    if isinstance(surveys, dict) and isinstance(own.get("surveys"), dict):
        surveys |= own["surveys"]
    _convert(settings, text, validator)
    if isinstance(surveys, dict):
        defaults = _defaults(*validator.schema["properties"]["surveys"]["patternProperties"].values())
        for name, survey in surveys.items():
            if isinstance(survey, dict):
                surveys[name] = _merged(defaults, survey)
    return settings


def _validator(schema: str | os.PathLike[str]) -> Any:
    return _Validator(json.loads(Path(schema).read_text()))


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


def _defaults(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The defaults of a group of settings, and of the groups in it."""
    found = {}
    for key, setting in schema["properties"].items():
        if "default" in setting:
            found[key] = setting["default"]
        elif setting.get("type") == "object":
            found[key] = _defaults(setting)
    return found


def _convert(settings: dict[str, Any], text: dict[str, Any], validator: Any) -> None:
    """Give values of a wrong type the right one, where they have an equivalent of it."""
    for error in list(validator.iter_errors(settings)):
        if error.validator == "type" and error.absolute_path:
            *groups, key = error.absolute_path
            for candidate in _equivalents(error.instance, _at(text, error.absolute_path)):
                if validator.evolve(schema=error.schema).is_valid(candidate):
                    _at(settings, groups)[key] = candidate
                    break


def _at(tree: Any, path: Iterable[str | int]) -> Any:
    """What stands at a path of a tree of settings; None: nothing."""
    for key in path:
        try:
            tree = tree[key]
        except (KeyError, IndexError, TypeError):
            return None
    return tree


def _equivalents(value: Any, written: Any) -> Iterator[Any]:
    if isinstance(written, str):
        yield written  # 007 is a name, too
    if isinstance(value, str):
        yield _parsed(value, yaml.SafeLoader)
    if isinstance(value, str | float):
        with suppress(ValueError, OverflowError):
            yield float(value)
            yield int(float(value)) if float(value).is_integer() else None


def validate(config: Mapping[str, Any], schema: str | os.PathLike[str]) -> None:
    """Check the settings of a run.

    Parameters
    ----------
    config : mapping, as read from the YAML files
    schema : path of the JSON Schema

    Raises
    ------
    SettingsError : names the first key that is wrong, what was expected and what was found.
    """
    errors = sorted(_validator(schema).iter_errors(dict(config)), key=_order)
    if errors:
        raise SettingsError(f"config: {_sentence(errors[0])}")
    for problem in _contradictions(config):
        raise SettingsError(f"config: {problem}")


def missing_triggers(active: Iterable[str]) -> str | None:
    """A warning that names the rerun triggers of Snakemake that are off; None: all are on.

    Parameters
    ----------
    active : names of those that are on, such as "mtime"
    """
    on = set(active)
    off = [name for name in _TRIGGERS if name not in on]
    if not off:
        return None
    unnoticed = "; ".join(f"{name}: {_TRIGGERS[name]}" for name in off)
    return (
        f"rerun-triggers lacks {', '.join(off)}: old results stay, stale, when what these notice changes "
        f"({unnoticed}). Remove rerun-triggers from the profile or the command line to have them made again."
    )


def _order(error: ValidationError) -> tuple[bool, list[str]]:
    # A misspelt key is also a missing one: the misspelling is what the user must see.
    return error.validator != "additionalProperties", [str(part) for part in error.absolute_path]


def _key(parts: Sequence[str | int]) -> str:
    """Path of a setting as people write it: surveys.demo.selection[0].op."""
    key = ""
    for part in parts:
        key += f"[{part}]" if isinstance(part, int) else f".{part}" if key else part
    return key


def _sentence(error: ValidationError) -> str:
    path = list(error.absolute_path)
    key, wanted, found = _key(path), error.validator_value, error.instance
    match error.validator:
        case "additionalProperties":
            return _unknown_key(path, error)
        case "required":
            name = next(name for name in wanted if name not in found)
            return f"{_key([*path, name])} is missing{_meaning(error.schema['properties'][name])}"
        case "type":
            kinds = [wanted] if isinstance(wanted, str) else wanted
            names = " or ".join(_KINDS[kind] for kind in kinds)
            shown = "null" if found is None else repr(found)
            return f"{key} must be {names}, not {shown}{_meaning(error.schema)}"
        case "enum":
            return f"{key} must be one of {', '.join(map(str, wanted))}, not {found!r}"
        case "minItems" | "maxItems":
            bound = "at least" if error.validator == "minItems" else "at most"
            return f"{key} must have {bound} {wanted} values, not {len(found)}{_meaning(error.schema)}"
        case "minProperties":
            return f"{key} is empty{_meaning(error.schema)}"
        case limit if limit in _LIMITS:
            return f"{key} must be {_LIMITS[limit]} {wanted:g}, not {found!r}{_meaning(error.schema)}"
    return f"{key}: {error.message}"


def _unknown_key(path: list[str | int], error: ValidationError) -> str:
    patterns = error.schema.get("patternProperties")
    known = sorted(error.schema.get("properties", {}))
    unknown = next(name for name in error.instance if name not in known) if not patterns else None
    if unknown is None:
        wrong = next(
            name for name in error.instance if not Draft202012Validator(_only(error)).is_valid({name: {}})
        )
        return f"{_key([*path, wrong])}: a name here has only letters, digits and hyphens"
    close = difflib.get_close_matches(unknown, known, n=1)
    group = _key(path) or "the top level"
    hint = f"did you mean {close[0]}?" if close else f"{group} has: {', '.join(known)}"
    return f"{_key([*path, unknown])} is not a setting; {hint}"


def _only(error: ValidationError) -> dict[str, Any]:
    """The schema of names alone, so that what is wrong inside a group does not count."""
    return {
        "additionalProperties": False,
        "patternProperties": dict.fromkeys(error.schema["patternProperties"], True),
    }


def _meaning(schema: Any) -> str:
    description = schema.get("description") if isinstance(schema, Mapping) else None
    return f" ({description})" if description else ""


def _contradictions(config: Mapping[str, Any]) -> Iterator[str]:
    """What the schema cannot say: settings that do not fit together."""
    surveys, binaries = config["surveys"], config["binaries"]
    for name in surveys:
        stem, _, table = name.rpartition("-")
        if stem in surveys and table in _TABLES_OF_A_SURVEY:
            file = f"results/manifest/{name}.parquet"
            yield f"surveys.{name}: {file} is a table of the survey {stem}; choose another name"
    tables = [f"surveys.{name}.catalog" for name in surveys]
    for key in (*_FILES, *tables):
        path = _at(config, key.split("."))
        if path is not None and "{" in path:
            yield f"{key} is {path!r}: Snakemake takes braces in a path for a wildcard; rename the file"
    bands = ("lrs", "sdss"), "that is where bands show"
    bhb = config["bhb"]
    images = ("lrs", "sdss"), "that is where the network finds 4000 to 9000 Angstrom"
    wanted = [
        ("binaries", "survey", binaries["survey"], ("mrs",), "that is where binaries show"),
        *(("mstars", key, config["mstars"][key], *bands) for key in ("survey", "labelled")),
        ("emission", "survey", config["emission"]["survey"], *bands[:1], "that is where H alpha shows"),
        ("bhb", "labelled.survey", bhb["labelled"]["survey"], *images),
        *(("bhb", "surveys", name, *images) for name in bhb["surveys"]),
    ]
    for path, key, name, kinds, why in wanted:
        if path in config["searches"]:
            if name not in surveys:
                yield f"{path}.{key} is {name!r}, but surveys has: {', '.join(sorted(surveys))}"
            elif surveys[name]["kind"] not in kinds:
                yield f"{path}.{key} is {name!r}, whose kind is not {' or '.join(kinds)}: {why}"
    mstars = config["mstars"]
    if mstars["survey"] == mstars["labelled"]:
        yield f"mstars.survey and mstars.labelled are both {mstars['survey']!r}: a search needs two surveys"
    if mstars["catalog"]["probability"] < mstars["search"]["probability"]:
        yield (
            f"mstars.catalog.probability ({mstars['catalog']['probability']}) is below "
            f"mstars.search.probability ({mstars['search']['probability']}): those would not be measured"
        )
    if "bhb" in config["searches"]:
        name = bhb["labelled"]["survey"]
        if surveys[name].get("cutouts") is None:
            yield f"bhb.labelled.survey is {name!r}, and surveys.{name} has no cutouts to learn from"
        if abs(sum(bhb["labelled"]["shares"]) - 1) > 1e-6:
            yield f"bhb.labelled.shares are {bhb['labelled']['shares']}: their sum must be 1"
    peaks, ccf = binaries["peaks"], binaries["ccf"]
    if peaks["sigma_max"] < peaks["sigma_start"]:
        yield f"binaries.peaks.sigma_max ({peaks['sigma_max']}) is below sigma_start ({peaks['sigma_start']})"
    for key, (low, high) in {
        "binaries.ccf.wavelength_range": ccf["wavelength_range"],
        "binaries.training.delta_rv": binaries["training"]["delta_rv"],
        "binaries.training.snr": binaries["training"]["snr"],
        "mstars.hash.copy_snr": mstars["hash"]["copy_snr"],
    }.items():
        if low > high:
            yield f"{key} must ascend, not {low} to {high}"
