"""The SQLite file of the label store: its tables, and how it is opened for writing.

The file must be on a disk of the machine that writes it: SQLite's write-ahead log does not work across a
network file system. Other machines read an export.
"""

import sqlite3
import time
from collections.abc import Collection, Iterable, Iterator
from itertools import islice
from pathlib import Path

from starsift.errors import InputError
from starsift.learning.labels import APPLICATION_ID, SCHEMA_VERSION, check_store

CHUNK = 500  # ids in one query; older SQLite takes 999 parameters
WAIT = 30.0  # seconds that a write waits for that of another process

_SCHEMA = (
    """CREATE TABLE events (
    id INTEGER PRIMARY KEY,
    search TEXT NOT NULL,
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
    "CREATE INDEX events_of_spectrum ON events (search, spectrum_id, who)",
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
    search TEXT NOT NULL,
    spectrum_id TEXT NOT NULL,
    who TEXT NOT NULL,
    label TEXT,
    flag INTEGER NOT NULL,
    comment TEXT,
    queue TEXT NOT NULL,
    time TEXT NOT NULL,
    version TEXT NOT NULL,
    PRIMARY KEY (search, spectrum_id, who)
) WITHOUT ROWID""",
    """CREATE TABLE claims (
    search TEXT NOT NULL,
    spectrum_id TEXT NOT NULL,
    queue TEXT NOT NULL,
    who TEXT NOT NULL,
    expires REAL NOT NULL,
    PRIMARY KEY (search, spectrum_id)
) WITHOUT ROWID""",
    f"PRAGMA application_id = {APPLICATION_ID}",
    f"PRAGMA user_version = {SCHEMA_VERSION}",
)
# From version 1 to 2. Indices and triggers follow the columns.
_MIGRATION = (
    *(f"ALTER TABLE {table} RENAME COLUMN path TO search" for table in ("events", "current", "claims")),
    f"PRAGMA user_version = {SCHEMA_VERSION}",
)


def open_store(file: Path) -> sqlite3.Connection:
    """Open a label store for writing; an empty file becomes one, and one of version 1 is migrated."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        database = sqlite3.connect(file, timeout=WAIT, isolation_level=None, check_same_thread=False)
    except (sqlite3.Error, OSError) as error:
        raise OSError(f"{file}: cannot be opened as a label store ({error})") from error
    try:
        # Two processes may begin at once: the second one finds the tables made.
        database.execute("BEGIN IMMEDIATE")
        if database.execute("PRAGMA schema_version").fetchone()[0] == 0:
            for statement in _SCHEMA:
                database.execute(statement)
        elif check_store(database, file) < SCHEMA_VERSION:
            for statement in _MIGRATION:
                database.execute(statement)
        database.execute("COMMIT")
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
    end = time.monotonic() + WAIT
    while True:
        try:
            database.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError:
            if time.monotonic() > end:
                raise
            time.sleep(0.01)


def marks(values: Collection[object]) -> str:
    return ", ".join("?" * len(values))


def chunks(ids: Iterable[str]) -> Iterator[tuple[str, ...]]:
    rest = iter(ids)
    while chunk := tuple(islice(rest, CHUNK)):
        yield chunk
