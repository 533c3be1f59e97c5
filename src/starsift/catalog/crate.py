"""A run as a Workflow Run RO-Crate: catalogues, settings, model sets, workflow, and what made them.

Sources: Workflow Run Crate 0.5 (https://w3id.org/ro/wfrun/workflow/0.5), RO-Crate 1.1.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starsift.catalog.provenance import Check, read_record, verify
from starsift.errors import InputError, ResultsError
from starsift.resources import workflow_root

if TYPE_CHECKING:
    from rocrate.rocrate import ROCrate

_PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5": "Process Run Crate",
    "https://w3id.org/ro/wfrun/workflow/0.5": "Workflow Run Crate",
    "https://w3id.org/workflowhub/workflow-ro-crate/1.0": "Workflow RO-Crate",
}
_TERMS = "https://w3id.org/ro/terms/workflow-run/context"  # sha256 and others
_FORMATS = {
    "parquet": "application/vnd.apache.parquet",
    "fits": "application/fits",
    "vot": "application/x-votable+xml",
    "csv": "text/csv",
    "dat": "text/plain",
    "txt": "text/plain",
    "json": "application/json",
    "html": "text/html",
}
SETTINGS = "settings.json"


def write_crate(
    results: str | os.PathLike[str], folder: str | os.PathLike[str], *, name: str, licence: str, author: str
) -> Path:
    """Write a finished run as a crate that others can read, check and run again.

    The crate holds the catalogues, provenance.json, report.html where there is one, the model sets that the
    searches used, the workflow, and all settings as settings.json, with which `starsift run` makes the
    catalogues again. Inputs from outside are named with their checksums, not copied. Its files are those of
    the run, byte for byte; `ro-crate-metadata.json` has today's date.

    Parameters
    ----------
    results : folder of the run, with provenance.json
    folder : to write, which must not exist
    name, author : of the published data
    licence : of the data, an SPDX name such as "CC-BY-4.0" or an address

    Returns the folder. Raises InputError: it exists. ResultsError: there is no provenance.json, or a
    catalogue is not the one that it records.
    """
    results, folder = Path(results), Path(folder)
    if folder.exists():
        raise InputError(f"{folder}: it exists; name a new folder")
    record = read_record(results / "provenance.json")
    if other := [check for check in verify(results) if check.role == "output" and check.status != "ok"]:
        raise ResultsError(f"{results / other[0].name}: {_reason(other[0])}; run the workflow again")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".crate-") as temporary:
        whole = Path(temporary) / folder.name
        _describe(record, results, Path(temporary), name, licence, author).write(whole)
        whole.replace(folder)
    return folder


def _reason(check: Check) -> str:
    return "no such file" if check.status == "missing" else "not the file that provenance.json records"


def _describe(
    record: Mapping[str, Any], results: Path, scratch: Path, name: str, licence: str, author: str
) -> "ROCrate":
    from rocrate.model import ContextEntity, Person
    from rocrate.rocrate import ROCrate

    def entity(at: str, kind: str | list[str], **properties: Any) -> Any:
        return crate.add(ContextEntity(crate, at, properties={"@type": kind, **properties}))

    def file(source: Path, at: str, description: str, **properties: Any) -> Any:
        described = {"name": Path(at).name, "description": description, **properties}
        if source.is_dir():
            return crate.add_dataset(source, at, properties=described)
        if encoding := _FORMATS.get(source.suffix.removeprefix(".")):
            described["encodingFormat"] = encoding
        return crate.add_file(source, at, properties=described, record_size=True)

    crate = ROCrate(version="1.1")
    crate.metadata.extra_contexts.append(_TERMS)
    version = record["code"]["version"]
    root = crate.root_dataset
    crate.name = name
    crate.description = (
        f"Catalogues of rare stars found by starsift {version}, and what is needed to make them again."
    )
    address = licence if "://" in licence else f"https://spdx.org/licenses/{licence}"
    crate.license = entity(address, "CreativeWork", name=licence, description=f"The licence {licence}")
    person = crate.add(Person(crate, "#author", properties={"name": author}))
    root["author"] = person
    root["conformsTo"] = [
        entity(at, "CreativeWork", name=title, version=at.rsplit("/", 1)[1])
        for at, title in _PROFILES.items()
    ]

    copied = _copy_workflow(scratch)
    workflow = crate.add_workflow(copied / "Snakefile", "Snakefile", main=True, lang="snakemake")
    workflow["name"], workflow["version"] = "starsift", version
    workflow["description"] = "Snakemake workflow that sifts rare stars out of spectroscopic surveys"
    workflow["license"] = entity(
        "https://spdx.org/licenses/BSD-3-Clause", "CreativeWork", name="BSD-3-Clause"
    )
    crate.add_dataset(
        copied / "workflow", "workflow", properties={"name": "Rules and scripts of the workflow"}
    )
    workflow["softwareRequirements"] = [
        entity(f"#{package}", "SoftwareApplication", name=package, softwareVersion=number, version=number)
        for package, number in sorted(record["software"].items())
    ]

    settings = scratch / SETTINGS
    settings.write_text(json.dumps(record["settings"], indent=2, sort_keys=True) + "\n")
    inputs = [file(settings, SETTINGS, "All settings of the run, for starsift run --config")]
    for role, files in record["inputs"].items():
        inputs += [
            entity(
                f"#{place}", "CreativeWork", name=place, description=f"{role}, not in the crate", sha256=sha
            )
            for place, sha in files.items()
        ]
    for models in sorted(results.glob("*/model_set")):
        described = {"name": f"Model set of the search {models.parent.name}"}
        inputs.append(crate.add_dataset(models, f"model_sets/{models.parent.name}", properties=described))
    outputs = [
        file(results / place, place, "Published catalogue", sha256=sha)
        for place, sha in record["outputs"].items()
    ]
    outputs.append(
        file(results / "provenance.json", "provenance.json", "Checksums, settings, versions, counts")
    )
    if (results / "report.html").is_file():
        outputs.append(file(results / "report.html", "report.html", "Report of the run"))
    run = crate.add_action(
        workflow,
        "#run",
        inputs,
        outputs,
        properties={
            "name": f"Run of starsift {version}",
            "description": f"Seed {record['seed']}; code {record['code']['fingerprint']}; "
            f"processor {record.get('processor', 'not recorded')}",
            "agent": person,
        },
    )
    root["mentions"] = [run]
    return crate


def _copy_workflow(scratch: Path) -> Path:
    """The Snakefile and its rules and scripts, without what Python and Snakemake leave beside them."""
    copied = scratch / "workflow-files"
    shutil.copytree(
        workflow_root() / "workflow", copied / "workflow", ignore=shutil.ignore_patterns("__pycache__", ".*")
    )
    shutil.copy2(workflow_root() / "Snakefile", copied)
    return copied
