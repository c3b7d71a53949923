"""Asynchronous runs: nothing older than the bound, every row once, and the same weights when they are replayed."""

import json
import random
import shutil
import time
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ddmlp.cli import replay, verify
from ddmlp.config import TrainConfig
from ddmlp.data.dataset import Dataset
from ddmlp.data.manifest import Manifest
from ddmlp.data.writer import DatasetWriter
from ddmlp.nn.weights import Shape, Weights
from ddmlp.plan.plan import Plan
from ddmlp.runs.checkpoint import Checkpoints
from ddmlp.runs.origin import Origin
from ddmlp.runs.run import Run
from ddmlp.runs.update_log import UpdateLog
from ddmlp.training.job import Job
from ddmlp.training.local_pool import LocalWorkerPool
from ddmlp.training.messages import Gradient, Unit
from ddmlp.training.setup import build_trainer
from ddmlp.training.trainer import Trainer
from ddmlp.training.unit_queue import UnitQueue
from ddmlp.training.worker import Worker
from ddmlp.training.worker_pool import PoolStats
from tests.support.helpers import inside, plain

CONFIG = TrainConfig(
    hidden=8, batch=150, microbatch=64, epochs=2, staleness=3
)  # 27 steps an epoch, the last of 100 rows
STEPS = 54
WORKERS = 4


class ShuffledPool(LocalWorkerPool):
    """Several workers, which answer in an order that is drawn; each of them in the order in which it took its units."""

    count = parallel = WORKERS

    def __init__(self, worker: Worker, seed: int, capacity: int) -> None:
        super().__init__(worker)
        self.queue = UnitQueue(capacity)
        self.answered = dict.fromkeys(range(WORKERS), 0)
        self._draw = random.Random(seed)

    @property
    def full(self) -> bool:
        return self.queue.full

    @property
    def stats(self) -> PoolStats:
        return PoolStats(WORKERS, self.queue.depth, self.queue.high_water, answered=self.answered)

    def submit(self, unit: Unit) -> None:
        self.queue.put(unit)

    def next_result(self, timeout: float = 0.0) -> Gradient:  # noqa: ARG002
        for worker in range(self.queue.capacity):  # one unit a round, so that none is idle while another holds two
            self.queue.take(worker % WORKERS, time.monotonic())
        worker = self._draw.choice([worker for worker in range(WORKERS) if self.queue.current_unit(worker)])
        unit = self.queue.current_unit(worker)
        row_stats = self._worker.compute(unit, self.weights[unit.version], self._gradient)
        gradient = Gradient(unit, self._gradient.flat, row_stats, worker)
        assert self.queue.accept(gradient)
        self.answered[worker] += 1
        return gradient

    def reserve_weights(self, keep: Collection[int]) -> Weights:
        weights = self.weights.reserve(self.queue.versions_in_use().union(keep))
        assert weights is not None
        return weights


def trainer_of(job: Job, seed: int = 1) -> Trainer:
    def connect(dataset: Dataset, plan: Plan, shape: Shape) -> ShuffledPool:
        return ShuffledPool(Worker(dataset, plan, shape), seed, job.queue_capacity)

    return build_trainer(job, connect)


def begun(folder: Path, data: Path, **config: Any) -> Job:
    """A run that has begun."""
    job = Job(replace(CONFIG, **config), data, folder, WORKERS, checkpoint_every=10)
    folder.mkdir()
    Run(folder).create(Origin.from_manifest(job.config, data, Manifest.read(data / "train")))
    return job


def train(trainer: Trainer, until: Callable[[], bool] = lambda: False) -> dict[str, Any]:
    """Train to the end, and write the result; or until `until` says so, leaving a checkpoint."""
    run = Run(trainer._job.run)
    try:
        while not until():
            report = trainer.advance(0)
            run.record(report.events)
            if report.result is not None:
                run.write_result(report.result)
                found: dict[str, Any] = plain(report.result)
                return found
        trainer.checkpoint()
        run.record(trainer._recorder.report(trainer.step, None).events)
        return {}
    finally:
        trainer.close()


def order_of(job: Job, count: int = STEPS) -> Any:
    return UpdateLog(Run(job.run).updates).load(count)


