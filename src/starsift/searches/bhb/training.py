"""Training: encoders one by one, then what joins them; or all at once (Wei et al. 2023, sections 4 and 6)."""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from starsift.errors import TrainingError
from starsift.learning.backend import load_keras, predict_batches, set_seed
from starsift.learning.training import shuffle_batches, train_epochs
from starsift.searches.bhb.dataset import Dataset, judged
from starsift.searches.bhb.encoders import (
    BAND_WEIGHTS,
    PRESETS,
    SEGMENT_WEIGHTS,
    Preset,
    classifier,
    image_encoder,
    spectrum_encoder,
)
from starsift.searches.bhb.fusion import FUSIONS, head, whole

END_TO_END = "batmm-end-to-end"
ENCODERS = ("spectrum", "spectrum-plain", "image", "image-plain")
NETWORKS = (*ENCODERS, *FUSIONS, END_TO_END)
BATCH = 128  # rows at a time when nothing is learned

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Settings:
    """Of one training.

    epochs, patience : it ends after so many without a better validation loss
    warmup_epochs : in which the learning rate rises from 0
    noise, spike, shift, flip : see `augment`
    copies : looks at each star that the fusion learns from

    Source: learning_rate and weight_decay, Wei et al. 2023, section 6; the rest is not in the paper.
    """

    epochs: int = 50
    patience: int = 10
    batch_size: int = 32
    learning_rate: float = 1e-4
    weight_decay: float = 5e-2
    warmup_epochs: float = 5
    copies: int = 1
    noise: float = 0.0
    spike: float = 0.0
    shift: int = 0
    flip: bool = False


@dataclass
class Trained:
    """A network, how its training went, and what it says of the stars that it has not learned from."""

    model: Any
    told: dict[str, Any]
    predictions: pa.Table = field(repr=False)


def schedule(settings: Settings, steps: int) -> np.ndarray:
    """Learning rate of every step, `steps` an epoch: a linear warm-up, then a cosine to zero."""
    total = settings.epochs * steps
    warmup = min(round(settings.warmup_epochs * steps), total - 1)
    step = np.arange(total)
    fall = 0.5 * (1 + np.cos(np.pi * (step - warmup) / (total - warmup)))
    return settings.learning_rate * np.where(step < warmup, (step + 1) / (warmup + 1), fall)


def augment(values: np.ndarray, which: int, settings: Settings, rng: np.random.Generator) -> np.ndarray:
    """Other looks of the same stars: spectra with more noise and another velocity, images turned, mirrored.

    Parameters
    ----------
    values : spectra (n, 3522), or images (n, size, size, 5)
    which : 0 spectra, 1 images

    Returns
    -------
    The same shape. The noise of each spectrum has a standard deviation drawn between 0 and `noise`. Each is
    scaled as if its least and greatest flux (equation 16) were those of spikes, which exceed the spectrum by
    `spike` of its range in the mean. The shift of at most `shift` pixels, the turn and the mirror are those
    of the whole batch.
    """
    if which == 0:
        if settings.shift:
            values = _shifted(values, int(rng.integers(-settings.shift, settings.shift + 1)))
        if settings.noise:
            size = rng.uniform(0, settings.noise, (len(values), 1)).astype(np.float32)
            values = values + size * rng.standard_normal(values.shape, dtype=np.float32)
        if settings.spike:
            low, high = rng.exponential(settings.spike, (2, len(values), 1)).astype(np.float32)
            values = (values + low) / (1 + low + high)
    elif settings.flip:
        values = np.rot90(values, int(rng.integers(4)), axes=(1, 2))
        values = values[:, :, ::-1] if rng.integers(2) else values
    return np.ascontiguousarray(values, np.float32)


def _shifted(spectrum: np.ndarray, pixels: int) -> np.ndarray:
    moved = np.roll(spectrum, pixels, axis=1)
    if pixels > 0:
        moved[:, :pixels] = spectrum[:, :1]
    elif pixels < 0:
        moved[:, pixels:] = spectrum[:, -1:]
    return moved


