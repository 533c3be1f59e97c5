"""The label store of the review app: one SQLite file for all paths.

What people say is kept as events (table `events`), to which rows are added and nothing else: triggers refuse
to change or delete one. Undo is an event too, which names the one that it revokes. What is in force (table
`current`, one row a person and spectrum) follows from the events that are not revoked, in their order, and is
renewed in the transaction that adds an event. When `LabelStore.add` returns, the label is on disk
(write-ahead log, synchronous=FULL).

The file must be on a disk of the machine that writes it: SQLite's write-ahead log does not work across a
network file system. Other machines read an export.
"""

import sqlite3
import threading
import time
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib import metadata
from itertools import islice
from pathlib import Path
from typing import Any, Self

import pyarrow as pa

from starsift.catalog.provenance import package_fingerprint
from starsift.errors import InputError, ReadOnlyError
from starsift.io.parquet import write_parquet
from starsift.learning.labels import (
    APPLICATION_ID,
    PATHS,
    SCHEMA_VERSION,
    PathLike,
    check_store,
    check_words,
    connect_store,
    load_labels,
    read_current,
)

LEASE = 600.0  # seconds for which a spectrum is handed out
IMPORTED = "import"  # queue of imported labels that do not tell theirs
UNKNOWN = "unknown"  # person or version where an imported table does not tell
NAME_LENGTH = 64  # of labels, people and queues
ID_LENGTH = 200
COMMENT_LENGTH = 2000
_CHUNK = 500  # ids in one query; older SQLite takes 999 parameters
_TALLIES = 16  # lists whose counts are kept
_WAIT = 30.0  # seconds that a write waits for that of another process
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_SCHEMA = (
    """CREATE TABLE events (
    id INTEGER PRIMARY KEY,
    path TEXT NOT NULL,
    spectrum_id TEXT NOT NULL,
    who TEXT NOT NULL,
    queue TEXT NOT NULL,
    label TEXT,
    flag INTEGER,
    comment TEXT,
    time TEXT NOT NULL,
    version TEXT NOT NULL,
    undoes INTEGER REFERENCES events (id)
)""",
    "CREATE INDEX events_of_spectrum ON events (path, spectrum_id, who)",
    "CREATE INDEX events_of_queue ON events (queue, who)",
    "CREATE UNIQUE INDEX events_undone ON events (undoes) WHERE undoes IS NOT NULL",
    """CREATE TRIGGER events_stay BEFORE UPDATE ON events
    BEGIN SELECT RAISE(ABORT, 'the history of labels is never changed'); END""",
    """CREATE TRIGGER events_are_kept BEFORE DELETE ON events
    BEGIN SELECT RAISE(ABORT, 'the history of labels is never deleted'); END""",
    # INSERT OR REPLACE deletes without asking the trigger above.
    """CREATE TRIGGER events_are_new BEFORE INSERT ON events
    WHEN EXISTS (SELECT 1 FROM events WHERE id = NEW.id OR undoes = NEW.undoes)
    BEGIN SELECT RAISE(ABORT, 'the history of labels is never changed'); END""",
    """CREATE TABLE current (
    path TEXT NOT NULL,
    spectrum_id TEXT NOT NULL,
    who TEXT NOT NULL,
    label TEXT,
    flag INTEGER NOT NULL,
    comment TEXT,
    queue TEXT NOT NULL,
    time TEXT NOT NULL,
    version TEXT NOT NULL,
    PRIMARY KEY (path, spectrum_id, who)
) WITHOUT ROWID""",
    """CREATE TABLE claims (
    path TEXT NOT NULL,
    spectrum_id TEXT NOT NULL,
    queue TEXT NOT NULL,
    who TEXT NOT NULL,
    expires REAL NOT NULL,
    PRIMARY KEY (path, spectrum_id)
) WITHOUT ROWID""",
    f"PRAGMA application_id = {APPLICATION_ID}",
    f"PRAGMA user_version = {SCHEMA_VERSION}",
)
_OF_KEY = "path = ? AND spectrum_id = ? AND who = ?"
_UNDONE = "EXISTS (SELECT 1 FROM events u WHERE u.undoes = e.id)"
_IN_FORCE = f"undoes IS NULL AND NOT {_UNDONE}"

