# What all rule files share: checked settings, and the few functions that rules call. Logic lives in the library.
import functools
import os
import re
import shlex
from pathlib import Path

from snakemake.common.configfile import load_configfile
from snakemake.exceptions import WorkflowError
from snakemake.logging import logger

from starsift.io.files import atomic_path
from starsift.catalog.columns import PRODUCTS
from starsift.catalog.provenance import checksum, package_fingerprint, script_fingerprint
from starsift.errors import StarsiftError
from starsift.settings import SettingsError, complete_settings, missing_triggers
from starsift.learning.labels import check_labels, label_digest, read_labels
from starsift.learning.model_sets import (
    RECORD,
    TRAIN,
    check_bound,
    find_model_set,
    read_model_set,
    settings_of,
)
from starsift.searches.registry import SEARCHES, report_categories

ROOT = Path(workflow.basedir)

# The user's files and arguments: Snakemake itself takes all values of --config for text.
user_settings = workflow.config_settings
try:
    settings = complete_settings(
        {path: load_configfile(path) for path in user_settings.configfiles}, user_settings.config_args
    )
except SettingsError as error:
    raise WorkflowError(str(error)) from None
config.clear()
config.update(settings)
# Snakemake passes them on to each job with Python's quotes, which are not those of a shell: it's, $.
user_settings.config_args = [shlex.quote(argument) for argument in user_settings.config_args]

SEARCHED = config["searches"]
SIMULATED = "simulate" in config
LABELS = config["labels"]
RESOURCES = Path(os.path.relpath(ROOT / "resources"))
GRID = config["template_grid"] or str(RESOURCES / "templates" / "grid.parquet")
GPU = int(config["gpu"])
CATEGORIES = report_categories(SEARCHED)
# Only simulated surveys have a truth to be scored against.
SCORES = [f"{search}_score" for search in SEARCHED] if SIMULATED else []
# What each search adds for its provenance: the surveys that it uses, and files from outside by name.
SURVEYS_OF = {}
# The surveys in which a search looks for stars, where it uses others to learn from.
POOL_OF = {}
INPUTS_OF = {}
# Searches whose results rest on labels even where these are simulated.
READ_LABELS = set()


wildcard_constraints:
    # None but these: real-index.parquet is the index of real, not the manifest of a survey real-index.
    survey="|".join(config["surveys"]),
    bundle=r"[A-Za-z0-9_-]+",


def code(script):
    """Fingerprint of the library modules that a script imports, and of all that they import: a rule reruns when one
    of them is edited. Where a job's messages go decides nothing."""
    return script_fingerprint(ROOT / "workflow" / "scripts" / f"{script}.py", without=["starsift.logs"])


def survey(key):
    """A setting of the survey that a job's wildcard names, as a function for `params`."""
    return lambda wildcards: config["surveys"][wildcards.survey][key]


def is_simulated(path):
    """Whether the workflow itself simulates this file or folder."""
    return SIMULATED and Path(path).parts[:2] == ("results", "simulated")


def simulated_output(root, name):
    """The output `name` of the rule that simulates a folder; the files of real surveys are no rule's output."""
    return (
        getattr(getattr(rules, f"simulate_{Path(root).parts[2]}").output, name) if is_simulated(root) else []
    )


def simulated_files(wildcards):
    """Simulated spectra are remade with their survey."""
    return simulated_output(survey("root")(wildcards), "spectra")


def external_input(path):
    """A file or folder from outside, as an input. Where it is not there, as on a fresh checkout, a dry run still shows
    the plan, and the job that reads the file says that it is missing: were it an input all the same, Snakemake would
    be content with what was made of another file. A folder with braces in its name is not watched: Snakemake would
    take them for a wildcard."""
    if is_simulated(path) or Path(path).exists():
        return path if "{" not in path else []
    if workflow.is_rule("all"):  # the rules are all read: a job of the plan needs it
        warn_once(f"{path}: no such file or folder; the job that reads it will stop the run")
    return []


@functools.cache
def warn_once(message):
    if workflow.is_main_process:
        logger.warning(message)


# A store begins with the first label; a table that is named must be there.
if Path(LABELS).suffix != ".sqlite" and not is_simulated(LABELS) and not Path(LABELS).exists():
    raise WorkflowError(f"config: labels is {LABELS!r}: no such file")

if workflow.is_main_process:
    try:
        check_labels(LABELS, SEARCHES, SEARCHED)
    except ValueError as error:
        raise WorkflowError(f"config: labels: {error}") from None


def label_digest_for(search):
    """A digest of the labels of a search, for `params`: labels of other searches rerun nothing."""
    return lambda wildcards: label_digest(
        read_labels(LABELS, SEARCHES[search], strict=False, missing_ok=True)
    )


def warn_of_missing_triggers():
    """Say which rerun triggers are off. Snakemake knows them only when it has read all rules."""
    if warning := missing_triggers(trigger.item_to_choice() for trigger in workflow.rerun_triggers):
        warn_once(warning)


