"""Accuracy of the binaries search on simulated spectra: detection, precision, velocities, errors."""

import numpy as np
import pytest
from fixtures.settings import BINARIES

from starsift.searches.binaries.dataset import recovered, training_set
from starsift.searches.binaries.errors import monte_carlo
from starsift.searches.binaries.predict import classify
from starsift.searches.binaries.training import CLASSIFIERS, train_classifier
from starsift.synthesis.exposures import draw_snr
from starsift.synthesis.stars import draw_binaries, draw_singles, draw_triples

SKY = {1: 0.90, 2: 0.07, 3: 0.03}  # shares of single, double and triple stars for the precision

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("binaries accuracy")]


@pytest.fixture(scope="module")
def vote(laboratory):
    examples = training_set(laboratory, seed=3, **BINARIES["training"] | {"per_class": 1000})
    ccf = np.stack(examples["ccf"].to_numpy())
    label = examples["label"].to_numpy()
    settings = BINARIES["network"]
    networks = {name: train_classifier(ccf, label, name, seed=3, **settings) for name in CLASSIFIERS}

    def call(systems, snr, rng):
        """What the CCF step and the vote make of systems: multiplicity (n,) and components."""
        curves, components = laboratory.measure(laboratory.observe(systems, snr, rng))
        kind = classify(curves.ccf, components.count, networks, **BINARIES["vote"])["vote"]
        return np.array([value or "" for value in kind.to_pylist()]), components

    return call


def test_clear_binaries_are_found(laboratory, vote):
    rng = np.random.default_rng(21)
    systems = draw_binaries(rng, 4000, (100.0, 250.0))
    light = laboratory.synthesizer.flux_fractions(systems)
    systems = systems.take((light.min(axis=1) / light.max(axis=1) >= 0.5) & (systems.vsini.max(axis=1) < 30))
    assert systems.n > 200
    kind, _ = vote(systems, draw_snr(rng, systems.n, 20, 200), rng)
    assert (kind == "SB2").mean() >= 0.95


def test_single_stars_stay_single_and_what_is_selected_is_right(vote):
    rng = np.random.default_rng(22)
    draws = {
        1: draw_singles(rng, 3000, rotator_fraction=0.17),
        2: draw_binaries(rng, 1500),
        3: draw_triples(rng, 1500),
    }
    kind = {n: vote(systems, draw_snr(rng, systems.n, 5, 200), rng)[0] for n, systems in draws.items()}
    assert (kind[1] != "").mean() <= 0.002
    share = {
        name: {number: SKY[number] * (kind[number] == name).mean() for number in SKY}
        for name in ("SB2", "SB3")
    }
    assert share["SB2"][2] > 0
    assert share["SB3"][3] > 0
    # A triple of which two stars show is a double-lined spectrum; a single star never is.
    assert (share["SB2"][2] + share["SB2"][3]) / sum(share["SB2"].values()) >= 0.99
    assert share["SB3"][3] / sum(share["SB3"].values()) >= 0.80


@pytest.mark.parametrize("number", [1, 2])
def test_velocities_are_unbiased_and_errors_honest(laboratory, number):
    rng = np.random.default_rng([23, number])
    systems = draw_singles(rng, 600) if number == 1 else draw_binaries(rng, 1600)
    systems = systems.take(systems.vsini.max(axis=1) < 30)
    batch = laboratory.observe(systems, draw_snr(rng, systems.n, 5, 200), rng)
    _, found = laboratory.measure(batch)
    rows = np.flatnonzero(recovered(found, systems.rv))[:300]
    assert rows.size == 300
    components = found.take(rows)
    settings = {key: BINARIES["errors"][key] for key in ("n_copies", "systematic")}
    rv_err, reliability = monte_carlo(
        batch.take(rows), laboratory.bank, components, seed=1, **settings, **BINARIES["peaks"]
    )
    difference = (components.rv[:, :number] - np.sort(systems.rv[rows], axis=1)).ravel()
    pull = difference / rv_err[:, :number].ravel()
    assert np.isfinite(pull).mean() > 0.98
    assert abs(difference.mean()) < 0.5
    assert 0.8 < np.nanstd(pull) < 1.25
    assert np.isnan(rv_err[:, number:]).all()
    assert reliability.mean() > 0.9