Key = tuple[str, str, str]  # path, spectrum_id, who
Said = tuple[str | None, bool | None, str | None]  # label, flag, comment; None: unchanged
_Vote = tuple[str, str | None, int]  # who, label, flag


@dataclass(frozen=True)
class State:
    """What a person says of a spectrum; queue, time (ISO 8601, UTC) and version are of the last change."""

    label: str | None
    flag: bool
    comment: str | None
    queue: str
    time: str
    version: str


@dataclass(frozen=True)
class Event:
    """One thing that a person said: label, flag, comment are None where it left them as they were.

    `undoes` is the id of the event that this one revokes; `undone`: another one revokes this.
    """

    id: int
    path: str
    spectrum_id: str
    who: str
    queue: str
    label: str | None
    comment: str | None
    time: str
    version: str
    undoes: int | None
    flag: bool | None
    undone: bool


@dataclass(frozen=True)
class Progress:
    """How far a list of spectra is: numbers of spectra; `by_person`: how many each person labelled."""

    total: int
    labelled: int
    by_person: dict[str, int]
    disagreements: int
    flagged: int


class _Tally:
    """Counts of one list of spectra, to be brought up to date by the events since the last time."""

    def __init__(self, path: str, ids: tuple[str, ...]) -> None:
        self._path = path
        self._ids = ids  # held, so that no other tuple gets its identity
        self._wanted = frozenset(ids)
        self._seen = 0  # the last event counted
        self._said: dict[str, list[_Vote]] = {}
        self._by_person: Counter[str] = Counter()
        self._labelled = self._disagreements = self._flagged = 0

    def update(self, database: sqlite3.Connection) -> None:
        """Count again the spectra of which something was said since."""
        select = "SELECT spectrum_id, who, label, flag FROM current WHERE path = ?"
        last = database.execute("SELECT max(id) FROM events").fetchone()[0] or 0
        now: dict[str, list[_Vote]] = {}
        if self._seen == 0:
            rows = database.execute(select, (self._path,)).fetchall()
        else:
            changed = database.execute(
                "SELECT spectrum_id FROM events WHERE id > ? AND +path = ?", (self._seen, self._path)
            )
            now = {each: [] for (each,) in changed if each in self._wanted}
            rows = []
            for chunk in _chunks(now):
                which = f"{select} AND spectrum_id IN ({_marks(chunk)})"
                rows += database.execute(which, (self._path, *chunk)).fetchall()
        for spectrum_id, *vote in rows:
            if spectrum_id in self._wanted:
                now.setdefault(spectrum_id, []).append(tuple(vote))
        for spectrum_id, votes in now.items():
            self._count(self._said.get(spectrum_id, []), -1)
            self._count(votes, 1)
            self._said[spectrum_id] = votes
        self._seen = last

    def _count(self, votes: list[_Vote], sign: int) -> None:
        labels = set()
        for who, label, _ in votes:
            if label is not None:
                labels.add(label)
                self._by_person[who] += sign
        self._labelled += sign * (len(labels) > 0)
        self._disagreements += sign * (len(labels) > 1)
        self._flagged += sign * any(flag for _, _, flag in votes)

    def progress(self) -> Progress:
        return Progress(
            len(self._wanted),
            self._labelled,
            {who: count for who, count in sorted(self._by_person.items()) if count},
            self._disagreements,
            self._flagged,
        )


