"""The band model: real M stars look like it, its indices follow theirs, and giants are not dwarfs."""

from pathlib import Path

import numpy as np
import pytest
from fixtures.spectra import sdss_templates
from scipy.ndimage import gaussian_filter1d

from starsift.searches.mstars.indices import measure_indices
from starsift.sky.air import air_to_vacuum
from starsift.spectra.resample import LAMOST_LRS, LogGrid
from starsift.synthesis.bands import (
    black_body,
    carbon_stars,
    dwarfs,
    galaxies,
    giants,
    load_bands,
    lrs_bands,
    quasars,
    redden,
    type_name,
    white_dwarfs,
)

MEAN_TYPES = {"M0": 40, "M2": 42, "M4": 44, "M6": 46, "M8": 48}
WAVELENGTH = LAMOST_LRS.wavelength
# Air Angstrom; 8432 and 8859.8 are too weak before M8, the blue ones too faint after M4.
BLUE_HEADS = (4761, 4954.6, 5166.8)
RED_HEADS = (
    *(5448.2, 5497, 5759.5, 5811, 5847.6, 6158.5, 6185, 6569, 6651.3, 6681, 6714.5),
    *(7054.2, 7087.6, 7125.6, 7589.6, 7628, 7743, 8432, 8859.8),
)


@pytest.fixture(scope="module")
def real() -> dict[str, np.ndarray]:
    """Mean SDSS spectra of dwarfs of solar metallicity."""
    names, _, flux = sdss_templates()
    rows = dict(zip(names.tolist(), flux, strict=True))
    return {name: rows[f"{name}_+0.0_Dwarf"] for name in MEAN_TYPES}


def indices(flux: np.ndarray) -> dict[str, np.ndarray]:
    measured = measure_indices(WAVELENGTH, np.atleast_2d(flux), np.ones_like(np.atleast_2d(flux)))
    return {name: value for name, (value, _) in measured.items()}


def without_continuum(flux: np.ndarray) -> np.ndarray:
    log_flux = np.log(np.maximum(flux / np.median(flux), 0.01))
    return (log_flux - gaussian_filter1d(log_flux, 250, mode="nearest"))[1561:3862]  # 5300-9000 Angstrom


@pytest.mark.parametrize("name", MEAN_TYPES)
def test_m_dwarfs_look_like_real_ones(real: dict[str, np.ndarray], name: str) -> None:
    model = dwarfs(lrs_bands(), [MEAN_TYPES[name]])[0]
    own = np.corrcoef(without_continuum(model), without_continuum(real[name]))[0, 1]
    assert own > 0.92
    # And more like their own type than like those two subtypes away.
    red = slice(1561, 3862)
    distance = {k: np.std(np.log((model / flux)[red]), where=flux[red] > 0) for k, flux in real.items()}
    assert min(distance, key=lambda key: distance[key]) == name


@pytest.mark.parametrize("name", ["M0", "M2", "M4", "M6"])
@pytest.mark.parametrize("index", ["tio2", "tio5", "cah1", "cah2", "cah3", "caoh", "na"])
def test_indices_are_those_of_real_stars(real: dict[str, np.ndarray], name: str, index: str) -> None:
    model = indices(dwarfs(lrs_bands(), [MEAN_TYPES[name]]))[index][0]
    assert model == pytest.approx(indices(real[name])[index][0], abs=0.05)


@pytest.mark.parametrize("name", ["M0", "M2", "M4"])
def test_the_g_band_and_cn_outlast_k_stars(real: dict[str, np.ndarray], name: str) -> None:
    """A species that ended with K7 would be taken for the difference between K and M stars."""

    def depth(flux: np.ndarray, band: tuple[int, int], beside: tuple[int, int]) -> float:
        inside, outside = (flux[(a < WAVELENGTH) & (b > WAVELENGTH)].mean() for a, b in (band, beside))
        return float(inside / outside)

    model = dwarfs(lrs_bands(), [MEAN_TYPES[name]])[0]
    for band, beside in (((4290, 4317), (4400, 4420)), ((3860, 3884), (3895, 3920))):
        assert depth(model, band, beside) == pytest.approx(depth(real[name], band, beside), abs=0.11)


