"""Provenance of results: fingerprints of the code, digests of settings and files, seeds; no dates."""

import ast
import hashlib
import json
import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any, Literal, NamedTuple

from threadpoolctl import threadpool_info

from starsift.errors import ResultsError
from starsift.io.files import atomic_path
from starsift.resources import WORKFLOW_FILES, resource, workflow_root

# Distributions whose version can change a number in a result; those not installed are left out.
PACKAGES = (
    "astropy",
    "isal",
    "jax",
    "keras",
    "numba",
    "numpy",
    "pyarrow",
    "pyerfa",
    "scikit-learn",
    "scipy",
    "snakemake",
    "tensorflow",
    "tensorflow-cpu",
    "torch",
)
_SOURCE = Path(__file__).resolve().parents[2]  # the folder that holds the package starsift

Status = Literal["ok", "changed", "missing"]
Paths = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]


class Check(NamedTuple):
    """What `verify` found: of a file, a setting, the code or a package, which `name` names."""

    role: Literal["input", "output", "settings", "code", "software"]
    name: str
    status: Status


def fingerprint(*modules: str, root: str | os.PathLike[str] | None = None) -> str:
    """Digest of the source of modules and of all that they import from their own package.

    Imports are read from the source, nothing is executed. They are followed from module to module, also
    inside functions; the `__init__` of each package on the way is part of it, because importing runs it.

    Parameters
    ----------
    *modules : full names. A package stands for its `__init__` and what that imports, not for all its modules.
    root : folder that holds the top package; by default that of the running starsift

    Returns 64 hexadecimal digits, SHA-256 over names and sources in the order of the names. Raises
    ResultsError if a module has no source file below `root`.
    """
    if not modules:
        raise ResultsError("fingerprint: no module is named")
    return _digest(_closure(modules, _SOURCE if root is None else Path(root)))


def script_fingerprint(script: str | os.PathLike[str], *, without: Sequence[str] = ()) -> str:
    """`fingerprint` of the modules of starsift that a script imports, but for those named in `without`."""
    modules = {*_modules(Path(script), "", _SOURCE, "starsift")} - {*without}
    return fingerprint(*sorted(modules))


def package_fingerprint(package: str = "starsift", root: str | os.PathLike[str] | None = None) -> str:
    """Digest of every Python file of a package, 64 hexadecimal digits.

    The same in a checkout and in a wheel, where the scripts of the workflow lie in the package.
    """
    folder = (_SOURCE if root is None else Path(root)) / package
    files = (path for path in folder.rglob("*.py") if WORKFLOW_FILES not in path.parts)
    return _digest({path.relative_to(folder.parent).as_posix(): path for path in files})


def _digest(files: Mapping[str, Path]) -> str:
    digest = hashlib.sha256()
    for name in sorted(files):
        # Hashes of fixed length: no name and source can run into each other.
        digest.update(hashlib.sha256(name.encode()).digest())
        digest.update(hashlib.sha256(files[name].read_bytes()).digest())
    return digest.hexdigest()


def _closure(modules: Sequence[str], root: Path) -> dict[str, Path]:
    """Source files of modules and of what they import, transitively, by module name."""
    found: dict[str, Path] = {}
    waiting = [(name, "fingerprint") for name in modules]
    while waiting:
        name, origin = waiting.pop()
        if name in found:
            continue
        path = _source_file(root, name)
        if path is None:
            raise ResultsError(f"{origin}: module {name} has no source file below {root}; check its name")
        found[name] = path
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        if "." in name:
            waiting.append((name.rpartition(".")[0], str(path)))
        waiting += ((module, str(path)) for module in _modules(path, package, root, name.partition(".")[0]))
    return found


def _modules(path: Path, package: str, root: Path, top: str) -> Iterator[str]:
    """Modules of the package `top` that a file of `package` imports itself."""
    for module, attribute in _imports(path.read_bytes(), package):
        if module.partition(".")[0] == top:
            yield module
            # `from package import name`: a module of that name, or something that the package defines.
            if attribute and _source_file(root, f"{module}.{attribute}") is not None:
                yield f"{module}.{attribute}"


def _source_file(root: Path, module: str) -> Path | None:
    base = root.joinpath(*module.split("."))
    for path in (base / "__init__.py", base.with_name(f"{base.name}.py")):
        if path.is_file():
            return path
    return None