class LabelStore:
    """Labels in an SQLite file. Threads may share a store, processes open one each.

    Parameters
    ----------
    path : of the file; made with its folder if there is none
    read_only : the file must be there, and nothing is written

    Raises
    ------
    InputError : the file is no label store, is of a newer version, or (read_only) is not there.
    OSError : the file cannot be made or opened.
    """

    def __init__(self, path: PathLike, *, read_only: bool = False) -> None:
        self.path = Path(path)
        self.read_only = read_only
        self._lock = threading.RLock()
        self._tallies: dict[tuple[str, int], _Tally] = {}  # the last used last
        self._database = connect_store(self.path) if read_only else _open(self.path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; the last one to do so moves the write-ahead log into it."""
        with self._lock:
            self._database.close()

    def add(
        self,
        path: str,
        spectrum_id: str,
        who: str,
        *,
        queue: str,
        label: str | None = None,
        flag: bool | None = None,
        comment: str | None = None,
    ) -> int:
        """Save what a person says of a spectrum, and end that person's claim on it.

        What is None stays as it is; an empty comment deletes the comment. What this person said already, in
        this queue, is not saved twice: a request can be repeated when its answer got lost.

        Returns
        -------
        int : id of the event

        Raises
        ------
        ValueError : a value is not allowed; the message says what is.
        ReadOnlyError : the store is read-only.
        OSError : the file cannot be written.
        """
        key = _key(path, spectrum_id, who)
        queue = _text("queue", queue)
        said = _said(label, flag, comment)
        with self._transaction() as database:
            database.execute("DELETE FROM claims WHERE path = ? AND spectrum_id = ? AND who = ?", key)
            events = _events(database, f"{_OF_KEY} AND {_IN_FORCE}", key)
            if events and events[-1].queue == queue and _says(_state(events), *said):
                return events[-1].id
            return _insert(database, key, queue, said)

    def undo(self, queue: str, who: str) -> Event | None:
        """Revoke a person's last event in a queue that is not revoked yet; again goes further back.

        The spectrum is claimed for that person, who wants to look at it again.

        Returns
        -------
        Event : the one that is now revoked; None if there was none left

        Raises
        ------
        ValueError, ReadOnlyError, OSError : as in `add`.
        """
        queue, who = _text("queue", queue), _person(who)
        with self._transaction() as database:
            found = _events(database, f"queue = ? AND who = ? AND {_IN_FORCE}", (queue, who), "DESC LIMIT 1")
            if not found:
                return None
            event = found[0]
            _insert(
                database, (event.path, event.spectrum_id, who), queue, (None, None, None), undoes=event.id
            )
            database.execute("DELETE FROM claims WHERE expires <= ?", (time.time(),))
            # Unless somebody else holds it by now.
            database.execute(
                "INSERT OR IGNORE INTO claims VALUES (?, ?, ?, ?, ?)",
                (event.path, event.spectrum_id, queue, who, time.time() + LEASE),
            )
        return replace(event, undone=True)

    def current(self, path: str, spectrum_ids: Iterable[str] | None = None) -> dict[str, dict[str, State]]:
        """What is in force: spectrum_id -> person -> `State`, of some spectra or all of a path.

        Spectra of which nobody said anything are left out.
        """
        found: dict[str, dict[str, State]] = {}
        select = (
            "SELECT spectrum_id, who, label, flag, comment, queue, time, version FROM current WHERE path = ?"
        )
        for chunk in [()] if spectrum_ids is None else _chunks(spectrum_ids):
            which = f" AND spectrum_id IN ({_marks(chunk)})" if chunk else ""
            rows = self._read(f"{select}{which} ORDER BY spectrum_id, who", (path, *chunk))
            for spectrum_id, who, label, flag, *rest in rows:
                found.setdefault(spectrum_id, {})[who] = State(label, bool(flag), *rest)
        return found

    def history(self, path: str, spectrum_id: str) -> list[Event]:
        """All that was ever said of a spectrum, in order; what is revoked is marked."""
        with self._lock:
            return _events(self._database, "path = ? AND spectrum_id = ?", (path, spectrum_id))

    def claim(
        self,
        path: str,
        queue: str,
        who: str,
        candidates: Iterable[str],
        count: int,
        *,
        seconds: float = LEASE,
        second_opinion: bool = False,
    ) -> list[str]:
        """Lease the next spectra to a person: those that nobody labelled and nobody else holds.

        Two people never get the same spectrum, whichever queues of a path they work on. A lease ends after
        `seconds`, when its holder labels the spectrum, or with `release`; claiming again renews it.

        Parameters
        ----------
        candidates : in the order in which they are to be handed out
        count : how many at most
        second_opinion : also what others labelled, but not `who`

        Returns
        -------
        list of spectrum_id, in the order of the candidates; empty where nothing is left for this person

        Raises
        ------
        ValueError, ReadOnlyError, OSError : as in `add`.
        """
        _path(path)
        queue, who = _text("queue", queue), _person(who)
        labelled = "SELECT spectrum_id FROM current WHERE path = ? AND label IS NOT NULL"
        chosen: list[str] = []
        with self._transaction() as database:
            now = time.time()
            database.execute("DELETE FROM claims WHERE expires <= ?", (now,))
            held = {
                row[0]
                for row in database.execute(
                    "SELECT spectrum_id FROM claims WHERE path = ? AND who != ?", (path, who)
                )
            }
            for chunk in _chunks(candidates):
                mine = (" AND who = ?", (who,)) if second_opinion else ("", ())
                done = {
                    row[0]
                    for row in database.execute(
                        f"{labelled} AND spectrum_id IN ({_marks(chunk)}){mine[0]}", (path, *chunk, *mine[1])
                    )
                }
                left = [each for each in dict.fromkeys(chunk) if each not in done and each not in held]
                chosen += [each for each in left if each not in chosen][: max(0, count - len(chosen))]
                if len(chosen) >= count:
                    break
            database.executemany(
                "INSERT OR REPLACE INTO claims VALUES (?, ?, ?, ?, ?)",
                [(path, each, queue, who, now + seconds) for each in chosen],
            )
        return chosen

    def release(self, queue: str, who: str, spectrum_ids: Iterable[str] | None = None) -> None:
        """Give up what a person holds in a queue, all of it or some spectra.

        Raises
        ------
        ValueError, ReadOnlyError, OSError : as in `add`.
        """
        queue, who = _text("queue", queue), _person(who)
        with self._transaction() as database:
            if spectrum_ids is None:
                database.execute("DELETE FROM claims WHERE queue = ? AND who = ?", (queue, who))
            else:
                database.executemany(
                    "DELETE FROM claims WHERE queue = ? AND who = ? AND spectrum_id = ?",
                    [(queue, who, each) for each in spectrum_ids],
                )

    def progress(self, path: str, spectrum_ids: Collection[str]) -> Progress:
        """How many of some spectra are labelled, by whom, flagged, or labelled differently by two people.

        Of a tuple the counts are kept: when the same one comes again, only what was said since is looked at.
        """
        _path(path)
        ids = tuple(spectrum_ids)  # a tuple stays itself
        with self._lock:
            tally = self._tallies.pop((path, id(ids)), None) or _Tally(path, ids)
            self._database.execute("BEGIN")  # all that the tally reads is of one moment
            try:
                tally.update(self._database)
            finally:
                self._database.execute("COMMIT")
            if ids is spectrum_ids:
                self._tallies[path, id(ids)] = tally
                if len(self._tallies) > _TALLIES:
                    del self._tallies[next(iter(self._tallies))]
            return tally.progress()

    def export(self, parquet_path: PathLike) -> pa.Table:
        """Write what is in force as Parquet: the same labels make the same bytes.

        Returns
        -------
        Table of the schema `starsift.learning.labels.LABELS`, sorted by path, spectrum_id, vetted_by
        """
        with self._lock:
            table = read_current(self._database)
        write_parquet(table, parquet_path, sort_by=["path", "spectrum_id", "vetted_by"])
        return table

    def import_labels(self, file: PathLike, *, who: str | None = None, path: str | None = None) -> int:
        """Add the labels of an export, another store, or a CSV; all of them or none.

        A row with a time is added if it is later than all that this person said of the spectrum here; it
        keeps time, queue and version, so an empty store that imports an export exports the same bytes. A row
        without a time is taken as said now, unless it repeats what this person said last in its queue. So
        nothing is added twice, and what is newer here stays.

        Parameters
        ----------
        file : as `starsift.learning.labels.load_labels` takes it
        who : the person, where a row does not tell; without it "unknown"
        path : of rows, where the file has no column path

        Returns
        -------
        int : number of rows that were added

        Raises
        ------
        InputError : the file cannot be used, or a label is none of its path's words; the message names file,
            row and column.
        ValueError, ReadOnlyError, OSError : as in `add`.
        """
        table = load_labels(file, path=path)
        check_words(file, table)
        kept = table.column_names
        rows = table.set_column(kept.index("time"), "time", table["time"].cast(pa.int64())).to_pylist()
        checked = [_imported(row, file, who or UNKNOWN) for row in rows]
        # In the order in which it was said: undo goes back in that order.
        checked.sort(key=lambda row: (row[3] is None, row[3] or "", row[0]))
        added = 0
        with self._transaction() as database:
            for key, queue, said, when, version in checked:
                if when is None:
                    last = _events(
                        database,
                        f"{_OF_KEY} AND +queue = ? AND undoes IS NULL",
                        (*key, queue),
                        "DESC LIMIT 1",
                    )
                    known = bool(last) and (last[0].label, last[0].flag, last[0].comment) == said
                else:
                    known = when <= _last_time(database, key)
                if not known:
                    _insert(database, key, queue, said, when, version)
                    added += 1
        return added

    def _read(self, sql: str, values: tuple[object, ...] = ()) -> list[tuple]:
        with self._lock:
            return self._database.execute(sql, values).fetchall()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """All that is written in the block, or nothing of it."""
        if self.read_only:
            raise ReadOnlyError(f"{self.path} was opened read-only; open it without read_only to save labels")
        with self._lock:
            try:
                self._database.execute("BEGIN IMMEDIATE")
                yield self._database
                self._database.execute("COMMIT")
            except BaseException as error:
                if self._database.in_transaction:
                    self._database.execute("ROLLBACK")
                if isinstance(error, sqlite3.OperationalError):
                    raise OSError(f"{self.path}: nothing was saved ({error}); try again") from error
                raise


def _open(file: Path) -> sqlite3.Connection:
    """Open a label store for writing; an empty file becomes one, as does none."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        database = sqlite3.connect(file, timeout=_WAIT, isolation_level=None, check_same_thread=False)
    except (sqlite3.Error, OSError) as error:
        raise OSError(f"{file}: cannot be opened as a label store ({error})") from error
    try:
        # Two may begin at once: who comes second finds the tables made.
        database.execute("BEGIN IMMEDIATE")
        if database.execute("PRAGMA schema_version").fetchone()[0] == 0:
            for statement in _SCHEMA:
                database.execute(statement)
        database.execute("COMMIT")
        check_store(database, file)
        _start_log(database)
        database.execute("PRAGMA synchronous = FULL")
    except BaseException as error:
        database.close()
        if isinstance(error, sqlite3.OperationalError):
            raise OSError(f"{file}: cannot be opened as a label store ({error})") from error
        if isinstance(error, sqlite3.DatabaseError):
            raise InputError(f"{file}: not a label store ({error}); name another file") from error
        raise
    return database


def _start_log(database: sqlite3.Connection) -> None:
    """Switch to a write-ahead log. SQLite does not wait here for others that have the file open."""
    end = time.monotonic() + _WAIT
    while True:
        try:
            database.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError:
            if time.monotonic() > end:
                raise
            time.sleep(0.01)


def _events(database: sqlite3.Connection, where: str, values: tuple[str, ...], tail: str = "") -> list[Event]:
    columns = "id, path, spectrum_id, who, queue, label, comment, time, version, undoes, flag"
    sql = f"SELECT {columns}, {_UNDONE} FROM events e WHERE {where} ORDER BY id {tail}"
    events = []
    for row in database.execute(sql, values):
        fields = list(row)
        fields[-2] = None if row[-2] is None else bool(row[-2])
        fields[-1] = bool(row[-1])
        events.append(Event(*fields))
    return events


def _insert(
    database: sqlite3.Connection,
    key: Key,
    queue: str,
    said: Said,
    when: str | None = None,
    version: str | None = None,
    undoes: int | None = None,
) -> int:
    """Add an event and bring `current` up to date."""
    if when is None:
        # Times of one person and spectrum always rise, also where the clock was set back.
        last = _last_time(database, key)
        after = _iso(datetime.fromisoformat(last) + timedelta(milliseconds=1)) if last else ""
        when = max(_iso(datetime.now(UTC)), after)
    cursor = database.execute(
        "INSERT INTO events (path, spectrum_id, who, queue, label, flag, comment, time, version, undoes) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (*key, queue, *said, when, version or _code_version(), undoes),
    )
    events = _events(database, f"{_OF_KEY} AND {_IN_FORCE}", key)
    state = _state(events) if events else None
    if state is None or (state.label, state.flag, state.comment) == (None, False, None):
        database.execute(f"DELETE FROM current WHERE {_OF_KEY}", key)
    else:
        values = (state.label, state.flag, state.comment, state.queue, state.time, state.version)
        database.execute(
            f"INSERT OR REPLACE INTO current VALUES ({_marks((*key, *values))})", (*key, *values)
        )
    assert cursor.lastrowid is not None
    return cursor.lastrowid


def _state(events: Sequence[Event]) -> State:
    """What a person says of a spectrum after one or more events, none of them revoked."""
    label, flag, comment = None, False, ""
    for event in events:
        label = label if event.label is None else event.label
        flag = flag if event.flag is None else event.flag
        comment = comment if event.comment is None else event.comment
    return State(label, flag, comment or None, event.queue, event.time, event.version)


def _last_time(database: sqlite3.Connection, key: Key) -> str:
    """Of all that a person said of a spectrum; empty if that is nothing."""
    row = database.execute(
        f"SELECT time FROM events WHERE {_OF_KEY} ORDER BY id DESC LIMIT 1", key
    ).fetchone()
    return row[0] if row else ""


def _says(state: State, label: str | None, flag: bool | None, comment: str | None) -> bool:
    """Whether a state has all this already."""
    return (
        label in (None, state.label)
        and flag in (None, state.flag)
        and (comment is None or (comment or None) == state.comment)
    )


def _imported(row: dict[str, Any], file: PathLike, who: str) -> tuple[Key, str, Said, str | None, str | None]:
    """Key, queue, what is said, time and version of a row of `load_labels` whose time is milliseconds."""
    try:
        key = _key(row["path"], row["spectrum_id"], row["vetted_by"] or who)
        queue = _text("queue", row["queue"] or IMPORTED)
        if row["time"] is None:
            # A table without times often lacks flags and comments too: what is not there changes nothing.
            return key, queue, _said(row["label"], row["flag"] or None, row["comment"]), None, None
        when = _iso(_EPOCH + timedelta(milliseconds=row["time"]))
        version = _text("version", row["version"] or UNKNOWN)
        return key, queue, _said(row["label"], row["flag"], row["comment"] or ""), when, version
    except (ValueError, OverflowError) as error:
        raise InputError(f"{file}: spectrum {row['spectrum_id']}: {error}") from error


def _key(path: str, spectrum_id: str, who: str) -> Key:
    return _path(path), _text("spectrum_id", spectrum_id, ID_LENGTH), _person(who)


def _path(path: str) -> str:
    if path not in PATHS:
        raise ValueError(f"path is {path!r}, it must be one of {', '.join(PATHS)}")
    return path


def _person(who: str) -> str:
    # One name has one spelling, however it was typed.
    return _text(
        "name of the person", unicodedata.normalize("NFC", who).strip() if isinstance(who, str) else who
    )


def _text(what: str, text: str, length: int = NAME_LENGTH) -> str:
    if not (
        isinstance(text, str) and 0 < len(text) <= length and text.isprintable() and text == text.strip()
    ):
        raise ValueError(
            f"{what} is {repr(text)[:80]}; expected 1 to {length} printable characters, no space around them"
        )
    return text


def _said(label: str | None, flag: bool | None, comment: str | None) -> Said:
    if label is None and flag is None and comment is None:
        raise ValueError("nothing to save: give a label, a flag or a comment")
    if label is not None:
        _text("label", label)
    if flag not in (None, False, True):
        raise ValueError(f"flag is {flag!r}, it must be true or false")
    if comment is not None:
        comment = comment.strip()
        if len(comment) > COMMENT_LENGTH or any(
            unicodedata.category(each) in ("Cc", "Cs") for each in comment if each not in "\n\t"
        ):
            raise ValueError(
                f"comment is {repr(comment)[:80]}; expected at most {COMMENT_LENGTH} characters, no control "
                "characters but tabs and line feeds"
            )
    return label, None if flag is None else bool(flag), comment


def _iso(when: datetime) -> str:
    return when.isoformat(timespec="milliseconds").replace("+00:00", "Z")


@cache
def _code_version() -> str:
    """Of starsift, and the beginning of the fingerprint of its code."""
    try:
        version = metadata.version("starsift")
    except metadata.PackageNotFoundError:
        version = "0"
    return f"{version}+{package_fingerprint()[:12]}"


def _marks(values: Collection[object]) -> str:
    return ", ".join("?" * len(values))


def _chunks(ids: Iterable[str]) -> Iterator[tuple[str, ...]]:
    rest = iter(ids)
    while chunk := tuple(islice(rest, _CHUNK)):
        yield chunk
