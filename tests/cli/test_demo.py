"""The command demo: its flags, what it needs, and that the page ends with it."""

import sys
from unittest import mock

import pytest

from ddmlp.cli import demo
from tests.support.helpers import inside


def complaint(*flags: object) -> str:
    done = inside(demo.main, *flags)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    return done.stderr


@pytest.mark.parametrize(
    ("flags", "fact"),
    [
        (["--workers", "0"], "0"),
        (["--kill", "0.1"], "0.1"),
        (["--kill", "--workers", "1"], "--workers|2 or more"),
        (["--seconds", "inf"], "inf"),
        (["--port", "99999"], "99999"),
        (["--data", "redis://host/digits"], "redis://host/digits"),
    ],
)
def test_bad_flags(flags, fact, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert any(each in complaint(*flags) for each in fact.split("|"))
    assert [*tmp_path.iterdir()] == []


def test_no_ps(tmp_path, monkeypatch):
    """Without it, no process is known to be a worker."""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "procps" in complaint("--kill", "--data", tmp_path)


def test_no_data(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = inside(demo.main)
    assert (done.returncode, done.stdout) == (2, "")
    assert "--data" in done.stderr
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize("missing", ["data", "test"])
def test_wrong_data(missing, data, tmp_path, monkeypatch):
    """Nothing is said of a page, or of workers."""
    monkeypatch.chdir(tmp_path)
    if missing == "test":
        (tmp_path / "digits").mkdir()
        (tmp_path / "digits" / "train").symlink_to(data / "train")
    done = inside(demo.main, "--data", "digits", "--port", "0")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "digits" in done.stderr
    assert not (tmp_path / "runs").exists()


def test_old_run(data, trained):
    done = inside(demo.main, "--data", data, "--run", trained, "--port", "0")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert str(trained) in done.stderr


@pytest.mark.parametrize("package", ["ray", "uvicorn"])
def test_missing_package(package, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = demo.require_package

    def missing(name: str, *more: str) -> None:
        found("no_such_package" if name == package else name, *more)

    monkeypatch.setattr(demo, "require_package", missing)
    with mock.patch.dict(sys.modules, {"uvicorn": None} if package == "uvicorn" else {}):
        said = complaint()
    assert "'ddmlp[ray,serve]'" in said  # all that is needed, at once
