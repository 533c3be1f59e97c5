"""The declaration of a reader: its layout, how to recognize, read and index it."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

from starsift.survey.exposure import Exposure
from starsift.survey.fitsfile import Hdu


def accept(path: str, hdus: Sequence[Hdu]) -> None:
    """The check of readers that refuse no file before they look at its layout."""


@dataclass(frozen=True)
class Reader:
    """One layout of survey files: a module of `starsift.survey.readers` and a line of its registry."""

    kind: str  # of survey, such as mrs
    names: str  # of such a file, for messages: "an MRS file"
    expected: str  # what such a file must hold, for messages
    # Whether the headers of a file say that it is of this survey and layout.
    recognizes: Callable[[Sequence[Hdu]], bool]
    # Whether a file that is said to be of this kind has this layout.
    holds: Callable[[Sequence[Hdu]], bool]
    # Spectra of an opened file, in file order: its path for messages, its units, and the names of the
    # extensions to decode (None: all).
    read: Callable[[str, Sequence[Hdu], Collection[str] | None], list[Exposure]]
    # Rows of the index of an opened file that is recognized, by column name; raises `SpectrumError` for
    # layouts that no survey is read from.
    index: Callable[[Sequence[Hdu]], list[dict[str, Any]]]
    # Raises `SpectrumError` for a file of another survey, whatever its layout.
    check: Callable[[str, Sequence[Hdu]], None] = accept