def fit(
    model: Any,
    batches: Callable[[np.ndarray, np.random.Generator], Sequence[np.ndarray]],
    label: np.ndarray,
    validation: tuple[Sequence[np.ndarray], np.ndarray],
    settings: Settings,
    seed: int,
) -> dict[str, Any]:
    """Train a network with AdamW, and leave it with the weights of the best epoch on validation.

    Parameters
    ----------
    batches : inputs of the rows that it is given
    label : (n,) class numbers of all rows
    validation : inputs and labels

    Returns
    -------
    epochs, best_epoch, loss, validation_loss (a value an epoch)

    Raises
    ------
    TrainingError : the loss is not finite.

    Source: Wei et al. 2023, sections 4.3 and 6: AdamW, warm-up, cross entropy, best weights on validation.
    """
    keras = load_keras()
    rng = np.random.default_rng(seed)
    steps = len(label) // min(settings.batch_size, len(label))
    rates = iter(schedule(settings, steps).tolist())
    optimizer = keras.optimizers.AdamW(1.0, weight_decay=settings.weight_decay, clipnorm=1.0)

    def epoch_batches() -> Iterator[tuple[Sequence[np.ndarray], np.ndarray]]:
        return (
            (batches(rows, rng), label[rows])
            for rows in shuffle_batches(len(label), settings.batch_size, rng)
        )

    def validate() -> float:
        p = predict_batches(model, validation[0], BATCH)[np.arange(len(validation[1])), validation[1]]
        return float(-np.log(np.maximum(p, 1e-7)).mean())

    def set_rate(batch: int, logs: Any) -> None:
        # A schedule of Keras' own would be compiled once for every variable.
        optimizer.learning_rate = next(rates)

    stopping = keras.callbacks.EarlyStopping(
        "validation_loss", 0, settings.patience, mode="min", restore_best_weights=True
    )
    history = train_epochs(
        model,
        optimizer,
        epoch_batches,
        settings.epochs,
        validate=validate,
        callbacks=[keras.callbacks.LambdaCallback(on_train_batch_begin=set_rate), stopping],
    )
    return {
        "epochs": len(history["loss"]),
        "best_epoch": stopping.best_epoch + 1,
        "loss": history["loss"],
        "validation_loss": history["validation_loss"],
    }


