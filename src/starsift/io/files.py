"""Files that appear complete or not at all, and files that are compressed."""

import bz2
import gzip
import json
import lzma
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

_COMPRESSIONS: dict[bytes, Callable[..., Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ": lzma.open,
}


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary file beside ``path`` that replaces it only when the block ends without an error."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".tmp", dir=target.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        # mkstemp makes files private; results are shared, so give them the mode of any other new file.
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def open_unpacked(path: Path) -> IO[bytes]:
    """Open a file for reading; one that is compressed by gzip, bzip2 or xz is unpacked on the way."""
    with path.open("rb") as stream:
        start = stream.read(8)
    opener = next((found for magic, found in _COMPRESSIONS.items() if start.startswith(magic)), open)
    return opener(path, "rb")


def read_json(path: str | os.PathLike[str]) -> Any:
    """The content of a JSON file."""
    return json.loads(Path(path).read_text())


def write_json(content: Any, path: str | os.PathLike[str]) -> None:
    """Write one line of JSON, keys sorted, complete or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(content, sort_keys=True) + "\n")
