"""Verification during training: every byte of every shard is compared, and errors name the shard."""

import os
import shutil
import sys
import threading
from pathlib import Path
from threading import Event

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ddmlp.data.dataset import Dataset
from ddmlp.data.integrity import LOWEST_PRIORITY, IntegrityChecker
from ddmlp.errors import DatasetError


@pytest.fixture
def copy(data: Path, tmp_path: Path) -> Path:
    """A copy of the datasets train/ and test/, to be damaged."""
    return shutil.copytree(data, tmp_path / "data")


def both(folder):
    return [Dataset(folder / "train"), Dataset(folder / "test")]


def shards(dataset):
    return [dataset.path / shard.file for shard in dataset.manifest.shards]


def flip(path, place):
    with path.open("r+b") as file:
        file.seek(place)
        byte = file.read(1)[0]
        file.seek(place)
        file.write(bytes([byte ^ 1]))


def verification_of(datasets):
    verification = IntegrityChecker()
    for dataset in datasets:
        verification.submit(dataset.verify)
    return verification


def refusal(verification):
    with pytest.raises(DatasetError) as caught:
        verification.wait()
    return str(caught.value)


def test_simple(data):
    verification = verification_of(both(data))
    assert verification.wait() is True
    assert verification.wait(0) is True
    assert verification_of([]).wait(0) is True


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(which=st.integers(0, 1), draw=st.data())
def test_flipped_bit(copy, which, draw):
    datasets = both(copy)
    path = draw.draw(st.sampled_from(shards(datasets[which])))
    place = draw.draw(st.integers(0, path.stat().st_size - 1))
    flip(path, place)
    try:
        assert refusal(verification_of(datasets)).startswith(f"{path} is damaged: its SHA-256 is ")
    finally:
        flip(path, place)
    assert verification_of(datasets).wait() is True


def test_error_on_every_wait(copy):
    datasets = both(copy)
    flip(shards(datasets[0])[-1], 1_000)
    verification = verification_of(datasets)
    assert refusal(verification) == refusal(verification)
    with pytest.raises(DatasetError):
        verification.wait(0)


def test_deleted_shard(copy):
    datasets = both(copy)
    path = shards(datasets[1])[0]
    path.unlink()
    assert refusal(verification_of(datasets)).startswith(f"{path} cannot be read: No such file")


@pytest.mark.parametrize("which", [0, 1])
def test_wait_with_timeout(data, which):
    gate = Event()

    class Slow(Dataset):
        def verify(self):
            gate.wait()
            super().verify()

    datasets = both(data)
    datasets[which] = Slow(datasets[which].path)
    verification = verification_of(datasets)
    try:
        assert [verification.wait(0) for _ in range(3)] == [False] * 3
        assert verification.wait(0.001) is False
    finally:
        gate.set()
    assert verification.wait() is True


@pytest.mark.skipif(sys.platform != "linux", reason="only on Linux a thread has its own priority")
def test_lowest_priority():
    found = []
    before = os.getpriority(os.PRIO_PROCESS, 0)
    verification = IntegrityChecker()
    verification.submit(lambda: found.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id())))
    assert verification.wait(10)
    verification.close()
    assert found == [LOWEST_PRIORITY]
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == before < LOWEST_PRIORITY
