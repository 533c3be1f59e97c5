"""Settings: defaults and what is made of them, values that are converted, mistakes that are named."""

import ast
from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import Any

import pytest
import yaml
from fixtures.settings import complete

from starsift.errors import SettingsError
from starsift.searches.bhb.baselines import BASELINES
from starsift.searches.bhb.encoders import PRESETS
from starsift.searches.bhb.settings import Settings as BhbSettings
from starsift.searches.bhb.training import ENCODERS, NETWORKS, TrainingOptions
from starsift.searches.mstars.columns import MSTARS
from starsift.searches.mstars.luminosity import separators
from starsift.searches.mstars.model import METHODS
from starsift.searches.mstars.settings import Hash
from starsift.searches.registry import SEARCHES
from starsift.settings import check_file, complete_settings, default_settings, missing_triggers, read_lines
from starsift.settings_base import choices_of
from starsift.survey.readers.registry import READERS
from starsift.survey.settings import KINDS, Partition

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    "names", [["demo"], ["demo", "bhb-tables"], ["demo", "bhb-tables", "bhb-paper"]], ids="-".join
)
def test_every_config_that_ships_is_valid(names: list[str]) -> None:
    paths = [ROOT / f"config/{name}.yaml" for name in names]
    settings = complete_settings({path: yaml.safe_load(path.read_text()) for path in paths})
    assert ("simulate" in settings) == ("demo" in names)


def test_only_what_is_simulated_is_in_the_settings() -> None:
    sdss = {"seed": 1, "n_labelled": 10, "n_pool": 10, "size": 32}
    assert complete({"simulate": {"sdss": sdss}})["simulate"] == {"sdss": sdss}
    assert "simulate" not in complete()


SDSS, MRS = {"kind": "sdss", "root": "x"}, {"kind": "mrs", "root": "x"}
UNKNOWN, LABELLED = "lamost-lrs-unknown", "lamost-lrs-labelled"
SEPARATORS, SURVEY = "mstars.giants.separators", "bhb.labelled.survey"
POINTS = [[8, 0.8, 0.9], [12, 0.8, 1.0]]
SEPARATOR = {"name": "h_jk", "evidence": "photometry", "x": "h", "y": "j-k", "points": POINTS, "scatter": 0.1}


def nest(key: str, value: Any) -> dict[str, Any]:
    """The settings in which this one differs."""
    for part in reversed(key.split(".")):
        value = {part: value}
    return value


def value_of(found: Any, key: str) -> Any:
    for part in key.split("."):
        found = found[int(part) if isinstance(found, list) else part]
    return found


