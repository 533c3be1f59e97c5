"""The files that are made from models: config.yaml, the JSON Schema, the pages on settings and columns.

    python -m starsift.settings_files [FOLDER]

writes them into a checkout.
"""

import json
import re
import sys
import textwrap
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import yaml
from pydantic.fields import FieldInfo
from pydantic.json_schema import GenerateJsonSchema

from starsift.catalog.columns import Column
from starsift.searches.registry import SEARCHES
from starsift.settings import EXAMPLES, Settings
from starsift.settings_base import (
    Ascending,
    Group,
    StrictlyAscending,
    choices_of,
    collection_of,
    group_in,
    help_of,
    is_nullable,
    unit_of,
)

WIDTH = 110
# Types of JSON Schema in words, of one value and of several.
_TYPES = {
    "array": ("list", "lists"),
    "boolean": ("true or false", "true or false"),
    "integer": ("integer", "integers"),
    "null": ("null", "null"),
    "number": ("number", "numbers"),
    "object": ("group", "groups"),
    "string": ("text", "text"),
}
_LIMITS = {
    "exclusiveMinimum": "more than",
    "minimum": "at least",
    "exclusiveMaximum": "less than",
    "maximum": "at most",
}
HEAD = """\
# yaml-language-server: $schema=schema/config.schema.json
# starsift: settings of a full survey. Write a small file with only the settings that differ, and run
#     snakemake --cores 16 --configfile my-survey.yaml
# Settings that you leave out keep the values below. Velocities are km/s, wavelengths vacuum Angstrom.
# Editing a setting reruns exactly the stages that use it. docs/settings.md has types and limits, too.
#
# This file is made from the models of the settings (`make settings`): edit those, not this file.
"""
PAGE = """\
# Settings

All settings with their defaults. `make settings` makes this page and `config/config.yaml` from the models of
the settings. [running.md](running.md) shows how to give settings of your own. An editor with a language
server for YAML checks and completes a settings file that begins with

    # yaml-language-server: $schema=config/schema/config.schema.json

where the path is that of the file in your copy of starsift. In the tables, `surveys.*` stands for a survey of
any name and `[]` for each item of a list.
"""


COLUMNS = """\
# Columns

All columns of the published catalogues. `make settings` makes this page from the schemas by which the
catalogues are written. Values are rounded to their precision: decimal places, or significant digits.
"""


def config_yaml() -> str:
    """All settings with their defaults as YAML, help as comments."""
    return HEAD + "\n" + "\n".join(_entries(Settings(), 0, set())) + "\n"


def _entries(
    group: Group, indent: int, explained: set[tuple[str, str]], example: bool = False
) -> Iterator[str]:
    """Lines of a group's settings, of an example only of those that it sets. A setting is explained once,
    also where several groups are of one model."""
    space = " " * indent
    fields = type(group).model_fields
    names = [name for name in fields if name in group.model_fields_set or not example]
    for place, name in enumerate(names):
        field, value = fields[name], getattr(group, name)
        if name == "simulate":  # nothing, by default
            continue
        before = getattr(group, names[place - 1])
        if place and (
            indent == 0 or (indent == 2 and (isinstance(value, Group) or isinstance(before, Group)))
        ):
            yield ""
        owner = f"{type(group).__module__}.{type(group).__qualname__}"
        if (owner, name) not in explained:
            yield from _comment(_explanation(field), indent)
        explained.add((owner, name))
        if isinstance(value, Group):
            yield f"{space}{name}:"
            yield from _entries(value, indent + 2, explained, example)
        elif isinstance(value, dict):
            yield f"{space}{name}:"
            for at, (key, survey) in enumerate(value.items()):
                if at:
                    yield ""
                yield from _comment(EXAMPLES[key][0], indent + 2)
                yield f"{space}  {key}:"
                yield from _entries(survey, indent + 4, explained, example=True)
        elif isinstance(value, list) and value and isinstance(value[0], Group):
            yield f"{space}{name}:"
            for item in value:
                yield from _item(item, indent + 2, explained)
        else:
            yield from _wrapped(f"{space}{name}: ", value, _flow(value))


