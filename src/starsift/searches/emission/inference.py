"""Inference without Keras: the network of `emission.network` in NumPy and Numba.

Convolutions use Winograd's minimal filtering F(2, 3): a pair of neighbouring outputs of a kernel of three
pixels takes four multiplications in place of six (Lavin & Gray 2016, arXiv:1509.09308, section 4.1). One pass
does all between two matrix products: output transform, bias, ReLU, pooling and the next input transform.
"""

import io
import os
import zipfile
from dataclasses import dataclass

import h5py
import numpy as np

from starsift.errors import ResultsError
from starsift.kernels import njit
from starsift.parallel import map_chunks
from starsift.searches.emission.classes import PIXELS
from starsift.searches.emission.network import DROPOUT

# Names of the layers in a `.keras` file: kind and number.
CONVOLUTIONS = ("conv1d", "conv1d_1", "conv1d_2", "conv1d_3", "conv1d_4", "conv1d_5")
CONNECTED = ("dense", "dense_1")
SOFTMAX = "dense_2"
CHUNK = 256  # spectra a thread takes at a time
TILE = 64  # spectra that pass the convolutions together, so that their buffers stay in the cache


@njit(nogil=True, cache=True, fastmath=True)
def _transform_input(rows: np.ndarray, tiles: int, s: int, out: np.ndarray) -> None:
    """Input transform of one spectrum's rows (length, channel), into out[:, tiles of the spectrum]."""
    channels = rows.shape[1]
    for t in range(tiles):
        for c in range(channels):
            a, b, d, e = rows[2 * t, c], rows[2 * t + 1, c], rows[2 * t + 2, c], rows[2 * t + 3, c]
            at = s * tiles + t
            out[0, at, c] = a - d
            out[1, at, c] = b + d
            out[2, at, c] = d - b
            out[3, at, c] = b - e


