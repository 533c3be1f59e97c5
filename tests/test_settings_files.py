"""Files that are made of models: configuration, schema, pages on settings and columns."""

import json
import re
from pathlib import Path

import pytest
import yaml
from fixtures.settings import complete

from starsift.settings import Settings, default_settings
from starsift.settings_base import Group, help_of
from starsift.settings_files import config_yaml, files

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("name", files())
def test_files_are_those_that_are_made_of_the_models(name: str) -> None:
    assert (ROOT / name).read_text() == files()[name], f"{name} is not up to date: run `make settings`"


def test_the_configuration_file_has_all_defaults_and_explains_each() -> None:
    text = config_yaml()
    assert complete(yaml.safe_load(text)) == complete() == default_settings()
    assert set(yaml.safe_load(text)) == set(default_settings())
    assert max(map(len, text.splitlines())) <= 110

    def check(group: type[Group]) -> None:
        for field in group.model_fields.values():
            help = help_of(field)
            assert re.fullmatch(r"[A-Z].*\.", help, re.DOTALL), field
            if isinstance(field.annotation, type) and issubclass(field.annotation, Group):
                check(field.annotation)

    check(Settings)


def test_the_schema_takes_what_the_models_take() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads((ROOT / "config/schema/config.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    validator.validate(default_settings())
    for file in (ROOT / "config").glob("*.yaml"):
        assert file.read_text().startswith("# yaml-language-server: $schema=schema/config.schema.json\n")
        validator.validate(yaml.safe_load(file.read_text()))
    for wrong in (
        {"sed": 1},
        {"seed": -1},
        {"seed": 1.5},
        {"searches": ["mstar"]},
        {"surveys": {"my survey": {"kind": "lrs", "root": "x"}}},
        {"surveys": {"s": {"selection": [{"column": "snr"}]}}},
        {"binaries": {"ccf": {"wavelength_range": [1]}}},
        {"binaries": {"errors": {"systematic": [-1]}}},
        {"bhb": {"labelled": {"shares": [0.5, 0.5, 1]}}},
    ):
        assert not validator.is_valid(wrong), wrong
