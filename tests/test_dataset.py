"""Datasets: round trips, damage, and that a dataset is there whole or not at all."""

import os
import shutil
import signal
import subprocess
import sys
import tracemalloc
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ddmlp.dataset import Dataset
from ddmlp.dataset_writer import DatasetWriter, file_sha256
from ddmlp.errors import DatasetError
from ddmlp.manifest import NAME
from ddmlp.shards import map_shard

# Writes 25 rows, and is killed at the rename of that number (-1: before the end of the block, 3: never).
WRITE = """
import os, signal, sys
import numpy as np
from ddmlp.dataset_writer import DatasetWriter

path, kill_at, overwrite = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "overwrite"
renames = 0

def count(event, arguments):
    global renames
    if event == "os.rename":
        if renames == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        renames += 1

with DatasetWriter(path, (2, 2), 10, shard_rows=10, overwrite=overwrite) as writer:
    writer.append(np.full((25, 2, 2), 9, np.uint8), np.full(25, 9, np.uint8))
    if kill_at < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(count)
print("published")
"""


def rows_of(count: int, shape: tuple[int, int] = (2, 2), seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    return random.integers(0, 256, (count, *shape), np.uint8), random.integers(0, 10, count, np.uint8)


def write(path: Path, count: int = 25, **options: object) -> tuple[np.ndarray, np.ndarray]:
    """A dataset of `count` rows in shards of 10; returns its rows."""
    pixels, labels = rows_of(count)
    with DatasetWriter(path, (2, 2), 10, **{"shard_rows": 10, **options}) as writer:
        writer.append(pixels, labels)
    return pixels, labels


def gather(dataset: Dataset, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    pixels = np.empty((len(rows), dataset.manifest.pixels), np.uint8)
    labels = np.empty(len(rows), np.uint8)
    dataset.gather(rows, pixels, labels)
    return pixels, labels


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_simple(tmp_path):
    pixels, labels = rows_of(25)
    with DatasetWriter(tmp_path / "data", (2, 2), 10, shard_rows=10) as writer:
        writer.append(pixels[:13], labels[:13])
        writer.append(pixels[13:], labels[13:])
        assert not (tmp_path / "data").exists()
    assert names(tmp_path) == ["data"]
    assert names(tmp_path / "data") == ["00000.arrow", "00001.arrow", "00002.arrow", NAME]
    dataset = Dataset(tmp_path / "data")
    dataset.verify()
    assert len(dataset) == 25
    assert [shard.rows for shard in dataset.manifest.shards] == [10, 10, 5]
    found = gather(dataset, np.array([24, 0, 9, 10, 10]))
    assert found[0].tolist() == pixels[[24, 0, 9, 10, 10]].reshape(5, 4).tolist()
    assert found[1].tolist() == labels[[24, 0, 9, 10, 10]].tolist()


@settings(deadline=None, max_examples=40)
@given(
    shape=st.tuples(st.integers(1, 6), st.integers(1, 6)),
    shard_rows=st.integers(1, 50),
    chunks=st.lists(st.integers(0, 40), min_size=1, max_size=6).filter(any),
    seed=st.integers(0, 2**32),
)
def test_any_rows_in_any_chunks_make_the_round_trip(tmp_path_factory, shape, shard_rows, chunks, seed):
    path = tmp_path_factory.mktemp("any") / "data"
    count = sum(chunks)
    pixels, labels = rows_of(count, shape, seed)
    with DatasetWriter(path, shape, 10, shard_rows=shard_rows) as writer:
        for end, size in zip(np.cumsum(chunks), chunks, strict=True):
            writer.append(pixels[end - size : end], labels[end - size : end])
    dataset = Dataset(path)
    dataset.verify()
    full, rest = divmod(count, shard_rows)
    assert [shard.rows for shard in dataset.manifest.shards] == [shard_rows] * full + [rest] * (rest > 0)
    rows = np.concatenate([np.arange(count), np.random.default_rng(seed).integers(0, count, 2 * count)])
    found = gather(dataset, rows)
    assert (found[0] == pixels[rows].reshape(len(rows), -1)).all()
    assert (found[1] == labels[rows]).all()


def test_rows_are_gathered_across_shards_and_record_batches(tmp_path):
    pixels, labels = rows_of(5_500)
    with DatasetWriter(tmp_path / "data", (2, 2), 10, shard_rows=2_500) as writer:
        writer.append(pixels, labels)
    dataset = Dataset(tmp_path / "data")
    assert [len(block.labels) for block in map_shard(dataset.path / "00000.arrow", 2_500, (2, 2), 1_000)] == [
        1_000,
        1_000,
        500,
    ]
    rows = np.array([0, 999, 1_000, 1_999, 2_000, 2_499, 2_500, 3_499, 3_500, 4_999, 5_000, 5_499, 0, 0])
    found = gather(dataset, rows)
    assert found[0].tolist() == pixels[rows].reshape(len(rows), 4).tolist()
    assert found[1].tolist() == labels[rows].tolist()


def test_the_bytes_do_not_depend_on_how_the_rows_were_appended(tmp_path):
    pixels, labels = rows_of(25)
    for name, size in [("a", 1), ("b", 7), ("c", 25)]:
        with DatasetWriter(tmp_path / name, (2, 2), 10, shard_rows=10) as writer:
            for start in range(0, 25, size):
                writer.append(pixels[start : start + size], labels[start : start + size])
    assert content(tmp_path / "a") == content(tmp_path / "b") == content(tmp_path / "c")


def test_verify_finds_every_flipped_bit_and_names_the_shard(tmp_path):
    write(tmp_path / "data")
    path = tmp_path / "data" / "00001.arrow"
    dataset = Dataset(tmp_path / "data")
    good = path.read_bytes()
    with path.open("r+b", buffering=0) as file:
        for at in range(len(good)):
            os.pwrite(file.fileno(), bytes([good[at] ^ 1 << at % 8]), at)
            with pytest.raises(DatasetError, match=r"/00001\.arrow is damaged: its SHA-256 is \w{16}\.\.\., expected"):
                dataset.verify()
            os.pwrite(file.fileno(), good[at : at + 1], at)
    dataset.verify()


def test_opening_or_verifying_finds_every_flipped_bit_and_names_the_shard(tmp_path):
    write(tmp_path / "data")
    path = tmp_path / "data" / "00001.arrow"
    good = path.read_bytes()
    for at in range(len(good)):
        path.write_bytes(good[:at] + bytes([good[at] ^ 1 << at % 8]) + good[at + 1 :])
        with pytest.raises(DatasetError, match=r"^\S+/00001\.arrow (is damaged: |has )"):
            Dataset(tmp_path / "data").verify()


def test_a_shard_of_another_size_is_refused_on_opening(tmp_path):
    write(tmp_path / "data")
    path = tmp_path / "data" / "00002.arrow"
    size = path.stat().st_size
    with path.open("ab") as file:
        file.write(b"x")
    with pytest.raises(DatasetError) as caught:
        Dataset(tmp_path / "data")
    assert str(caught.value) == f"{path} has {size + 1} bytes, expected {size}; convert the data again"


def test_verify_finds_a_shard_that_shrank_after_opening(tmp_path):
    write(tmp_path / "data")
    dataset = Dataset(tmp_path / "data")
    os.truncate(tmp_path / "data" / "00001.arrow", 100)
    with pytest.raises(DatasetError, match=r"/00001\.arrow has 100 bytes, expected \d+"):
        dataset.verify()


def test_a_missing_shard_is_named(tmp_path):
    write(tmp_path / "data")
    (tmp_path / "data" / "00001.arrow").unlink()
    with pytest.raises(DatasetError) as caught:
        Dataset(tmp_path / "data")
    path = tmp_path / "data" / "00001.arrow"
    assert str(caught.value) == f"{path} cannot be read: No such file or directory; the manifest lists it"


@pytest.mark.parametrize("key", ["rows", "batch_rows"])
def test_a_manifest_that_does_not_fit_its_shards_is_refused_on_opening(tmp_path, key):
    write(tmp_path / "data", count=10)
    manifest = tmp_path / "data" / NAME
    manifest.write_text(manifest.read_text().replace(f'"{key}": 10', f'"{key}": 7'))
    with pytest.raises(DatasetError, match=r"/00000\.arrow has 1 record batches of 10 rows in all, expected"):
        Dataset(tmp_path / "data")


def test_an_exception_leaves_nothing(tmp_path):
    with ExitStack() as stack:
        stack.enter_context(pytest.raises(ZeroDivisionError))
        writer = stack.enter_context(DatasetWriter(tmp_path / "data", (2, 2), 10, shard_rows=10))
        writer.append(*rows_of(25))
        assert len(names(tmp_path)) == 1
        raise ZeroDivisionError
    assert names(tmp_path) == []


def test_an_exception_leaves_the_old_dataset_under_overwrite(tmp_path):
    write(tmp_path / "data")
    old = content(tmp_path / "data")
    with ExitStack() as stack:
        stack.enter_context(pytest.raises(KeyboardInterrupt))
        writer = stack.enter_context(DatasetWriter(tmp_path / "data", (2, 2), 10, overwrite=True))
        writer.append(*rows_of(5))
        raise KeyboardInterrupt
    assert content(tmp_path / "data") == old
    assert names(tmp_path) == ["data"]


def test_no_rows_are_no_dataset(tmp_path):
    with (
        pytest.raises(DatasetError, match="/data would have no rows; expected at least one"),
        DatasetWriter(tmp_path / "data", (2, 2), 10) as writer,
    ):
        writer.append(*rows_of(0))
    assert names(tmp_path) == []


def test_rows_of_another_shape_are_not_taken(tmp_path):
    with (
        pytest.raises(ValueError, match="broadcast"),
        DatasetWriter(tmp_path / "data", (2, 2), 10) as writer,
    ):
        writer.append(*rows_of(5, (3, 2)))
    assert names(tmp_path) == []


def killed(path: Path, kill_at: int, overwrite: bool) -> int:
    how = "overwrite" if overwrite else "new"
    done = subprocess.run(
        [sys.executable, "-c", WRITE, str(path), str(kill_at), how], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) in [(-signal.SIGKILL, ""), (0, "published\n")], done.stderr
    return done.returncode


def test_a_killed_writer_leaves_nothing_at_the_path_and_nothing_in_the_way(tmp_path):
    assert killed(tmp_path / "data", -1, False) == -signal.SIGKILL
    assert not (tmp_path / "data").exists()
    assert len(names(tmp_path)) == 1
    pixels, _ = write(tmp_path / "data")
    assert (gather(Dataset(tmp_path / "data"), np.arange(25))[0] == pixels.reshape(25, 4)).all()


@pytest.mark.parametrize("kill_at", [-1, 0, 1, 2, 3])
def test_a_writer_killed_at_any_rename_leaves_the_old_dataset_or_the_new_one(tmp_path, kill_at):
    write(tmp_path / "data")
    old = content(tmp_path / "data")
    status = killed(tmp_path / "data", kill_at, True)
    assert status == (0 if kill_at == 3 else -signal.SIGKILL)
    Dataset(tmp_path / "data").verify()
    assert (content(tmp_path / "data") == old) == (kill_at < 3)


def test_a_killed_writer_of_the_same_process_id_is_not_in_the_way(tmp_path):
    """In a container, a restarted command has the process id that it had before."""
    left = tmp_path / f".data.{os.getpid()}.tmp"
    left.mkdir()
    (left / "00000.arrow").write_bytes(b"half a sha")
    write(tmp_path / "data")
    Dataset(tmp_path / "data").verify()
    assert names(tmp_path) == ["data"]


def test_what_is_there_is_not_replaced_without_overwrite(tmp_path):
    write(tmp_path / "data")
    old = content(tmp_path / "data")
    with pytest.raises(DatasetError) as caught:
        DatasetWriter(tmp_path / "data", (2, 2), 10)
    assert str(caught.value) == f"{tmp_path}/data is there already; give --overwrite to replace it"
    assert content(tmp_path / "data") == old
    assert names(tmp_path) == ["data"]


def test_overwrite_replaces_a_dataset_when_the_new_one_is_whole(tmp_path):
    write(tmp_path / "data")
    old = content(tmp_path / "data")
    pixels, labels = rows_of(8, seed=1)
    with DatasetWriter(tmp_path / "data", (2, 2), 10, overwrite=True) as writer:
        writer.append(pixels, labels)
        assert content(tmp_path / "data") == old
    assert names(tmp_path) == ["data"]
    assert names(tmp_path / "data") == ["00000.arrow", NAME]
    assert (gather(Dataset(tmp_path / "data"), np.arange(8))[1] == labels).all()


def test_overwrite_refuses_what_is_no_dataset(tmp_path):
    precious = tmp_path / "data" / "thesis.tex"
    precious.parent.mkdir()
    precious.write_text("words")
    for path in (precious.parent, precious):
        with pytest.raises(DatasetError) as caught:
            DatasetWriter(path, (2, 2), 10, overwrite=True)
        assert str(caught.value) == f"{path} is there already and is no dataset: it is not overwritten"
    assert precious.read_text() == "words"
    assert names(tmp_path) == ["data"]


def test_overwrite_through_a_symbolic_link_leaves_nothing_beside_it(tmp_path):
    (tmp_path / "disk").mkdir()
    write(tmp_path / "disk" / "data")
    (tmp_path / "data").symlink_to(tmp_path / "disk" / "data")
    pixels, _ = write(tmp_path / "data", count=8, overwrite=True)
    assert (gather(Dataset(tmp_path / "data"), np.arange(8))[0] == pixels.reshape(8, 4)).all()
    assert names(tmp_path) == ["data", "disk"]


def test_a_dataset_can_be_moved(tmp_path):
    pixels, _ = write(tmp_path / "data")
    shutil.move(tmp_path / "data", tmp_path / "moved")
    assert (gather(Dataset(tmp_path / "moved"), np.arange(25))[0] == pixels.reshape(25, 4)).all()


def test_reading_allocates_nothing_that_grows_with_the_dataset(tmp_path):
    pixels, labels = rows_of(20_000, (28, 28))
    with DatasetWriter(tmp_path / "data", (28, 28), 10) as writer:
        writer.append(pixels, labels)
    out, out_labels = np.empty((100, 784), np.uint8), np.empty(100, np.uint8)
    arrow = pa.total_allocated_bytes()
    tracemalloc.start()
    try:
        dataset = Dataset(tmp_path / "data")
        checked = 0
        for start in range(0, 20_000, 100):
            rows = np.arange(start, start + 100)
            dataset.gather(rows, out, out_labels)
            checked += int((out == pixels[rows].reshape(100, 784)).all())
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert checked == 200
    assert peak < pixels.nbytes / 20
    assert pa.total_allocated_bytes() == arrow


def test_the_sum_of_a_file_is_its_sha256(tmp_path):
    (tmp_path / "file").write_bytes(b"abc")
    assert file_sha256(tmp_path / "file") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
