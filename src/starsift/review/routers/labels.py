"""Labels: given, undone, exported."""

import tempfile
from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response
from pydantic import Field
from starlette.exceptions import HTTPException

from starsift.review.context import WRITES, Candidate, InContext, OneQueue, User, check_position
from starsift.searches.registry import SEARCHES

LIMIT = 1000  # spectra in one request

router = APIRouter(prefix="/api")


class Label(User):
    label: str | None = None
    flag: bool | None = None
    comment: str | None = None


class Labels(User):
    label: str
    positions: list[int] = Field(min_length=1, max_length=LIMIT)


class Undo(User):
    count: int = Field(default=1, ge=1, le=LIMIT)


@router.post("/queues/{queue}/items/{position:int}/label", dependencies=WRITES)
def label(context: InContext, queue: OneQueue, body: Label, name: Candidate) -> Response:
    if body.label is not None:
        _check_word(queue.search, body.label)
    if body.label is None and body.flag is None and body.comment is None:
        raise HTTPException(422, "nothing to save: expected a label, a flag or a comment")
    context.store.add(
        queue.search, name, body.user, queue=queue.id, label=body.label, flag=body.flag, comment=body.comment
    )
    return JSONResponse(context.opinions(queue, name) | {"progress": context.progress(queue, body.user)})


@router.post("/queues/{queue}/labels", dependencies=WRITES)
def labels(context: InContext, queue: OneQueue, body: Labels) -> Response:
    """One label for several spectra; `saved` is how many of them did not have it."""
    _check_word(queue.search, body.label)
    names = [queue.ids[check_position(queue, position)] for position in body.positions]
    saved = context.store.add_all(queue.search, names, body.user, queue=queue.id, label=body.label)
    return JSONResponse({"saved": saved, "progress": context.progress(queue, body.user)})


def _check_word(search: str, label: str) -> None:
    words = [word.label for word in SEARCHES[search].words]
    if label not in words:
        raise HTTPException(422, f"{label!r} is not a label of {search}; expected {', '.join(words)}")


@router.post("/queues/{queue}/undo", dependencies=WRITES)
def undo(context: InContext, queue: OneQueue, body: Undo) -> Response:
    """Undo the last events; `position` and labels are those of the one that was first of these."""
    names = [event.spectrum_id for event in context.store.undo_last(queue.id, body.user, body.count)]
    positions = [queue.positions.get(name) for name in names]
    opinions = context.opinions(queue, names[-1]) if names else {"labels": {}, "history": []}
    position = positions[-1] if positions else None
    answer = {"position": position, "undone": len(names)} | opinions
    return JSONResponse(answer | {"progress": context.progress(queue, body.user)})


@router.get("/export")
def export(context: InContext) -> Response:
    with tempfile.TemporaryDirectory(prefix="starsift-") as folder:
        file = Path(folder) / "labels.parquet"
        context.store.export(file)
        content = file.read_bytes()
    disposition = {"Content-Disposition": 'attachment; filename="labels.parquet"'}
    return Response(content, media_type="application/vnd.apache.parquet", headers=disposition)
