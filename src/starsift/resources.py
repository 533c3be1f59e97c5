"""Files that come with starsift: templates, definitions, vocabularies, rules and scripts of the workflow.

In a checkout they are at the top level; in a wheel they are inside the package.
"""

from importlib.resources import files
from pathlib import Path

WORKFLOW_FILES = "workflow_files"  # their folder in a wheel


def workflow_root() -> Path:
    """The folder that holds Snakefile, workflow/, config/, profiles/ and resources/."""
    package = Path(str(files("starsift")))
    inside = package / WORKFLOW_FILES
    return inside if inside.is_dir() else package.parents[1]


def resource(name: str) -> Path:
    """A file of resources/, such as "templates/grid.parquet"."""
    return workflow_root() / "resources" / name
