"""Model sets for others: the set of a run, made small, with its scores and a card for people."""

import os
from pathlib import Path
from typing import Any

from starsift.errors import ResultsError
from starsift.io.files import atomic_path, read_json
from starsift.learning.model_sets import RECORD, ModelSet, read_model_set, write_model_set
from starsift.searches.base import Search

_CARD = """# Model set: {title}

{files} of the search for {title} ({reference}), version {version} of starsift, digest `{digest}`. Use it with
`{name}: {{models: FOLDER}}` in the settings of a run; what is in this folder is checked against `{record}`.

**Learnt from.** {learnt_from}

**Limits.** {limits}

## Scores

On the simulated survey of the run that made it. What the search does on real spectra: docs/real-data.md.

| score | value |
|---|---|
{scores}

## Settings that made it

```yaml
{settings}```
"""


def publish_model_set(
    results: str | os.PathLike[str], search: Search, folder: str | os.PathLike[str]
) -> ModelSet:
    """Write the model set of a run with its scores, networks in float16, and a card (README.md).

    Scores are the lines of the run's scorecard, if it has one. Raises ResultsError: the run has no such set.
    """
    import yaml

    source, target = Path(results) / search.name / "model_set", Path(folder)
    if not (source / RECORD).is_file():
        raise ResultsError(f"{source}: no model set of {search.name} here; run its search first")
    made = read_model_set(source, search.name, search.models)
    card = Path(results) / "scorecards" / f"{search.name}.json"
    scores = _scores(read_json(card)) if card.is_file() else made.scores
    files = {name: source / name for name in made.files}
    record = write_model_set(target, search.name, files, settings=made.settings, scores=scores, halve=True)
    lines = "\n".join(f"| {name} | {value:g} |" for name, value in scores.items()) or "| none | |"
    text = _CARD.format(
        title=search.title,
        reference=search.reference,
        name=search.name,
        files=", ".join(f"`{name}`" for name in record.files),
        version=record.version,
        digest=record.digest,
        record=RECORD,
        learnt_from=search.learnt_from,
        limits=search.limits,
        scores=lines,
        settings=yaml.safe_dump(record.settings, sort_keys=True),
    )
    with atomic_path(target / "README.md") as draft:
        draft.write_text(text)
    return record


def _scores(card: dict[str, Any]) -> dict[str, float]:
    return {line["name"]: line["value"] for line in card["lines"] if line["value"] is not None}
