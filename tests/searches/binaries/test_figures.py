"""Figures of the binaries show the right numbers."""

import pyarrow as pa
from fixtures.binaries_figures import draw


def test_no_magnitudes_is_said() -> None:
    nothing = pa.table({"snr": [5.0], "phot_g_mean_mag": pa.nulls(1, pa.float32())})
    figure = draw("snr_magnitude", 0, manifest=nothing)
    assert any("no Gaia magnitudes" in text.get_text() for axis in figure.axes for text in axis.texts)


def test_axes_have_labels_with_units() -> None:
    for name, word in {"rv_errors": "(km/s)", "rv_differences": "(km/s)", "flux_ratio": "(K)"}.items():
        axes = draw(name).axes
        assert any(word in axis.get_xlabel() + axis.get_ylabel() for axis in axes), name
