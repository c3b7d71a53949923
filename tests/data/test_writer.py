"""Writing datasets: whole or not at all, whatever fails or is killed, and nothing of others is touched."""

import errno
import os
import shutil
import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from unittest import mock

import numpy as np
import pytest

from ddmlp.data import writer as module
from ddmlp.data.dataset import Dataset, file_sha256
from ddmlp.data.manifest import NAME
from ddmlp.data.shards import map_shard
from ddmlp.data.writer import DatasetWriter
from ddmlp.errors import DatasetError
from ddmlp.files import LOCK
from tests.support.datasets import content, listed, names, rows_of, shard, write

# For each number n: writes 25 rows of nines to a copy of the folder `before`, or to a new path where there is no such
# folder, and is killed just before the n-th time that it changes something in the file system. The last is not killed.
# Each copy's name is printed with what became of its writer.
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
        mine = event != "open" or str(arguments[0]).startswith(str(folder))  # not those of an import
        if event in changes and mine and next(seen) == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)
    with DatasetWriter(path, (2, 2), 10, shard_rows=10, overwrite=before.exists()) as writer:
        writer.append(np.full((25, 2, 2), 9, np.uint8), np.full(25, 9, np.uint8))

with tempfile.TemporaryDirectory() as warm, DatasetWriter(warm, (2, 2), 10) as writer:  # imports, once for all
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


def test_equal_rows_give_equal_bytes(tmp_path):
    pixels, labels = rows_of(25)
    for name, size in [("a", 1), ("b", 7), ("c", 25)]:
        with DatasetWriter(tmp_path / name, (2, 2), 10, shard_rows=10) as writer:
            for start in range(0, 25, size):
                writer.append(pixels[start : start + size], labels[start : start + size])
    assert content(tmp_path / "a") == content(tmp_path / "b") == content(tmp_path / "c")
    assert len(content(tmp_path / "a")) == 4


def test_a_record_batch_is_bounded(tmp_path, monkeypatch):
    assert module.BATCH_BYTES == 64 << 20
    for shape, rows in [((28, 28), 1_000), ((256, 256), 1_000), ((256, 512), 512), ((8_192, 8_193), 1)]:
        with ExitStack() as stack:
            stack.enter_context(pytest.raises(DatasetError, match="/data would have no rows"))
            assert stack.enter_context(DatasetWriter(tmp_path / "data", shape, 10)).batch_rows == rows
    monkeypatch.setattr(module, "BATCH_BYTES", 17)
    pixels, _ = write(tmp_path / "data")
    dataset = Dataset(tmp_path / "data")
    assert dataset.manifest.batch_rows == 4
    assert [len(block.labels) for block in map_shard(shard(dataset.path, 0), 10, (2, 2), 4).blocks] == [4, 4, 2]
    assert (dataset.gather(np.arange(25))[0] == pixels.reshape(25, 4)).all()


def test_finishing_publishes_nothing(tmp_path):
    pixels, labels = rows_of(25)
    with DatasetWriter(tmp_path / "data", (2, 2), 10, shard_rows=10) as writer:
        writer.append(pixels, labels)
        writer.finish()
        (staging,) = (tmp_path / "data").glob(".writing-*")
        assert [file_sha256(path)[:12] in path.name for path in staging.iterdir()] == [True] * 3
    assert (Dataset(tmp_path / "data").gather(np.arange(25))[1] == labels).all()


def test_an_exception_leaves_nothing(tmp_path):
    with ExitStack() as stack:
        stack.enter_context(pytest.raises(ZeroDivisionError))
        writer = stack.enter_context(DatasetWriter(tmp_path / "data", (2, 2), 10, shard_rows=10))
        writer.append(*rows_of(25))
        assert len(names(tmp_path / "data")) == 2, "the lock, and what is being written"
        raise ZeroDivisionError
    assert names(tmp_path) == []


@pytest.mark.parametrize("made", [(), ("a",), ("a", "b")])
def test_an_exception_leaves_folders_above(tmp_path, made):
    (tmp_path / Path(*made)).mkdir(exist_ok=True, parents=True)
    with ExitStack() as stack:
        stack.enter_context(pytest.raises(ZeroDivisionError))
        writer = stack.enter_context(DatasetWriter(tmp_path / "a" / "b" / "data", (2, 2), 10))
        writer.append(*rows_of(25))
        assert (tmp_path / "a" / "b" / "data").is_dir()
        raise ZeroDivisionError
    assert [str(path.relative_to(tmp_path)) for path in sorted(tmp_path.rglob("*"))] == ["a", "a/b"][: len(made)]