@pytest.mark.parametrize("head", BLUE_HEADS + RED_HEADS)
def test_heads_of_tio_are_steps_in_real_stars(real: dict[str, np.ndarray], head: float) -> None:
    log_flux = gaussian_filter1d(np.log(np.maximum(real["M4" if head in BLUE_HEADS else "M8"], 1e-3)), 1)
    width = 7  # pixels on either side
    mean = np.convolve(log_flux, np.ones(width) / width, mode="valid")  # of the pixels k to k + 6
    step = mean[: -width - 1] - mean[width + 1 :]  # centred on pixel k + 7
    near = np.abs(WAVELENGTH[width:-width] - air_to_vacuum(head)) < 40
    centres = WAVELENGTH[width:-width][near]
    peak = centres[np.argmax(step[near] - 0.02 * np.abs(centres - air_to_vacuum(head)))]
    assert peak == pytest.approx(float(air_to_vacuum(head)), abs=6.5)
    assert step[near].max() > 0.05


def test_tio_deepens_along_the_sequence() -> None:
    measured = indices(dwarfs(lrs_bands(), 40 + np.arange(10)))
    for name in ("tio2", "tio5", "cah2", "cah3"):
        assert (np.diff(measured[name]) < 0).all()
    # Reid et al. 1995, equation 1: Sp = 8.2 - 10.775 TiO5; types of SDSS, as here, lie 0.9 later.
    expected = (8.2 + 0.9 - np.arange(7)) / 10.775
    np.testing.assert_allclose(measured["tio5"][:7], expected, atol=0.08)


def test_giants_have_weak_hydrides_and_strong_triplets() -> None:
    model = lrs_bands()
    giant, dwarf = giants(model, np.arange(7)), dwarfs(model, 40 + np.arange(7))
    one, other = indices(giant), indices(dwarf)
    np.testing.assert_allclose(one["tio5"], other["tio5"], atol=0.1)
    for name in ("cah1", "cah2", "cah3", "na"):
        assert (one[name] > other[name] + 0.02).all()
    assert (one["cah2"] + one["cah3"])[3] > 1.55  # at TiO5 = 0.5; dwarfs have 1.3 there
    line = np.argmin(np.abs(WAVELENGTH - air_to_vacuum(8542.09)))
    assert (giant[:, line] / giant[:, line - 20] < 0.9 * dwarf[:, line] / dwarf[:, line - 20]).all()


def test_subdwarfs_have_strong_cah_for_their_tio() -> None:
    measured = indices(dwarfs(lrs_bands(), [42] * 4, feh=[-1.0, -0.5, 0.0, 0.3]))
    assert (np.diff(measured["zeta"]) > 0.2).all()
    assert measured["zeta"][0] < 0.5 < 0.9 < measured["zeta"][2] < 1.4
    np.testing.assert_allclose(measured["cah2"], measured["cah2"][2], atol=0.05)


@pytest.mark.parametrize("number", [40, 42, 44, 46])
def test_emission_is_as_wide_as_asked(number: int) -> None:
    measured = indices(dwarfs(lrs_bands(), [number] * 4, ewha=[0.0, 1.5, 4.0, 10.0]))["ewha"]
    assert -0.6 < measured[0] < 0.2  # no false activity
    np.testing.assert_allclose(measured - measured[0], [0, 1.5, 4.0, 10.0], rtol=0.12)


