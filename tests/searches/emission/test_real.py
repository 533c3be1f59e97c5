"""A network that has learned from simulated Ondrejov spectra, on stars that both telescopes have seen."""

import csv
import gzip
from pathlib import Path

import numpy as np
import pytest
from fixtures.settings import EMISSION
from fixtures.survey_files import real

from starsift.demo.emission import simulate_emission
from starsift.io.parquet import write_parquet
from starsift.searches.emission.classes import TARGETS
from starsift.searches.emission.dataset import initial_set, read_label_codes, training_set
from starsift.searches.emission.network import predict
from starsift.searches.emission.training import train
from starsift.searches.emission.window import Windows, transfer, window
from starsift.spectra.batches import IDENTITY_NAMES, SpectrumBatch
from starsift.survey.exposure import Exposure
from starsift.survey.readers.registry import read_spectrum

BLUR = EMISSION["labelled"]["blur"]


def cut(exposures: list[Exposure], blur: float) -> Windows:
    identity = {name: [None] * len(exposures) for name in IDENTITY_NAMES}
    identity["spectrum_id"] = [f"s{i}" for i in range(len(exposures))]
    spectra = [(e.wavelength, transfer(e.flux, sigma=blur), e.ivar, e.mask) for e in exposures]
    return window(SpectrumBatch.from_ragged(identity, spectra), **EMISSION["window"])


def test_labelled_files_may_be_compressed(tmp_path: Path) -> None:
    folder = real("ondrejov-lamost")
    for path in sorted((folder / "ondrejov").glob("*.fits")):
        (tmp_path / f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
    labels = tmp_path / "labels.csv"
    codes = read_label_codes(folder / "ondrejov-dataset-labels.csv")
    ids = [path.name[:-8] for path in tmp_path.glob("*.gz")]
    labels.write_text("id,label\n" + "".join(f"{name},{codes[name]}\n" for name in ids if codes.get(name)))
    table, counts = initial_set(tmp_path, labels, blur=BLUR, **EMISSION["window"])
    assert table.num_rows == counts["ok"] > 0
    assert table.equals(initial_set(folder / "ondrejov", labels, blur=BLUR, **EMISSION["window"])[0])


@pytest.mark.slow
def test_real_stars_are_told_apart_from_both_telescopes(tmp_path: Path) -> None:
    folder = real("ondrejov-lamost")
    pairs = list(csv.DictReader((folder / "pairs.csv").read_text().splitlines()))
    labels = read_label_codes(folder / "ondrejov-dataset-labels.csv")
    emission = np.array([labels[pair["ondrejov"][:-5]] != "uninteresting" for pair in pairs])
    assert emission.sum() == 2
    simulate_emission(tmp_path, seed=3, n_labelled=500, n_pool=60, n_plans=1, n_spectrographs=2)
    table, counts = initial_set(
        tmp_path / "ondrejov", tmp_path / "labels.csv", blur=BLUR, **EMISSION["window"]
    )
    assert counts["ok"] == 500
    write_parquet(table, tmp_path / "initial.parquet")
    network = train(
        *training_set(tmp_path / "initial.parquet", []), seed=3, **EMISSION["training"] | {"max_epochs": 10}
    ).model
    theirs = cut([read_spectrum(folder / "ondrejov" / pair["ondrejov"], "ondrejov") for pair in pairs], 7.0)
    ours = cut([read_spectrum(folder / "lamost" / pair["lamost"], "lrs") for pair in pairs], 0.0)
    for side in (theirs, ours):
        assert side.ok.all()
        found = predict(network, side.flux).argmax(axis=1) < TARGETS
        assert (found == emission).sum() >= 14
        assert found[emission].all()
