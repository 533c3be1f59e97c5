"""Labels that people gave, as the workflow reads them: one label a spectrum.

They come from the label store of the review app (SQLite), from an export of it (Parquet), or from a table
that somebody wrote (CSV). Store and export hold one row a person and spectrum, the columns of `LABELS`. The
store keeps its history in the table `events`; the table `current` says what of it is in force, and is all
that is read here. Reading never changes a label, also while the review app writes.
"""

import hashlib
import json
import logging
import os
import sqlite3
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Protocol

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from starsift.errors import InputError
from starsift.io.tables import read_table
from starsift.survey.names import without_endings

PathLike = str | os.PathLike[str]
log = logging.getLogger(__name__)

APPLICATION_ID = 0x73746172  # "star": marks an SQLite file as a label store
SCHEMA_VERSION = 2  # 1 named the column search path
STORE_ENDINGS = (".sqlite", ".sqlite3", ".db")

_SOURCES = {
    "search": (pa.string(), "name of the search"),
    "spectrum_id": (pa.string(), "file stem, and /lmjm for one exposure"),
    "label": (pa.string(), "null where the person only flagged or commented"),
    "vetted_by": (pa.string(), "who looked"),
    "flag": (pa.bool_(), "set aside to be looked at again"),
    "comment": (pa.string(), "what the person wrote"),
    "queue": (pa.string(), "list in which the spectrum was shown"),
    "time": (pa.timestamp("ms", tz="UTC"), "when label, flag or comment were last changed"),
    "version": (pa.string(), "of starsift at that time"),
}
LABELS = pa.schema(
    [pa.field(name, kind, metadata={"description": text}) for name, (kind, text) in _SOURCES.items()],
    metadata={"starsift": "labels 2"},
)
CONSENSUS = pa.schema(
    {
        "search": pa.string(),
        "spectrum_id": pa.string(),
        "label": pa.string(),
        "vetted_by": pa.string(),
        "n_labels": pa.int32(),
        "agree": pa.bool_(),
    }
)
_KEY = ["search", "spectrum_id", "vetted_by"]
_OLD_NAMES = {"path": "search"}
_EXPECTED = {"flag": "true or false", "time": "a time and its zone, such as 2024-05-01T10:00:00Z"}
_ROW = "row"  # number of the row in the file, for messages


class Vocabulary(Protocol):
    """The labels of a search, as `starsift.searches.base.Vocabulary` has them.

    Attributes
    ----------
    classes : class of each label that people can give; classes are labels too
    other_labels : regular expression of further labels, which have no class; empty where there are none
    """

    @property
    def name(self) -> str: ...
    @property
    def classes(self) -> Mapping[str, str]: ...
    @property
    def other_labels(self) -> str: ...


def connect_store(path: PathLike) -> sqlite3.Connection:
    """Open a label store so that nothing can be written to it.

    Raises InputError if there is no such file, or it is no label store or one of a newer version.
    """
    file = Path(path)
    if not file.is_file():
        raise InputError(f"{file}: no such label store; `starsift review` makes one")
    # A reader shares an index of the write-ahead log, a file that it cannot make in a folder that it may not
    # write to. Where there is no log, nobody writes, and SQLite must know that.
    log = file.with_name(f"{file.name}-wal")
    still = not os.access(file.parent, os.W_OK) and not log.exists()
    name = f"{file.absolute().as_uri()}?mode=ro{'&immutable=1' if still else ''}"
    try:
        database = sqlite3.connect(name, uri=True, timeout=30, isolation_level=None, check_same_thread=False)
    except sqlite3.Error as error:
        raise InputError(f"{file}: cannot be opened as a label store ({error})") from error
    try:
        if check_store(database, file) < SCHEMA_VERSION:
            _rename_columns(database)
    except InputError:
        database.close()
        raise
    return database


def _rename_columns(database: sqlite3.Connection) -> None:
    """Show the tables of a store of version 1, which stay as they are, as version 2 has them."""
    database.execute("PRAGMA temp_store = MEMORY")
    for table in ("events", "current"):
        columns = [row[1] for row in database.execute(f"PRAGMA main.table_info({table})")]
        named = ", ".join(f"{name} AS {_OLD_NAMES.get(name, name)}" for name in columns)
        database.execute(f"CREATE TEMP VIEW {table} AS SELECT {named} FROM main.{table}")


def check_store(database: sqlite3.Connection, file: PathLike) -> int:
    """The version of a label store; InputError if it is none, or of a newer version."""
    try:
        mark = database.execute("PRAGMA application_id").fetchone()[0]
        version = database.execute("PRAGMA user_version").fetchone()[0]
    except sqlite3.DatabaseError as error:
        raise InputError(f"{file}: not a label store ({error}); name the file of the review app") from error
    if mark != APPLICATION_ID:
        raise InputError(f"{file}: not a label store but another database; name the file of the review app")
    if version > SCHEMA_VERSION:
        raise InputError(
            f"{file}: a label store of version {version}, but this starsift knows {SCHEMA_VERSION}; update it"
        )
    return int(version)


