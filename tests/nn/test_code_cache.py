"""The cache of compiled kernels: damage, its folder, and code that must not be run."""

import os
import resource
import shutil
import tempfile
from pathlib import Path

import pytest

from ddmlp.nn import code_cache
from tests.support.kernels import EYE, TOTAL, Kernels, X


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def fill(path: Path) -> None:
    path.write_bytes(b"garbage" * 1_000)


def make_folder(path: Path) -> None:
    path.unlink()
    (path / "more").mkdir(parents=True)


def make_file(path: Path) -> None:
    """Replace its folder by a file."""
    shutil.rmtree(path.parent)
    path.parent.write_text("no folder")


def swap(path: Path) -> None:
    """Replace it by another kernel's code."""
    (other,) = (each for each in path.parent.iterdir() if each != path)
    path.write_bytes(other.read_bytes())


def sealed(path: Path) -> None:
    """Replace it by a valid file without code."""
    code_cache.write(path, b"no code")


@pytest.mark.parametrize("damage", [truncate, flip, empty, fill, make_folder, make_file, swap, sealed, Path.unlink])
def test_damage(damage, package: Kernels):
    kernels = package.load()
    kernels.total(X, 5)
    kernels.mixed(kernels.Pair(X, EYE), X, 0.5)
    damage(package.code()[1])
    assert package.load().total(X, 5) == TOTAL
    assert package.announced
    assert package.load().total(X, 5) == TOTAL
    assert package.announced == [], "the file was not written again"


def test_full_disk(package: Kernels):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, before[1]))
    try:
        assert package.load().total(X, 5) == TOTAL
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert package.code() == []


def test_no_folder(package: Kernels, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DDMLP_CACHE", "/dev/null")
    for _ in range(2):
        assert package.load().total(X, 5) == TOTAL
        assert package.announced


def test_no_sources(tmp_path: Path):
    with pytest.raises(OSError, match=str(tmp_path)):
        code_cache.path(tmp_path, "total")


def test_old_code(package: Kernels, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(code_cache, "KEEP", 3)
    first = package.load()
    first.total(X, 5)
    (package.store / "other").mkdir()
    for number in range(4):
        with monkeypatch.context() as patch:
            patch.setenv("NUMBA_SETTING", str(number))
            package.load().total(X, 5)
        package.load().total(X, 5)
        assert package.announced == [], "code in use is kept"
    assert len(list(package.store.iterdir())) == 3 + 1
    assert (package.store / "other").exists()
    assert first.total(X, 5) == TOTAL


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o777])
def test_writable_by_others(mode, package: Kernels):
    package.load().total(X, 5)
    package.store.chmod(mode)
    assert package.load().total(X, 5) == TOTAL
    assert package.announced, "code was executed that other users could have written"


def test_replaceable_by_others(package: Kernels):
    package.load().total(X, 5)
    package.cache.chmod(0o777)
    assert package.load().total(X, 5) == TOTAL
    assert package.announced, "code was executed that other users could have written"


def test_folder_of_another_user(package: Kernels, monkeypatch: pytest.MonkeyPatch):
    assert code_cache.place() == package.store
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(OSError, match=str(package.cache)):
        code_cache.place()


def test_read_only(package: Kernels, monkeypatch: pytest.MonkeyPatch):
    assert code_cache.place() == package.store
    monkeypatch.setattr(os, "access", lambda path, mode: not (path == package.store and mode & os.W_OK))
    with pytest.raises(OSError, match=str(package.cache)):
        code_cache.place()


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"DDMLP_CACHE": "{}/a", "XDG_CACHE_HOME": "{}/b", "HOME": "{}/c"}, "a/kernels"),
        ({"XDG_CACHE_HOME": "{}/b", "HOME": "{}/c"}, "b/ddmlp/kernels"),
        ({"XDG_CACHE_HOME": "b"}, "d/ddmlp-{}/kernels"),
        ({"DDMLP_CACHE": "", "XDG_CACHE_HOME": "", "HOME": "{}/c"}, "c/.cache/ddmlp/kernels"),
        ({"HOME": "/dev/null"}, "d/ddmlp-{}/kernels"),
        ({"HOME": "nowhere"}, "d/ddmlp-{}/kernels"),
    ],
)
def test_place(variables, expected, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name in ("DDMLP_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value.format(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "d"))
    found = code_cache.place()
    assert found == tmp_path / expected.format(os.geteuid())
    assert found.stat().st_mode & 0o777 == 0o700
