"""Models of one, two and three stars: known shifts, noise, masks, and real stars."""

from dataclasses import replace

import numpy as np
import pytest
from fixtures.backends import other_backend, run_python
from fixtures.real_stars import expose_stars
from fixtures.settings import BINARIES
from fixtures.survey_files import real

from starsift.errors import SettingsError
from starsift.searches.binaries.model_bank import block_edges, build_models, template_parameters
from starsift.searches.binaries.model_fit import fit_models
from starsift.searches.binaries.settings import model_settings
from starsift.spectra.reading import read_spectra
from starsift.spectra.templates import load_grid
from starsift.synthesis.exposures import anonymous_batch
from starsift.synthesis.mrs import observe
from starsift.synthesis.stars import Synthesizer

SETTINGS = model_settings(BINARIES)
STARS = {"teff": (6250.0, 5750.0, 5250.0), "logg": 4.2, "feh": 0.0, "vsini": (15.0, 0.0, 0.0)}


@pytest.fixture(scope="module")
def models():
    return build_models(load_grid(), **SETTINGS)


@pytest.fixture(scope="module")
def synthesizer():
    return Synthesizer(load_grid(), BINARIES["ccf"]["resolution"])


def expose(synthesizer, rv, light, *, snr, n, seed=1, **defects):
    """n exposures of stars of `STARS` at velocities `rv`, with shares of the light."""
    k = len(rv)
    teff, vsini = STARS["teff"][:k], STARS["vsini"][:k]
    level = synthesizer.flux(np.array(teff), 4.2, 0.0, np.array(vsini), 0.0, 1.0).mean(axis=1)
    radius = np.sqrt(np.array(light) / level)
    flux = synthesizer.flux(*(np.tile(a, (n, 1)) for a in (teff, [4.2] * k, [0.0] * k, vsini, rv, radius)))
    ratio = np.full(n, float(snr))
    rng = np.random.default_rng(seed)
    return anonymous_batch(*observe(synthesizer.wavelength, flux, snr=ratio, rng=rng, **defects), ratio)


def test_templates_are_stars_that_occur():
    params = template_parameters((5000, 6000, 7000), (2.5, 4.2), (0.0,), (0, 15, 45, 90))
    teff, logg, _, vsini = params.T
    assert vsini[logg < 3.5].max() == 15
    assert teff[logg < 3.5].max() == 5000
    assert [vsini[(teff == t) & (logg > 3.5)].max() for t in (5000, 6000, 7000)] == [15, 45, 90]


def test_without_dwarfs_there_are_no_pairs_to_try():
    with pytest.raises(SettingsError, match=r"binaries\.model.*dwarf"):
        build_models(load_grid(), **{**SETTINGS, "logg": (2.5,), "teff": (4750,)})


def test_noise_alone_is_no_pair(models, synthesizer):
    n = 64
    ratio, dark = np.full(n, 8.0), np.zeros((n, synthesizer.wavelength.size), np.float32)
    rng = np.random.default_rng(7)
    batch = anonymous_batch(*observe(synthesizer.wavelength, dark, snr=ratio, rng=rng), ratio)
    fits = fit_models(batch, models)
    assert fits.usable.all()
    assert np.isnan(fits.chi2[:, 1]).all()


