"""The CCF kernel against a slow reference, its invariants, and two real stars."""

from pathlib import Path

import numpy as np
import pytest
from fixtures.backends import run_python
from fixtures.real_stars import FILES, expose_stars
from fixtures.settings import BINARIES
from fixtures.survey_files import identity_of
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import CubicSpline
from scipy.ndimage import gaussian_filter1d

from starsift.searches.binaries.peaks import find_components
from starsift.sky.constants import C_KMS
from starsift.spectra.batches import SpectrumBatch
from starsift.spectra.ccf import build_bank, correlate, correlate_normalized, grid_position, smooth_template
from starsift.spectra.continuum import fit_continuum, normalize
from starsift.spectra.templates import load_grid

ROOT = Path(__file__).parents[2]
WAVELENGTH = np.linspace(4898.2, 5389.0, 4136)


@pytest.fixture(scope="module")
def grid():
    return load_grid(ROOT / "resources" / "templates" / "grid.parquet")


@pytest.fixture(scope="module")
def bank(grid):
    return build_bank(grid, **BINARIES["ccf"])


def make_batch(wavelength, flux, ivar):
    identity = identity_of([f"s{i}" for i in range(len(flux))])
    return SpectrumBatch.from_arrays(identity, np.broadcast_to(wavelength, flux.shape), flux, ivar)


def star(grid, teff, logg, rv, wavelength=WAVELENGTH):
    """A template at R = 7500, shifted and sampled: independent of the library's synthesis and of its CCF."""
    flux = grid.flux[grid.nearest(teff, logg, 0.0)].astype(float)
    log_grid = np.arange(np.log(grid.wavelength[0]), np.log(grid.wavelength[-1]), 1 / C_KMS)
    fine = CubicSpline(np.log(grid.wavelength), flux)(log_grid)
    width = np.sqrt(7500.0**-2 - grid.resolution**-2) / 2.354820045
    fine = gaussian_filter1d(fine, width * C_KMS, mode="nearest")
    return CubicSpline(log_grid, fine)(np.log(wavelength) - np.log1p(rv / C_KMS))


@pytest.fixture(scope="module")
def observed(grid):
    stars = [star(grid, *known) for known in ((5000, 4, 35.3), (8000, 4, -210.0), (4750, 2, 120.0))]
    flux = np.array([*stars, star(grid, 6000, 4, -80) + star(grid, 6000, 4, 90)])
    flux = flux / np.median(flux, axis=-1, keepdims=True)
    noise = np.random.default_rng(11).standard_normal(flux.shape) / 40
    return make_batch(WAVELENGTH, flux + noise, np.full(flux.shape, 40.0**2))


def noiseless(flux):
    """A batch of spectra at S/N 1000."""
    return make_batch(WAVELENGTH, flux, np.full(flux.shape, 1e6 / np.median(flux) ** 2))


def slow_ccf(flux, good, wavelength, grid, velocities):
    """Equation 1, one velocity and one template at a time, template interpolated onto the good pixels."""
    use = good & (wavelength >= 4900.0) & (wavelength <= 5389.0)
    curves = []
    for parameters in BINARIES["ccf"]["templates"]:
        template = smooth_template(grid, grid.nearest(*parameters), 7500.0, 5)
        shifted = (template(np.log(wavelength[use]) - np.log1p(v / C_KMS)) for v in velocities)
        curves.append([np.corrcoef(flux[use], curve)[0, 1] for curve in shifted])
    curves = np.array(curves)
    best = int(curves.max(axis=1).argmax())
    return curves[best], best


def test_equals_the_slow_reference_also_with_masked_pixels(grid, bank, observed):
    rng = np.random.default_rng(3)
    ivar = observed.ivar.copy()
    ivar[rng.random(ivar.shape) < 0.03] = 0.0
    ivar[1, 1000:1400] = 0.0
    batch = make_batch(WAVELENGTH, observed.flux, ivar)
    ccfs = correlate(batch, bank)
    flux, clean = normalize(batch, degree=5)
    assert bank.velocities.tolist() == list(range(-500, 501))
    for i in range(batch.n):
        reference, best = slow_ccf(flux[i], clean[i] > 0, WAVELENGTH, grid, bank.velocities[::7])
        assert ccfs.template[i] == best
        np.testing.assert_allclose(ccfs.ccf[i, ::7], reference, atol=2e-4)


