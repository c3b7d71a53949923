"""Checkpoints: the weights, the position and all else that a resume needs, each in one atomically written file."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct

from ddmlp.errors import RunError, printable
from ddmlp.files import sync_folder
from ddmlp.nn.weights import Weights
from ddmlp.plan.row_audit import AuditState
from ddmlp.runs.arrays import (
    ABOUT,
    Array,
    array_sha256,
    from_record,
    join_weights,
    load_arrays,
    save_arrays,
    to_record,
    weight_arrays,
)
from ddmlp.runs.json_text import Amount, Count, Digest, Positive, Sha256

KEEP = 3  # checkpoints, by default
EARLIER = "earlier"
STATE = "state."  # prefix of the names of state arrays

_NOTHING: Array = np.zeros(())


class PrequentialState(Struct, frozen=True):
    """The state of the prequential error.

    Parameters
    ----------
    rows, mistakes
        Of all steps so far.
    steps
        Rows and mistakes of each step in the window, oldest first.
    """

    rows: Count
    mistakes: Count
    steps: list[tuple[Positive, Count]]


class DataPrefix(Struct, frozen=True):
    """The shards that the applied rows came from: their number, and the SHA-256 of a dataset of only these shards."""

    shards: Count
    sha256: Digest


class Header(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a resume needs, apart from arrays and the position.

    Parameters
    ----------
    config, dataset_sha256, arithmetic
        What determines the run's result; see `Origin.fixed`.
    train_seconds
        Seconds of training so far.
    staleness
        Number of updates by staleness, in versions.
    prequential, data
        Only of a run that follows a growing dataset.
    chain
        Digest of the checkpoint's entry in the hash chain.
    ledger
        State of the row audit.
    versions
        Versions of ddmlp and of the libraries; see `versions`.
    """

    config: dict[str, Any] = {}
    dataset_sha256: Digest = ""
    arithmetic: Positive = 1
    train_seconds: Amount
    staleness: dict[Count, Positive]
    prequential: PrequentialState | None = None
    data: DataPrefix | None = None
    chain: Digest = ""
    ledger: AuditState | None = None
    versions: dict[str, str] = {}


class _Arrays(Struct, frozen=True, omit_defaults=True):
    """The position and the hashes of the arrays. In the file, it shares one JSON object with the header."""

    step: Count
    weights_sha256: Sha256
    earlier_sha256: list[Sha256]
    state_sha256: dict[str, Sha256] = {}


_BEGIN = Header(train_seconds=0.0, staleness={})


@dataclass(frozen=True)
class Checkpoint:
    """Everything that training resumes from.

    Parameters
    ----------
    weights
        Weights of version `step`.
    step
        The position: the number of steps that are applied.
    header
        All else that is not an array.
    earlier
        Weights of earlier versions that later steps will read, oldest first.
    state
        What an optimizer keeps between steps: arrays of any shape and type, by name.
    """

    weights: Weights
    step: int
    header: Header = _BEGIN
    earlier: tuple[Weights, ...] = ()
    state: Mapping[str, Array] = field(default_factory=dict)


