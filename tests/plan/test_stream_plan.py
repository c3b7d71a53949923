"""Streams: each row trained on once, in the order in which it came, whoever publishes how much and when."""

import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ddmlp.cli import replay, verify
from ddmlp.config import TrainConfig
from ddmlp.data.dataset import Dataset
from ddmlp.data.manifest import Manifest
from ddmlp.data.writer import DatasetWriter
from ddmlp.errors import DatasetError, RunError
from ddmlp.plan.stream_plan import PERIOD_ROWS, StreamPlan
from ddmlp.runs.checkpoint import load_checkpoint
from ddmlp.runs.origin import Origin
from ddmlp.runs.run import Run
from ddmlp.training.job import Job
from ddmlp.training.local_pool import LocalWorkerPool
from ddmlp.training.messages import Gradient
from ddmlp.training.setup import local_trainer
from ddmlp.training.trainer import Trainer
from tests.support.helpers import inside, plain

CONFIG = TrainConfig(hidden=8, batch=60, microbatch=32, epochs=1, lr_schedule="constant", follow=True)
ROWS = 1_000  # 16 steps, and 40 rows at the end
PUBLICATIONS = [100, 1, 59, 300, 260, 7, 273]


def plan_of(rows: int, batch: int = 10, microbatch: int = 4, *, ended: bool = False) -> StreamPlan:
    return StreamPlan(rows, batch, microbatch, epochs=1, seed=0, block=10, window=50, ended=ended)


def rows_of(plan: StreamPlan, steps: Iterable[int]) -> list[list[int]]:
    """The rows of each microbatch."""
    return [plan.microbatch_rows(s, index).tolist() for s in steps for index in range(plan.microbatches(s))]


def test_simple():
    plan = plan_of(25)
    assert (plan.steps, plan.rows_before(2), plan.microbatches(1)) == (2, 20, 3)
    assert rows_of(plan, [1]) == [[10, 11, 12, 13], [14, 15, 16, 17], [18, 19]]
    ended = plan.on(25, ended=True)
    assert (ended.steps, ended.rows_before(3), ended.microbatches(2)) == (3, 25, 2)
    assert rows_of(ended, [2]) == [[20, 21, 22, 23], [24]]
    assert plan.on(31, ended=False).steps == 3
    assert plan.steps_per_epoch == PERIOD_ROWS // 10


@given(st.lists(st.integers(0, 40), min_size=1, max_size=8), st.integers(1, 30), st.integers(1, 40))
@example([5, 0, 5], 10, 4)
@example([7], 10, 4)
def test_however_the_rows_come_the_microbatches_are_those_of_all_at_once_each_row_once_in_order(
    come, batch, microbatch
):
    plan = plan_of(come[0], batch, microbatch)
    found = rows_of(plan, range(plan.steps))
    for total, last in [(sum(come[: n + 1]), n == len(come) - 1) for n in range(len(come))]:
        before, plan = plan, plan.on(total, ended=last)
        assert last or plan.steps == total // batch, "what does not fill a step waits for more, or for the end"
        found += rows_of(plan, range(before.steps, plan.steps))
    whole = plan_of(sum(come), batch, microbatch, ended=True)
    assert found == rows_of(whole, range(whole.steps))
    assert [row for rows in found for row in rows] == [*range(sum(come))]
    assert all(found)
    assert whole.rows_before(whole.steps) == sum(come)


@given(st.integers(1, 400), st.integers(1, 30), st.integers(1, 60))
def test_periods_are_what_epochs_are_elsewhere(rows, batch, period):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ddmlp.plan.stream_plan.PERIOD_ROWS", period)
        plan = plan_of(rows, batch, ended=True)
        assert 0 < plan.steps_per_epoch * batch <= max(period, batch)
        for step in range(plan.steps + 1):
            due = [part.tolist() for part in plan.epoch_rows(step)]
            begin, end = plan.span(plan.epoch(step))
            assert [row for part in due for row in part] == [*range(begin, plan.rows_before(step))]
            assert step % plan.steps_per_epoch or plan.rows_before(step) == begin
            assert begin <= plan.rows_before(step) <= end
        spans = [plan.span(epoch) for epoch in range(plan.epoch(plan.steps) + 1)]
        assert [begin for begin, _ in spans] == [0, *(end for _, end in spans[:-1])]
        assert spans[-1][1] == rows


@pytest.fixture(scope="module")
def digits(data: Path) -> tuple[np.ndarray, np.ndarray]:
    """The pixels and the labels of the first ROWS rows of the sample."""
    pixels, labels = Dataset(data / "train").gather(np.arange(ROWS))
    return pixels.reshape(-1, 28, 28), labels


