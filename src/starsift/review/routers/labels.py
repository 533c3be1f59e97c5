"""Labels: given, undone, exported."""

import tempfile
from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from starsift.review.context import WRITES, Candidate, InContext, OneQueue, User
from starsift.searches.registry import SEARCHES

router = APIRouter(prefix="/api")


class Label(User):
    label: str | None = None
    flag: bool | None = None
    comment: str | None = None


@router.post("/queues/{queue}/items/{position:int}/label", dependencies=WRITES)
def label(context: InContext, queue: OneQueue, body: Label, name: Candidate) -> Response:
    words = [word.label for word in SEARCHES[queue.search].words]
    if body.label is not None and body.label not in words:
        raise HTTPException(
            422, f"{body.label!r} is not a label of {queue.search}; expected {', '.join(words)}"
        )
    if body.label is None and body.flag is None and body.comment is None:
        raise HTTPException(422, "nothing to save: expected a label, a flag or a comment")
    context.store.add(
        queue.search, name, body.user, queue=queue.id, label=body.label, flag=body.flag, comment=body.comment
    )
    return JSONResponse(context.opinions(queue, name) | {"progress": context.progress(queue, body.user)})


@router.post("/queues/{queue}/undo", dependencies=WRITES)
def undo(context: InContext, queue: OneQueue, body: User) -> Response:
    event = context.store.undo(queue.id, body.user)
    name = None if event is None else event.spectrum_id
    position = None if name is None else queue.positions.get(name)
    opinions = {"labels": {}, "history": []} if name is None else context.opinions(queue, name)
    return JSONResponse({"position": position} | opinions | {"progress": context.progress(queue, body.user)})


@router.get("/export")
def export(context: InContext) -> Response:
    with tempfile.TemporaryDirectory(prefix="starsift-") as folder:
        file = Path(folder) / "labels.parquet"
        context.store.export(file)
        content = file.read_bytes()
    disposition = {"Content-Disposition": 'attachment; filename="labels.parquet"'}
    return Response(content, media_type="application/vnd.apache.parquet", headers=disposition)
