"""Accuracy of the binaries search on simulated spectra: detection, precision, velocities, errors."""

from pathlib import Path

import numpy as np
import pytest
import yaml

from starsift.errors import TrainingError
from starsift.searches.binaries.dataset import Laboratory, draw_snr, recovered, training_set
from starsift.searches.binaries.errors import monte_carlo
from starsift.searches.binaries.injection import detection_rates, flux_ratio_limits
from starsift.searches.binaries.predict import classify
from starsift.searches.binaries.training import CLASSIFIERS, train_classifier
from starsift.spectra.templates import load_grid
from starsift.synthesis.stars import draw_binaries, draw_singles, draw_triples

CONFIG = yaml.safe_load((Path(__file__).parents[3] / "config" / "config.yaml").read_text())["binaries"]
SKY = {1: 0.90, 2: 0.07, 3: 0.03}  # shares of single, double and triple stars for the precision


@pytest.fixture(scope="module")
def laboratory():
    return Laboratory.build(load_grid(), peaks=CONFIG["peaks"], **CONFIG["ccf"])


@pytest.fixture(scope="module")
def examples(laboratory):
    return training_set(laboratory, seed=3, **CONFIG["training"] | {"per_class": 1000})


@pytest.fixture(scope="module")
def vote(laboratory, examples):
    ccf = np.stack(examples["ccf"].to_numpy())
    label = examples["label"].to_numpy()
    networks = {name: train_classifier(ccf, label, name, seed=3, **CONFIG["network"]) for name in CLASSIFIERS}

    def call(systems, snr, rng):
        """What the CCF step and the vote make of systems: multiplicity (n,) and components."""
        curves, components = laboratory.measure(laboratory.observe(systems, snr, rng))
        kind = classify(curves.ccf, components.count, networks, **CONFIG["vote"])["multiplicity"]
        return np.array([value or "" for value in kind.to_pylist()]), components

    return call


def test_training_set_is_balanced_and_holds_what_it_says(examples):
    label, seen = examples["label"].to_numpy(), examples["n_components"].to_numpy()
    ccf = np.stack(examples["ccf"].to_numpy())
    assert np.bincount(label).tolist() == [1000] * 4
    noise = ccf[label == 0]
    assert (noise.max(axis=1) < 3 * noise.std(axis=1)).all()
    assert (seen[label == 3] == 3).all()
    assert (seen[label == 2] >= 2).all()
    assert (seen[label == 1] > 1).mean() > 0.1  # single stars that look double to the CCF step
    gaps = np.concatenate([np.diff(rv) for rv in examples["rv"].to_pylist() if len(rv) > 1])
    assert gaps.min() >= 60
    assert gaps.max() <= 250


def test_training_set_without_hard_cases_is_the_papers(laboratory):
    settings = {**CONFIG["training"], "per_class": 40, "hard_fraction": 0.0, "hierarchical": False}
    table = training_set(laboratory, seed=1, **settings)
    seen, label = table["n_components"].to_numpy(), table["label"].to_numpy()
    assert (seen[label == 2] == 2).all()
    assert (seen[label == 3] == 3).all()


def test_a_class_that_cannot_be_filled_says_so(laboratory, monkeypatch):
    monkeypatch.setattr(
        "starsift.searches.binaries.dataset._collect.__kwdefaults__", {"rounds": 2, "partial": False}
    )
    settings = {**CONFIG["training"], "per_class": 1500, "snr": [0.05, 0.1]}
    with pytest.raises(TrainingError, match=r"class L\d were found.*training\.snr"):
        training_set(laboratory, seed=1, **settings)


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
    kind = {
        number: vote(systems, draw_snr(rng, systems.n, 5, 200), rng)[0] for number, systems in draws.items()
    }
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
    settings = {key: CONFIG["errors"][key] for key in ("n_copies", "systematic")}
    rv_err, reliability = monte_carlo(
        batch.take(rows), laboratory.bank, components, seed=1, **settings, **CONFIG["peaks"]
    )
    difference = (components.rv[:, :number] - np.sort(systems.rv[rows], axis=1)).ravel()
    pull = difference / rv_err[:, :number].ravel()
    assert np.isfinite(pull).mean() > 0.98
    assert abs(difference.mean()) < 0.5
    assert 0.8 < np.nanstd(pull) < 1.25
    assert np.isnan(rv_err[:, number:]).all()
    assert reliability.mean() > 0.9


def test_errors_repeat_and_fall_with_signal(laboratory):
    rng = np.random.default_rng(5)
    systems = draw_singles(rng, 40)
    medians = []
    for snr in (10.0, 80.0):
        batch = laboratory.observe(systems, np.full(40, snr), np.random.default_rng(6))
        _, found = laboratory.measure(batch)
        first = monte_carlo(batch, laboratory.bank, found, n_copies=30, seed=4)
        again = monte_carlo(batch, laboratory.bank, found, n_copies=30, seed=4)
        np.testing.assert_array_equal(first[0], again[0])
        medians.append(np.nanmedian(first[0]))
    assert medians[0] > 3 * medians[1]


def test_detection_follows_separation_signal_and_flux_ratio(laboratory):
    table = detection_rates(laboratory, seed=1, trials=5, delta_rv=[20, 120], snr=[10, 50])
    rate = {(row["teff"], row["delta_rv"], row["snr"]): row["rate"] for row in table.to_pylist()}
    assert all(rate[teff, 20, snr] == 0 for teff, _, snr in rate)  # below the resolution: never two
    assert all(rate[teff, 120, 50] == 1 for teff, _, _ in rate)
    limits = flux_ratio_limits(laboratory, seed=1, teff=[4000, 7000, 1000])
    ratio, detected = limits["flux_ratio"].to_numpy(), limits["detected"].to_numpy(zero_copy_only=False)
    assert detected[(ratio > 0.5) & (ratio < 2)].all()
    assert not detected[(ratio < 0.1) | (ratio > 10)].any()
