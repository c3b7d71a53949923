"""Downloads, from a real HTTP server that can misbehave; no test leaves this machine."""

import hashlib
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import pytest

from ddmlp.data.idx import read_idx, write_idx
from ddmlp.errors import ConfigError, DownloadError
from tools import fetch_mnist

NAME = "t10k-images-idx3-ubyte.gz"
DROP = 300  # bytes after which the server's "drop" breaks off
ROOT = Path(__file__).parents[2]


class Handler(BaseHTTPRequestHandler):
    """The first folder of the URL says how the server behaves, the rest names the file."""

    server: "Server"

    def do_GET(self) -> None:
        behaviour, name = self.path.strip("/").split("/")
        asked = self.headers.get("Range")
        self.server.requests.append((behaviour, name, asked))
        data = self.server.files[name]
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0
        try:
            BEHAVIOURS[behaviour](self, data, start)
        except ConnectionError:
            self.close_connection = True  # the client had enough, as it may

    def send(self, status: int, data: bytes, start: int = 0, total: int | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(data) if total is None else total - start))
        if status == 206:
            self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
        self.end_headers()
        self.wfile.write(data)

    def send_from(self, data: bytes, start: int, size: int | None = None) -> None:
        """What a good server does; with `size`, one whose connection breaks off after that many bytes."""
        if start >= len(data):
            self.send(416, b"")
        else:
            self.send(206 if start else 200, data[start:][:size], start, len(data))

    def send_without_length(self, data: bytes) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


