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
    """One layout of survey files: a module of `starsift.survey.readers` and a line of its registry.

    Attributes
    ----------
    kind : of survey, such as mrs
    names : of such a file, for messages: "an MRS file"
    expected : what such a file must hold, for messages
    recognizes : whether the headers of a file say that it is of this survey and layout
    holds : whether a file that is said to be of this kind has this layout
    read : spectra of an opened file, in file order: its path for messages, its units, and the names of the
        extensions to decode (None: all)
    index : rows of the index of an opened file that is recognized, by column name; raises `SpectrumError` for
        layouts that no survey is read from
    check : raises `SpectrumError` for a file of another survey, whatever its layout
    """

    kind: str
    names: str
    expected: str
    recognizes: Callable[[Sequence[Hdu]], bool]
    holds: Callable[[Sequence[Hdu]], bool]
    read: Callable[[str, Sequence[Hdu], Collection[str] | None], list[Exposure]]
    index: Callable[[Sequence[Hdu]], list[dict[str, Any]]]
    check: Callable[[str, Sequence[Hdu]], None] = accept
