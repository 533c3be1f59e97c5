"""Settings: checked against the JSON Schema before anything runs, with one sentence that names the key."""

import difflib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

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


class ConfigError(ValueError):
    """A setting that cannot be used; the message is one sentence that names its key."""


def validate(config: Mapping[str, Any], schema: str | os.PathLike[str]) -> None:
    """Check the settings of a run.

    Parameters
    ----------
    config : mapping, as read from the YAML files
    schema : path of the JSON Schema

    Raises
    ------
    ConfigError : names the first key that is wrong, what was expected and what was found.
    """
    validator = Draft202012Validator(json.loads(Path(schema).read_text()))
    errors = sorted(validator.iter_errors(dict(config)), key=_order)
    if errors:
        raise ConfigError(f"config: {_sentence(errors[0])}")
    for problem in _contradictions(config):
        raise ConfigError(f"config: {problem}")


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
            return f"{key} must be {names}, not {found!r}{_meaning(error.schema)}"
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
        if path in config["paths"]:
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
    if "bhb" in config["paths"]:
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