def read_current(database: sqlite3.Connection) -> pa.Table:
    """The labels of a store, of the schema `LABELS`, sorted by search, spectrum_id, vetted_by."""
    rows = database.execute(
        "SELECT search, spectrum_id, label, who, flag, comment, queue, time, version FROM current "
        "ORDER BY search, spectrum_id, who"
    ).fetchall()
    kinds = [pa.int8() if name == "flag" else pa.string() for name in LABELS.names]
    columns = [
        pa.array([row[at] for row in rows], kind).cast(field.type)
        for at, (kind, field) in enumerate(zip(kinds, LABELS, strict=True))
    ]
    return pa.table(columns, schema=LABELS)


def load_labels(file: PathLike, *, search: str | None = None, missing_ok: bool = False) -> pa.Table:
    """All labels of a store, an export or a CSV: one row a person and spectrum.

    Parameters
    ----------
    file : .sqlite, .parquet or .csv; the latter two need spectrum_id and label, and may lack all other
        columns of `LABELS`. Further columns are left out, and rows without label, flag and comment.
    search : of the labels, where the file has no column search (or `path`, its old name)
    missing_ok : no file means no labels

    Returns a Table of the schema `LABELS`; vetted_by, queue, time and version are null where not known. In
    the order of the file. Raises InputError: the file cannot be read, a column is missing, a value cannot be
    understood, or one person labels a spectrum twice.
    """
    return _load(file, search, missing_ok).drop_columns([_ROW])


def read_labels(
    file: PathLike, vocabulary: Vocabulary, *, strict: bool = True, missing_ok: bool = False
) -> pa.Table:
    """One label a spectrum of one search, and its class.

    Where people disagree the class of the majority counts, and in it the label of the majority; of equally
    many the latest.

    Parameters
    ----------
    file, missing_ok : as in `load_labels`
    vocabulary : the search
    strict : a label must be one of the search's words, or one of its classes; otherwise the class of a label
        that is not is null

    Returns a Table sorted by spectrum_id: search, spectrum_id, label, class, vetted_by (names joined with
    "+", null where not known), n_labels int32, agree bool (all labels are the same). Raises InputError: as in
    `load_labels`, and for labels that are not in the vocabulary.
    """
    classes = vocabulary.classes
    table = _labels_of(_load(file, vocabulary.name, missing_ok), vocabulary.name)
    if strict:
        _refuse_unknown(file, table, vocabulary.name, classes)
    label = table["label"].to_pylist()
    votes = table.append_column("class", pa.array([classes.get(text, text) for text in label], pa.string()))
    result = consensus(votes)
    kind = pa.array([classes.get(text) for text in result["label"].to_pylist()], pa.string())
    return result.add_column(3, "class", kind)


def check_words(file: PathLike, table: pa.Table, vocabularies: Iterable[Vocabulary]) -> None:
    """Make sure that labels are of known searches, and words of their search.

    Parameters
    ----------
    file : for messages
    table : of `load_labels`, in the order of the file
    vocabularies : all searches

    Raises InputError: there is no such search, or a label that no review app wrote is none of its words; the
    message lists them.
    """
    table = table.append_column(_ROW, pa.array(range(1, table.num_rows + 1), pa.int64()))
    known = {vocabulary.name: vocabulary for vocabulary in vocabularies}
    strangers = table.filter(pc.invert(pc.is_in(table["search"], value_set=pa.array(list(known)))))
    if strangers.num_rows:
        raise InputError(
            f"{file}: row {strangers[_ROW][0]}: search is {strangers['search'][0].as_py()!r}, it must be one "
            f"of {', '.join(known)}"
        )
    # Words that a review app has written are kept, whatever the vocabulary is now.
    table = table.filter(pc.is_null(table["version"]))
    for name, vocabulary in known.items():
        own = _labels_of(table, name)
        if vocabulary.other_labels:
            pattern = f"^(?:{vocabulary.other_labels})$"
            own = own.filter(pc.invert(pc.match_substring_regex(own["label"], pattern)))
        _refuse_unknown(file, own, name, vocabulary.classes)


def check_labels(file: PathLike, vocabularies: Mapping[str, Vocabulary], searches: Iterable[str]) -> None:
    """Make sure that a run, of these searches, can use its labels; no file means none.

    Raises InputError as `read_labels` and `check_words` do.
    """
    for name in searches:
        table = _load(file, name, missing_ok=True)
        if not vocabularies[name].other_labels:  # what a review app has written is read strictly, too
            _refuse_unknown(file, _labels_of(table, name), name, vocabularies[name].classes)
        check_words(file, table.drop_columns([_ROW]), vocabularies.values())