BEHAVIOURS = {
    "whole": lambda handler, data, start: handler.send_from(data, start),
    "ignores_range": lambda handler, data, _: handler.send(200, data),
    "other_range": lambda handler, data, start: handler.send_from(data, start // 2),
    "drop": lambda handler, data, start: handler.send_from(data, start, DROP),
    "stall": lambda handler, data, start: handler.send_from(data, start, 0),
    "missing": lambda handler, *_: handler.send(404, b"no such file"),
    "wrong": lambda handler, _, start: handler.send_from(handler.server.files["wrong"], start),
    "damaged": lambda handler, data, start: handler.send_from(data[:-1], start),
    "no_length": lambda handler, data, _: handler.send_without_length(data),
    "endless": lambda handler, *_: handler.send_without_length(bytes(1 << 23)),
}


class Server(HTTPServer):
    def __init__(self, files: dict[str, bytes]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = files
        self.requests: list[tuple[str, str, str | None]] = []

    def url(self, behaviour: str) -> str:
        return f"http://127.0.0.1:{self.server_port}/{behaviour}/"


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("files")
    noise = np.random.default_rng(1).integers(0, 256, (1, 28, 28), np.uint8)
    write_idx(folder / NAME, noise, compress=True)
    write_idx(folder / "t10k-labels-idx1-ubyte.gz", np.uint8([7]), compress=True)
    write_idx(folder / "wrong", noise[::-1, ::-1], compress=True)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def server(files, monkeypatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "*")
    with Server(files) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def digests(files, tmp_path_factory) -> dict[str, str]:
    path = tmp_path_factory.mktemp("digests") / "file"
    digests = {}
    for name in (NAME, "t10k-labels-idx1-ubyte.gz"):
        path.write_bytes(files[name])
        array = read_idx(path)
        write_idx(path, array)
        digests[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return digests


@pytest.fixture
def fetch(server, digests, tmp_path):
    """Fetch the one file NAME into tmp_path, from the server's behaviours in this order."""

    def fetch(*behaviours: str, limit: int = 1 << 20) -> None:
        mirrors = [server.url(behaviour) for behaviour in behaviours]
        fetch_mnist.fetch_dataset(tmp_path, {NAME: digests[NAME]}, mirrors, limit=limit)

    return fetch


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_simple(server, digests, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(fetch_mnist.DATASETS, "mnist", digests)
    out = tmp_path / "new" / "folder"
    fetch_mnist.main([str(out), "--base-url", server.url("whole").rstrip("/")])
    assert contents(out) == {name: server.files[name] for name in digests}
    assert server.requests == [("whole", name, None) for name in digests]
    captured = capsys.readouterr()
    assert captured.err == ""
    assert captured.out.splitlines() == [
        f"{out / name}: {len(server.files[name]):,} bytes from {server.url('whole')}{name}" for name in digests
    ]


def test_the_mirrors_are_used_without_a_base_url(server, digests, tmp_path, monkeypatch):
    monkeypatch.setitem(fetch_mnist.DATASETS, "fashion-mnist", digests)
    monkeypatch.setitem(fetch_mnist.MIRRORS, "fashion-mnist", [server.url("whole")])
    fetch_mnist.main([str(tmp_path), "--dataset", "fashion-mnist"])
    assert contents(tmp_path) == {name: server.files[name] for name in digests}


def test_every_dataset_has_four_files_and_two_mirrors():
    assert sorted(fetch_mnist.DATASETS) == sorted(fetch_mnist.MIRRORS) == ["fashion-mnist", "mnist"]
    pinned = [digest for digests in fetch_mnist.DATASETS.values() for digest in digests.values()]
    assert len(set(pinned)) == 8
    assert {len(bytes.fromhex(digest)) for digest in pinned} == {32}
    assert [len(mirrors) for mirrors in fetch_mnist.MIRRORS.values()] == [2, 2]


def test_already_there_and_right_is_kept(server, fetch, tmp_path, capsys):
    (tmp_path / NAME).write_bytes(server.files[NAME])
    fetch("missing")
    assert server.requests == []
    assert capsys.readouterr().out == f"{tmp_path / NAME}: already there\n"


def test_already_there_and_wrong_is_replaced(server, fetch, tmp_path):
    (tmp_path / NAME).write_bytes(server.files["wrong"])
    fetch("whole")
    assert contents(tmp_path) == {NAME: server.files[NAME]}


@pytest.mark.parametrize("behaviour", ["wrong", "missing", "damaged"])
def test_already_there_and_wrong_is_left_when_nothing_better_comes(server, fetch, tmp_path, behaviour):
    (tmp_path / NAME).write_bytes(server.files["wrong"])
    with pytest.raises(DownloadError):
        fetch(behaviour)
    assert contents(tmp_path) == {NAME: server.files["wrong"]}


def test_a_server_that_does_not_say_how_long_the_file_is(server, fetch, tmp_path):
    fetch("no_length")
    assert contents(tmp_path) == {NAME: server.files[NAME]}


def test_resume(server, fetch, tmp_path):
    (tmp_path / f"{NAME}.part").write_bytes(server.files[NAME][:500])
    fetch("whole")
    assert server.requests == [("whole", NAME, "bytes=500-")]
    assert contents(tmp_path) == {NAME: server.files[NAME]}


@pytest.mark.parametrize("behaviour", ["ignores_range", "other_range"])
def test_resume_where_the_server_does_not_honour_the_range(server, fetch, tmp_path, behaviour):
    (tmp_path / f"{NAME}.part").write_bytes(server.files[NAME][:500])
    fetch(behaviour)
    assert server.requests[0] == (behaviour, NAME, "bytes=500-")
    assert contents(tmp_path) == {NAME: server.files[NAME]}


def test_progress_counts_the_part(server, digests, tmp_path):
    size = len(server.files[NAME])
    (tmp_path / f"{NAME}.part").write_bytes(server.files[NAME][:500])
    seen = []
    url = server.url("drop") + NAME
    fetch_mnist.fetch_from(url, tmp_path / NAME, digests[NAME], 1 << 20, lambda *now: seen.append(now))
    assert seen == [(min(end, size), size) for end in range(500 + DROP, size + DROP, DROP)]


def test_resume_of_a_part_that_is_the_whole_file(server, fetch, tmp_path):
    (tmp_path / f"{NAME}.part").write_bytes(server.files[NAME])
    fetch("whole")
    assert server.requests == [("whole", NAME, f"bytes={len(server.files[NAME])}-")]
    assert contents(tmp_path) == {NAME: server.files[NAME]}


@pytest.mark.parametrize("size", [500, 5000])
def test_a_part_of_another_file_is_thrown_away(server, fetch, tmp_path, size):
    (tmp_path / f"{NAME}.part").write_bytes(b"?" * size)
    fetch("whole")
    assert server.requests == [("whole", NAME, f"bytes={size}-"), ("whole", NAME, None)]
    assert contents(tmp_path) == {NAME: server.files[NAME]}


def test_a_connection_that_breaks_off_is_taken_up_again(server, fetch, tmp_path):
    size = len(server.files[NAME])
    assert DROP < size < fetch_mnist.ATTEMPTS * DROP, "or nothing breaks off, or too often"
    fetch("drop")
    ranges = [None] + [f"bytes={start}-" for start in range(DROP, size, DROP)]
    assert server.requests == [("drop", NAME, asked) for asked in ranges]
    assert contents(tmp_path) == {NAME: server.files[NAME]}


def test_a_connection_that_breaks_off_too_often(server, fetch, tmp_path):
    (tmp_path / f"{NAME}.part").write_bytes(server.files[NAME][:500])
    with pytest.raises(
        DownloadError, match=r"/stall/.*: the connection broke off, 5 attempts in all; .*\.part is kept"
    ):
        fetch("stall")
    assert len(server.requests) == fetch_mnist.ATTEMPTS
    assert contents(tmp_path) == {f"{NAME}.part": server.files[NAME][:500]}


@pytest.mark.parametrize(
    ("behaviour", "failure"),
    [
        ("missing", "found HTTP status 404 (Not Found), expected the file"),
        ("damaged", "found damaged gzip data (Compressed file ended before the end-of-stream marker was reached)"),
        ("wrong", "found the SHA-256 "),
    ],
)
def test_the_next_mirror_is_tried(server, fetch, tmp_path, capsys, behaviour, failure):
    fetch(behaviour, "whole", "missing")
    assert [request[0] for request in server.requests] == [behaviour, "whole"]
    assert contents(tmp_path) == {NAME: server.files[NAME]}
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"{server.url(behaviour)}{NAME}: {failure}")
    assert line.endswith("; trying the next source")


def test_a_wrong_checksum_is_an_error_and_removed(fetch, digests, tmp_path):
    expected = rf"/wrong/{NAME}: found the SHA-256 [0-9a-f]{{64}} of the uncompressed bytes, expected {digests[NAME]}; "
    with pytest.raises(DownloadError, match=expected + r"the download was removed; no source is left"):
        fetch("wrong")
    assert contents(tmp_path) == {}


@pytest.mark.parametrize("behaviour", ["whole", "endless"])
def test_a_file_that_is_too_large(fetch, tmp_path, behaviour):
    with pytest.raises(
        DownloadError, match=rf"/{behaviour}/{NAME}: found more than 700 bytes, expected a smaller file"
    ):
        fetch(behaviour, limit=700)
    assert contents(tmp_path) == {}


def test_a_file_that_is_too_large_when_uncompressed(server, tmp_path):
    write_idx(tmp_path / NAME, np.zeros(100_000, np.uint8), compress=True)
    server.files[NAME], old = (tmp_path / NAME).read_bytes(), server.files[NAME]
    try:
        with pytest.raises(DownloadError, match="found more than 2,000 bytes when uncompressed"):
            fetch_mnist.fetch_dataset(tmp_path, {NAME: "00"}, [server.url("whole")], limit=2000)
    finally:
        server.files[NAME] = old


def test_an_unreachable_port_gives_one_line_and_status_1(tmp_path):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound and not listening: a connection is refused
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/"
        done = subprocess.run(
            [sys.executable, "tools/fetch_mnist.py", tmp_path / "out", "--base-url", url],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), "no_proxy": "*"},
            capture_output=True,
            text=True,
            check=False,
        )
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: {url}train-images-idx3-ubyte.gz: no connection ([Errno ")
    assert line.endswith("no source is left: try again later, or name one by --base-url")


def test_a_base_url_that_is_none(tmp_path):
    with pytest.raises(ConfigError, match="--base-url: found file:///etc/, expected a URL with http:// or https://"):
        fetch_mnist.main([str(tmp_path / "out"), "--base-url", "file:///etc/"])
    assert contents(tmp_path) == {}
