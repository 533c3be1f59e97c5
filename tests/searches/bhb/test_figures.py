"""Every figure and page of the BHB search is drawn from many, few or no rows, and shows the right numbers."""

import re
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from fixtures.figure_words import cells, words
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from sklearn.metrics import average_precision_score

from starsift.report.plots import save
from starsift.searches.bhb.columns import BHB as SCHEMA
from starsift.searches.bhb.comparison import ALL, MODELS, model_gaps, score_runs
from starsift.searches.bhb.evaluation import Run
from starsift.searches.bhb.figures import FIGURES, RECALLS, purity_curve, stepped
from starsift.searches.bhb.inputs import BANDS, BHB, NOT_BHB, PIXELS, SEGMENTS
from starsift.searches.bhb.photometry import load_relations
from starsift.searches.bhb.report import (
    COMPARISONS,
    PAPER,
    candidates_page,
    classes_table,
    dataset_page,
    funnel_page,
    gaps_page,
    gaps_table,
    load_published,
    models_table,
    table5_page,
    table6_page,
    table7_page,
    table8_page,
)

RNG = np.random.default_rng(4)
CAPTIONS = Path(__file__).parents[3] / "workflow/report/bhb"
PAGES = ("table5", "table6", "table7", "table8", "gaps", "dataset", "candidates", "funnel")
SIZE = 12  # pixels of an image


def predictions(separation: float, seed: int, n: int = 120) -> pa.Table:
    """Of a network that is too sure, by a temperature of 3; the better the larger the separation."""
    rng = np.random.default_rng(seed)
    bhb = np.arange(2 * n) % 3 == 0
    value = np.where(bhb, separation, -separation) + rng.normal(0, 2, 2 * n)
    logit = separation * value / 2 - np.log(2)  # a third are BHBs
    return pa.table(
        {
            "spectrum_id": [f"spec-{k:04d}" for k in range(2 * n)],
            "star": [f"star-{k:04d}" for k in range(2 * n)],
            "split": ["test"] * n + ["validation"] * n,
            "class": [BHB if one else NOT_BHB for one in bhb],
            "p_bhb": pa.array(1 / (1 + np.exp(-3 * logit)), pa.float32()),
        }
    )


def training(model: str, run: int) -> dict[str, Any]:
    loss = (0.7 * 0.8 ** np.arange(12 + run)).tolist()
    trained = model not in ("svm", "trees")
    segments = np.linspace(2, 1, SEGMENTS) + 0.05 * run
    bands = np.array([2, 1, 1, 0.5, 0.5]) + 0.05 * run
    spectrum, image = model != "image", model != "spectrum"
    weights = {
        "segments": (segments / segments.sum()).tolist() if spectrum else None,
        "bands": (bands / bands.sum()).tolist() if image else None,
    }
    story = {"epochs": len(loss), "best_epoch": 9, "loss": loss, "validation_loss": [1.2 * x for x in loss]}
    told = {"model": model, "run": run, "seed": 7 + run, "n_parameters": 10}
    return told | (story | {"weights": weights} if trained else {"epochs": None})


