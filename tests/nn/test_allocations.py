"""What a step costs, counted, not timed: arrays that are allocated, copies that are made, bytes that are sent."""

import mmap
import tracemalloc
from collections import Counter
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import pytest

from ddmlp.config import TrainConfig
from ddmlp.nn import memory
from ddmlp.nn.memory import MIN_BYTES, zeros
from ddmlp.nn.weights import Shape
from ddmlp.training.batch_reader import LOT
from ddmlp.training.reduction import BufferPool
from ddmlp.training.setup import local_trainer
from tests.support import sockets
from tests.support.runs import begin, job
from tests.support.sockets import PLAN, SECONDS, SHAPE, Training, both_kinds, listening, work

dataset, threads, start = sockets.dataset, sockets.threads, sockets.start

FRAME = 250  # bytes of a message without arrays, at most
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


def test_what_is_mapped_counts_as_allocated(allocated):
    allocated()
    zeros((MIN_BYTES,), np.uint8)
    assert allocated() >= MIN_BYTES


@pytest.mark.parametrize(("batch", "microbatch"), [(64, 64), (64, 16), (1, 1)])
def test_a_step_allocates_no_array_but_for_the_rows_it_reads(tmp_path, data: Path, allocated, batch, microbatch):
    config = TrainConfig(hidden=300, batch=batch, microbatch=microbatch, epochs=100)
    begin(tmp_path / "run", config, data)
    trainer = local_trainer(job(data, tmp_path / "run", 0, config, every=10**9))
    trainer.advance(0.5)
    assert trainer._data.wait_until_verified(), "no thread allocates beside it"
    while trainer.step % trainer.plan.steps_per_epoch != 5:  # at the end of an epoch it is tested, which takes buffers
        trainer.advance(0)
    costs = []
    allocated()
    for _ in range(3 * LOT // batch):
        trainer.advance(0)
        costs.append(allocated())
    trainer.close()
    lot = LOT * (784 + 64)  # the rows, and what there is for each
    assert LITTLE < lot < 4 * Shape(784, 300, 10).size / 4
    assert max(costs) < lot + LITTLE, "nothing as large as the weights"
    assert sorted(costs)[len(costs) // 2] < LITTLE, "and mostly nothing"


@pytest.mark.parametrize(("units", "copies"), [(1, 0), (2, 1), (8, 1)])
def test_a_gradient_is_copied_only_where_it_waits_for_another(dataset, monkeypatch, units, copies):
    """Answers come in the order of the tree here, so a sum waits in one buffer at a time for each of its levels."""
    taken = Counter()

    def copy_of(self, flat):
        taken["copies"] += 1
        return before(self, flat)

    before = BufferPool.copy_of
    monkeypatch.setattr(BufferPool, "copy_of", copy_of)
    training = Training(sockets.LocalWorkerPool(sockets.worker(dataset)), units)
    training.step()
    assert len(PLAN.units(0, units)) == units
    assert taken["copies"] >= copies
    assert taken["copies"] <= max(0, units // 2), "half of them go straight into the other's buffer"


@both_kinds
def test_a_step_sends_each_worker_the_weights_once_and_of_a_unit_its_sum(dataset, threads, monkeypatch, kind):
    sent: list[int] = []

    def send_bytes(self, data, *rest):
        sent.append(len(memoryview(data).cast("B")))
        before(self, data, *rest)

    before = Connection.send_bytes
    with listening(dataset) as pool:
        workers = [threads.submit(work, pool.addresses[kind], dataset, index) for index in range(2)]
        assert pool.gather(2, SECONDS)
        training = Training(pool, 2)
        training.run(to=2)
        monkeypatch.setattr(Connection, "send_bytes", send_bytes)
        training.run(to=6)
        monkeypatch.undo()
    assert [working.result() > 0 for working in workers] == [True, True]
    units = sum(len(PLAN.units(step, 2)) for step in range(2, 6))
    arrays = [size for size in sent if size >= FRAME]
    assert len(sent) - len(arrays) == 2 * units, "a unit, and an answer"
    weights = SHAPE.size * 4
    assert set(arrays) <= {weights}
    assert len(arrays) <= (kind == 1) * (units + 2 * 4), "shared memory sends none"
    assert (len(arrays) >= units) == (kind == 1)