def histogram_of(job: Job) -> dict[str, int]:
    """The staleness of the updates, as the result has it."""
    ages = Counter(version - read for version, (_, read) in enumerate(order_of(job).tolist()))
    return {str(versions): ages[versions] for versions in sorted(ages)}


def check_again(job: Job, result: dict[str, Any]) -> None:
    """Assert that replayed and verified it comes to the same weights."""
    for command in (replay.main, verify.main):
        done = inside(command, job.run)
        assert done.returncode == 0, done.stderr
        assert f"weights sha256  {result['weights_sha256']}" in done.stdout


@pytest.fixture
def job(data: Path, tmp_path: Path) -> Job:
    return begun(tmp_path / "run", data)


@pytest.fixture(scope="module")
def whole(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Job:
    """A finished run, not to be changed."""
    job = begun(tmp_path_factory.mktemp("whole") / "run", data)
    train(trainer_of(job))
    return job


@pytest.fixture
def copy(whole: Job, tmp_path: Path) -> Job:
    return replace(whole, run=Path(shutil.copytree(whole.run, tmp_path / "run")))


def result_of(job: Job) -> dict[str, Any]:
    found = Run(job.run).result()
    assert found is not None
    return plain(found)


def events_of(job: Job, kind: str) -> list[dict[str, Any]]:
    lines = (job.run / "metrics.jsonl").read_text().splitlines()
    return [event for event in map(json.loads, lines) if event["event"] == kind]


def refused(job: Job, *words: str) -> None:
    done = inside(replay.main, job.run)
    assert (done.returncode, done.stdout) == (1, "")
    assert len(done.stderr.splitlines()) == 1
    for word in words:
        assert word in done.stderr


def test_simple(whole: Job):
    result = result_of(whole)
    done = inside(replay.main, whole.run)
    assert done.returncode == 0, done.stderr
    mean = sum(version - read for version, (_, read) in enumerate(order_of(whole).tolist())) / STEPS
    assert done.stdout.splitlines() == [
        f"replayed        54 updates, {mean:.2f} versions old on average, 3 at most",
        f"weights sha256  {result['weights_sha256']}, as the run says",
    ]
    assert "verified        steps 0..54, 8 checkpoints" in inside(verify.main, whole.run).stdout


@pytest.mark.parametrize("bound", [1, 2, 3, 5, "inf"])
@pytest.mark.parametrize("seed", [1, 2])
def test_no_update_is_older_than_the_bound_and_every_row_counts_once(
    bound: int | str, seed: int, data: Path, tmp_path: Path
):
    job = begun(tmp_path / "run", data, staleness=bound)
    result = train(trainer_of(job, seed))
    assert (result["steps"], result["rows"], result["finished"]) == (STEPS, 8_000, True)  # the ledger was checked
    stale = result["staleness"]
    assert (stale["bound"], stale["histogram"]) == (bound, histogram_of(job))
    assert 0 < stale["max"] <= job.config.bound
    steps = order_of(job)[:, 0].tolist()
    assert sorted(steps) == [*range(STEPS)]
    assert steps != sorted(steps), "it was really out of order"
    assert Run(job.run).updates.stat().st_size == 26 * STEPS
    check_again(job, result)


def test_who_answers_when_makes_another_run(data: Path, tmp_path: Path):
    results = [train(trainer_of(begun(tmp_path / name, data), seed)) for name, seed in [("a", 1), ("b", 1), ("c", 2)]]
    assert results[0]["weights_sha256"] == results[1]["weights_sha256"] != results[2]["weights_sha256"]


def test_a_checkpoint_is_a_position_of_the_plan(whole: Job):
    assert [event["step"] for event in events_of(whole, "checkpoint")] == [0, 10, 20, 27, 30, 40, 50, 54]
    assert [event["step"] for event in events_of(whole, "epoch")] == [27, 54]
    order = order_of(whole)
    for version in (10, 20, 27, 30, 40, 50):
        assert sorted(order[:version, 0].tolist()) == [*range(version)], "no step is open there"
        assert order[version].tolist() == [order[version, 0], version]


def test_progress_tells_the_staleness_since_the_last_record(data: Path, tmp_path: Path):
    job = begun(tmp_path / "run", data, batch=50)  # 80 steps an epoch, a record every other
    result = train(trainer_of(job))
    noted = events_of(job, "progress")
    assert [event["step"] for event in noted] == [*range(2, 161, 2)]
    order = order_of(job, 160)
    for event in noted:
        ages = [event["step"] - back - int(order[event["step"] - back, 1]) for back in (1, 2)]
        assert event["staleness"]["max"] == max(ages)
        assert event["staleness"]["mean"] == sum(ages) / 2
    assert sum(event["staleness"]["histogram"].get("3", 0) for event in noted) == result["staleness"]["histogram"]["3"]


@pytest.mark.parametrize("stop", [0, 1, 4, 11, 26, 27, 53])
def test_a_run_that_is_stopped_anywhere_goes_on_with_every_row_once(stop: int, job: Job):
    """It stops where the steps that are open have come to their end, which is a position."""
    first = trainer_of(job)
    assert train(first, lambda: first.step >= stop) == {}
    at = first.step
    assert stop <= at <= stop + 4
    assert sorted(order_of(job, at)[:, 0].tolist()) == [*range(at)]
    assert inside(replay.main, job.run).stdout.startswith(f"replayed        {at} updates")
    again = trainer_of(job, seed=2)
    assert again.step == at
    result = train(again)
    assert (result["rows"], result["finished"]) == (8_000, True)
    assert result["staleness"]["histogram"] == histogram_of(job)
    assert sum(result["staleness"]["histogram"].values()) == STEPS
    check_again(job, result)


def test_an_end_that_is_asked_for_is_a_result_of_whole_steps(job: Job):
    trainer = trainer_of(job)
    while trainer.step < 12:
        trainer.advance(0)
    result = plain(trainer.end().result)
    trainer.close()
    assert result is not None
    assert (result["steps"], result["rows"]) == (trainer.step, 150 * trainer.step)
    Run(job.run).write_result(result)
    check_again(job, result)


@pytest.mark.parametrize("stop", [0, 1, 13, 27, 40])
def test_stop_after_is_exact_and_gone_on_with(stop: int, job: Job):
    result = train(trainer_of(replace(job, stop_after=stop)))
    assert (result["steps"], result["finished"]) == (stop, False)
    check_again(job, result)
    result = train(trainer_of(job, seed=2))
    assert result["staleness"]["histogram"] == histogram_of(job)
    check_again(job, result)


def test_what_a_crash_has_left_of_the_updates_is_taken_back(job: Job, monkeypatch: pytest.MonkeyPatch):
    """It dies between the updates' coming on disk and the checkpoint's."""
    real = Checkpoints.save

    def dying(self: Checkpoints, checkpoint: Any, keep: int) -> Path:
        if checkpoint.step == 30:
            raise KeyboardInterrupt
        return real(self, checkpoint, keep)

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "save", dying)
        with pytest.raises(KeyboardInterrupt):
            train(trainer_of(job))
    path = Run(job.run).updates
    assert path.stat().st_size == 30 * 26
    with path.open("ab") as file:
        file.write(b"           30  ")
    again = trainer_of(job, seed=3)
    assert again.step == 27
    result = train(again)
    assert path.stat().st_size == STEPS * 26
    assert result["staleness"]["histogram"] == histogram_of(job)
    check_again(job, result)