def cut(**changes: Any) -> dict[str, Any]:
    """A survey with a cut."""
    return MRS | {"selection": [{"column": "snr", "op": "=="} | changes]}


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        ("binaries.ccf.velocity_stpe", 1, "~ is not a setting; did you mean velocity_step?"),
        ("binaries.ccf.zzz", 1, "~ is not a setting; binaries.ccf has: "),
        ("sed", 1, "~ is not a setting; did you mean seed?"),
        ("seed", "x", "~ must be a whole number, not 'x' (seed of every random number)"),
        ("seed", -1, "~ must be at least 0, not -1"),
        ("binaries.vote.sb2_threshold", 1.5, "~ must be at most 1, not 1.5"),
        ("binaries.ccf.velocity_step", 0, "~ must be more than 0, not 0"),
        ("binaries.ccf.wavelength_range", [1], "wavelength_range must have at least 2 values, not 1"),
        ("binaries.ccf.wavelength_range", [5, 4], "~ must ascend, not 5 to 4"),
        ("binaries.ccf.wavelength_range", [5, 5], "~ must ascend, not 5 to 5"),
        ("binaries.orbits.period", [5, 5], "~ must ascend, not 5 to 5"),
        ("binaries.orbits.period", [5, 2.5], "~ must ascend, not 5 to 2.5"),
        ("binaries.orbits.period", [-5, 5], "~[0] must be more than 0, not -5"),
        ("binaries.training.snr", [5, 4], "~ must ascend, not 5 to 4"),
        ("binaries.training.delta_rv", [90, 60], "~ must ascend, not 90 to 60"),
        ("binaries.training.delta_rv", [80, 80], "~ must ascend, not 80 to 80"),
        ("binaries.injection.teff", [7500, 3500, 250], "~ must ascend from first to last, not 7500 to 3500"),
        ("mstars.hash.copy_snr", [4, 0.7], "~ must ascend, not 4 to 0.7"),
        ("binaries.survey", "nope", "~ is 'nope', but surveys has: lamost-lrs, "),
        ("binaries.peaks.sigma_max", 2, "~ (2) is below sigma_start (13)"),
        ("surveys.lamost-mrs.kind", "mr", "~ must be one of mrs, lrs, sdss, not 'mr'"),
        ("surveys.lamost-mrs", SDSS, "binaries.survey is 'lamost-mrs', whose kind is not mrs"),
        ("surveys.mine.kind", "mrs", "surveys.mine.root is missing (folder that holds the spectra)"),
        ("surveys.my survey", {}, "~: a name here has only letters, digits and hyphens"),
        (
            "surveys.s",
            cut(op="=>", value=5),
            "selection[0].op must be one of ==, !=, <, <=, >, >=, in, not in, not '=>'",
        ),
        ("mstars.surveys", ["nope"], "~ is 'nope', but surveys has: lamost-lrs, lamost-lrs-labelled, "),
        ("mstars.labelled", "nope", "~ is 'nope', but surveys has: "),
        (
            "mstars.surveys",
            ["lamost-mrs"],
            "~ is 'lamost-mrs', whose kind is not lrs or sdss: the search needs",
        ),
        ("mstars.labelled", "lamost-mrs", "~ is 'lamost-mrs', whose kind is not lrs or sdss"),
        (
            "mstars.surveys",
            [LABELLED],
            f"~ has '{LABELLED}', from which mstars learns; take it out of one",
        ),
        ("mstars.search.probability", 0.6, "mstars.catalog.probability (0.5) is below ~ (0.6): candi"),
        ("mstars.hash.bits", 100, "~ must be one of 32, 64, 128, 256, not 100"),
        (SEPARATORS, [], "~ must have at least 1 value, not 0 (lines between giants and dwarfs)"),
        (
            SEPARATORS,
            [SEPARATOR | {"name": "mine"}],
            "~[0].name must be one of h_jk, caoh_cah1, jk_w1w2, cah23_tio5, not 'mine'",
        ),
        (
            SEPARATORS,
            [SEPARATOR, SEPARATOR | {"evidence": "colour"}],
            "~[1].evidence must be one of photometry, indices, not 'colour'",
        ),
        (SEPARATORS, [SEPARATOR | {"points": [[8, 1]]}], "~[0].points[0] must have at least 3 values, not 2"),
        ("searches", [], "~ must have at least 1 value, not 0 (searches to run)"),
        ("searches", ["mstar"], "~[0] must be one of binaries, mstars, emission, bhb, not 'mstar'"),
        ("surveys.lamost-mrs", MRS | {"columns": "snrr"}, "~.columns must be a list, not 'snrr'"),
        (SURVEY, "nope", "~ is 'nope', but surveys has: "),
        ("bhb.surveys", ["sdss", "nope"], "~ is 'nope', but surveys has: lamost-lrs, "),
        (SURVEY, "lamost-lrs", "~ is 'lamost-lrs', and surveys.lamost-lrs has no cutouts to learn from"),
        ("bhb.surveys", ["lamost-mrs"], "~ is 'lamost-mrs', whose kind is not lrs or sdss"),
        ("bhb.labelled.shares", [0.7, 0.2, 0.2], "~ are [0.7, 0.2, 0.2]: their sum must be 1"),
        ("bhb.model", "spectrum", "~ must be one of "),
        ("bhb.preset", "small", "~ must be one of paper, tiny, not 'small'"),
        ("bhb.purity", 1, "~ must be less than 1, not 1 (fraction of BHB stars that the catalogue should ha"),
        ("seed", True, "~ must be a whole number, not True"),
        ("binaries", 3, "not 3 (double- and triple-lined spectroscopic binaries (Li et al. 2023))"),
        ("gpu", 1, "~ must be true or false, not 1"),
        ("labels", 1.5, "~ must be text, not 1.5"),
        ("template_grid", 5, "~ must be text or null, not 5"),
        ("searches", ["bhb", "bhb"], "~ has 'bhb' twice; make it one"),
        ("bhb.compare", ["svm", "svm"], "~ has 'svm' twice; make it one"),
        ("simulate", {}, "~ is empty"),
        ("simulate.sdss.seed", 1, "simulate.sdss.n_labelled is missing (spectra with a label)"),
        ("surveys.s", cut(), "~.selection[0].value is missing"),
        (
            "surveys.s",
            cut(value=None),
            "~.selection[0].value must be text, a number, true, false or a list, not null",
        ),
        (
            "surveys.s",
            SDSS | {"cutouts": {"root": "x"}},
            "~.cutouts.path_template is missing (path of an",
        ),
        ("paths", ["bhb"], "~ is now called searches; rename it"),
        ("bhb.catalog.match_radius", float("nan"), "~ must be a number, not nan"),
        ("bhb.catalog.match_radius", float("inf"), "~ must be a number, not inf"),
        ("mstars.hash.bits", float("nan"), "~ must be one of 32, 64, 128, 256, not nan"),
        ("mstars.hash.bits", float("inf"), "~ must be one of 32, 64, 128, 256, not inf"),
        *(
            ("surveys.s", cut(op=op, value=value), f"~.selection[0].value must be {sentence}")
            for op, value, sentence in [
                ("in", 5, "a list for the operator in, not 5"),
                ("<", [5], "one value for the operator <, not [5]"),
                ("in", [[5]], "text, a number, true, false or a list, not [5]"),
                ("<", float("nan"), "text, a number, true, false or a list, not nan"),
            ]
        ),
        (
            "surveys.s",
            SDSS | {"path_template": "{fiberid"},
            "~.path_template '{fiberid': expected '}' before",
        ),
        ("surveys.s", SDSS | {"path_template": "x"}, "~.path_template 'x' gives all spectra one file; name"),
        ("surveys.s", SDSS | {"root": ""}, "~.root is empty; give a path"),
        ("bhb.catalog.magnitude", "psfmag_g", "~ is 'psfmag_g', one column for all bands; write {band} for"),
    ],
)
def test_a_wrong_setting_is_named(key: str, value: Any, sentence: str) -> None:
    with pytest.raises(SettingsError) as error:
        complete(nest(key, value))
    assert sentence.replace("~", key) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "change",
    [
        {"mstars": {"catalog": {"probability": 0.1}, "search": {"probability": 0.1}}},
        {"mstars": {"hash": {"copies": 0, "copy_snr": [2, 2]}}},
        {"binaries": {"training": {"snr": [20, 20]}}},
        {"binaries": {"injection": {"teff": [5000, 5000, 250]}}},
        {"mstars": {"giants": {"separators": [SEPARATOR]}}},
        {"surveys": {UNKNOWN: SDSS, LABELLED: SDSS}},
        {"surveys": {"lamost-mrs": MRS | {"columns": ["mjd"]}}},
        {"bhb": {"surveys": ["sdss", "lamost-lrs"]}},  # the second without images
        {"searches": ["mstars"]},
    ],
)
def test_what_is_allowed(change: dict[str, Any]) -> None:
    complete(change)


