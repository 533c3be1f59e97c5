"""Clusters of equal spectra, and the shares of clusters in a sample."""

import numpy as np
import pytest

from starsift.searches.mstars.clusters import _allocate, _cluster_dwarfs, _kmeans


@pytest.mark.parametrize("seed", range(5))
def test_clusters_are_no_more_than_different_spectra(seed: int) -> None:
    rng = np.random.default_rng(seed)
    kind = rng.permutation(np.repeat(np.arange(7), [1, 2, 4, 8, 16, 32, 64]))
    # Kinds 0.05 apart or more, as those of real stars are; members by what arithmetic does.
    features = np.arange(7)[kind, None] * np.float32(0.05) + rng.normal(0, 0.02, (7, 5))[kind]
    features = (features + rng.normal(0, 1e-6, features.shape)).astype(np.float32)
    for label in (_kmeans(features, 20, seed), _cluster_dwarfs(features, 50, 20, seed, rng)):
        assert len(np.unique(label)) == 7
        assert len(set(zip(kind.tolist(), label.tolist(), strict=True))) == 7


def test_shares_are_as_equal_as_can_be() -> None:
    rng = np.random.default_rng(0)
    assert sorted(_allocate(np.array([1, 10, 10, 3]), 13, rng).tolist()) == [1, 3, 4, 5]
    assert _allocate(np.array([2, 3]), 5, rng).tolist() == [2, 3]
    assert _allocate(np.array([2, 3]), 0, rng).tolist() == [0, 0]
    assert _allocate(np.zeros(0, int), 0, rng).tolist() == []
