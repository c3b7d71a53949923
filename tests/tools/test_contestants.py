"""Trainings with a limit of wall time."""

from collections.abc import Callable
from pathlib import Path

import pytest

from ddmlp.errors import ConfigError
from tools.benchmarks.peers.baseline import one_blas_thread
from tools.record import contestants
from tools.record.contestants import CONTESTANTS, Contest, Outcome, in_time


class Clock:
    """A clock that only work advances."""

    now = 0.0

    def time(self) -> float:
        return self.now

    def work(self, seconds: float) -> float:
        self.now += seconds
        return 0.25


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(contestants, "time", clock)
    return clock


@pytest.mark.parametrize(("part", "test", "limit"), [(1, 2, 60), (7, 1, 60), (0.01, 3, 20)])
def test_simple(part: float, test: float, limit: float, clock: Clock):
    """It trains for most of the time, and is tested before the end."""
    passed: list[float] = []
    places: list[tuple[int, int]] = []

    def train(begin: int, end: int, fraction: float) -> None:
        places.append((begin, end))
        passed.append(fraction)
        clock.work(part)

    found = in_time(Contest(Path(), limit, Path(), 5, ""), 1_000, train, lambda: clock.work(test))
    assert limit - 1.5 * part - test <= clock.now <= limit
    assert (found.error, found.epochs) == (0.25, len(places) / 20)
    assert places[:2] == [(0, 50), (50, 100)]
    assert passed == sorted(passed)
    assert (passed[0], passed[-1] < 1) == (0, True)


def test_no_time(clock: Clock):
    with pytest.raises(ConfigError, match="too short"):
        in_time(Contest(Path(), 5, Path(), 5, ""), 1_000, lambda *_: clock.work(1), lambda: clock.work(4))


class Leisurely(Contest):
    """A contest in which the time does not pass."""

    left = 1.0


def one_epoch(_contest: Contest, rows: int, train: Callable[..., object], test: Callable[[], float]) -> Outcome:
    """As `in_time`, whatever the time is."""
    for part in range(8):
        train(rows * part // 8, rows * (part + 1) // 8, part / 8)
    return Outcome(test(), 1)


@pytest.mark.bench
@pytest.mark.measure
@pytest.mark.parametrize("name", CONTESTANTS)
def test_trains(name: str, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """It learns, and says for how many epochs."""
    monkeypatch.setattr(contestants, "in_time", one_epoch)
    monkeypatch.setattr(contestants.os, "cpu_count", lambda: 1)
    one_blas_thread()
    package, train = CONTESTANTS[name]
    pytest.importorskip(package)
    found = train(Leisurely(data, 0, tmp_path, 30, "shift"))
    assert 0 < found.error < 0.4
    assert found.epochs >= 1
