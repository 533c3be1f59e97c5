"""Queues: progress, rows, and leases of candidates."""

from itertools import chain, islice
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import JSONResponse, Response
from pydantic import Field

from starsift.review.context import WRITES, InContext, OneQueue, User
from starsift.review.events import State

ROWS_LIMIT = 1000
CLAIM_LIMIT = 20

router = APIRouter(prefix="/api/queues/{queue}")


class Claim(User):
    count: int = Field(default=5, ge=1, le=CLAIM_LIMIT)
    second_opinion: bool = False
    after: int = Field(default=-1, ge=-1)


@router.get("")
def progress(context: InContext, queue: OneQueue, user: str = "") -> Response:
    return JSONResponse(context.progress(queue, user))


@router.get("/rows")
def rows(
    context: InContext,
    queue: OneQueue,
    start: Annotated[int, Query(ge=0)] = 0,
    count: Annotated[int, Query(ge=0, le=ROWS_LIMIT)] = 200,
) -> Response:
    names = queue.ids[start : start + count]
    current = context.store.current(queue.search, names)
    return JSONResponse(
        {"rows": [_row(at, name, current.get(name, {})) for at, name in enumerate(names, start)]}
    )


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
