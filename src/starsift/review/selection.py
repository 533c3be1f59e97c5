"""Parts of a queue: candidates chosen by their columns, labels, names and coordinates, and sorted.

Conditions are short texts, which stand in links as well:

- ``snr:10..50``, ``snr:10..``, ``snr:..50``, ``snr:10``: a number in a range (limits included), or equal;
- ``suspect:yes``, ``suspect:no``: a flag;
- ``template:G2``: a text that contains these characters, in upper or lower case.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from starsift.errors import InputError
from starsift.review.progress import Vote
from starsift.review.queues import Queue
from starsift.sky.sphere import unit_vectors

RADIUS = 5.0 / 3600  # degrees, of a search around coordinates that names no radius
_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_RANGE = re.compile(rf"\s*({_NUMBER})?\s*\.\.\s*({_NUMBER})?\s*")
_FLAGS = {"yes": True, "true": True, "no": False, "false": False}
_UNITS = {
    "deg": 1.0,
    "°": 1.0,
    "arcmin": 1 / 60,
    "'": 1 / 60,
    "arcsec": 1 / 3600,
    '"': 1 / 3600,
    "": 1 / 3600,
}
_ANGLE = rf"(?:{_NUMBER}|[+-]?\d+:\d+:{_NUMBER})"
_CONE = re.compile(rf"({_ANGLE})[\s,]+({_ANGLE})(?:[\s,]+({_NUMBER})\s*([a-z'\"°]*))?")
LABELS = ("none", "mine", "not-mine", "any", "disputed", "flagged")


@dataclass(frozen=True)
class Query:
    """Which candidates, in which order; empty: all, in the order of the queue.

    Attributes
    ----------
    where : conditions on columns, as in the module; all must hold
    label : none (nobody gave one), mine, not-mine, any, disputed, flagged, or ``is:`` and a label that
        anybody gave
    differ : two people whose labels differ
    find : part of the name of a spectrum, or right ascension, declination and radius: degrees or
        hh:mm:ss dd:mm:ss, the radius in arcsec, arcmin or deg, by default 5 arcsec
    sort : column by which they are sorted, behind - for descending; missing values come last
    user : whose labels are mine
    """

    where: tuple[str, ...] = ()
    label: str = ""
    differ: tuple[str, ...] = ()
    find: str = ""
    sort: str = ""
    user: str = ""


def select(
    queue: Queue,
    query: Query,
    votes: Callable[[], Mapping[str, Sequence[Vote]]],
    coordinates: Callable[[], tuple[np.ndarray, np.ndarray]],
) -> np.ndarray:
    """Positions (m,) int32 of the candidates of a query, in its order.

    Parameters
    ----------
    votes : gives the labels of the queue's spectra by their names
    coordinates : gives right ascension and declination (n,) of the candidates in degrees, NaN where unknown

    Raises InputError if the query cannot be understood.
    """
    chosen = np.ones(len(queue.ids), bool)
    for condition in query.where:
        chosen &= _matches(queue, condition)
    if query.label or query.differ:
        chosen &= _has_label(queue, query, votes())
    if query.find.strip():
        chosen &= _found(queue, query.find.strip(), coordinates)
    if not query.sort:
        return np.flatnonzero(chosen).astype(np.int32)
    name = query.sort.removeprefix("-")
    direction = "descending" if query.sort.startswith("-") else "ascending"
    # Missing values come last in either direction.
    order = pc.sort_indices(pa.table({"value": _values(queue, name)}), [("value", direction)]).to_numpy()
    return order[chosen[order]].astype(np.int32)


def _values(queue: Queue, name: str) -> pa.ChunkedArray:
    if name not in queue.columns:
        raise InputError(f"{queue.id} has no column {name!r}; columns: {', '.join(queue.columns)}")
    values = queue.table[name]
    return values.cast(pa.string()) if queue.columns[name].kind == "text" else values


def _matches(queue: Queue, condition: str) -> np.ndarray:
    """Whether each candidate (n,) meets a condition on a column."""
    name, _, wanted = condition.partition(":")
    values = _values(queue, name)
    kind = queue.columns[name].kind
    if kind == "text":
        found = pc.match_substring(values, wanted.strip(), ignore_case=True)
    elif kind == "flag":
        if wanted.strip().lower() not in _FLAGS:
            raise InputError(f"{name} is yes or no, not {wanted!r}")
        found = pc.equal(values, _FLAGS[wanted.strip().lower()])
    else:
        low, high = _limits(name, wanted)
        if pa.types.is_floating(values.type):  # 0.9 is what a float32 makes of it
            low, high = (None if end is None else pa.scalar(float(end), values.type) for end in (low, high))
        tests = [(pc.greater_equal, low), (pc.less_equal, high)]
        found = reduce(pc.and_, [compare(values, end) for compare, end in tests if end is not None])
    matches: np.ndarray = found.fill_null(False).to_numpy()
    return matches


def _limits(name: str, wanted: str) -> tuple[int | float | None, int | float | None]:
    ends = [wanted.strip()] * 2
    if found := _RANGE.fullmatch(wanted):
        ends = [found[1] or "", found[2] or ""]
    try:
        low, high = (_number(end) if end else None for end in ends)
    except ValueError:
        low = high = None
    if low is None and high is None:
        raise InputError(f"{name} is a number: expected such as 10..50, 10.., ..50 or 10, not {wanted!r}")
    return low, high


def _number(text: str) -> int | float:
    """A number; identifiers stay whole, which a float64 would not hold."""
    number = float(text)
    return int(text) if text.lstrip("+-").isdigit() and abs(number) < 2**63 else number


def _has_label(queue: Queue, query: Query, votes: Mapping[str, Sequence[Vote]]) -> np.ndarray:
    if query.differ and len(query.differ) != 2:
        raise InputError("differ: expected two people")
    wanted = query.label
    if wanted and wanted not in LABELS and not wanted.startswith("is:"):
        raise InputError(f"label: expected {', '.join(LABELS)} or is:LABEL, not {wanted!r}")
    chosen = np.full(len(queue.ids), wanted in ("", "none", "not-mine"))
    for name, said in votes.items():
        labels = {who: label for who, label, _ in said if label is not None}
        held = {
            "": True,
            "none": not labels,
            "mine": query.user in labels,
            "not-mine": query.user not in labels,
            "any": bool(labels),
            "disputed": len(set(labels.values())) > 1,
            "flagged": any(flag for _, _, flag in said),
        }.get(wanted, wanted.removeprefix("is:") in labels.values())
        chosen[queue.positions[name]] = held
    if query.differ:
        differing = np.zeros(len(queue.ids), bool)
        for name, said in votes.items():
            two = {label for who, label, _ in said if who in query.differ and label is not None}
            differing[queue.positions[name]] = len(two) == 2
        chosen &= differing
    return chosen


def _found(queue: Queue, text: str, coordinates: Callable[[], tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    cone = parse_cone(text)
    if cone is None:
        names = pc.match_substring(queue.table["spectrum_id"], text, ignore_case=True)
        matches: np.ndarray = names.to_numpy()
        return matches
    ra, dec, radius = cone
    chord = np.linalg.norm(unit_vectors(*coordinates()) - unit_vectors(np.array(ra), np.array(dec)), axis=1)
    # NaN is in no cone.
    return chord <= 2.0 * math.sin(math.radians(min(radius, 180.0)) / 2.0) + 1e-12


def parse_cone(text: str) -> tuple[float, float, float] | None:
    """Right ascension, declination and radius in degrees; None if the text is no coordinates.

    Raises InputError if the coordinates are outside the sky or the unit is none of an angle.
    """
    found = _CONE.fullmatch(text.strip())
    if found is None:
        return None
    ra, dec = _degrees(found[1], "hourangle"), _degrees(found[2], "deg")
    if found[4] not in (None, *_UNITS):
        raise InputError(f"{text!r}: the unit of the radius must be arcsec, arcmin or deg, not {found[4]!r}")
    radius = RADIUS if found[3] is None else float(found[3]) * _UNITS[found[4]]
    if not (0 <= ra <= 360 and -90 <= dec <= 90 and radius > 0):
        raise InputError(f"{text!r}: expected ra 0 to 360, dec -90 to 90 and a radius above 0")
    return ra, dec, radius


def _degrees(angle: str, unit: str) -> float:
    """An angle in degrees; with colons it is in another unit."""
    if ":" not in angle:
        return float(angle)
    from astropy.coordinates import Angle

    return float(Angle(angle, unit=unit).deg)
