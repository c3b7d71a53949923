"""Downloads from a local HTTP server that can misbehave; no test needs a network."""

import gzip
import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from ddmlp.data import mnist
from ddmlp.data.idx import write_idx
from ddmlp.data.mnist import ATTEMPTS, DATASETS, MIRRORS, fetch_file, has_digest
from ddmlp.errors import DownloadError
from tests.support.mirrors import Mirror, mirror_of

NAME = "t10k-images-idx3-ubyte.gz"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("files")
    noise = np.random.default_rng(1).integers(0, 256, (1, 28, 28), np.uint8)
    write_idx(folder / NAME, noise, compress=True)
    write_idx(folder / "wrong", noise[::-1, ::-1], compress=True)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def server(files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> Iterator[Mirror]:
    monkeypatch.setenv("no_proxy", "*")
    with mirror_of(files) as server:
        yield server


@pytest.fixture
def digest(files: dict[str, bytes]) -> str:
    return hashlib.sha256(gzip.decompress(files[NAME])).hexdigest()


@pytest.fixture
def fetch(server: Mirror, digest: str, tmp_path: Path) -> Callable[..., tuple[str, list[str], list[tuple[int, int]]]]:
    """A function that fetches NAME into tmp_path from mirrors with the given behaviours.

    It returns the URL of the file, the failures reported, and the progress reported.
    """

    def fetch(*behaviours: str) -> tuple[str, list[str], list[tuple[int, int]]]:
        failures, progress = [], []
        mirrors = [server.url(behaviour) for behaviour in behaviours]
        url = fetch_file(tmp_path / NAME, digest, mirrors, lambda *now: progress.append(now), failures.append)
        return url, failures, progress

    return fetch


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_simple(server, digest, fetch, tmp_path):
    size = len(server.files[NAME])
    assert not has_digest(tmp_path / NAME, digest)
    assert fetch("whole") == (server.url("whole") + NAME, [], [(size, size)])
    assert contents(tmp_path) == {NAME: server.files[NAME]}
    assert has_digest(tmp_path / NAME, digest)
    assert not has_digest(tmp_path / NAME, "00")


def test_digests_and_mirrors():
    assert sorted(DATASETS) == sorted(MIRRORS) == ["fashion-mnist", "mnist"]
    pinned = [digest for digests in DATASETS.values() for digest in digests.values()]
    assert len(set(pinned)) == 8
    assert {len(bytes.fromhex(digest)) for digest in pinned} == {32}
    assert [len(mirrors) for mirrors in MIRRORS.values()] == [2, 2]


def test_other_compression(server, digest, tmp_path):
    (tmp_path / NAME).write_bytes(gzip.compress(gzip.decompress(server.files[NAME]), 1))
    assert (tmp_path / NAME).read_bytes() != server.files[NAME]
    assert has_digest(tmp_path / NAME, digest)


@pytest.mark.parametrize("behaviour", ["wrong", "missing", "damaged", "drop", "endless", "page"])
def test_failure_keeps_old_file(server, fetch, tmp_path, monkeypatch, behaviour):
    monkeypatch.setattr(mnist, "MAX_BYTES", 1 << 20)
    (tmp_path / NAME).write_bytes(server.files["wrong"])
    with pytest.raises(DownloadError):
        fetch(behaviour)
    assert contents(tmp_path) == {NAME: server.files["wrong"]}
    fetch("whole")
    assert contents(tmp_path) == {NAME: server.files[NAME]}


def test_no_content_length(server, fetch, tmp_path):
    _, _, progress = fetch("no_length")
    assert contents(tmp_path) == {NAME: server.files[NAME]}
    assert progress == [(len(server.files[NAME]), None)]


def test_retry(server, fetch, tmp_path):
    url, failures, _ = fetch("drop_twice")
    assert (url, failures) == (server.url("drop_twice") + NAME, [])
    assert len(server.requests) == ATTEMPTS == 3
    assert contents(tmp_path) == {NAME: server.files[NAME]}


def test_retries_are_bounded(server, fetch, tmp_path):
    with pytest.raises(DownloadError, match=r"/drop/.*: .* 3 attempts; .*--base-url"):
        fetch("drop")
    assert len(server.requests) == ATTEMPTS
    assert contents(tmp_path) == {}


@pytest.mark.parametrize(
    ("behaviour", "failure"),
    [
        ("missing", "found HTTP status 404 (Not Found), expected the file"),
        ("damaged", "found damaged gzip data (Compressed file ended before the end-of-stream marker was reached)"),
        ("wrong", "found the SHA-256 "),
        ("page", "found a web page (HTML), expected gzip data"),
    ],
)
def test_next_mirror(server, fetch, tmp_path, behaviour, failure):
    url, (reported,), _ = fetch(behaviour, "whole", "missing")
    assert url == server.url("whole") + NAME
    assert [request[0] for request in server.requests] == [behaviour, "whole"]
    assert contents(tmp_path) == {NAME: server.files[NAME]}
    assert reported.startswith(f"{server.url(behaviour)}{NAME}: {failure}")


def test_no_server(tmp_path):
    with pytest.raises(DownloadError, match=r"/a\.gz: cannot connect \(Connection refused\)"):
        fetch_file(tmp_path / "a.gz", "0" * 64, ["http://127.0.0.1:1"], lambda *_: None, lambda _: None)


def test_wrong_checksum(fetch, digest, tmp_path):
    expected = rf"/wrong/{NAME}: found the SHA-256 [0-9a-f]{{64}} .*, expected {digest}; .*--base-url"
    with pytest.raises(DownloadError, match=expected):
        fetch("wrong")
    assert contents(tmp_path) == {}


@pytest.mark.parametrize("behaviour", ["whole", "endless", "boast"])
def test_too_large(fetch, tmp_path, monkeypatch, behaviour):
    monkeypatch.setattr(mnist, "MAX_BYTES", 700)
    found = rf"/{behaviour}/{NAME}: found more than 700 bytes"
    with pytest.raises(DownloadError, match=found):
        fetch(behaviour)
    assert contents(tmp_path) == {}


def test_large_uncompressed(server, fetch, tmp_path, monkeypatch):
    monkeypatch.setattr(mnist, "MAX_BYTES", 2_000)
    monkeypatch.setitem(server.files, NAME, gzip.compress(bytes(100_000)))
    with pytest.raises(DownloadError, match="found more than 2,000 bytes when uncompressed"):
        fetch("whole")
    assert contents(tmp_path) == {}
