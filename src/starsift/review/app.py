"""The review app as an ASGI application: routers, errors, and the guard before them."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import anyio.to_thread
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

from starsift.errors import NotFoundError, ReadOnlyError, ResultsError, SampError
from starsift.review.context import Context
from starsift.review.guard import Guard, error_answer
from starsift.review.labels import LabelStore
from starsift.review.results import Results
from starsift.review.routers import items, labels, page, queues, samp
from starsift.review.samp import SampLink

THREADS = 8  # requests that read or write at a time; reading takes turns anyway


def create_app(
    results: Results,
    store: LabelStore,
    *,
    token: str,
    port: int,
    user: str = "",
    read_only: bool = False,
    queue: str | None = None,
    link: SampLink | None = None,
) -> ASGIApp:
    """The app that answers requests.

    Parameters
    ----------
    results : of the run to be reviewed
    store : where labels go
    token : first part of every path
    port : that the server listens on, as clients name it in Host
    user : name that the page suggests
    read_only : labels are shown and none is taken
    queue : that the page opens first
    link : to other applications over SAMP; by default a new one
    """
    context = Context(results, store, link or SampLink(), user, read_only, queue)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        anyio.to_thread.current_default_thread_limiter().total_tokens = THREADS
        yield
        context.link.close()

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False, lifespan=lifespan)
    app.state.context = context
    _add_errors(app)
    for module in (page, queues, items, labels, samp):
        app.include_router(module.router)
    return Guard(app, token=token, port=port)


def _add_errors(app: FastAPI) -> None:
    """Answer errors with one sentence each."""
    statuses: list[tuple[type[Exception], int]] = [
        (NotFoundError, 404),
        (ReadOnlyError, 409),
        (ResultsError, 409),
        (SampError, 503),
        (ValueError, 422),
        (OSError, 500),  # a full disk: people must know that a label is not saved
    ]

    def handler(status: int) -> Callable[[Request, Exception], JSONResponse]:
        return lambda request, error: error_answer(status, _sentence(error))

    for kind, status in statuses:
        app.add_exception_handler(kind, handler(status))

    @app.exception_handler(HTTPException)
    def refused(request: Request, error: HTTPException) -> JSONResponse:
        return JSONResponse({"detail": str(error.detail)}, error.status_code, error.headers)

    @app.exception_handler(RequestValidationError)
    def malformed(request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"] if part != "body") or "the request"
        return error_answer(422, f"{where}: {first['msg']}")

    @app.exception_handler(Exception)
    def unexpected(request: Request, error: Exception) -> JSONResponse:
        return error_answer(500, f"the review app failed ({type(error).__name__}); see its terminal")


def _sentence(error: Exception) -> str:
    """What an error says; a KeyError would put it in quotes."""
    return str(error.args[0]) if isinstance(error, KeyError) else str(error)