def catalog(n: int) -> pa.Table:
    """Stars near the published relation, a few without photometry, half of them looked at."""
    g_r = RNG.uniform(-0.24, -0.02, n)
    known = RNG.random(n) < 0.9
    columns: dict[str, Any] = {
        "spectrum_id": [f"spec-{1000 + i:04d}-53000-{i % 640:04d}" for i in range(n)],
        "survey": ["sdss"] * n,
        "obsid": range(n),
        "planid": [str(1000 + i) for i in range(n)],
        "spid": [1] * n,
        "fiberid": [i % 640 for i in range(n)],
        "lmjd": [53000 + i for i in range(n)],
        "band": ["B"] * n,
        "obsdate": ["2004-01-01"] * n,
        "snr": RNG.uniform(10, 60, n),
        "p_bhb": RNG.uniform(0.8, 1, n),
        "modality": [("spectrum+image", "spectrum")[i % 2] for i in range(n)],
        "origin": ["predicted"] * n,
        "known_class": [BHB if i % 3 == 0 else None for i in range(n)],
        "g_0": pa.array(RNG.uniform(15, 19, n), mask=~known),
        "u_g_0": pa.array(load_relations()["u_g_bhb"](g_r) + RNG.normal(0, 0.05, n), mask=~known),
        "g_r_0": pa.array(g_r, mask=~known),
        "distance": pa.array(np.exp(RNG.normal(2.5, 0.6, n)), mask=~known),
        "group_id": range(1, n + 1),
        "group_name": [f"J12{i % 60:02d}00.00+301500.0" for i in range(n)],
        "n_exposures": [1] * n,
        "vetted": [i % 2 == 0 for i in range(n)],
        "vetted_by": ["A. Reader" if i % 2 == 0 else None for i in range(n)],
        "label": [BHB if i % 2 == 0 else None for i in range(n)],
        "file": ["spec.fits"] * n,
    }
    return pa.table(
        {
            field.name: pa.array(columns[field.name]).cast(field.type, safe=False)
            if field.name in columns
            else pa.nulls(n, field.type)
            for field in SCHEMA.arrow
        }
    )


def shown(n: int) -> pa.Table:
    """As `read_examples` gives them."""
    spectrum = RNG.random((n, PIXELS)).astype(np.float32)
    y, x = np.mgrid[:SIZE, :SIZE] - SIZE / 2
    star = np.exp(-(x**2 + y**2) / 8)[..., None] * np.arange(1, 6) + 0.05 * RNG.random((n, SIZE, SIZE, 5))
    return pa.table(
        {
            "spectrum_id": [f"spec-{k:04d}" for k in range(n)],
            "class": [BHB if k < n / 2 else NOT_BHB for k in range(n)],
            "p_bhb": np.linspace(0.99, 0.01, n),
            "certain": [k % 2 == 0 for k in range(n)],
            "spectrum": pa.FixedSizeListArray.from_arrays(pa.array(spectrum.ravel()), PIXELS),
            "image": pa.FixedSizeListArray.from_arrays(
                pa.array(star.ravel().astype(np.float32)), SIZE * SIZE * 5
            ),
        }
    )


QUALITY = {model: 0.6 + 0.15 * k for k, model in enumerate(MODELS)}
RUNS = [
    Run(model, run, predictions(QUALITY[model], 10 * k + run))
    for k, model in enumerate(MODELS)
    for run in range(3)
]
METRICS = score_runs(RUNS)
GAPS = model_gaps(METRICS, RUNS)
FITTED = {
    "run": 1,
    "models": {"spectrum+image": "batmm", "spectrum": "spectrum"},
    "purity": 0.9,
    "modalities": {
        "spectrum+image": {"temperature": 3.0, "threshold": 0.63},
        "spectrum": {"temperature": 3.0, "threshold": None},
    },
}
DATA: dict[str, Any] = {
    "runs": RUNS,
    "metrics": METRICS,
    "trainings": [training(model, run) for model in MODELS for run in range(3)],
    "calibration": FITTED,
    "catalog": catalog(300),
    "examples": shown(4),
}


def draw(name: str, rows: int | None = None, **other: Any) -> Figure:
    """A figure of all data, of the first rows of each table, or with some data replaced."""
    data = {key: value if isinstance(value, dict) else value[:rows] for key, value in DATA.items()} | other
    return FIGURES[name](**{key: data[key] for key in signature(FIGURES[name]).parameters if key in data})


def own(model: str, run: int) -> tuple[np.ndarray, np.ndarray]:
    """Truth and probability of a run's test set."""
    table = next(one.predictions for one in RUNS if one[:2] == (model, run))[:120]
    return np.array([kind == BHB for kind in table["class"].to_pylist()]), table["p_bhb"].to_numpy()


# Figures


