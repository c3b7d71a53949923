"""Checkpoints: the weights, the position and what else a resume needs, in whole files or none."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct

from ddmlp.errors import RunError, printable
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

KEEP = 3  # checkpoints
EARLIER = "earlier"
STATE = "state."  # the names of the state's arrays begin with it

_NOTHING: Array = np.zeros(())


class PrequentialState(Struct, frozen=True):
    """rows, mistakes: of all rows; steps: rows and mistakes of each step in the window, oldest first."""

    rows: Count
    mistakes: Count
    steps: list[tuple[Positive, Count]]


class DataPrefix(Struct, frozen=True):
    """The shards that the applied rows came from: how many, and the SHA-256 of a dataset of only these."""

    shards: Count
    sha256: Digest


class Header(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a resume needs to know besides arrays and the position.

    Parameters
    ----------
    config, dataset_sha256, arithmetic
        What the run is a function of; see `Origin.fixed`.
    train_seconds
        Trained so far.
    staleness
        How many updates there were of each staleness.
    prequential, data
        Of a run that follows a growing dataset.
    chain
        The digest of the checkpoint's entry in the hash chain.
    ledger
        The state of the row audit.
    versions
        Of ddmlp and the libraries; see `versions`.
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
    """What the description in a file says of the arrays beside it; the header is in the same JSON object."""

    step: Count
    weights_sha256: Sha256
    earlier_sha256: list[Sha256]
    state_sha256: dict[str, Sha256] = {}


_BEGIN = Header(train_seconds=0.0, staleness={})


@dataclass(frozen=True)
class Checkpoint:
    """A position, and all that training goes on from.

    Parameters
    ----------
    weights
        Of version `step`.
    step
        How many steps are applied.
    earlier
        The weights of the versions before that steps to come will read, oldest first.
    state
        Arrays of any shape and type, by name: what an optimizer keeps between steps.
    """

    weights: Weights
    step: int
    header: Header = _BEGIN
    earlier: tuple[Weights, ...] = ()
    state: Mapping[str, Array] = field(default_factory=dict)


class Checkpoints:
    """The newest few checkpoints of a run, in a folder.

    A checkpoint is an .npz file of the parameters, `earlier` (versions, m n + n o), an array state.NAME for each of the
    state, and `about`: a record with the position, the header and a SHA-256 of every array.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def save(self, checkpoint: Checkpoint, keep: int = KEEP) -> Path:
        """Write a checkpoint, and delete the oldest beyond the `keep` newest; returns its path."""
        self.folder.mkdir(exist_ok=True)
        path = self.folder / f"step-{checkpoint.step:012d}.npz"
        save_checkpoint(path, checkpoint)
        for old in self.paths()[keep:]:
            old.unlink(missing_ok=True)
        return path

    def paths(self) -> list[Path]:
        """The checkpoints in the folder, newest first."""
        return sorted((p for p in self.folder.glob("step-*.npz") if re.fullmatch(r"step-\d{12}", p.stem)), reverse=True)

    def newest(self) -> tuple[Checkpoint | None, list[str]]:
        """The newest good checkpoint, None if there is none, and what is wrong with each newer one."""
        complaints: list[str] = []
        for path in self.paths():
            try:
                return load_checkpoint(path), complaints
            except RunError as error:
                complaints.append(f"passed over a checkpoint: {error}")
        return None, complaints


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint, whole or not at all; raises OSError."""
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
    """Read a checkpoint and check its arrays against their SHA-256; raises RunError."""
    arrays = load_arrays(path)
    state = {name.removeprefix(STATE): arrays.pop(name) for name in list(arrays) if name.startswith(STATE)}
    versions, description = (arrays.pop(name, _NOTHING) for name in (EARLIER, ABOUT))
    weights = join_weights(path, arrays)
    try:
        if versions.ndim != 2 or versions.dtype.kind != "f":
            raise ValueError(f"{EARLIER} is {versions.dtype} {versions.shape}, expected versions of the weights")
        earlier = tuple(Weights.from_values(weights.shape, values) for values in versions)
        # A checkpoint that says nothing of these is good: they are only measured.
        about = {"train_seconds": 0.0, "staleness": {}} | to_record(description, dict[str, Any])
        expected = msgspec.convert(about, _Arrays)
        header = msgspec.convert(about, Header, str_keys=True)
    except (ValueError, TypeError) as error:
        raise RunError(f"{path} is no checkpoint: its description is damaged ({printable(str(error))})") from None
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
    """Raise RunError if an array is not what was written."""
    if found != expected:
        raise RunError(f"{path} is damaged: the SHA-256 of its {what} is {found[:16]}..., expected {expected[:16]}...")
