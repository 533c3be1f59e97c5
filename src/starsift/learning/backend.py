"""The array library of networks and kernels: NumPy, or Keras with one of its backends.

Keras reads `KERAS_BACKEND` and TensorFlow its thread counts when they are imported, so nothing else in
starsift imports Keras at module level: it calls `load_keras`, which sets these first. TensorFlow is the
default; JAX and PyTorch pass the same tests.
"""

import importlib
import io
import json
import os
import re
import zipfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import numpy as np

from starsift.errors import ResultsError, SettingsError

BACKENDS = ("tensorflow", "jax", "torch")
BATCH = 4096  # rows at a time: the fastest measured; 16 MB of 1 001-point float32 curves


@cache
def load_keras() -> ModuleType:
    """Import Keras: quiet, in full float32, within the threads that OMP_NUM_THREADS grants.

    Raises SettingsError if KERAS_BACKEND names a backend that is unknown or not installed.
    """
    backend = os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    if backend not in BACKENDS:
        raise SettingsError(f"KERAS_BACKEND is '{backend}': expected one of {', '.join(BACKENDS)}")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # errors only
    threads = os.environ.get("OMP_NUM_THREADS", "")
    if threads.isdigit() and int(threads) > 0:
        # What TensorFlow's own pools and XLA's pool (JAX) read; PyTorch reads OMP_NUM_THREADS itself.
        for name in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "NPROC"):
            os.environ.setdefault(name, threads)
    try:
        library = importlib.import_module(backend)
    except ImportError as error:
        hint = "install it, or unset KERAS_BACKEND"
        if backend == "tensorflow":
            hint = "install starsift[cpu] or, for CUDA, starsift[gpu]"
        raise SettingsError(f"KERAS_BACKEND is '{backend}' but {backend} is not installed: {hint}") from error
    if backend == "tensorflow":
        library.get_logger().setLevel("ERROR")  # it warns of one compilation a network
        # TensorFloat-32 keeps 10 bits of mantissa: too few for results that agree to 1e-5 on every device.
        library.config.experimental.enable_tensor_float_32_execution(False)
    elif backend == "jax":
        library.config.update("jax_default_matmul_precision", "highest")
    return importlib.import_module("keras")


def namespace(kind: Literal["numpy", "keras"] | None = None) -> ModuleType:
    """The array functions that kernels compute with: `numpy`, or `keras.ops` on the backend of KERAS_BACKEND.

    None takes `keras` where the user has set KERAS_BACKEND, else `numpy`, which on a CPU is as fast and
    starts at once.
    """
    if kind is None:
        kind = "keras" if os.environ.get("KERAS_BACKEND", "numpy") != "numpy" else "numpy"
    return load_keras().ops if kind == "keras" else np


def set_seed(seed: int) -> None:
    """Seed Python, NumPy and the Keras backend, for the whole process, and have it compute deterministically.

    Same data, seed, backend, device and number of threads then give the same bits.
    """
    keras = load_keras()
    keras.utils.set_random_seed(seed)
    if keras.backend.backend() == "tensorflow":
        importlib.import_module("tensorflow").config.experimental.enable_op_determinism()
    elif keras.backend.backend() == "torch":
        importlib.import_module("torch").use_deterministic_algorithms(True)


def predict_batches(model: Any, x: np.ndarray | Sequence[np.ndarray], batch_size: int = BATCH) -> Any:
    """Outputs of a Keras model for many rows.

    Parameters
    ----------
    model : keras.Model
    x : (n, ...) float32, or a list of these where the model has several inputs
    batch_size : rows at a time; the last batch is padded to it, so that one shape is compiled, not two

    Returns (n, ...) float32, or a list of these where the model has several outputs.
    """
    inputs = [x] if isinstance(x, np.ndarray) else list(x)
    shapes = model.output_shape
    several = isinstance(shapes, list)
    n = len(inputs[0])
    parts: list[list[np.ndarray]] = []
    for start in range(0, n, batch_size):
        part = [np.asarray(values[start : start + batch_size], np.float32) for values in inputs]
        missing = batch_size - len(part[0]) if start else 0
        if missing:
            part = [np.concatenate([a, np.zeros((missing, *a.shape[1:]), np.float32)]) for a in part]
        found = model.predict_on_batch(part if len(part) > 1 else part[0])
        parts.append([np.asarray(one) for one in (found if several else [found])])
    if parts:
        joined = [np.concatenate(column)[:n] for column in zip(*parts, strict=True)]
    else:
        joined = [np.zeros((0, *shape[1:]), np.float32) for shape in (shapes if several else [shapes])]
    return joined if several else joined[0]


def save_network(model: Any, path: str | os.PathLike[str]) -> None:
    """Write a Keras model to a `.keras` file, whole or not at all; the same network gives the same bytes.

    Raises ResultsError if the name of the file does not end in .keras.
    """
    path = Path(path)
    if path.suffix != ".keras":
        raise ResultsError(f"{path}: a network is saved to a file whose name ends in .keras")
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.stem}.{os.getpid()}.keras")
    try:
        model.save(draft)
        draft.write_bytes(_without_clock(draft.read_bytes()))
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def load_network(path: str | os.PathLike[str]) -> Any:
    """The Keras model that `save_network` wrote, to be used, not trained on.

    Raises ResultsError if the file is missing or damaged.
    """
    path = Path(path)
    advice = "run the training again"
    if not path.is_file():
        raise ResultsError(f"{path}: no such file, expected a trained classifier; {advice}")
    keras = load_keras()
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
        if damaged:
            raise zipfile.BadZipFile(f"{damaged} in it is damaged")
        return keras.saving.load_model(path, compile=False)
    # Keras raises whatever its parts raise (zip, HDF5, JSON, config), with messages for its developers.
    except Exception as error:
        raise ResultsError(f"{path}: not a Keras model, or a damaged one; {advice}") from error


def _without_clock(archive: bytes) -> bytes:
    """The bytes of a `.keras` file less what the clock and the process put in."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive)) as source, zipfile.ZipFile(out, "w") as target:
        for member in sorted(source.namelist()):
            content = source.read(member)
            if member == "metadata.json":
                metadata = json.loads(content)
                metadata.pop("date_saved", None)
                content = json.dumps(metadata, sort_keys=True).encode()
            elif member == "config.json":
                # Objects that layers share are named after their address: number them instead. The slice
                # is named after how many were built before it in the process: there is one in a network.
                content = re.sub(rb'"get_item_\d+"', b'"get_item"', content)
                numbers: dict[bytes, bytes] = {}
                content = re.sub(
                    rb'(?<="shared_object_id": )\d+',
                    lambda m: numbers.setdefault(m[0], b"%d" % len(numbers)),  # noqa: B023
                    content,
                )
            target.writestr(zipfile.ZipInfo(member), content)
    return out.getvalue()
