"""ML-PIL: three stacked auto-encoders trained by pseudo-inverse, whose last hidden layer is hashed.

Guo et al. 2019, sections 3.1 and 3.2. Nothing is iterated: each auto-encoder has random orthogonal input
weights, and its output weights are the least-squares solution of H beta = X.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import scipy.linalg
from scipy.special import expit
from sklearn.utils.validation import check_is_fitted, validate_data

from starsift.errors import TrainingError
from starsift.parallel import map_chunks
from starsift.searches.mstars.hashing import CHUNK, Hasher, orthogonal, unpack

ENCODERS = ("random", "beta")
COLUMNS = 256  # of the target, in double precision at a time


class PILHasher(Hasher):
    """Multi-layer pseudo-inverse learning, hashed at the medians of its deepest layer.

    Parameters
    ----------
    n_bits : nodes of the last hidden layer, bits of the code
    hidden : nodes of the hidden layers before it; the paper gives none, so they equal `n_bits`
    encoder : `random`: the next layer and the code see H = g(X W + b), W random orthogonal; `beta`: they see
        g(X beta^T), the learned output weights turned round, which finds more (docs/mstars.md)
    ridge : penalty of the least squares, in units of the mean square of a node; 0 is the pseudo-inverse
    random_state : seed

    Attributes
    ----------
    weights_, biases_, decoders_ : lists of (inputs, nodes), (nodes,), (nodes, inputs) float32, a layer each
    medians_, levels_ : thresholds (n_bits,), and mean features below and above them (2, n_bits)

    Source: Guo et al. 2019, equations 2-7, figures 3-5.
    """

    def __init__(
        self,
        n_bits: int = 256,
        hidden: Sequence[int] | None = None,
        encoder: str = "beta",
        ridge: float = 1e-6,
        random_state: int = 0,
    ) -> None:
        super().__init__(n_bits, random_state)
        self.hidden = hidden
        self.encoder = encoder
        self.ridge = ridge

    def _learn(self, X: np.ndarray, y: npt.ArrayLike | None, rng: np.random.Generator) -> None:
        if self.encoder not in ENCODERS:
            raise TrainingError(f"encoder is {self.encoder!r}: expected one of {', '.join(ENCODERS)}")
        sizes = [*(self.hidden if self.hidden is not None else (self.n_bits, self.n_bits)), self.n_bits]
        if min(sizes) < 1:
            raise TrainingError(f"hidden is {self.hidden}: expected the nodes of each layer, 1 or more")
        self.weights_, self.biases_, self.decoders_ = [], [], []
        data = X
        for nodes in sizes:
            weight = orthogonal(rng, data.shape[1], nodes)
            bias = rng.uniform(-1.0, 1.0, nodes).astype(np.float32)
            hidden = _hidden(data, weight, bias)
            decoder = least_squares(hidden, data, self.ridge)
            if self.encoder == "beta":
                weight, bias = np.ascontiguousarray(decoder.T), np.zeros(nodes, np.float32)
                hidden = _hidden(data, weight, bias)
                decoder = least_squares(hidden, data, self.ridge)
            self.weights_.append(weight)
            self.biases_.append(bias)
            self.decoders_.append(decoder)
            data = hidden

    def features(self, X: np.ndarray) -> np.ndarray:
        """Outputs (n, n_bits) of the last hidden layer."""
        for weight, bias in zip(self.weights_, self.biases_, strict=True):
            X = _hidden(X, weight, bias)
        return X

    def reconstruct(self, X: np.ndarray) -> np.ndarray:
        """Spectra (n, p) rebuilt from the last hidden layer of spectra (n, p)."""
        check_is_fitted(self, "medians_")
        return self._decode(self.features(validate_data(self, X, dtype=np.float32, reset=False)))

    def inverse_transform(self, X: np.ndarray) -> np.ndarray:
        """Spectra (n, p) rebuilt from codes (n, n_bits / 8) uint8: each bit becomes its feature's mean."""
        check_is_fitted(self, "medians_")
        codes = np.asarray(X)
        if codes.ndim != 2 or codes.dtype != np.uint8 or codes.shape[1] * 8 != self.n_bits:
            raise TrainingError(
                f"codes are {codes.dtype} {codes.shape}: expected uint8 (n, {self.n_bits // 8})"
            )
        return self._decode(np.where(unpack(codes) == 1, self.levels_[1], self.levels_[0]))

    def _decode(self, features: np.ndarray) -> np.ndarray:
        for decoder in reversed(self.decoders_):
            features = features @ decoder
        return features


def _hidden(X: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    return np.concatenate(map_chunks(lambda part: expit(X[part] @ weight + bias), len(X), CHUNK))


def least_squares(hidden: np.ndarray, target: np.ndarray, ridge: float) -> np.ndarray:
    """Weights beta (nodes, p) float32 of hidden (n, nodes) @ beta = target (n, p).

    The pseudo-inverse through the normal equations, in double precision; `ridge` in units of the mean square
    of a node. Equal nodes (a singular matrix) share the weight.
    """
    nodes = hidden.astype(np.float64)
    gram = nodes.T @ nodes
    moment = np.empty((nodes.shape[1], target.shape[1]))

    def work(part: slice) -> None:  # so that no copy of the sample is in double precision
        moment[:, part] = nodes.T @ target[:, part].astype(np.float64)

    map_chunks(work, target.shape[1], COLUMNS)
    penalty = ridge * np.trace(gram) / len(gram)
    gram[np.diag_indices_from(gram)] += penalty
    return (scipy.linalg.pinvh(gram) @ moment).astype(np.float32)
