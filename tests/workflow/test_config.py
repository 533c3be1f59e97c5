"""Typos and wrong values in the configuration: one sentence that names the key."""

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from starsift.config import ConfigError, validate

ROOT = Path(__file__).parents[2]
SCHEMA = ROOT / "config/schema/config.schema.json"


@pytest.fixture
def config() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "config/config.yaml").read_text())


def merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    merged = copy.deepcopy(base)
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = merge(merged[key], value) if both else value
    return merged


@pytest.mark.parametrize("name", ["demo", "real"])
def test_every_config_that_ships_is_valid(config: dict[str, Any], name: str) -> None:
    validate(config, SCHEMA)
    validate(merge(config, yaml.safe_load((ROOT / f"config/{name}.yaml").read_text())), SCHEMA)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            {"binaries": {"ccf": {"velocity_stpe": 1}}},
            "config: binaries.ccf.velocity_stpe is not a setting; did you mean velocity_step?",
        ),
        ({"binaries": {"ccf": {"zzz": 1}}}, "config: binaries.ccf.zzz is not a setting; binaries.ccf has: "),
        ({"sed": 1}, "config: sed is not a setting; did you mean seed?"),
        ({"seed": "x"}, "config: seed must be a whole number, not 'x' (of every random number)"),
        ({"seed": -1}, "config: seed must be at least 0, not -1"),
        (
            {"binaries": {"vote": {"sb2_threshold": 1.5}}},
            "binaries.vote.sb2_threshold must be at most 1, not 1.5",
        ),
        (
            {"binaries": {"ccf": {"velocity_step": 0}}},
            "binaries.ccf.velocity_step must be more than 0, not 0",
        ),
        (
            {"binaries": {"ccf": {"wavelength_range": [1]}}},
            "wavelength_range must have at least 2 values, not 1",
        ),
        (
            {"binaries": {"ccf": {"wavelength_range": [5, 4]}}},
            "binaries.ccf.wavelength_range must ascend, not 5 to 4",
        ),
        ({"binaries": {"survey": "nope"}}, "binaries.survey is 'nope', but surveys has: lamost-mrs"),
        ({"binaries": {"peaks": {"sigma_max": 2}}}, "binaries.peaks.sigma_max (2) is below sigma_start (13)"),
        (
            {"surveys": {"lamost-mrs": {"kind": "mr"}}},
            "surveys.lamost-mrs.kind must be one of mrs, lrs, sdss, not 'mr'",
        ),
        (
            {"surveys": {"lamost-mrs": {"kind": "lrs"}}},
            "binaries.survey is 'lamost-mrs', whose kind is not mrs",
        ),
        (
            {"surveys": {"mine": {"kind": "mrs"}}},
            "config: surveys.mine.root is missing (folder that holds the spectra)",
        ),
        (
            {"surveys": {"my survey": {}}},
            "config: surveys.my survey: a name here has only letters, digits and hyphens",
        ),
        (
            {"surveys": {"lamost-mrs": {"selection": [{"column": "snr", "op": "=>", "value": 5}]}}},
            "selection[0].op must be one of ==, !=, <, <=, >, >=, in, not in, not '=>'",
        ),
    ],
)
def test_a_wrong_setting_is_named(config: dict[str, Any], change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError) as error:
        validate(merge(config, change), SCHEMA)
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)


def test_a_missing_setting_is_named(config: dict[str, Any]) -> None:
    del config["binaries"]["errors"]["n_copies"]
    with pytest.raises(
        ConfigError, match=r"binaries\.errors\.n_copies is missing \(noisy copies of a spectrum\)"
    ):
        validate(config, SCHEMA)