def _item(group: Group, indent: int, explained: set[tuple[str, str]]) -> Iterator[str]:
    line = f"{' ' * indent}- {_flow(group.model_dump(exclude_unset=True))}"
    if len(line) <= WIDTH:
        yield line
        return
    lines = list(_entries(group, indent + 2, explained, example=True))
    first = next(at for at, line in enumerate(lines) if not line.lstrip().startswith("#"))
    yield from (line[2:] for line in lines[:first])
    yield f"{' ' * indent}- {lines[first].lstrip()}"
    yield from lines[first + 1 :]


def _wrapped(start: str, value: Any, flow: str) -> Iterator[str]:
    if len(start) + len(flow) <= WIDTH or not isinstance(value, list):
        yield start + flow
        return
    space = " " * (len(start) + 1)
    rows = textwrap.wrap(flow[1:], WIDTH - len(space), break_long_words=False, break_on_hyphens=False)
    yield f"{start}[{rows[0]}"
    yield from (space + row for row in rows[1:])


def _comment(text: str, indent: int) -> Iterator[str]:
    start = " " * indent + "# "
    yield from textwrap.wrap(
        text, WIDTH, initial_indent=start, subsequent_indent=start, break_on_hyphens=False
    )


def _explanation(field: FieldInfo) -> str:
    """Help of a setting, with its unit, and its choices where the help does not name them."""
    help = help_of(field)
    if unit := unit_of(field):
        help = re.sub(r"(?<=[a-z0-9)'])([.:;](?= |$))", rf" ({unit})\1", help, count=1)
    choices = choices_of(field)
    if choices and not all(re.search(rf"(?<![\w-]){re.escape(str(one))}(?![\w-])", help) for one in choices):
        default = field.get_default(call_default_factory=True)
        if not (isinstance(default, list) and len(default) == len(choices)):
            help += f" One of: {', '.join(map(str, choices))}."
    return help


def _flow(value: Any) -> str:
    """A value as YAML on one line."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_flow(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_flow, value)) + "]"
    if isinstance(value, float):
        return format(Decimal(repr(value)), "f")
    if isinstance(value, str):
        plain = re.fullmatch(r"[A-Za-z][\w /.+-]*", value) and yaml.safe_load(value) == value
        return value if plain else json.dumps(value)
    return json.dumps(value)


class _Schema(GenerateJsonSchema):
    """Without titles made of names and defaults of groups, which are those of their settings."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def default_schema(self, schema: Any) -> Any:
        if _has_groups(schema.get("default")):
            return self.generate_inner(schema["schema"])
        return super().default_schema(schema)


def _has_groups(value: Any) -> bool:
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else [value]
    return any(isinstance(item, Group) for item in items)


def json_schema() -> str:
    """The JSON Schema of a settings file, for editors."""
    schema = Settings.model_json_schema(schema_generator=_Schema)
    # Files are merged, so that none needs to have all of a group; but an item of a list is in one file.
    items = re.findall(r'"items": {"\$ref": "#/\$defs/(\w+)"', json.dumps(schema))
    for name, group in schema["$defs"].items():
        if name not in items:
            group.pop("required", None)
    schema["properties"]["surveys"]["additionalProperties"] = False  # other names than those of the pattern
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Settings of starsift"}
    return _compact(head | {key: one for key, one in schema.items() if key != "title"}) + "\n"


def _compact(value: Any, indent: int = 0) -> str:
    """JSON, on one line what has room there."""
    line = json.dumps(value)
    if len(line) + indent <= WIDTH or not isinstance(value, dict | list):
        return line
    items = value.items() if isinstance(value, dict) else [(None, one) for one in value]
    lines = [
        " " * (indent + 1) + (f"{json.dumps(key)}: " if key else "") + _compact(one, indent + 1)
        for key, one in items
    ]
    first, last = "{}" if isinstance(value, dict) else "[]"
    return f"{first}\n" + ",\n".join(lines) + f"\n{' ' * indent}{last}"


def page() -> str:
    """The page of the docs: a table for each group."""
    return PAGE + "".join(_tables(Settings, Settings(), "", "##"))


