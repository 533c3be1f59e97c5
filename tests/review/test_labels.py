"""The label store: nothing is lost, nothing is overwritten, nobody gets what another one has."""

import multiprocessing
import os
import re
import signal
import sqlite3
import subprocess
import sys
from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fixtures.survey_files import real
from fixtures.workers import label_all
from hypothesis import given, settings
from hypothesis import strategies as st

from starsift.errors import InputError, ReadOnlyError
from starsift.learning.labels import LABELS, read_labels
from starsift.review import events
from starsift.review import labels as module
from starsift.review.labels import LabelStore, Progress
from starsift.searches.registry import SEARCHES

ROUND = "emission-round-00"
Say = Callable[..., int]


@pytest.fixture
def say(store: LabelStore) -> Say:
    def say(spectrum_id: str, label: str | None = None, who: str = "Ann", **more: Any) -> int:
        return store.add("emission", spectrum_id, who, **{"queue": ROUND, "label": label} | more)

    return say


def execute(file: Path, *statements: str) -> None:
    """Change a database behind the store's back."""
    with closing(sqlite3.connect(file)) as database, database:
        for statement in statements:
            database.execute(statement)


def labels_of(store: LabelStore, path: str = "emission") -> dict[str, dict[str, str | None]]:
    current = store.current(path)
    return {name: {who: state.label for who, state in people.items()} for name, people in current.items()}


# Events and what follows from them


def test_a_label_is_kept_with_all_that_belongs_to_it(store: LabelStore, say: Say) -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    event = say("a", "single peak")
    state = store.current("emission")["a"]["Ann"]
    assert (state.label, state.flag, state.comment, state.queue) == ("single peak", False, None, ROUND)
    assert before <= datetime.fromisoformat(state.time) <= datetime.now(UTC)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", state.time)
    assert re.fullmatch(r"\d+\.\d+\S*\+[0-9a-f]{12}", state.version)
    (said,) = store.history("emission", "a")
    assert said.id == event
    assert (said.who, said.label, said.flag, said.comment) == ("Ann", "single peak", None, None)
    assert (said.undoes, said.undone) == (None, False)
    assert store.current("mstars") == {} == store.current("emission", ["b"])
    assert store.history("mstars", "a") == []


def test_what_is_not_said_stays(store: LabelStore, say: Say) -> None:
    say("a", "bad", comment="broken\nin the middle")
    say("a", flag=True)
    say("a", "absorption", queue="emission-candidates")
    state = store.current("emission", ["a", "b"])["a"]["Ann"]
    assert (state.label, state.flag, state.comment) == ("absorption", True, "broken\nin the middle")
    assert state.queue == "emission-candidates"
    say("a", comment=" ", flag=False)
    state = store.current("emission")["a"]["Ann"]
    assert (state.label, state.flag, state.comment) == ("absorption", False, None)
    assert len(store.history("emission", "a")) == 4


def test_a_repeated_request_adds_nothing(store: LabelStore, say: Say) -> None:
    first = say("a", "bad")
    assert say("a", "bad") == first
    second = say("a", comment="noise")
    assert say("a", "bad") == second == say("a", comment="noise ")
    assert say("a", "bad", queue="other") > second
    assert say("a", "bad", who="Bob") > second
    assert len(store.history("emission", "a")) == 4
    store.undo(ROUND, "Ann")
    assert say("a", comment="noise") > second


def test_undo_goes_back_step_by_step(store: LabelStore, say: Say) -> None:
    steps = [("a", "bad"), ("a", "absorption"), ("b", "single peak"), ("a", None)]
    for spectrum_id, label in steps:
        say(spectrum_id, label, flag=None if label else True)
    say("a", "double peak", who="Bob")
    say("b", "double peak", queue="other")
    for spectrum_id, label in reversed(steps):
        undone = store.undo(ROUND, "Ann")
        assert undone is not None
        assert (undone.spectrum_id, undone.label, undone.undone) == (spectrum_id, label, True)
    assert store.undo(ROUND, "Ann") is None
    assert store.current("emission", ["b"])["b"]["Ann"].queue == "other"
    history = store.history("emission", "a")
    assert [event.undone for event in history] == [True, True, True, False, False, False, False]
    assert [event.undoes for event in history[4:]] == [history[at].id for at in (2, 1, 0)]
    assert store.undo("nothing-here", "Ann") is None
    assert store.undo(ROUND, "Bob").label == "double peak"  # type: ignore[union-attr]