class Stream:
    """A dataset that grows by what is asked for, and the job that follows it."""

    def __init__(self, folder: Path, digits: tuple[np.ndarray, np.ndarray], **config: Any) -> None:
        self.path, self._digits, self.rows = folder / "data" / "train", digits, 0
        (folder / "run").mkdir(parents=True)
        self.job = Job(replace(CONFIG, **config), folder / "data", folder / "run", workers=0, checkpoint_every=5)

    def publish(self, rows: int, *, end: bool = False, shard_rows: int = 90) -> None:
        with DatasetWriter(self.path, (28, 28), 10, shard_rows=shard_rows, extend=True) as writer:
            writer.append(*(part[self.rows : self.rows + rows] for part in self._digits))
            if end:
                writer.end()
        self.rows += rows

    def begin(self) -> None:
        """Make the folder of the run."""
        Run(self.job.run).create(Origin.from_manifest(self.job.config, self.job.data, Manifest.read(self.path)))

    def result(self) -> dict[str, Any]:
        """Train to the end of what there is, its end marked."""
        return finished(local_trainer(self.job))


def advance(trainer: Trainer, step: int) -> list[dict[str, Any]]:
    """Train up to a step, and look whether there is more; the events."""
    events = []
    while trainer.step < step or not trainer._data.idle:
        report = trainer.advance(0)
        assert report.result is None, "it ended"
        events += plain(report.events)
    return events


def finished(trainer: Trainer) -> dict[str, Any]:
    """Train to the end, and write the result."""
    try:
        while (report := trainer.advance(0)).result is None:
            pass
    finally:
        trainer.close()
    Run(trainer._job.run).write_result(report.result)
    found: dict[str, Any] = plain(report.result)
    return found


def grown(stream: Stream, publications: Iterable[int], **options: Any) -> dict[str, Any]:
    """Publish so many rows at a time, train on each as far as it goes, then mark the end."""
    trainer = None
    for rows in publications:
        stream.publish(rows, **options)
        trainer = trainer or local_trainer(stream.job)
        advance(trainer, stream.rows // CONFIG.batch)
    stream.publish(0, end=True)
    return finished(trainer)


@pytest.fixture
def stream(tmp_path: Path, digits: tuple[np.ndarray, np.ndarray]) -> Stream:
    return Stream(tmp_path, digits)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, digits: tuple[np.ndarray, np.ndarray]) -> dict[str, Any]:
    """The result of all rows at once."""
    stream = Stream(tmp_path_factory.mktemp("whole"), digits)
    stream.publish(ROWS, end=True)
    return stream.result()


def test_what_comes_bit_by_bit_is_trained_on_as_if_it_had_been_there_at_once(stream: Stream, whole: dict[str, Any]):
    assert (whole["steps"], whole["rows"], whole["finished"]) == (17, ROWS, True)
    found = grown(stream, PUBLICATIONS)
    for name in ("weights_sha256", "chain", "steps", "rows", "finished", "prequential", "staleness"):
        assert found[name] == whole[name], name


@pytest.mark.parametrize("shard_rows", [1_000, 61, 7])
def test_how_the_rows_are_cut_into_shards_shows_nowhere(shard_rows: int, stream: Stream, whole: dict[str, Any]):
    assert grown(stream, [500, 500], shard_rows=shard_rows)["weights_sha256"] == whole["weights_sha256"]


def test_with_a_delay_it_is_the_same(tmp_path: Path, digits: tuple[np.ndarray, np.ndarray], whole: dict[str, Any]):
    at_once, bit_by_bit = (Stream(tmp_path / name, digits, delay=3) for name in ("at once", "bit by bit"))
    at_once.publish(ROWS, end=True)
    expected = at_once.result()
    found = grown(bit_by_bit, PUBLICATIONS)
    assert found["weights_sha256"] == expected["weights_sha256"] != whole["weights_sha256"]


@pytest.mark.parametrize("first", [1, 5, 31])
def test_the_first_rows_may_be_fewer_than_a_microbatch(first: int, stream: Stream, whole: dict[str, Any]):
    assert grown(stream, [first, ROWS - first])["weights_sha256"] == whole["weights_sha256"]


def test_the_tail_is_trained_on_only_when_the_end_is_marked(stream: Stream, whole: dict[str, Any]):
    stream.publish(ROWS)
    trainer = local_trainer(stream.job)
    advance(trainer, 16)
    assert trainer.step == 16
    report = trainer.advance(0)
    assert (report.step, report.steps, report.rows, report.result) == (16, None, 960, None)
    stream.publish(0, end=True)
    assert finished(trainer)["weights_sha256"] == whole["weights_sha256"]


