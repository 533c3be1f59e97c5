"""Spectra to binary codes: common parts of the hashing methods, and the linear ones.

A hasher maps feature vectors (n, p) to real features (n, bits), thresholds each at its median over the
training sample, so that bits are balanced (Guo et al. 2019, section 3.2), and packs the bits into bytes. The
published network is in `pil`; here are the default, which learns from labels, and the usual baselines.
"""

from typing import Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import scipy.linalg
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted, validate_data
from threadpoolctl import threadpool_limits

from starsift.errors import TrainingError
from starsift.parallel import map_chunks

CHUNK = 512


class Hasher(TransformerMixin, BaseEstimator):
    """Base of the hashers: `fit` learns the thresholds, `transform` gives packed codes of `n_bits`, in bytes.

    A subclass defines `_learn(X, y, rng)`, which sets its weights, and `features(X) -> (n, n_bits)`.
    """

    def __init__(self, n_bits: int = 256, random_state: int = 0) -> None:
        self.n_bits = n_bits
        self.random_state = random_state

    def fit(self, X: npt.ArrayLike, y: npt.ArrayLike | None = None) -> Self:
        """Learn from spectra (n, p); `y` (n,) are their classes, for hashers that use them."""
        if self.n_bits < 8 or self.n_bits % 8:
            raise TrainingError(f"n_bits is {self.n_bits}: expected a multiple of 8, such as 256")
        data = validate_data(self, X, dtype=np.float32, ensure_min_samples=2)
        # Threads work on parts of the sample (see `starsift.parallel`), not within decompositions.
        with threadpool_limits(1, user_api="blas"):
            self._learn(data, y, np.random.default_rng(self.random_state))
        features = np.concatenate(map_chunks(lambda part: self.features(data[part]), len(data), CHUNK))
        self.medians_ = np.median(features, axis=0).astype(np.float32)
        # Value of each bit when features are rebuilt from codes.
        above = features > self.medians_
        count = np.maximum(above.sum(axis=0), 1), np.maximum((~above).sum(axis=0), 1)
        self.levels_ = np.stack(
            [
                np.where(above, 0.0, features).sum(axis=0) / count[1],
                np.where(above, features, 0.0).sum(axis=0) / count[0],
            ]
        ).astype(np.float32)
        return self

    def transform(self, X: npt.ArrayLike) -> np.ndarray:
        """Codes (n, n_bits / 8) uint8 of spectra (n, p); bit k is 1 where feature k is above its median."""
        check_is_fitted(self, "medians_")
        data = validate_data(self, X, dtype=np.float32, reset=False, ensure_min_samples=0)
        parts = map_chunks(
            lambda part: np.packbits(self.features(data[part]) > self.medians_, axis=1), len(data), CHUNK
        )
        return np.concatenate(parts) if parts else np.zeros((0, self.n_bits // 8), np.uint8)

    def features(self, X: np.ndarray) -> np.ndarray:
        """Real features (n, n_bits) before the threshold."""
        raise NotImplementedError

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = []  # codes are bytes, whatever the spectra are
        return tags

    def _learn(self, X: np.ndarray, y: npt.ArrayLike | None, rng: np.random.Generator) -> None:
        raise NotImplementedError

    def _more_than_bits(self, X: np.ndarray) -> None:
        least = min(X.shape)
        if least < self.n_bits:
            raise TrainingError(
                f"{type(self).__name__} makes at most {least} bits of {X.shape[0]} spectra of {X.shape[1]} "
                f"features, not {self.n_bits}; use fewer"
            )


class LinearHasher(Hasher):
    """A hasher whose features are (X - `mean_`) @ `weights_`; `weights_` is (p, n_bits) float32."""

    def features(self, X: np.ndarray) -> np.ndarray:
        """Projections (n, n_bits)."""
        return np.asarray((X - self.mean_) @ self.weights_)

    def _center(self, X: np.ndarray) -> np.ndarray:
        self.mean_ = X.mean(axis=0, dtype=np.float64).astype(np.float32)
        return X - self.mean_


class RandomProjectionHasher(LinearHasher):
    """Locality-sensitive hashing by random hyperplanes (Charikar 2002): the baseline that learns nothing."""

    def _learn(self, X: np.ndarray, y: npt.ArrayLike | None, rng: np.random.Generator) -> None:
        self._center(X)
        self.weights_ = rng.standard_normal((X.shape[1], self.n_bits)).astype(np.float32)


class PCAHasher(LinearHasher):
    """The signs of the principal components."""

    def _learn(self, X: np.ndarray, y: npt.ArrayLike | None, rng: np.random.Generator) -> None:
        self._more_than_bits(X)
        self.weights_ = _principal_axes(self._center(X), self.n_bits)


class ITQHasher(LinearHasher):
    """Principal components, rotated until their signs lose least (Gong & Lazebnik 2011, section 2.2).

    `n_iterations` are those of the alternating minimisation.
    """

    def __init__(self, n_bits: int = 256, n_iterations: int = 50, random_state: int = 0) -> None:
        super().__init__(n_bits, random_state)
        self.n_iterations = n_iterations

    def _learn(self, X: np.ndarray, y: npt.ArrayLike | None, rng: np.random.Generator) -> None:
        self._more_than_bits(X)
        centred = self._center(X)
        axes = _principal_axes(centred, self.n_bits)
        projected = centred @ axes
        rotation = orthogonal(rng, self.n_bits, self.n_bits)
        for _ in range(self.n_iterations):
            signs = np.sign(projected @ rotation)
            left, _, right = scipy.linalg.svd(signs.T @ projected)
            rotation = (left @ right).T
        self.weights_ = (axes @ rotation).astype(np.float32)


class DiscriminantHasher(LinearHasher):
    """Random hyperplanes in the space that separates the classes: the default of starsift.

    Ridge regression onto the indicators of the classes finds as many directions as there are classes; each is
    scaled to unit variance, and random hyperplanes cut their space. The Hamming distance of two codes then
    grows with the angle between their spectra as the classes see it, not as noise does. `ridge` is the
    penalty of the regression, in units of the mean variance of a feature.
    """

    def __init__(self, n_bits: int = 256, ridge: float = 10.0, random_state: int = 0) -> None:
        super().__init__(n_bits, random_state)
        self.ridge = ridge

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        return tags

    def _learn(self, X: np.ndarray, y: npt.ArrayLike | None, rng: np.random.Generator) -> None:
        if y is None:
            raise TrainingError(
                "DiscriminantHasher learns from classes: it requires y to be passed, but the target y is None"
            )
        classes, number = np.unique(np.asarray(y), return_inverse=True)
        if number.shape != (len(X),) or classes.size < 2:
            raise TrainingError(
                f"y has shape {number.shape} and {classes.size} classes: expected ({len(X)},) and two or more"
            )
        centred = self._center(X)
        indicator = np.eye(classes.size, dtype=np.float32)[number]
        gram = _gram(centred)
        gram[np.diag_indices_from(gram)] += self.ridge * np.trace(gram) / len(gram) + 1e-12
        moment = (centred.T @ (indicator - indicator.mean(axis=0))).astype(np.float64)
        directions = scipy.linalg.solve(gram, moment, assume_a="pos")
        spread = (centred @ directions.astype(np.float32)).std(axis=0)
        directions /= np.maximum(spread, 1e-12)
        cuts = rng.standard_normal((classes.size, self.n_bits))
        self.weights_ = (directions @ cuts).astype(np.float32)


def orthogonal(rng: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    """A random (rows, columns) float32 matrix with orthonormal columns, or rows where these are fewer."""
    tall = rng.standard_normal((max(rows, columns), min(rows, columns))).astype(np.float32)
    q = np.linalg.qr(tall)[0]
    return np.ascontiguousarray(q if rows >= columns else q.T)


def _gram(X: np.ndarray) -> np.ndarray:
    """X^T X (p, p) float64, its products in single precision."""
    out = np.empty((X.shape[1], X.shape[1]))

    def work(part: slice) -> None:
        out[part] = X[:, part].T @ X

    map_chunks(work, X.shape[1], CHUNK)
    return out


def _principal_axes(centred: np.ndarray, n: int) -> np.ndarray:
    """The first n principal axes (p, n) float32, each with its largest weight positive."""
    if len(centred) < centred.shape[1]:
        axes = scipy.linalg.svd(centred, full_matrices=False)[2][:n].T
    else:
        covariance = _gram(centred)
        first = len(covariance) - n
        axes = scipy.linalg.eigh(covariance, subset_by_index=(first, len(covariance) - 1))[1][:, ::-1]
    signs = np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(n)])
    return np.ascontiguousarray(axes * signs, np.float32)


def unpack(codes: np.ndarray) -> np.ndarray:
    """Bits (n, bits) uint8 of packed codes (n, bits / 8)."""
    return np.unpackbits(codes, axis=1)


def code_column(codes: np.ndarray, missing: np.ndarray | None = None) -> pa.Array:
    """Codes (n, bytes) uint8 as binary values, null where `missing` (n,)."""
    data = [row.tobytes() for row in codes]
    return pa.array(data, pa.binary(), mask=missing)


def codes_of(column: pa.ChunkedArray, size: int = 1) -> np.ndarray:
    """Codes (n, bytes) uint8 of a column of binary values without nulls; of `size` bytes if it is empty.

    Raises TrainingError if the codes differ in length.
    """
    lengths = pc.unique(pc.binary_length(column)).to_pylist()
    if len(lengths) > 1:
        bits = ", ".join(str(8 * length) for length in sorted(lengths))
        raise TrainingError(f"codes of {bits} bits are mixed; encode all spectra with one hasher")
    if not lengths:
        return np.zeros((0, size), np.uint8)
    return np.frombuffer(b"".join(column.to_pylist()), np.uint8).reshape(-1, lengths[0])
