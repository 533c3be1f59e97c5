"""The networks that classify CCFs as noise, single, double or triple (Li et al. 2023, section 3.2).

Classes: L0 no significant peak, L1 one star, L2 two stars, L3 three stars. C1 knows all four. C2 first
decides between L0, L1 and "more than one" (LN), then between L2 and L3. C3 does not know L3, C4 does not know
L2. Each network is 600 and 300 ReLU neurons and a softmax, trained with Adam on the sparse categorical
cross-entropy.

Choices where the paper is open:

- **Scaling.** The network sees Pearson's r itself times a constant (`GAIN`). Scaling each CCF to unit height
  or variance would make a noise CCF of height 0.1 as tall as a star of 0.9, and scaling each velocity by its
  scatter over the training set would write the velocity distribution of that set into the network; a constant
  keeps the absolute scale and brings an input of rms 0.1 to the order of one, which Adam's steps suit.
- **Sampling.** A CCF of R = 7500 spectra has no structure below some 60 km/s (FWHM), so every fourth point of
  a 1 km/s grid carries all of it (a Gaussian of sigma 24 km/s is down by exp(-180) at that Nyquist
  frequency). The first layer reads those (`stride`): the same functions, 2.4 times fewer operations.
  `stride=1` is the paper's network to the letter.
- **Position.** A dense layer does not know that a CCF shifted by 20 km/s is of the same class, and 1 500
  examples a class are too few to learn that from. So every CCF is moved until its highest point is in the
  middle: the velocity of a system has nothing to do with the number of its stars. On simulated spectra this
  raised the share of clear binaries that pass the vote from 0.91 to 0.95 at equal training, and removed the
  false alarms among rotators (docs/binaries.md).
- **Augmentation.** Each epoch sees every CCF shifted at random by at most `max_shift` grid steps (noise moves
  the highest point by as much), half of them mirrored.
- **Length.** A fixed number of epochs with the learning rate falling to zero along a cosine: nothing is held
  out for early stopping, and runs are comparable. More epochs raise the number of true L2 and L3 above the
  thresholds slowly (60 instead of 30: 67 to 79 % of faint, blended L2).
- **Balance.** Classes weigh equally in the loss. LN holds twice the examples of L0 or L1: all are kept, at
  half weight.
- **Reproducibility.** Same data, seed, backend and number of threads: same bits. Sums are split over threads,
  so give training a fixed number of threads (OMP_NUM_THREADS) where two machines are to agree.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from starsift.errors import ResultsError, TrainingError
from starsift.kernels import njit
from starsift.learning.backend import BATCH, load_keras, load_network, predict_batches, save_network, set_seed
from starsift.learning.training import shuffle_batches, train_epochs
from starsift.parallel import map_chunks

# Classes of each network: a group of labels is one output; labels in no group are unknown to it.
CLASSIFIERS: dict[str, tuple[tuple[int, ...], ...]] = {
    "C1": ((0,), (1,), (2,), (3,)),
    "C2a": ((0,), (1,), (2, 3)),
    "C2b": ((2,), (3,)),
    "C3": ((0,), (1,), (2,)),
    "C4": ((0,), (1,), (3,)),
}
GAIN = 10.0


@dataclass(frozen=True)
class Classifier:
    """One trained network: `name` of `CLASSIFIERS`, `model` from CCFs (n, velocity) to probabilities (n,
    class)."""

    name: str
    model: Any

    @property
    def velocities(self) -> int:
        """Number of velocities of the CCFs that it was trained on."""
        return int(self.model.input_shape[1])

    def predict(self, ccf: np.ndarray, batch_size: int = BATCH) -> np.ndarray:
        """Probability of each group of `CLASSIFIERS[name]`, (n, class) float32, for CCFs (n, velocity)."""
        if ccf.ndim != 2 or ccf.shape[1] != self.velocities:
            raise TrainingError(
                f"classifier {self.name} expects CCFs of {self.velocities} velocities and got an array "
                f"of shape {ccf.shape}: train it on the velocity grid of the survey's CCFs"
            )
        return predict_batches(self.model, centre(ccf), batch_size)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the network to a `.keras` file; the same network gives the same bytes."""
        try:
            save_network(self.model, path)
        except ResultsError as error:
            raise TrainingError(str(error)) from error

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Classifier":
        """Read a network that `save` wrote.

        Raises TrainingError if the file is missing, damaged or not one of the networks of `CLASSIFIERS`.
        """
        try:
            model = load_network(path)
        except ResultsError as error:
            raise TrainingError(str(error)) from error
        name = getattr(model, "name", "")
        outputs = len(CLASSIFIERS.get(name, ()))
        if not outputs or model.output_shape != (None, outputs) or len(model.input_shape) != 2:
            raise TrainingError(
                f"{path}: a Keras model named '{name}' of output shape {model.output_shape}, expected one of "
                f"{', '.join(CLASSIFIERS)} with a probability a class; run the training again"
            )
        return cls(name, model)


def _build(velocities: int, outputs: int, name: str, stride: int, seeds: Sequence[int]) -> tuple[Any, Any]:
    """The network up to its logits, to train, and the same with its softmax, to use."""
    keras = load_keras()
    inputs = keras.Input((velocities,), name="ccf")
    x = keras.layers.Rescaling(GAIN, name="gain")(inputs[:, ::stride])
    for i, (width, activation) in enumerate(((600, "relu"), (300, "relu"), (outputs, None))):
        start = keras.initializers.GlorotUniform(seed=int(seeds[i]))
        x = keras.layers.Dense(width, activation, kernel_initializer=start, name=f"dense_{i + 1}")(x)
    softmax = keras.layers.Activation("softmax", name="softmax")(x)
    return keras.Model(inputs, x, name=f"{name}_logits"), keras.Model(inputs, softmax, name=name)


