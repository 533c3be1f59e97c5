"""A run as a research object crate: what it holds, read back with rocrate."""

import json
from pathlib import Path

import pytest
from rocrate.rocrate import ROCrate

from starsift.catalog.crate import write_crate
from starsift.catalog.provenance import checksum, verify, write_provenance
from starsift.cli import main
from starsift.errors import InputError, ResultsError
from starsift.settings import complete_settings, default_settings

WORDS = {"name": "Stars", "licence": "CC-BY-4.0", "author": "A. Person"}


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "results"
    (folder / "catalogs").mkdir(parents=True)
    (folder / "mstars/model_set").mkdir(parents=True)
    (folder / "mstars/model_set/model.json").write_text("{}")
    (folder / "catalogs/mstars.parquet").write_text("stars")
    (folder / "catalogs/hats/mstars").mkdir(parents=True)
    (folder / "catalogs/hats/mstars/hats.properties").write_text("")
    (tmp_path / "list.csv").write_text("x\n1\n")
    write_provenance(
        folder / "provenance.json",
        default_settings(),
        {"catalog_lrs": "list.csv"},
        [folder / "catalogs/mstars.parquet", folder / "catalogs/hats"],
        {"status": {"ok": 1}},
    )
    return folder


def test_a_crate_is_complete_and_its_files_are_those_of_the_run(results: Path, tmp_path: Path) -> None:
    folder = write_crate(results, tmp_path / "crate", **WORDS)
    crate = ROCrate(folder)
    assert crate.mainEntity.id == "Snakefile"
    assert "SoftwareSourceCode" in crate.mainEntity.type
    assert crate.root_dataset["license"].id == "https://spdx.org/licenses/CC-BY-4.0"
    run = crate.root_dataset["mentions"][0]
    assert (run.type, run["instrument"].id) == ("CreateAction", "Snakefile")
    results_of_run = {entity.id: entity for entity in run["result"]}
    assert set(results_of_run) == {"catalogs/mstars.parquet", "catalogs/hats/", "provenance.json"}
    assert results_of_run["catalogs/mstars.parquet"]["sha256"] == checksum(
        results / "catalogs/mstars.parquet"
    )
    inputs = {entity.id: entity for entity in run["object"]}
    assert set(inputs) == {"settings.json", "#list.csv", "model_sets/mstars/"}
    assert inputs["#list.csv"]["sha256"] == checksum("list.csv")
    assert {"numpy", "snakemake"} <= {one["name"] for one in crate.mainEntity["softwareRequirements"]}
    for entity in crate.data_entities:
        assert (folder / entity.id).exists(), entity.id
    assert (folder / "workflow/rules/survey.smk").is_file()
    assert not list(folder.rglob("__pycache__"))
    settings = json.loads((folder / "settings.json").read_text())
    assert complete_settings({"settings.json": settings}) == default_settings()
    # The record is beside the catalogues, as in the run.
    assert {check.status for check in verify(folder) if check.role != "software"} == {"ok"}
    assert str(tmp_path) not in (folder / "ro-crate-metadata.json").read_text()


def test_what_cannot_be_a_crate(results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "there").mkdir()
    with pytest.raises(InputError, match="there: it exists; name a new folder"):
        write_crate(results, tmp_path / "there", **WORDS)
    (results / "catalogs/mstars.parquet").write_text("others")
    with pytest.raises(ResultsError, match=r"mstars.parquet: not the file that provenance.json records"):
        write_crate(results, tmp_path / "crate", **WORDS)
    (results / "provenance.json").unlink()
    with pytest.raises(ResultsError, match="no such file; name the provenance"):
        write_crate(results, tmp_path / "crate", **WORDS)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["list.csv", "results", "there"]
    words = ["crate", "results", "crate", "--licence", "CC0-1.0", "--author", "me"]
    assert main(words) == 1
    assert "no such file" in capsys.readouterr().err