def test_every_figure_and_page_has_a_caption() -> None:
    captions = {path.stem for path in CAPTIONS.glob("*.rst") if path.read_text().strip()}
    assert captions == {*FIGURES, *PAGES, "scorecard"}


@pytest.mark.parametrize("name", list(FIGURES))
@pytest.mark.parametrize("rows", [None, 1, 0])
def test_a_figure_is_drawn(name: str, rows: int | None, tmp_path: Path) -> None:
    save(draw(name, rows), tmp_path / "figure.svg")
    assert (tmp_path / "figure.svg").read_text().rstrip().endswith("</svg>")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("examples", "the calibrated run has no predictions"),
        ("roc_pr", "no run of BATMM"),
        ("weights", "no encoder weights segments"),
        ("weights", "no encoder weights bands"),
        ("fusion", "no model has been evaluated"),
        ("training", "no network was trained"),
        ("reliability", "the calibrated run has no predictions"),
        ("purity", "the calibrated run has no predictions"),
        ("colours", "no star of the catalogue has colours"),
        ("distances", "no star of the catalogue has a distance"),
    ],
)
def test_a_figure_of_nothing_says_so(name: str, reason: str) -> None:
    assert reason in words(draw(name, 0))


def test_the_same_tables_make_the_same_bytes(tmp_path: Path) -> None:
    for name in ("roc_pr", "purity"):
        save(draw(name), tmp_path / "a.svg")
        save(draw(name, runs=RUNS[::-1]), tmp_path / "b.svg")
        assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_curves_have_the_areas_that_they_claim() -> None:
    figure = draw("roc_pr")
    rows = {row["class"]: row for row in METRICS.to_pylist() if (row["model"], row["run"]) == ("batmm", 1)}
    said = words(figure)
    assert f"run 1: AUC = {rows[BHB]['auc']:.4f}" in said
    assert "BATMM, 3 runs" in said
    for kind in (BHB, NOT_BHB, ALL):
        area = float(re.search(rf"\| {kind}: ([\d.]+)", said)[1])
        assert area == pytest.approx(rows[kind]["average_precision"], abs=2e-3)
    left, right = figure.axes
    assert len(left.lines) == 3 + 1  # runs, and the diagonal
    assert len(right.lines) == 3 * 3
    assert [line.get_linewidth() for line in left.lines[:3]] == [0.5, 0.5, 1.5]
    # A run that is not there: the first.
    assert "run 0: AUC" in words(draw("roc_pr", calibration=FITTED | {"run": 9}))


def test_precision_in_steps() -> None:
    # Right, wrong, right: precision 1 up to a recall of one half, then 2/3.
    curve = stepped(np.array([1, 0, 1]), np.array([0.9, 0.8, 0.7]))
    assert curve[RECALLS <= 0.5] == pytest.approx(1.0)
    assert curve[RECALLS > 0.5] == pytest.approx(2 / 3)
    truth, p = own("image", 0)
    assert stepped(truth, p)[1:].mean() == pytest.approx(average_precision_score(truth, p), abs=2e-3)


def test_weights_are_means_over_runs() -> None:
    figure = draw("weights")
    left, right = figure.axes
    assert [text.get_text() for text in right.get_xticklabels()] == list(BANDS)
    ranges = [text.get_text() for text in left.get_xticklabels()]
    assert (ranges[0], ranges[-1]) == ("4000–\n4492", "8015–\n8999")
    # Markers of the spectrum's encoder, BATMM and BATMM end to end; and of image, BATMM twice.
    for axis, part, models in ((left, "segments", "spectrum"), (right, "bands", "image")):
        line = next(line for line in axis.lines if len(line.get_ydata()) == len(axis.get_xticks()))
        table = [one["weights"][part] for one in DATA["trainings"] if one["model"] == models]
        np.testing.assert_allclose(line.get_ydata(), np.mean(table, axis=0))
        assert axis.lines[-1].get_ydata()[0] == pytest.approx(1 / len(table[0]))
    assert "BATMM (3)" in words(figure)


