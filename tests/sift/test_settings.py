"""The settings that are written for a user's files: complete, checked as those of any run, and never lost."""

from pathlib import Path

import pyarrow as pa
import pytest
import yaml

from starsift.errors import SettingsError
from starsift.settings import complete_settings
from starsift.sift.files import Found
from starsift.sift.settings import INDEX, choose_searches, make_settings, write_settings
from starsift.survey.catalog import INDEX_COLUMNS


def found(*rows: dict[str, object]) -> Found:
    """An index of rows, usable where they do not say otherwise."""
    made = [
        {"path": f"{i}.fits", "status": "ok", "band": "B", "coadd": 0, "snr": 20.0} | row
        for i, row in enumerate(rows)
    ]
    return Found(Path("/data"), pa.Table.from_pylist(made, schema=INDEX_COLUMNS))


MIXED = found(
    {"survey": "mrs"},
    {"survey": "lrs"},
    {"survey": "sdss", "subclass": "A0p"},
    {"survey": "sdss", "subclass": "M4"},
    {"survey": "sdss", "subclass": "B9"},
    {"survey": "sdss", "subclass": "B2"},
)


@pytest.mark.parametrize(
    ("files", "searches"),
    [
        (MIXED, {"binaries": ["mrs"], "mstars": ["lrs", "sdss"], "emission": ["lrs"], "bhb": ["sdss"]}),
        (found({"survey": "sdss", "subclass": "M4"}), {"mstars": ["sdss"]}),
        (found({"survey": "mrs"}, {"survey": "lrs", "status": "corrupt"}), {"binaries": ["mrs"]}),
    ],
    ids=["mixed", "no A stars", "broken"],
)
def test_searches_are_those_that_the_files_allow(files: Found, searches: dict[str, list[str]]) -> None:
    assert choose_searches(files) == searches


def test_a_search_can_be_chosen_where_the_files_allow_it() -> None:
    assert choose_searches(MIXED, ["emission"]) == {"emission": ["lrs"]}
    with pytest.raises(
        SettingsError, match="binaries: there is no spectrum for it among the files; it needs mrs"
    ):
        choose_searches(found({"survey": "lrs"}), ["binaries"])


def test_the_settings_are_those_of_a_survey(tmp_path: Path) -> None:
    """Snakemake's own check takes them; A stars are a survey of their own."""
    own = make_settings(MIXED, choose_searches(MIXED), {"bhb": {"image": {"size": 32}}})
    whole = complete_settings({write_settings(own, MIXED, tmp_path): own})
    assert whole["searches"] == ["binaries", "mstars", "emission", "bhb"]
    assert whole["mstars"]["surveys"] == ["lrs", "sdss"]
    assert whole["bhb"]["surveys"] == ["sdss-bhb"]
    assert whole["bhb"]["image"]["size"] == 32
    early = whole["surveys"]["sdss-bhb"]["selection"]
    assert early == [{"column": "subclass", "op": "in", "value": ["A0p", "B9"]}]
    assert all(whole[search]["models"] == "shipped" for search in whole["searches"])


@pytest.mark.parametrize(
    ("path", "root", "template"),
    [
        ("images/cutout-0266-51602-0031.fits", "/data/images", "cutout-"),
        ("images/0266/cutout-0266-51602-0031.fits.gz", "/data/images", "{planid:0>4}/cutout-"),
        ("images/frame-0266.fits", None, None),
    ],
)
def test_images_beside_the_spectra_are_used(path: str, root: str | None, template: str | None) -> None:
    files = found({"survey": "sdss", "subclass": "A0"}, {"path": path, "status": "not_a_spectrum"})
    cutouts = make_settings(files, choose_searches(files), {})["surveys"]["sdss-bhb"].get("cutouts")
    if root is None:
        assert cutouts is None
    else:
        assert cutouts["root"] == root
        assert cutouts["path_template"].startswith(f"{template}{{planid:0>4}}-{{lmjd}}-{{fiberid:04d}}.fits")


def test_coadds_stand_in_where_there_are_no_single_exposures() -> None:
    for coadd in (0, 1):
        files = found({"survey": "mrs", "coadd": coadd})
        cuts = make_settings(files, choose_searches(files), {})["surveys"]["mrs"]["selection"]
        assert {"column": "coadd", "op": "==", "value": coadd} in cuts


def test_settings_are_written_once_and_edits_are_kept(tmp_path: Path) -> None:
    own = make_settings(MIXED, choose_searches(MIXED), {})
    file = write_settings(own, MIXED, tmp_path)
    before = {path: path.stat().st_mtime_ns for path in (file, tmp_path / INDEX)}
    assert write_settings(own, MIXED, tmp_path) == file
    assert {path: path.stat().st_mtime_ns for path in before} == before
    other = make_settings(MIXED, choose_searches(MIXED, ["mstars"]), {})
    write_settings(other, MIXED, tmp_path)  # not edited: it is written again
    assert yaml.safe_load(file.read_text())["searches"] == ["mstars"]
    file.write_text(file.read_text().replace("mstars", "emission"))
    with pytest.raises(SettingsError, match=r"settings.yaml was edited: run `starsift run --config"):
        write_settings(own, MIXED, tmp_path)
