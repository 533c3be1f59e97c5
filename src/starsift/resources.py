"""Files that come with starsift: templates, definitions, vocabularies, rules and scripts of the workflow.

In a checkout they are at the top level; in a wheel they are inside the package.
"""

import csv
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from starsift.errors import InputError

WORKFLOW_FILES = "workflow_files"  # their folder in a wheel


def workflow_root() -> Path:
    """The folder that holds Snakefile, workflow/, config/, profiles/ and resources/."""
    package = Path(str(files("starsift")))
    inside = package / WORKFLOW_FILES
    return inside if inside.is_dir() else package.parents[1]


def resource(name: str) -> Path:
    """A file of resources/, such as "templates/grid.parquet"."""
    return workflow_root() / "resources" / name


def read_rows(file: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """Rows of a table (CSV) that must have these columns; InputError names those that are missing."""
    with file.open(newline="") as stream:
        reader = csv.DictReader(stream)
        missing = [name for name in columns if name not in (reader.fieldnames or [])]
        if missing:
            raise InputError(f"{file}: no column {', '.join(missing)}")
        return list(reader)
