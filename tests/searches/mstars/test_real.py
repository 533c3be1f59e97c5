"""M stars among real spectra of SDSS and LAMOST, by a hash that learned from mean spectra."""

import numpy as np
import pytest
from fixtures.mstars_data import GIANTS, MEASURE, SEPARATORS
from fixtures.spectra import load_benchmark, sdss_templates
from fixtures.survey_files import DATA

from starsift.searches.mstars.features import represent
from starsift.searches.mstars.hamming import rank_codes
from starsift.searches.mstars.luminosity import separate
from starsift.searches.mstars.measurements import measure
from starsift.searches.mstars.model import METHODS, train
from starsift.searches.mstars.preprocess import prepare
from starsift.searches.mstars.velocity import build_velocity_bank
from starsift.sky.constants import C_KMS
from starsift.spectra.batches import IDENTITY_NAMES, SpectrumBatch
from starsift.survey.fitsfile import open_fits
from starsift.survey.readers.registry import read_spectrum

M_STARS = {"spec-0618-52049-0372", "spec-1123-52882-0065", "spec-5047-55833-0936"}  # M1, M4, M1

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="no real spectra at ../shared/data")


def test_real_m_stars_score_above_all_other_real_spectra() -> None:
    names, _, flux = sdss_templates()
    benchmark = load_benchmark("hashing")
    everything, rng = np.arange(len(names)), np.random.default_rng(0)
    batch, is_m, labels = benchmark.observe(names, flux, everything, 2000, 5.0, "lamost", rng)
    ready = prepare(batch)
    method = METHODS["discriminant"]
    features = represent(ready.flux, ready.ivar, ready.zero, method.representation)
    model = train(features, labels, method, bits=256, seed=0)
    codes = model.hasher.transform(features)

    found = {path.stem: read_spectrum(path, "sdss") for path in sorted((DATA / "sdss-spec").glob("*.fits"))}
    for folder in ("lamost-lrs-dr10", "ondrejov-lamost/lamost"):
        found |= {path.name: read_spectrum(path, "lrs") for path in sorted((DATA / folder).glob("spec-*"))}
    arrays = [(e.wavelength, e.flux, e.ivar, e.mask) for e in found.values()]
    identity = {name: [None] * len(found) for name in IDENTITY_NAMES} | {"spectrum_id": list(found)}
    real = prepare(SpectrumBatch.from_ragged(identity, arrays))
    assert real.ok.all()
    assert len(found) >= 20

    found_codes = model.encode(real.flux, real.ivar, real.zero)
    score = rank_codes(found_codes, codes[is_m], codes[~is_m], method.ranking)
    of_m = np.isin(list(found), sorted(M_STARS))
    assert of_m.sum() == 3
    assert score[of_m].min() > 0
    assert score[~of_m].max() < -20


def test_real_lamost_m_dwarfs_are_measured_as_their_pipeline_does() -> None:
    names, _, flux = sdss_templates()
    is_m = np.char.startswith(names, "M")
    bank = build_velocity_bank(names[is_m].tolist(), flux[is_m], velocity_max=800.0)
    dr1, dr7 = "lamost-lrs-dr1/spec-55862-B6212_sp06", "lamost-lrs-dr7/spec-58575-HD103621N361936B01_sp03"
    paths = [DATA / f"{name}.fits" for name in (f"{dr1}-099", f"{dr1}-112", f"{dr7}-011", f"{dr7}-030")]
    # Of class Unknown in DR7; and a DR1 star whose Ca II, Na I 8190 and K I lines are at +110 to +180 km/s,
    # where the header has -198.
    paths += [DATA / f"{dr7}-072.fits", DATA / f"{dr1}-025.fits"]
    headers = [open_fits(path)[0].header for path in paths]
    spectra = [read_spectrum(path, "lrs") for path in paths]
    identity = dict.fromkeys(IDENTITY_NAMES, [None] * len(paths)) | {"spectrum_id": [p.stem for p in paths]}
    arrays = [(e.wavelength, e.flux, e.ivar, e.mask) for e in spectra]
    found = measure(SpectrumBatch.from_ragged(identity, arrays), bank, **MEASURE)
    rv = found["rv"].to_numpy()
    for row, header in enumerate(headers[:4]):
        assert abs(rv[row] - C_KMS * float(header["Z"])) < 12
    assert 110 < rv[5] < 185
    # Types of the Hammer are some half a subtype later than those of LAMOST's templates (docs/mstars.md).
    types = [float(header["SUBCLASS"][-1]) for header in (*headers[:4], headers[5])]
    subtype = np.delete(found["subtype"].to_numpy(), 4)
    assert np.abs(subtype - types).max() < 1.6
    by_indices = [one for one in SEPARATORS if one.evidence == "indices"]
    classes = separate(found, by_indices, giant_share=GIANTS["giant_share"])
    assert classes["giant"].to_pylist() == [0] * 6
    assert classes["giant_cah23_tio5"].to_pylist() == [0] * 6
