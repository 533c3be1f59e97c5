"""Stars from exposures: which exposures show the same one."""

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from starsift.sky.sphere import unit_vectors


def group_stars(ra: np.ndarray, dec: np.ndarray, gaia_source_id: np.ndarray, radius: float) -> np.ndarray:
    """The number of the star that each exposure shows.

    Exposures with a Gaia source are the same star if the source is the same. One without belongs to the
    nearest star with a source within the radius. The others are friends of friends: all pairs within the
    radius count, so no repeated exposure is lost, as it would be with the nearest partner only.

    Parameters
    ----------
    ra, dec : (n,) degrees; NaN makes an exposure without a Gaia source a star of its own
    gaia_source_id : (n,) int, 0 or less where there is none
    radius : arcsec

    Returns (n,) int64, from 0 without gaps.
    """
    ra, dec, source = np.asarray(ra, float), np.asarray(dec, float), np.asarray(gaia_source_id, np.int64)
    known = source > 0
    star = np.full(source.size, -1, dtype=np.int64)
    sources, star[known] = np.unique(source[known], return_inverse=True)
    placed = np.isfinite(ra) & np.isfinite(dec)
    chord = 2 * np.sin(np.radians(radius / 3600) / 2)

    # Exposures of one plan share the coordinates of its input catalogue: far fewer positions than exposures.
    anonymous = np.flatnonzero(~known & placed)
    position, at = _unique_positions(ra[anonymous], dec[anonymous])
    label = np.full(len(position), -1, dtype=np.int64)
    seen = np.flatnonzero(known & placed)
    if seen.size and len(position):
        distance, nearest = cKDTree(unit_vectors(ra[seen], dec[seen])).query(
            position, distance_upper_bound=chord
        )
        near = np.isfinite(distance)
        label[near] = star[seen[nearest[near]]]
    alone = np.flatnonzero(label < 0)
    pairs = (
        cKDTree(position[alone]).query_pairs(chord, output_type="ndarray") if alone.size else np.empty((0, 2))
    )
    first, second = pairs.T.astype(np.int64)
    graph = coo_array((np.ones(len(pairs), dtype=bool), (first, second)), shape=(alone.size, alone.size))
    groups, component = connected_components(graph, directed=False) if alone.size else (0, np.empty(0, int))
    label[alone] = sources.size + component
    star[anonymous] = label[at]
    lost = np.flatnonzero(star < 0)
    star[lost] = sources.size + groups + np.arange(lost.size)
    return star


def _unique_positions(ra: np.ndarray, dec: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors (m, 3) of the different positions, and the place (n,) of each input among them."""
    unique, at = np.unique(np.stack([ra, dec], axis=1), axis=0, return_inverse=True)
    return unit_vectors(unique[:, 0], unique[:, 1]), at.ravel()
