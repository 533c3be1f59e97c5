"""M stars among real spectra of SDSS and LAMOST, by a hash that learned from mean spectra."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from starsift.mstars.methods import METHODS, rank_codes, represent, train
from starsift.mstars.preprocess import prepare
from starsift.spectra.batches import IDENTITY_NAMES, SpectrumBatch
from starsift.survey.lamost import read_lrs
from starsift.survey.sdss import read_sdss

ROOT = Path(__file__).parents[2]
DATA = ROOT.parent / "shared/data"
M_STARS = {"spec-0618-52049-0372", "spec-1123-52882-0065", "spec-5047-55833-0936"}  # M1, M4, M1

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="no real spectra at ../shared/data")


def test_real_m_stars_score_above_all_other_real_spectra() -> None:
    spec = importlib.util.spec_from_file_location("hashing", ROOT / "benchmarks/hashing.py")
    assert spec is not None
    assert spec.loader is not None
    benchmark = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(benchmark)
    with np.load(DATA / "sdss-templates/templates.npz") as file:
        names, flux = file["names"].astype(str), file["flux"].astype(np.float32)
    everything, rng = np.arange(len(names)), np.random.default_rng(0)
    batch, is_m, labels = benchmark.observe(names, flux, everything, 2000, 5.0, "lamost", rng)
    ready = prepare(batch)
    method = METHODS["discriminant"]
    features = represent(ready.flux, ready.ivar, ready.zero, method.representation)
    model = train(features, labels, method, bits=256, seed=0)
    codes = model.hasher.transform(features)

    found = {path.stem: read_sdss(path) for path in sorted((DATA / "sdss-spec").glob("*.fits"))}
    for folder in ("lamost-lrs-dr10", "ondrejov-lamost/lamost"):
        found |= {path.name: read_lrs(path) for path in sorted((DATA / folder).glob("spec-*"))}
    arrays = [(e.wavelength, e.flux, e.ivar, e.mask) for e in found.values()]
    identity = {name: [None] * len(found) for name in IDENTITY_NAMES} | {"spectrum_id": list(found)}
    real = prepare(SpectrumBatch.from_ragged(identity, arrays))
    assert real.ok.all()
    assert len(found) >= 20

    score = rank_codes(
        model.encode(real.flux, real.ivar, real.zero), codes[is_m], codes[~is_m], method.ranking
    )
    of_m = np.isin(list(found), sorted(M_STARS))
    assert of_m.sum() == 3
    assert score[of_m].min() > 0
    assert score[~of_m].max() < -20
