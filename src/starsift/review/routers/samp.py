"""Spectra and tables to other programs over SAMP."""

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response

from starsift.catalog.publish import to_astropy
from starsift.review.context import Body, InContext, find_candidate

router = APIRouter(prefix="/api/samp")


class InQueue(Body):
    queue: str


class Item(InQueue):
    position: int


@router.post("/spectrum")
def spectrum(context: InContext, body: Item) -> Response:
    queue = context.results.queue(body.queue)
    name = find_candidate(body.position, queue)
    arrays = context.results.spectrum(queue.id, body.position)
    return JSONResponse({"sent_to": context.link.send_spectrum(name, *arrays)})


@router.post("/table")
def table(context: InContext, body: InQueue) -> Response:
    queue = context.results.queue(body.queue)
    return JSONResponse({"sent_to": context.link.send_table(queue.id, lambda: to_astropy(queue.table))})


@router.post("/highlight")
def highlight(context: InContext, body: Item) -> Response:
    queue = context.results.queue(body.queue)
    find_candidate(body.position, queue)
    ra, dec = (queue.value(name, body.position) for name in ("ra", "dec"))
    return JSONResponse({"sent_to": context.link.highlight(queue.id, body.position, ra, dec)})
