"""Columns of a queue: type, unit, description and group of each."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from starsift.catalog.columns import TableSchema

# Groups in the order of the page, with the UCDs that begin so; the longest beginning decides.
GROUPS = {
    "Classification": (
        *("stat.probability", "stat.rank", "stat.value", "stat.likelihood"),
        *("src.class", "src.spType", "meta.code", "meta.curation"),
    ),
    "Velocities": ("spect.dopplerVeloc", "phys.veloc"),
    "Spectrum": ("spect", "stat", "em", "meta.number"),
    "Quality": ("stat.snr", "meta.code.qual"),
    "Star": ("phys", "src"),
    "Photometry": ("phot", "phys.magAbs"),
    "Position and motion": ("pos",),
    "Identity and observation": ("meta", "time", "obs", "instr", "meta.number;obs", "meta.code;instr"),
    "Other": ("",),
}


@dataclass(frozen=True)
class QueueColumn:
    """One column; `kind` is number, flag or text, and unit and description are empty where there is none."""

    name: str
    kind: str
    unit: str
    description: str
    group: str


def describe_columns(table: pa.Schema, published: TableSchema | None) -> dict[str, QueueColumn]:
    """The columns of a queue's file by name, in the order of their groups.

    What the file does not say of a column is that of the column of this name in the published table.
    """
    known = {column.name: column for column in published.columns} if published else {}
    columns = []
    for field in table:
        kind = _kind(field.type)
        if kind is None:
            continue
        own = {key.decode(): value.decode() for key, value in (field.metadata or {}).items()}
        other = known.get(field.name)
        unit, description, ucd = (
            own.get(key) or (getattr(other, key) if other else "") for key in ("unit", "description", "ucd")
        )
        columns.append(QueueColumn(field.name, kind, unit, description, group_of(ucd)))
    order = list(GROUPS)
    return {column.name: column for column in sorted(columns, key=lambda c: order.index(c.group))}


def group_of(ucd: str) -> str:
    """The group of a UCD; an error is in the group of its quantity."""
    ucd = ucd.removeprefix("stat.error;")
    matches = [
        (len(start), name) for name, starts in GROUPS.items() for start in starts if _begins(ucd, start)
    ]
    return max(matches)[1]


def _begins(ucd: str, start: str) -> bool:
    return not start or ucd == start or ucd.startswith((f"{start}.", f"{start};"))


def _kind(type: pa.DataType) -> str | None:
    if pa.types.is_boolean(type):
        return "flag"
    if pa.types.is_integer(type) or pa.types.is_floating(type):
        return "number"
    if pa.types.is_nested(type) or pa.types.is_binary(type) or pa.types.is_large_binary(type):
        return None
    return "text"
