"""Damaged checkpoints and other files are rejected, and never read wrongly."""

import dataclasses
import re

import numpy as np
import pytest

from ddmlp.nn.weights import Weights
from ddmlp.runs.checkpoint import Checkpoint, load_checkpoint
from tests.support.checkpoints import FIRST, HEADER, complaint_of, refusal, rewrite, some, text


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        ({"state.velocity": np.ones(3)}, "state.velocity"),
        ({"state.velocity": np.zeros(3, np.float32)}, "state.velocity"),
        ({"state.velocity": np.zeros((3, 1))}, "state.velocity"),
        ({"state.other": np.zeros(3)}, r"['other', 'velocity']"),
    ],
)
def test_damaged_state(checkpoints, arrays, says):
    path = checkpoints.save(dataclasses.replace(some(1), state={"velocity": np.zeros(3)}))
    rewrite(path, **arrays)
    assert says in refusal(path)


def test_missing_state(checkpoints):
    path = checkpoints.save(dataclasses.replace(some(1), state={"velocity": np.zeros(3)}))
    with np.load(path) as file:
        found = dict(file)
    del found["state.velocity"]
    np.savez(path, **found)
    assert re.search(r"\[\].*\['velocity'\]", refusal(path))


def test_flipped_bytes(checkpoints):
    path = checkpoints.save(Checkpoint(some(1).weights, 1))
    good = path.read_bytes()
    weights = some(1).weights.sha256()
    refused = 0
    for at in range(0, len(good), 5):
        path.write_bytes(good[:at] + bytes([good[at] ^ 1 << at % 8]) + good[at + 1 :])
        if (complaint := complaint_of(path)) is None:
            found = load_checkpoint(path)
            assert (found.weights.sha256(), found.step) == (weights, 1)
        else:
            refused += 1
            assert complaint.startswith(str(path))
    assert refused > len(good) / 10


def test_other_weights(checkpoints):
    path = checkpoints.save(some(1))
    rewrite(path, W1=some(2).weights.w1)
    found = Weights.join(some(2).weights.w1, some(1).weights.w2).sha256()
    expected = some(1).weights.sha256()
    assert re.search(rf" is damaged: .*weights.*{found[:16]}.*{expected[:16]}", refusal(path))


@pytest.mark.parametrize(
    ("name", "array", "found"),
    [
        ("W1", np.zeros((5, 3), np.float32), "W1 (5, 3), W2 (4, 3)"),
        ("W1", np.zeros(20, np.float32), "W1 (20,), W2 (4, 3)"),
        ("W2", np.zeros((4, 3), np.float64), "W1 is float32, W2 is float64"),
        ("W1", np.zeros((5, 4), np.int32), "W1 is int32, W2 is float32"),
    ],
)
def test_misfit_weights(checkpoints, name, array, found):
    path = checkpoints.save(some(1))
    rewrite(path, **{name: array})
    assert found in refusal(path)


OTHERS = {
    "earlier": [np.zeros(32, np.float32), np.zeros((0, 32), np.int32), np.zeros((10**9, 0))],
    "about": [np.zeros(0, np.int8), np.array(7, np.uint8), np.frombuffer(b"{}", np.uint8).reshape(1, 2)],
    "b1": [np.zeros(4, np.float32)],
}


@pytest.mark.parametrize(("name", "array"), [(name, array) for name, arrays in OTHERS.items() for array in arrays])
def test_other_arrays(checkpoints, name, array):
    path = checkpoints.save(some(1))
    rewrite(path, **{name: array})
    refusal(path)


@pytest.mark.parametrize(
    "about",
    [
        None,
        [],
        {},
        {"step": 1},
        {"weights_sha256": "a"},
        {"step": "one", "weights_sha256": "a"},
        {"step": None, "weights_sha256": "a"},
        {"step": 1, "weights_sha256": 5},
        {"step": 1, "weights_sha256": None},
        {"step": 1e999, "weights_sha256": "a"},
    ],
)
def test_foreign_description(checkpoints, about):
    path = checkpoints.save(some(1))
    rewrite(path, about=text(about))
    refusal(path)


MEMBERS = [
    ("step", "7"), ("earlier_sha256", [1]), ("earlier_sha256", None), ("earlier_sha256", ["a"]), ("state_sha256", []),
    ("state_sha256", {"a": "b"}), ("staleness", {"a": 1}), ("staleness", None), ("train_seconds", "1"), ("chain", 1),
    ("ledger", {"rows": 1}), ("ledger", {"rows": 1, "fingerprints": "x"}), ("data", {"shards": 1}), ("prequential", {}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value"), MEMBERS)
def test_wrong_member_type(checkpoints, name, value):
    path = checkpoints.save(some(1))
    good = FIRST | {"weights_sha256": some(1).weights.sha256()}
    rewrite(path, about=text(good))
    assert load_checkpoint(path).header == HEADER
    rewrite(path, about=text(good | {name: value}))
    refusal(path)


@pytest.mark.parametrize("said", [b"\xff{", b"", b"{", b"[" * 100_000], ids=["bytes", "empty", "truncated", "deep"])
def test_not_json(checkpoints, said):
    path = checkpoints.save(some(1))
    rewrite(path, about=np.frombuffer(said, np.uint8))
    assert "description is damaged" in refusal(path)


def test_missing_file(tmp_path):
    assert "No such file or directory" in refusal(tmp_path / "nowhere.npz")
