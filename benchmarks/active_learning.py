"""Query strategies compared on the demo's pool: how many labels until its emission is found.

    make demo && python benchmarks/active_learning.py [--rounds 4] [--seeds 2] [--strategies entropy ...]

Plays active learning with the truth as oracle, with the settings of config/demo.yaml. Prints a Markdown
table: by strategy and number of labels the precision and recall of emission, of what the network predicts
among spectra without a label and what was found on the way; and the labels after which both reach 90 %.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from starsift.learning.backend import save_network
from starsift.searches.emission import active
from starsift.searches.emission.classes import CLASSES, TARGETS
from starsift.searches.emission.dataset import read_usable, read_windows
from starsift.searches.emission.inference import NumpyNetwork
from starsift.searches.emission.network import UNITS
from starsift.searches.emission.training import train
from starsift.settings import default_settings

EMISSION = default_settings()["emission"]

CONFIG = Path(__file__).parents[1] / "config"
REACH = 0.9


def settings() -> dict[str, object]:
    """Settings of the training of a round in the demo."""
    full, demo = (
        yaml.safe_load((CONFIG / name).read_text())["emission"]["training"]
        for name in ("config.yaml", "demo.yaml")
    )
    return full | demo


def load(results: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Windows and classes of the first examples, and of the pool."""
    number = {name: i for i, name in enumerate(CLASSES)}
    initial = pq.read_table(results / "emission/initial.parquet")
    truth = pq.read_table(results / "simulated/emission/truth.parquet", columns=["spectrum_id", "label"])
    label = dict(zip(*(truth[name].to_pylist() for name in truth.column_names), strict=True))
    parts = [read_usable(path) for path in sorted((results / "emission/windows").glob("*.parquet"))]
    names = pa.concat_tables([table for table, _ in parts])["spectrum_id"].to_pylist()
    return (
        read_windows(initial["window"]),
        np.array([number[name] for name in initial["label"].to_pylist()]),
        np.concatenate([windows for _, windows in parts]),
        np.array([number[label[name]] for name in names]),
    )


def choose(
    strategy: str, model: object, x: np.ndarray, known: np.ndarray, batch: int, seed: int
) -> np.ndarray:
    """Rows to query next."""
    if strategy == "random":
        return np.random.default_rng(seed).choice(np.flatnonzero(~known), batch, replace=False)
    chosen = active.STRATEGIES[strategy]
    if chosen.dropout:
        score = active.bald(model.predict_passes(model.convolve(x), active.PASSES, seed=seed))
    else:
        score = chosen.score(model.predict(x))
    score = np.where(known, -np.inf, score)
    features = None
    if chosen.diverse:
        best = np.argsort(-score)[: active.SHORTLIST * batch]
        features = np.zeros((len(x), UNITS), np.float32)
        features[best] = model.features(model.convolve(x[best]))
    return active.select_rows(score, batch, features)


def play(
    strategy: str, seed: int, rounds: int, batch: int, data: tuple, folder: Path
) -> list[tuple[float, float]]:
    """Precision and recall of emission with 0, `batch`, 2 `batch`, ... labels."""
    x0, y0, x, y = data
    known, start, story = np.zeros(len(x), bool), None, []
    for k in range(rounds + 1):
        examples = np.concatenate([x0, x[known]]), np.concatenate([y0, y[known]])
        model = train(*examples, seed=1000 * seed + k, start=start, **EMISSION["training"] | settings()).model
        start = folder / "model.keras"
        save_network(model, start)
        numpy_network = NumpyNetwork.load(start)
        found = np.where(known, y, numpy_network.predict(x).argmax(axis=1)) < TARGETS
        right = (found & (y < TARGETS)).sum()
        story.append((right / max(found.sum(), 1), right / (y < TARGETS).sum()))
        known[choose(strategy, numpy_network, x, known, batch, 1000 * seed + k)] = True
    return story


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", type=Path, default=Path("results"), help="of the demo (%(default)s)")
    parser.add_argument("--rounds", type=int, default=4, help="(%(default)s)")
    parser.add_argument("--seeds", type=int, default=2, help="(%(default)s)")
    parser.add_argument("--strategies", nargs="+", default=[*active.STRATEGIES, "random"])
    options = parser.parse_args()
    data = load(options.results)
    batch = yaml.safe_load((CONFIG / "config.yaml").read_text())["emission"]["rounds"]["batch"]
    lines = []
    with tempfile.TemporaryDirectory() as name:
        for strategy in options.strategies:
            stories = [
                play(strategy, seed, options.rounds, batch, data, Path(name)) for seed in range(options.seeds)
            ]
            needed = [
                next((k * batch for k, both in enumerate(story) if min(both) >= REACH), None)
                for story in stories
            ]
            cells = [
                " / ".join(f"{value:.2f}" for value in np.mean([story[k] for story in stories], axis=0))
                for k in range(options.rounds + 1)
            ]
            reached = ", ".join(f"> {options.rounds * batch}" if n is None else str(n) for n in needed)
            lines.append(f"| {strategy} | {' | '.join(cells)} | {reached} |")
    print(f"| strategy | {' | '.join(f'{k * batch} labels' for k in range(options.rounds + 1))} | needed |")
    print("|---" * (options.rounds + 3) + "|")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