@pytest.mark.parametrize(("path", "other"), [("binaries", "mstars"), ("mstars", "binaries")])
def test_a_search_that_does_not_run_needs_no_survey(path: str, other: str) -> None:
    change = {other: {"surveys": ["nope"]} if other == "mstars" else {"survey": "nope"}}
    complete(change | {"searches": [path]})
    with pytest.raises(SettingsError, match=rf"{other}\.surveys? is 'nope'"):
        complete(change)


def test_choices_are_those_of_the_library() -> None:
    known = {name: choices_of(field) for name, field in BhbSettings.model_fields.items()}
    assert set(known["compare"]) == {*NETWORKS, *BASELINES} == set(default_settings()["bhb"]["compare"])
    # What searches sees images.
    assert set(known["model"]) == {*NETWORKS} - {*ENCODERS, "transformer-spectrum"}
    assert set(known["preset"]) == set(PRESETS)
    assert set(choices_of(Hash.model_fields["method"])) <= set(METHODS)
    for stage in default_settings()["bhb"]["training"].values():
        assert TrainingOptions(**stage)


def test_kinds_of_surveys_have_readers() -> None:
    assert set(KINDS) == {reader.kind for reader in READERS} - {"ondrejov"}
    assert {kind for search in SEARCHES.values() for kind in search.kinds} <= set(KINDS)


