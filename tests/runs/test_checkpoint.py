"""Checkpoints: whole, checked, without pickle, and the newest good one."""

import dataclasses
import errno
import io
import json
import os
import pickle
import signal
import subprocess
import sys
import zipfile
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from ddmlp.errors import RunError
from ddmlp.nn.weights import Shape, Weights
from ddmlp.plan.row_audit import AuditState
from ddmlp.runs.checkpoint import (
    Checkpoint,
    Checkpoints,
    DataPrefix,
    Header,
    PrequentialState,
    load_checkpoint,
    save_checkpoint,
)

SHAPE = Shape(5, 4, 3)
# Saves step 1, and is killed in the middle of saving step 2.
SAVE = """
import os, signal, sys
from pathlib import Path
from ddmlp.nn.weights import Shape, Weights
from ddmlp.runs.checkpoint import Checkpoint, Checkpoints

def kill(event, arguments):
    if event == "os.rename":
        os.kill(os.getpid(), signal.SIGKILL)

checkpoints = Checkpoints(Path(sys.argv[1]))
weights = Weights.draw(Shape(5, 4, 3), 0)
checkpoints.save(Checkpoint(weights, 1))
sys.addaudithook(kill)
checkpoints.save(Checkpoint(weights, 2))
"""
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
# The description of a checkpoint of ddmlp 0.1.0 with HEADER, but for the hashes of its weights.
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
    return Checkpoint(Weights.draw(SHAPE, step), step, replace(HEADER, chain=f"nr {step}"))


@pytest.fixture
def checkpoints(tmp_path: Path) -> Checkpoints:
    return Checkpoints(tmp_path / "checkpoints")


def refusal(path: Path) -> str:
    with pytest.raises(RunError) as caught:
        load_checkpoint(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)
    return str(caught.value).removeprefix(str(path))


def complaint_of(path: Path) -> str | None:
    """What is wrong with a checkpoint, if anything is."""
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


def text(about: object) -> np.ndarray:
    return np.frombuffer(json.dumps(about).encode(), np.uint8)


def test_simple(checkpoints):
    saved = some(7)
    path = checkpoints.save(saved)
    assert path == checkpoints.folder / "step-000000000007.npz"
    found, complaints = checkpoints.newest()
    assert (found.step, found.header, found.earlier, found.state, complaints) == (7, saved.header, (), {}, [])
    assert found.weights.shape == SHAPE
    assert found.weights.sha256() == saved.weights.sha256()
    assert [p.name for p in checkpoints.folder.iterdir()] == [path.name]


def test_weights_to_the_bit(checkpoints):
    weights = Weights(SHAPE)
    weights.flat[:6] = [0.0, -0.0, np.nan, np.inf, np.finfo(np.float32).smallest_subnormal, 1 / 3]
    found = load_checkpoint(checkpoints.save(Checkpoint(weights, 0)))
    assert found.weights.flat.tobytes() == weights.flat.tobytes()
    assert found.weights.flat.dtype == np.float32


def test_an_empty_folder(checkpoints, tmp_path):
    assert checkpoints.newest() == (None, [])
    (tmp_path / "checkpoints").mkdir()
    assert checkpoints.newest() == (None, [])


def test_newest_three_are_kept(checkpoints):
    for step in (0, 5, 10, 1_000, 999_999_999_999):
        checkpoints.save(some(step))
    assert [path.stem for path in checkpoints.paths()] == [
        "step-999999999999",
        "step-000000001000",
        "step-000000000010",
    ]
    assert sorted(checkpoints.folder.iterdir()) == checkpoints.paths()[::-1]
    assert checkpoints.newest()[0].step == 999_999_999_999


def test_files_of_others(checkpoints):
    checkpoints.save(some(1))
    others = [checkpoints.folder / name for name in ("notes.txt", "step-5.npz", "step-000000000002.npz.bak", "x.npz")]
    for path in others:
        path.write_text("mine")
    for step in (2, 3, 4):
        checkpoints.save(some(step))
    assert [path.read_text() for path in others] == ["mine"] * 4
    assert checkpoints.newest()[0].step == 4