def test_a_stream_shorter_than_a_batch_is_one_step(stream: Stream):
    stream.publish(7, end=True)
    found = stream.result()
    assert (found["steps"], found["rows"], found["finished"]) == (1, 7, True)


def test_a_result_before_the_first_step_is_json(stream: Stream):
    stream.publish(7)
    found = finished(local_trainer(replace(stream.job, idle_timeout=0)))
    assert (found["steps"], found["rows"], found["finished"]) == (0, 0, False)
    assert json.loads(json.dumps(found, allow_nan=False)) is not None


@pytest.mark.parametrize("rows", [960, 1_000])
def test_without_new_rows_it_ends_with_a_checkpoint_and_goes_on_at_the_next_row(
    rows: int, stream: Stream, whole: dict[str, Any]
):
    stream.publish(rows)
    found = finished(local_trainer(replace(stream.job, idle_timeout=0)))
    assert (found["steps"], found["rows"], found["finished"]) == (16, 960, False)
    checkpoint = load_checkpoint(Run(stream.job.run).checkpoints.paths()[0])
    assert (checkpoint.step, checkpoint.weights.sha256()) == (16, found["weights_sha256"])
    assert found["weights_sha256"] != whole["weights_sha256"]
    stream.publish(ROWS - rows, end=True)
    trainer = local_trainer(stream.job)
    assert trainer.step == 16
    assert finished(trainer)["weights_sha256"] == whole["weights_sha256"]


def test_an_end_that_is_asked_for_is_a_result_and_can_be_gone_on_with(stream: Stream, whole: dict[str, Any]):
    stream.publish(500)
    trainer = local_trainer(stream.job)
    while trainer.step < 7:
        trainer.advance(0)
    found = plain(trainer.end().result)
    trainer.close()
    assert (found["steps"], found["rows"], found["finished"]) == (7, 420, False)
    assert (stream.job.run / "model.npz").exists()
    stream.publish(500, end=True)
    again = stream.result()
    assert (again["weights_sha256"], again["prequential"]) == (whole["weights_sha256"], whole["prequential"])


@pytest.mark.parametrize("stop", [0, 1, 5, 16, 17])
def test_stop_after_and_a_resume_come_to_the_same(stop: int, stream: Stream, whole: dict[str, Any]):
    stream.publish(ROWS, end=True)
    found = finished(local_trainer(replace(stream.job, stop_after=stop)))
    assert (found["steps"], found["finished"]) == (stop, stop == 17)
    again = stream.result()
    assert (again["weights_sha256"], again["prequential"]) == (whole["weights_sha256"], whole["prequential"])


def test_what_was_tested_first_is_each_row_before_it_was_trained_on(
    stream: Stream, digits: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch
):
    """Each step's weights are taken from a checkpoint of their own."""
    monkeypatch.setattr("ddmlp.training.metrics.WINDOW", 200)
    monkeypatch.setattr("ddmlp.plan.stream_plan.PERIOD_ROWS", 50 * CONFIG.batch)  # a record each step
    stream.publish(ROWS, end=True)
    stream.job = replace(stream.job, checkpoint_every=1, keep=100)
    trainer, events = local_trainer(stream.job), []
    while (report := trainer.advance(0)).result is None:
        events += plain(report.events)
    trainer.close()
    pixels, labels = digits[0].reshape(ROWS, 784).astype(np.float32) / np.float32(255), digits[1]
    mistakes = []
    for step, path in enumerate(sorted((stream.job.run / "checkpoints").iterdir())[:-1]):
        weights = load_checkpoint(path).weights
        rows = slice(step * CONFIG.batch, (step + 1) * CONFIG.batch)
        hidden = 1 / (1 + np.exp(-pixels[rows] @ weights.w1))
        mistakes.append(int((np.argmax(hidden @ weights.w2, axis=1) != labels[rows]).sum()))
    assert len(mistakes) == 17
    found = plain(report.result)["prequential"]
    assert found == {"window": 220, "error": sum(mistakes[-4:]) / 220, "overall": sum(mistakes) / ROWS}
    assert 0 < found["error"] < found["overall"], "it has learned"
    noted = [event for event in events if event["event"] == "progress"]
    assert [event["step"] for event in noted] == [*range(1, 18)]
    assert noted[9]["prequential"] == {
        "window": 240, "error": sum(mistakes[6:10]) / 240, "overall": sum(mistakes[:10]) / 600
    }  # fmt: skip


