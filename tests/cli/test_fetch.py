"""The command fetch: what it says, where, and with which exit status; no test leaves this machine."""

import gzip
import hashlib
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from ddmlp.cli import fetch
from ddmlp.data import mnist
from tests.support.helpers import inside
from tests.support.mirrors import Mirror, mirror_of

FILES = {name: gzip.compress(name.encode()) for name in mnist.DATASETS["mnist"]}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Mirror]:
    monkeypatch.setenv("no_proxy", "*")
    digests = {name: hashlib.sha256(name.encode()).hexdigest() for name in FILES}
    for dataset in mnist.DATASETS:
        monkeypatch.setitem(mnist.DATASETS, dataset, digests)
    with mirror_of({**FILES, "wrong": b"?"}) as server:
        yield server


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_simple(server, tmp_path):
    out = tmp_path / "new" / "folder"
    done = inside(fetch.main, out, "--base-url", server.url("whole").rstrip("/"))
    assert (done.returncode, done.stderr) == (0, "")
    assert contents(out) == FILES
    assert done.stdout.splitlines() == [
        f"{out / name}: {len(FILES[name])} bytes from {server.url('whole')}{name}" for name in FILES
    ]
    done = inside(fetch.main, out, "--base-url", server.url("missing"))
    assert done.returncode == 0
    assert done.stdout.splitlines() == [f"{out / name}: already there" for name in FILES]
    assert len(server.requests) == 4


@pytest.mark.parametrize("dataset", ["mnist", "fashion-mnist"])
def test_the_mirrors_are_used(server, tmp_path, monkeypatch, dataset):
    monkeypatch.setitem(fetch.MIRRORS, dataset, [server.url("wrong"), server.url("whole")])
    done = inside(fetch.main, tmp_path, "--dataset", dataset)
    assert done.returncode == 0
    assert contents(tmp_path) == FILES
    lines = done.stderr.splitlines()
    assert [line.split(": ")[0] for line in lines] == [server.url("wrong") + name for name in FILES]
    assert all(line.endswith("; trying the next source") for line in lines)


def test_an_unreachable_port_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound and not listening: a connection is refused
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/"
        done = inside(fetch.main, tmp_path / "out", "--base-url", url)
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: {url}train-images-idx3-ubyte.gz: ")
    assert "(Connection refused)" in line
    assert "--base-url" in line


def test_a_base_url_that_is_none(tmp_path):
    done = inside(fetch.main, tmp_path / "out", "--base-url", "file:///etc/")
    assert (done.returncode, done.stdout) == (2, "")
    assert "--base-url: found file:///etc/, expected a URL with http:// or https://" in done.stderr
    assert contents(tmp_path) == {}