SPECTRA, PEOPLE, QUEUES = ("a", "b", "c"), ("Ann", "Bob"), ("q", "r")
SAID = st.tuples(
    st.sampled_from(["bad", "absorption", None]),
    st.sampled_from([True, False, None]),
    st.sampled_from(["why", "", None]),
).filter(lambda said: said != (None, None, None))
ADD = st.tuples(st.sampled_from(SPECTRA), SAID)
STEPS = st.lists(
    st.tuples(st.one_of(ADD, st.none()), st.sampled_from(PEOPLE), st.sampled_from(QUEUES)), max_size=25
)


def replayed(file: Path) -> dict[tuple[str, str], tuple[Any, ...]]:
    """What is in force, from the events alone."""
    columns = "id, spectrum_id, who, label, flag, comment, queue, time, undoes"
    with closing(sqlite3.connect(file)) as database:
        events = database.execute(f"SELECT {columns} FROM events ORDER BY id").fetchall()
    revoked = {event[-1] for event in events}
    found: dict[tuple[str, str], tuple[Any, ...]] = {}
    for number, spectrum_id, who, label, flag, comment, queue, when, undoes in events:
        if number not in revoked and undoes is None:
            old = found.get((spectrum_id, who), (None, False, None))
            flag = old[1] if flag is None else bool(flag)
            comment = old[2] if comment is None else comment or None
            found[spectrum_id, who] = (label or old[0], flag, comment, queue, when)
    return {key: state for key, state in found.items() if state[:3] != (None, False, None)}


@settings(max_examples=25, deadline=None)
@given(STEPS)
def test_the_current_table_is_the_replay_of_the_events(
    tmp_path_factory: pytest.TempPathFactory, steps: list
) -> None:
    folder = tmp_path_factory.mktemp("replay")
    stacks: dict[tuple[str, str], list[str]] = {}
    with LabelStore(folder / "l.sqlite") as store:
        store._database.execute("PRAGMA synchronous = OFF")  # many commits, and no crash to survive
        for add, who, queue in steps:
            stack = stacks.setdefault((queue, who), [])
            if add is None:
                event = store.undo(queue, who)
                assert (event and event.spectrum_id) == (stack.pop() if stack else None)
            else:
                spectrum_id, (label, flag, comment) = add
                count = len(store.history("bhb", spectrum_id))
                store.add("bhb", spectrum_id, who, queue=queue, label=label, flag=flag, comment=comment)
                stack += [spectrum_id] * (len(store.history("bhb", spectrum_id)) - count)
            # The same tuple again and again, and as if for the first time.
            assert store.progress("bhb", SPECTRA) == store.progress("bhb", list(SPECTRA))
        expected = replayed(folder / "l.sqlite")
        current = {
            (name, who): (state.label, state.flag, state.comment, state.queue, state.time)
            for name, people in store.current("bhb").items()
            for who, state in people.items()
        }
        assert current == expected
        given = {name: {v[0] for (n, _), v in expected.items() if n == name and v[0]} for name in SPECTRA}
        by_person = Counter(who for (_, who), state in expected.items() if state[0])
        assert store.progress("bhb", SPECTRA) == Progress(
            total=3,
            labelled=sum(len(labels) > 0 for labels in given.values()),
            by_person=dict(by_person),
            disagreements=sum(len(labels) > 1 for labels in given.values()),
            flagged=len({name for (name, _), state in expected.items() if state[1]}),
        )
        times: dict[tuple[str, str], list[str]] = {}
        for name in SPECTRA:
            for event in store.history("bhb", name):
                times.setdefault((name, event.who), []).append(event.time)
        assert all(sorted(set(each)) == each for each in times.values())
        store.export(folder / "l.parquet")
    with LabelStore(folder / "copy.sqlite") as copy:
        assert copy.import_labels(folder / "l.parquet") == len(expected)
        assert copy.import_labels(folder / "l.parquet") == 0
        copy.export(folder / "copy.parquet")
    assert (folder / "copy.parquet").read_bytes() == (folder / "l.parquet").read_bytes()


COLUMNS = "search, spectrum_id, who, queue, label, flag, comment, time, version"
STATEMENTS = ("UPDATE events SET label = 'bad'", "DELETE FROM events")
STATEMENTS += tuple(
    f"INSERT OR REPLACE INTO events SELECT {columns} FROM events" for columns in ("*", f"99, {COLUMNS}, 1")
)