class Checkpoints:
    """The folder with the newest checkpoints of a run.

    A checkpoint is an .npz file with the parameters, with `earlier`, (versions, m n + n o) float32, with an array
    state.NAME for each array of the state, and with `about`: the position, the header and the SHA-256 of each array.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from ddmlp.nn.weights import Shape
    >>> with TemporaryDirectory() as folder:
    ...     checkpoints = Checkpoints(Path(folder) / "checkpoints")
    ...     checkpoints.save(Checkpoint(Weights.draw(Shape(4, 3, 2), seed=0), step=7)).name
    ...     found, complaints = checkpoints.newest()
    'step-000000000007.npz'
    >>> found.step, complaints
    (7, [])
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def save(self, checkpoint: Checkpoint, keep: int = KEEP) -> Path:
        """Write a checkpoint, delete all but the `keep` newest, and return its path. Raises OSError."""
        if not self.folder.exists():
            self.folder.mkdir()
            sync_folder(self.folder.parent)  # or all checkpoints would be lost with the name of their folder
        path = self.path(checkpoint.step)
        save_checkpoint(path, checkpoint)
        for old in self.paths()[keep:]:
            old.unlink(missing_ok=True)
        return path

    def path(self, step: int) -> Path:
        """Return the path of the checkpoint of a step, which need not exist."""
        return self.folder / f"step-{step:012d}.npz"

    def paths(self) -> list[Path]:
        """Return the paths of the checkpoints, newest first."""
        return sorted((p for p in self.folder.glob("step-*.npz") if re.fullmatch(r"step-\d{12}", p.stem)), reverse=True)

    def newest(self) -> tuple[Checkpoint | None, list[str]]:
        """Return the newest good checkpoint, or None, and a message about each newer one, which is damaged."""
        complaints: list[str] = []
        for path in self.paths():
            try:
                return load_checkpoint(path), complaints
            except RunError as error:
                complaints.append(f"skipped a checkpoint: {error}")
        return None, complaints


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint, whole or not at all. Raises OSError."""
    weights, state = checkpoint.weights, checkpoint.state
    hashes = _Arrays(
        checkpoint.step,
        weights.sha256(),
        [each.sha256() for each in checkpoint.earlier],
        {name: array_sha256(array) for name, array in state.items()},
    )
    about = {**msgspec.to_builtins(hashes), **msgspec.to_builtins(checkpoint.header)}
    earlier = np.array([weights.values, *(each.values for each in checkpoint.earlier)])[1:]
    save_arrays(
        path,
        {
            **weight_arrays(weights),
            EARLIER: earlier,
            **{STATE + name: array for name, array in state.items()},
            ABOUT: from_record(about),
        },
    )


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint, and compare its arrays with their SHA-256.

    Raises
    ------
    RunError
        If the file is missing, damaged, or not a checkpoint.
    """
    arrays = load_arrays(path)
    state = {name.removeprefix(STATE): arrays.pop(name) for name in list(arrays) if name.startswith(STATE)}
    versions, description = (arrays.pop(name, _NOTHING) for name in (EARLIER, ABOUT))
    weights = join_weights(path, arrays)
    try:
        if versions.ndim != 2 or versions.dtype.kind != "f":
            raise ValueError(f"{EARLIER} is {versions.dtype} {versions.shape}, expected floats (versions, weights)")
        earlier = tuple(Weights.from_values(weights.shape, values) for values in versions)
        # A checkpoint without these is good: they are only measurements.
        about = {"train_seconds": 0.0, "staleness": {}} | to_record(description, dict[str, Any])
        expected = msgspec.convert(about, _Arrays)
        header = msgspec.convert(about, Header, str_keys=True)
    except (ValueError, TypeError) as error:
        raise RunError(f"{path} is not a checkpoint: its description is damaged ({printable(str(error))})") from None
    if len(earlier) != len(expected.earlier_sha256):
        raise RunError(
            f"{path} is damaged: it has {len(earlier) + 1} versions of the weights, expected "
            f"{len(expected.earlier_sha256) + 1}"
        )
    digests = [expected.weights_sha256, *expected.earlier_sha256]
    for found, digest in zip((weights, *earlier), digests, strict=True):
        _check_digest(path, "weights", found.sha256(), digest)
    if state.keys() != expected.state_sha256.keys():
        raise RunError(f"{path} is damaged: its state is {sorted(state)}, expected {sorted(expected.state_sha256)}")
    for name, array in state.items():
        _check_digest(path, f"{STATE}{name}", array_sha256(array), expected.state_sha256[name])
    return Checkpoint(weights, expected.step, header, earlier, state)


def _check_digest(path: Path, what: str, found: str, expected: str) -> None:
    """Raise RunError if an array differs from the one that was written."""
    if found != expected:
        raise RunError(f"{path} is damaged: the SHA-256 of its {what} is {found[:16]}..., expected {expected[:16]}...")