def test_default_separators_have_columns_in_the_catalogue() -> None:
    found = separators(default_settings()["mstars"]["giants"]["separators"])
    assert len(found) == 4
    assert {f"giant_{one.name}" for one in found} <= set(MSTARS.names)


THREE_LINES = {"kind": "sdss", "root": "mine"}
DEFAULTS = {
    "path_template": None,
    "catalog": None,
    "selection": [],
    "columns": [],
    "cutouts": None,
    "partition": {"spectra_per_bundle": 20000, "level": "night"},
}


def test_a_survey_is_a_name_a_kind_and_a_root() -> None:
    """Also where a survey of this name ships: nothing of that is left."""
    settings = complete({"surveys": {"sdss": THREE_LINES}, "searches": ["binaries"]})
    assert settings["surveys"]["sdss"] == THREE_LINES | DEFAULTS
    assert settings["surveys"]["lamost-mrs"] == default_settings()["surveys"]["lamost-mrs"]


def test_own_files_and_the_command_line_are_merged() -> None:
    first = {"surveys": {"sdss": THREE_LINES}, "searches": ["binaries"]}
    second = {"surveys": {"sdss": {"partition": {"level": "spectrograph"}}}}
    settings = complete(first, second, arguments=("surveys={sdss: {root: other}}",))
    partition = DEFAULTS["partition"] | {"level": "spectrograph"}
    expected = THREE_LINES | DEFAULTS | {"root": "other", "partition": partition}
    assert settings["surveys"]["sdss"] == expected
    assert first == {"surveys": {"sdss": THREE_LINES}, "searches": ["binaries"]}


CUT = "surveys.s.selection.0.value"


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
        ("surveys={s: {kind: lrs, root: x, selection: [{column: a, op: <, value: 5}]}}", CUT, 5),
    ],
)
def test_values_of_the_command_line_get_the_type_of_the_setting(argument: str, key: str, value: Any) -> None:
    found = value_of(complete(arguments=(argument,)), key)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("argument", "sentence"),
    [
        ("gpu=maybe", "gpu must be true or false, not 'maybe'"),
        ("seed=many", "seed must be a whole number, not 'many'"),
        ("labels=null", "labels must be text, not null"),
        ("surveys={s: {kind: lrs, root: x, root: y}}", "--config, line 1: root is there twice"),
        ("seed=1.5", "seed must be a whole number, not 1.5"),
        ("bnaries={vote: {sb2_threshold: 0.9}}", "bnaries is not a setting; did you mean binaries?"),
        ("binaries={vote: {sb2_treshold: 1}}", "vote.sb2_treshold is not a setting; did you mean sb2_thresh"),
        ("binaries=", "binaries must be a group of settings, not null"),
        ("binaries={ccf: {velocity_max: .inf}}", "binaries.ccf.velocity_max must be a number, not inf"),
        ("surveys=", "surveys must be a group of settings, not null"),
        ("surveys={sdss: }", "surveys.sdss must be a group of settings, not null (a survey)"),
        ("surveys={sdss: {kind: sdss}}", "surveys.sdss.root is missing (folder that holds the spectra)"),
        ("surveys={s: {kind: lr, root: x}}", "surveys.s.kind must be one of mrs, lrs, sdss, not 'lr'"),
        ("labels={x}.csv", "labels is '{x}.csv': Snakemake takes braces in a path for a wildcard"),
        (
            "surveys={s: {kind: lrs, root: x}, s-index: {kind: lrs, root: x}}",
            "surveys.s-index: results/manifest/s-index.parquet is a table of the survey s",
        ),
    ],
)
def test_mistakes_on_the_command_line_are_named(argument: str, sentence: str) -> None:
    with pytest.raises(SettingsError) as error:
        complete(arguments=(argument,))
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)


