"""Figures of the M stars show the right numbers."""

import numpy as np
import pytest
from fixtures.figures import put, words
from fixtures.mstars_figures import DATA, MANY, draw

from starsift.searches.mstars.figures import EARLY, _binomial


@pytest.mark.parametrize(
    ("name", "columns", "reason"),
    [
        ("subtypes", ["subclass"], "no spectrum has a subtype"),
        ("subtype_comparison", ["subclass"], "no spectrum has a subtype"),
        ("snr", ["snrr"], "no spectrum has an S/N"),
        ("magnitudes", ["phot_g_mean_mag"], "no spectrum has a magnitude"),
        ("giants_spectra", ["caoh"], "not known for any star"),
        ("giants_photometry", ["w1"], "not known for any star"),
        ("activity", ["active"], "no dwarf is bright enough"),
    ],
)
def test_a_catalogue_without_a_measurement_says_so(name: str, columns: list[str], reason: str) -> None:
    table = put(MANY, **dict.fromkeys(columns))
    assert reason in words(draw(name, catalog=table, all_m=table, released=table))


def test_without_gaia_the_classes_of_the_catalogue_are_shown() -> None:
    table = put(MANY, giant_gaia=None, m_g=None, bp_rp=None)
    figure = draw("giants_spectra", all_m=table)
    assert "giants of the catalogue" in words(figure)
    assert "not known for any star" in words(figure)  # the luminosities
    assert figure.axes[1].collections


def test_axes_have_labels_with_units() -> None:
    units = {"top_matches": "(Å)", "magnitudes": "(mag)", "activity": "(Å)", "kinematics": "(km/s)"}
    for name, unit in (units | {"giants_photometry": "(mag)"}).items():
        assert unit in words(draw(name)), name


def test_curves_are_means_over_the_splits() -> None:
    """The first panel has the default method at each code length, the last the methods from best to worst."""
    default, _, methods = draw("recall_precision").axes
    labels = [line.get_label() for line in default.lines]
    assert [label.split(":")[0] for label in labels] == ["32 bits", "64 bits", "128 bits", "256 bits"]
    # Worth 0.95 to 0.96 in the three splits, in the middle 0.955.
    assert default.lines[0].get_ydata()[-1] == pytest.approx(0.955)
    names = [line.get_label().split(":")[0] for line in methods.lines]
    assert names == ["pil contrast", "pil", "itq", "lsh", "pca sign", "cosine"]


def test_matches_are_drawn_from_near_to_far() -> None:
    said = words(draw("ranked_matches"))
    places = [said.index(text) for text in ("query", "@1, 3 bits", "@10, 30 bits", "@10,000,")]
    assert places == sorted(places)


def test_a_spectrum_without_flux_leaves_its_place_empty() -> None:
    table = put(DATA["matches"].slice(0, 3), flux=[None, [], None])
    assert "@1, 3 bits" in words(draw("top_matches", matches=table))


def test_the_share_that_a_separator_tells_apart() -> None:
    """Three of four dwarfs and the one giant are on their side of CaOH against CaH1."""
    rows = put(
        MANY.slice(0, 6),
        subclass=["M1"] * 6,
        giant_gaia=[0, 0, 0, 0, 1, None],
        giant_caoh_cah1=[0, 0, 0, 1, 1, 1],
    )
    title = draw("giants_spectra", all_m=rows).axes[1].get_title()
    assert title == "correct: 75 % of dwarfs, 100 % of giants"


def test_late_types_stay_out_of_the_figure_of_early_ones() -> None:
    early = sum(1 for name in MANY["subclass"].to_pylist() if name and int(name[1]) <= EARLY)
    rows = zip(MANY["subclass"].to_pylist(), MANY["giant_gaia"].to_pylist(), strict=True)
    known = sum(1 for name, giant in rows if name and int(name[1]) <= EARLY and giant == 0)
    said = words(draw("giants_spectra"))
    assert known < early
    assert f"dwarfs ({known:,})" in said


def test_errors_of_shares() -> None:
    """Like those of a normal distribution for many stars; for few, inside 0 to 1 and never without width."""
    share, low, high = _binomial(np.array([300, 0, 1, 1]), np.array([1000, 2, 2, 1]))
    sigma = np.sqrt(0.3 * 0.7 / 1000)
    assert share.tolist() == [0.3, 0.0, 0.5, 1.0]
    assert [low[0], high[0]] == pytest.approx([0.3 - sigma, 0.3 + sigma], abs=0.001)
    assert low[1] == 0 < high[1] < 1
    assert low[2] == pytest.approx(1 - high[2])
    assert 0 < low[3] < high[3] == 1
