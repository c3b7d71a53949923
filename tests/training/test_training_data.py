"""Training data that may grow: new rows are found and verified, and used ones released."""

import os
from pathlib import Path

import numpy as np
import pytest

from ddmlp.config import TrainConfig
from ddmlp.data.manifest import Manifest
from ddmlp.data.writer import DatasetWriter
from ddmlp.errors import DatasetError
from ddmlp.training import training_data as module
from ddmlp.training.job import Job
from ddmlp.training.training_data import TrainingData
from tests.support.helpers import Clock

CONFIG = TrainConfig(batch=10, epochs=1, lr_schedule="constant", follow=True)


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(module, "time", made)
    return made


@pytest.fixture
def job(tmp_path: Path) -> Job:
    """A job that follows a dataset of 25 rows in 3 shards."""
    publish(tmp_path / "train", 25)
    return Job(CONFIG, tmp_path, tmp_path / "run", workers=0, checkpoint_every=10)


def publish(path: Path, rows: int, *, end: bool = False, **options: bool) -> None:
    with DatasetWriter(path, (2, 2), 10, shard_rows=10, **(options or {"extend": True})) as writer:
        writer.append(np.zeros((rows, 2, 2), np.uint8), np.zeros(rows, np.uint8))
        if end:
            writer.end()


def damage(path: Path, shard: int) -> None:
    """Flip a bit of a pixel, which only the hash can detect."""
    file = path / Manifest.read(path).shards[shard].file
    content = bytearray(file.read_bytes())
    content[content.rindex(bytes(40))] ^= 1
    file.write_bytes(content)


def state(data: TrainingData) -> tuple[int, int, bool]:
    return data.plan.rows, data.plan.steps, data.plan.ended


def test_simple(job):
    data = TrainingData(job)
    assert state(data) == (25, 2, False)
    assert data.poll(0, 0.0), "there are steps already"
    publish(job.data / "train", 3)
    assert not data.poll(2, 0.0), "28 rows are 2 steps"
    assert state(data) == (28, 2, False)
    publish(job.data / "train", 4)
    assert data.poll(2, 0.0)
    assert state(data) == (32, 3, False)
    assert not data.poll(3, 0.0)
    publish(job.data / "train", 0, end=True)
    assert data.poll(3, 0.0)
    assert state(data) == (32, 4, True)
    assert data.poll(4, 0.0), "the end is news, too"
    data.close()


def test_not_followed(job):
    config = TrainConfig(batch=10, epochs=30)
    data = TrainingData(Job(config, job.data, job.run, workers=0, checkpoint_every=10))
    plan = data.plan
    assert (state(data), plan.steps_per_epoch) == ((25, 90, True), 3)
    publish(job.data / "train", 30)
    assert data.poll(90, 0.0)
    assert data.plan is plan
    data.close()


def test_idle(job, clock):
    data = TrainingData(job)
    clock.now += 50
    assert data.idle == 0.0, "nothing has checked for rows yet"
    assert not data.poll(2, 0.0)
    clock.now += 7
    assert data.idle == 7.0
    assert not data.poll(2, 0.0)
    assert data.idle == 7.0
    publish(job.data / "train", 1)
    assert not data.poll(2, 0.0)
    assert data.idle == 0.0, "a new row counts, even if it completes no step"
    clock.now += 3
    assert not data.poll(2, 0.0)
    clock.now += 3
    assert data.idle == 3.0
    data.close()


def test_waits_of_a_poll(job, clock):
    """A poll does not check more often than necessary, nor wait longer than allowed."""
    data = TrainingData(job)
    waits = []
    for seconds in (10.0, 10.0, 0.0, -1.0, module.POLL_SECONDS / 4, 10.0):
        before = clock.now
        data.poll(2, seconds)
        waits.append(clock.now - before)
    poll = module.POLL_SECONDS
    assert waits == pytest.approx([0, poll, 0, 0, poll / 4, poll])
    clock.now += 10
    before = clock.now
    data.poll(2, 10.0)
    assert clock.now == before
    data.close()


def test_new_shards_are_verified(job):
    data = TrainingData(job)
    assert data.wait_until_verified(60)
    publish(job.data / "train", 10)
    damage(job.data / "train", 3)
    data.poll(2, 0.0)
    with pytest.raises(DatasetError, match=r"00003-.*is damaged: its SHA-256"):
        data.wait_until_verified(60)
    data.close()


def test_shards_are_released(job):
    """Shards are released once the steps that read them are applied."""
    data = TrainingData(job)
    assert data.wait_until_verified(60)
    first = Manifest.read(job.data / "train").shards[0]
    data.poll(1, 0.0)
    os.truncate(job.data / "train" / first.file, 5)
    data.dataset.gather(np.array([10]))
    with pytest.raises(DatasetError, match=first.file):
        data.dataset.gather(np.array([9]))
    data.close()


def test_rewritten(job):
    data = TrainingData(job)
    publish(job.data / "train", 7, overwrite=True)
    with pytest.raises(DatasetError, match="was overwritten"):
        data.poll(2, 0.0)
    assert state(data) == (25, 2, False)
    data.close()
