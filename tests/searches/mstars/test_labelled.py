"""Classes of a labelled survey."""

import pytest

from starsift.searches.mstars.labelled import role_of


@pytest.mark.parametrize(
    ("class_", "subclass", "role"),
    [
        ("STAR", "dM3", "dwarf"),
        ("STAR", "M0", "dwarf"),
        ("star ", " M9 ", "dwarf"),
        ("STAR", "gM5", "giant"),
        ("STAR", "K7", "negative"),
        ("STAR", "sdM1", "negative"),
        ("STAR", "", "negative"),
        ("GALAXY", "M3", "negative"),
        ("UNKNOWN", None, "negative"),
        (None, None, "negative"),
    ],
)
def test_roles(class_: str | None, subclass: str | None, role: str) -> None:
    assert role_of(class_, subclass) == role
