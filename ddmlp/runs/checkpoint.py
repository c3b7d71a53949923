"""Checkpoints: the weights and the position, in whole files or none."""

import io
import json
import re
import struct
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ddmlp.errors import RunError
from ddmlp.files import whole_file
from ddmlp.nn.weights import Shape, Weights

KEEP = 3  # checkpoints

# What NumPy and zipfile are known to raise for a file that is not what it should be. A bare .npy is a TypeError.
_DAMAGE = (
    ValueError, TypeError, AttributeError, EOFError, RuntimeError, MemoryError, OverflowError,
    struct.error, zipfile.BadZipFile, zlib.error,
)  # fmt: skip


@dataclass(frozen=True)
class Checkpoint:
    """weights: of version `step`; step: how many steps are applied; about: what else a resume needs to know, as JSON:
    configuration, dataset fingerprint, library versions, seconds trained; earlier: the weights of the versions before
    that steps to come will read, oldest first."""

    weights: Weights
    step: int
    about: dict[str, Any]
    earlier: tuple[Weights, ...] = ()


class Checkpoints:
    """The newest few checkpoints of a run, in a folder.

    A checkpoint is an .npz file of W1, W2, the earlier weights (versions, m n + n o) and a JSON text as UTF-8 bytes,
    which holds the position and the weights' SHA-256. Nothing in it is pickled.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def save(self, checkpoint: Checkpoint, keep: int = KEEP) -> Path:
        """Write a checkpoint, and let go of the oldest beyond the `keep` newest; returns its path."""
        self.folder.mkdir(exist_ok=True)
        path = self.folder / f"step-{checkpoint.step:012d}.npz"
        hashes = {
            "weights_sha256": checkpoint.weights.sha256(),
            "earlier_sha256": [weights.sha256() for weights in checkpoint.earlier],
        }
        about = {"step": checkpoint.step, **hashes, **checkpoint.about}
        save_arrays(path, checkpoint.weights, about, checkpoint.earlier)
        for old in self.paths()[keep:]:
            old.unlink(missing_ok=True)
        return path

    def paths(self) -> list[Path]:
        """The checkpoints that are there, newest first."""
        return sorted((p for p in self.folder.glob("step-*.npz") if re.fullmatch(r"step-\d{12}", p.stem)), reverse=True)

    def newest(self) -> tuple[Checkpoint | None, list[str]]:
        """The newest good checkpoint, None where there is none, and what is wrong with each newer one."""
        complaints: list[str] = []
        for path in self.paths():
            try:
                return load_checkpoint(path), complaints
            except RunError as error:
                complaints.append(f"passed over a checkpoint: {error}")
        return None, complaints


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint and check it against its own SHA-256; raises RunError."""
    arrays = load_arrays(path, "W1", "W2", "earlier", "about")
    weights = join(path, arrays["W1"], arrays["W2"])
    try:
        earlier = tuple(Weights(weights.shape, flat) for flat in arrays["earlier"].astype(weights.flat.dtype))
        about = json.loads(arrays["about"].tobytes())
        step, expected = about.pop("step"), [about.pop("weights_sha256"), *about.pop("earlier_sha256")]
        if type(step) is not int or not all(type(digest) is str for digest in expected):
            raise ValueError("its step or its hash is none")
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
        raise RunError(f"{path} is no checkpoint: its description is damaged ({error})") from None
    found = [each.sha256() for each in (weights, *earlier)]
    if len(found) != len(expected):
        raise RunError(f"{path} is damaged: it has {len(found)} versions of the weights, expected {len(expected)}")
    for digest, other in zip(found, expected, strict=True):
        if digest != other:
            raise RunError(
                f"{path} is damaged: the SHA-256 of its weights is {digest[:16]}..., expected {other[:16]}..."
            )
    return Checkpoint(weights, step, about, earlier)


def save_arrays(
    path: Path, weights: Weights, about: dict[str, Any] | None = None, earlier: Sequence[Weights] = ()
) -> None:
    """Write W1, W2 and, with `about`, the earlier weights and it, as the bytes of a JSON text, as .npz, whole or not
    at all."""
    arrays: dict[str, Any] = {"W1": weights.w1, "W2": weights.w2}
    if about is not None:
        arrays["earlier"] = np.array([each.flat for each in earlier], weights.flat.dtype).reshape(
            -1, weights.shape.size
        )
        arrays["about"] = np.frombuffer(json.dumps(about).encode(), np.uint8)
    # Into memory first: zipfile seeks, and a full disk should be met by one write.
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    with whole_file(path) as file:
        file.write(buffer.getbuffer())


def load_arrays(path: Path, *names: str) -> dict[str, np.ndarray[Any, Any]]:
    """The named arrays of an .npz file; raises RunError where it is damaged, or not such a file."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in names}
    except KeyError as error:
        raise RunError(f"{path} holds no such array: {error.args[0]}") from None
    except OSError as error:
        raise RunError(f"{path} cannot be read: {error.strerror or error}") from None
    except _DAMAGE as error:
        raise RunError(f"{path} is damaged, or no .npz file: {error}") from None


def join(path: Path, w1: np.ndarray[Any, Any], w2: np.ndarray[Any, Any]) -> Weights:
    """Weights of the arrays W1 (m, n) and W2 (n, o) from the file `path`; raises RunError where they do not fit."""
    if w1.ndim != 2 or w2.ndim != 2 or w1.shape[1] != w2.shape[0] or w1.dtype.kind != "f" or w2.dtype != w1.dtype:
        raise RunError(
            f"{path}: W1 is {w1.dtype} {w1.shape} and W2 {w2.dtype} {w2.shape}, expected floats of (m, n) and (n, o)"
        )
    return Weights(Shape(w1.shape[0], w1.shape[1], w2.shape[1]), np.concatenate([w1.ravel(), w2.ravel()]))