def test_a_perfect_match_correlates_at_one(grid, bank):
    flux = np.array([star(grid, *parameters[:2], 0.0) for parameters in BINARIES["ccf"]["templates"]])
    ccfs = correlate(noiseless(flux), bank)
    assert ccfs.template.tolist() == [0, 1, 2]
    assert (ccfs.ccf.max(axis=1) > 0.995).all()
    assert (ccfs.ccf <= 1.0 + 1e-5).all()
    assert (ccfs.ccf.argmax(axis=1) == 500).all()


@settings(max_examples=15, deadline=None)
@given(rv=st.floats(-450, 450), index=st.integers(0, 2))
def test_a_shifted_template_gives_the_shifted_peak(grid, bank, rv, index):
    flux = star(grid, *BINARIES["ccf"]["templates"][index][:2], rv)[None]
    ccfs = correlate(noiseless(flux), bank)
    peak = find_components(ccfs.ccf, bank.velocities, **BINARIES["peaks"])
    assert peak.count[0] == 1
    assert peak.rv[0, 0] == pytest.approx(rv, abs=0.3)


def test_permutation_scale_and_tilt_change_nothing(bank, observed):
    ccfs = correlate(observed, bank)
    order = np.array([2, 0, 3, 1])
    permuted = correlate(observed.take(order), bank)
    np.testing.assert_allclose(permuted.ccf, ccfs.ccf[order], atol=1e-6)
    scaled = make_batch(WAVELENGTH, observed.flux * 250.0, observed.ivar / 250.0**2)
    np.testing.assert_allclose(correlate(scaled, bank).ccf, ccfs.ccf, atol=1e-5)
    # Which bins the clipping leaves to the continuum changes with the tilt, so only nearly nothing changes.
    tilt = np.linspace(0.4, 1.3, WAVELENGTH.size)
    tilted = correlate(make_batch(WAVELENGTH, observed.flux * tilt, observed.ivar / tilt**2), bank)
    np.testing.assert_allclose(tilted.ccf, ccfs.ccf, atol=0.03)
    before, after = (find_components(c.ccf, bank.velocities, **BINARIES["peaks"]) for c in (ccfs, tilted))
    np.testing.assert_array_equal(after.count, before.count)
    np.testing.assert_allclose(after.rv, before.rv, atol=0.3)


def test_cosmic_rays_emission_and_garbage_under_the_mask_do_not_matter(grid, bank, observed):
    clean = correlate(observed, bank).ccf
    rng = np.random.default_rng(5)
    flux, ivar = observed.flux.copy(), observed.ivar.copy()
    for row in flux:
        row[rng.integers(0, row.size, 15)] += 30.0
        row[2000:2010] += 4.0  # an emission line
    dirty = make_batch(WAVELENGTH, flux, ivar)
    np.testing.assert_allclose(correlate(dirty, bank).ccf, clean, atol=0.02)
    curves, masked = [], observed.ivar.copy()
    masked[:, 500:520] = 0
    for garbage in (1e20, -3.0):
        flux = observed.flux.copy()
        flux[:, 500:520] = garbage
        curves.append(correlate(make_batch(WAVELENGTH, flux, masked), bank).ccf)
    np.testing.assert_array_equal(*curves)


def test_unusable_spectra_get_flat_curves_and_no_components(bank, observed):
    ivar = observed.ivar.copy()
    ivar[0] = 0.0
    ivar[1, 900:] = 0.0
    flux = observed.flux.copy()
    flux[2] = 1.0
    ccfs = correlate(make_batch(WAVELENGTH, flux, ivar), bank)
    assert ccfs.usable.tolist() == [False, False, True, True]
    assert np.isfinite(ccfs.ccf).all()
    assert (ccfs.ccf[:2] == 0).all()
    assert find_components(ccfs.ccf, bank.velocities, **BINARIES["peaks"]).count[:2].tolist() == [0, 0]