@pytest.mark.parametrize("statement", STATEMENTS)
def test_history_is_never_changed(store: LabelStore, say: Say, statement: str) -> None:
    say("a", "single peak")
    store.undo(ROUND, "Ann")
    before = store.history("emission", "a")
    with pytest.raises(sqlite3.IntegrityError, match="the history of labels is never"):
        execute(store.path, statement)
    assert store.history("emission", "a") == before


def test_times_rise_when_the_clock_is_set_back(
    store: LabelStore, say: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    say("a", "bad")

    class Earlier(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> "Earlier":
            return cls(2001, 1, 1, tzinfo=tz)

    monkeypatch.setattr(events, "datetime", Earlier)
    say("a", "absorption")
    say("b", "absorption")
    first, second = (event.time for event in store.history("emission", "a"))
    assert first < second
    assert store.current("emission")["b"]["Ann"].time == "2001-01-01T00:00:00.000Z"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"label": ""}, "label is ''; expected 1 to 64 printable characters"),
        ({"label": "x" * 65}, "label is 'xxx.*; expected 1 to 64"),
        ({"label": "a\x00b"}, "label is"),
        ({"who": ""}, "name of the person is ''; expected 1 to 64 printable"),
        ({"who": "Ann\u202e"}, "name of the person"),
        ({"who": "\ud800"}, "name of the person"),
        ({"search": "stars"}, "search is 'stars', it must be one of binaries"),
        ({"spectrum_id": " a"}, "spectrum_id is ' a'"),
        ({"spectrum_id": "a" * 201}, "spectrum_id is .*; expected 1 to 200"),
        ({"queue": ""}, "queue is ''"),
        ({"comment": "x" * 2001}, "comment is 'xxx.*; expected at most 2000 characters, no control"),
        ({"flag": "yes"}, "flag is 'yes', it must be true or false"),
        ({"label": None}, "nothing to save: give a label, a flag or a comment"),
    ],
)
def test_values_that_are_not_allowed(store: LabelStore, changes: dict[str, Any], message: str) -> None:
    given = {"search": "emission", "spectrum_id": "a", "who": "Ann", "queue": ROUND, "label": "bad"}
    with pytest.raises(ValueError, match=message):
        store.add(**given | changes)
    assert labels_of(store) == {}


def test_values_are_never_part_of_a_statement(store: LabelStore) -> None:
    evil = "'; DROP TABLE events; --"
    store.add("emission", evil, evil, queue=evil, label=evil, comment=evil + '"')
    assert store.claim("emission", evil, evil, [evil, evil + "x"], 5) == [evil + "x"]
    store.release(evil, evil)
    assert labels_of(store) == {evil: {evil: evil}}
    assert store.progress("emission", [evil]).labelled == 1
    assert store.undo(evil, evil) is not None
    assert labels_of(store) == {}


def test_names_have_one_spelling(store: LabelStore, say: Say) -> None:
    say("a", "bad", who="Zoe\u0308 ")
    say("a", "absorption", who=" Zo\u00eb")
    assert labels_of(store) == {"a": {"Zo\u00eb": "absorption"}}
    assert store.undo(ROUND, "Zoe\u0308").label == "absorption"  # type: ignore[union-attr]


# Who gets what


def test_claims(store: LabelStore, say: Say) -> None:
    ids = ["d", "a", "c", "b", "e", "f"]

    def claim(who: str, count: int, **more: Any) -> list[str]:
        return store.claim("emission", ROUND, who, ids, count, **more)

    assert claim("Ann", 2) == ["d", "a"]
    assert claim("Bob", 2) == ["c", "b"]
    assert claim("Ann", 2) == ["d", "a"]  # still hers
    assert claim("Cy", 9) == ["e", "f"]
    assert claim("Dan", 9) == []
    assert store.claim("emission", "other-queue", "Dan", ids, 9) == []
    assert store.claim("mstars", ROUND, "Dan", ids, 1) == ["d"]
    say("a", "bad", who="Ann")
    store.release(ROUND, "Bob")
    store.release(ROUND, "Cy")
    store.release("other-queue", "Ann")
    assert claim("Dan", 9) == ["c", "b", "e", "f"]
    assert claim("Ann", 9) == ["d"]
    assert claim("Dan", 9, second_opinion=True) == ["a", "c", "b", "e", "f"]
    assert claim("Ann", 9, second_opinion=True) == ["d"]
    assert claim("Dan", 0) == []


