"""What figures and pages of the report say, for tests."""

import re

from matplotlib.figure import Figure
from matplotlib.text import Text


def words(figure: Figure) -> str:
    """All that a figure says."""
    figure.canvas.draw()
    return " | ".join(text.get_text() for text in figure.findobj(Text))


def cells(page: str) -> list[list[str]]:
    """Cells of all rows of the tables of a page."""
    rows = re.findall(r"<tr>(.*?)</tr>", page)
    return [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in rows]
