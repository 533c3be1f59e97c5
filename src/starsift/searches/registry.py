"""The searches of starsift, by name.

Apart from the package itself, so that results of one search do not depend on which others there are.
"""

from collections.abc import Iterable
from importlib import import_module

from starsift.searches.base import Search

NAMES = (
    "binaries",
    "mstars",
    "emission",
    "bhb",
)
SEARCHES: dict[str, Search] = {
    name: import_module(f"starsift.searches.{name}.search").SEARCH for name in NAMES
}
# Of the report of a simulated survey, the last one.
SCORES = "Scorecards"


def report_categories(searches: Iterable[str]) -> dict[str, str]:
    """Names of the report's categories by search and section, such as "mstars/catalog"; "scores" comes last.

    Snakemake sorts them, so they are numbered by their place. A name has no colon: Snakemake makes link
    targets of reStructuredText of them.
    """
    titles = {
        f"{name}/{key}": f"{search.title} – {section}"
        for name, search in SEARCHES.items()
        if name in set(searches)
        for key, section in search.sections.items()
    }
    titles["scores"] = SCORES
    width = len(str(len(titles)))
    return {key: f"{at:0{width}d} {title}" for at, (key, title) in enumerate(titles.items(), start=1)}