def test_undo_gives_the_spectrum_back_to_the_person(store: LabelStore, say: Say) -> None:
    say("a", "bad")
    say("b", "bad")
    store.undo(ROUND, "Ann")
    assert store.claim("emission", ROUND, "Bob", ["a", "b"], 2, second_opinion=True) == ["a"]
    store.undo(ROUND, "Ann")  # of a, which Bob holds now
    assert store.claim("emission", ROUND, "Bob", ["a", "b"], 2) == ["a"]
    assert store.claim("emission", ROUND, "Ann", ["a", "b"], 2) == ["b"]


def test_one_label_for_several_spectra_and_back(store: LabelStore, say: Say) -> None:
    say("a", "bad")
    store.claim("emission", ROUND, "Ann", ["a", "b", "c"], 3)
    assert store.add_all("emission", ["a", "b", "c"], "Ann", queue=ROUND, label="bad") == 2
    assert labels_of(store) == {name: {"Ann": "bad"} for name in "abc"}
    assert store.claim("emission", ROUND, "Bob", ["b", "c", "d"], 3) == ["d"]  # labelled, so no longer held
    with pytest.raises(InputError):
        store.add_all("emission", ["d", ""], "Ann", queue=ROUND, label="bad")
    assert "d" not in labels_of(store)
    undone = store.undo_last(ROUND, "Ann", 2)
    assert [event.spectrum_id for event in undone] == ["c", "b"]
    assert all(event.undone for event in undone)
    assert labels_of(store) == {"a": {"Ann": "bad"}}
    assert store.claim("emission", ROUND, "Bob", ["b", "c"], 2) == []  # Ann looks at them again
    assert [event.spectrum_id for event in store.undo_last(ROUND, "Ann", 5)] == ["a"]
    assert store.undo_last(ROUND, "Ann", 5) == []


def test_votes_follow_what_is_said(store: LabelStore, say: Say) -> None:
    ids = ("a", "b", "c")
    assert store.votes("emission", ids) == {}
    say("a", "bad")
    say("b", flag=True, who="Bob")
    say("z", "bad")
    expected = {"a": [("Ann", "bad", 0)], "b": [("Bob", None, 1)]}
    assert store.votes("emission", ids) == expected
    kept = store.votes("emission", ids)
    store.undo(ROUND, "Bob")
    assert store.votes("emission", ids) == {"a": expected["a"]}
    assert kept == expected  # the answer of before stays as it was
    assert store.progress("emission", ids).labelled == 1


