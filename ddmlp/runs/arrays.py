"""Named arrays in .npz files, whole or not at all. Nothing in them is pickled."""

import hashlib
import io
import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from ddmlp.errors import RunError
from ddmlp.files import whole_file
from ddmlp.nn.weights import Weights

Array: TypeAlias = np.ndarray[Any, Any]

# What NumPy and zipfile are known to raise for a file that is not what it should be. A bare .npy is a TypeError.
_DAMAGE = (
    ValueError, TypeError, AttributeError, EOFError, RuntimeError, MemoryError, OverflowError,
    struct.error, zipfile.BadZipFile, zlib.error,
)  # fmt: skip


def save_arrays(path: Path, arrays: Mapping[str, Array]) -> None:
    """Write an .npz file of these arrays; raises OSError."""
    # Into memory first: zipfile seeks, and a full disk should be met by one write.
    buffer = io.BytesIO()
    contents: dict[str, Any] = dict(arrays)
    np.savez(buffer, allow_pickle=False, **contents)
    with whole_file(path) as file:
        file.write(buffer.getbuffer())


def load_arrays(path: Path, *names: str, prefix: str | None = None) -> dict[str, Array]:
    """The named arrays of an .npz file, and those whose names begin with `prefix`.

    Raises RunError if the file lacks one, is damaged, or is no .npz file.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            others = [] if prefix is None else [name for name in arrays.files if name.startswith(prefix)]
            return {name: arrays[name] for name in (*names, *others)}
    except KeyError as error:
        raise RunError(f"{path} holds no such array: {error.args[0]}") from None
    except OSError as error:
        raise RunError(f"{path} cannot be read: {error.strerror or error}") from None
    except _DAMAGE as error:
        raise RunError(f"{path} is damaged, or no .npz file: {error}") from None


def weight_arrays(weights: Weights) -> dict[str, Array]:
    """Copies of the weights: the arrays W1 (m, n) and W2 (n, o), row by row."""
    return {"W1": weights.w1.copy("C"), "W2": weights.w2.copy("C")}


def join_weights(path: Path, arrays: Mapping[str, Array]) -> Weights:
    """The weights of the arrays W1 (m, n) and W2 (n, o) of the file `path`, floats, rounded to float32; raises RunError
    if they do not fit."""
    w1, w2 = arrays["W1"], arrays["W2"]
    if w1.ndim != 2 or w2.ndim != 2 or w1.shape[1] != w2.shape[0] or w1.dtype.kind != "f" or w2.dtype != w1.dtype:
        raise RunError(
            f"{path}: W1 is {w1.dtype} {w1.shape} and W2 {w2.dtype} {w2.shape}, expected floats of (m, n) and (n, o)"
        )
    return Weights.join(w1, w2)


def array_sha256(array: Array) -> str:
    """SHA-256 over an array's shape, type and little-endian bytes."""
    little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    return hashlib.sha256(f"{little.dtype.str} {little.shape} ".encode() + little.tobytes()).hexdigest()