def test_the_rate_by_staleness_is_replayed_too(data: Path, tmp_path: Path):
    results, orders = {}, []
    for by_staleness in (False, True):
        job = begun(tmp_path / str(by_staleness), data, staleness=5, staleness_lr=by_staleness)
        results[by_staleness] = train(trainer_of(job))
        orders.append(order_of(job).tolist())
        check_again(job, results[by_staleness])
    assert orders[0] == orders[1], "the weights do not decide who answers when"
    assert results[False]["weights_sha256"] != results[True]["weights_sha256"]


def test_a_stream_is_followed_asynchronously_each_row_once(data: Path, tmp_path: Path):
    pixels, labels = Dataset(data / "train").gather(np.arange(1_000))
    with DatasetWriter(tmp_path / "data" / "train", (28, 28), 10, shard_rows=70) as writer:
        writer.append(pixels[:400].reshape(-1, 28, 28), labels[:400])
        writer.publish()
        job = begun(
            tmp_path / "run", tmp_path / "data", batch=50, epochs=1, lr_schedule="constant", follow=True, staleness=5
        )
        trainer = trainer_of(job)
        while trainer.step < 8:
            trainer.advance(0)
        writer.append(pixels[400:].reshape(-1, 28, 28), labels[400:])
        writer.publish()
        writer.end()
    result = train(trainer)  # the ledger is checked at the end
    assert (result["steps"], result["rows"], result["finished"]) == (20, 1_000, True)
    assert 2 < result["staleness"]["max"] <= 5
    check_again(job, result)