def train(
    name: str,
    dataset: Dataset,
    *,
    preset: str = "paper",
    encoder: Settings = Settings(),
    fusion: Settings = Settings(),
    seed: int = 0,
    spectrum: Any = None,
    image: Any = None,
    pretrained: str | None = None,
) -> Trained:
    """Train one network of Tables 6 to 8.

    Parameters
    ----------
    name : one of `NETWORKS`
    dataset : with all three parts
    preset : sizes, a key of `starsift.searches.bhb.encoders.PRESETS`
    encoder, fusion : settings for networks of one encoder and trained end to end; for what joins encoders
    seed : of the weights, the order, the augmentation and the dropout
    spectrum, image : trained networks of one encoder each, which models of `FUSIONS` need, and leave as they
        are
    pretrained : see `image_encoder`

    Raises
    ------
    TrainingError : unknown name or preset, or the trained encoders are missing or of another preset.

    Source: Wei et al. 2023, sections 4, 6 and 7.3 to 7.4.
    """
    if name not in NETWORKS or preset not in PRESETS:
        raise TrainingError(
            f"model {name!r}, preset {preset!r}: there are {', '.join(NETWORKS)}; {', '.join(PRESETS)}"
        )
    # Layers are named by how many the process has made: from here on, by how many this network has.
    load_keras().utils.clear_session(free_memory=False)
    set_seed(seed)
    sizes, learn, judge = PRESETS[preset], dataset.part("train"), dataset.part("validation")
    size = dataset.image.shape[1]
    inputs = [judge.spectrum, judge.image]
    if name in ENCODERS:
        which = 0 if name.startswith("spectrum") else 1
        if which == 0:
            parts = [spectrum_encoder(sizes, attention=name == "spectrum")]
        else:
            parts = [image_encoder(sizes, size, squeeze=name == "image", pretrained=pretrained)]
        model = classifier(parts[0], sizes)

        def one(rows: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
            return [augment([learn.spectrum[rows], learn.image[rows]][which], which, encoder, rng)]

        story = fit(model, one, learn.label, ([inputs[which]], judge.label), encoder, seed)
        columns = [which]
    else:
        columns = [0, 1]
        if name == END_TO_END:
            parts = [spectrum_encoder(sizes), image_encoder(sizes, size, pretrained=pretrained)]
        else:
            parts = [_part(spectrum, "spectrum_encoder", sizes), _part(image, "image_encoder", sizes)]
        joined = head("batmm" if name == END_TO_END else name, sizes, parts[1].output_shape[0][1])
        model = whole(parts[0], parts[1], joined)
        if name == END_TO_END:

            def both(rows: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
                pair = learn.spectrum[rows], learn.image[rows]
                return [augment(values, which, encoder, rng) for which, values in enumerate(pair)]

            story = fit(model, both, learn.label, (inputs, judge.label), encoder, seed)
        else:
            story = _fit_head(joined, parts, learn, judge, fusion, seed)
    told = {
        "model": name,
        "seed": seed,
        "n_parameters": model.count_params(),
        "n_trainable": _trainable(joined if name in FUSIONS else model),
        **story,
        "weights": _weights(parts, dataset.part("test"), columns),
    }
    return Trained(model, told, judged(dataset, lambda part: predict(model, part, columns)))


def _part(trained: Any, name: str, sizes: Preset) -> Any:
    """The encoder in a trained network, which learns no more."""
    if trained is None:
        raise TrainingError(f"a model that joins encoders needs a trained {name}")
    encoder = trained.get_layer(name)
    if encoder.output_shape[1][-1] != sizes.tokens:
        raise TrainingError(
            f"the {name} has tokens of {encoder.output_shape[1][-1]} dimensions, the preset {sizes.tokens}; "
            "train both with one preset"
        )
    encoder.trainable = False
    return encoder


def _fit_head(
    joined: Any, parts: Sequence[Any], learn: Dataset, judge: Dataset, settings: Settings, seed: int
) -> dict[str, Any]:
    """Train what follows the encoders on their outputs, computed once for several looks at each star.

    Looks are changed: of a star as it is, the encoders know more than they will of new ones.
    """
    rng = np.random.default_rng([seed, 1])

    def features(part: Dataset, changed: bool) -> list[np.ndarray]:
        pair = [part.spectrum, part.image]
        if changed:
            for which, values in enumerate(pair):
                chunks = range(0, len(values), BATCH)
                pair[which] = np.concatenate(
                    [augment(values[at : at + BATCH], which, settings, rng) for at in chunks]
                )
        return [
            out
            for encoder, values in zip(parts, pair, strict=True)
            for out in predict_batches(encoder, values, BATCH)
        ]

    looks = [features(learn, changed=True) for _ in range(settings.copies)]
    known = [np.concatenate(columns) for columns in zip(*looks, strict=True)]
    label = np.tile(learn.label, settings.copies)
    return fit(
        joined,
        lambda rows, _: [values[rows] for values in known],
        label,
        (features(judge, changed=False), judge.label),
        settings,
        seed,
    )


def predict(model: Any, part: Dataset, columns: Sequence[int] = (0, 1)) -> np.ndarray:
    """Probabilities (n,) float32 of BHB; `columns` are 0 and 1 for networks that see spectra and images."""
    inputs = [[part.spectrum, part.image][which] for which in columns]
    return np.asarray(predict_batches(model, inputs, BATCH))[:, 1].astype(np.float32)


def _trainable(model: Any) -> int:
    return int(sum(np.prod(weight.shape) for weight in model.trainable_weights))


def _weights(parts: Sequence[Any], test: Dataset, columns: Sequence[int]) -> dict[str, list[float] | None]:
    """Mean weights of segments and bands over the test part, of sum 1 (figure 9)."""
    keras = load_keras()
    found: dict[str, list[float] | None] = {"segments": None, "bands": None}
    for encoder, which in zip(parts, columns, strict=True):
        key, layer = (("segments", SEGMENT_WEIGHTS), ("bands", BAND_WEIGHTS))[which]
        if layer in [one.name for one in encoder.layers]:
            weigh = keras.Model(encoder.inputs, encoder.get_layer(layer).output)
            mean = predict_batches(weigh, [test.spectrum, test.image][which], BATCH).mean(
                axis=0, dtype=np.float64
            )
            found[key] = (mean / mean.sum()).tolist()
    return found
