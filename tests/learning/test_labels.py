"""Labels as the workflow reads them: vocabulary, files of labels, and one label a spectrum."""

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fixtures.survey_files import real
from hypothesis import given
from hypothesis import strategies as st

from starsift.errors import InputError
from starsift.learning import labels as module
from starsift.learning.labels import LABELS, check_labels, consensus, load_labels, read_labels
from starsift.searches.emission.classes import CLASSES
from starsift.searches.registry import SEARCHES

Write = Callable[..., Path]


def test_words_of_every_search() -> None:
    for search in SEARCHES.values():
        assert 4 <= len(search.words) <= 7
        assert {word.key for word in search.words} == {str(key) for key in range(1, len(search.words) + 1)}
        assert len({word.label for word in search.words}) == len(search.words)
        assert all(0 < len(word.label) <= 64 and word.description for word in search.words)
    classes = {name: [word.label_class for word in search.words] for name, search in SEARCHES.items()}
    assert classes["emission"][:3] == list(CLASSES)
    assert set(classes["emission"]) == set(CLASSES)
    assert set(classes["binaries"]) == {"SB1", "SB2", "SB3", "not binary"}
    assert set(classes["bhb"]) == {"BHB", "not BHB"}
    for word in SEARCHES["mstars"].words:  # the rule by which the catalogue of M stars goes
        assert (word.label_class == "M") == word.label.startswith("M ")


def votes(*rows: tuple[str, str | None, str | None, int | None], **columns: list) -> pa.Table:
    """Of (spectrum_id, label, vetted_by, time in ms)."""
    ids, label, who, time = (list(column) for column in zip(*rows, strict=True))
    table = {"search": ["emission"] * len(ids), "spectrum_id": ids, "label": label, "vetted_by": who}
    return pa.table(table | {"time": pa.array(time, pa.timestamp("ms", "UTC"))} | columns)


def test_majority_then_the_latest() -> None:
    table = votes(
        ("b", "bad", "Ann", 9),
        ("b", "absorption", "Cy", 1),
        ("b", "absorption", "Bob", 2),
        ("a", "bad", "Ann", 5),
        ("a", "absorption", "Bob", 6),
        ("c", "bad", None, None),
        ("d", None, "Ann", 1),
    )
    names = ("search", "spectrum_id", "label", "vetted_by", "n_labels", "agree")
    expected = [
        ("emission", "a", "absorption", "Ann+Bob", 2, False),
        ("emission", "b", "absorption", "Ann+Bob+Cy", 3, False),
        ("emission", "c", "bad", None, 1, True),
    ]
    assert consensus(table).to_pylist() == [dict(zip(names, row, strict=True)) for row in expected]
    assert consensus(table.drop_columns(["time"]))["label"].to_pylist() == ["absorption", "absorption", "bad"]
    assert consensus(table.slice(0, 0)).num_rows == 0


def test_majority_of_the_class_first() -> None:
    rows = [("a", "single peak", "Ann", 9), ("a", "bad", "Bob", 1), ("a", "absorption", "Cy", 2)]
    of = ["single peak", "uninteresting", "uninteresting"]
    assert consensus(votes(*rows))["label"].to_pylist() == ["single peak"]
    assert consensus(votes(*rows, **{"class": of}))["label"].to_pylist() == ["absorption"]


@given(st.data())
def test_order_does_not_matter(data: st.DataObject) -> None:
    vote = st.tuples(
        st.sampled_from("xyz"),
        st.sampled_from(["bad", "absorption", "single peak", None]),
        st.sampled_from(["Ann", "Bob", None]),
        st.sampled_from([1, 2, None]),
    )
    rows = data.draw(st.lists(vote, min_size=1, max_size=12))
    expected = consensus(votes(*rows))
    assert consensus(votes(*data.draw(st.permutations(rows)))).equals(expected)
    for row in expected.to_pylist():
        given = [label for name, label, _, _ in rows if name == row["spectrum_id"] and label]
        assert row["n_labels"] == len(given)
        assert row["agree"] == (len(set(given)) == 1)
        assert given.count(row["label"]) == max(map(given.count, given))


