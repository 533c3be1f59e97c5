"""One candidate: its spectrum, values, panels and labels; other exposures of its star."""

from fastapi import APIRouter
from fastapi.responses import Response

from starsift.review.context import Candidate, InContext, OneQueue, to_json

router = APIRouter(prefix="/api/queues/{queue}/items/{position:int}")


@router.get("")
def item(context: InContext, queue: OneQueue, position: int, name: Candidate) -> Response:
    return to_json(context.results.item(queue.id, position) | context.opinions(queue, name))


@router.get("/model")
def model(context: InContext, queue: OneQueue, position: int, name: Candidate) -> Response:
    return to_json(context.results.model(queue.id, position))


@router.get("/others/{key}")
def other(context: InContext, queue: OneQueue, position: int, key: str, name: Candidate) -> Response:
    return to_json(context.results.other(queue.id, position, key))
