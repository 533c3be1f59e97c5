"""Figures of the binaries show the right numbers."""

import pyarrow as pa
from fixtures.binaries_figures import DATA, draw


def test_no_magnitudes_is_said() -> None:
    nothing = pa.table({"snr": [5.0], "phot_g_mean_mag": pa.nulls(1, pa.float32())})
    figure = draw("snr_magnitude", 0, manifest=nothing)
    assert any("no Gaia magnitudes" in text.get_text() for axis in figure.axes for text in axis.texts)


def test_axes_have_labels_with_units() -> None:
    for name, word in {"rv_errors": "(km/s)", "rv_differences": "(km/s)", "flux_ratio": "(K)"}.items():
        axes = draw(name).axes
        assert any(word in axis.get_xlabel() + axis.get_ylabel() for axis in axes), name


def test_legend_counts_the_spectra_that_are_drawn() -> None:
    """Of two by models and vote, or by the vote alone, one has no velocities."""
    figure = draw("methods")
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == [
        "models and vote: 1 of 1 spectra",
        "models alone: 2 of 2 spectra",
        "vote alone: 0 of 1 spectra",
    ]
    bars = sum(bar.get_height() for bar in figure.axes[0].patches)
    assert bars >= 3


def test_completeness_says_how_many_pairs_a_cell_has() -> None:
    figure = draw("completeness")
    above, below, _ = figure.axes
    assert above.get_title() == "simulated, v sin i 5 km/s\nS/N 20, n = 4"
    assert below.get_title() == "of the survey\nS/N 20, n = 0 to 4"
    shown = [[text.get_text() for text in axis.texts] for axis in (above, below)]
    assert shown == [["25", "75", "50", "100"], ["50", "", "", ""]]


def test_panels_have_the_same_cells() -> None:
    """A panel of fewer velocity differences is not stretched."""
    figure = draw("completeness", completeness=DATA["completeness"].slice(1))
    assert [len(axis.texts) for axis in figure.axes[:2]] == [4, 4]