def test_fusion_shows_the_scores() -> None:
    said = words(draw("fusion"))
    for model in ("image", "spectrum", "add", "concat", "vgg1d", "batmm"):
        f1 = [row["f1"] for row in METRICS.to_pylist() if (row["model"], row["class"]) == (model, ALL)]
        assert f"{100 * np.mean(f1):.1f}" in said
    assert "early concat" in said
    assert "SVM" not in said


def test_losses_of_every_run() -> None:
    figure = draw("training")
    networks = [model for model in MODELS if model not in ("svm", "trees")]
    used = [axis for axis in figure.axes if axis.lines]
    assert [axis.get_title() for axis in used] == [MODELS[model] for model in networks]
    assert all(len(axis.lines) == 3 * 3 for axis in used)  # loss, validation loss, best epoch
    best = used[0].lines[2]
    assert (best.get_xdata()[0], best.get_ydata()[0]) == (9, pytest.approx(1.2 * 0.7 * 0.8**8))


def test_calibration_tells_how_far_off_probabilities_are() -> None:
    figure = draw("reliability")
    assert [axis.get_title() for axis in figure.axes[:2]] == [
        "spectrum+image: BATMM, run 1",
        "spectrum: VGG1D + self-attention, run 1",
    ]
    off = [float(x) for x in re.findall(r"calibration error ([\d.]+)", words(figure))]
    assert off[1] < off[0]
    assert off[3] < off[2]
    assert "(120 test stars)" in words(figure)


def test_purity_by_hand() -> None:
    truth = np.array([True, False, True, True, False])
    threshold, pure, low, high, complete = purity_curve(truth, np.array([0.9, 0.5, 0.7, 0.5, 0.1]))
    assert threshold.tolist() == [0.1, 0.5, 0.7, 0.9]
    assert pure == pytest.approx([3 / 5, 3 / 4, 1, 1])  # both of equal probability count
    assert complete == pytest.approx([1, 1, 2 / 3, 1 / 3])
    assert ((low < pure) & (pure <= high)).all()


def test_purity_shows_the_threshold() -> None:
    figure = draw("purity")
    said = words(figure)
    assert "required purity 0.9; threshold 0.630" in said
    assert "required purity 0.9; no threshold reaches it" in said
    assert any(line.get_xdata()[:1] == [0.63] for line in figure.axes[0].lines)
    lone = FITTED | {"modalities": {"spectrum": FITTED["modalities"]["spectrum"]}}
    assert len(draw("purity", calibration=lone).axes) == 1


def test_colours_lie_on_published_relations() -> None:
    figure = draw("colours")
    axis = figure.axes[0]
    stars = next(one for one in axis.collections if isinstance(one, PathCollection)).get_offsets()
    known = DATA["catalog"]["g_r_0"].drop_null()
    assert len(stars) == len(known)
    assert f"{len(known)} of 300 spectra" in words(figure)
    ridge = {line.get_label(): line for line in axis.lines}
    x = ridge["BHBs"].get_xdata()
    np.testing.assert_allclose(
        ridge["BHBs"].get_ydata(), 1.167 - 0.775 * x - 1.934 * x**2 + 9.936 * x**3, rtol=1e-9
    )
    np.testing.assert_allclose(
        ridge["blue stragglers"].get_ydata(), 1.078 - 0.489 * x + 0.556 * x**2 + 13.444 * x**3, rtol=1e-9
    )
    # The demo's stars were put on the first.
    offset = stars[:, 1] - load_relations()["u_g_bhb"](stars[:, 0])
    assert abs(offset.mean()) < 0.02


def test_distances_are_counted() -> None:
    figure = draw("distances")
    far = DATA["catalog"]["distance"].drop_null().to_numpy()
    assert f"{far.size} of 300 spectra; median {np.median(far):.1f} kpc" in words(figure)
    assert figure.axes[1].lines[0].get_ydata().size == far.size
    assert "(kpc)" in words(figure)


