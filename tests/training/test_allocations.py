"""What a step costs, counted, not timed: arrays that are allocated, and copies that are made."""

import mmap
import tracemalloc
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from ddmlp.nn.memory import MIN_BYTES, zeros

from ddmlp.config import TrainConfig
from ddmlp.nn import memory
from ddmlp.nn.weights import Shape
from ddmlp.training import batch_reader
from ddmlp.training.reduction import BufferPool
from ddmlp.training.setup import build_trainer
from tests.support.local_pool import LocalWorkerPool
from tests.support.runs import begin, job
from tests.support.sockets import PLAN, Training, worker

LITTLE = 100_000  # bytes: NumPy's buffers of 8,192 numbers where it converts, and what there is for each row


@pytest.fixture
def allocated(monkeypatch):
    """Called, it returns the most bytes that were allocated at a time since it was called last, beyond those before;
    and all that were mapped, which tracemalloc does not see."""
    mapped: list[int] = []

    class Mapped(mmap.mmap):
        def __init__(self, _, size, *__):
            mapped.append(size)

    monkeypatch.setattr(memory.mmap, "mmap", Mapped)
    tracemalloc.start()
    before = 0

    def allocated():
        nonlocal before
        now, most = tracemalloc.get_traced_memory()
        most += sum(mapped) - before
        before = now
        mapped.clear()
        tracemalloc.reset_peak()
        return most

    yield allocated
    tracemalloc.stop()


def test_mapped_is_allocated(allocated):
    allocated()
    zeros((MIN_BYTES,), np.uint8)
    assert allocated() >= MIN_BYTES


@pytest.mark.parametrize(("batch", "microbatch"), [(64, 64), (64, 16), (1, 1)])
def test_step(tmp_path, data: Path, allocated, monkeypatch, batch, microbatch):
    """It allocates no array but for the rows that it reads."""
    monkeypatch.setattr(batch_reader, "LOT", 256)
    config = TrainConfig(hidden=300, batch=batch, microbatch=microbatch, epochs=100)
    begin(tmp_path / "run", config, data)
    trainer = build_trainer(job(data, tmp_path / "run", 0, config, every=10**9))
    assert trainer._data.wait_until_verified(), "no thread allocates beside it"
    lots = batch_reader.LOT // batch  # steps of a lot
    while trainer.step < 2 * lots + 5:
        trainer.advance(0)
    assert 5 * lots + 5 < trainer.plan.steps_per_epoch, "at the end of an epoch it is tested, which takes buffers"
    costs = []
    allocated()
    for _ in range(3 * lots):
        trainer.advance(0)
        costs.append(allocated())
    trainer.close()
    lot = batch_reader.LOT * (784 + 64)  # the rows, and what there is for each
    assert LITTLE < lot < 4 * Shape(784, 300, 10).size / 4
    assert max(costs) < lot + LITTLE, "nothing as large as the weights"
    assert sorted(costs)[len(costs) // 2] < LITTLE, "and mostly nothing"


@pytest.mark.parametrize(("units", "copies"), [(1, 0), (2, 1), (8, 1)])
def test_gradients(data, monkeypatch, units, copies):
    """Answers come in the order of the tree here, so a sum waits in one buffer at a time for each of its levels."""
    taken = Counter()

    def copy_of(self, flat):
        taken["copies"] += 1
        return before(self, flat)

    before = BufferPool.copy_of
    monkeypatch.setattr(BufferPool, "copy_of", copy_of)
    training = Training(LocalWorkerPool(worker(data / "train")), units)
    training.step()
    assert len(PLAN.units_for(0, units)) == units
    assert taken["copies"] >= copies
    assert taken["copies"] <= max(0, units // 2), "half of them go straight into the other's buffer"
