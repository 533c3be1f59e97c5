"""Queues: progress, rows, and leases of candidates."""

import base64
from dataclasses import asdict
from itertools import chain, islice
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from fastapi import Query as Parameter
from fastapi.responses import JSONResponse, Response
from pydantic import Field, StringConstraints

from starsift.errors import InputError
from starsift.review.agreement import measure_agreement
from starsift.review.context import WRITES, InContext, OneQueue, User, check_position, to_json
from starsift.review.events import State
from starsift.review.selection import Query

ROWS_LIMIT = 1000
CONDITIONS = 20  # of a selection
CLAIM_LIMIT = 20

router = APIRouter(prefix="/api/queues/{queue}")


def parse_positions(queue: OneQueue, at: str | None = None) -> list[int] | None:
    """Positions of a queue, separated by commas."""
    if at is None:
        return None
    texts = [text for text in at.split(",") if text]
    if len(texts) > ROWS_LIMIT or not all(text.isdecimal() and len(text) < 10 for text in texts):
        raise InputError(f"at: expected at most {ROWS_LIMIT} positions, separated by commas")
    return [check_position(queue, int(text)) for text in texts]


Text = Annotated[str, StringConstraints(max_length=200)]
Positions = Annotated[list[int] | None, Depends(parse_positions)]


class Claim(User):
    count: int = Field(default=5, ge=1, le=CLAIM_LIMIT)
    second_opinion: bool = False
    after: int = Field(default=-1, ge=-1)


@router.get("")
def progress(context: InContext, queue: OneQueue, user: str = "") -> Response:
    return JSONResponse(context.progress(queue, user))


@router.get("/columns")
def columns(queue: OneQueue) -> Response:
    return JSONResponse({"columns": [asdict(column) for column in queue.columns.values()]})


@router.get("/position")
def position(queue: OneQueue, spectrum_id: str) -> Response:
    """The position of a spectrum, null where the queue does not have it."""
    return JSONResponse({"position": queue.positions.get(spectrum_id)})


@router.get("/selection")
def selection(
    context: InContext,
    queue: OneQueue,
    where: Annotated[tuple[Text, ...], Parameter(max_length=CONDITIONS)] = (),
    label: Text = "",
    differ: Annotated[tuple[Text, ...], Parameter()] = (),
    find: Text = "",
    sort: Text = "",
    user: Text = "",
) -> Response:
    query = Query(where, label, differ, find, sort, user)
    positions = context.results.select(queue.id, query, lambda: context.store.votes(queue.search, queue.ids))
    return JSONResponse({"positions": base64.b64encode(positions.astype("<i4").tobytes()).decode("ascii")})


@router.get("/rows")
def rows(
    context: InContext,
    queue: OneQueue,
    start: Annotated[int, Parameter(ge=0)] = 0,
    count: Annotated[int, Parameter(ge=0, le=ROWS_LIMIT)] = 200,
    at: Positions = None,
    show: str = "",
) -> Response:
    """Rows from `start` on or those `at` some positions, with the value of the column `show`."""
    positions = list(range(start, min(start + count, len(queue.ids)))) if at is None else at
    names = [queue.ids[position] for position in positions]
    current = context.store.current(queue.search, names)
    rows = [_row(where, name, current.get(name, {})) for where, name in zip(positions, names, strict=True)]
    if show:
        for row, value in zip(rows, context.results.values(queue.id, show, positions), strict=True):
            row["value"] = value
    return JSONResponse({"rows": rows})


@router.get("/thumbnails")
def thumbnails(context: InContext, queue: OneQueue, at: Positions = None, whole: bool = False) -> Response:
    return to_json({"thumbnails": [context.results.thumbnail(queue.id, each, whole) for each in at or []]})


@router.get("/agreement")
def agreement(context: InContext, queue: OneQueue) -> Response:
    return JSONResponse(measure_agreement(context.store.votes(queue.search, queue.ids)))


def _row(position: int, name: str, states: dict[str, State]) -> dict[str, Any]:
    labels = {who: s.label for who, s in sorted(states.items()) if s.label is not None}
    return {
        "position": position,
        "spectrum_id": name,
        "labels": labels,
        "flag": any(s.flag for s in states.values()),
        "disagreement": len(set(labels.values())) > 1,
    }


@router.post("/claim", dependencies=WRITES)
def claim(context: InContext, queue: OneQueue, body: Claim) -> Response:
    first = body.after + 1
    order = chain(islice(queue.ids, first, None), islice(queue.ids, first))
    second = body.second_opinion
    names = context.store.claim(queue.search, queue.id, body.user, order, body.count, second_opinion=second)
    return JSONResponse({"positions": [queue.positions[name] for name in names]})


@router.post("/release", dependencies=WRITES)
def release(context: InContext, queue: OneQueue, body: User) -> Response:
    context.store.release(queue.id, body.user)
    return JSONResponse({})
