"""Figures of the BHB search show the right numbers."""

import re
from pathlib import Path

import numpy as np
import pytest
from fixtures.bhb_figures import DATA, FITTED, METRICS, RUNS, SIZE, draw
from fixtures.figures import words
from matplotlib.collections import PathCollection
from sklearn.metrics import average_precision_score

from starsift.report.plots import save
from starsift.searches.bhb.comparison import ALL, MODELS
from starsift.searches.bhb.figures import RECALLS, purity_curve, stepped
from starsift.searches.bhb.inputs import BANDS, BHB, NOT_BHB
from starsift.searches.bhb.photometry import load_relations


def own(model: str, run: int) -> tuple[np.ndarray, np.ndarray]:
    """Truth and probability of a run's test set."""
    table = next(one.predictions for one in RUNS if one[:2] == (model, run))[:120]
    return np.array([kind == BHB for kind in table["class"].to_pylist()]), table["p_bhb"].to_numpy()


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
    published = {"BHBs": (9.936, -1.934, -0.775, 1.167), "blue stragglers": (13.444, 0.556, -0.489, 1.078)}
    for name, polynomial in published.items():
        np.testing.assert_allclose(ridge[name].get_ydata(), np.polyval(polynomial, x), rtol=1e-9)
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