@njit(nogil=True, cache=True, fastmath=True)
def _first_input(
    x: np.ndarray, kernel: np.ndarray, bias: np.ndarray, rows: np.ndarray, out: np.ndarray
) -> None:
    """The first convolution, which has one channel, and the input transform of the second."""
    length, channels = rows.shape
    for s in range(len(x)):
        for t in range(length):
            for c in range(channels):
                y = bias[c] + x[s, t] * kernel[0, c] + x[s, t + 1] * kernel[1, c] + x[s, t + 2] * kernel[2, c]
                rows[t, c] = max(y, np.float32(0))
        _transform_input(rows, (length - 2) // 2, s, out)


@njit(nogil=True, cache=True, fastmath=True)
def _transform_output(
    m: np.ndarray, bias: np.ndarray, tiles: int, s: int, pool: bool, rows: np.ndarray
) -> None:
    """Output transform, bias and ReLU of one spectrum; with `pool` the maximum of each pair."""
    channels = m.shape[2]
    zero = np.float32(0)
    for t in range(tiles):
        at = s * tiles + t
        for c in range(channels):
            middle, difference = m[1, at, c] + bias[c], m[2, at, c]
            left = m[0, at, c] + middle + difference
            right = middle - difference - m[3, at, c]
            if pool:
                rows[t, c] = max(max(left, right), zero)
            else:
                rows[2 * t, c] = max(left, zero)
                rows[2 * t + 1, c] = max(right, zero)


@njit(nogil=True, cache=True)
def _next_input(
    m: np.ndarray, bias: np.ndarray, tiles: int, pool: bool, rows: np.ndarray, out: np.ndarray
) -> None:
    """From the products of one convolution to the transformed input of the next."""
    for s in range(m.shape[1] // tiles):
        _transform_output(m, bias, tiles, s, pool, rows)
        _transform_input(rows, (len(rows) - 2) // 2, s, out)


@njit(nogil=True, cache=True)
def _last_output(m: np.ndarray, bias: np.ndarray, tiles: int, out: np.ndarray) -> None:
    """From the products of the last convolution to its pooled outputs (n, tile, channel)."""
    for s in range(len(out)):
        _transform_output(m, bias, tiles, s, True, out[s])


def _transform_kernel(kernel: np.ndarray) -> np.ndarray:
    """Transform of a kernel (3, channel, filter): four matrices (4, channel, filter)."""
    g = kernel.astype(np.float64)
    four = np.stack([g[0], (g[0] + g[1] + g[2]) / 2, (g[0] - g[1] + g[2]) / 2, g[2]])
    return four.astype(np.float32)


@dataclass(frozen=True)
class NumpyNetwork:
    """A trained network that predicts without Keras: the name of a layer -> kernel and bias, float32."""

    weights: dict[str, tuple[np.ndarray, np.ndarray]]

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "NumpyNetwork":
        """Read a network that `starsift.learning.backend.save_network` wrote, without Keras.

        Raises ResultsError if the file is missing, damaged or another network.
        """
        weights = {}
        try:
            with (
                zipfile.ZipFile(path) as archive,
                h5py.File(io.BytesIO(archive.read("model.weights.h5"))) as file,
            ):
                for name in (*CONVOLUTIONS, *CONNECTED, SOFTMAX):
                    values = file[f"layers/{name}/vars"]
                    weights[name] = (np.array(values["0"], np.float32), np.array(values["1"], np.float32))
        except (OSError, KeyError, zipfile.BadZipFile) as error:
            raise ResultsError(
                f"{path}: not a network of the emission search, or a damaged one ({error}); "
                "run the training again"
            ) from error
        return cls(weights)

    def convolve(self, windows: np.ndarray) -> np.ndarray:
        """Flattened output (n, 3584) float32 of the convolutions for windows (n, 140)."""
        filters = [_transform_kernel(self.weights[name][0]) for name in CONVOLUTIONS[1:]]
        biases = [self.weights[name][1] for name in CONVOLUTIONS]
        first = self.weights[CONVOLUTIONS[0]][0][:, 0]
        # Tiles of each convolution after the first, and the shape of the rows that the next one reads.
        tiles, rows, length = [], [(PIXELS - 2, first.shape[1])], PIXELS - 2
        for i, four in enumerate(filters):
            tiles.append((length - 2) // 2)
            length = tiles[-1] if i % 2 == 0 else length - 2
            rows.append((length, four.shape[2]))
        out = np.empty((len(windows), *rows[-1]), np.float32)

        def work(part: slice) -> None:
            buffers = [np.empty(shape, np.float32) for shape in rows]
            for start in range(part.start, part.stop, TILE):
                x = np.ascontiguousarray(windows[start : min(start + TILE, part.stop)], np.float32)
                v = np.empty((4, len(x) * tiles[0], first.shape[1]), np.float32)
                _first_input(x, first, biases[0], buffers[0], v)
                for i, four in enumerate(filters):
                    m = np.matmul(v, four)
                    if i + 1 == len(filters):
                        _last_output(m, biases[i + 1], tiles[i], out[start : start + len(x)])
                    else:
                        v = np.empty((4, len(x) * tiles[i + 1], four.shape[2]), np.float32)
                        _next_input(m, biases[i + 1], tiles[i], i % 2 == 0, buffers[i + 1], v)

        map_chunks(work, len(windows), CHUNK)
        return out.reshape(len(windows), -1)

    def features(self, convolved: np.ndarray) -> np.ndarray:
        """Output (n, 512) of the last layer before the softmax, from that of `convolve`."""
        x = convolved
        for name in CONNECTED:
            kernel, bias = self.weights[name]
            x = np.maximum(x @ kernel + bias, np.float32(0))
        return x

    def classify(self, features: np.ndarray) -> np.ndarray:
        """Probabilities (..., 3) from features (..., 512)."""
        kernel, bias = self.weights[SOFTMAX]
        logits = features @ kernel + bias
        p = np.exp(logits - logits.max(axis=-1, keepdims=True))
        return np.asarray(p / p.sum(axis=-1, keepdims=True), np.float32)

    def predict(self, windows: np.ndarray) -> np.ndarray:
        """Probabilities (n, 3) float32 for windows (n, 140)."""
        return self.classify(self.features(self.convolve(windows)))

    def predict_passes(self, convolved: np.ndarray, passes: int, *, seed: int) -> np.ndarray:
        """Probabilities (passes, n, 3) float32 with active dropout, as a sample of networks.

        `convolved` is the output (n, 3584) of `convolve`: only the layers after the convolutions drop units.
        Source: Gal & Ghahramani 2016, arXiv:1506.02142.
        """
        (first, bias), (second, second_bias) = (self.weights[name] for name in CONNECTED)
        hidden = np.maximum(convolved @ first + bias, np.float32(0))
        rng = np.random.default_rng(seed)
        out = []
        for _ in range(passes):
            # One mask for all windows: each pass is one network, so windows can be compared.
            keep = ((rng.random((2, len(bias))) >= DROPOUT) / (1 - DROPOUT)).astype(np.float32)
            out.append(self.classify(np.maximum((hidden * keep[0]) @ second + second_bias, 0) * keep[1]))
        return np.stack(out)
