"""Streams that were rewritten or damaged, between two sessions of a run or during one."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from ddmlp.data.dataset import Dataset
from ddmlp.data.manifest import Manifest
from ddmlp.data.writer import DatasetWriter
from ddmlp.errors import DatasetError, RunError
from ddmlp.nn.weights import Shape
from ddmlp.plan.plan import Plan
from ddmlp.training.audit import RecordedRun
from ddmlp.training.messages import Gradient
from ddmlp.training.setup import build_trainer
from ddmlp.training.worker import Worker
from tests.support.growing import ROWS, Stream, advance, finished
from tests.support.local_pool import LocalWorkerPool


def rewrite(stream: Stream, same: int, rows: int = ROWS) -> None:
    """Rewrite the dataset: the first `same` rows as they were, the others upside down."""
    pixels, labels = stream._digits
    with DatasetWriter(stream.path, (28, 28), 10, shard_rows=90, overwrite=True) as writer:
        writer.append(np.concatenate([pixels[:same], pixels[same:rows, ::-1]]), labels[:rows])


def test_rewritten_before_resume(stream: Stream):
    stream.publish(500)
    finished(build_trainer(replace(stream.job, idle_timeout=0)))
    for same, rows in [(0, ROWS), (180, ROWS), (449, ROWS), (180, 180)]:
        rewrite(stream, same, rows)
        with pytest.raises(RunError, match=r"6 shards .* step 8\b"):
            build_trainer(stream.job)


def test_verify_another_dataset(stream: Stream):
    """The identity of a stream covers only the form of its rows, so the shards are compared with those trained on."""
    stream.publish(500)
    stream.begin()
    finished(build_trainer(replace(stream.job, idle_timeout=0)))
    assert RecordedRun(stream.job.run).open_dataset(None).path == stream.path
    rewrite(stream, 180)
    with pytest.raises(RunError):
        RecordedRun(stream.job.run).open_dataset(None)


def test_unused_rows_may_differ(stream: Stream):
    stream.publish(500)
    trainer = build_trainer(replace(stream.job, stop_after=5))
    assert finished(trainer)["rows"] == 300
    rewrite(stream, 360)  # 4 shards
    assert build_trainer(stream.job).step == 5


def test_rewritten_during_run(stream: Stream):
    stream.publish(500)
    trainer = build_trainer(stream.job)
    advance(trainer, 8)
    rewrite(stream, 180)
    with pytest.raises(DatasetError, match="was overwritten"):
        finished(trainer)


class Late(LocalWorkerPool):
    """Calls a function just before step 8 is computed: the trainer has found the new rows, the worker has not."""

    happens: Callable[[], None]

    def next_result(self, timeout: float = 0.0) -> Gradient:
        if self._units and self._units[0].step == 8:
            self.happens()
        return super().next_result(timeout)


def test_worker_sees_shard_first(stream: Stream):
    def damaged() -> None:
        stream.publish(400)
        path = stream.path / Manifest.read(stream.path).shards[-3].file
        content = bytearray(path.read_bytes())
        content[-5_000] ^= 1  # a pixel: only the hash can detect it
        path.write_bytes(content)

    def connect(dataset: Dataset, plan: Plan, shape: Shape) -> Late:
        pool = Late(Worker(dataset, plan, shape))
        pool.happens = damaged
        return pool

    stream.publish(480)
    trainer = build_trainer(replace(stream.job, stop_after=15), connect)
    advance(trainer, 8)
    stream.publish(60)
    with pytest.raises(DatasetError, match="is damaged: its SHA-256"):
        finished(trainer)
    with pytest.raises(DatasetError, match="is damaged: its SHA-256"):
        Dataset(stream.path).verify()
