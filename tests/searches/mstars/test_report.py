"""Pages of the M stars show the right numbers."""

import pyarrow as pa
import pytest
from fixtures.figures import cells, put
from fixtures.mstars_figures import DATA, MANY

from starsift.searches.mstars.report import (
    average_precisions,
    evaluation_page,
    positive_sample_page,
    vetting_page,
)


def test_the_page_of_the_positive_sample() -> None:
    sample = pa.table(
        {
            "role": ["dwarf", "dwarf", "giant", "negative"],
            "subclass": ["dM3", "M3", "gM0", "G2"],
            "snr": pa.array([4.9, 5.0, None, 50.0], pa.float32()),
        }
    )
    clusters = pa.table(
        {
            "kind": ["dwarf", "dwarf"],
            "members": pa.array([1000, 500], pa.int32()),
            "drawn": pa.array([2, 0], pa.int32()),
            "defective": [False, True],
        }
    )
    page = cells(positive_sample_page(sample, clusters))
    assert ["M3", "dwarf", "1", "1", "0", "0", "0", "2"] in page
    assert ["M0", "giant", "0", "0", "0", "0", "1", "1"] in page
    assert ["all", "both", "1", "1", "0", "0", "1", "3"] in page
    assert ["dwarf", "2", "1", "1,500", "2"] in page
    assert ["giant", "0", "0", "0", "0"] in page


def test_the_page_of_the_evaluation() -> None:
    table = pa.table(
        {
            "method": ["pil", "pil", "pil", "cosine"],
            "bits": pa.array([256, 256, 256, None], pa.int32()),
            "split": pa.array([0, 0, 1, 0], pa.int32()),
            "recall": [0.0, 1.0, 0.0, 0.0],
            "precision": [1.0, 0.5, 1.0, 1.0],
            "average_precision": [0.90, 0.90, 0.94, 0.95],
        }
    )
    assert [row.method for row in average_precisions(table)] == ["cosine", "pil"]
    assert cells(evaluation_page(table)) == [
        ["method", "no codes", "256 bits"],
        ["cosine", "0.9500", "–"],
        ["pil", "–", "0.9200 ± 0.0283"],
    ]


def test_the_page_of_candidates_shows_the_best_first() -> None:
    table = put(MANY.slice(0, 50), subclass=None, score=[*range(49), None])
    page = cells(vetting_page(table, number=49))
    assert len(page) == 50
    assert page[1][:4] == ["1", "spec-55858-M5901_sp07-048", "J005348.82+391733.4", "48.000"]
    assert page[1][5] == "–"
    assert page[-1][1] == "spec-55858-M5901_sp07-000"


@pytest.mark.parametrize("rows", [slice(0, 0), slice(0, 1)])
def test_pages_of_little(rows: slice) -> None:
    for page in (evaluation_page(DATA["evaluation"][rows]), vetting_page(MANY[rows])):
        assert page.rstrip().endswith("</html>")