def test_an_exception_leaves_foreign_files(tmp_path):
    with ExitStack() as stack:
        stack.enter_context(pytest.raises(ZeroDivisionError))
        writer = stack.enter_context(DatasetWriter(tmp_path / "a" / "data", (2, 2), 10))
        writer.append(*rows_of(25))
        (tmp_path / "a" / "thesis.tex").write_text("words")
        raise ZeroDivisionError
    assert names(tmp_path / "a") == ["thesis.tex"]
    assert (tmp_path / "a" / "thesis.tex").read_text() == "words"


@pytest.mark.parametrize("failing", range(4))
@pytest.mark.parametrize("overwrite", [False, True])
def test_an_error_while_publishing(tmp_path, monkeypatch, failing, overwrite):
    """The three shards are moved into place, then the manifest."""
    if overwrite:
        write(tmp_path / "data", count=9)
    old = content(tmp_path / "data") if overwrite else {}
    moved, move = [], Path.replace

    def fail(path: Path, to: Path) -> Path:
        moved.append(to)
        if len(moved) > failing:
            raise OSError(errno.EIO, "Input/output error", str(to))
        return move(path, to)

    with ExitStack() as stack:
        stack.enter_context(pytest.raises(OSError, match="Input/output"))
        writer = DatasetWriter(tmp_path / "data", (2, 2), 10, shard_rows=10, overwrite=overwrite)
        stack.enter_context(writer)
        writer.append(*rows_of(25))
        monkeypatch.setattr(Path, "replace", fail)
    monkeypatch.undo()
    assert len(moved) == failing + 1
    if overwrite:
        Dataset(tmp_path / "data").verify()
        assert {name: (tmp_path / "data" / name).read_bytes() for name in old} == old
    else:
        assert names(tmp_path) == []
    write(tmp_path / "data", overwrite=overwrite)
    assert names(tmp_path / "data") == listed(tmp_path / "data")


@pytest.mark.parametrize("failing", range(3))
def test_a_shard_not_synced(tmp_path, monkeypatch, failing):
    """A shard is synced while the next is written."""
    write(tmp_path / "data", count=9)
    old = content(tmp_path / "data")
    synced, sync = [], os.fsync

    def fail(file: int) -> None:
        synced.append(file)
        if len(synced) > failing:
            raise OSError(errno.ENOSPC, "No space left on device")
        sync(file)

    with ExitStack() as stack:
        stack.enter_context(pytest.raises(OSError, match=rf"No space left.*{failing:05d}"))
        writer = stack.enter_context(DatasetWriter(tmp_path / "data", (2, 2), 10, shard_rows=10, overwrite=True))
        monkeypatch.setattr(os, "fsync", fail)
        writer.append(*rows_of(25))
    monkeypatch.undo()
    assert len(synced) > failing
    assert content(tmp_path / "data") == old
    assert names(tmp_path / "data") == listed(tmp_path / "data")


def test_nothing_is_published_after_a_failure(tmp_path, monkeypatch):
    """Even where the error is passed over, and there is room again."""
    with ExitStack() as stack:
        stack.enter_context(pytest.raises(OSError, match="No space left"))
        writer = stack.enter_context(DatasetWriter(tmp_path / "data", (2, 2), 10, shard_rows=10))
        writer.append(*rows_of(5))
        with monkeypatch.context() as full:
            full.setattr(os, "fsync", mock.Mock(side_effect=OSError(errno.ENOSPC, "No space left on device")))
            with pytest.raises(OSError, match="No space left"):
                writer.publish()
        writer.append(*rows_of(25))
    assert names(tmp_path) == []


def test_an_exception_while_overwriting(tmp_path):
    write(tmp_path / "data")
    old = content(tmp_path / "data")
    with ExitStack() as stack:
        stack.enter_context(pytest.raises(KeyboardInterrupt))
        writer = stack.enter_context(DatasetWriter(tmp_path / "data", (2, 2), 10, overwrite=True))
        writer.append(*rows_of(5))
        raise KeyboardInterrupt
    assert content(tmp_path / "data") == old
    assert names(tmp_path) == ["data"]


