"""The progress of labelling a list of spectra, from the label store."""

import sqlite3
from collections import Counter
from dataclasses import dataclass

from starsift.review.database import chunks, marks

Vote = tuple[str, str | None, int]  # who, label, flag


@dataclass(frozen=True)
class Progress:
    """How far a list of spectra is: numbers of spectra; `by_person`: how many each person labelled."""

    total: int
    labelled: int
    by_person: dict[str, int]
    disagreements: int
    flagged: int


class Tally:
    """Counts of one list of spectra, to be brought up to date by the events since the last time."""

    def __init__(self, search: str, ids: tuple[str, ...]) -> None:
        self._search = search
        self._ids = ids  # held, so that no other tuple gets its identity
        self._members = frozenset(ids)
        self._seen = 0  # the last event counted
        self._votes: dict[str, list[Vote]] = {}
        self._by_person: Counter[str] = Counter()
        self._labelled = self._disagreements = self._flagged = 0

    def update(self, database: sqlite3.Connection) -> None:
        """Count again the spectra of which something was said since."""
        select = "SELECT spectrum_id, who, label, flag FROM current WHERE search = ?"
        last = database.execute("SELECT max(id) FROM events").fetchone()[0] or 0
        now: dict[str, list[Vote]] = {}
        if self._seen == 0:
            rows = database.execute(select, (self._search,)).fetchall()
        else:
            changed = database.execute(
                "SELECT spectrum_id FROM events WHERE id > ? AND +search = ?", (self._seen, self._search)
            )
            now = {each: [] for (each,) in changed if each in self._members}
            rows = []
            for chunk in chunks(now):
                which = f"{select} AND spectrum_id IN ({marks(chunk)})"
                rows += database.execute(which, (self._search, *chunk)).fetchall()
        for spectrum_id, *vote in rows:
            if spectrum_id in self._members:
                now.setdefault(spectrum_id, []).append(tuple(vote))
        for spectrum_id, votes in now.items():
            self._count(self._votes.get(spectrum_id, []), -1)
            self._count(votes, 1)
            self._votes[spectrum_id] = votes
            if not votes:
                del self._votes[spectrum_id]
        self._seen = last

    def _count(self, votes: list[Vote], sign: int) -> None:
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
            len(self._members),
            self._labelled,
            {who: count for who, count in sorted(self._by_person.items()) if count},
            self._disagreements,
            self._flagged,
        )

    def votes(self) -> dict[str, list[Vote]]:
        """What people said of each spectrum; without those of which nobody says anything."""
        return dict(self._votes)
