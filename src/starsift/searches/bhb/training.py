"""Training: encoders one by one, then their fusion; or all at once (Wei et al. 2023, sections 4 and 6)."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from starsift.errors import TrainingError
from starsift.learning.backend import load_keras, predict_batches, set_seed
from starsift.learning.training import shuffle_batches, train_epochs
from starsift.searches.bhb.dataset import Dataset, held_out_predictions
from starsift.searches.bhb.encoders import (
    BAND_WEIGHTS,
    PRESETS,
    SEGMENT_WEIGHTS,
    Preset,
    classifier,
    image_encoder,
    spectrum_encoder,
)
from starsift.searches.bhb.fusion import fusion_head, join_networks
from starsift.searches.bhb.models import ENCODERS, END_TO_END, FUSIONS, NETWORKS

BATCH = 128  # rows at a time in predictions


@dataclass(frozen=True)
class TrainingOptions:
    """Options of the training of one network.

    epochs : at most
    patience : epochs without a lower validation loss before training stops
    warmup_epochs : in which the learning rate rises from 0
    noise, spike, shift, flip : see `augment`
    copies : augmented copies of each star in the training of a fusion

    Source: learning_rate and weight_decay, Wei et al. 2023, section 6; the rest is not in the paper.
    """

    epochs: int
    patience: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    warmup_epochs: float
    copies: int
    noise: float
    spike: float
    shift: int
    flip: bool


@dataclass
class Trained:
    """A network, the record of its training for `training.json`, and predictions of the held-out stars."""

    model: Any
    record: dict[str, Any]
    predictions: pa.Table = field(repr=False)


def schedule(options: TrainingOptions, steps: int) -> np.ndarray:
    """Learning rate of every step, `steps` per epoch: a linear warm-up, then a cosine to zero."""
    total = options.epochs * steps
    warmup = min(round(options.warmup_epochs * steps), total - 1)
    step = np.arange(total)
    fall = 0.5 * (1 + np.cos(np.pi * (step - warmup) / (total - warmup)))
    return options.learning_rate * np.where(step < warmup, (step + 1) / (warmup + 1), fall)


def augment(values: np.ndarray, which: int, options: TrainingOptions, rng: np.random.Generator) -> np.ndarray:
    """Augment stars: spectra with more noise and another velocity, images rotated and mirrored.

    `values` are spectra (n, 3522), with `which` 0, or images (n, size, size, 5), with 1; so is what is
    returned. The noise of each spectrum has a standard deviation drawn between 0 and `noise`. Each spectrum
    is scaled as if its lowest and highest flux (equation 16) were those of spikes, which exceed the spectrum
    by `spike` of its range on average. All stars of a batch have the same shift (at most `shift` pixels),
    rotation and mirroring.
    """
    if which == 0:
        if options.shift:
            values = _shifted(values, int(rng.integers(-options.shift, options.shift + 1)))
        if options.noise:
            size = rng.uniform(0, options.noise, (len(values), 1)).astype(np.float32)
            values = values + size * rng.standard_normal(values.shape, dtype=np.float32)
        if options.spike:
            low, high = rng.exponential(options.spike, (2, len(values), 1)).astype(np.float32)
            values = (values + low) / (1 + low + high)
    elif options.flip:
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
    options: TrainingOptions,
    seed: int,
) -> dict[str, Any]:
    """Train a network with AdamW, and restore the weights of the epoch with the lowest validation loss.

    Parameters
    ----------
    batches : gives the inputs of rows, augmented
    label : (n,) class numbers of all rows
    validation : inputs and labels

    Returns epochs, best_epoch, loss, validation_loss (a value per epoch). Raises TrainingError: the loss is
    not finite.

    Source: Wei et al. 2023, sections 4.3 and 6: AdamW, warm-up, cross entropy, best weights on validation.
    """
    keras = load_keras()
    rng = np.random.default_rng(seed)
    steps = len(label) // min(options.batch_size, len(label))
    rates = iter(schedule(options, steps).tolist())
    optimizer = keras.optimizers.AdamW(1.0, weight_decay=options.weight_decay, clipnorm=1.0)

    def epoch_batches() -> Iterator[tuple[Sequence[np.ndarray], np.ndarray]]:
        return (
            (batches(rows, rng), label[rows]) for rows in shuffle_batches(len(label), options.batch_size, rng)
        )

    def validate() -> float:
        p = predict_batches(model, validation[0], BATCH)[np.arange(len(validation[1])), validation[1]]
        return float(-np.log(np.maximum(p, 1e-7)).mean())

    def set_rate(batch: int, logs: Any) -> None:
        # Keras would compile a schedule of its own once for every variable.
        optimizer.learning_rate = next(rates)

    stopping = keras.callbacks.EarlyStopping(
        "validation_loss", 0, options.patience, mode="min", restore_best_weights=True
    )
    history = train_epochs(
        model,
        optimizer,
        epoch_batches,
        options.epochs,
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
    preset: str,
    options: TrainingOptions,
    seed: int = 0,
    spectrum: Any = None,
    image: Any = None,
    pretrained: str | None = None,
) -> Trained:
    """Train one network of Tables 6 to 8.

    Parameters
    ----------
    name : one of `NETWORKS`
    dataset : with all three splits
    preset : sizes, a key of `starsift.searches.bhb.encoders.PRESETS`
    seed : of the weights, the order, the augmentation and the dropout
    spectrum, image : trained networks of one encoder each, for the models of `FUSIONS`, which do not change
        them
    pretrained : see `image_encoder`

    Raises TrainingError: unknown name or preset, or the trained encoders are missing or of another preset.

    Source: Wei et al. 2023, sections 4, 6 and 7.3 to 7.4.
    """
    if name not in NETWORKS or preset not in PRESETS:
        raise TrainingError(
            f"model {name!r}, preset {preset!r}: there are {', '.join(NETWORKS)}; {', '.join(PRESETS)}"
        )
    # Keras numbers layers over the process: from here on, over this network.
    load_keras().utils.clear_session(free_memory=False)
    set_seed(seed)
    sizes, size = PRESETS[preset], dataset.image.shape[1]
    training, validation = dataset.part("train"), dataset.part("validation")
    columns = [0, 1]  # spectra and images
    if name in ENCODERS:
        if name.startswith("spectrum"):
            columns, encoders = [0], [spectrum_encoder(sizes, attention=name == "spectrum")]
        else:
            columns = [1]
            encoders = [image_encoder(sizes, size, squeeze=name == "image", pretrained=pretrained)]
        model = classifier(encoders[0], sizes)
    else:
        if name == END_TO_END:
            encoders = [spectrum_encoder(sizes), image_encoder(sizes, size, pretrained=pretrained)]
        else:
            encoders = [
                _frozen_encoder(spectrum, "spectrum_encoder", sizes),
                _frozen_encoder(image, "image_encoder", sizes),
            ]
        head = fusion_head("batmm" if name == END_TO_END else name, sizes, encoders[1].output_shape[0][1])
        model = join_networks(encoders[0], encoders[1], head)
    if name in FUSIONS:
        history = _fit_head(head, encoders, training, validation, options, seed)
    else:

        def augmented(rows: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
            return [augment(training.inputs[which][rows], which, options, rng) for which in columns]

        held_out = [validation.inputs[which] for which in columns], validation.label
        history = fit(model, augmented, training.label, held_out, options, seed)
    record = {
        "model": name,
        "seed": seed,
        "n_parameters": model.count_params(),
        "n_trainable": _count_trainable(head if name in FUSIONS else model),
        **history,
        "weights": _mean_weights(encoders, dataset.part("test"), columns),
    }
    predictions = held_out_predictions(dataset, lambda part: predict_part(model, part, columns))
    return Trained(model, record, predictions)


def _frozen_encoder(trained: Any, name: str, sizes: Preset) -> Any:
    """The encoder of a trained network, no longer trainable."""
    if trained is None:
        raise TrainingError(f"a fusion needs a trained {name}; train it first")
    encoder = trained.get_layer(name)
    if encoder.output_shape[1][-1] != sizes.tokens:
        raise TrainingError(
            f"the {name} has tokens of {encoder.output_shape[1][-1]} dimensions, the preset {sizes.tokens}; "
            "train both with one preset"
        )
    encoder.trainable = False
    return encoder


def _fit_head(
    head: Any,
    encoders: Sequence[Any],
    training: Dataset,
    validation: Dataset,
    options: TrainingOptions,
    seed: int,
) -> dict[str, Any]:
    """Train the fusion on outputs of the encoders, computed once for several augmented copies of each star.

    Copies are augmented because the encoders are more certain of their own training spectra than of new ones.
    """
    rng = np.random.default_rng([seed, 1])

    def features(inputs: Iterable[np.ndarray]) -> list[np.ndarray]:
        return [
            out
            for encoder, values in zip(encoders, inputs, strict=True)
            for out in predict_batches(encoder, values, BATCH)
        ]

    def augmented(values: np.ndarray, which: int) -> np.ndarray:
        chunks = range(0, len(values), BATCH)
        return np.concatenate([augment(values[at : at + BATCH], which, options, rng) for at in chunks])

    copies = [
        features([augmented(values, which) for which, values in enumerate(training.inputs)])
        for _ in range(options.copies)
    ]
    outputs = [np.concatenate(columns) for columns in zip(*copies, strict=True)]
    return fit(
        head,
        lambda rows, _: [values[rows] for values in outputs],
        np.tile(training.label, options.copies),
        (features(validation.inputs), validation.label),
        options,
        seed,
    )


def predict_part(model: Any, part: Dataset, columns: Sequence[int] = (0, 1)) -> np.ndarray:
    """Probabilities (n,) float32 of BHB; `columns` of the inputs: 0 for spectra, 1 for images."""
    return bhb_probability(model, [part.inputs[which] for which in columns]).astype(np.float32)


def bhb_probability(model: Any, inputs: Sequence[np.ndarray]) -> np.ndarray:
    """Probabilities (n,) of BHB by a network, not calibrated."""
    return np.asarray(predict_batches(model, inputs, BATCH))[:, 1]


def _count_trainable(model: Any) -> int:
    return int(sum(np.prod(weight.shape) for weight in model.trainable_weights))


def _mean_weights(
    encoders: Sequence[Any], test: Dataset, columns: Sequence[int]
) -> dict[str, list[float] | None]:
    """Mean weights of segments and bands over the test set, of sum 1 (Figure 9)."""
    keras = load_keras()
    found: dict[str, list[float] | None] = {"segments": None, "bands": None}
    for encoder, which in zip(encoders, columns, strict=True):
        key, layer = (("segments", SEGMENT_WEIGHTS), ("bands", BAND_WEIGHTS))[which]
        if layer in [one.name for one in encoder.layers]:
            weigh = keras.Model(encoder.inputs, encoder.get_layer(layer).output)
            mean = predict_batches(weigh, test.inputs[which], BATCH).mean(axis=0, dtype=np.float64)
            found[key] = (mean / mean.sum()).tolist()
    return found
