"""Pages of the emission search show the right numbers."""

import pyarrow as pa
import pytest
from fixtures.emission_figures import DOUBLE, DULL, MANY, SINGLE, round_states
from fixtures.figures import cells, put

from starsift.searches.emission.report import (
    Run,
    baseline_page,
    candidates_page,
    confusion_page,
    partial_confusion,
    rounds_page,
)


def small() -> pa.Table:
    """Predicted single: two right, one double, one bad, one not seen; double: one right; one the oracle's."""
    return put(
        MANY.slice(0, 7),
        predicted=[SINGLE] * 5 + [DOUBLE, DULL],
        origin=["predicted"] * 6 + ["oracle"],
        profile=[SINGLE, SINGLE, DOUBLE, DULL, SINGLE, DOUBLE, SINGLE],
        vetted=[True] * 4 + [False, True, True],
    )


def test_the_partial_confusion_matrix() -> None:
    assert [tuple(row) for row in partial_confusion(small())] == [
        (SINGLE, (2, 1, 1), 1),
        (DOUBLE, (0, 1, 0), 0),
    ]
    page = confusion_page(small())
    assert "people have looked at 5 of 6" in page
    assert cells(page)[1:] == [
        [SINGLE, "50.0 % (2)", "25.0 % (1)", "25.0 % (1)", "4", "1"],
        [DOUBLE, "0.0 % (0)", "100.0 % (1)", "0.0 % (0)", "1", "0"],
    ]
    unseen = put(small(), vetted=[False] * 7)
    assert cells(confusion_page(unseen))[1] == [SINGLE, "–", "–", "–", "0", "5"]


def test_the_page_of_rounds() -> None:
    first = round_states(1)[0] | {"precision": None, "n_precision": 0, "true_positives": 0}
    rows = cells(rounds_page([round_states(2)[1], first], 0.8))
    assert [row[0] for row in rows] == ["round", "0", "1"]
    assert rows[1][-3:] == ["–", "–", "0"]
    assert rows[2][:7] == ["1", "13,036", "200", "31", "0.0500", "500", "150"]
    assert rows[2][7:] == ["30", "4", "13.3 %", "5 to 30 %", "0"]
    assert len(cells(rounds_page([], 0.8))) == 1


def test_the_page_without_active_learning() -> None:
    sample = pa.table(
        {
            "spectrum_id": list("abcdefg"),
            "predicted": [SINGLE] * 4 + [DOUBLE] * 3,
            "label": [SINGLE, DULL, DULL, DULL, SINGLE, DULL, None],
        }
    )
    empty = Run({SINGLE: 0, DOUBLE: 0, DULL: 9}, sample.slice(0, 0))
    rows = cells(baseline_page([Run({SINGLE: 3000, DOUBLE: 1000, DULL: 9}, sample), empty], small()))
    # Either: a quarter of 3000 and a half of 1000.
    assert rows[1] == ["No. 1", "25.0 %", "4", "3,000", "0.0 %", "2", "1,000", "31.2 %", "6", "4,000"]
    assert rows[2] == ["No. 2", "–", "0", "0", "–", "0", "0", "–", "0", "0"]
    assert rows[3][:7] == ["active learning", "50.0 %", "4", "5", "100.0 %", "1", "1"]
    assert rows[3][7] == f"{100 * (0.75 * 5 + 1) / 6:.1f} %"


def test_the_page_of_candidates_links_to_spectra() -> None:
    table = put(
        MANY.slice(0, 6),
        profile=[SINGLE] * 4 + [DULL] * 2,
        p_emission=[0.1, 0.9, 0.5, 0.7, 0.8, None],
        link=["https://a.example/?x=1&y=2"] * 5 + [None],
    )
    page = candidates_page(table, number=3)
    names = table["spectrum_id"].to_pylist()
    rows = cells(page)
    links = [f'<a href="https://a.example/?x=1&amp;y=2">{names[k]}</a>' for k in (1, 3, 2)]
    assert [row[0] for row in rows[1:4]] == links
    assert names[0] not in page
    assert "the first 3 of 4 spectra" in page
    assert "Rejected: 2 spectra" in page
    assert rows[-1][0] == names[5]


@pytest.mark.parametrize("rows", [0, 1])
def test_pages_of_little(rows: int) -> None:
    for page in (confusion_page(MANY[:rows]), candidates_page(MANY[:rows]), baseline_page([], MANY[:rows])):
        assert page.rstrip().endswith("</html>")