def test_with_test_data_each_period_is_tested(stream: Stream, data: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("ddmlp.plan.stream_plan.PERIOD_ROWS", 250)  # 4 steps
    (stream.path.parent).mkdir()
    (stream.path.parent / "test").symlink_to(data / "test")
    stream.publish(ROWS)
    trainer = local_trainer(stream.job)
    events = advance(trainer, 16)
    stream.publish(0, end=True)
    found = finished(trainer)
    assert [event["step"] for event in events if event["event"] == "epoch"] == [4, 8, 12, 16]
    assert [event["step"] for event in events if event["event"] == "checkpoint"] == [0, 4, 5, 8, 10, 12, 15, 16]
    assert 0 < found["test_error"] < 1


def test_without_test_data_nothing_is_said_of_a_test(whole: dict[str, Any]):
    assert [name for name in whole if name.startswith("test")] == []


def check_again(run: Path, found: dict[str, Any]) -> None:
    """Assert that computed again it comes to the same."""
    for command in (verify.main, replay.main):
        done = inside(command, run)
        assert done.returncode == 0, done.stderr
        assert f"weights sha256  {found['weights_sha256']}" in done.stdout


@pytest.mark.parametrize("config", [{}, {"delay": 2}, {"staleness": 2}, {"lr_schedule": "inverse", "lr_half": 5}])
def test_a_run_that_followed_is_verified_and_replayed(config: dict, tmp_path: Path, digits: tuple):
    stream = Stream(tmp_path, digits, **config)
    stream.publish(300)
    stream.begin()
    found = finished(local_trainer(replace(stream.job, idle_timeout=0)))
    stream.publish(200)
    check_again(stream.job.run, found)
    stream.publish(500, end=True)
    found = stream.result()
    assert (found["steps"], found["finished"]) == (17, True)
    check_again(stream.job.run, found)


def rewrite(stream: Stream, same: int, rows: int = ROWS) -> None:
    """Write the dataset anew: the first `same` rows as they were, the others upside down."""
    pixels, labels = stream._digits
    with DatasetWriter(stream.path, (28, 28), 10, shard_rows=90, overwrite=True) as writer:
        writer.append(np.concatenate([pixels[:same], pixels[same:rows, ::-1]]), labels[:rows])


def test_a_dataset_that_was_written_anew_since_is_refused(stream: Stream):
    stream.publish(500)
    finished(local_trainer(replace(stream.job, idle_timeout=0)))
    for same, rows in [(0, ROWS), (180, ROWS), (449, ROWS), (180, 180)]:
        rewrite(stream, same, rows)
        with pytest.raises(RunError, match=r"does not begin with the 6 shards .* up to step 8: it was written anew"):
            local_trainer(stream.job)


def test_rows_that_were_not_trained_on_may_be_others(stream: Stream):
    stream.publish(500)
    trainer = local_trainer(replace(stream.job, stop_after=5))
    assert finished(trainer)["rows"] == 300
    rewrite(stream, 360)  # 4 shards
    assert local_trainer(stream.job).step == 5


def test_a_dataset_that_is_written_anew_meanwhile_ends_the_run(stream: Stream):
    stream.publish(500)
    trainer = local_trainer(stream.job)
    advance(trainer, 8)
    rewrite(stream, 180)
    with pytest.raises(DatasetError, match="was overwritten"):
        finished(trainer)


class Late(LocalWorkerPool):
    """Lets something happen just before it computes step 8: the trainer has looked for rows, the worker has not."""

    happens: Callable[[], None]

    def next_result(self, timeout: float = 0.0) -> Gradient:
        if self._units and self._units[0].step == 8:
            self.happens()
        return super().next_result(timeout)


def test_a_shard_that_the_worker_sees_first_is_verified_too(stream: Stream, monkeypatch: pytest.MonkeyPatch):
    def damaged() -> None:
        stream.publish(400)
        path = stream.path / Manifest.read(stream.path).shards[-3].file
        content = bytearray(path.read_bytes())
        content[-5_000] ^= 1  # a pixel: nothing but the hash tells
        path.write_bytes(content)

    monkeypatch.setattr(
        "ddmlp.training.setup.LocalWorkerPool", type("DamagedLate", (Late,), {"happens": staticmethod(damaged)})
    )
    stream.publish(480)
    trainer = local_trainer(replace(stream.job, stop_after=15))
    advance(trainer, 8)
    stream.publish(60)
    with pytest.raises(DatasetError, match="is damaged: its SHA-256"):
        finished(trainer)
    with pytest.raises(DatasetError, match="is damaged: its SHA-256"):
        Dataset(stream.path).verify()