def test_triggers_that_are_off_are_named() -> None:
    assert missing_triggers(["mtime", "params", "input", "code", "software-env"]) is None
    assert missing_triggers(iter(["mtime", "params", "input", "code"])) is None
    warning = missing_triggers(["mtime"])
    assert warning is not None
    assert warning.startswith("rerun-triggers lacks params, input, code: ")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"# nothing", ": it holds no settings; write lines such as seed: 7"),
        (b"- seed", ": it holds ['seed'], which is no group of settings"),
        (b"bhb:\n\tpurity: 1", ", line 2, column 1: this is not YAML (found character '\\t'"),
        (b"seed: [1", ", line 1, column 9: this is not YAML ("),
        (b"seed: 2023-13-01", ": this is not YAML (month must be in 1..12"),
        (b"seed: 1\nlabels: \xe9", ", line 2: this is not UTF-8; save the file as UTF-8"),
        (b"bhb: &a\n  bhb: *a", ": a group of settings is inside itself, by an anchor (&)"),
        (b"seed: 1\nseed: 2", ", line 2: seed is there twice, first in line 1"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, content: bytes, sentence: str) -> None:
    file = tmp_path / "my.yaml"
    file.write_bytes(content)
    with pytest.raises(SettingsError) as error:
        check_file(file)
    assert f"my.yaml{sentence}" in str(error.value)
    file.write_text('{\n\t"seed": 1}')  # JSON may have tabs
    check_file(file)


def test_what_a_file_says_twice_is_named(tmp_path: Path) -> None:
    file, survey = tmp_path / "my.yaml", "{kind: lrs, root: x}"
    for text, message in (
        (
            f"surveys:\n  s: {survey}\nseed: 1\nsurveys:\n  t: {survey}\n",
            r"my\.yaml, line 4: surveys is there twice, first in line 1; make it one",
        ),
        (
            "surveys:\n  s:\n    root: x\n    selection:\n      - op: in\n        op: '=='\n",
            "line 6: op is there twice, first in line 5",
        ),
        ("seed: 1\nemission: {survey: s, survey: t}\n", "line 2: survey is there twice, first in line 2"),
    ):
        file.write_text(text)
        with pytest.raises(SettingsError, match=message):
            read_lines(file)
    for text in ("surveys: {s: {root: x}, t: {root: x}}\nseed: 1\n", "", "{", "- 1"):
        file.write_text(text)
        read_lines(file)
    for shipped in (ROOT / "config").glob("*.yaml"):
        read_lines(shipped)


