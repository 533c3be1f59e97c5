"""Fingerprints of a small package against its import graph, checksums, seeds, and files that are verified."""

import json
import os

import pytest

from starsift.catalog.provenance import (
    bundle_seed,
    checksum,
    config_digest,
    fingerprint,
    package_fingerprint,
    provenance,
    verify,
    write_provenance,
)
from starsift.errors import ResultsError
from starsift.resources import resource

# Module: source. Imports of every form: plain, from, relative, of a module and of a name, inside a function.
TREE = {
    "pkg/__init__.py": '"""A package."""\n',
    "pkg/low/__init__.py": "",
    "pkg/low/arrays.py": "import os\nLIMIT = 3\n",
    "pkg/low/files.py": "from pkg.low.arrays import LIMIT\n",
    "pkg/low/lonely.py": "X = 1\n",
    "pkg/high/__init__.py": "from .public import shout\n",
    "pkg/high/public.py": "def shout():\n    from ..low import files\n",
    "pkg/high/peaks.py": "import pkg.low.arrays\nimport numpy\n",
    "pkg/high/circle.py": "from . import round\n",
    "pkg/high/round.py": "from . import circle\n",
}
MODULES = [name.removesuffix(".py").replace("/", ".") for name in TREE if not name.endswith("__init__.py")]
# What changes when a file is edited: modules that import it, at any distance, itself among them. Importing a
# module of `high` runs its __init__, hence public, files and arrays.
HIGH = {"pkg.high.public", "pkg.high.peaks", "pkg.high.circle", "pkg.high.round"}
DEPENDENTS = {
    "pkg/__init__.py": set(MODULES),
    "pkg/low/__init__.py": set(MODULES),
    "pkg/low/arrays.py": {"pkg.low.arrays", "pkg.low.files"} | HIGH,
    "pkg/low/files.py": {"pkg.low.files"} | HIGH,
    "pkg/low/lonely.py": {"pkg.low.lonely"},
    "pkg/high/__init__.py": HIGH,
    "pkg/high/public.py": HIGH,
    "pkg/high/peaks.py": {"pkg.high.peaks"},
    "pkg/high/circle.py": {"pkg.high.circle", "pkg.high.round"},
    "pkg/high/round.py": {"pkg.high.circle", "pkg.high.round"},
}


def write_tree(folder):
    for name, source in TREE.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(source)
    return folder


@pytest.fixture
def tree(tmp_path):
    return write_tree(tmp_path)


@pytest.mark.parametrize("edited", TREE)
def test_an_edit_changes_exactly_the_dependents(tree, edited):
    before = {module: fingerprint(module, root=tree) for module in MODULES}
    path = tree / edited
    path.write_text(path.read_text() + "Y = 2\n")
    changed = {module for module in MODULES if fingerprint(module, root=tree) != before[module]}
    assert changed == DEPENDENTS[edited]


def test_fingerprint_is_of_the_source_not_of_the_place(tree, tmp_path_factory):
    other = write_tree(tmp_path_factory.mktemp("elsewhere"))
    (other / "pkg" / "notes.txt").write_text("not code")
    assert len(fingerprint(*MODULES, root=tree)) == len(package_fingerprint("pkg", tree)) == 64
    assert fingerprint(*MODULES, root=other) == fingerprint(*MODULES, root=tree)
    assert package_fingerprint("pkg", other) == package_fingerprint("pkg", tree)


def test_fingerprint_of_several_modules_ignores_order_and_is_not_that_of_one(tree):
    both = fingerprint("pkg.low.lonely", "pkg.high.peaks", root=tree)
    assert both == fingerprint("pkg.high.peaks", "pkg.low.lonely", root=tree)
    assert both != fingerprint("pkg.high.peaks", root=tree)


def test_fingerprint_names_what_is_missing_and_who_wants_it(tree):
    with pytest.raises(ResultsError, match=r"fingerprint: module pkg\.peeks has no source file"):
        fingerprint("pkg.peeks", root=tree)
    (tree / "pkg/low/lonely.py").write_text("import pkg.gone\n")
    with pytest.raises(ResultsError, match=r"lonely\.py: module pkg\.gone has no source file"):
        fingerprint("pkg.low.lonely", root=tree)
    with pytest.raises(ResultsError, match="no module is named"):
        fingerprint()


def test_bundle_seeds_differ_and_stay():
    seeds = {bundle_seed(run, f"58625-P-{bundle}") for run in range(3) for bundle in range(300)}
    assert len(seeds) == 900
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert bundle_seed(20231201, "a") == bundle_seed(20231201, "a")
    assert bundle_seed(1, "1/a") != bundle_seed(11, "/a")


def test_config_digest_ignores_the_order_of_keys_only():
    assert config_digest({"a": 1, "b": {"c": [1, 2]}}) == config_digest({"b": {"c": [1, 2]}, "a": 1})
    assert config_digest({"a": [1, 2]}) != config_digest({"a": [2, 1]})


