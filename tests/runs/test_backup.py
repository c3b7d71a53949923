"""The thread that stores checkpoints: the newest wins, and failures are told."""

from collections.abc import Iterator
from pathlib import Path
from threading import Event, Semaphore

import pytest

from ddmlp.errors import StoreError
from ddmlp.nn.weights import Shape, Weights
from ddmlp.runs import backup as module
from ddmlp.runs.backup import Backup
from ddmlp.runs.checkpoint import Checkpoint
from ddmlp.runs.events import Saved
from ddmlp.runs.run import Run


class Slow:
    """A store that takes a checkpoint when it is allowed to; `failing` of them fail first."""

    shown = "slow"

    def __init__(self, failing: int = 0) -> None:
        self.failing, self.steps, self.asked, self.allowed = failing, [], Semaphore(0), Semaphore(0)

    def save(self, run: Run) -> int:
        step = int(run.checkpoints.paths()[0].stem.removeprefix("step-"))
        self.asked.release()
        self.allowed.acquire()
        if self.failing:
            self.failing -= 1
            raise StoreError("the disk is on fire")
        self.steps.append(step)
        return step


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAUSES", (0.0, 0.0))


@pytest.fixture
def run(tmp_path: Path) -> Run:
    save(run := Run(tmp_path), 1)
    return run


def save(run: Run, step: int) -> None:
    run.checkpoints.save(Checkpoint(Weights.draw(Shape(4, 3, 2), seed=0), step))


def opened(store: Slow, run: Run) -> Iterator[Backup]:
    backup = Backup(store, run)  # type: ignore[arg-type]
    try:
        yield backup
    finally:
        store.allowed.release(1000)
        backup.close()


def test_newest_wins(run: Run):
    """While the store is busy with one checkpoint, others are made: only the newest of them is stored."""
    store = Slow()
    for backup in opened(store, run):
        backup.see([Saved(1, 0.0, "")])
        store.asked.acquire()
        for step in (2, 3, 4):
            save(run, step)
            backup.see([Saved(step, 0.0, "")])  # does not wait
        assert store.steps == []
        store.allowed.release(2)
        backup.finish(60)
        assert store.steps == [1, 4]
        assert [each.checkpoint for each in backup.outcomes()] == [1, 4]
        assert backup.outcomes() == []
        backup.finish(60)  # there is nothing new
        assert store.steps == [1, 4]
        assert (backup.step, backup.failure) == (4, None)


def test_tried_again(run: Run, caplog: pytest.LogCaptureFixture):
    store = Slow(failing=2)
    store.allowed.release(3)
    for backup in opened(store, run):
        backup.finish(60)
        assert (backup.step, backup.failure, store.failing) == (1, None, 0)
    assert not caplog.records


def test_fails_then_recovers(run: Run):
    store = Slow(failing=3)
    store.allowed.release(3)
    for backup in opened(store, run):
        backup.finish(60)
        assert backup.step is None
        assert "fire" in (backup.failure or "")
        save(run, 2)
        store.allowed.release()
        backup.finish(60)
        assert (backup.step, backup.failure) == (2, None)
        assert [bool(each.error) for each in backup.outcomes()] == [True, False]


def test_too_slow(run: Run):
    """The end of a run does not wait longer than allowed."""
    for backup in opened(Slow(), run):
        backup.finish(0)
        assert "0 s" in (backup.failure or "")


def test_hangs_at_close(run: Run, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "CLOSE_SECONDS", 0.0)
    store, closed = Slow(), Event()
    for backup in opened(store, run):
        backup.wake()
        store.asked.acquire()
        backup.close()
        closed.set()
    assert closed.is_set()