def test_no_rows_are_no_dataset(tmp_path):
    with (
        pytest.raises(DatasetError, match="/data would have no rows; expected at least one"),
        DatasetWriter(tmp_path / "data", (2, 2), 10) as writer,
    ):
        writer.append(*rows_of(0))
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("pixels", "labels", "found"),
    [
        (np.zeros((5, 3, 2), np.uint8), np.zeros(5, np.uint8), "uint8 (5, 3, 2) and labels uint8 (5,)"),
        (np.zeros((5, 1, 1), np.uint8), np.zeros(5, np.uint8), "uint8 (5, 1, 1) and labels uint8 (5,)"),
        (np.zeros((5, 4), np.uint8), np.zeros(5, np.uint8), "uint8 (5, 4) and labels uint8 (5,)"),
        (np.zeros((1, 2, 2), np.uint8), np.zeros(5, np.uint8), "uint8 (1, 2, 2) and labels uint8 (5,)"),
        (np.zeros((5, 2, 2), np.uint8), np.zeros((5, 1), np.uint8), "uint8 (5, 2, 2) and labels uint8 (5, 1)"),
        (np.zeros((5, 2, 2), np.float32), np.zeros(5, np.uint8), "float32 (5, 2, 2) and labels uint8 (5,)"),
        (np.zeros((5, 2, 2), np.int8), np.zeros(5, np.uint8), "int8 (5, 2, 2) and labels uint8 (5,)"),
        (np.zeros((5, 2, 2), np.uint8), np.zeros(5, np.int64), "uint8 (5, 2, 2) and labels int64 (5,)"),
    ],
)
def test_rows_of_another_shape_or_type(tmp_path, pixels, labels, found):
    with pytest.raises(DatasetError) as caught, DatasetWriter(tmp_path / "data", (2, 2), 10) as writer:
        writer.append(pixels, labels)
    assert str(caught.value) == (f"{tmp_path}/data: found pixels {found}, expected uint8 of (rows, 2, 2) and (rows,)")
    assert names(tmp_path) == []


def test_a_label_outside_the_classes(tmp_path):
    with pytest.raises(DatasetError) as caught, DatasetWriter(tmp_path / "data", (2, 2), 10) as writer:
        writer.append(rows_of(3)[0], np.array([9, 0, 10], np.uint8))
    assert str(caught.value) == f"{tmp_path}/data: found the label 10, expected 0 to 9"
    assert names(tmp_path) == []


def killed(before: Path, folder: Path) -> list[Path]:
    """Write and be killed, see WRITE; the datasets that the writers have left, in order."""
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


def test_a_kill_leaves_all_or_nothing(tmp_path):
    states = []
    for path in killed(tmp_path / "nothing", tmp_path / "out"):
        states.append((path / NAME).exists())
        if states[-1]:
            assert labels_in(path) == [9] * 25
        else:
            with pytest.raises(DatasetError, match=rf"/out/{path.name} is no dataset: it has no dataset\.json"):
                Dataset(path)
        labels = write(path, count=8, overwrite=states[-1])[1]
        assert labels_in(path) == labels.tolist()
        assert names(path) == listed(path)
    assert states == sorted(states), "once it is there, it is there"
    assert states.count(False) > 7
    assert states.count(True) >= 2


def test_a_kill_leaves_the_old_or_the_new(tmp_path):
    """Before anything that it opens to write, makes, renames or removes; of the renames alone there are seven."""
    old = write(tmp_path / "before")[1].tolist()
    (tmp_path / "before" / "notes.txt").write_text("somebody's")
    states = []
    for path in killed(tmp_path / "before", tmp_path / "out"):
        states.append(labels_in(path) == [9] * 25)
        assert states[-1] or labels_in(path) == old
        assert states[-1] or content(tmp_path / "before").items() <= content(path).items()
        labels = write(path, count=8, overwrite=True)[1]
        assert labels_in(path) == labels.tolist()
        assert names(path) == sorted([*listed(path), "notes.txt"])
        assert (path / "notes.txt").read_text() == "somebody's"
    assert states == sorted(states), "once it is the new one, it stays"
    assert states.count(False) > 7
    assert states.count(True) > 3, "the old shards are removed one by one, when the new manifest is there"


def leave(folder: Path) -> None:
    """What killed writers leave, one of this very process id among them: in a container, a restarted command has the
    process id that it had before."""
    (folder / ".writing-a1b2_c3d").mkdir(parents=True)
    (folder / ".writing-a1b2_c3d" / "shard").write_bytes(b"half a sha")
    (folder / "00000-0123456789ab.arrow").write_bytes(b"a shard that no manifest lists")
    (folder / f".{NAME}.{os.getpid()}.tmp").write_text("half a mani")
    (folder / f".{NAME}.1.tmp").write_text("half a mani")
    (folder / LOCK).touch()


