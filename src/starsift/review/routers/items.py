"""One candidate: its spectrum, values, panels and labels; other exposures of its star."""

from fastapi import APIRouter
from fastapi.responses import Response

from starsift.review.context import Candidate, InContext, OneQueue, to_json
from starsift.review.story import tell

router = APIRouter(prefix="/api/queues/{queue}/items/{position:int}")


@router.get("")
def item(context: InContext, queue: OneQueue, position: int, name: Candidate) -> Response:
    return to_json(context.results.item(queue.id, position) | context.opinions(queue, name))


@router.get("/model")
def model(context: InContext, queue: OneQueue, position: int, name: Candidate) -> Response:
    return to_json(context.results.model(queue.id, position))


@router.get("/story")
def story(context: InContext, queue: OneQueue, name: Candidate) -> Response:
    """Titles with lines, as `starsift explain` prints them."""
    sections = tell(context.results.folder, name).sections
    return to_json({"sections": [{"title": title, "lines": lines} for title, lines in sections]})


@router.get("/others/{key}")
def other(context: InContext, queue: OneQueue, position: int, key: str, name: Candidate) -> Response:
    return to_json(context.results.other(queue.id, position, key))
