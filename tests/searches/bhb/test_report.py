"""Pages of the BHB search show the right numbers."""

from pathlib import Path

import pyarrow as pa
import pytest
from fixtures.bhb_figures import GAPS, METRICS, catalog
from fixtures.figures import cells, put

from starsift.searches.bhb.comparison import ALL, MODELS, model_gaps
from starsift.searches.bhb.inputs import BHB, NOT_BHB
from starsift.searches.bhb.report import (
    COMPARISONS,
    PAPER,
    candidates_page,
    classes_table,
    dataset_page,
    funnel_page,
    gaps_page,
    gaps_table,
    load_published,
    models_table,
    table_page,
)


def test_published_scores() -> None:
    published = load_published()
    models = [(model, ALL) for model in MODELS if model != "batmm-end-to-end"]
    assert set(published) == {*models, ("batmm", BHB), ("batmm", NOT_BHB)}
    # The unweighted mean of both classes, to the digits given.
    for name in ("precision", "recall", "f1"):
        mean = (published["batmm", BHB][name] + published["batmm", NOT_BHB][name]) / 2
        assert published["batmm", ALL][name] == pytest.approx(mean, abs=0.011)
    assert published["batmm", ALL]["f1"] - published["spectrum", ALL]["f1"] == pytest.approx(2.76)
    assert published["batmm", ALL]["f1"] - published["image", ALL]["f1"] == pytest.approx(21.77)


def scored(**f1: list[float]) -> pa.Table:
    """A table of metrics, in which only F1 differs between models."""
    rows = [
        {"model": model.replace("_", "-"), "run": run, "class": kind, "precision": 0.8, "recall": 0.7}
        | {"f1": score - 0.1 * (kind == BHB), "auc": 0.98, "average_precision": 0.97}
        for model, found in f1.items()
        for run, score in enumerate(found)
        for kind in (BHB, NOT_BHB, ALL)
    ]
    return pa.Table.from_pylist(rows, METRICS.schema)


def test_the_page_of_classes() -> None:
    rows = cells(table_page("table5", scored(batmm=[0.90, 0.92], svm=[0.3])))
    assert rows[0][:4] == ["class", "runs", "precision (%): this run", f"precision (%): {PAPER}"]
    assert [row[0] for row in rows[1:]] == [BHB, NOT_BHB, ALL]
    scores = ["80.00 ± 0.00", "94.45 ± 0.45", "70.00 ± 0.00", "95.18 ± 0.29", "91.00 ± 1.41", "94.78 ± 0.38"]
    assert rows[3] == [ALL, "2", *scores, "0.9800 ± 0.0000", "0.9700 ± 0.0000"]
    assert rows[1][6:8] == ["81.00 ± 1.41", "93.63 ± 0.52"]


def test_the_pages_of_models() -> None:
    table = scored(batmm_end_to_end=[0.93], batmm=[0.90, 0.92], svm=[0.8, 0.8], image_plain=[0.6])
    rows = cells(table_page("table8", table))
    assert [row[:3] for row in rows[1:]] == [
        ["spectrum", "SVM", "2"],
        ["spectrum + image", "BATMM", "2"],
        ["spectrum + image", "BATMM, trained end to end", "1"],
    ]
    assert rows[1][7:] == ["80.00 ± 0.00", "82.04 ± 0.33", "70.00 ± 0.00"]
    assert rows[3][7:] == ["93.00", "–", "83.00"]  # one run, not in the paper
    assert [row[1] for row in cells(table_page("table6", table))[1:]] == ["ResNet"]
    assert [row[1] for row in cells(table_page("table7", table))[1:]] == ["BATMM"]


def test_every_model_is_in_a_table() -> None:
    shown = {model for comparison in COMPARISONS.values() for model in comparison.models}
    assert shown == set(MODELS)
    for name, comparison in COMPARISONS.items():
        assert len(models_table(name, METRICS)[1]) == 1 + len(comparison.models)
    assert len(classes_table(METRICS)[1]) == 4


def test_the_page_of_differences() -> None:
    table = scored(batmm=[0.95, 0.96, 0.97], spectrum=[0.90, 0.92, 0.93], image=[0.7])
    rows = cells(gaps_page(model_gaps(table)))
    # 0.05, 0.04, 0.04: sample deviation 0.01 / sqrt(3).
    assert rows[1] == ["BATMM", "VGG1D + self-attention", "3", "4.33", "0.33", "–", "yes", "–", "2.76"]
    assert rows[2][2:] == ["1", "20.00", "–", "–", "–", "–", "19.01"]
    full = gaps_table(GAPS)[1]
    assert len(full) == 1 + GAPS.num_rows
    assert all(cell != "" for row in full[1:-1] for cell in row)


def test_the_page_of_the_dataset(tmp_path: Path) -> None:
    counts, dropped = tmp_path / "counts.csv", tmp_path / "dropped.csv"
    counts.write_text("class,labelled,with_spectrum,with_image,train\nBHB,4985,4800,4752,3326\n")
    dropped.write_text("reason,BHB,not BHB\nmissing pixels,185,98\n")
    page = dataset_page(counts, dropped)
    rows = cells(page)
    assert rows[0] == ["class", "labelled", "with spectrum", "with image", "train"]
    assert rows[1] == ["BHB", "4,985", "4,800", "4,752", "3,326"]
    assert rows[3] == ["missing pixels", "185", "98"]
    funnel = tmp_path / "funnel.csv"
    funnel.write_text("step,spectra\nin the bundles,9000\nin the catalogue,800\n")
    assert cells(funnel_page(funnel))[2] == ["in the catalogue", "800"]


def test_the_page_of_candidates() -> None:
    table = put(catalog(6), p_bhb=[0.81, 0.99, None, 0.85, 0.95, 0.9])
    names = table["spectrum_id"].to_pylist()
    rows = cells(candidates_page(table, table[:0], number=4))
    assert [row[0] for row in rows[1:5]] == [names[1], names[4], names[5], names[3]]
    assert [row[4] for row in rows[1:5]] == ["0.990", "0.950", "0.900", "0.850"]
    assert rows[1][5] == "spectrum"
    page = candidates_page(table, table.slice(0, 1))
    assert "In the catalogue: 6 spectra" in page
    assert "Rejected: 1 spectra" in page
    assert cells(page)[6][:1] + cells(page)[6][4:5] == [names[2], "–"]
    assert "4 of 6" in candidates_page(table, table, number=4)
    linked = put(table, link=["https://a.example/?x=1&y=2", *[None] * 5])
    page = candidates_page(linked.slice(1), linked.slice(0, 1))
    assert f'<a href="https://a.example/?x=1&amp;y=2">{names[0]}</a>' in page
    assert page.count("<a ") == 1
    assert candidates_page(table[:0], table[:0]).rstrip().endswith("</html>")


@pytest.mark.parametrize("name", ["table5", *COMPARISONS])
def test_pages_without_runs(name: str) -> None:
    assert len(cells(table_page(name, METRICS.slice(0, 0)))) == 1