def test_a_mistake_is_named_with_its_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    base, over = tmp_path / "base.yaml", tmp_path / "over.yaml"
    base.write_text(
        "# Mine.\nseed: 1\nbinaries: &b\n  ccf:\n    velocity_max: 100\nsurveys:\n  s: {kind: lrs}\n"
    )
    over.write_text("seed: x\nbinaries:\n  errors:\n    components:\n      - 1\n      - 0\n")

    def message(*paths: Path, arguments: tuple[str, ...] = ()) -> str:
        with pytest.raises(SettingsError) as error:
            complete_settings({path: yaml.safe_load(path.read_text()) for path in paths}, arguments)
        return str(error.value)

    assert message(base).startswith("base.yaml, line 7: surveys.s.root is missing")
    assert message(base, over).startswith("over.yaml, line 1: seed must be a whole number, not 'x'")
    root = "surveys={s: {root: x}}"
    zero = "over.yaml, line 6: binaries.errors.components[1] must be at least 1, not 0"
    assert message(base, over, arguments=(root, "seed=2")).startswith(zero)
    assert message(base, arguments=(root, "seed=-2")).startswith("--config: seed must be at least 0, not -2")
    below = "--config: binaries.peaks.sigma_max (1) is below sigma_start (13)"
    assert message(base, arguments=(root, "binaries={peaks: {sigma_max: 1}}")).startswith(below)
    # A survey of which nothing but its kind was said, in the file.
    mine = message(base, arguments=(root, "binaries={survey: s}"))
    assert mine.startswith("--config: binaries.survey is 's', whose kind is not mrs")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert message(base).startswith(f"{base}, line 7: ")


def test_lines_of_groups_that_are_merged_in(tmp_path: Path) -> None:
    file = tmp_path / "my.yaml"
    file.write_text("a: &x\n  b: 1\n  c: 1\nd:\n  c: 2\n  <<: *x\ne: *x\n")
    lines = read_lines(file)
    assert (lines["d", "b"], lines["d", "c"], lines["e", "b"]) == (2, 5, 2)
    file.write_text('{"seed": 1,\n "bhb": {"surveys": ["a",\n "b"]}}')
    assert read_lines(file)["bhb", "surveys", 1] == 3


def test_paths_may_begin_at_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    survey = {"kind": "lrs", "root": "~/{odd}", "catalog": "~/c.fits"}
    found = complete({"surveys": {"s": survey}, "labels": "~/l.csv", "template_grid": "~/g.parquet"})
    assert (found["labels"], found["template_grid"]) == ("/home/me/l.csv", "/home/me/g.parquet")
    survey = found["surveys"]["s"]
    assert (survey["root"], survey["catalog"]) == ("/home/me/{odd}", "/home/me/c.fits")


@pytest.mark.parametrize(
    ("key", "given", "value"),
    [
        ("binaries.ccf.velocity_step", 2, 2),
        ("binaries.ccf.velocity_step", 2.0, 2.0),
        ("binaries.injection.teff", [4000, 6000.0, 1000], [4000, 6000.0, 1000]),
        ("mstars.hash.bits", 64.0, 64),
        ("emission.rounds.last_night", "58000", 58000),
        ("bhb.training.fusion.learning_rate", "1e-5", 1e-5),  # which YAML takes for text
    ],
)
def test_integers_stay_integers(key: str, given: Any, value: Any) -> None:
    """What is computed with them, and digests of the settings, would differ."""
    assert repr(value_of(complete(nest(key, given)), key)) == repr(value)


SCRIPTS = sorted((ROOT / "workflow/scripts").glob("*/*.py"))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_function_that_takes_settings_repeats_no_default(script: Path) -> None:
    shipped = default_settings().get(script.parent.name, {})
    groups = [group for group in shipped.values() if isinstance(group, dict)]
    keys = {*shipped, *(key for group in groups for key in group), *Partition.model_fields}
    nodes = list(ast.walk(ast.parse(script.read_text())))
    imports = (node for node in nodes if isinstance(node, ast.ImportFrom))
    modules = {name.name: node.module for node in imports for name in node.names if "starsift" in node.module}
    calls = (node for node in nodes if isinstance(node, ast.Call) and isinstance(node.func, ast.Name))
    for call in calls:
        if any(keyword.arg is None for keyword in call.keywords) and call.func.id in modules:
            function = getattr(import_module(modules[call.func.id]), call.func.id)
            parameters = signature(function).parameters.values()
            assert not {one.name for one in parameters if one.default is not one.empty} & keys, call.func.id