def test_copies_share_the_mask_of_their_spectrum(bank, observed):
    flux, ivar = normalize(observed, degree=5)
    good = ivar > 0
    good[0, 700:900] = False
    position = grid_position(observed.wavelength, bank)
    once = correlate_normalized(position, flux, good, bank).ccf
    copies = correlate_normalized(position, np.repeat(flux, 3, axis=0), good, bank, copies=3).ccf
    np.testing.assert_allclose(copies, np.repeat(once, 3, axis=0), atol=1e-6)
    with pytest.raises(ValueError, match="copies"):
        correlate_normalized(position, flux, good, bank, copies=2)


def test_a_grid_too_short_for_the_velocities_is_refused(grid):
    with pytest.raises(ValueError, match=r"velocity_max|wavelength_range"):
        build_bank(grid, **BINARIES["ccf"] | {"velocity_max": 900.0})


def test_continuum_follows_blaze_and_ignores_lines(grid):
    blaze = 1000.0 * (1.0 - 0.7 * ((WAVELENGTH - 5150.0) / 260.0) ** 2)
    truth = grid.normalized[grid.nearest(6000, 4, 0.0)]
    lines = np.interp(WAVELENGTH, grid.wavelength, truth)
    flux = (blaze * lines).astype(np.float32)[None]
    ivar = np.full(flux.shape, 0.01, np.float32)
    flux[0, ::200] += 5e4
    ratio = fit_continuum(WAVELENGTH[None], flux, ivar, degree=5)[0] / blaze
    assert np.ptp(ratio) < 0.06
    assert 0.9 < np.median(ratio) < 1.01


BACKEND = """
import numpy as np, sys
from starsift.learning.backend import namespace
from starsift import build_bank, find_components, load_grid
from starsift.spectra.ccf import correlate_normalized, grid_position
xp = namespace()
assert "keras" in xp.__name__, xp
bank = build_bank(load_grid(sys.argv[1]))
data = np.load(sys.argv[2])
position = grid_position(data["wavelength"], bank)
ccfs = correlate_normalized(position, data["flux"], data["good"], bank, xp=xp)
peaks = find_components(ccfs.ccf, bank.velocities, xp=xp)
np.savez(sys.argv[3], ccf=ccfs.ccf, template=ccfs.template, rv=peaks.rv, count=peaks.count)
"""


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["tensorflow", "jax", "torch"])
def test_keras_backends_agree_with_numpy(backend, bank, observed, tmp_path):
    pytest.importorskip(backend, reason=f"the Keras backend {backend} is not installed")
    flux, ivar = normalize(observed, degree=5)
    np.savez(tmp_path / "in.npz", wavelength=observed.wavelength, flux=flux, good=ivar > 0)
    grid_file = ROOT / "resources" / "templates" / "grid.parquet"
    files = [str(grid_file), str(tmp_path / "in.npz"), str(tmp_path / "out.npz")]
    done = run_python("-c", BACKEND, *files, KERAS_BACKEND=backend)
    assert done.returncode == 0, done.stderr
    out = np.load(tmp_path / "out.npz")
    expected = correlate_normalized(grid_position(observed.wavelength, bank), flux, ivar > 0, bank)
    np.testing.assert_allclose(out["ccf"], expected.ccf, atol=1e-5)
    np.testing.assert_array_equal(out["template"], expected.template)
    peaks = find_components(expected.ccf, bank.velocities, **BINARIES["peaks"])
    np.testing.assert_array_equal(out["count"], peaks.count)
    np.testing.assert_allclose(out["rv"], peaks.rv, atol=1e-3)


def test_two_real_stars_are_separated(bank):
    rng = np.random.default_rng(8)

    def measure(names, rv):
        batch = expose_stars(names, [1.0] * len(names), rv, snr=50, n=40, rng=rng)
        return find_components(correlate(batch, bank).ccf, bank.velocities, **BINARIES["peaks"])

    alone = [measure([name], [0.0]) for name in FILES]
    zero = [float(np.median(a.rv[:, 0])) for a in alone]  # each star's own velocity in these files
    assert all((a.count == 1).all() for a in alone)
    assert np.abs(zero).max() < 1.0  # both files are in the rest frame of the star: air to vacuum is right
    both = measure(list(FILES), [-60.0 - zero[0], 60.0 - zero[1]])
    assert (both.count == 2).mean() >= 0.95
    two = both.rv[both.count == 2][:, :2]
    assert np.abs(two - [-60.0, 60.0]).max() < 2.0
