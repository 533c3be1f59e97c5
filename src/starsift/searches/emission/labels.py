"""Labels by people: of a round's query, of all rounds, and of candidates.

The oracle are people who label a round's query (Skoda et al. 2020, section 2.3). A round's labels are in
`results/emission/round-NN/labels.parquet`.
"""

import os
import re
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from starsift.errors import InputError, ResultsError
from starsift.learning.labels import consensus
from starsift.searches.emission.classes import CLASSES, PIXELS, PROBABILITIES, predicted_class, probabilities
from starsift.searches.emission.words import VOCABULARY

PathLike = str | os.PathLike[str]

QUEUE = "emission-candidates"  # where people look at candidates

ROUND_LABELS = pa.schema(
    {
        "round": pa.int16(),
        "vetted_by": pa.string(),
        "purpose": pa.string(),
        "rank": pa.int32(),
        "spectrum_id": pa.string(),
        "bundle": pa.string(),
        "row": pa.int32(),
        **dict.fromkeys(PROBABILITIES, pa.float32()),
        "score": pa.float32(),
        "predicted": pa.string(),
        "label": pa.string(),
        "window": pa.list_(pa.float32(), PIXELS),
    }
)


def label_query(query: pa.Table, labels: pa.Table, *, advice: str) -> pa.Table:
    """Append predicted, label (a class) and vetted_by to the query of a round, of `select_query`.

    `labels` has a row a spectrum: spectrum_id, class, vetted_by. Raises InputError with their number and
    `advice` if some are missing.
    """
    at = pc.index_in(query["spectrum_id"].combine_chunks(), value_set=labels["spectrum_id"].combine_chunks())
    if at.null_count:
        spectra = query["spectrum_id"].unique()
        missing = query["spectrum_id"].filter(pc.is_null(at)).unique()
        raise InputError(f"{len(missing)} of {len(spectra)} spectra have no label yet: {advice}")
    best = predicted_class(probabilities(query))
    labelled = query.append_column("predicted", pa.array([CLASSES[i] for i in best], pa.string()))
    labelled = labelled.append_column("label", labels["class"].take(at))
    return labelled.append_column("vetted_by", labels["vetted_by"].take(at))


def read_round_labels(paths: Sequence[PathLike]) -> pa.Table:
    """The labels of all rounds.

    Parameters
    ----------
    paths : of `round-NN/labels.parquet`

    Returns a Table of the schema `ROUND_LABELS`, sorted by round, purpose ("query" first) and rank;
    `vetted_by` is null where a file does not have it. Raises ResultsError: a file is not in a folder of a
    round, lacks a column, or a label is no class.
    """
    tables = [ROUND_LABELS.empty_table()]
    for path in paths:
        number = re.fullmatch(r"round-(\d+)", Path(path).parent.name)
        if number is None:
            raise ResultsError(f"{path}: labels of a round lie in a folder such as round-00")
        table = pq.ParquetFile(path).read()
        missing = [name for name in ROUND_LABELS.names[2:] if name not in table.column_names]
        if missing:
            raise ResultsError(
                f"{path}: labels of a round lack {', '.join(missing)}; delete it and run again"
            )
        if "vetted_by" not in table.column_names:
            table = table.append_column("vetted_by", pa.nulls(table.num_rows, pa.string()))
        table = table.append_column("round", pa.array([int(number[1])] * table.num_rows, pa.int16()))
        unknown = set(table["label"].to_pylist()) - set(CLASSES)
        if unknown:
            raise ResultsError(f"{path}: label {min(map(str, unknown))!r} is not one of {', '.join(CLASSES)}")
        tables.append(table.select(ROUND_LABELS.names).cast(ROUND_LABELS))
    order = [("round", "ascending"), ("purpose", "descending"), ("rank", "ascending")]
    return pa.concat_tables(tables).sort_by(order)


def candidate_labels(labels: pa.Table) -> pa.Table:
    """Labels by people who looked at candidates: one a spectrum.

    Of `load_labels`, those of the queue of candidates count, and those without a queue, which somebody wrote
    into a table. Returns a Table of `starsift.learning.labels.consensus`, and `class`. Raises ResultsError if
    a label is not in the vocabulary.
    """
    queue = pc.fill_null(labels["queue"], QUEUE)
    chosen = pc.and_(pc.equal(labels["search"], "emission"), pc.equal(queue, QUEUE))
    rows = labels.filter(pc.and_(chosen, pc.is_valid(labels["label"])))
    classes = {word.label: word.label_class for word in VOCABULARY.words}
    for name, label in zip(rows["spectrum_id"].to_pylist(), rows["label"].to_pylist(), strict=True):
        if label not in classes:
            raise ResultsError(
                f"labels: {name} is {label!r}, which is not one of {', '.join(classes)}; correct it"
            )
    kind = pa.array([classes[label] for label in rows["label"].to_pylist()], pa.string())
    people = consensus(rows.append_column("class", kind))
    kind = pa.array([classes[label] for label in people["label"].to_pylist()], pa.string())
    return people.append_column("class", kind)