def test_minimal_table_is_of_the_search_that_reads_it(write: Write) -> None:
    path = write("note,vetted_by,label,spectrum_id\n1,Zoë, bad ,0012\n2,,absorption,x\n,,,\n3,me,,y\n")
    table = read_labels(path, SEARCHES["emission"])
    same = {"search": "emission", "class": "uninteresting", "n_labels": 1, "agree": True}
    assert table.to_pylist() == [
        same | {"spectrum_id": "0012", "label": "bad", "vetted_by": "Zoë"},
        same | {"spectrum_id": "x", "label": "absorption", "vetted_by": None},
    ]
    assert load_labels(path, search="emission").schema.equals(LABELS, check_metadata=True)
    # Classes are labels too.
    table = read_labels(write("spectrum_id,label\na,uninteresting\n"), SEARCHES["emission"])
    assert table["class"].to_pylist() == ["uninteresting"]


def test_only_labels_of_one_search_count(write: Write) -> None:
    path = write("search,spectrum_id,label\nemission,a,bad\nmstars,a,M dwarf\nbhb,b,whatever\n")
    assert read_labels(path, SEARCHES["mstars"])["class"].to_pylist() == ["M"]
    assert read_labels(path, SEARCHES["emission"])["label"].to_pylist() == ["bad"]
    assert read_labels(path, SEARCHES["binaries"]).num_rows == 0
    with pytest.raises(InputError, match="row 3: label 'whatever' is not a label of bhb: BHB, not BHB, blue"):
        read_labels(path, SEARCHES["bhb"])


def test_other_labels_where_they_are_allowed(write: Write) -> None:
    rows = "a,gM3,me\nb,M giant,me\nc,galaxy,me\na,M giant,you\na,dM1,him\n"
    path = write("spectrum_id,label,vetted_by\n" + rows)
    table = read_labels(path, SEARCHES["mstars"], strict=False)
    assert table["label"].to_pylist() == ["M giant", "M giant", "galaxy"]
    assert table["class"].to_pylist() == ["M", "M", None]
    assert table["agree"].to_pylist() == [False, True, True]


def test_names_have_one_spelling(write: Write) -> None:
    path = write("spectrum_id,label,vetted_by\na,bad,Zoe\u0308\n")
    assert read_labels(path, SEARCHES["emission"])["vetted_by"].to_pylist() == ["Zo\u00eb"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("spectrum_id,lable\na,bad\n", "labels lack label; expected spectrum_id, label and, if known"),
        ("id;label\na;bad\n", "labels lack spectrum_id; expected"),
        (
            "spectrum_id,label\na,bad\n,\nb,bad\na,absorption\nb,bad\n",
            "2 spectra are labelled more than once, the first is a; keep one label .* .row 4: vetted_by None",
        ),
        (
            "spectrum_id,label,vetted_by\na,bad,me\na,bad, me\n",
            "1 spectra .* the first is a; .* vetted_by me",
        ),
        ("spectrum_id,label\na,bad\n,bad\n", "row 2: no spectrum_id; fill it in, or delete the row"),
        (
            "spectrum_id,label\na,bad\nb,sbad\n",
            "row 2: label 'sbad' is not a label of emission: single peak, .*correct",
        ),
        ("spectrum_id,label,search\na,bad,emission\nb,bad,\n", "row 2: no search; fill it in"),
        ("spectrum_id,label\na,bad,5\n", "a row of 3 in place of 2 values: 'a,bad,5'; complete it"),
        ("spectrum_id,label,label\na,bad,bad\n", "column label occurs twice"),
        (
            "spectrum_id,label,flag\na,bad,perhaps\n",
            "row 1, column flag: 'perhaps': expected true or false: set",
        ),
        (
            "spectrum_id,label,time\na,bad,yesterday\n",
            "row 1, column time: 'yesterday': expected a time and its",
        ),
        (
            "spectrum_id,label,time\na,bad,2024-05-01T10:00:00Z\nb,bad,2024-05-01 10:00:00\n",
            "row 2, column time: '2024-05-01 10:00:00': expected a time and its zone, such as",
        ),
        ("", "the file is empty"),
    ],
)
def test_tables_that_cannot_be_used(write: Write, text: str, message: str) -> None:
    path = write(text)
    with pytest.raises(InputError, match=message) as error:
        read_labels(path, SEARCHES["emission"])
    assert str(error.value).startswith(str(path))


