"""The cost of a step, counted instead of timed: allocated arrays and copies."""

import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ddmlp.config import TrainConfig
from ddmlp.data.dataset import Dataset
from ddmlp.nn.weights import Shape, Weights
from ddmlp.plan.plan import Plan
from ddmlp.runs.checkpoint import Checkpoint
from ddmlp.training import batch_reader
from ddmlp.training.local_steps import LocalSteps
from ddmlp.training.messages import Unit
from ddmlp.training.reduction import BufferPool
from ddmlp.training.worker import Worker
from tests.support.local_pool import LocalWorkerPool
from tests.support.sockets import PLAN, Training, worker

SHAPE, LOT = Shape(784, 300, 10), 256
LITTLE = 150_000  # bytes: enough for the records of each row and step, but not for pixels


@pytest.fixture
def allocated(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], int]]:
    """A function that returns the peak of the bytes allocated since its last call, less those allocated then."""
    monkeypatch.setattr(batch_reader, "LOT", LOT)
    tracemalloc.start()
    before = 0

    def allocated() -> int:
        nonlocal before
        now, most = tracemalloc.get_traced_memory()
        before, most = now, most - before
        tracemalloc.reset_peak()
        return most

    yield allocated
    tracemalloc.stop()


def test_an_array_is_seen(allocated: Callable[[], int]):
    allocated()
    Weights(SHAPE)
    assert allocated() >= 4 * SHAPE.size > 5 * LITTLE


@pytest.mark.parametrize("delay", [0, 2])
@pytest.mark.parametrize(("batch", "microbatch"), [(64, 64), (64, 16), (1, 1), (128, 128)])
def test_steps(data: Path, allocated: Callable[[], int], batch: int, microbatch: int, delay: int):
    """A call that makes steps allocates no arrays, not even for the pixels."""
    config = TrainConfig(hidden=300, batch=batch, microbatch=microbatch, epochs=100, delay=delay)
    dataset = Dataset(data / "train")
    plan = Plan(4_000, batch, microbatch, 100, 0, 1_500, 4_000)
    loop = LocalSteps(config, dataset, plan, Checkpoint(Weights.draw(SHAPE, 1), 0))
    lot = LOT // batch  # steps
    costs = []
    for begin in range(0, 6 * lot, lot):
        for upto in (begin + 1, begin + lot):
            allocated()
            loop.advance(plan, upto)
            assert loop.step == upto, "in one call"
            costs.append(allocated())
    assert max(costs[4:]) < LITTLE, "the rows are not copied"


@pytest.mark.parametrize(("batch", "microbatch"), [(64, 64), (64, 16), (250, 50)])
def test_units(data: Path, allocated: Callable[[], int], batch: int, microbatch: int):
    """A worker allocates no arrays for a unit."""
    plan = Plan(4_000, batch, microbatch, 100, 0, 1_500, 4_000)
    computing, weights, gradient = Worker(Dataset(data / "train"), plan, SHAPE), Weights.draw(SHAPE, 1), Weights(SHAPE)
    costs = []
    for step in range(12):
        (root,) = plan.units_for(step, (1,))
        allocated()
        computing.compute(Unit(step, step, root), weights, gradient)
        costs.append(allocated())
    assert max(costs[2:]) < LITTLE


@pytest.mark.parametrize(("units", "copies"), [(1, 0), (2, 1), (8, 1)])
def test_gradients(data: Path, monkeypatch: pytest.MonkeyPatch, units: int, copies: int):
    """The answers arrive in the order of the tree, so one buffer per level holds a sum that waits for its sibling."""
    taken = Counter()

    def copy_of(self, flat):
        taken["copies"] += 1
        return before(self, flat)

    before = BufferPool.copy_of
    monkeypatch.setattr(BufferPool, "copy_of", copy_of)
    training = Training(LocalWorkerPool(worker(data / "train")), units)
    training.step()
    assert len(PLAN.units_for(0, (1,) * units)) == units
    assert taken["copies"] >= copies
    assert taken["copies"] <= max(0, units // 2), "at least half of the answers are added to a buffer directly"