def _labels_of(table: pa.Table, search: str) -> pa.Table:
    return table.filter(pc.and_(pc.equal(table["search"], search), pc.is_valid(table["label"])))


def _refuse_unknown(file: PathLike, table: pa.Table, search: str, words: Mapping[str, str]) -> None:
    for row, text in zip(table[_ROW].to_pylist(), table["label"].to_pylist(), strict=True):
        if text not in words:
            raise InputError(
                f"{file}: row {row}: label {text!r} is not a label of {search}: {', '.join(words)}; correct"
            )


def unmatched(labels: pa.Table, results: PathLike) -> tuple[list[str], int]:
    """Labelled spectra that are not in the folder of `results`, sorted, and how many spectra the run has."""
    manifests = [path for path in Path(results).glob("manifest/*.parquet") if path.with_suffix("").is_dir()]
    known = {
        name for path in manifests for name in pq.read_table(path, columns=["spectrum_id"])[0].to_pylist()
    }
    return sorted(set(labels["spectrum_id"].to_pylist()) - known), len(known)


def warn_unmatched(file: PathLike, search: str, results: PathLike) -> None:
    """Log how many labels of a search, from a table that somebody wrote, are of no spectrum of the run.

    A store is not warned of: it may hold the labels of other surveys too.
    """
    if Path(file).suffix.lower() in STORE_ENDINGS:
        return
    labels = load_labels(file, search=search, missing_ok=True)
    strangers, spectra = unmatched(labels.filter(pc.equal(labels["search"], search)), results)
    if strangers:
        log.warning(
            "%s: %d labelled spectra are not among the %d of this run: %s",
            *(file, len(strangers), spectra, ", ".join(strangers)),
        )


def consensus(table: pa.Table) -> pa.Table:
    """One label a spectrum: the majority's; of equally many the latest, and at one time the first by name.

    Parameters
    ----------
    table : search, spectrum_id, label, vetted_by, and if known time, in any order. Where there is a column
        class, the majority decides about the class first, then about the label in it. Rows without label do
        not count.

    Returns
    -------
    Table of the schema `CONSENSUS`, sorted by search and spectrum_id: search, spectrum_id, label, vetted_by
        (sorted names joined with "+", null where none is known), n_labels int32, agree bool (all labels are
        the same)
    """
    n = table.num_rows
    time = table["time"].cast(pa.int64()).to_pylist() if "time" in table.column_names else [None] * n
    kind = table["class" if "class" in table.column_names else "label"]
    columns = [table[name].to_pylist() for name in ("search", "spectrum_id", "label", "vetted_by")]
    votes: dict[tuple[str, str], list[tuple[str, str, str | None, float]]] = {}
    for search, spectrum_id, label, who, of, when in zip(*columns, kind.to_pylist(), time, strict=True):
        if label is not None:
            age = float("-inf") if when is None else when
            votes.setdefault((search, spectrum_id), []).append((of, label, who, age))
    rows = []
    for (search, spectrum_id), said in sorted(votes.items()):
        winner = _majority((of, when) for of, _, _, when in said)
        label = _majority((label, when) for of, label, _, when in said if of == winner)
        names = "+".join(sorted({who for _, _, who, _ in said if who}))
        agree = len({label for _, label, _, _ in said}) == 1
        rows.append((search, spectrum_id, label, names or None, len(said), agree))
    return pa.table([list(column) for column in zip(*rows, strict=True)] or [[]] * 6, schema=CONSENSUS)


def with_labels(table: pa.Table, labels: pa.Table) -> pa.Table:
    """Append label and vetted_by of `read_labels` to a table with spectrum_id; null without a label."""
    at = pc.index_in(table["spectrum_id"].combine_chunks(), value_set=labels["spectrum_id"].combine_chunks())
    for name in ("label", "vetted_by"):
        table = table.append_column(name, labels[name].take(at))
    return table


def label_digest(labels: pa.Table, spectra: pa.ChunkedArray | None = None) -> str:
    """SHA-256 of the labels of some spectra, or of all: spectrum_id, label, vetted_by."""
    if spectra is not None:
        labels = labels.filter(pc.is_in(labels["spectrum_id"], value_set=spectra.combine_chunks()))
    said = labels.sort_by("spectrum_id").select(["spectrum_id", "label", "vetted_by"]).to_pylist()
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()


