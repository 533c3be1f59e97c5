"""The label store of the review app: one SQLite file for all searches.

Labels are kept as events (table `events`), to which rows are only added: triggers refuse
to change or delete one. The current state (table `current`) is renewed in the transaction that adds an event.
When `LabelStore.add` returns, the label is on disk (write-ahead log, synchronous=FULL).
"""

import sqlite3
import threading
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

import pyarrow as pa

from starsift.errors import InputError, ReadOnlyError
from starsift.io.parquet import table_writer
from starsift.learning.labels import PathLike, check_words, connect_store, load_labels, read_current
from starsift.review.database import chunks, marks, open_store
from starsift.review.events import (
    IN_FORCE,
    OF_KEY,
    Event,
    Key,
    Said,
    State,
    check_person,
    check_said,
    check_search,
    check_text,
    holds,
    insert_event,
    iso,
    last_time,
    make_key,
    read_events,
    state_after,
)
from starsift.review.progress import Progress, Tally, Vote
from starsift.searches.registry import SEARCHES

LEASE = 600.0  # seconds for which a spectrum is handed out
IMPORTED = "import"  # queue of imported labels that name none
UNKNOWN = "unknown"  # person or version that an imported table does not name
_TALLIES = 16  # lists whose counts are kept
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class LabelStore:
    """Labels in an SQLite file. Threads may share a store, processes open one each.

    Parameters
    ----------
    path : of the file; made with its folder if there is none; ":memory:" keeps labels in memory only
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
        self._tallies: dict[tuple[str, int], Tally] = {}  # the last used last
        self._database = connect_store(self.path) if read_only else open_store(self.path)

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
        search: str,
        spectrum_id: str,
        who: str,
        *,
        queue: str,
        label: str | None = None,
        flag: bool | None = None,
        comment: str | None = None,
    ) -> int:
        """Save a person's label, flag or comment, and end that person's claim on the spectrum.

        None changes nothing; an empty comment deletes the comment. What this person said already, in
        this queue, is not saved twice: a request can be repeated when its answer got lost.

        Returns
        -------
        int : id of the event

        Raises
        ------
        InputError : a value is not allowed; the message says what is.
        ReadOnlyError : the store is read-only.
        OSError : the file cannot be written.
        """
        key = make_key(search, spectrum_id, who)
        queue = check_text("queue", queue)
        said = check_said(label, flag, comment)
        with self._transaction() as database:
            return _say(database, key, queue, said)[0]

    def add_all(self, search: str, spectrum_ids: Sequence[str], who: str, *, queue: str, label: str) -> int:
        """Save one label of a person for several spectra, all or none; else as `add`.

        Returns
        -------
        int : number of spectra that did not have this label from this person in this queue already
        """
        keys = [make_key(search, spectrum_id, who) for spectrum_id in spectrum_ids]
        queue, said = check_text("queue", queue), check_said(label, None, None)
        with self._transaction() as database:
            return sum(_say(database, key, queue, said)[1] for key in keys)

    def undo(self, queue: str, who: str) -> Event | None:
        """Revoke a person's last event in a queue that is not revoked yet; again goes further back.

        The spectrum is claimed for that person, who looks at it again.

        Returns
        -------
        Event : the one that is now revoked; None if there was none left

        Raises InputError, ReadOnlyError, OSError: as in `add`.
        """
        return next(iter(self.undo_last(queue, who, 1)), None)

    def undo_last(self, queue: str, who: str, count: int) -> list[Event]:
        """Revoke several events as `undo` does, all or none; the latest comes first."""
        queue, who = check_text("queue", queue), check_person(who)
        with self._transaction() as database:
            which = f"queue = ? AND who = ? AND {IN_FORCE}"
            found = read_events(database, which, (queue, who), f"DESC LIMIT {int(count)}")
            database.execute("DELETE FROM claims WHERE expires <= ?", (time.time(),))
            for event in found:
                key = event.search, event.spectrum_id, who
                insert_event(database, key, queue, (None, None, None), undoes=event.id)
                # Unless somebody else holds it by now.
                database.execute(
                    "INSERT OR IGNORE INTO claims VALUES (?, ?, ?, ?, ?)",
                    (event.search, event.spectrum_id, queue, who, time.time() + LEASE),
                )
        return [replace(event, undone=True) for event in found]

    def current(self, search: str, spectrum_ids: Iterable[str] | None = None) -> dict[str, dict[str, State]]:
        """The current state: spectrum_id -> person -> `State`, of some spectra or all of a search.

        Spectra without any event are left out.
        """
        found: dict[str, dict[str, State]] = {}
        columns = "spectrum_id, who, label, flag, comment, queue, time, version"
        select = f"SELECT {columns} FROM current WHERE search = ?"
        for chunk in [()] if spectrum_ids is None else chunks(spectrum_ids):
            which = f" AND spectrum_id IN ({marks(chunk)})" if chunk else ""
            rows = self._read(f"{select}{which} ORDER BY spectrum_id, who", (search, *chunk))
            for spectrum_id, who, label, flag, *rest in rows:
                found.setdefault(spectrum_id, {})[who] = State(label, bool(flag), *rest)
        return found

    def history(self, search: str, spectrum_id: str) -> list[Event]:
        """All events of a spectrum, in order; revoked ones are marked."""
        with self._lock:
            return read_events(self._database, "search = ? AND spectrum_id = ?", (search, spectrum_id))

    def claim(
        self,
        search: str,
        queue: str,
        who: str,
        candidates: Iterable[str],
        count: int,
        *,
        seconds: float = LEASE,
        second_opinion: bool = False,
    ) -> list[str]:
        """Reserve the next spectra for a person: those without a label that no other person holds.

        Two people never get the same spectrum, whichever queues of a search they work on. A lease ends after
        `seconds`, when its holder labels the spectrum, or with `release`; claiming again renews it.

        Parameters
        ----------
        candidates : in the order in which they are to be handed out
        count : how many at most
        second_opinion : also what others labelled, but not `who`

        Returns a list of spectrum_id, in the order of the candidates; empty where nothing is left for this
        person. Raises InputError, ReadOnlyError, OSError: as in `add`.
        """
        check_search(search)
        queue, who = check_text("queue", queue), check_person(who)
        labelled = "SELECT spectrum_id FROM current WHERE search = ? AND label IS NOT NULL"
        chosen: list[str] = []
        with self._transaction() as database:
            now = time.time()
            database.execute("DELETE FROM claims WHERE expires <= ?", (now,))
            held = {
                row[0]
                for row in database.execute(
                    "SELECT spectrum_id FROM claims WHERE search = ? AND who != ?", (search, who)
                )
            }
            for chunk in chunks(candidates):
                mine = (" AND who = ?", (who,)) if second_opinion else ("", ())
                done = {
                    row[0]
                    for row in database.execute(
                        f"{labelled} AND spectrum_id IN ({marks(chunk)}){mine[0]}", (search, *chunk, *mine[1])
                    )
                }
                left = [each for each in dict.fromkeys(chunk) if each not in done and each not in held]
                chosen += [each for each in left if each not in chosen][: max(0, count - len(chosen))]
                if len(chosen) >= count:
                    break
            database.executemany(
                "INSERT OR REPLACE INTO claims VALUES (?, ?, ?, ?, ?)",
                [(search, each, queue, who, now + seconds) for each in chosen],
            )
        return chosen

    def release(self, queue: str, who: str) -> None:
        """Give up all that a person holds in a queue; raises what `add` raises."""
        queue, who = check_text("queue", queue), check_person(who)
        with self._transaction() as database:
            database.execute("DELETE FROM claims WHERE queue = ? AND who = ?", (queue, who))

    def progress(self, search: str, spectrum_ids: Collection[str]) -> Progress:
        """How many of some spectra are labelled, by whom, flagged, or labelled differently by two people.

        Of a tuple the counts are kept: when the same one comes again, only what was said since is looked at.
        """
        with self._lock:
            return self._tally(search, spectrum_ids).progress()

    def votes(self, search: str, spectrum_ids: Collection[str]) -> dict[str, list[Vote]]:
        """What people said of some spectra: who, label and flag. Counts are kept as in `progress`."""
        with self._lock:
            return self._tally(search, spectrum_ids).votes()

    def _tally(self, search: str, spectrum_ids: Collection[str]) -> Tally:
        """The counts of some spectra up to now; the lock must be held."""
        check_search(search)
        ids = tuple(spectrum_ids)  # a tuple stays itself
        tally = self._tallies.pop((search, id(ids)), None) or Tally(search, ids)
        self._database.execute("BEGIN")  # all that the tally reads is of one moment
        try:
            tally.update(self._database)
        finally:
            self._database.execute("COMMIT")
        if ids is spectrum_ids:
            self._tallies[search, id(ids)] = tally
            if len(self._tallies) > _TALLIES:
                del self._tallies[next(iter(self._tallies))]
        return tally

    def export(self, path: PathLike) -> pa.Table:
        """Write the current labels as Parquet or CSV, as `path` ends: the same labels make the same bytes.

        Returns the Table, of schema `starsift.learning.labels.LABELS`, sorted by search, spectrum_id,
        vetted_by.
        """
        write = table_writer(path)
        with self._lock:
            table = read_current(self._database)
        write(table, path)
        return table

    def import_labels(self, file: PathLike, *, who: str | None = None, search: str | None = None) -> int:
        """Add the labels of an export, another store, or a CSV; all of them or none.

        A row with a time is added if it is later than all that this person said of the spectrum here; it
        keeps time, queue and version, so an empty store that imports an export exports the same bytes. A row
        without a time is taken as said now, unless it repeats what this person said last in its queue. So
        nothing is added twice, and newer labels here stay.

        Parameters
        ----------
        file : as `starsift.learning.labels.load_labels` takes it
        who : the person, where a row has none; without it "unknown"
        search : of rows, where the file has no column search

        Returns
        -------
        int : number of rows that were added

        Raises
        ------
        InputError : the file cannot be used, or a label is none of its search's words; the message names
            file, row and column.
        InputError, ReadOnlyError, OSError : as in `add`.
        """
        table = load_labels(file, search=search)
        check_words(file, table, SEARCHES.values())
        kept = table.column_names
        rows = table.set_column(kept.index("time"), "time", table["time"].cast(pa.int64())).to_pylist()
        checked = [_imported(row, file, who or UNKNOWN) for row in rows]
        # In the order in which it was said: undo goes back in that order.
        checked.sort(key=lambda row: (row[3] is None, row[3] or "", row[0]))
        added = 0
        with self._transaction() as database:
            for key, queue, said, when, version in checked:
                if when is None:
                    last = read_events(
                        database, f"{OF_KEY} AND +queue = ? AND undoes IS NULL", (*key, queue), "DESC LIMIT 1"
                    )
                    known = bool(last) and (last[0].label, last[0].flag, last[0].comment) == said
                else:
                    known = when <= last_time(database, key)
                if not known:
                    insert_event(database, key, queue, said, when, version)
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


def _say(database: sqlite3.Connection, key: Key, queue: str, said: Said) -> tuple[int, bool]:
    """Save what a person said, and end the claim; the id of the event, and whether it is new."""
    database.execute("DELETE FROM claims WHERE search = ? AND spectrum_id = ? AND who = ?", key)
    events = read_events(database, f"{OF_KEY} AND {IN_FORCE}", key)
    if events and events[-1].queue == queue and holds(state_after(events), *said):
        return events[-1].id, False
    return insert_event(database, key, queue, said), True


def _imported(row: dict[str, Any], file: PathLike, who: str) -> tuple[Key, str, Said, str | None, str | None]:
    """Key, queue, what is said, time and version of a row of `load_labels` whose time is milliseconds."""
    try:
        key = make_key(row["search"], row["spectrum_id"], row["vetted_by"] or who)
        queue = check_text("queue", row["queue"] or IMPORTED)
        if row["time"] is None:
            # A table without times often lacks flags and comments too: what is not there changes nothing.
            return key, queue, check_said(row["label"], row["flag"] or None, row["comment"]), None, None
        when = iso(_EPOCH + timedelta(milliseconds=row["time"]))
        version = check_text("version", row["version"] or UNKNOWN)
        return key, queue, check_said(row["label"], row["flag"], row["comment"] or ""), when, version
    except (ValueError, OverflowError) as error:
        raise InputError(f"{file}: spectrum {row['spectrum_id']}: {error}") from error