@lru_cache(maxsize=1024)  # a pure function of the source; a workflow asks for the same modules once a rule
def _imports(source: bytes, package: str) -> tuple[tuple[str, str], ...]:
    """(module, attribute) of each import in a module of `package`; attribute is "" for a plain import."""
    return tuple(_walk_imports(ast.parse(source), package))


_BLOCKS = ("body", "orelse", "finalbody", "handlers", "cases")


def _walk_imports(tree: ast.AST, package: str) -> Iterator[tuple[str, str]]:
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        # Statements alone: no expression holds an import, and they are most of a tree.
        waiting += [child for name in _BLOCKS for child in getattr(node, name, ())]
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            # Each dot after the first climbs one package.
            parents = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            module = ".".join([*parents, *([node.module] if node.module else [])])
            yield from ((module, alias.name) for alias in node.names)


def bundle_seed(run_seed: int, bundle: str) -> int:
    """Seed of one bundle's random numbers, 0 <= seed < 2**63: the order of jobs cannot matter."""
    return int.from_bytes(hashlib.sha256(f"{run_seed}/{bundle}".encode()).digest()[:8]) >> 1


def checksum(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file, or of the names and contents of all files below a folder, hexadecimal."""
    path = Path(path)
    if path.is_dir():
        files = sorted(item for item in path.rglob("*") if item.is_file())
        lines = (f"{item.relative_to(path).as_posix()} {checksum(item)}\n" for item in files)
        return hashlib.sha256("".join(lines).encode()).hexdigest()
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def config_digest(config: Mapping[str, Any]) -> str:
    """SHA-256 of settings, hexadecimal; the order of keys does not matter."""
    return hashlib.sha256(_json(config, indent=None).encode()).hexdigest()


def software() -> dict[str, str]:
    """Versions of Python and of the installed packages of `PACKAGES`."""
    versions = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def processor() -> str:
    """The processor, and the kernels of BLAS that it runs: sums differ in the last bits between these."""
    import numpy.linalg  # noqa: F401  # only libraries that are loaded are listed

    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.is_file() else []
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    kernels = {str(pool["architecture"]) for pool in threadpool_info() if "architecture" in pool}
    return ", ".join([platform.machine(), *filter(None, [model]), *sorted(kernels)])


def provenance(config: Mapping[str, Any], inputs: Mapping[str, Paths] | None = None) -> dict[str, Any]:
    """Everything that decides a result: equal for equal settings, inputs and software.

    `inputs` are files or folders by what they are, such as {"catalog": path, "spectra": [paths]}, recorded as
    given, but those that come with starsift by their place there: it must not matter where a run was started.
    Returns config (digest), seed, code (version, fingerprint of the package), software (versions) and
    inputs ({name: {path: SHA-256}}).
    """
    return {
        "config": config_digest(config),
        "seed": config.get("seed"),
        "code": {"version": _version(), "fingerprint": package_fingerprint()},
        "software": software(),
        "inputs": {name: _checksums(paths) for name, paths in sorted((inputs or {}).items())},
    }


def write_provenance(
    path: str | os.PathLike[str],
    config: Mapping[str, Any],
    inputs: Mapping[str, Paths] | None = None,
    outputs: Sequence[str | os.PathLike[str]] = (),
    counts: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Write the provenance of a run as JSON, the same bytes for the same run.

    Parameters
    ----------
    config, inputs : as in `provenance`
    outputs : result files, recorded relative to the folder of `path`, so that the folder can be moved
    counts : numbers of rows a stage, or anything that JSON can hold

    Returns what was written: `provenance`, and settings, outputs ({path: SHA-256}), counts, processor.
    """
    folder = Path(path).parent
    record = provenance(config, inputs) | {
        "settings": dict(config),
        "outputs": {Path(os.path.relpath(file, folder)).as_posix(): checksum(file) for file in outputs},
        "counts": dict(counts or {}),
        "processor": processor(),
    }
    with atomic_path(path) as temporary:
        temporary.write_text(_json(record, indent=2) + "\n")
    return record


def verify(
    path: str | os.PathLike[str],
    root: str | os.PathLike[str] | None = None,
    settings: Mapping[str, Any] | None = None,
) -> list[Check]:
    """Compare files, settings, code and packages with a provenance file.

    Parameters
    ----------
    path : provenance.json, or the folder of results that holds it; outputs are looked for beside it
    root : folder from which inputs are looked for, by default the current one
    settings : that the results should have been made with, complete; by default only those that the file
        holds are compared with their own digest

    Returns a Check a recorded file, setting that differs, package, inputs first, in alphabetic order. Raises
    ResultsError if `path` is missing or is not a provenance file.
    """
    path = Path(path)
    if path.is_dir():
        path /= "provenance.json"
    record = read_record(path)
    inputs = {name: sha for group in record["inputs"].values() for name, sha in group.items()}
    outputs = record["outputs"]
    base = Path.cwd() if root is None else Path(root)
    checks = [Check("input", name, _compare(_place(base, name), inputs[name])) for name in sorted(inputs)]
    checks += [Check("output", name, _compare(path.parent / name, outputs[name])) for name in sorted(outputs)]
    return [*checks, *_compare_settings(record, settings), *_compare_software(record)]


def read_record(path: Path) -> dict[str, Any]:
    """What `write_provenance` wrote. Raises ResultsError: there is no such file, or it is another one."""
    try:
        record: dict[str, Any] = json.loads(path.read_text())
        groups = [*record["inputs"].values(), *(record[key] for key in ("outputs", "settings", "software"))]
        if not all(isinstance(group, dict) for group in groups):
            raise TypeError("expected groups of names")
        record["config"], record["code"]["version"], record["code"]["fingerprint"]
    except FileNotFoundError:
        raise ResultsError(f"{path}: no such file; name the provenance.json of a finished run") from None
    except OSError as error:
        raise ResultsError(f"{path}: cannot be read ({error.strerror}); name the provenance.json") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ResultsError(f"{path}: not a provenance file of starsift ({error!r})") from error
    return record


def _compare_settings(record: Mapping[str, Any], settings: Mapping[str, Any] | None) -> Iterator[Check]:
    same = config_digest(record["settings"]) == record["config"]
    yield Check("settings", "as recorded", "ok" if same else "changed")
    if settings is not None:
        recorded, present = _flat(record["settings"]), _flat(json.loads(_json(settings, indent=None)))
        for name in sorted({*recorded, *present}):
            if name not in present or name not in recorded:
                yield Check("settings", name, "missing")
            elif recorded[name] != present[name]:
                yield Check("settings", name, "changed")


def _compare_software(record: Mapping[str, Any]) -> Iterator[Check]:
    same = record["code"]["fingerprint"] == package_fingerprint()
    yield Check("code", f"starsift {record['code']['version']}", "ok" if same else "changed")
    present = software()
    for name, version in sorted(record["software"].items()):
        status: Status = "missing" if name not in present else "ok" if present[name] == version else "changed"
        yield Check("software", f"{name} {version}", status)


def _flat(settings: Any, prefix: str = "") -> dict[str, Any]:
    """Settings by the path of each, such as `binaries.ccf.resolution`."""
    if not isinstance(settings, dict) or not settings:
        return {prefix: settings}
    parts = (_flat(value, f"{prefix}.{key}" if prefix else key) for key, value in settings.items())
    return {name: value for part in parts for name, value in part.items()}


def _compare(path: Path, expected: str) -> Status:
    if not path.exists():
        return "missing"
    return "ok" if checksum(path) == expected else "changed"


def _checksums(paths: Paths) -> dict[str, str]:
    several = [paths] if isinstance(paths, str | os.PathLike) else paths
    return {_recorded(Path(path)): checksum(path) for path in sorted(several, key=os.fspath)}


def _recorded(path: Path) -> str:
    """The name of an input: of what comes with starsift the same, wherever a run was started."""
    shipped, place = resource("").resolve(), path.resolve()
    return f"resources/{place.relative_to(shipped)}" if place.is_relative_to(shipped) else path.as_posix()


def _place(base: Path, name: str) -> Path:
    """Where an input of this recorded name is."""
    shipped = workflow_root() / name
    return shipped if name.startswith("resources/") and not (base / name).exists() else base / name


def _version() -> str:
    try:
        return metadata.version("starsift")
    except metadata.PackageNotFoundError:  # a source tree on the path, never installed
        return "unknown"


def _json(record: Mapping[str, Any], indent: int | None) -> str:
    return json.dumps(record, sort_keys=True, indent=indent, allow_nan=False, default=os.fspath)