def test_sums_over_blocks_are_those_of_shifted_templates(models):
    edges = block_edges(models.pixels)
    for shift in (-models.nodes, -7, 0, models.nodes):
        first = models.nodes - shift  # the grid begins so many pixels into a curve that is moved red
        depth = models.depth[:, first : first + models.pixels].astype(float)
        expected = np.add.reduceat(depth**2, edges[:-1], axis=1).T
        np.testing.assert_allclose(models.squares[:, models.nodes + shift], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("rv", [(-31.7,), (-62.4, 41.3), (-118.2, -20.9, 96.6)])
def test_velocities_and_light_of_a_clear_spectrum(models, synthesizer, rv):
    light = [0.5, 0.3, 0.2][: len(rv)]
    batch = expose(synthesizer, rv, light, snr=150, n=4, cosmic_rays=False, sky=False)
    fits, k = fit_models(batch, models), len(rv)
    order = np.argsort(fits.rv[:, k - 1, :k], axis=1)
    found = np.take_along_axis(fits.rv[:, k - 1, :k], order, axis=1)
    assert np.abs(found - np.sort(rv)).max() < 1.0
    if k > 1:
        share = fits.depth[:, k - 1, :k] / fits.depth[:, k - 1, :k].sum(axis=1, keepdims=True)
        true = np.array(light)[np.argsort(rv)]
        # Depth and temperature of a template make up for each other.
        assert np.abs(np.take_along_axis(share, order, axis=1) - true / true.sum()).max() < 0.15


@pytest.mark.parametrize(("rv", "light", "snr"), [((12.0,), (1.0,), 20), ((-60.0, 45.0), (0.6, 0.4), 25)])
def test_errors_are_those_of_many_exposures(models, synthesizer, rv, light, snr):
    fits, k = fit_models(expose(synthesizer, rv, light, snr=snr, n=160, sky=False), models), len(rv)
    order = np.argsort(fits.rv[:, k - 1, :k], axis=1)
    found, err = (np.take_along_axis(a[:, k - 1, :k], order, axis=1) for a in (fits.rv, fits.rv_err))
    assert np.abs(np.median(found, axis=0) - np.sort(rv)).max() < 0.5
    pull = (found - np.median(found, axis=0)) / err
    scatter = 1.4826 * np.median(np.abs(pull), axis=0)
    assert ((scatter > 0.75) & (scatter < 1.3)).all()


def test_bright_stars_keep_their_pixels(models):
    """At this S/N many pixels are far above the fitted continuum; they are no cosmic rays."""
    rng, rv = np.random.default_rng(1), (-80, 3, 80)
    batch = expose_stars(("Procyon", "Sun", "Procyon"), (1, 0.7, 0.5), rv, snr=500, n=3, rng=rng)
    fits = fit_models(batch, models)
    np.testing.assert_allclose(np.sort(fits.rv[:, 2], axis=1), [rv] * 3, atol=8)
    faint = replace(batch, ivar=batch.ivar / 100)
    np.testing.assert_array_equal(fits.pixels, fit_models(faint, models).pixels)


def test_errors_of_the_curvature_are_those_of_noisy_copies(models):
    """As Monte Carlo would have them; real stars, whose templates are wrong."""
    rng, snr, n = np.random.default_rng(8), 30, 240
    one = expose_stars(("Procyon", "Sun"), (1, 0.6), (-60, 55), snr=snr, n=1, rng=rng)
    copies = one.take(np.zeros(n, int))
    noisy = copies.flux + rng.standard_normal(copies.flux.shape, np.float32) / snr
    err = fit_models(one, models).rv_err[0, 1, :2]
    scatter = fit_models(replace(copies, flux=noisy), models).rv[:, 1, :2].std(axis=0)
    np.testing.assert_allclose(scatter / err, 1.0, atol=0.3)


def test_bad_pixels_have_no_effect(models, synthesizer):
    batch = expose(synthesizer, (-70.0, 50.0), (0.6, 0.4), snr=40, n=3, cosmic_rays=False)
    rng = np.random.default_rng(3)
    bad = rng.random(batch.flux.shape) < 0.05
    results = []
    for value in (0.0, 1e6):
        flux, ivar = np.where(bad, value, batch.flux), np.where(bad, 0.0, batch.ivar)
        fits = fit_models(anonymous_batch(batch.wavelength, flux, ivar, bad, np.full(3, 40.0)), models)
        results.append(fits)
    np.testing.assert_array_equal(results[0].rv, results[1].rv)
    assert np.abs(np.sort(results[0].rv[:, 1, :2], axis=1) - [-70, 50]).max() < 2.0


def test_stars_at_the_ends_of_the_range_of_velocities(models, synthesizer):
    """Only pixels of a template are read: `make test-kernels` checks the bounds of arrays."""
    farthest = float(models.velocity(models.nodes))
    for rv in ((-farthest, farthest), (-farthest - 4, 20.0), (0.0, farthest + 4)):
        fits = fit_models(expose(synthesizer, rv, (0.5, 0.5), snr=100, n=4), models)
        found = fits.rv[:, 1, :2]
        assert (np.abs(found) <= farthest).all()
        np.testing.assert_allclose(found, np.tile(np.clip(rv, -farthest, farthest), (4, 1)), atol=20)


def test_order_of_spectra_and_of_chunks_does_not_matter(models, synthesizer):
    batch = expose(synthesizer, (-70.0, 50.0), (0.6, 0.4), snr=30, n=40)
    order = np.random.default_rng(2).permutation(40)
    straight, mixed = fit_models(batch, models), fit_models(batch.take(order), models)
    # A third star is noise here, and a close choice: the last bits of a sum decide.
    np.testing.assert_allclose(mixed.rv[:, 1, :2], straight.rv[order][:, 1, :2], atol=0.05)
    np.testing.assert_array_equal(mixed.pixels, straight.pixels[order])


def test_spectra_without_light_or_pixels(models, synthesizer):
    batch = expose(synthesizer, (0.0,), (1.0,), snr=30, n=3)
    flux, ivar = batch.flux.copy(), batch.ivar.copy()
    flux[0], ivar[0] = 0.0, 0.0
    ivar[1, 500:] = 0.0
    fits = fit_models(anonymous_batch(batch.wavelength, flux, ivar, batch.mask > 0, np.full(3, 30.0)), models)
    assert fits.usable.tolist() == [False, False, True]
    assert np.isnan(fits.chi2[:2]).all()
    assert abs(fits.rv[2, 0, 0]) < 3.0
    assert (fit_models(batch.take(slice(0, 0)), models).usable).size == 0


def test_a_single_star_is_seldom_worth_a_pair(models, synthesizer):
    fits = fit_models(expose(synthesizer, (30.0,), (1.0,), snr=30, n=64), models)
    gain = (fits.chi2[:, 0] - fits.chi2[:, 1]) / fits.lines
    assert np.nan_to_num(gain).max() < 0.006
    assert np.isnan(gain).mean() > 0.5


@pytest.mark.parametrize("stars", [("Sun", "Procyon"), ("Procyon", "Sun"), ("Procyon", "Procyon")])
@pytest.mark.parametrize(
    ("rv", "light", "snr"), [((-25, 35), 0.5, 20), ((-35, 45), 0.25, 15), ((90, -90), 0.25, 10)]
)
def test_pairs_of_real_stars(models, stars, rv, light, snr):
    fits = fit_models(
        expose_stars(stars, (1, light), rv, snr=snr, n=12, rng=np.random.default_rng(5)), models
    )
    found = np.sort(fits.rv[:, 1, :2], axis=1)
    assert (np.abs(found - np.sort(rv)).max(axis=1) < 10).mean() >= 0.9
    gain = (fits.chi2[:, 0] - fits.chi2[:, 1]) / fits.lines
    assert np.median(gain) > 0.015


def test_triples_of_real_stars(models):
    stars, rv = ("Procyon", "Sun", "Procyon"), (-110, 3, 110)
    fits = fit_models(
        expose_stars(stars, (1, 0.7, 0.5), rv, snr=30, n=8, rng=np.random.default_rng(6)), models
    )
    assert np.abs(np.sort(fits.rv[:, 2], axis=1) - rv).max() < 10


@pytest.mark.parametrize("star", ["Sun", "Procyon"])
@pytest.mark.parametrize("snr", [10, 50])
def test_a_real_single_star_gains_little_from_a_second(models, star, snr):
    fits = fit_models(expose_stars([star], [1], [12.0], snr=snr, n=12, rng=np.random.default_rng(7)), models)
    assert np.abs(fits.rv[:, 0, 0] - 12.0).max() < 3.0
    gain = (fits.chi2[:, 0] - fits.chi2[:, 1]) / fits.lines
    assert np.nan_to_num(gain).max() < 0.012


def test_the_eclipsing_binary_kic_8098300(models):
    batch = read_spectra(real("lamost-mrs-dr7"))
    rows = batch.identity.to_pylist()
    blue = [i for i, row in enumerate(rows) if row["band"] == "B" and row["lmjm"]]
    fits = fit_models(batch.take(np.array(blue)), models)
    night = np.array([rows[i]["lmjd"] for i in blue])
    gain = np.nan_to_num(fits.chi2[:, 0] - fits.chi2[:, 1]) / fits.lines
    apart = np.abs(np.diff(fits.rv[:, 1, :2], axis=1))[:, 0]
    double = night == 58644
    assert double.sum() == 4
    assert (gain[double] > 0.1).all()
    assert ((apart[double] > 105) & (apart[double] < 135)).all()
    assert (gain[~double] < 0.01).all()


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["tensorflow", "jax", "torch"])
def test_backends_agree(models, synthesizer, backend, tmp_path):
    batch = expose(synthesizer, (-70.0, 50.0), (0.6, 0.4), snr=30, n=6)
    np.savez(tmp_path / "in.npz", wavelength=batch.wavelength, flux=batch.flux, ivar=batch.ivar)
    code = f"""
import numpy as np
from searches.binaries.test_model_fit import SETTINGS, anonymous_batch, build_models, fit_models, load_grid
from starsift.learning.backend import namespace
a = np.load({str(tmp_path / "in.npz")!r})
batch = anonymous_batch(a["wavelength"], a["flux"], a["ivar"], a["ivar"] <= 0, np.full(6, 30.0))
fits = fit_models(batch, build_models(load_grid(), **SETTINGS), xp=namespace("keras"))
np.save({str(tmp_path / "rv.npy")!r}, fits.rv)
"""
    done = run_python("-c", code, KERAS_BACKEND=other_backend(backend))
    assert done.returncode == 0, done.stderr
    rv, fits = np.load(tmp_path / "rv.npy"), fit_models(batch, models)
    np.testing.assert_allclose(rv[:, :2], fits.rv[:, :2], atol=0.05)
    # There is no third star: its velocity is that of noise, where the last bits of the backends matter.
    np.testing.assert_array_equal(np.isnan(rv[:, 2]), np.isnan(fits.rv[:, 2]))
