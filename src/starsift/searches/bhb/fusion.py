"""Networks that fuse the tokens of a spectrum with those of an image (Wei et al. 2023, sections 4.3, 7.4).

Choices where the paper is open: layers are normalized before the attention and feed-forward parts, so that
eight blocks train. The next block gets the image tokens after self-attention.
"""

from dataclasses import dataclass
from typing import Any

from starsift.errors import TrainingError
from starsift.learning.backend import load_keras
from starsift.searches.bhb.encoders import Preset, vgg
from starsift.searches.bhb.inputs import SEGMENTS
from starsift.searches.bhb.models import FUSIONS


@dataclass(frozen=True)
class Transformer:
    """Parts of a Transformer, which Table 7 leaves out one by one."""

    image: bool = True
    semantic: bool = True
    cross: bool = True


TRANSFORMERS = {
    "transformer-spectrum": Transformer(image=False, semantic=False, cross=False),
    "transformer": Transformer(semantic=False, cross=False),
    "transformer-sem": Transformer(cross=False),
    "transformer-ca": Transformer(semantic=False),
    "batmm": Transformer(),
}


def fusion_head(name: str, preset: Preset, image_tokens: int) -> Any:
    """A network of `FUSIONS`: from the four outputs of the encoders to probabilities (n, 2).

    `image_tokens` are k of the image encoder. Raises TrainingError if there is no such model.
    """
    if name not in FUSIONS:
        raise TrainingError(f"model {name!r} is not one of {', '.join(FUSIONS)}")
    keras = load_keras()
    layers = keras.layers
    inputs = [
        keras.Input((SEGMENTS, preset.tokens), name="spectrum_tokens"),
        keras.Input((preset.tokens,), name="spectrum_vector"),
        keras.Input((image_tokens, preset.tokens), name="image_tokens"),
        keras.Input((preset.tokens,), name="image_vector"),
    ]
    spectrum, spectrum_vector, image, image_vector = inputs
    if name == "add":
        x = layers.Add()([spectrum_vector, image_vector])
    elif name == "concat":
        x = layers.Concatenate()([spectrum_vector, image_vector])
    elif name == "vgg1d":
        x = layers.Concatenate()([spectrum_vector, image_vector])
        x = vgg(layers.Reshape((1, 2 * preset.tokens, 1))(x), preset)
        x = layers.Dense(preset.tokens, activation="relu")(layers.Flatten()(x))
    else:
        x = _transformer(spectrum, image, preset, TRANSFORMERS[name])
    x = layers.Dense(2, activation="softmax", name="softmax")(x)
    return keras.Model(inputs, x, name="fusion")


def _transformer(spectrum: Any, image: Any, preset: Preset, parts: Transformer) -> Any:
    """The [CLS] token (n, d) after all blocks (equations 5 to 13)."""
    keras = load_keras()
    layers, ops = keras.layers, keras.ops
    # Rows of one table: Sem_S, Sem_I and [CLS].
    embedding = layers.Embedding(3, preset.tokens, name="embedding")
    first = ops.cast(ops.zeros_like(spectrum[:, :1, 0]), "int32")
    cls = embedding(first + 2)
    if parts.semantic:
        spectrum = spectrum + embedding(first)
        image = image + embedding(first + 1)
    sizes = [1, *([image.shape[1]] if parts.image else []), spectrum.shape[1]]
    bounds = [sum(sizes[:i]) for i in range(1, len(sizes))]

    def attention(name: str) -> Any:
        return layers.MultiHeadAttention(
            preset.heads, preset.tokens // preset.heads, dropout=preset.dropout, name=name
        )

    for block in range(1, preset.blocks + 1):

        def normalized(x: Any, name: str, block: int = block) -> Any:
            return layers.LayerNormalization(epsilon=1e-6, name=f"norm{block}_{name}")(x)

        if parts.cross:
            context = normalized(spectrum, "spectrum")
            found = attention(f"cross{block}")(normalized(image, "image"), context)
            image = image + layers.Dropout(preset.dropout)(found)
        x = layers.Concatenate(axis=1)([cls, image, spectrum] if parts.image else [cls, spectrum])
        inner = normalized(x, "self")
        x = x + layers.Dropout(preset.dropout)(attention(f"self{block}")(inner, inner))
        inner = layers.Dense(preset.feed_forward, activation="relu", name=f"ffn{block}_1")(
            normalized(x, "ffn")
        )
        inner = layers.Dense(preset.tokens, name=f"ffn{block}_2")(inner)
        x = x + layers.Dropout(preset.dropout)(inner)
        parted = ops.split(x, bounds, axis=1)
        cls, spectrum = parted[0], parted[-1]
        image = parted[1] if parts.image else image
    return layers.Flatten()(layers.LayerNormalization(epsilon=1e-6, name="norm")(cls))


def join_networks(spectrum_encoder: Any, image_encoder: Any, head: Any) -> Any:
    """Encoders and fusion as one network: from spectra and images to probabilities (n, 2)."""
    keras = load_keras()
    inputs = [spectrum_encoder.inputs[0], image_encoder.inputs[0]]
    features = [*spectrum_encoder(inputs[0]), *image_encoder(inputs[1])]
    return keras.Model(inputs, head(features), name="bhb")
