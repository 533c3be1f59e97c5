"""Typos and wrong values in the configuration: one sentence that names the key."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from starsift.errors import SettingsError
from starsift.searches.bhb.baselines import BASELINES
from starsift.searches.bhb.encoders import PRESETS
from starsift.searches.bhb.training import ENCODERS, NETWORKS, Settings
from starsift.searches.mstars.columns import MSTARS
from starsift.searches.mstars.luminosity import SEPARATORS, separators
from starsift.settings import check_repeats, complete_settings, missing_triggers, validate

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


@pytest.mark.parametrize("names", [["demo"], ["real"], ["demo", "bhb-tables"]], ids="-".join)
def test_every_config_that_ships_is_valid(config: dict[str, Any], names: list[str]) -> None:
    validate(config, SCHEMA)
    for name in names:
        config = merge(config, yaml.safe_load((ROOT / f"config/{name}.yaml").read_text()))
        validate(config, SCHEMA)


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
        ({"binaries": {"survey": "nope"}}, "binaries.survey is 'nope', but surveys has: lamost-lrs, "),
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
    with pytest.raises(SettingsError) as error:
        validate(merge(config, change), SCHEMA)
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)


UNKNOWN, LABELLED = "lamost-lrs-unknown", "lamost-lrs-labelled"
POINTS = [[8, 0.8, 0.9], [12, 0.8, 1.0]]
SEPARATOR = {"name": "h_jk", "evidence": "photometry", "x": "h", "y": "j-k", "points": POINTS, "scatter": 0.1}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            {"mstars": {"survey": "nope"}},
            "config: mstars.survey is 'nope', but surveys has: lamost-lrs, lamost-lrs-labelled, ",
        ),
        ({"mstars": {"labelled": "nope"}}, "config: mstars.labelled is 'nope', but surveys has: "),
        (
            {"mstars": {"survey": "lamost-mrs"}},
            "mstars.survey is 'lamost-mrs', whose kind is not lrs or sdss: that is where bands show",
        ),
        (
            {"mstars": {"labelled": "lamost-mrs"}},
            "mstars.labelled is 'lamost-mrs', whose kind is not lrs or sdss",
        ),
        (
            {"mstars": {"survey": LABELLED}},
            f"mstars.survey and mstars.labelled are both '{LABELLED}': a search needs two surveys",
        ),
        (
            {"mstars": {"search": {"probability": 0.6}}},
            "mstars.catalog.probability (0.5) is below mstars.search.probability (0.6): "
            "those would not be measured",
        ),
        ({"mstars": {"search": {"fraction": 0}}}, "mstars.search.fraction must be more than 0, not 0"),
        (
            {"mstars": {"search": {"probability": 1.1}}},
            "mstars.search.probability must be at most 1, not 1.1",
        ),
        ({"mstars": {"hash": {"copy_snr": [4, 1]}}}, "mstars.hash.copy_snr must ascend, not 4 to 1"),
        (
            {"mstars": {"hash": {"method": "pil"}}},
            "mstars.hash.method must be one of discriminant, PIL, PIL + contrast",
        ),
        ({"mstars": {"hash": {"bits": 100}}}, "mstars.hash.bits must be one of 32, 64, 128, 256, not 100"),
        (
            {"mstars": {"catalog": {"source": "x.csv"}}},
            "catalog.source is not a setting; did you mean sources?",
        ),
        (
            {"mstars": {"giants": {"separators": []}}},
            "mstars.giants.separators must have at least 1 values, not 0 (lines between giants and dwarfs)",
        ),
        (
            {"mstars": {"giants": {"separators": [SEPARATOR | {"name": "mine"}]}}},
            "separators[0].name must be one of h_jk, caoh_cah1, jk_w1w2, cah23_tio5, not 'mine'",
        ),
        (
            {"mstars": {"giants": {"separators": [SEPARATOR, SEPARATOR | {"evidence": "colour"}]}}},
            "mstars.giants.separators[1].evidence must be one of photometry, indices, not 'colour'",
        ),
        (
            {"mstars": {"giants": {"separators": [SEPARATOR | {"points": POINTS[:1]}]}}},
            "separators[0].points must have at least 2 values, not 1",
        ),
        (
            {"mstars": {"giants": {"separators": [SEPARATOR | {"points": [[8, 0.8], [12, 0.8]]}]}}},
            "separators[0].points[0] must have at least 3 values, not 2",
        ),
        ({"searches": []}, "config: searches must have at least 1 values, not 0 (which searches run)"),
        (
            {"searches": ["mstar"]},
            "config: paths[0] must be one of binaries, mstars, emission, bhb, not 'mstar'",
        ),
        (
            {"surveys": {"lamost-mrs": {"columns": "snrr"}}},
            "surveys.lamost-mrs.columns must be a list, not 'snrr'",
        ),
    ],
)
def test_wrong_settings_of_the_search_for_m_stars(
    config: dict[str, Any], change: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(SettingsError) as error:
        validate(merge(config, change), SCHEMA)
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "change",
    [
        {"mstars": {"catalog": {"probability": 0.1}, "search": {"probability": 0.1}}},
        {"mstars": {"hash": {"copies": 0, "copy_snr": [2, 2]}}},
        {"mstars": {"giants": {"separators": [SEPARATOR]}}},
        {"surveys": {UNKNOWN: {"kind": "sdss"}, LABELLED: {"kind": "sdss"}}},
        {"surveys": {"lamost-mrs": {"columns": ["mjd"]}}},
        {"searches": ["mstars"]},
    ],
)
def test_what_is_allowed(config: dict[str, Any], change: dict[str, Any]) -> None:
    validate(merge(config, change), SCHEMA)


@pytest.mark.parametrize(("path", "other"), [("binaries", "mstars"), ("mstars", "binaries")])
def test_a_search_that_does_not_run_needs_no_survey(config: dict[str, Any], path: str, other: str) -> None:
    change = {other: {"survey": "nope"}}
    validate(merge(config, change | {"searches": [path]}), SCHEMA)
    with pytest.raises(SettingsError, match=rf"{other}\.survey is 'nope'"):
        validate(merge(config, change), SCHEMA)


SHARES = {"labelled": {"shares": [0.7, 0.2, 0.2]}}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"labelled": {"survey": "nope"}}, "config: bhb.labelled.survey is 'nope', but surveys has: "),
        ({"surveys": ["sdss", "nope"]}, "config: bhb.surveys is 'nope', but surveys has: lamost-lrs, "),
        (
            {"labelled": {"survey": "lamost-lrs"}},
            "bhb.labelled.survey is 'lamost-lrs', and surveys.lamost-lrs has no cutouts to learn from",
        ),
        ({"surveys": ["lamost-mrs"]}, "bhb.surveys is 'lamost-mrs', whose kind is not lrs or sdss"),
        (SHARES, "config: bhb.labelled.shares are [0.7, 0.2, 0.2]: their sum must be 1"),
        ({"labelled": {"shares": [0.7, 0.3]}}, "bhb.labelled.shares must have at least 3 values, not 2"),
        ({"model": "btamm"}, "config: bhb.model must be one of "),
        ({"model": "spectrum"}, "config: bhb.model must be one of "),
        ({"compare": ["svn"]}, "config: bhb.compare[0] must be one of "),
        ({"preset": "small"}, "config: bhb.preset must be one of paper, tiny, not 'small'"),
        (
            {"purity": 1},
            "config: bhb.purity must be less than 1, not 1 (share of BHB stars in the catalogue)",
        ),
        (
            {"training": {"fusion": {"epoch": 1}}},
            "bhb.training.fusion.epoch is not a setting; did you mean epochs?",
        ),
        ({"surveys": []}, "config: bhb.surveys must have at least 1 values, not 0"),
    ],
)
def test_wrong_settings_of_the_search_for_bhb_stars(
    config: dict[str, Any], change: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(SettingsError) as error:
        validate(merge(config, {"bhb": change}), SCHEMA)
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)


def test_cutouts_need_a_template(config: dict[str, Any]) -> None:
    change = {"surveys": {"sdss": {"cutouts": {"root": "data"}}}}
    del config["surveys"]["sdss"]["cutouts"]
    with pytest.raises(
        SettingsError, match=r"surveys\.sdss\.cutouts\.path_template is missing \(path of an image"
    ):
        validate(merge(config, change), SCHEMA)


def test_spectra_without_images_can_be_searched_for_bhb_stars(config: dict[str, Any]) -> None:
    validate(merge(config, {"bhb": {"surveys": ["sdss", "lamost-lrs"]}}), SCHEMA)


def test_models_of_the_settings_are_those_of_the_library(config: dict[str, Any]) -> None:
    known = json.loads(SCHEMA.read_text())["properties"]["bhb"]["properties"]
    assert set(known["compare"]["items"]["enum"]) == {*NETWORKS, *BASELINES} == set(config["bhb"]["compare"])
    # What searches sees images.
    assert set(known["model"]["enum"]) == {*NETWORKS} - {*ENCODERS, "transformer-spectrum"}
    assert set(known["preset"]["enum"]) == set(PRESETS)
    for stage in config["bhb"]["training"].values():
        assert Settings(**stage)


def test_separators_that_ship_are_those_of_the_library(config: dict[str, Any]) -> None:
    assert separators(config["mstars"]["giants"]["separators"]) == SEPARATORS
    # Each has its column in the catalogue.
    assert {f"giant_{one.name}" for one in SEPARATORS} <= set(MSTARS.names)


def test_a_missing_setting_is_named(config: dict[str, Any]) -> None:
    del config["binaries"]["errors"]["n_copies"]
    with pytest.raises(
        SettingsError, match=r"binaries\.errors\.n_copies is missing \(noisy copies of a spectrum\)"
    ):
        validate(config, SCHEMA)


THREE_LINES = {"kind": "sdss", "root": "mine"}
DEFAULTS = {
    "path_template": None,
    "catalog": None,
    "selection": [],
    "columns": [],
    "cutouts": None,
    "partition": {"spectra_per_bundle": 20000, "level": "night"},
}


def complete(config: dict[str, Any], *files: dict[str, Any], arguments: list[str] | None = None) -> Any:
    settings = complete_settings(config, files, arguments or [], SCHEMA)
    validate(settings, SCHEMA)
    return settings


def test_a_survey_is_a_name_a_kind_and_a_root(config: dict[str, Any]) -> None:
    """Also where a survey of this name ships: nothing of that is left."""
    settings = complete(config, {"surveys": {"sdss": THREE_LINES}, "searches": ["binaries"]})
    assert settings["surveys"]["sdss"] == THREE_LINES | DEFAULTS
    assert settings["surveys"]["lamost-mrs"] == config["surveys"]["lamost-mrs"] | {
        "columns": [],
        "cutouts": None,
    }


def test_own_files_and_the_command_line_are_merged(config: dict[str, Any]) -> None:
    first = {"surveys": {"sdss": THREE_LINES}, "searches": ["binaries"]}
    second = {"surveys": {"sdss": {"partition": {"level": "spectrograph"}}}}
    settings = complete(config, first, second, arguments=["surveys={sdss: {root: other}}"])
    partition = DEFAULTS["partition"] | {"level": "spectrograph"}
    expected = THREE_LINES | DEFAULTS | {"root": "other", "partition": partition}
    assert settings["surveys"]["sdss"] == expected
    assert config == yaml.safe_load((ROOT / "config/config.yaml").read_text())


@pytest.mark.parametrize(
    ("argument", "key", "value"),
    [
        ("binaries={vote: {sb2_threshold: 0.9}}", "binaries.vote.sb2_threshold", 0.9),
        ("binaries={network: {learning_rate: 1e-4}}", "binaries.network.learning_rate", 1e-4),
        ("gpu=true", "gpu", True),
        ("gpu='true'", "gpu", True),
        ("gpu=False", "gpu", False),
        ("seed=7", "seed", 7),
        ("seed=1e3", "seed", 1000),
        ("seed='7'", "seed", 7),
        ("template_grid=null", "template_grid", None),
        ("template_grid=", "template_grid", None),
        ("template_grid=2023-01-01", "template_grid", "2023-01-01"),
        ("labels=007", "labels", "007"),
        ("labels=it's here: [", "labels", "it's here: ["),
        ("surveys={s: {kind: lrs, root: 1.10}}", "surveys.s.root", "1.10"),
        ("surveys={s: {kind: lrs, root: x, catalog: null}}", "surveys.s.catalog", None),
        ("surveys={2023: {kind: lrs, root: x}}", "surveys.2023.root", "x"),
        ("searches=[mstars]", "searches", ["mstars"]),
        ("bhb={runs: 2.0}", "bhb.runs", 2),
    ],
)
def test_values_of_the_command_line_get_the_type_of_the_setting(
    config: dict[str, Any], argument: str, key: str, value: Any
) -> None:
    found = complete(config, arguments=[argument])
    for part in key.split("."):
        found = found[part]
    assert found == value
    assert type(found) is type(value)


def test_cuts_of_the_command_line_are_numbers(config: dict[str, Any]) -> None:
    argument = 'surveys={s: {kind: mrs, root: x, selection: [{column: snr, op: ">=", value: 5}]}}'
    assert complete(config, arguments=[argument])["surveys"]["s"]["selection"][0]["value"] == 5


def test_numbers_that_yaml_takes_for_text_are_numbers(config: dict[str, Any]) -> None:
    written = yaml.safe_load("bhb: {training: {fusion: {learning_rate: 1e-5}}}")
    assert complete(config, written)["bhb"]["training"]["fusion"]["learning_rate"] == 1e-5


@pytest.mark.parametrize(
    ("argument", "sentence"),
    [
        ("gpu=maybe", "config: gpu must be true or false, not 'maybe'"),
        ("seed=many", "config: seed must be a whole number, not 'many'"),
        ("seed=1.5", "config: seed must be a whole number, not 1.5"),
        ("bnaries={vote: {sb2_threshold: 0.9}}", "config: bnaries is not a setting; did you mean binaries?"),
        (
            "binaries={vote: {sb2_treshold: 0.9}}",
            "vote.sb2_treshold is not a setting; did you mean sb2_threshold?",
        ),
        ("binaries=", "config: binaries must be a group of settings, not null"),
        (
            "binaries={ccf: {velocity_max: .inf}}",
            "config: binaries.ccf.velocity_max must be a number, not inf",
        ),
        ("surveys=", "config: surveys must be a group of settings, not null"),
        ("surveys={sdss: }", "config: surveys.sdss must be a group of settings, not null (a survey)"),
        (
            "surveys={sdss: {kind: sdss}}",
            "config: surveys.sdss.root is missing (folder that holds the spectra)",
        ),
        (
            "surveys={s: {kind: lr, root: x}}",
            "config: surveys.s.kind must be one of mrs, lrs, sdss, not 'lr'",
        ),
        ("labels={x}.csv", "config: labels is '{x}.csv': Snakemake takes braces in a path for a wildcard"),
        (
            "surveys={s: {kind: lrs, root: x}, s-index: {kind: lrs, root: x}}",
            "config: surveys.s-index: results/manifest/s-index.parquet is a table of the survey s",
        ),
    ],
)
def test_mistakes_on_the_command_line_are_named(config: dict[str, Any], argument: str, sentence: str) -> None:
    with pytest.raises(SettingsError) as error:
        complete(config, arguments=[argument])
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)


def test_triggers_that_are_off_are_named() -> None:
    assert missing_triggers(["mtime", "params", "input", "code", "software-env"]) is None
    assert missing_triggers(iter(["mtime", "params", "input", "code"])) is None
    warning = missing_triggers(["mtime"])
    assert warning is not None
    assert warning.startswith("rerun-triggers lacks params, input, code: ")


def test_what_a_file_says_twice_is_named(tmp_path: Path) -> None:
    file = tmp_path / "my.yaml"
    file.write_text("surveys:\n  s: {kind: lrs, root: x}\nseed: 1\nsurveys:\n  t: {kind: lrs, root: x}\n")
    with pytest.raises(
        SettingsError, match=r"my\.yaml: line 4: surveys is there twice, first in line 1; make it one"
    ):
        check_repeats(file)
    file.write_text("surveys:\n  s:\n    root: x\n    selection:\n      - op: in\n        op: '=='\n")
    with pytest.raises(SettingsError, match="line 6: op is there twice, first in line 5"):
        check_repeats(file)
    file.write_text("seed: 1\nemission: {survey: s, survey: t}\n")
    with pytest.raises(SettingsError, match="line 2: survey is there twice, first in line 2"):
        check_repeats(file)
    for text in ("surveys: {s: {root: x}, t: {root: x}}\nseed: 1\n", "", "{", "- 1"):
        file.write_text(text)
        check_repeats(file)
    for shipped in (ROOT / "config").glob("*.yaml"):
        check_repeats(shipped)