def _tables(model: type[Group], values: Group | None, path: str, level: str) -> Iterator[str]:
    rows, below = [], []
    schemas = model.model_json_schema(schema_generator=_Schema)["properties"]
    for name, field in model.model_fields.items():
        group, collection = group_in(field.annotation), collection_of(field.annotation)
        value = getattr(values, name) if values else field.get_default(call_default_factory=True)
        if group:
            suffix = "" if collection is None else ".*" if collection is dict else "[]"
            below.append((group, value if isinstance(value, Group) else None, f"{path}{name}{suffix}", field))
        if not group or collection or is_nullable(field.annotation):
            rows.append(_row(f"{path}{name}", field, value, schemas[name]))
    if rows:
        yield "\n| setting | type | default | unit | limits | meaning |\n|---|---|---|---|---|---|\n"
        yield from rows
    for group, value, key, field in below:
        help = group.__doc__ if key.endswith(("*", "]")) else help_of(field)
        yield f"\n{level} `{key}`\n\n{help}\n"
        yield from _tables(group, value, f"{key}.", "###")


def _row(key: str, field: FieldInfo, value: Any, schema: Mapping[str, Any]) -> str:
    if field.is_required():
        default = "required"
    elif group_in(field.annotation) and value:
        default = "in `config/config.yaml`"
    else:
        default = f"`{_flow(value)}`"
    ascends = Ascending in field.metadata or StrictlyAscending in field.metadata
    limits = _limits(schema) + (", ascending" if ascends else "")
    cells = [f"`{key}`", _type(schema), default, unit_of(field) or "", limits, help_of(field)]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


def _type(schema: Mapping[str, Any], several: bool = False) -> str:
    """The type of a JSON Schema in words."""
    if "enum" in schema:
        return ("" if several else "one of ") + ", ".join(f"`{one}`" for one in schema["enum"])
    if "anyOf" in schema:
        return " or ".join(map(_type, schema["anyOf"]))
    if isinstance(schema.get("type"), list):
        return " or ".join(_TYPES[one][0] for one in schema["type"])
    if schema.get("type") == "array":
        return f"{_TYPES['array'][several]} of {_type(schema['items'], several=True)}"
    return _TYPES[schema.get("type", "object")][several]


def _limits(schema: Mapping[str, Any]) -> str:
    """The limits of a JSON Schema, in words."""
    words = [f"{name} {_flow(schema[key])}" for key, name in _LIMITS.items() if key in schema]
    least, most = schema.get("minItems", schema.get("minProperties")), schema.get("maxItems")
    if least is not None:
        count = f"{least}" if least == most else f"{least} to {most}" if most else f"at least {least}"
        words.append(f"{count} value" if count.endswith(" 1") else f"{count} values")
    if inner := _limits(schema["items"]) if "items" in schema else "":
        words.append(f"each {inner}")
    return ", ".join(words)


def columns_page() -> str:
    """The page of the docs on the columns: a table for each catalogue."""
    return COLUMNS + "".join(
        f"\n## `{name}`\n\n{schema.description}. Sorted by {', '.join(f'`{key}`' for key in schema.key)}.\n\n"
        "| column | type | unit | UCD | precision | may be missing | meaning |\n"
        "|---|---|---|---|---|---|---|\n" + "".join(map(_column_row, schema.columns))
        for search in SEARCHES.values()
        for name, schema in search.module("columns").CATALOGS.items()
    )


def _column_row(column: Column) -> str:
    precision = f"{column.digits} digits" if column.digits is not None else ""
    if column.decimals is not None:
        precision = f"{column.decimals} decimals"
    missing = "yes" if column.nullable else ""
    unit = f"`{column.unit}`" if column.unit else ""
    cells = [f"`{column.name}`", str(column.type), unit, f"`{column.ucd}`", precision, missing]
    return "| " + " | ".join([*cells, re.sub(r"([|<])", r"\\\1", column.description)]) + " |\n"


def main() -> None:
    """Write the files into a checkout."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
    for name, text in files().items():
        (folder / name).write_text(text)


def files() -> dict[str, str]:
    """The files by their path in a checkout."""
    return {
        "config/config.yaml": config_yaml(),
        "config/schema/config.schema.json": json_schema(),
        "docs/settings.md": page(),
        "docs/columns.md": columns_page(),
    }


if __name__ == "__main__":
    main()