def test_scatter_needs_a_generator_and_repeats() -> None:
    model = lrs_bands()
    first, second = (dwarfs(model, [43.3] * 3, scatter=0.1, rng=np.random.default_rng(1)) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert np.abs(first[0] / first[1] - 1).max() > 0.02
    np.testing.assert_allclose(dwarfs(model, [43.3], scatter=0.1), dwarfs(model, [43.3]))


def test_other_classes_are_positive_and_finite() -> None:
    model, rng = lrs_bands(), np.random.default_rng(2)
    classes = {
        "A to K": dwarfs(model, np.linspace(0, 37.5, 40)),
        "white dwarfs": white_dwarfs(model, np.linspace(6000, 30000, 9)),
        "carbon": carbon_stars(model, np.linspace(2800, 4500, 9)),
        "galaxies": galaxies(rng, np.linspace(0, 0.3, 30)),
        "quasars": quasars(rng, np.linspace(0.2, 3.0, 30)),
    }
    for name, flux in classes.items():
        assert flux.dtype == np.float32, name
        assert flux.shape[1] == WAVELENGTH.size
        assert np.isfinite(flux).all(), name
        assert (flux > 0).all(), name


def test_balmer_lines_peak_in_a_stars_and_white_dwarfs_have_broader_ones() -> None:
    model = lrs_bands()
    offset = WAVELENGTH - float(air_to_vacuum(4861.33))
    centre, side, wing = (np.argmin(np.abs(offset - x)) for x in (0, 110, 35))
    stars = dwarfs(model, [0, 13, 26])
    depth = 1 - stars[:, centre] / stars[:, side]
    assert depth[0] > depth[1] > depth[2] > 0
    white = white_dwarfs(model, [13_000])
    assert 1 - white[0, wing] / white[0, side] > 2 * (1 - stars[0, wing] / stars[0, side])


@pytest.mark.parametrize("z", [0.02, 0.17, 0.31])
def test_redshifts_move_lines(z: float) -> None:
    flux = galaxies(np.random.default_rng(0), [z] * 60)
    line = np.argmin(np.abs(WAVELENGTH - 6564.6 * (1 + z)))
    excess = flux[:, line] / np.median(flux[:, line - 60 : line + 60], axis=1)
    assert 0.2 < (excess > 1.15).mean() < 0.8  # about half form stars
    quasar = quasars(np.random.default_rng(0), [z + 1.5])[0]
    line = np.argmin(np.abs(WAVELENGTH - 2798.75 * (2.5 + z)))
    near = slice(line - 60, line + 61)
    assert np.argmax(quasar[near] * WAVELENGTH[near] ** 1.5) == pytest.approx(60, abs=12)


def test_dust_reddens() -> None:
    flux = np.ones((1, WAVELENGTH.size), dtype=np.float32)
    dusty = redden(flux, WAVELENGTH, [2.0])[0]
    assert dusty[-1] > 2 * dusty[0]
    assert dusty[np.argmin(np.abs(WAVELENGTH - 5500))] == pytest.approx(1, abs=1e-3)


def test_black_bodies_obey_wien() -> None:
    peak = WAVELENGTH[np.argmax(black_body(WAVELENGTH, [4000.0, 6000.0]), axis=1)]
    np.testing.assert_allclose(peak, 2.897772e7 / np.array([4000.0, 6000.0]), rtol=2e-3)


def test_another_grid_gives_the_same_model() -> None:
    coarse = load_bands(LogGrid(3.70, 2e-4, 1000))
    fine = dwarfs(lrs_bands(), [43.5])[0]
    again = dwarfs(coarse, [43.5])[0]
    expected = np.interp(coarse.wavelength, WAVELENGTH, fine)
    ratio = again / expected
    np.testing.assert_allclose(ratio / np.median(ratio), 1, atol=0.03)


@pytest.mark.parametrize(
    ("number", "name"),
    [(0, "A0"), (13.4, "F3"), (37.2, "K7"), (39, "K7"), (39.6, "M0"), (45.4, "M5"), (49, "M9")],
)
def test_names_of_types(number: float, name: str) -> None:
    assert type_name(number) == name


def test_bad_input(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"between 0 \(A0\) and 49 \(M9\)"):
        dwarfs(lrs_bands(), [50.0])
    with pytest.raises(ValueError, match="spectral types must lie"):
        giants(lrs_bands(), [-41.0])
    with pytest.raises(ValueError, match="redshifts of galaxies"):
        galaxies(np.random.default_rng(0), [0.5])
    (tmp_path / "sequence.csv").write_text("type,number,teff,colour_temperature,TiO\nM0,40,3850,3850,1\n")
    for feature, message in {
        "VO,red,7334,70,1": r"species only in one of .*TiO.*VO",
        "TiO,box,7054,70,1": "shape of a feature is 'box'",
    }.items():
        (tmp_path / "features.csv").write_text(f"species,shape,wavelength_air,width,strength\n{feature}\n")
        with pytest.raises(ValueError, match=message):
            load_bands(folder=tmp_path)