def _majority(votes: Iterable[tuple[str, float]]) -> str:
    """What most voted for, the latest of equals; votes are (what, when)."""
    counts: Counter[str] = Counter()
    latest: dict[str, float] = {}
    for what, when in votes:
        counts[what] += 1
        latest[what] = max(when, latest.get(what, when))
    return min(counts, key=lambda what: (-counts[what], -latest[what], what))


def _load(file: PathLike, search: str | None, missing_ok: bool) -> pa.Table:
    """`load_labels`, with the number of each row in the file."""
    source = Path(file)
    if not source.exists():
        if missing_ok:
            return LABELS.empty_table().append_column(_ROW, pa.array([], pa.int64()))
        raise InputError(
            f"{source}: no such file of labels; correct its name, or make it with `starsift review`"
        )
    ending = source.suffix.lower()
    if ending in STORE_ENDINGS:
        table = _read_store(source)
    else:
        try:
            table = read_table(source, text=(*LABELS.names, *_OLD_NAMES))
        except InputError as error:
            raise InputError(f"{error} (labels are also read from a store, {STORE_ENDINGS[0]})") from error
    return _checked(source, table, search)


def _read_store(file: Path) -> pa.Table:
    database = connect_store(file)
    try:
        return read_current(database)
    except sqlite3.Error as error:
        raise InputError(f"{file}: the label store cannot be read ({error})") from error
    finally:
        database.close()


def _checked(file: Path, table: pa.Table, search: str | None) -> pa.Table:
    """The rows with something in them, as `LABELS` and `_ROW`."""
    lower = [name.lower() for name in table.column_names]
    if "search" not in lower:
        lower = [_OLD_NAMES.get(name, name) for name in lower]
    table = table.rename_columns(
        [
            low if low in LABELS.names and lower.count(low) == 1 else name
            for low, name in zip(lower, table.column_names, strict=True)
        ]
    )
    missing = [name for name in ("spectrum_id", "label") if name not in table.column_names]
    if missing:
        raise InputError(
            f"{file}: labels lack {', '.join(missing)}; expected spectrum_id, label and, if known, vetted_by"
        )
    if search is None and "search" not in table.column_names:
        raise InputError(f"{file}: labels lack search; add a column with the name of the search")
    table = pa.table([_column(file, table, field) for field in LABELS], schema=LABELS)
    table = table.append_column(_ROW, pa.array(range(1, table.num_rows + 1), pa.int64()))
    said = pc.or_(pc.or_(pc.is_valid(table["label"]), table["flag"]), pc.is_valid(table["comment"]))
    table = table.filter(said)
    if search is not None and table["search"].null_count == table.num_rows:
        table = table.set_column(0, LABELS.field("search"), pa.array([search] * table.num_rows, pa.string()))
    for name in ("search", "spectrum_id"):
        empty = table[_ROW].filter(pc.is_null(table[name]))
        if len(empty):
            raise InputError(f"{file}: row {empty[0]}: no {name}; fill it in, or delete the row")
    counts = table.group_by(_KEY, use_threads=False).aggregate([(_ROW, "count"), (_ROW, "max")])
    twice = counts.filter(pc.greater(counts[f"{_ROW}_count"], 1))
    if twice.num_rows:
        first = twice.slice(0, 1).to_pylist()[0]
        raise InputError(
            f"{file}: {twice.num_rows} spectra are labelled more than once, the first is "
            f"{first['spectrum_id']}; keep one label a spectrum and person (row {first[f'{_ROW}_max']}: "
            f"vetted_by {first['vetted_by']})"
        )
    return table


def _column(file: Path, table: pa.Table, field: pa.Field) -> pa.ChunkedArray | pa.Array:
    """One column of `LABELS`: the right type, text without space around it, null where empty."""
    if field.name not in table.column_names:
        values = pa.nulls(table.num_rows, field.type)
    else:
        values = table[field.name]
        try:
            if pa.types.is_string(field.type):
                values = pc.utf8_trim_whitespace(values.cast(field.type))
                if field.name == "spectrum_id":
                    values = without_endings(values)
                if field.name == "vetted_by":  # as the store spells names
                    values = pc.utf8_normalize(values, "NFC")
                values = pc.if_else(pc.equal(values, ""), pa.scalar(None, field.type), values)
            else:
                values = values.cast(field.type)
        except pa.ArrowException as error:
            where = f"{file}: column {field.name}"
            for row, value in enumerate(values.to_pylist(), 1):
                try:
                    pa.array([value], values.type).cast(field.type)
                except pa.ArrowException:
                    where = f"{file}: row {row}, column {field.name}: {value!r}"
                    break
            raise InputError(
                f"{where}: expected {_EXPECTED.get(field.name, 'text')}: {_SOURCES[field.name][1]}"
            ) from error
    return pc.fill_null(values, False) if field.name == "flag" else values
