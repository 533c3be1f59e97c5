"""A fifth search is one folder, one rule file and one line of the registry; nothing else names it."""

import json
import subprocess
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml
from fixtures.checkouts import Checkout, make_checkout, python

FILES = {
    "src/starsift/searches/toy/__init__.py": '"""Bright stars."""\n',
    "src/starsift/searches/toy/search.py": """
from starsift.searches.base import Figure, Queue, Search, Word

SEARCH = Search(
    name="toy",
    title="Bright stars",
    reference="Ptolemy 150",
    kinds=("lrs",),
    sections={"catalog": "catalogue"},
    stages=(),
    steps={"lists of bright stars": "toy/bright.csv"},
    catalogs=("toy",),
    figures=(Figure("count", "catalog", "Number of bright stars", "html"),),
    queues=(Queue("toy-candidates", "Bright stars to see", "catalogs/toy.parquet"),),
    words=(Word("bright", "1", "bright", "seen without a telescope"),),
)
""",
    "src/starsift/searches/toy/settings.py": '''
from typing import Annotated, ClassVar

from starsift.settings_base import Positive, SearchSettings, SurveyName, setting


class Settings(SearchSettings):
    """Bright stars (Ptolemy 150)."""

    reason: ClassVar[str] = "that is where stars are"
    survey: Annotated[str, SurveyName()] = setting("Survey that is searched.", "lamost-lrs")
    brightness: Positive = setting("Least S/N of a bright star.", 10)
''',
    "src/starsift/searches/toy/columns.py": """
import pyarrow as pa

from starsift.catalog.columns import Column, TableSchema

TOY = TableSchema(
    "toy",
    "Bright stars",
    ("spectrum_id",),
    (
        Column("spectrum_id", pa.string(), "Name of the spectrum", "meta.id;meta.main"),
        Column("snr", pa.float32(), "S/N a pixel", "stat.snr", decimals=2),
        Column("bundle", pa.string(), "Bundle of the spectrum", "meta.id"),
    ),
)
CATALOGS = {"toy": TOY}
""",
    "src/starsift/searches/toy/catalog.py": '''
import pyarrow.compute as pc


def find_bright(manifest, brightness):
    """The rows of a manifest whose S/N is at least `brightness`."""
    return manifest.filter(pc.greater_equal(manifest["snr"], brightness))
''',
    "workflow/rules/toy.smk": """
from starsift.catalog.provenance import fingerprint

TOY = config["toy"]
SURVEYS_OF["toy"] = [TOY["survey"]]
INPUTS_OF["toy"] = {}


rule toy_catalog:
    input:
        f"results/manifest/{TOY['survey']}.parquet",
    output:
        multiext("results/catalogs/toy", *PRODUCTS),
        funnel="results/catalogs/toy_funnel.csv",
        bright="results/toy/bright.csv",
        page=figure("toy", "count"),
    params:
        brightness=TOY["brightness"],
        code=fingerprint("starsift.searches.toy.catalog"),
    run:
        import pyarrow.parquet as pq
        from starsift.catalog.provenance import provenance
        from starsift.catalog.publish import publish
        from starsift.searches.toy.catalog import find_bright
        from starsift.searches.toy.columns import TOY as SCHEMA

        manifest = pq.read_table(input[0])
        bright = find_bright(manifest, params.brightness)
        publish(bright, SCHEMA, "results/catalogs/toy", provenance(config, {}))
        Path(output.funnel).write_text(f"step,spectra\\nbright,{bright.num_rows}\\n")
        Path(output.bright).write_text("spectrum_id\\n" + "\\n".join(bright["spectrum_id"].to_pylist()))
        Path(output.page).write_text(f"<p>{bright.num_rows} bright stars</p>")


rule toy:
    input:
        rules.toy_catalog.output,
        f"results/manifest/{TOY['survey']}-status.csv",
""",
}
SESSION = """
import json, sys
from starlette.testclient import TestClient
from starsift.review.app import create_app
from starsift.review.labels import LabelStore
from starsift.review.results import Results

app = create_app(Results("results"), LabelStore("labels.sqlite"), token="a-token", port=8123)
with TestClient(app, base_url="http://127.0.0.1:8123") as client:
    answers = ["/a-token/api/session", "/a-token/api/queues/toy-candidates/items/0"]
    print(json.dumps([client.get(path).json() for path in answers]))
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, sky: Path) -> Checkout:
    """A checkout with the search, in which it has run."""
    survey = {"kind": "lrs", "root": str(sky / "lrs/spectra")}
    settings = {"searches": ["toy"], "surveys": {"mine": survey}, "toy": {"survey": "mine", "brightness": 3}}
    run = make_checkout(tmp_path_factory.mktemp("toy") / "starsift", settings)
    for name, text in FILES.items():
        (run.folder / name).parent.mkdir(exist_ok=True)
        (run.folder / name).write_text(text)
    registry = run.folder / "src/starsift/searches/registry.py"
    registry.write_text(registry.read_text().replace('    "bhb",\n', '    "bhb",\n    "toy",\n'))
    run.snakemake()
    return run


def ask(run: Checkout, *arguments: str) -> str:
    options = {"cwd": run.folder, "env": run.environment, "capture_output": True, "text": True}
    done = subprocess.run([python(), *arguments], **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_it_is_in_the_settings(run: Checkout) -> None:
    misspelt = Checkout(run.folder, run.settings | {"toy": {"survey": "mine", "brigthness": 3}})
    done = misspelt.snakemake("--dry-run", check=False)
    assert "toy.brigthness is not a setting; did you mean brightness?" in done.stdout + done.stderr
    (run.folder / "docs").mkdir(exist_ok=True)
    ask(run, "-m", "starsift.settings_files")
    written = yaml.safe_load((run.folder / "config/config.yaml").read_text())
    assert written["toy"] == {"survey": "lamost-lrs", "brightness": 10}
    schema = json.loads((run.folder / "config/schema/config.schema.json").read_text())
    assert "toy" in schema["properties"]
    assert "Least S/N of a bright star." in (run.folder / "docs/settings.md").read_text()


def test_it_is_in_the_status(run: Checkout) -> None:
    lines = ask(run, "-m", "starsift.cli", "status").splitlines()
    at = lines.index("search toy")
    assert lines[at + 1 : at + 3] == ["  lists of bright stars: 1", "  catalogues published: toy"]


def test_it_is_in_the_review_app(run: Checkout) -> None:
    session, item = json.loads(ask(run, "-c", SESSION))
    catalog = pq.read_table(run.folder / "results/catalogs/toy.parquet")
    (queue,) = session["queues"]
    expected = {"id": "toy-candidates", "title": "Bright stars to see", "total": catalog.num_rows}
    assert queue.items() >= expected.items()
    assert [word["label"] for word in session["vocabulary"]["toy"]] == ["bright"]
    assert item["spectrum_id"] == catalog["spectrum_id"][0].as_py()
    assert item["flux"]


def test_it_is_in_the_report(run: Checkout) -> None:
    run.snakemake("--report", "report.html")
    page = (run.folder / "report.html").read_text()
    for text in ("Bright stars \\u2013 catalogue", "Number of bright stars", "Ptolemy 150"):
        assert text in page


def test_it_is_in_the_provenance(run: Checkout) -> None:
    record = json.loads((run.folder / "results/provenance.json").read_text())
    assert record["settings"]["toy"]["brightness"] == 3
    assert "catalogs/toy.parquet" in record["outputs"]
    rows = pq.read_table(run.folder / "results/catalogs/toy.parquet").num_rows
    assert record["counts"]["funnel"]["toy"] == [{"step": "bright", "spectra": str(rows)}]
    assert rows > 0