def contents(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_the_bytes_of_a_first_file(checkpoints, tmp_path):
    """What ddmlp 0.1.0 has written is read, and written again byte for byte."""
    weights, earlier = Weights.draw(SHAPE, 1), [Weights.draw(SHAPE, seed) for seed in (2, 3)]
    hashes = {"weights_sha256": weights.sha256(), "earlier_sha256": [each.sha256() for each in earlier]}
    flats, about = np.stack([each.flat for each in earlier]), text(FIRST | hashes)
    path = tmp_path / "first.npz"
    np.savez(path, allow_pickle=False, W1=weights.w1, W2=weights.w2, earlier=flats, about=about)
    found = load_checkpoint(path)
    assert (found.step, found.header, found.state) == (7, HEADER, {})
    assert [each.sha256() for each in (found.weights, *found.earlier)] == [weights.sha256(), *hashes["earlier_sha256"]]
    assert contents(checkpoints.save(found)) == contents(path)


def test_state(checkpoints):
    """An optimizer's arrays, say, of any shape and type."""
    velocity = np.arange(32, dtype=np.float32).reshape(8, 4)
    state = {"velocity": velocity, "steps": np.array(3, ">i8"), "none": np.zeros((0, 2), bool)}
    found = load_checkpoint(checkpoints.save(dataclasses.replace(some(1), state=state)))
    assert found.state.keys() == state.keys()
    for name, array in state.items():
        assert (found.state[name].dtype, found.state[name].tolist()) == (array.dtype, array.tolist())
    assert found.header == some(1).header


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
    assert "its state is [], expected ['velocity']" in refusal(path)


def test_no_pickle_in_the_file(checkpoints):
    path = checkpoints.save(dataclasses.replace(some(1), state={"velocity": np.zeros(3)}))
    with np.load(path, allow_pickle=False) as file:
        assert {name: array.dtype.kind for name, array in file.items()} == {
            "W1": "f", "W2": "f", "earlier": "f", "state.velocity": "f", "about": "u"
        }  # fmt: skip
    assert {content[:6] for content in contents(path).values()} == {b"\x93NUMPY"}


def test_no_pickle_is_loaded(checkpoints, tmp_path):
    path = checkpoints.save(some(1))
    marker = tmp_path / "executed"

    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return Path.touch, (marker,)

    with np.load(path) as file:
        arrays = dict(file)
    np.savez(path, allow_pickle=True, **{**arrays, "W1": np.array([Trap()], object)})
    assert "Object arrays cannot be loaded when allow_pickle=False" in refusal(path)
    path.write_bytes(pickle.dumps(Trap()))
    assert "is damaged, or no .npz file" in refusal(path)
    assert not marker.exists()


def test_a_killed_process(checkpoints):
    command = [sys.executable, "-c", SAVE, str(checkpoints.folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    found, complaints = checkpoints.newest()
    assert (found.step, complaints) == (1, [])
    assert len([*checkpoints.folder.iterdir()]) == 2
    checkpoints.save(some(2))
    assert checkpoints.newest()[0].step == 2


@pytest.mark.parametrize("step", [1, 2])
def test_a_full_disk(checkpoints, monkeypatch, step):
    path = checkpoints.save(some(1))
    before = path.read_bytes()
    monkeypatch.setattr(os, "fsync", mock.Mock(side_effect=OSError(errno.ENOSPC, "No space left on device")))
    with pytest.raises(OSError, match="No space left") as caught:
        checkpoints.save(some(step))
    assert Path(caught.value.filename) == checkpoints.folder / f"step-{step:012d}.npz"
    assert [*checkpoints.folder.iterdir()] == [path]
    assert path.read_bytes() == before


@pytest.mark.parametrize("damage", ["empty", "cut", "flipped", "text", "folder"])
def test_a_damaged_newest(checkpoints, damage):
    checkpoints.save(some(1))
    path = checkpoints.save(some(2))
    good = path.read_bytes()
    match damage:
        case "empty":
            path.write_bytes(b"")
        case "cut":
            path.write_bytes(good[: len(good) // 2])
        case "flipped":
            at = good.index(some(2).weights.w1.tobytes()) + 9
            path.write_bytes(good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :])
        case "text":
            path.write_text("hello")
        case "folder":
            path.unlink()
            path.mkdir()
    found, complaints = checkpoints.newest()
    assert (found.step, found.header) == (1, some(1).header)
    (complaint,) = complaints
    assert complaint.startswith(f"passed over a checkpoint: {path} ")


def test_a_complaint_for_each(checkpoints):
    paths = [checkpoints.save(some(step)) for step in (1, 2, 3)]
    for path in paths:
        path.write_text("hello")
    found, complaints = checkpoints.newest()
    assert found is None
    assert [complaint.split(" is ")[0] for complaint in complaints] == [
        f"passed over a checkpoint: {path}" for path in paths[::-1]
    ]


def test_flipped_bytes(checkpoints):
    path = checkpoints.save(Checkpoint(some(1).weights, 1))
    good = path.read_bytes()
    weights = some(1).weights.sha256()
    refused = 0
    for at in range(len(good)):
        path.write_bytes(good[:at] + bytes([good[at] ^ 1 << at % 8]) + good[at + 1 :])
        if (complaint := complaint_of(path)) is None:
            found = load_checkpoint(path)
            assert (found.weights.sha256(), found.step) == (weights, 1)
        else:
            refused += 1
            assert complaint.startswith(str(path))
    assert refused > len(good) / 2


@given(data=st.data())
def test_any_damage(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "damaged.npz"
    save_checkpoint(path, Checkpoint(some(1).weights, 1))
    good = path.read_bytes()
    at = data.draw(st.integers(0, len(good)))
    path.write_bytes(good[:at] + data.draw(st.binary(max_size=4)) + good[at + data.draw(st.integers(0, 4)) :])
    if (complaint := complaint_of(path)) is None:
        assert load_checkpoint(path).weights.sha256() == some(1).weights.sha256()
    else:
        assert complaint.startswith(str(path))


def test_other_weights(checkpoints):
    path = checkpoints.save(some(1))
    rewrite(path, W1=some(2).weights.w1)
    found = Weights(SHAPE, np.concatenate([some(2).weights.w1.ravel(), some(1).weights.w2.ravel()])).sha256()
    expected = some(1).weights.sha256()
    assert refusal(path) == (f" is damaged: the SHA-256 of its weights is {found[:16]}..., expected {expected[:16]}...")


@pytest.mark.parametrize(
    ("name", "array", "found"),
    [
        ("W1", np.zeros((5, 3), np.float32), "W1 is float32 (5, 3) and W2 float32 (4, 3)"),
        ("W1", np.zeros(20, np.float32), "W1 is float32 (20,) and W2 float32 (4, 3)"),
        ("W2", np.zeros((4, 3), np.float64), "W1 is float32 (5, 4) and W2 float64 (4, 3)"),
        ("W1", np.zeros((5, 4), np.int32), "W1 is int32 (5, 4) and W2 float32 (4, 3)"),
    ],
)
def test_weights_that_do_not_fit(checkpoints, name, array, found):
    path = checkpoints.save(some(1))
    rewrite(path, **{name: array})
    assert refusal(path) == f": {found}, expected floats of (m, n) and (n, o)"


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
def test_a_foreign_description(checkpoints, about):
    path = checkpoints.save(some(1))
    rewrite(path, about=text(about))
    refusal(path)


MEMBERS = [
    ("step", "7"), ("earlier_sha256", [1]), ("earlier_sha256", None), ("earlier_sha256", ["a"]), ("state_sha256", []),
    ("state_sha256", {"a": "b"}), ("staleness", {"a": 1}), ("staleness", None), ("train_seconds", "1"), ("chain", 1),
    ("ledger", {"rows": 1}), ("ledger", {"rows": 1, "fingerprints": "x"}), ("data", {"shards": 1}), ("prequential", {}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value"), MEMBERS)
def test_a_member_of_another_type(checkpoints, name, value):
    path = checkpoints.save(some(1))
    good = FIRST | {"weights_sha256": some(1).weights.sha256()}
    rewrite(path, about=text(good))
    assert load_checkpoint(path).header == HEADER
    rewrite(path, about=text(good | {name: value}))
    refusal(path)


@pytest.mark.parametrize("said", [b"\xff{", b"", b"{", b"[" * 100_000], ids=["bytes", "empty", "cut", "deep"])
def test_no_json(checkpoints, said):
    path = checkpoints.save(some(1))
    rewrite(path, about=np.frombuffer(said, np.uint8))
    assert " is no checkpoint: its description is damaged (" in refusal(path)


def test_a_single_array(tmp_path):
    path = tmp_path / "array.npz"
    buffer = io.BytesIO()
    np.save(buffer, np.zeros(3))
    path.write_bytes(buffer.getvalue())
    assert "no .npz file" in refusal(path)


def test_a_missing_file(tmp_path):
    assert refusal(tmp_path / "nowhere.npz") == " cannot be read: No such file or directory"