def test_files_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "text.parquet").write_text("spectrum_id,label\na,bad\n")
    (tmp_path / "bytes.csv").write_bytes(b"spectrum_id,label\na,\xff\xfe\n")
    (tmp_path / "text.sqlite").write_text("spectrum_id,label\n" * 100)
    pq.write_table(pa.table({"spectrum_id": ["a"], "label": [["bad"]]}), tmp_path / "lists.parquet")
    sqlite3.connect(tmp_path / "other.sqlite").execute("CREATE TABLE x (y)").connection.close()
    for name, message in {
        "text.parquet": "not a parquet file but text",
        "bytes.csv": "not UTF-8 text",
        "lists.parquet": "row 1, column label: .*: expected text: null where",
        "text.sqlite": "not a label store .file is not a database",
        "other.sqlite": "not a label store but another database",
        "none.sqlite": "no such file of labels; correct its name",
        "none.csv": "no such file of labels",
    }.items():
        with pytest.raises(InputError, match=message) as error:
            read_labels(tmp_path / name, SEARCHES["emission"])
        assert str(error.value).startswith(str(tmp_path / name))


def test_no_file_is_no_labels_if_that_is_allowed(tmp_path: Path) -> None:
    table = read_labels(tmp_path / "labels.sqlite", SEARCHES["emission"], missing_ok=True)
    assert table.num_rows == 0
    assert table.column_names == ["search", "spectrum_id", "label", "class", "vetted_by", "n_labels", "agree"]
    assert not any(tmp_path.iterdir())


def test_searches_do_not_import_the_review_app_by_way_of_labels() -> None:
    assert "starsift.review" not in Path(module.__file__).read_text()


@pytest.mark.parametrize("search", SEARCHES)
def test_a_run_refuses_words_that_nobody_knows(write: Write, search: str) -> None:
    file = write(f"spectrum_id,label,search\ns,double-lined,{search}\n")
    with pytest.raises(InputError, match=f"row 1: label 'double-lined' is not a label of {search}: "):
        check_labels(file, SEARCHES, [search])
    check_labels(file.with_name("none.sqlite"), SEARCHES, [search])


def test_a_run_refuses_searches_that_nobody_knows(write: Write) -> None:
    file = write("spectrum_id,label,search\na,bad,emision\n")
    with pytest.raises(InputError, match="row 1: search is 'emision', it must be one of binaries"):
        check_labels(file, SEARCHES, ["mstars"])


def test_path_is_the_old_name_of_the_column(write: Write) -> None:
    file = write("Path,spectrum_id,label\nemission,a,bad\nmstars,a,M dwarf\n")
    assert load_labels(file)["search"].to_pylist() == ["emission", "mstars"]
    other = file.with_suffix(".parquet")
    pq.write_table(pa.table({"path": ["bhb"], "spectrum_id": ["a"], "label": ["BHB"]}), other)
    assert read_labels(other, SEARCHES["bhb"])["class"].to_pylist() == ["BHB"]


def test_labels_of_spreadsheets(write: Write) -> None:
    (row,) = load_labels(real("cases") / "labels-semicolon.csv").to_pylist()
    assert (row["label"], row["search"], row["vetted_by"]) == ("SB2", "binaries", "ab")
    assert row["spectrum_id"] == "med-58644-TD192102N424113K01_sp12-076/84447441"
    (row,) = load_labels(real("cases") / "labels-with-extension.csv").to_pylist()
    assert row["spectrum_id"] == "med-58644-TD192102N424113K01_sp12-076"
    text = "Spectrum_ID,LABEL\na.fits.gz/84447441,SB2\nb.FIT,SB2\nc.fits.bz2,SB2\nd.fits.fz,SB2\nV.fit1,SB2\n"
    ids = load_labels(write(text), search="binaries")["spectrum_id"].to_pylist()
    assert ids == ["a/84447441", "b", "c", "d", "V.fit1"]
    with pytest.raises(InputError, match="labelled more than once, the first is a"):
        load_labels(write("spectrum_id,label\na.fits,SB2\na,SB1\n"), search="binaries")
