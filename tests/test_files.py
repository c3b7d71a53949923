"""Files that are there whole or not at all: after an exception, a kill, and a full disk."""

import errno
import os
import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from ddmlp.files import LOCK, locked, naming, sync_folder, whole_file, write_whole

KILLED = """
import os, signal, sys
from pathlib import Path
from ddmlp.files import whole_file
with whole_file(Path(sys.argv[1])) as file:
    file.write(b"new" * 100_000)
    file.flush()
    os.kill(os.getpid(), signal.SIGKILL)
"""
FULL = """
import resource, sys
from pathlib import Path
from ddmlp.files import write_whole
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, 1_000))
try:
    write_whole(Path(sys.argv[1]), "new" * 100_000)
except OSError as error:
    print(f"{error.filename}: {error.strerror}")
"""

HOLDING = """
import os, signal, sys
from pathlib import Path
from ddmlp.files import locked
with locked(Path(sys.argv[1])) as ours:
    print(ours, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_simple(tmp_path):
    path = tmp_path / "file"
    with whole_file(path) as file:
        file.write(b"one")
        assert not path.exists()
    assert path.read_bytes() == b"one"
    write_whole(path, "zwö")
    assert path.read_bytes() == "zwö".encode()
    assert names(tmp_path) == ["file"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_an_exception_leaves_the_old_file(tmp_path, error):
    path = tmp_path / "file"
    path.write_text("old")
    with ExitStack() as stack:
        stack.enter_context(pytest.raises(error))
        stack.enter_context(whole_file(path)).write(b"new")
        raise error
    assert path.read_text() == "old"
    assert names(tmp_path) == ["file"]


def test_an_exception_leaves_nothing(tmp_path):
    with ExitStack() as stack:
        stack.enter_context(pytest.raises(ZeroDivisionError))
        stack.enter_context(whole_file(tmp_path / "file")).write(b"new")
        raise ZeroDivisionError
    assert names(tmp_path) == []


def test_the_old_file_stays_until_the_end(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    with whole_file(path) as file:
        file.write(b"new")
        file.flush()
        assert path.read_text() == "old"
    assert path.read_text() == "new"


@pytest.mark.parametrize("old", ["old", None])
def test_a_kill_leaves_the_old_file(tmp_path, old):
    path = tmp_path / "file"
    if old is not None:
        path.write_text(old)
    done = subprocess.run([sys.executable, "-c", KILLED, str(path)], capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert [name for name in names(tmp_path) if name.endswith(".tmp")] != []
    assert (path.read_text() if path.exists() else None) == old
    write_whole(path, "next")
    assert path.read_text() == "next"


def test_a_full_disk_leaves_what_was_there(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    done = subprocess.run([sys.executable, "-c", FULL, str(path)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, f"{path}: File too large\n"), done.stderr
    assert path.read_text() == "old"
    assert names(tmp_path) == ["file"]


def test_an_error_names_its_file(tmp_path):
    path = tmp_path / "file"
    with pytest.raises(OSError, match="No space left") as caught, naming(path):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, str(path))
    with pytest.raises(FileNotFoundError) as missing, naming(path):
        (tmp_path / "nowhere" / "other").open()
    assert missing.value.filename == str(tmp_path / "nowhere" / "other"), "who has a name keeps it"
    with pytest.raises(OSError, match=r"^words$") as other, naming(path):
        raise OSError("words")
    assert other.value.filename is None
    with pytest.raises(ZeroDivisionError), naming(path):
        raise ZeroDivisionError
    with naming(path):
        pass


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError) as caught:
        write_whole(tmp_path / "nowhere" / "file", "text")
    assert str(tmp_path / "nowhere") in str(caught.value)


def test_the_temporary_name_is_not_shown(tmp_path):
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "missing" / "file", tmp_path / "folder"):
        with pytest.raises(OSError, match=f"'{path}'") as caught:
            write_whole(path, "text")
        assert caught.value.filename == str(path)


def test_a_folder_at_the_path_is_not_replaced(tmp_path):
    (tmp_path / "file").mkdir()
    with pytest.raises(IsADirectoryError):
        write_whole(tmp_path / "file", "text")
    assert names(tmp_path) == ["file"]


@pytest.mark.skipif(sys.platform != "linux", reason="/proc/self/fd is Linux's")
def test_sync_folder(tmp_path):
    before = len([*Path("/proc/self/fd").iterdir()])
    sync_folder(tmp_path)
    assert len([*Path("/proc/self/fd").iterdir()]) == before
    with pytest.raises(FileNotFoundError):
        sync_folder(tmp_path / "nowhere")


def test_a_folder_is_held_once(tmp_path):
    with locked(tmp_path) as first:
        assert names(tmp_path) == [LOCK]
        with locked(tmp_path) as second:
            assert (first, second) == (True, False)
        assert names(tmp_path) == [LOCK], "the one that was refused leaves the other's lock alone"
    assert names(tmp_path) == []
    with ExitStack() as stack:
        stack.enter_context(pytest.raises(ZeroDivisionError))
        assert stack.enter_context(locked(tmp_path))
        raise ZeroDivisionError
    assert names(tmp_path) == []


def test_the_dead_hold_nothing(tmp_path):
    done = subprocess.run([sys.executable, "-c", HOLDING, str(tmp_path)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (-signal.SIGKILL, "True\n"), done.stderr
    assert names(tmp_path) == [LOCK]
    with locked(tmp_path) as ours:
        assert ours
    assert names(tmp_path) == []