def test_what_the_killed_left_is_removed(tmp_path):
    leave(tmp_path / "data")
    labels = write(tmp_path / "data")[1]
    assert labels_in(tmp_path / "data") == labels.tolist()
    assert names(tmp_path / "data") == listed(tmp_path / "data")
    leave(tmp_path / "data")
    labels = write(tmp_path / "data", count=8, overwrite=True)[1]
    assert labels_in(tmp_path / "data") == labels.tolist()
    assert names(tmp_path / "data") == listed(tmp_path / "data")


FOREIGN = [
    "notes.txt",
    "data.arrow",
    "00000.arrow",
    "00000-0123456789ab.arrow.bak",
    "00000-0123456789AB.arrow",
    ".hidden",
    "writing-a1b2c3d4",
    "dataset.json.bak",
    ".dataset.json.swp",  # an editor's, of whoever looks at the manifest
    ".writing-desk.txt",
]


@pytest.mark.parametrize("name", FOREIGN)
@pytest.mark.parametrize("folder", [False, True])
def test_foreign_files_stay(tmp_path, name, folder):
    place = tmp_path / "data" / name
    precious = place / "thesis.tex" if folder else place
    precious.parent.mkdir(parents=True)
    precious.write_text("words")
    leave(tmp_path / "data")
    with pytest.raises(DatasetError) as caught:
        write(tmp_path / "data", overwrite=True)
    assert str(caught.value) == f"{tmp_path}/data is there already and is no dataset: it is not overwritten"
    write(tmp_path / "other")
    shutil.copytree(tmp_path / "other", tmp_path / "data", dirs_exist_ok=True)
    write(tmp_path / "data", count=8, overwrite=True)
    assert precious.read_text() == "words"
    assert names(tmp_path / "data") == sorted([*listed(tmp_path / "data"), name])


def test_without_overwrite(tmp_path):
    write(tmp_path / "data")
    old = content(tmp_path / "data")
    with pytest.raises(DatasetError) as caught:
        DatasetWriter(tmp_path / "data", (2, 2), 10)
    says = "is there already; give --overwrite to replace it, or --append to add to it"
    assert str(caught.value) == f"{tmp_path}/data {says}"
    assert content(tmp_path / "data") == old
    assert names(tmp_path) == ["data"]


def test_overwrite(tmp_path):
    write(tmp_path / "data")
    old = content(tmp_path / "data")
    pixels, labels = rows_of(8, seed=1)
    with DatasetWriter(tmp_path / "data", (2, 2), 10, overwrite=True) as writer:
        writer.append(pixels, labels)
        assert content(tmp_path / "data") == old
    assert names(tmp_path) == ["data"]
    assert len(names(tmp_path / "data")) == 2
    assert names(tmp_path / "data") == listed(tmp_path / "data")
    assert (Dataset(tmp_path / "data").gather(np.arange(8))[1] == labels).all()


def test_overwrite_with_equal_data(tmp_path):
    write(tmp_path / "data")
    old = content(tmp_path / "data")
    write(tmp_path / "data", overwrite=True)
    assert content(tmp_path / "data") == old
    assert names(tmp_path / "data") == listed(tmp_path / "data")


def test_overwrite_refuses_other_folders(tmp_path):
    precious = tmp_path / "data" / "thesis.tex"
    precious.parent.mkdir()
    precious.write_text("words")
    for path in (precious.parent, precious):
        with pytest.raises(DatasetError) as caught:
            DatasetWriter(path, (2, 2), 10, overwrite=True)
        assert str(caught.value) == f"{path} is there already and is no dataset: it is not overwritten"
    assert precious.read_text() == "words"
    assert names(tmp_path) == ["data"]


def test_overwrite_through_a_symbolic_link(tmp_path):
    (tmp_path / "disk").mkdir()
    write(tmp_path / "disk" / "data")
    (tmp_path / "data").symlink_to(tmp_path / "disk" / "data")
    pixels, _ = write(tmp_path / "data", count=8, overwrite=True)
    assert (Dataset(tmp_path / "data").gather(np.arange(8))[0] == pixels.reshape(8, 4)).all()
    assert names(tmp_path) == ["data", "disk"]
    assert (tmp_path / "data").is_symlink()
    assert names(tmp_path / "disk") == ["data"]
    assert names(tmp_path / "disk" / "data") == listed(tmp_path / "data")