@njit(cache=True, nogil=True)
def _centre(ccf: np.ndarray, out: np.ndarray) -> None:
    n, velocities = ccf.shape
    last = velocities - 1
    for s in range(n):
        highest = 0
        for j in range(1, velocities):
            if ccf[s, j] > ccf[s, highest]:
                highest = j
        shift = highest - velocities // 2
        for j in range(velocities):
            i = abs(j + shift)
            out[s, j] = ccf[s, i if i <= last else 2 * last - i]


def centre(ccf: np.ndarray) -> np.ndarray:
    """Shift each CCF (n, velocity) so that its highest point is in the middle.

    A shifted curve is filled up by its reflection at the end.
    """
    out = np.empty(ccf.shape, np.float32)
    map_chunks(lambda part: _centre(ccf[part], out[part]), len(ccf), BATCH)
    return out


def augment(ccf: np.ndarray, rng: np.random.Generator, max_shift: int, mirror: bool) -> np.ndarray:
    """Shift each CCF (n, velocity) by a random number of steps, at most `max_shift`, and mirror half of them.

    A shifted curve is filled up by its reflection at the end.
    """
    n, velocities = ccf.shape
    padded = np.pad(ccf, ((0, 0), (max_shift, max_shift)), mode="reflect")
    windows = np.lib.stride_tricks.sliding_window_view(padded, velocities, axis=1)
    shifted = windows[np.arange(n), rng.integers(0, 2 * max_shift + 1, n)]
    if mirror:
        flip = rng.random(n) < 0.5
        shifted[flip] = shifted[flip, ::-1]
    return shifted


def train_classifier(
    ccf: np.ndarray,
    label: np.ndarray,
    name: str,
    *,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    stride: int,
    max_shift: int,
    mirror: bool,
    seed: int = 0,
) -> Classifier:
    """Train one network of `CLASSIFIERS`. Seeds the process (`set_seed`).

    Parameters
    ----------
    ccf : (n, velocity) float32, Pearson's r
    label : (n,) int, 0-3 for L0-L3; examples whose label the network does not know are left out
    name : key of `CLASSIFIERS`
    epochs, batch_size, learning_rate : of Adam; the rate falls to zero along a cosine
    stride : the network reads every `stride`-th velocity
    max_shift : random shift of each example, in grid steps
    mirror : mirror half of the examples of each epoch
    seed : same data and seed, same network

    Raises TrainingError: shapes disagree, values are not finite, a label is not 0-3, a class has no example,
    or `name` is unknown.

    Source: Li et al. 2023, section 3.2.2; what it leaves open is decided at the top of this module.
    """
    if name not in CLASSIFIERS:
        raise TrainingError(f"unknown classifier '{name}': expected one of {', '.join(CLASSIFIERS)}")
    ccf, label = check_examples(ccf, label)
    if max_shift >= ccf.shape[1]:
        raise TrainingError(f"max_shift is {max_shift}: expected less than the {ccf.shape[1]} velocities")
    target = np.full(len(label), -1)
    for output, group in enumerate(CLASSIFIERS[name]):
        target[np.isin(label, group)] = output
        if not np.any(target == output):
            labels = " or ".join(f"L{i}" for i in group)
            raise TrainingError(f"no training example of {labels}, which {name} needs: add some")
    known = target >= 0
    ccf, target = centre(ccf[known]), target[known]
    counts = np.bincount(target)
    weight = (len(target) / (len(counts) * counts)).astype(np.float32)[target]

    # Every network has its own random numbers, so leaving one out changes no other.
    rng = np.random.default_rng([seed, list(CLASSIFIERS).index(name)])
    set_seed(seed)
    keras = load_keras()
    starts = rng.integers(2**31, size=3).tolist()
    logits, model = _build(ccf.shape[1], len(CLASSIFIERS[name]), name, stride, starts)
    steps = len(ccf) // min(batch_size, len(ccf))
    schedule = keras.optimizers.schedules.CosineDecay(learning_rate, epochs * steps)

    def batches() -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        rows = shuffle_batches(len(ccf), batch_size, rng)
        examples = augment(ccf[rows.ravel()], rng, max_shift, mirror).reshape(*rows.shape, -1)
        yield from zip(examples, target[rows], weight[rows], strict=True)

    train_epochs(logits, keras.optimizers.Adam(schedule), batches, epochs, from_logits=True)
    return Classifier(name, model)


def check_examples(ccf: np.ndarray, label: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """CCFs (n, velocity) float32 and labels (n,) that can be trained on, or a TrainingError."""
    ccf, label = np.asarray(ccf, np.float32), np.asarray(label)
    if ccf.ndim != 2 or label.shape != ccf.shape[:1]:
        raise TrainingError(
            f"expected CCFs (n, velocity) and as many labels (n,), got shapes {ccf.shape} and {label.shape}"
        )
    if not np.isfinite(ccf).all():
        row = int(np.argmin(np.isfinite(ccf).all(axis=1)))
        raise TrainingError(f"training CCF {row} is not finite: leave out spectra whose status is not ok")
    wrong = ~np.isin(label, range(4))
    if wrong.any():
        raise TrainingError(
            f"label of training CCF {int(np.argmax(wrong))} is {label[wrong][0]}: expected 0 to 3"
        )
    return ccf, label
