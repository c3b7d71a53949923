"""Rows on web servers and in stores: copied while they are read, within bounds, without secrets in messages."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.request import Request, urlopen

import pytest
from pyarrow import parquet

from ddmlp.data import remote
from ddmlp.data.convert import convert
from ddmlp.data.manifest import Manifest
from ddmlp.data.remote import copied
from ddmlp.data.sources.in_memory import RowsInMemory
from ddmlp.data.sources.registry import finite_parts, is_finite
from ddmlp.data.store import Store
from ddmlp.errors import ConfigError, DatasetError, DownloadError, StoreError
from tests.support.mirrors import mirror_of
from tests.support.s3 import ENVIRONMENT, s3_server
from tests.support.source_files import WRITTEN, hugging_face, some_rows

HASHES = ("weights_sha256", "dataset_sha256")
PARTS = {"train": some_rows(30), "test": some_rows(20, seed=1)}


def fingerprints(folder: Path) -> list[str]:
    return [Manifest.read(folder / part).sha256() for part in PARTS]


@pytest.fixture
def expected(tmp_path: Path) -> list[str]:
    convert({tmp_path / "expected" / part: RowsInMemory(*rows) for part, rows in PARTS.items()}, classes=10)
    return fingerprints(tmp_path / "expected")


@pytest.fixture
def content(tmp_path: Path) -> bytes:
    WRITTEN["npz"](tmp_path, PARTS)
    return (tmp_path / "mnist.npz").read_bytes()


@pytest.mark.parametrize("behaviour", ["whole", "no_length"])
def test_simple(tmp_path, temporary, content, expected, behaviour):
    with mirror_of({"mnist.npz": content}) as mirror:
        uri = f"{mirror.url(behaviour)}mnist.npz?token=hush"
        assert is_finite(uri)
        with finite_parts(uri) as parts:
            convert({tmp_path / "train": parts.train, tmp_path / "test": parts.test})
    assert fingerprints(tmp_path) == expected
    assert [*temporary.iterdir()] == [], "the copy is gone"


@pytest.mark.parametrize(
    ("behaviour", "words"),
    [
        ("missing", ["404"]),
        ("drop", ["broke off after 300 of"]),
        ("boast", ["1,099,511,627,776 bytes"]),
        ("endless", ["4,000,000", "TMPDIR"]),
    ],
)
def test_bad_servers(temporary, content, behaviour, words, monkeypatch):
    if behaviour == "endless":
        free = remote.shutil.disk_usage("/")._replace(free=remote.SPARE_BYTES + 4_000_000)
        monkeypatch.setattr(remote.shutil, "disk_usage", lambda _: free)
    with (
        mirror_of({"mnist.npz": content}) as mirror,
        pytest.raises(DownloadError) as caught,
        copied(f"{mirror.url(behaviour)}mnist.npz?token=hush"),
    ):
        pass
    assert [word for word in [f"{mirror.url(behaviour)}mnist.npz", *words] if word not in str(caught.value)] == []
    assert "hush" not in str(caught.value)
    assert [*temporary.iterdir()] == []


def test_no_server():
    with (
        pytest.raises(DownloadError, match=r"^http://127.0.0.1:1/x: cannot be downloaded \(Connection refused\)"),
        copied("http://127.0.0.1:1/x?hush"),
    ):
        pass


@pytest.mark.parametrize(
    "uri",
    [
        *(
            "http://hush@host/x",
            "https://name:hush@host/x",
            "http://",
            "http:///x",
            "http://[::1/x",
            "https://host/a b",
        ),
        *("s3://KEY:hush@bucket/one", "s3://bucket/one?secret_key=hush", "gs://hush@bucket/one"),
    ],
)
def test_bad_uris(uri):
    with pytest.raises(ConfigError) as caught, copied(uri):
        pass
    assert "hush" not in str(caught.value)


def test_errors_name_the_uri(content):
    """Not the copy, whose name means nothing to the user."""
    with (
        mirror_of({"mnist.npz": content[: len(content) // 2]}) as mirror,
        pytest.raises(DatasetError, match=r"http://[^?]*/whole/mnist.npz is damaged"),
        finite_parts(f"{mirror.url('whole')}mnist.npz?hush"),
    ):
        pass


def test_local_uri(tmp_path, content, expected):
    (tmp_path / "a b").mkdir()
    (tmp_path / "a b" / "mnist.npz").write_bytes(content)
    with finite_parts((tmp_path / "a b" / "mnist.npz").as_uri()) as parts:
        convert({tmp_path / "train": parts.train, tmp_path / "test": parts.test})
    assert fingerprints(tmp_path) == expected


def test_files_of_a_store(tmp_path):
    """A store lists its files with their folders; a file is a store, too."""
    for name in ("one/a", "one/b/c", "two"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    assert Store((tmp_path / "one").as_uri()).files() == [("a", 5), ("b/c", 7)]
    file = Store((tmp_path / "two").as_uri())
    assert file.files() == [("", 3)]
    with (tmp_path / "copy").open("wb") as copy:
        file.read("", copy)
    assert (tmp_path / "copy").read_text() == "two"


def test_no_room(tmp_path, monkeypatch):
    (tmp_path / "file").write_bytes(bytes(1_000))
    free = remote.shutil.disk_usage("/")._replace(free=remote.SPARE_BYTES + 999)
    monkeypatch.setattr(remote.shutil, "disk_usage", lambda _: free)
    with pytest.raises(StoreError, match=r"1,000 bytes, but .* 999"):
        remote._copy(Store((tmp_path / "file").as_uri()), tmp_path / "copy")


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    with s3_server() as address:
        yield address


def put(address: str, name: str, content: bytes) -> None:
    kind = {"Content-Type": "application/octet-stream"}  # else the server reads the content as that of a form
    urlopen(Request(f"http://{address}/bucket/{name}", content, kind, method="PUT"), timeout=30).close()


def command(*words: object, address: str) -> subprocess.CompletedProcess[str]:
    """Run ddmlp; in a process of its own, because the client of S3 keeps threads."""
    return subprocess.run(
        [sys.executable, "-m", "ddmlp", *map(str, words)],
        env={**os.environ, **ENVIRONMENT, "AWS_ENDPOINT_URL": f"http://{address}"},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


@pytest.mark.slow
def test_s3(s3, tmp_path, expected):
    """A folder of pictures, one of Parquet files, and a file, in a bucket."""
    (tmp_path / "files").mkdir()
    for kind, place in (("pictures", "files/pictures"), ("Parquet of Hugging Face", "files/tables")):
        (tmp_path / place).mkdir()
        WRITTEN[kind](tmp_path / place, PARTS)
    for path in (tmp_path / "files").rglob("*.*"):
        put(s3, path.relative_to(tmp_path / "files").as_posix(), path.read_bytes())
    for name in ("pictures", "tables"):
        done = command("convert", f"s3://bucket/{name}", tmp_path / name, address=s3)
        assert done.returncode == 0, done.stderr
        assert fingerprints(tmp_path / name) == expected
    done = command("convert", "s3://bucket/tables/test-00000-of-00001.parquet", tmp_path / "test", address=s3)
    assert done.returncode == 0, done.stderr
    assert Manifest.read(tmp_path / "test").sha256() == expected[1]


@pytest.mark.slow
def test_training_from_s3(s3, tmp_path):
    """The run has its rows, so that it can be verified although the bucket is gone."""
    parquet.write_table(hugging_face(PARTS["train"]), tmp_path / "some.parquet")
    put(s3, "some.parquet", (tmp_path / "some.parquet").read_bytes())
    run = tmp_path / "run"
    done = command(
        "train", "--data", "s3://bucket/some.parquet", "--run", run, "--epochs", 2, "--hidden", 4, address=s3
    )
    assert done.returncode == 0, done.stderr
    (tmp_path / "some.parquet").unlink()
    done = command("verify", run, address="127.0.0.1:1")
    assert (done.returncode, "verified" in done.stdout) == (0, True), done.stderr


@pytest.mark.slow
def test_dataset_in_s3(s3, tmp_path):
    """The run on a dataset in a bucket is that on the same dataset here."""
    convert({tmp_path / "data" / part: RowsInMemory(*rows) for part, rows in PARTS.items()}, classes=10)
    for path in (tmp_path / "data").rglob("*.*"):
        put(s3, f"whole/{path.relative_to(tmp_path / 'data')}", path.read_bytes())
    words = ["--epochs", 1, "--hidden", 4, "--batch", 7, "--no-report", "--quiet"]
    hashes = []
    for number, data in enumerate([tmp_path / "data", "s3://bucket/whole"]):
        done = command("train", "--data", data, "--run", tmp_path / f"run{number}", *words, address=s3)
        assert done.returncode == 0, done.stderr
        hashes.append([json.loads((tmp_path / f"run{number}" / "result.json").read_bytes())[name] for name in HASHES])
    assert hashes[0] == hashes[1]


@pytest.mark.slow
@pytest.mark.parametrize("place", ["s3://bucket/missing", "s3://no-such-bucket/x"])
def test_nothing_in_s3(s3, tmp_path, place):
    done = command("convert", place, tmp_path / "out", address=s3)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert place in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()
