"""The step loop: the units that it submits, its waits, and when it applies steps."""

from pathlib import Path

import numpy as np
import pytest

from ddmlp.config import TrainConfig
from ddmlp.errors import TrainingError
from ddmlp.nn.optimizer import SGD
from ddmlp.nn.weights import Shape, Weights
from ddmlp.plan.plan import Plan, Update
from ddmlp.plan.row_stats import RowStats
from ddmlp.training import step_loop
from ddmlp.training.job import Job
from ddmlp.training.messages import Gradient
from ddmlp.training.parameter_server import ParameterServer
from ddmlp.training.schedule import Schedule
from ddmlp.training.step_loop import StepLoop
from ddmlp.training.weight_store import WeightStore
from tests.support.helpers import Clock

SHAPE = Shape(3, 2, 2)
PLAN = Plan(rows=40, batch=8, microbatch=2, epochs=1, seed=0, block=40, window=40)  # 5 steps of 4 microbatches


class ScriptedPool:
    """Answers units in order, with a gradient of ones; each answer takes `seconds` of the clock."""

    connections, capacities = 4, (1,) * 4

    def __init__(self, clock, capacity=2, seconds=1.0):
        self.weights, self.clock, self.capacity, self.seconds = WeightStore(SHAPE), clock, capacity, seconds
        self.units, self.silent, self.most, self.steepest = [], 0, 0, 1.0

    @property
    def full(self):
        return len(self.units) >= self.capacity

    def submit(self, unit):
        assert not self.full
        self.units.append(unit)
        self.most = max(self.most, len(self.units))

    def next_result(self, timeout):
        self.clock.now += min(self.seconds, timeout)
        if self.silent:
            self.silent -= 1
            return None
        flat = np.ones(SHAPE.size, np.float32)
        unit = self.units.pop(0)
        return Gradient(unit, flat, RowStats(2, 0, 1.0, 1, self.steepest), worker=0, waited=0.25)

    def reserve_weights(self, keep):
        return self.weights.reserve({*keep, *(unit.version for unit in self.units)})

    def publish_weights(self, version):
        self.weights.publish(version)


@pytest.fixture
def clock(monkeypatch):
    made = Clock()
    monkeypatch.setattr(step_loop, "time", made)
    return made


def loop_on(pool, **config):
    config = TrainConfig(batch=8, microbatch=2, lr=0.8, lr_schedule="constant", **config)
    pool.reserve_weights(()).flat[:] = 0
    pool.publish_weights(0)
    server = ParameterServer(SGD(config), 0, pool.weights[0], bound=config.bound)
    schedule = Schedule(Job(config, Path(), Path(), 4, 10**9), 0)

    def diagnose(_: Plan, update: Update, weights: Weights) -> TrainingError:
        return TrainingError(f"{update} {weights.flat[0]:g}")

    return StepLoop(SGD(config), schedule, server, pool, diagnose)


def test_simple(clock):
    pool = ScriptedPool(clock)
    loop = loop_on(pool)
    assert loop.idle
    loop.begin_steps(PLAN)
    assert not loop.idle
    applied = loop.apply_next(PLAN, clock.now + 100)
    assert applied == (Update(0, 0), RowStats(8, 0, 4.0, 4, 1.0))
    assert (loop.step, loop.idle, pool.most) == (1, True, 2)
    assert loop.weights.flat == pytest.approx(np.full(SHAPE.size, -0.4)), "4 ones, times 0.8 / 8"


def test_waits_are_counted(clock):
    pool = ScriptedPool(clock)
    loop = loop_on(pool)
    loop.begin_steps(PLAN)
    loop.apply_next(PLAN, clock.now + 100)
    waits = loop.waits
    assert (waits.results, waits.full_queue) == (4.0, 2.0), "two of the four units had no room at first"


def test_no_answer_in_time(clock):
    pool = ScriptedPool(clock)
    loop = loop_on(pool)
    pool.silent = 1
    loop.begin_steps(PLAN)
    assert loop.apply_next(PLAN, clock.now + 0.5) is None
    assert (loop.step, loop.idle, loop.waits.results) == (0, False, 0.5)
    assert loop.apply_next(PLAN, clock.now + 100) is not None
    assert loop.step == 1


def test_earlier_weights(clock):
    """A snapshot has the earlier weights that later steps will read."""
    pool = ScriptedPool(clock, capacity=100)
    loop = loop_on(pool, delay=2)
    for _ in range(3):
        loop.begin_steps(PLAN)
        assert loop.apply_next(PLAN, clock.now + 100)
    assert [weights.flat[0] for weights in loop.snapshot().earlier] == pytest.approx([-0.4, -0.8])
    assert loop.weights.flat[0] == pytest.approx(-1.2)


def test_not_finite(clock):
    pool = ScriptedPool(clock)
    loop = loop_on(pool)
    loop.begin_steps(PLAN)
    loop.apply_next(PLAN, clock.now + 100)
    pool.steepest = np.inf
    loop.begin_steps(PLAN)
    with pytest.raises(TrainingError, match=r"^Update\(step=1, read=1\) -0\.4$"):
        loop.apply_next(PLAN, clock.now + 100)
    assert loop.step == 1
