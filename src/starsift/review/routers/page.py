"""The page: its files, and the session with which it starts."""

from importlib import metadata
from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import FileResponse, JSONResponse, Response
from starlette.exceptions import HTTPException

from starsift.review.context import InContext
from starsift.review.results import spectral_lines
from starsift.searches.base import Word
from starsift.searches.registry import SEARCHES

_PAGE = Path(__file__).parents[1] / "static"
# Found without importing Bokeh, which takes half a second.
_BOKEH = Path(str(metadata.distribution("bokeh").locate_file("bokeh/server/static/js")))
_TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
# The only files that are served, by the names that clients use: no name ever becomes part of a path.
STATIC = {
    file.name: (file, _TYPES[file.suffix])
    for file in (*sorted(_PAGE.iterdir()), _BOKEH / "bokeh.min.js", _BOKEH / "bokeh-api.min.js")
    if file.suffix in _TYPES
}

router = APIRouter()


@router.get("/")
def page() -> Response:
    return _file(_PAGE / "index.html", "text/html")


@router.get("/static/{name}")
def static(name: str) -> Response:
    if name not in STATIC:
        raise HTTPException(404, "there is no such file")
    return _file(*STATIC[name])


def _file(path: Path, kind: str) -> Response:
    """A file of the page; Bokeh's, which do not change, may stay in the browser."""
    cache = "private, max-age=86400" if path.parent == _BOKEH else "no-store"
    return FileResponse(path, media_type=kind, headers={"Cache-Control": cache})


@router.get("/api/session")
def session(context: InContext) -> Response:
    queues = context.results.queues().values()
    return JSONResponse(
        {
            "user": context.user,
            "read_only": context.read_only,
            "version": metadata.version("starsift"),
            "samp": context.link.available(),
            "queue": context.queue,
            "queues": [
                {"id": q.id, "search": q.search, "title": q.title, "total": len(q.ids), "group": q.group}
                for q in queues
            ],
            "titles": {name: search.title for name, search in SEARCHES.items()},
            "vocabulary": {name: [_word(word) for word in search.words] for name, search in SEARCHES.items()},
            "lines": spectral_lines(),
            "models": [name for name, search in SEARCHES.items() if search.view().models],
            "windows": {name: search.view().window for name, search in SEARCHES.items()},
        }
    )


def _word(word: Word) -> dict[str, str]:
    return {"label": word.label, "key": word.key, "class": word.label_class, "description": word.description}
