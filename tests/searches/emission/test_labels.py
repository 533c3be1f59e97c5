"""Labels of queries, of all rounds and of candidates."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from fixtures.emission_run import DULL, IDS, SINGLE, label_table, labels, pool, write_round

from starsift.errors import InputError, ResultsError
from starsift.io.parquet import write_parquet
from starsift.learning.labels import label_digest, load_labels
from starsift.searches.emission.active import select_query
from starsift.searches.emission.labels import candidate_labels, label_query, read_round_labels


def test_missing_labels_stop_with_a_number_and_advice() -> None:
    query = select_query(pool(), [], strategy="entropy", batch=8, sample=0, seed=0)
    names = query["spectrum_id"].to_pylist()
    with pytest.raises(InputError, match=r"^3 of 8 spectra have no label yet: open the app$"):
        label_query(query, labels(names[3:]), advice="open the app")
    answered = label_query(query, labels(names[::-1]), advice="")
    assert answered["label"].to_pylist() == ["uninteresting"] * 8
    assert answered["vetted_by"].to_pylist() == ["who"] * 8
    best = np.argmax([query[name].to_numpy() for name in ("p_single", "p_double", "p_uninteresting")], axis=0)
    expected = np.array(["single peak", "double peak", "uninteresting"])[best]
    assert answered["predicted"].to_pylist() == expected.tolist()


def test_answers_say_what_is_wrong_with_them(run: dict[str, Any], tmp_path: Path) -> None:
    answers = read_round_labels(run["rounds"])
    assert answers["round"].to_pylist() == [0, 0, 0, 1, 1, 1]
    purposes = ["query", "query", "precision", "query", "precision", "precision"]
    assert answers["purpose"].to_pylist() == purposes
    assert answers["vetted_by"].null_count == 6
    message = "label 'star' is not one of single peak, double peak, uninteresting"
    with pytest.raises(ResultsError, match=message):
        read_round_labels([write_round(tmp_path, 2, [("query", 0, "star")])])
    write_parquet(pa.table({"spectrum_id": ["a"]}), tmp_path / "round-03/labels.parquet")
    message = r"round-03/labels.parquet: labels of a round lack purpose, rank, bundle"
    with pytest.raises(ResultsError, match=message):
        read_round_labels([tmp_path / "round-03/labels.parquet"])
    with pytest.raises(ResultsError, match="lie in a folder such as round-00"):
        read_round_labels([tmp_path / "labels.parquet"])


def test_answers_keep_their_windows(run: dict[str, Any]) -> None:
    answers = read_round_labels(run["rounds"])
    assert [int(np.argmax(w)) for w in answers["window"].to_pylist()] == answers["row"].to_pylist()


def test_the_majority_decides_between_emission_and_none() -> None:
    votes = [
        label_table((1, label, "emission-candidates"), who=who)
        for label, who in (("absorption", "a"), ("bad", "b"), (SINGLE, "c"), (SINGLE, "d"), ("no line", "e"))
    ]
    result = candidate_labels(pa.concat_tables(votes)).to_pylist()
    assert len(result) == 1
    assert result[0]["label"] in ("absorption", "bad", "no line")
    assert result[0]["class"] == DULL
    assert result[0]["vetted_by"] == "a+b+c+d+e"


def test_a_label_that_is_none() -> None:
    message = f"labels: {IDS[3]} is 'singel peak', which is not one of single peak, "
    with pytest.raises(ResultsError, match=message):
        candidate_labels(label_table((3, "singel peak", None)))
    assert candidate_labels(label_table((3, "singel peak", "emission-round-00"))).num_rows == 0


def test_a_table_that_somebody_wrote(tmp_path: Path) -> None:
    (tmp_path / "l.csv").write_text(f"search,spectrum_id,label\nemission,{IDS[4]},bad\n")
    assert candidate_labels(load_labels(tmp_path / "l.csv"))["label"].to_pylist() == ["bad"]


def test_labels_elsewhere_do_not_change_a_digest() -> None:
    asked = pa.chunked_array([["a", "b"]])
    told = label_digest(labels(["a", "b"]), asked)
    assert label_digest(labels(["z", "b", "a"]), asked) == told
    assert label_digest(labels(["a"]), asked) != told
    assert label_digest(labels(["a", "b"], "single peak"), asked) != told
    assert label_digest(labels(["a", "b"])) == told