def test_provenance_says_what_decides_a_result(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.csv").write_text("x")
    record = provenance({"seed": 5}, {"catalog": "a.csv"})
    assert record["seed"] == 5
    assert record["inputs"] == {"catalog": {"a.csv": checksum("a.csv")}}
    assert record["software"]["numpy"]
    assert record["code"]["fingerprint"] == package_fingerprint()
    assert record == provenance({"seed": 5}, {"catalog": "a.csv"})


def test_checksum_of_a_folder_sees_names_and_contents(tmp_path):
    folder = tmp_path / "spectra"
    folder.mkdir()
    (folder / "a").write_text("1")
    first = checksum(folder)
    (folder / "a").rename(folder / "b")
    assert checksum(folder) != first
    (folder / "b").rename(folder / "a")
    assert checksum(folder) == first


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "results/catalogs").mkdir(parents=True)
    (tmp_path / "data").mkdir()
    (tmp_path / "data/catalog.csv").write_text("in")
    (tmp_path / "results/catalogs/stars.parquet").write_text("out")
    record({"seed": 1, "paths": ["x"]}, "data/catalog.csv")
    return tmp_path


def record(settings, catalog):
    outputs = ["results/catalogs/stars.parquet"]
    write_provenance("results/provenance.json", settings, {"catalog": catalog}, outputs, {"ok": 3})


def test_written_provenance_is_complete_and_the_same_twice(run):
    first = (run / "results/provenance.json").read_bytes()
    written = json.loads(first)
    assert written["counts"] == {"ok": 3}
    assert written["settings"] == {"seed": 1, "paths": ["x"]}
    assert list(written["outputs"]) == ["catalogs/stars.parquet"]
    assert str(run) not in first.decode()
    record({"paths": ["x"], "seed": 1}, ["data/catalog.csv"])
    assert (run / "results/provenance.json").read_bytes() == first


def test_verify_finds_changed_and_missing_files(run):
    found = verify("results/provenance.json")
    assert [tuple(check) for check in found[:3]] == [
        ("input", "data/catalog.csv", "ok"),
        ("output", "catalogs/stars.parquet", "ok"),
        ("settings", "as recorded", "ok"),
    ]
    assert {check.role for check in found[3:]} == {"code", "software"}
    assert {check.status for check in found} == {"ok"}
    assert verify("results") == found
    (run / "results/catalogs/stars.parquet").write_text("tampered")
    (run / "data/catalog.csv").unlink()
    assert statuses(verify("results/provenance.json")) == ["missing", "changed"]


def statuses(checks, roles=("input", "output")):
    return [check.status for check in checks if check.role in roles]


def test_verify_finds_other_settings_code_and_packages(run, monkeypatch):
    same = verify("results", settings={"seed": 1, "paths": ["x"]})
    assert statuses(same, ["settings"]) == ["ok"]
    other = verify("results", settings={"seed": 2, "folder": {"a": None}})
    assert [tuple(check) for check in other if check.role == "settings"] == [
        ("settings", "as recorded", "ok"),
        ("settings", "folder.a", "missing"),
        ("settings", "paths", "missing"),
        ("settings", "seed", "changed"),
    ]
    monkeypatch.setattr("starsift.catalog.provenance.package_fingerprint", lambda: "0" * 64)
    monkeypatch.setattr("starsift.catalog.provenance.software", lambda: {"numpy": "0.1"})
    found = {check.name.split()[0]: check.status for check in verify("results")}
    assert (found["starsift"], found["numpy"], found["scipy"]) == ("changed", "changed", "missing")
    record = json.loads((run / "results/provenance.json").read_text())
    record["settings"]["seed"] = 3
    (run / "results/provenance.json").write_text(json.dumps(record))
    assert statuses(verify("results"), ["settings"]) == ["changed"]


def test_what_comes_with_starsift_has_one_name_wherever_a_run_starts(tmp_path, monkeypatch):
    grid = resource("templates/grid.parquet")
    records = []
    for folder in ("a", "b/c"):
        (tmp_path / folder / "results").mkdir(parents=True)
        monkeypatch.chdir(tmp_path / folder)
        shown = os.path.relpath(grid)
        records.append(write_provenance("results/provenance.json", {}, {"template_grid": shown}))
        assert statuses(verify("results")) == ["ok"]
    assert records[0] == records[1]
    assert list(records[0]["inputs"]["template_grid"]) == ["resources/templates/grid.parquet"]


def test_verify_of_results_that_were_moved(run, monkeypatch, tmp_path_factory):
    moved = tmp_path_factory.mktemp("moved") / "results"
    (run / "results").rename(moved)
    monkeypatch.chdir(moved)
    assert statuses(verify(moved / "provenance.json")) == ["missing", "ok"]
    assert statuses(verify(moved / "provenance.json", root=run)) == ["ok", "ok"]


def test_verify_of_what_is_no_provenance(tmp_path):
    with pytest.raises(ResultsError, match="no such file"):
        verify(tmp_path / "provenance.json")
    for text in ("not json", "[]", '{"inputs": {}}'):
        (tmp_path / "provenance.json").write_text(text)
        with pytest.raises(ResultsError, match="not a provenance file"):
            verify(tmp_path / "provenance.json")
