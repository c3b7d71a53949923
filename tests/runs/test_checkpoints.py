"""The folder of checkpoints: which are kept, and which is the newest good one."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path
from unittest import mock

import pytest

from tests.support.checkpoints import SHAPE, some

# Saves step 1, and is killed while it saves step 2.
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


def test_simple(checkpoints):
    saved = some(7)
    path = checkpoints.save(saved)
    assert path == checkpoints.folder / "step-000000000007.npz"
    found, complaints = checkpoints.newest()
    assert (found.step, found.header, found.earlier, found.state, complaints) == (7, saved.header, (), {}, [])
    assert found.weights.shape == SHAPE
    assert found.weights.sha256() == saved.weights.sha256()
    assert [p.name for p in checkpoints.folder.iterdir()] == [path.name]


def test_empty_folder(checkpoints, tmp_path):
    assert checkpoints.newest() == (None, [])
    (tmp_path / "checkpoints").mkdir()
    assert checkpoints.newest() == (None, [])


def test_newest_three(checkpoints):
    for step in (0, 5, 10, 1_000, 999_999_999_999):
        checkpoints.save(some(step))
    assert [path.stem for path in checkpoints.paths()] == [
        "step-999999999999",
        "step-000000001000",
        "step-000000000010",
    ]
    assert sorted(checkpoints.folder.iterdir()) == checkpoints.paths()[::-1]
    assert checkpoints.newest()[0].step == 999_999_999_999


def test_foreign_files(checkpoints):
    checkpoints.save(some(1))
    others = [checkpoints.folder / name for name in ("notes.txt", "step-5.npz", "step-000000000002.npz.bak", "x.npz")]
    for path in others:
        path.write_text("mine")
    for step in (2, 3, 4):
        checkpoints.save(some(step))
    assert [path.read_text() for path in others] == ["mine"] * 4
    assert checkpoints.newest()[0].step == 4


def test_killed_process(checkpoints):
    command = [sys.executable, "-c", SAVE, str(checkpoints.folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    found, complaints = checkpoints.newest()
    assert (found.step, complaints) == (1, [])
    assert len([*checkpoints.folder.iterdir()]) == 2
    checkpoints.save(some(2))
    assert checkpoints.newest()[0].step == 2


@pytest.mark.parametrize("step", [1, 2])
def test_full_disk(checkpoints, monkeypatch, step):
    path = checkpoints.save(some(1))
    before = path.read_bytes()
    monkeypatch.setattr(os, "fsync", mock.Mock(side_effect=OSError(errno.ENOSPC, "No space left on device")))
    with pytest.raises(OSError, match="No space left") as caught:
        checkpoints.save(some(step))
    assert Path(caught.value.filename) == checkpoints.folder / f"step-{step:012d}.npz"
    assert [*checkpoints.folder.iterdir()] == [path]
    assert path.read_bytes() == before


@pytest.mark.parametrize("damage", ["empty", "truncated", "flipped", "text", "folder"])
def test_damaged_newest(checkpoints, damage):
    checkpoints.save(some(1))
    path = checkpoints.save(some(2))
    good = path.read_bytes()
    match damage:
        case "empty":
            path.write_bytes(b"")
        case "truncated":
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
    assert str(path) in complaint


def test_all_damaged(checkpoints):
    paths = [checkpoints.save(some(step)) for step in (1, 2, 3)]
    for path in paths:
        path.write_text("hello")
    found, complaints = checkpoints.newest()
    assert found is None
    assert len(complaints) == 3
    assert all(str(path) in complaint for path, complaint in zip(paths[::-1], complaints, strict=True))
