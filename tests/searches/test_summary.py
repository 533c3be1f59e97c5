"""The first page of the report, rendered as Snakemake does."""

import json
from pathlib import Path

import docutils.core
import pyarrow as pa
import pyarrow.parquet as pq

from starsift.catalog.provenance import write_provenance
from starsift.searches.summary import summarise
from starsift.settings import default_settings


def rendered(text: str) -> str:
    """The page as HTML; a message of docutils is an error."""
    settings = {"halt_level": 1, "report_level": 1}
    return docutils.core.publish_string(text, writer="html5", settings_overrides=settings).decode()


def test_what_a_referee_asks_first_is_there(tmp_path: Path) -> None:
    (tmp_path / "catalogs").mkdir()
    (tmp_path / "scorecards").mkdir()
    rows = [{"spectrum_id": name, "giant": giant} for name, giant in (("a", 0), ("b", 1), ("c", 0))]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "catalogs/mstars.parquet")
    lines = [
        {"name": "purity", "value": 0.98123, "number": 200, "passed": True, "target": ">= 0.95"},
        {"name": "completeness", "value": 0.7, "number": 100, "passed": False, "target": ">= 0.9"},
        {"name": "other", "value": 0.5, "number": 1, "passed": None, "target": ""},
    ]
    (tmp_path / "scorecards/mstars.json").write_text(json.dumps({"lines": lines}))
    settings = default_settings() | {"searches": ["mstars"], "seed": 99}
    settings["mstars"] = settings["mstars"] | {"models": "my_<models>*"}
    counts = {
        "status": {"lrs": {"ok": 12345}},
        "funnel": {"mstars": [{"step": "pool", "n_spectra": "12000", "more": "- ---", "none": ""}]},
    }
    record = write_provenance(tmp_path / "provenance.json", settings, counts=counts)
    page = rendered(summarise(tmp_path, record, default_settings()))
    for shown in (
        "12,345",
        "12000",
        "0.9812",
        "&gt;= 0.95",
        "0.7",
        "missed",
        "mstars.models",
        "my_&lt;models&gt;*",
    ):
        assert shown in page, shown
    assert "other" not in page
    assert record["code"]["fingerprint"][:12] in page
    assert page.count("<table") == 6
    text = "".join(page.replace("<p>", "").replace("</p>", "").split())
    assert "<td>Mdwarf</td><td>2</td>" in text


def test_a_run_with_the_defaults_has_no_settings_to_tell(tmp_path: Path) -> None:
    counts = {"status": {}, "funnel": {}}
    record = write_provenance(tmp_path / "provenance.json", default_settings(), counts=counts)
    page = rendered(summarise(tmp_path, record, default_settings()))
    assert "differ from the defaults" not in page