onstart:
    warn_of_missing_triggers()


def catalog_of(name):
    """The survey's catalogue, or the index that stands in for one."""
    warn_of_missing_triggers()  # here for a dry run, which does not start
    external_input(config["surveys"][name]["root"])  # warns where it is not there
    path = config["surveys"][name]["catalog"]
    if path is None:
        return f"results/manifest/{name}-index.parquet"
    return external_input(path)


def bundles(name):
    """The bundles of a survey; known once its manifest is made."""
    folder = checkpoints.manifest.get(survey=name).output.bundles
    return sorted(path.stem for path in Path(folder).glob("*.parquet"))


def each_bundle(pattern, *names):
    """An input function: `pattern` for every bundle of the surveys `names`, or of the one that the wildcard names."""

    def files(wildcards):
        return [
            path
            for name in names or [wildcards.survey]
            for path in expand(pattern, **{**dict(wildcards), "survey": name, "bundle": bundles(name)})
        ]

    return files


def content(pattern):
    """A digest of a job's file, for `params`: other content runs the job again, another time of writing does not. A
    function of wildcards: Snakemake compares none that also takes the job's input."""

    def digest_of_file(wildcards):
        path = Path(pattern.format(**wildcards))
        return checksum(path) if path.exists() else None

    return digest_of_file


def trains(search):
    """Whether a search learns in this run; else it has a model set."""
    return config[search]["models"] == TRAIN


def of_training(search, files):
    """Inputs that only a run in which the search learns has."""
    return files if trains(search) else []


def model_files(search, trained):
    """What a search learnt, by the names of the files in a model set: `trained`, which are outputs of this run, or
    those of the set that the settings name. Rules read single files, so that each reruns what depends on it alone.
    """
    if trains(search):
        return trained
    try:
        folder = find_model_set(config[search]["models"], search)
        if workflow.is_main_process:  # jobs read what it has checked
            record = read_model_set(folder, search, SEARCHES[search].models)
            check_bound(record, config[search], SEARCHES[search].bound)
    except StarsiftError as error:
        raise WorkflowError(f"config: {error}") from None
    return {name: os.path.relpath(folder / name) for name in trained}


def model_set(search):
    """The files of a run's model set, without the record."""
    return [f"results/{search}/model_set/{name}" for name in SEARCHES[search].models]


def made_set(search):
    """Where a run's model set comes from, for `params`: training with these settings, or another set."""
    return {
        "search": search,
        "source": config[search]["models"],
        "settings": (
            {"seed": config["seed"]} | settings_of(config[search], SEARCHES[search].learning)
            if trains(search)
            else set_digest(search)
        ),
    }


def set_digest(search):
    """The digest of the model set that the settings name, None: the search learns. A set that was copied over another
    may be older than the results of that."""
    return None if trains(search) else checksum(find_model_set(config[search]["models"], search) / RECORD)


def figures(search, *names):
    """Figures and pages of a search as items of the report, by name; those of training only where it learns."""
    declared = SEARCHES[search]
    return {
        name: figure(search, name)
        for name in names
        if trains(search) or not declared.figure(name).of_training
    }


def figure(search, name):
    """A figure or page of a search as an item of the report."""
    declared = SEARCHES[search].figure(name)
    caption = ROOT / "workflow" / "report" / search / f"{name}.rst"
    return report(
        f"results/figures/{search}/{name}.{declared.suffix}",
        caption=f"../report/{search}/{name}.rst" if caption.exists() else None,
        category=CATEGORIES[f"{search}/{declared.section}"],
        labels={"figure": declared.title},
    )


def scorecard(search):
    """A scorecard as an item of the report."""
    return report(
        f"results/scorecards/{search}.txt",
        caption=f"../report/{search}/scorecard.rst",
        category=CATEGORIES["scores"],
        labels={"figure": SEARCHES[search].title},
    )


def report_text():
    """The first page of the report: a paragraph for each search, written where Snakemake keeps its records."""
    folder = ROOT / "workflow" / "report"
    paragraphs = [
        (
            text.read_text()
            if (text := folder / search / "search.rst").exists()
            else f"**{SEARCHES[search].title}**, after {SEARCHES[search].reference}.\n"
        )
        for search in SEARCHED
    ]
    text = (folder / "workflow.rst").read_text().replace("SEARCHES\n", "\n".join(paragraphs))
    summary = Path("results/summary.rst")  # of the last run; {{ }} in it are none of Jinja's
    if summary.is_file():
        text = "\n".join((text, "{% raw %}", summary.read_text(), "{% endraw %}", ""))
    path = Path(".snakemake") / "starsift-report.rst"
    if not path.exists() or path.read_text() != text:
        with atomic_path(path) as draft:
            draft.write_text(text)
    return str(path.absolute())


REPORT_TEXT = (
    report_text() if workflow.is_main_process else str(ROOT / "workflow" / "report" / "workflow.rst")
)