def test_examples_show_spectra_and_bands() -> None:
    figure = draw("examples")
    assert len(figure.axes) == 4 * 6
    assert [axis.get_title() for axis in figure.axes[1:6]] == list(BANDS)
    said = words(figure)
    assert "BHB, certain: P(BHB) = 0.990" in said
    assert "not BHB, uncertain: P(BHB) = 0.010" in said
    table = DATA["examples"]
    np.testing.assert_allclose(figure.axes[0].lines[-1].get_ydata(), table["spectrum"][0].as_py())
    image = np.reshape(table["image"][0].as_py(), (SIZE, SIZE, 5))
    for band in range(5):
        shown = figure.axes[1 + band].images[0]
        np.testing.assert_allclose(shown.get_array(), image[..., band])
        assert shown.get_clim() == (image.min(), image.max())  # of all bands


# Pages


def test_published_scores() -> None:
    published = load_published()
    assert set(published) == {
        *((model, ALL) for model in MODELS if model != "batmm-end-to-end"),
        ("batmm", BHB),
        ("batmm", NOT_BHB),
    }
    # The unweighted mean of both classes, to the digits given.
    for name in ("precision", "recall", "f1"):
        mean = (published["batmm", BHB][name] + published["batmm", NOT_BHB][name]) / 2
        assert published["batmm", ALL][name] == pytest.approx(mean, abs=0.011)
    assert published["batmm", ALL]["f1"] - published["spectrum", ALL]["f1"] == pytest.approx(2.76)
    assert published["batmm", ALL]["f1"] - published["image", ALL]["f1"] == pytest.approx(21.77)


def scored(**f1: list[float]) -> pa.Table:
    """A table of metrics, in which only F1 differs between models."""
    rows = [
        {"model": model.replace("_", "-"), "run": run, "class": kind, "precision": 0.8, "recall": 0.7}
        | {"f1": score - 0.1 * (kind == BHB), "auc": 0.98, "average_precision": 0.97}
        for model, found in f1.items()
        for run, score in enumerate(found)
        for kind in (BHB, NOT_BHB, ALL)
    ]
    return pa.Table.from_pylist(rows, METRICS.schema)


def test_the_page_of_classes() -> None:
    rows = cells(table5_page(scored(batmm=[0.90, 0.92], svm=[0.3])))
    assert rows[0][:4] == ["class", "runs", "precision (%): this run", f"precision (%): {PAPER}"]
    assert [row[0] for row in rows[1:]] == [BHB, NOT_BHB, ALL]
    assert rows[3] == [
        ALL,
        "2",
        "80.00 ± 0.00",
        "94.45 ± 0.45",
        "70.00 ± 0.00",
        "95.18 ± 0.29",
        "91.00 ± 1.41",
        "94.78 ± 0.38",
        "0.9800 ± 0.0000",
        "0.9700 ± 0.0000",
    ]
    assert rows[1][6:8] == ["81.00 ± 1.41", "93.63 ± 0.52"]


def test_the_pages_of_models() -> None:
    table = scored(batmm_end_to_end=[0.93], batmm=[0.90, 0.92], svm=[0.8, 0.8], image_plain=[0.6])
    rows = cells(table8_page(table))
    assert [row[:3] for row in rows[1:]] == [
        ["spectrum", "SVM", "2"],
        ["spectrum + image", "BATMM", "2"],
        ["spectrum + image", "BATMM, trained end to end", "1"],
    ]
    assert rows[1][7:] == ["80.00 ± 0.00", "82.04 ± 0.33", "70.00 ± 0.00"]
    assert rows[3][7:] == ["93.00", "–", "83.00"]  # one run, not in the paper
    assert [row[1] for row in cells(table6_page(table))[1:]] == ["ResNet"]
    assert [row[1] for row in cells(table7_page(table))[1:]] == ["BATMM"]


