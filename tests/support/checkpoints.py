"""Checkpoints of a small network, and changed checkpoint files."""

import json
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace

from ddmlp.errors import RunError
from ddmlp.nn.weights import Shape, Weights
from ddmlp.plan.row_audit import AuditState
from ddmlp.runs.checkpoint import Checkpoint, DataPrefix, Header, PrequentialState, load_checkpoint

SHAPE = Shape(5, 4, 3)
HEADER = Header(
    config={"hidden": 4},
    dataset_sha256="d" * 64,
    train_seconds=1.5,
    staleness={0: 3, 2: 1},
    prequential=PrequentialState(10, 4, [(6, 3), (4, 1)]),
    data=DataPrefix(2, "e" * 64),
    chain="c" * 64,
    ledger=AuditState(10, "00000000000000ff"),
    versions={"numpy": "2"},
)
# The metadata of a checkpoint of ddmlp 0.1.0 with HEADER, without the hashes of the weights.
FIRST = {
    "step": 7,
    "weights_sha256": "",
    "earlier_sha256": [],
    "config": {"hidden": 4},
    "dataset_sha256": "d" * 64,
    "train_seconds": 1.5,
    "staleness": {"0": 3, "2": 1},
    "prequential": {"rows": 10, "mistakes": 4, "steps": [[6, 3], [4, 1]]},
    "data": {"shards": 2, "sha256": "e" * 64},
    "chain": "c" * 64,
    "ledger": {"rows": 10, "fingerprints": "00000000000000ff"},
    "versions": {"numpy": "2"},
}


def some(step: int) -> Checkpoint:
    return Checkpoint(Weights.draw(SHAPE, step), step, replace(HEADER, chain=f"{step:064x}"))


def refusal(path: Path) -> str:
    with pytest.raises(RunError) as caught:
        load_checkpoint(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)
    return str(caught.value).removeprefix(str(path))


def complaint_of(path: Path) -> str | None:
    """Return the error for a checkpoint, if there is one."""
    try:
        load_checkpoint(path)
    except RunError as error:
        return str(error)
    return None


def rewrite(path: Path, **arrays: np.ndarray) -> None:
    """Replace arrays of a checkpoint with others."""
    with np.load(path) as file:
        found = dict(file)
    np.savez(path, **{**found, **arrays})


def text(metadata: object) -> np.ndarray:
    return np.frombuffer(json.dumps(metadata).encode(), np.uint8)
