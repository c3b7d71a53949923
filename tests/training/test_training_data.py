"""The feed: rows that come are taken up, verified, and let go of; and how long there have been none."""

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
    """Flip a bit of a pixel: nothing but the hash tells."""
    file = path / Manifest.read(path).shards[shard].file
    content = bytearray(file.read_bytes())
    content[content.rindex(bytes(40))] ^= 1
    file.write_bytes(content)


def state(feed: TrainingData) -> tuple[int, int, bool]:
    return feed.plan.rows, feed.plan.steps, feed.plan.ended


def test_simple(job):
    feed = TrainingData(job)
    assert state(feed) == (25, 2, False)
    assert feed.look(0, 0.0), "there are steps already"
    publish(job.data / "train", 3)
    assert not feed.look(2, 0.0), "28 rows are 2 steps"
    assert state(feed) == (28, 2, False)
    publish(job.data / "train", 4)
    assert feed.look(2, 0.0)
    assert state(feed) == (32, 3, False)
    assert not feed.look(3, 0.0)
    publish(job.data / "train", 0, end=True)
    assert feed.look(3, 0.0)
    assert state(feed) == (32, 4, True)
    assert feed.look(4, 0.0), "the end is something to go on with"
    feed.close()


def test_a_dataset_that_is_not_followed_does_not_grow(job):
    config = TrainConfig(batch=10)
    feed = TrainingData(Job(config, job.data, job.run, workers=0, checkpoint_every=10))
    plan = feed.plan
    assert (state(feed), plan.steps_per_epoch) == ((25, 90, True), 3)
    publish(job.data / "train", 30)
    assert feed.look(90, 0.0)
    assert feed.plan is plan
    feed.close()


def test_idle_is_since_when_there_has_been_nothing_new(job, clock):
    feed = TrainingData(job)
    clock.now += 50
    assert feed.idle == 0.0, "nobody has looked"
    assert not feed.look(2, 0.0)
    clock.now += 7
    assert feed.idle == 7.0
    assert not feed.look(2, 0.0)
    assert feed.idle == 7.0
    publish(job.data / "train", 1)
    assert not feed.look(2, 0.0)
    assert feed.idle == 0.0, "a row is something new, even where it makes no step"
    clock.now += 3
    assert not feed.look(2, 0.0)
    clock.now += 3
    assert feed.idle == 3.0
    feed.close()


def test_it_does_not_look_more_often_than_it_must_nor_wait_longer_than_it_may(job, clock):
    feed = TrainingData(job)
    waits = []
    for seconds in (10.0, 10.0, 0.0, -1.0, module.POLL_SECONDS / 4, 10.0):
        before = clock.now
        feed.look(2, seconds)
        waits.append(clock.now - before)
    poll = module.POLL_SECONDS
    assert waits == pytest.approx([0, poll, 0, 0, poll / 4, poll])
    clock.now += 10
    before = clock.now
    feed.look(2, 10.0)
    assert clock.now == before
    feed.close()


def test_every_shard_is_verified_also_those_that_come(job):
    feed = TrainingData(job)
    assert feed.verified(60)
    publish(job.data / "train", 10)
    damage(job.data / "train", 3)
    feed.look(2, 0.0)
    with pytest.raises(DatasetError, match=r"00003-.*is damaged: its SHA-256"):
        feed.verified(60)
    feed.close()


def test_what_the_steps_before_have_read_is_let_go_of(job):
    feed = TrainingData(job)
    assert feed.verified(60)
    first = Manifest.read(job.data / "train").shards[0]
    feed.look(1, 0.0)
    os.truncate(job.data / "train" / first.file, 5)
    feed.dataset.gather(np.array([10]))
    with pytest.raises(DatasetError, match=first.file):
        feed.dataset.gather(np.array([9]))
    feed.close()


def test_a_dataset_that_is_written_anew_is_refused(job):
    feed = TrainingData(job)
    publish(job.data / "train", 7, overwrite=True)
    with pytest.raises(DatasetError, match="was overwritten"):
        feed.look(2, 0.0)
    assert state(feed) == (25, 2, False)
    feed.close()
