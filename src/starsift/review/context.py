"""Objects that the routers of the review app share, and parameters of a request."""

import json
from dataclasses import asdict, dataclass
from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict
from starlette.exceptions import HTTPException

from starsift.errors import NotFoundError
from starsift.review.labels import LabelStore
from starsift.review.queues import Queue
from starsift.review.results import Results
from starsift.review.samp import SampLink


@dataclass(frozen=True)
class Context:
    """The folder of results, the label store and the options of an app; as in `create_app`."""

    results: Results
    store: LabelStore
    link: SampLink
    user: str
    read_only: bool
    queue: str | None

    def progress(self, queue: Queue, user: str) -> dict[str, Any]:
        """How far people are with a queue."""
        progress = self.store.progress(queue.search, queue.ids)
        return asdict(progress) | {"mine": progress.by_person.get(user, 0)}

    def opinions(self, queue: Queue, name: str) -> dict[str, Any]:
        """The labels that a spectrum has, and all that was ever said of it."""
        states = self.store.current(queue.search, [name]).get(name, {})
        keys = ("who", "label", "flag", "comment", "time", "version", "undone")
        # An event that undoes another says nothing itself: the other one is marked.
        events = [asdict(event) for event in self.store.history(queue.search, name) if event.undoes is None]
        return {
            "labels": {
                who: {"label": s.label, "flag": s.flag, "comment": s.comment, "time": s.time}
                for who, s in sorted(states.items())
            },
            "history": [{key: event[key] for key in keys} for event in events],
        }


async def get_context(request: Request) -> Context:
    context: Context = request.app.state.context
    return context


InContext = Annotated[Context, Depends(get_context)]


def find_queue(queue: str, context: InContext) -> Queue:
    return context.results.queue(queue)


OneQueue = Annotated[Queue, Depends(find_queue)]


def check_position(queue: Queue, position: int) -> int:
    if not 0 <= position < len(queue.ids):
        raise NotFoundError(f"{queue.id} has positions 0 to {len(queue.ids) - 1}, not {position}")
    return position


def find_candidate(position: int, queue: OneQueue) -> str:
    """The spectrum in a position of a queue."""
    return queue.ids[check_position(queue, position)]


Candidate = Annotated[str, Depends(find_candidate)]


async def check_writable(context: InContext) -> None:
    if context.read_only:
        raise HTTPException(409, "the review app was started with --read-only: labels cannot be given")


WRITES = [Depends(check_writable)]


class Body(BaseModel):
    """The body of a request: nothing but its fields, of their types."""

    model_config = ConfigDict(extra="forbid", strict=True)


class User(Body):
    user: str


def to_json(content: Any) -> Response:
    """An answer that is large, or whose numbers may not be finite: an error then, not broken JSON."""
    return Response(json.dumps(content, allow_nan=False), media_type="application/json")
