"""Growing datasets: readers see complete shards only, and two writers exclude each other."""

import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ddmlp.data.dataset import Dataset
from ddmlp.data.manifest import Manifest
from ddmlp.data.writer import DatasetWriter
from ddmlp.errors import DatasetError
from tests.support.numbered import read, rows

# Publishes 7 rows, appends 5 more, prints "published", and waits to be killed.
GROW = """
import sys
import numpy as np
from ddmlp.data.writer import DatasetWriter
with DatasetWriter(sys.argv[1], (2, 2), 10, shard_rows=5, extend=True) as writer:
    writer.append(np.full((7, 2, 2), 7, np.uint8), np.full(7, 7, np.uint8))
    writer.publish()
    writer.append(np.full((5, 2, 2), 5, np.uint8), np.full(5, 5, np.uint8))
    print("published", flush=True)
    sys.stdin.read()
"""


def writer(path: Path, **options: object) -> DatasetWriter:
    return DatasetWriter(path, (2, 2), 10, **{"shard_rows": 5, "extend": True, **options})


def test_simple(tmp_path):
    for start, count in [(0, 12), (12, 3), (15, 20)]:
        with writer(tmp_path / "data") as growing:
            growing.append(*rows(count, start))
    assert read(tmp_path / "data") == (list(range(35)), [number % 10 for number in range(35)])
    assert [shard.rows for shard in Manifest.read(tmp_path / "data").shards] == [5, 5, 2, 3, 5, 5, 5, 5]


def test_class_names(tmp_path):
    names = tuple("abcdefghij")
    with writer(tmp_path / "data", class_names=names) as growing:
        growing.append(*rows(3, 0))
    for ours in (None, names):
        with writer(tmp_path / "data", class_names=ours) as growing:
            growing.append(*rows(3, 3))
        assert Manifest.read(tmp_path / "data").class_names == names
    for wrong in (names[::-1], names[1:], ("a",) * 10):
        with pytest.raises(DatasetError, match="class"):
            writer(tmp_path / "data", class_names=wrong)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(parts=st.lists(st.tuples(st.integers(1, 12), st.booleans()), min_size=1, max_size=6))
def test_round_trip(tmp_path_factory, parts):
    path, done = tmp_path_factory.mktemp("cut") / "data", 0
    with writer(path) as growing:
        for count, publish in parts:
            growing.append(*rows(count, done))
            done += count
            if publish:
                growing.publish()
                assert read(path)[0] == list(range(done))
    assert read(path)[0] == list(range(done))


def test_reader_keeps_its_rows(tmp_path):
    with writer(tmp_path / "data") as growing:
        growing.append(*rows(6))
        assert not (tmp_path / "data" / "dataset.json").exists()
        growing.publish()
        before = Dataset(tmp_path / "data")
        growing.append(*rows(6, 6))
        assert len(Dataset(tmp_path / "data")) == 6
        growing.publish()
        before.verify()
        assert (len(before), len(Dataset(tmp_path / "data"))) == (6, 12)


def test_concurrent_reader(tmp_path):
    """The reader repeatedly sees the first rows, without gaps, while shards are published."""
    path, over, seen = tmp_path / "data", threading.Event(), []
    with writer(path) as growing:
        growing.append(*rows(3))

    def watch() -> None:
        while not over.is_set():
            numbers = read(path)[0]
            assert numbers == [number % 256 for number in range(len(numbers))]
            seen.append(len(numbers))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        for start in range(3, 63, 6):
            with writer(path) as growing:
                growing.append(*rows(3, start))
                growing.publish()
                growing.append(*rows(3, start + 3))
    finally:
        over.set()
        thread.join()
    assert read(path)[0] == list(range(63))
    assert seen
    assert set(seen) <= set(range(3, 64, 3)), "the thread fails on anything else"
    assert sorted(seen) == seen


