"""Writers that fail: a new dataset leaves no files, and an old one stays unchanged."""

import errno
import os
from contextlib import ExitStack
from pathlib import Path
from unittest import mock

import pytest

from ddmlp.data.dataset import Dataset
from ddmlp.data.writer import DatasetWriter
from tests.support.datasets import content, listed, names, rows_of, write


def test_exception(tmp_path):
    with ExitStack() as stack:
        stack.enter_context(pytest.raises(ZeroDivisionError))
        writer = stack.enter_context(DatasetWriter(tmp_path / "data", (2, 2), 10, shard_rows=10))
        writer.append(*rows_of(25))
        assert len(names(tmp_path / "data")) == 2, "the lock and the staging folder"
        raise ZeroDivisionError
    assert names(tmp_path) == []


@pytest.mark.parametrize("made", [(), ("a",), ("a", "b")])
def test_exception_keeps_parents(tmp_path, made):
    (tmp_path / Path(*made)).mkdir(exist_ok=True, parents=True)
    with ExitStack() as stack:
        stack.enter_context(pytest.raises(ZeroDivisionError))
        writer = stack.enter_context(DatasetWriter(tmp_path / "a" / "b" / "data", (2, 2), 10))
        writer.append(*rows_of(25))
        assert (tmp_path / "a" / "b" / "data").is_dir()
        raise ZeroDivisionError
    assert [str(path.relative_to(tmp_path)) for path in sorted(tmp_path.rglob("*"))] == ["a", "a/b"][: len(made)]


def test_exception_keeps_files(tmp_path):
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
def test_error_while_publishing(tmp_path, monkeypatch, failing, overwrite):
    """One of four renames fails: three shards, then the manifest."""
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
def test_sync_error(tmp_path, monkeypatch, failing):
    """A shard is synced while the next one is written."""
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


def test_publish_after_failure(tmp_path, monkeypatch):
    """A failed shard prevents publication even if the caller ignores the error and the disk has room again."""
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


def test_exception_in_overwrite(tmp_path):
    write(tmp_path / "data")
    old = content(tmp_path / "data")
    with ExitStack() as stack:
        stack.enter_context(pytest.raises(KeyboardInterrupt))
        writer = stack.enter_context(DatasetWriter(tmp_path / "data", (2, 2), 10, overwrite=True))
        writer.append(*rows_of(5))
        raise KeyboardInterrupt
    assert content(tmp_path / "data") == old
    assert names(tmp_path) == ["data"]
