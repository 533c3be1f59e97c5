"""What all tests share."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

# Compilation and other jobs of the machine make the first example slow.
settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that share what takes long to make run in one process."""
    for item in items:
        if (group := group_of(item)) is not None:
            item.add_marker(pytest.mark.xdist_group(group))


def group_of(item: pytest.Item) -> str | None:
    """Unit tests of one module, all tests with a browser, and those that look at one finished workflow."""
    folder = item.path.relative_to(Path(__file__).parent).parts[0]
    if folder != "workflow":
        return folder if folder == "browser" else item.path.as_posix()
    fixtures = {*getattr(item, "fixturenames", ())}
    search = getattr(item, "callspec", None) and item.callspec.params.get("search")
    if search and {"run", "request"} & fixtures:  # which ask for a run by this name
        fixtures |= {search if search == "demo" else f"finished_{search}"}
    shared = {name for name in fixtures if name in ("demo", "sandbox") or name.startswith("finished_")}
    return min(shared, default=item.path.as_posix() if "run" in fixtures else None)


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write text or bytes to a file of the test."""

    def write(content: str | bytes, name: str = "t.csv") -> Path:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write