@pytest.mark.parametrize(("shape", "classes"), [((2, 3), 10), ((4, 1), 10), ((2, 2), 9), ((2, 2), 11)])
def test_other_form(tmp_path, shape, classes):
    with writer(tmp_path / "data") as growing:
        growing.append(*rows(3))
    kept = sorted(path.name for path in (tmp_path / "data").iterdir())
    with pytest.raises(DatasetError, match=r"data has images of \(2, 2\) in 10 classes; found"):
        DatasetWriter(tmp_path / "data", shape, classes, extend=True)
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == kept
    with writer(tmp_path / "data"):
        """The rejected writer has released the lock."""


def test_exception(tmp_path):
    def write() -> None:
        with writer(tmp_path / "data") as growing:
            growing.append(*rows(7))
            growing.publish()
            growing.append(*rows(9, 7))
            growing.append(np.zeros((1, 2, 2), np.uint8), np.full(1, 11, np.uint8))

    with pytest.raises(DatasetError, match="found the label 11"):
        write()
    assert read(tmp_path / "data")[0] == list(range(7))
    assert len(list((tmp_path / "data").iterdir())) == 3, "two shards and the manifest"


@pytest.mark.parametrize("options", [{"extend": True}, {"extend": False, "overwrite": True}])
def test_second_writer(tmp_path, options):
    path = tmp_path / "data"
    command = [sys.executable, "-c", GROW, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "published\n"
        with pytest.raises(DatasetError, match=r"data .*another process"):
            writer(path, **options)
        assert read(path)[0] == [7] * 7
        assert any(entry.name.startswith(".writing-") for entry in path.iterdir()), "the first writer continues"
        process.kill()
        assert process.wait() == -signal.SIGKILL
    with writer(path, **options) as growing:
        growing.append(*rows(2))
    assert read(path)[0] == ([7] * 7 if options["extend"] else []) + [0, 1]
    assert not any(entry.name.startswith(".writing-") for entry in path.iterdir()), (
        "the leftovers of the killed writer are removed"
    )


def test_complete_dataset(tmp_path):
    path = tmp_path / "data"
    with writer(path) as growing:
        growing.append(*rows(3))
        growing.publish()
        growing.end()
        assert not Manifest.read(path).ended, "only the next publication marks it"
        with pytest.raises(DatasetError, match=r"/data .*complete"):
            growing.append(*rows(1))
    assert Manifest.read(path).ended
    before = (path / "dataset.json").read_bytes()
    with pytest.raises(DatasetError, match=r"/data .*complete.*--overwrite"):
        writer(path)
    assert (path / "dataset.json").read_bytes() == before
    with writer(path, extend=False, overwrite=True) as other:
        other.append(*rows(2))
    assert not Manifest.read(path).ended
    with writer(path) as again:
        again.end()
    assert Manifest.read(path).ended, "no new row is needed"
    assert read(path)[0] == [0, 1]


def test_publish_nothing_new(tmp_path):
    manifest = tmp_path / "data" / "dataset.json"
    with writer(tmp_path / "data") as growing:
        with pytest.raises(DatasetError, match="no rows"):
            growing.publish()
        growing.append(*rows(3))
        growing.publish()
        before = manifest.stat()
        growing.publish()
        assert manifest.stat() == before
        growing.end()
        growing.publish()
        ended = manifest.stat()
        assert ended.st_ino != before.st_ino
        growing.publish()
    assert manifest.stat().st_ino == ended.st_ino
    with writer(tmp_path / "other") as growing:
        growing.append(*rows(3))
    before = (tmp_path / "other" / "dataset.json").stat()
    with writer(tmp_path / "other"):
        """Append no rows."""
    assert (tmp_path / "other" / "dataset.json").stat() == before


def test_leftovers_removed_once(tmp_path):
    """A file named like a shard counts as a leftover of a killed writer only at the first publication."""
    stale = tmp_path / "data" / "00099-0123456789ab.arrow"
    with writer(tmp_path / "data") as growing:
        for start in range(3):
            stale.touch()
            growing.append(*rows(1, start))
            growing.publish()
            assert stale.exists() == (start > 0)
    assert read(tmp_path / "data")[0] == [0, 1, 2]
