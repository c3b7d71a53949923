"""The folder of the sockets: which folders are removed, and which never are."""

import os
import socket
import subprocess
import sys
from pathlib import Path
from threading import Barrier, Thread

import pytest

from ddmlp.errors import ClusterError
from ddmlp.ray_backend import socket_folder
from ddmlp.ray_backend.socket_folder import PREFIX, SocketFolder, wait_for_owner


def bind(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))


def left_behind(folder: Path, name: str = PREFIX + "left") -> Path:
    """A folder as a killed process leaves it."""
    path = folder / name
    path.mkdir(mode=0o700)
    bind(path / "server-1")
    return path


def test_simple(temporary: Path):
    folder = SocketFolder()
    assert folder.path.parent == temporary
    assert folder.path.stat().st_mode & 0o777 == 0o700
    bind(folder.path / "server-1")
    folder.remove()
    folder.remove()
    assert list(temporary.iterdir()) == []


def test_owner_is_dead(temporary: Path):
    (temporary / (PREFIX + "empty")).mkdir(mode=0o700)
    left = left_behind(temporary)
    folder = SocketFolder()
    assert list(temporary.iterdir()) == [folder.path]
    assert not left.exists()
    folder.remove()


def test_owner_is_alive(temporary: Path):
    script = (
        "import sys; from ddmlp.ray_backend.socket_folder import SocketFolder as S; s = S(); print(s.path); input()"
    )
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        theirs = Path(process.stdout.readline().strip())
        first, second = SocketFolder(), SocketFolder()
        assert set(temporary.iterdir()) == {theirs, first.path, second.path}
        process.kill()
    first.remove()
    SocketFolder().remove()
    assert list(temporary.iterdir()) == [second.path]
    second.remove()


@pytest.mark.usefixtures("temporary")
def test_wait_for_owner():
    folder = SocketFolder()
    (waiting := Thread(target=wait_for_owner, args=[folder.path])).start()
    waiting.join(0.05)
    assert waiting.is_alive()
    folder.remove()
    waiting.join()
    wait_for_owner(folder.path)


def test_other_folders_stay(temporary: Path):
    """The user's folders with a similar name: those with files, readable by others, or behind a link."""
    for name in ("ddmlp-results", PREFIX + "notes"):
        (temporary / name).mkdir(mode=0o700)
        (temporary / name / "lock").touch()
        (temporary / name / "thesis.tex").write_text("all of it")
    left_behind(temporary, PREFIX + "shared").chmod(0o755)
    (temporary / (PREFIX + "link")).symlink_to(left_behind(temporary, "elsewhere"))
    (temporary / (PREFIX + "file")).write_text("a file")
    before = sorted(temporary.rglob("*"))
    SocketFolder().remove()
    assert sorted(temporary.rglob("*")) == before


def test_other_users_folder_stays(temporary: Path, monkeypatch: pytest.MonkeyPatch):
    left = left_behind(temporary)
    monkeypatch.setattr(os, "getuid", lambda: left.stat().st_uid + 1)
    with pytest.raises(ClusterError, match=f"in {temporary}"):  # because new folders do not belong to that user either
        SocketFolder()
    assert (left / "server-1").exists()


def test_removed_before_lock(temporary: Path, monkeypatch: pytest.MonkeyPatch):
    """Another start removes the folder between its creation and its lock: a second one is made."""
    made: list[Path] = []
    flock = socket_folder.fcntl.flock

    def late(descriptor: int, operation: int) -> None:
        if not made:
            made.extend(temporary.iterdir())
            made[0].rmdir()
        flock(descriptor, operation)

    monkeypatch.setattr(socket_folder.fcntl, "flock", late)
    folder = SocketFolder()
    assert folder.path != made[0]
    assert list(temporary.iterdir()) == [folder.path]
    folder.remove()


def test_many_starts_at_once(temporary: Path):
    """No start removes a folder that another one uses."""
    together = Barrier(8)
    lost: list[Path] = []

    def start() -> None:
        together.wait()
        for _ in range(50):
            folder = SocketFolder()
            bind(folder.path / "server-1")
            if not (folder.path / "server-1").exists():
                lost.append(folder.path)
            folder.remove()

    threads = [Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert lost == []
    assert list(temporary.iterdir()) == []


def test_a_long_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    long = tmp_path / ("long" * 20)
    long.mkdir()
    monkeypatch.setenv("TMPDIR", str(long))
    folder = SocketFolder()
    bind(folder.path / "server-999999")
    folder.remove()
    assert list(long.iterdir()) == []