@pytest.mark.parametrize("asked", ["0..10", "30..40", "40..54", "50..54"])
def test_a_stretch_is_verified_from_a_checkpoint_in_the_order_of_the_updates(asked: str, whole: Job):
    done = inside(verify.main, whole.run, "--steps", asked)
    assert done.returncode == 0, done.stderr
    assert "40..54" not in asked or done.stdout.startswith("verified        steps 40..54, 3 checkpoints")


def swap(lines: list[str]) -> None:
    """Exchange the steps of two updates of the second epoch; each still reads what it had read."""
    lines[35], lines[36] = lines[36][:12] + lines[35][12:], lines[35][:12] + lines[36][12:]


def older(lines: list[str]) -> None:
    """Let an update have read the version before."""
    lines[35] = f"{lines[35][:12]} {int(lines[35][12:]) - 1:12}"


@pytest.mark.parametrize("change", [swap, older])
def test_another_order_of_updates_is_found(change: Callable[[list[str]], None], copy: Job):
    path = Run(copy.run).updates
    change(lines := path.read_text().splitlines())
    path.write_text("\n".join([*lines, ""]))
    refused(copy, "54 updates done again come to the weights", "verify tells where they part")
    done = inside(verify.main, copy.run)
    assert (done.returncode, "differs in steps 30..40" in done.stderr) == (1, True)
    assert inside(verify.main, copy.run, "--steps", "0..30").returncode == 0


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda path: path.unlink(), "updates.txt is missing"),
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), "has fewer than 54 lines"),
        (lambda path: path.write_bytes(path.read_bytes()[26:]), "has fewer than 54 lines"),
        (lambda path: path.write_bytes(b"x" + path.read_bytes()[1:]), "updates.txt is damaged"),
        (lambda path: path.write_bytes(path.read_bytes()[:26] * 54), "once more"),
    ],
)
def test_a_damaged_order_of_updates_is_refused(damage: Callable[[Path], object], says: str, copy: Job):
    damage(Run(copy.run).updates)
    refused(copy, says)
    assert says in inside(verify.main, copy.run).stderr


def test_a_result_that_is_not_the_replay_s_is_found_by_replay(copy: Job):
    path = copy.run / "result.json"
    path.write_text(path.read_text().replace('weights_sha256": "', 'weights_sha256": "f'))
    refused(copy, "result.json is not what")


def test_data_that_were_moved_are_found_by_data(copy: Job, data: Path, tmp_path: Path):
    config = json.loads((copy.run / "config.json").read_bytes())
    (copy.run / "config.json").write_text(json.dumps(config | {"data": str(tmp_path / "gone")}))
    refused(copy, "gone/train")
    assert inside(replay.main, copy.run, "--data", data).returncode == 0
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "train").symlink_to(data / "test")
    done = inside(replay.main, copy.run, "--data", tmp_path / "other")
    assert (done.returncode, "is not the dataset that" in done.stderr) == (1, True)


def test_a_folder_without_a_run_is_refused(tmp_path: Path):
    done = inside(replay.main, tmp_path / "none")
    assert (done.returncode, "holds no run" in done.stderr) == (1, True)


def test_a_run_of_no_updates_is_replayed(data: Path, tmp_path: Path):
    job = begun(tmp_path / "run", data, epochs=0)
    check_again(job, train(trainer_of(job)))
