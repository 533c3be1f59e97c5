"""Labels, flags and comments of people, as events in their order in time.

Undo is an event too, which names the one that it revokes. The state (table `current`, one row a person
and spectrum) follows from the events that are not revoked.
"""

import sqlite3
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib import metadata

from starsift.catalog.provenance import package_fingerprint
from starsift.errors import InputError
from starsift.review.database import marks
from starsift.searches.registry import SEARCHES

NAME_LENGTH = 64  # of labels, people and queues
ID_LENGTH = 200
COMMENT_LENGTH = 2000
OF_KEY = "search = ? AND spectrum_id = ? AND who = ?"
_UNDONE = "EXISTS (SELECT 1 FROM events u WHERE u.undoes = e.id)"
IN_FORCE = f"undoes IS NULL AND NOT {_UNDONE}"

Key = tuple[str, str, str]  # search, spectrum_id, who
Said = tuple[str | None, bool | None, str | None]  # label, flag, comment; None: unchanged


@dataclass(frozen=True)
class State:
    """Label, flag and comment of a person; queue, time (ISO 8601, UTC) and version of the last change."""

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
    search: str
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


def read_events(
    database: sqlite3.Connection, where: str, values: tuple[str, ...], tail: str = ""
) -> list[Event]:
    """The events `e` that a condition of SQL chooses, in their order."""
    columns = "id, search, spectrum_id, who, queue, label, comment, time, version, undoes, flag"
    sql = f"SELECT {columns}, {_UNDONE} FROM events e WHERE {where} ORDER BY id {tail}"
    events = []
    for row in database.execute(sql, values):
        fields = list(row)
        fields[-2] = None if row[-2] is None else bool(row[-2])
        fields[-1] = bool(row[-1])
        events.append(Event(*fields))
    return events


def insert_event(
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
        last = last_time(database, key)
        after = iso(datetime.fromisoformat(last) + timedelta(milliseconds=1)) if last else ""
        when = max(iso(datetime.now(UTC)), after)
    cursor = database.execute(
        "INSERT INTO events (search, spectrum_id, who, queue, label, flag, comment, time, version, undoes) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (*key, queue, *said, when, version or _code_version(), undoes),
    )
    events = read_events(database, f"{OF_KEY} AND {IN_FORCE}", key)
    state = state_after(events) if events else None
    if state is None or (state.label, state.flag, state.comment) == (None, False, None):
        database.execute(f"DELETE FROM current WHERE {OF_KEY}", key)
    else:
        values = (state.label, state.flag, state.comment, state.queue, state.time, state.version)
        database.execute(f"INSERT OR REPLACE INTO current VALUES ({marks((*key, *values))})", (*key, *values))
    assert cursor.lastrowid is not None
    return cursor.lastrowid


def state_after(events: Sequence[Event]) -> State:
    """State of a spectrum for a person after one or more events, none of them revoked."""
    label, flag, comment = None, False, ""
    for event in events:
        label = label if event.label is None else event.label
        flag = flag if event.flag is None else event.flag
        comment = comment if event.comment is None else event.comment
    return State(label, flag, comment or None, event.queue, event.time, event.version)


def last_time(database: sqlite3.Connection, key: Key) -> str:
    """Of all that a person said of a spectrum; empty if that is nothing."""
    row = database.execute(f"SELECT time FROM events WHERE {OF_KEY} ORDER BY id DESC LIMIT 1", key).fetchone()
    return row[0] if row else ""


def holds(state: State, label: str | None, flag: bool | None, comment: str | None) -> bool:
    """Whether a state has all this already."""
    return (
        label in (None, state.label)
        and flag in (None, state.flag)
        and (comment is None or (comment or None) == state.comment)
    )


def make_key(search: str, spectrum_id: str, who: str) -> Key:
    return check_search(search), check_text("spectrum_id", spectrum_id, ID_LENGTH), check_person(who)


def check_search(search: str) -> str:
    if search not in SEARCHES:
        raise InputError(f"search is {search!r}, it must be one of {', '.join(SEARCHES)}")
    return search


def check_person(who: str) -> str:
    # One name has one spelling, however it was typed.
    return check_text(
        "name of the person", unicodedata.normalize("NFC", who).strip() if isinstance(who, str) else who
    )


def check_text(what: str, text: str, length: int = NAME_LENGTH) -> str:
    if not (
        isinstance(text, str) and 0 < len(text) <= length and text.isprintable() and text == text.strip()
    ):
        raise InputError(
            f"{what} is {repr(text)[:80]}; expected 1 to {length} printable characters, no space around them"
        )
    return text


def check_said(label: str | None, flag: bool | None, comment: str | None) -> Said:
    if label is None and flag is None and comment is None:
        raise InputError("nothing to save: give a label, a flag or a comment")
    if label is not None:
        check_text("label", label)
    if flag not in (None, False, True):
        raise InputError(f"flag is {flag!r}, it must be true or false")
    if comment is not None:
        comment = comment.strip()
        if len(comment) > COMMENT_LENGTH or any(
            unicodedata.category(each) in ("Cc", "Cs") for each in comment if each not in "\n\t"
        ):
            raise InputError(
                f"comment is {repr(comment)[:80]}; expected at most {COMMENT_LENGTH} characters, no control "
                "characters but tabs and line feeds"
            )
    return label, None if flag is None else bool(flag), comment


def iso(when: datetime) -> str:
    return when.isoformat(timespec="milliseconds").replace("+00:00", "Z")


@cache
def _code_version() -> str:
    """Of starsift, and the beginning of the fingerprint of its code."""
    try:
        version = metadata.version("starsift")
    except metadata.PackageNotFoundError:
        version = "0"
    return f"{version}+{package_fingerprint()[:12]}"
