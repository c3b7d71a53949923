"""Killed writers: readers see the complete new dataset or what was there before; leftovers are removed later."""

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ddmlp.data.dataset import Dataset
from ddmlp.data.manifest import NAME
from ddmlp.errors import DatasetError
from tests.support.datasets import content, leave, listed, names, write

# For n = 0, 1, ...: a child process writes 25 rows of nines to a copy of the folder `before`, or to a new path if that
# folder does not exist, and is killed just before its n-th change of the file system. The last child is not killed.
# Prints the path of each copy with the exit status of its writer.
WRITE = """
import itertools, os, shutil, signal, sys, tempfile
from pathlib import Path
import numpy as np
from ddmlp.data.writer import DatasetWriter

before, folder = Path(sys.argv[1]), Path(sys.argv[2])
changes = "open", "os.mkdir", "os.rename", "os.remove", "os.rmdir"

def write(path, kill_at):
    seen = itertools.count()

    def count(event, arguments):
        mine = event != "open" or str(arguments[0]).startswith(str(folder))  # not those of imports
        if event in changes and mine and next(seen) == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)
    with DatasetWriter(path, (2, 2), 10, shard_rows=10, overwrite=before.exists()) as writer:
        writer.append(np.full((25, 2, 2), 9, np.uint8), np.full(25, 9, np.uint8))

with tempfile.TemporaryDirectory() as warm, DatasetWriter(warm, (2, 2), 10) as writer:  # imports modules in the parent
    writer.append(np.zeros((1, 2, 2), np.uint8), np.zeros(1, np.uint8))

for number in itertools.count():
    path = folder / str(number)
    if before.exists():
        shutil.copytree(before, path)
    if (child := os.fork()) == 0:
        status = 1
        try:
            write(path, number)
            status = 0
        finally:
            os._exit(status)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    print(path, status)
    if status != -signal.SIGKILL:
        break
"""


def killed(before: Path, folder: Path) -> list[Path]:
    """Run WRITE; return the paths of the datasets, in the order of the kills."""
    folder.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", WRITE, str(before), str(folder)], capture_output=True, text=True, check=False
    )
    lines = [line.rsplit(" ", 1) for line in done.stdout.splitlines()]
    statuses = [int(status) for _, status in lines]
    assert statuses == [-signal.SIGKILL] * (len(lines) - 1) + [0], done.stderr
    return [Path(path) for path, _ in lines]


def labels_in(path: Path) -> list[int]:
    dataset = Dataset(path)
    dataset.verify()
    return dataset.gather(np.arange(len(dataset)))[1].tolist()


def test_new_dataset(tmp_path):
    states = []
    for path in killed(tmp_path / "nothing", tmp_path / "out"):
        states.append((path / NAME).exists())
        if states[-1]:
            assert labels_in(path) == [9] * 25
        else:
            with pytest.raises(DatasetError, match=rf"/out/{path.name} is not a dataset"):
                Dataset(path)
        labels = write(path, count=8, overwrite=states[-1])[1]
        assert labels_in(path) == labels.tolist()
        assert names(path) == listed(path)
    assert states == sorted(states), "later kills leave the new dataset, too"
    assert states.count(False) > 7
    assert states.count(True) >= 2


def test_overwritten_dataset(tmp_path):
    """Kills before each open, mkdir, rename and removal; the writer does seven renames."""
    old = write(tmp_path / "before")[1].tolist()
    (tmp_path / "before" / "notes.txt").write_text("notes")
    states = []
    for path in killed(tmp_path / "before", tmp_path / "out"):
        states.append(labels_in(path) == [9] * 25)
        assert states[-1] or labels_in(path) == old
        assert states[-1] or content(tmp_path / "before").items() <= content(path).items()
        labels = write(path, count=8, overwrite=True)[1]
        assert labels_in(path) == labels.tolist()
        assert names(path) == sorted([*listed(path), "notes.txt"])
        assert (path / "notes.txt").read_text() == "notes"
    assert states == sorted(states), "later kills leave the new dataset, too"
    assert states.count(False) > 7
    assert states.count(True) > 3, "old shards are removed one by one after the new manifest is written"


def test_leftovers_removed(tmp_path):
    leave(tmp_path / "data")
    labels = write(tmp_path / "data")[1]
    assert labels_in(tmp_path / "data") == labels.tolist()
    assert names(tmp_path / "data") == listed(tmp_path / "data")
    leave(tmp_path / "data")
    labels = write(tmp_path / "data", count=8, overwrite=True)[1]
    assert labels_in(tmp_path / "data") == labels.tolist()
    assert names(tmp_path / "data") == listed(tmp_path / "data")
