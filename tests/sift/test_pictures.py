"""Pictures: what they leave out and where names stand."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from starsift.searches.registry import SEARCHES
from starsift.sift.pictures import draw_spectrum, draw_window


def test_a_gap_stays_empty_and_single_bad_pixels_do_not() -> None:
    wavelength = 10.0 ** np.arange(3.6, 3.9, 1e-4)
    keep = np.ones(len(wavelength), bool)
    keep[500:600] = keep[1000] = False
    axis = Figure().subplots()
    draw_spectrum(axis, (wavelength[keep], np.ones(keep.sum())))
    x, y = axis.lines[0].get_data()
    assert np.flatnonzero(np.isnan(x)).tolist() == np.flatnonzero(np.isnan(y)).tolist() == [500]
    assert axis.get_xlim() == (wavelength[0], wavelength[-1])
    draw_spectrum(axis, (wavelength[:0], wavelength[:0]))  # a spectrum without a good pixel


@pytest.mark.parametrize("columns", [1, 4])
@pytest.mark.parametrize("search", SEARCHES)
def test_names_of_lines_do_not_cover_each_other(search: str, columns: int) -> None:
    figure = Figure(figsize=(9 if columns == 1 else 13.6, 3), layout="constrained")
    axis = figure.subplots(1, columns, squeeze=False)[0, 0]
    wavelength = np.linspace(3700.0, 9000.0, 4000)
    draw_window(axis, search, (wavelength, np.ones(4000)), 0.0, size=7.0 if columns == 1 else 5.0)
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in axis.texts]
    assert boxes
    assert [(i, j) for i in range(len(boxes)) for j in range(i) if boxes[i].overlaps(boxes[j])] == []