def test_leases_end(store: LabelStore, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(module.time, "time", lambda: now[0])
    assert store.claim("emission", ROUND, "Ann", "ab", 1, seconds=60) == ["a"]
    now[0] += 59
    assert store.claim("emission", ROUND, "Bob", "ab", 1, seconds=60) == ["b"]
    now[0] += 1
    assert store.claim("emission", ROUND, "Bob", "a", 1, seconds=60) == ["a"]
    assert store.claim("emission", ROUND, "Ann", "ab", 2, seconds=60) == []


def test_claim_looks_no_further_than_it_must(store: LabelStore, say: Say) -> None:
    ids = [f"s{i}" for i in range(3000)]
    for each in ids[:3]:
        say(each, "bad")
    rest = iter(ids)
    assert store.claim("emission", ROUND, "Ann", rest, 2) == ["s3", "s4"]
    assert len(list(rest)) > 1000
    assert store.claim("emission", ROUND, "Bob", ids, 1500) == ids[5:1505]
    assert store.claim("emission", ROUND, "Cy", [*ids[5:], *ids, *ids], 2000) == ids[1505:]


def test_progress_of_other_lists_and_paths(store: LabelStore, say: Say) -> None:
    lists = [tuple(f"{i}-{j}" for j in range(4)) for i in range(module._TALLIES + 2)]
    for ids in lists:
        assert store.progress("emission", ids) == Progress(4, 0, {}, 0, 0)
    assert len(store._tallies) == module._TALLIES
    say("3-0", "bad")
    say("3-0", "absorption", who="Bob")
    store.add("mstars", "3-1", "Ann", queue="m", label="M dwarf")
    assert store.progress("emission", lists[3]) == Progress(4, 1, {"Ann": 1, "Bob": 1}, 1, 0)
    assert store.progress("mstars", lists[3]) == Progress(4, 1, {"Ann": 1}, 0, 0)
    assert store.progress("emission", lists[4]).labelled == 0
    store.undo(ROUND, "Bob")
    assert store.progress("emission", lists[3]) == Progress(4, 1, {"Ann": 1}, 0, 0)
    with LabelStore(store.path) as other:  # what another process adds counts too
        other.add("emission", "3-2", "Cy", queue=ROUND, label="bad", flag=True)
    assert store.progress("emission", lists[3]) == Progress(4, 2, {"Ann": 1, "Cy": 1}, 0, 1)


# Crashes, threads, processes


def test_every_label_is_synced_to_disk(store: LabelStore) -> None:
    assert store._database.execute("PRAGMA synchronous").fetchone()[0] == 2
    assert store._database.execute("PRAGMA journal_mode").fetchone()[0] == "wal"


ENDLESS = """
import sys
from starsift.review.labels import LabelStore
store = LabelStore(sys.argv[1])
for i in range(10**6):
    store.add('emission', f's{i}', 'Ann', queue='q', label='bad', comment='x' * 500)
    print(i, flush=True)
"""


def test_nothing_that_was_saved_is_lost_when_the_process_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "labels.sqlite"
    process = subprocess.Popen([sys.executable, "-c", ENDLESS, path], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    saved = [int(process.stdout.readline()) for _ in range(100)]
    os.kill(process.pid, signal.SIGKILL)
    saved += [int(line) for line in process.stdout if line.endswith("\n")]
    process.stdout.close()
    process.wait()
    assert process.returncode == -signal.SIGKILL
    assert Path(f"{path}-wal").exists()  # it had no time to tidy up
    with LabelStore(path) as store:
        found = {int(name[1:]) for name in store.current("emission")}
        # The last one may have been on disk before it was told.
        assert set(saved) <= found <= set(range(len(saved) + 1))
        assert len(store.history("emission", "s0")) == 1


def test_two_processes_share_a_queue(tmp_path: Path) -> None:
    ids = [f"s{i}" for i in range(60)]
    path = str(tmp_path / "new" / "labels.sqlite")  # both make it
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        assert list(pool.map(label_all, [path] * 2, ("Ann", "Bob"), [ids] * 2, timeout=60)) == [None, None]
    with LabelStore(path) as store:
        assert sorted(store.current("emission")) == sorted(ids)
        assert all(len(store.history("emission", each)) == 1 for each in ids)
        assert sum(store.progress("emission", ids).by_person.values()) == 60


def test_threads_share_a_store(store: LabelStore) -> None:
    ids = tuple(f"s{i}" for i in range(40))

    def work(who: str) -> None:
        while claimed := store.claim("emission", "q", who, ids, 1):
            store.add("emission", claimed[0], who, queue="q", label="bad")
            store.progress("emission", ids)
            store.current("emission", ids)

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(work, "ABCD")) == [None] * 4
    assert all(len(people) == 1 for people in store.current("emission").values())
    assert store.progress("emission", ids).labelled == 40


def test_a_full_disk_is_told_and_nothing_half_is_saved(store: LabelStore, say: Say) -> None:
    say("a", "bad")
    pages = store._database.execute("PRAGMA page_count").fetchone()[0]
    store._database.execute(f"PRAGMA max_page_count = {pages}")

    with pytest.raises(OSError, match=r"starsift.sqlite: nothing was saved .*full.*; try again"):
        deque(say(f"b{i}", "bad", comment="x" * 2000) for i in range(100))
    events = store._database.execute("SELECT count(*) FROM events").fetchone()[0]
    assert events == len(store.current("emission")) >= 1
    store._database.execute("PRAGMA max_page_count = 100000")
    say("c", "bad")
    assert "c" in store.current("emission")


# Files


def test_read_only(store: LabelStore, say: Say, tmp_path: Path) -> None:
    say("a", "bad")
    store.export(tmp_path / "l.parquet")
    with LabelStore(store.path, read_only=True) as reader:
        assert labels_of(reader) == {"a": {"Ann": "bad"}}
        say("b", "bad")  # by the other one
        assert reader.progress("emission", ("a", "b", "c")) == Progress(3, 2, {"Ann": 2}, 0, 0)
        assert len(reader.history("emission", "b")) == 1
        reader.export(tmp_path / "m.parquet")
        for write in (
            lambda: reader.add("emission", "c", "Ann", queue="q", label="bad"),
            lambda: reader.undo(ROUND, "Ann"),
            lambda: reader.claim("emission", "q", "Ann", ["c"], 1),
            lambda: reader.release("q", "Ann"),
            lambda: reader.import_labels(tmp_path / "l.parquet"),
        ):
            with pytest.raises(ReadOnlyError, match=r"starsift.sqlite was opened read-only"):
                write()
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            reader._database.execute("DELETE FROM current")
    with pytest.raises(InputError, match="no such label store; `starsift review` makes one"):
        LabelStore(tmp_path / "no" / "labels.sqlite", read_only=True)
    assert not (tmp_path / "no").exists()


def test_read_only_where_nothing_can_be_written(
    store: LabelStore, say: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    say("a", "bad")
    store.close()
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert read_labels(store.path, SEARCHES["emission"]).num_rows == 1
    assert [path.name for path in store.path.parent.iterdir()] == ["starsift.sqlite"]


def test_files_that_are_no_store_are_left_alone(tmp_path: Path) -> None:
    text = tmp_path / "notes.sqlite"
    text.write_text("these are my notes, and they are not short\n" * 50)
    other = tmp_path / "other.sqlite"
    execute(other, "CREATE TABLE mine (x)")
    newer = tmp_path / "newer.sqlite"
    LabelStore(newer).close()
    execute(newer, "PRAGMA user_version = 3")
    for path, message in {
        text: "not a label store .file is not a database",
        other: "not a label store but another database; name the file of the review app",
        newer: "a label store of version 3, but this starsift knows 2; update it",
    }.items():
        before = path.read_bytes()
        for read_only in (False, True):
            with pytest.raises(InputError, match=message) as error:
                LabelStore(path, read_only=read_only)
            assert str(error.value).startswith(str(path))
        assert path.read_bytes() == before
    for path in (tmp_path, text / "labels.sqlite"):
        with pytest.raises(OSError, match="cannot be opened as a label store"):
            LabelStore(path)


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A store of version 1, which named the column `search` `path`; three events, one of them revoked."""
    file = tmp_path / "old.sqlite"
    with LabelStore(file) as store:
        store.add("emission", "a", "Ann", queue=ROUND, label="bad")
        store.add("emission", "b", "Ann", queue=ROUND, label="single peak", comment="narrow")
        store.add("bhb", "c", "Bob", queue="q", label="BHB", flag=True)
        store.undo("q", "Bob")
    tables = ("events", "current", "claims")
    rename = [f"ALTER TABLE {table} RENAME COLUMN search TO path" for table in tables]
    execute(file, *rename, "PRAGMA user_version = 1")
    return file


def test_a_store_of_version_1_is_read(old: Path, tmp_path: Path) -> None:
    before = old.read_bytes()
    assert read_labels(old, SEARCHES["emission"])["label"].to_pylist() == ["bad", "single peak"]
    with LabelStore(old, read_only=True) as store:
        assert labels_of(store) == {"a": {"Ann": "bad"}, "b": {"Ann": "single peak"}}
        assert [event.label for event in store.history("bhb", "c")] == ["BHB", None]
        assert store.progress("emission", ("a", "b", "z")) == Progress(3, 2, {"Ann": 2}, 0, 0)
        assert store.export(tmp_path / "l.parquet")["search"].to_pylist() == ["emission", "emission"]
    assert old.read_bytes() == before


def test_a_store_of_version_1_is_migrated_where_it_is_written(old: Path) -> None:
    with LabelStore(old, read_only=True) as store:
        expected = store.history("emission", "b")
    with LabelStore(old) as store:
        assert store.history("emission", "b") == expected
        store.add("emission", "a", "Ann", queue=ROUND, label="absorption")
        assert labels_of(store)["a"] == {"Ann": "absorption"}
        assert store.claim("emission", ROUND, "Bob", ["a", "b", "z"], 3) == ["z"]
        with pytest.raises(sqlite3.IntegrityError, match="the history of labels is never"):
            store._database.execute("DELETE FROM events")
    with LabelStore(old) as store:
        assert labels_of(store)["a"] == {"Ann": "absorption"}


def test_an_empty_file_becomes_a_store(tmp_path: Path) -> None:
    (tmp_path / "l.sqlite").touch()
    with pytest.raises(InputError, match="not a label store"):
        LabelStore(tmp_path / "l.sqlite", read_only=True)
    with LabelStore(tmp_path / "l.sqlite") as store:
        store.add("bhb", "a", "Ann", queue="q", label="BHB")
        assert labels_of(store, "bhb") == {"a": {"Ann": "BHB"}}


# Export and import


def fill(store: LabelStore) -> None:
    store.add("emission", "b", "Ann", queue=ROUND, label="bad", flag=True, comment='two, "and"\nlines')
    store.add("emission", "a", "Bob", queue=ROUND, label="single peak")
    store.add("emission", "a", "Ann", queue=ROUND, label="double peak")
    store.add("mstars", "a", "Ann", queue="mstars-vetting", label="M dwarf")
    store.add("binaries", "x/1", "Zoë", queue="binaries-spectra", flag=True)
    store.add("emission", "c", "Bob", queue=ROUND, label="bad")
    store.undo(ROUND, "Bob")


def test_export(store: LabelStore, tmp_path: Path) -> None:
    fill(store)
    table = store.export(tmp_path / "l.parquet")
    assert pq.read_table(tmp_path / "l.parquet").equals(table)
    assert table.schema.equals(LABELS, check_metadata=True)
    rows = table.drop_columns(["time", "version"]).to_pylist()
    assert [tuple(row.values()) for row in rows] == [
        ("binaries", "x/1", None, "Zoë", True, None, "binaries-spectra"),
        ("emission", "a", "double peak", "Ann", False, None, ROUND),
        ("emission", "a", "single peak", "Bob", False, None, ROUND),
        ("emission", "b", "bad", "Ann", True, 'two, "and"\nlines', ROUND),
        ("mstars", "a", "M dwarf", "Ann", False, None, "mstars-vetting"),
    ]
    state = store.current("mstars")["a"]["Ann"]
    assert table["time"][-1].as_py() == datetime.fromisoformat(state.time)
    assert table["version"][-1].as_py() == state.version


def test_the_same_labels_make_the_same_bytes(store: LabelStore, tmp_path: Path) -> None:
    fill(store)
    table = store.export(tmp_path / "all.parquet")
    store.export(tmp_path / "again.parquet")
    with LabelStore(tmp_path / "other.sqlite") as other:
        for at in (3, 0, 4, 1, 2):  # piece by piece in another order
            pq.write_table(table.slice(at, 1), tmp_path / "piece.parquet")
            assert other.import_labels(tmp_path / "piece.parquet") == 1
        assert other.current("emission") == store.current("emission")
        other.export(tmp_path / "other.parquet")
    with LabelStore(tmp_path / "direct.sqlite") as direct:
        assert direct.import_labels(store.path) == 5
        direct.export(tmp_path / "direct.parquet")
    expected = (tmp_path / "all.parquet").read_bytes()
    for name in ("again", "other", "direct"):
        assert (tmp_path / f"{name}.parquet").read_bytes() == expected


def test_store_export_and_table_read_the_same(store: LabelStore, tmp_path: Path) -> None:
    fill(store)
    table = store.export(tmp_path / "l.parquet")
    lines = ["search,spectrum_id,label,vetted_by,time"]
    for row in table.to_pylist():
        row["time"] = row["time"].isoformat(timespec="milliseconds")
        lines.append(",".join(row[name] or "" for name in lines[0].split(",")))
    (tmp_path / "l.csv").write_text("\n".join(lines) + "\n")
    for name in ("emission", "mstars", "binaries"):
        expected = read_labels(store.path, SEARCHES[name])
        assert read_labels(tmp_path / "l.parquet", SEARCHES[name]).equals(expected)
        assert read_labels(tmp_path / "l.csv", SEARCHES[name]).equals(expected)
    read = read_labels(store.path, SEARCHES["emission"]).drop_columns(["search"])
    assert [tuple(row.values()) for row in read.to_pylist()] == [
        ("a", "double peak", "double peak", "Ann+Bob", 2, False),
        ("b", "bad", "uninteresting", "Ann", 1, True),
    ]


def test_import_keeps_what_is_newer_here(store: LabelStore, say: Say, tmp_path: Path) -> None:
    say("a", "bad")
    say("b", "bad")
    store.export(tmp_path / "old.parquet")
    say("a", "absorption")
    store.undo(ROUND, "Ann")
    say("a", "single peak")
    store.undo("none", "Ann")
    assert store.import_labels(tmp_path / "old.parquet") == 0
    assert labels_of(store) == {"a": {"Ann": "single peak"}, "b": {"Ann": "bad"}}
    with LabelStore(tmp_path / "home.sqlite") as home:
        assert home.import_labels(tmp_path / "old.parquet") == 2
        store.export(tmp_path / "new.parquet")
        assert home.import_labels(tmp_path / "new.parquet") == 1
        assert home.current("emission") == store.current("emission")
        assert home.undo(ROUND, "Ann").label == "single peak"  # type: ignore[union-attr]
        assert labels_of(home)["a"] == {"Ann": "bad"}
        assert home.import_labels(tmp_path / "new.parquet") == 0  # what is undone here stays so


def test_import_of_a_table_without_times(store: LabelStore, say: Say, tmp_path: Path) -> None:
    say("a", "bad", comment="mine")
    path = tmp_path / "l.csv"
    path.write_text("spectrum_id,label,vetted_by\na,absorption,Ann\nb,bad,\nc,,Ann\n")
    with pytest.raises(InputError, match="labels lack search; add a column with the name"):
        store.import_labels(path)
    assert store.import_labels(path, who="Bob", search="emission") == 2
    current = store.current("emission")
    ann = current["a"]["Ann"]
    assert (ann.label, ann.comment, ann.queue) == ("absorption", "mine", "import")
    assert current["b"]["Bob"].label == "bad"
    assert "c" not in current
    say("a", "double peak")
    assert store.import_labels(path, who="Bob", search="emission") == 0
    assert labels_of(store)["a"] == {"Ann": "double peak"}
    path.write_text("spectrum_id,label,vetted_by\na,bad,Ann\n")
    assert store.import_labels(path, search="emission") == 1
    assert labels_of(store)["a"] == {"Ann": "bad"}
    assert store.undo("import", "Ann").label == "bad"  # type: ignore[union-attr]
    assert store.import_labels(path, search="emission") == 0
    (tmp_path / "m.csv").write_text("spectrum_id,label\nz,bad\n")
    assert store.import_labels(tmp_path / "m.csv", search="emission") == 1
    assert labels_of(store)["z"] == {"unknown": "bad"}


def test_import_takes_all_or_nothing(store: LabelStore, tmp_path: Path) -> None:
    path = tmp_path / "l.csv"
    path.write_text(f"spectrum_id,label,vetted_by\na,bad,Ann\nb,bad,{'x' * 65}\n")
    with pytest.raises(InputError, match=r"l.csv: spectrum b: .* is 'xxx.*; expected 1 to 64"):
        store.import_labels(path, search="emission")
    late = {"search": ["bhb"], "spectrum_id": ["a"], "label": ["BHB"], "time": [2**62]}
    pq.write_table(pa.table(late), tmp_path / "t.parquet")
    with pytest.raises(InputError, match=r"t.parquet: "):
        store.import_labels(tmp_path / "t.parquet")
    assert store.current("emission") == {} == store.current("bhb")


def test_state_of_a_large_list(store: LabelStore, say: Say) -> None:
    ids = [f"s{i}" for i in range(1234)]
    for each in (ids[1], ids[1233]):
        say(each, "bad")
    assert sorted(store.current("emission", ids)) == ["s1", "s1233"]
    assert store.current("emission", []) == {}


def test_unknown_words_are_refused_on_import(store: LabelStore, write: Callable[..., Path]) -> None:
    message = "row 1: label 'double-lined' is not a label of binaries: SB1, SB2, SB3, not binary"
    with pytest.raises(InputError, match=message):
        store.import_labels(real("cases") / "labels-unknown-word.csv")
    with pytest.raises(InputError, match="row 2: label 'Nova' is not a label of mstars: M, not M, M dwarf"):
        store.import_labels(write("spectrum_id,label\na,dM4\nb,Nova\n"), search="mstars")
    assert not any(store.current(path) for path in ("binaries", "mstars"))
    assert store.import_labels(write("spectrum_id,label\na,dM4\nb,K7\nc,M giant\n"), search="mstars") == 3