def test_every_model_is_in_a_table() -> None:
    shown = {model for comparison in COMPARISONS.values() for model in comparison.models}
    assert shown == set(MODELS)
    for name, comparison in COMPARISONS.items():
        assert len(models_table(name, METRICS)[1]) == 1 + len(comparison.models)
    assert len(classes_table(METRICS)[1]) == 4


def test_the_page_of_differences() -> None:
    table = scored(batmm=[0.95, 0.96, 0.97], spectrum=[0.90, 0.92, 0.93], image=[0.7])
    rows = cells(gaps_page(model_gaps(table)))
    # 0.05, 0.04, 0.04: sample deviation 0.01 / sqrt(3).
    assert rows[1] == [
        "BATMM",
        "VGG1D + self-attention",
        "3",
        "4.33",
        "0.33",
        "–",
        "yes",
        "–",
        "2.76",
    ]
    assert rows[2][2:] == ["1", "20.00", "–", "–", "–", "–", "19.01"]
    full = gaps_table(GAPS)[1]
    assert len(full) == 1 + GAPS.num_rows
    assert all(cell != "" for row in full[1:-1] for cell in row)


def test_the_page_of_the_dataset(tmp_path: Path) -> None:
    counts, dropped = tmp_path / "counts.csv", tmp_path / "dropped.csv"
    counts.write_text("class,labelled,with_spectrum,with_image,train\nBHB,4985,4800,4752,3326\n")
    dropped.write_text("reason,BHB,not BHB\nmissing pixels,185,98\n")
    page = dataset_page(counts, dropped)
    rows = cells(page)
    assert rows[0] == ["class", "labelled", "with spectrum", "with image", "train"]
    assert rows[1] == ["BHB", "4,985", "4,800", "4,752", "3,326"]
    assert rows[3] == ["missing pixels", "185", "98"]
    funnel = tmp_path / "funnel.csv"
    funnel.write_text("step,spectra\nin the bundles,9000\nin the catalogue,800\n")
    assert cells(funnel_page(funnel))[2] == ["in the catalogue", "800"]


def test_the_page_of_candidates() -> None:
    table = catalog(6)
    p = pa.array([0.81, 0.99, None, 0.85, 0.95, 0.9], pa.float32())
    table = table.set_column(table.column_names.index("p_bhb"), "p_bhb", p)
    names = table["spectrum_id"].to_pylist()
    rows = cells(candidates_page(table, number=4))
    assert [row[0] for row in rows[1:]] == [names[1], names[4], names[5], names[3]]
    assert [row[4] for row in rows[1:]] == ["0.990", "0.950", "0.900", "0.850"]
    assert rows[1][5] == "spectrum"
    page = candidates_page(table, table.slice(0, 1))
    assert "In the catalogue: 6 spectra" in page
    assert "Rejected: 1 spectra" in page
    assert cells(page)[6][:1] + cells(page)[6][4:5] == [names[2], "–"]
    assert "4 of 6" in candidates_page(table, number=4)
    link = pa.array(["https://a.example/?x=1&y=2", *[None] * 5], pa.string())
    linked = table.set_column(table.column_names.index("link"), "link", link)
    page = candidates_page(linked.slice(1), linked.slice(0, 1))
    assert f'<a href="https://a.example/?x=1&amp;y=2">{names[0]}</a>' in page
    assert page.count("<a ") == 1
    assert candidates_page(table.slice(0, 0)).rstrip().endswith("</html>")


@pytest.mark.parametrize("page", [table5_page, table6_page, table7_page, table8_page])
def test_pages_without_runs(page: Any) -> None:
    assert len(cells(page(METRICS.slice(0, 0)))) == 1


def test_the_path_imports_no_other() -> None:
    for file in (Path(__file__).parents[3] / "src/starsift/searches/bhb").glob("*.py"):
        other = re.search(
            r"^\s*(from|import) starsift\.(binaries|mstars|emission|simulate|review|cli)",
            file.read_text(),
            re.M,
        )
        assert not other, f"{file}: {other}"
