"""The worker's end of the message path, in threads and in processes: the bits of one process."""

import gc
import pickle
import re
import shutil
import socket
import threading
from multiprocessing import connection
from pathlib import Path

import pytest

from ddmlp.data.dataset import Dataset
from ddmlp.data.manifest import Manifest
from ddmlp.errors import DatasetError
from ddmlp.plan.plan import Plan
from ddmlp.plan.reduction_tree import Node
from ddmlp.training.worker import Worker
from ddmlp.transport.client import run_worker
from ddmlp.transport.frames import LONGEST
from tests.support import sockets
from tests.support.local_pool import LocalWorkerPool
from tests.support.sockets import PLAN, SECONDS, SHAPE, Training, admit, all_kinds, join, listening, work


class VerifyingWorker(Worker):
    """Verifies its data before it answers."""

    def compute(self, unit, weights, out):
        self._dataset.verify()
        return super().compute(unit, weights, out)


def test_simple(dataset, threads, expected):
    with listening(dataset) as pool:
        working = threads.submit(work, pool.addresses[0], dataset)
        assert pool.gather(1, SECONDS)
        assert Training(pool, 1).run() == expected
        assert pool.stats.answered == {0: PLAN.steps}
    assert working.result() == PLAN.steps


def test_processes(dataset, start, expected):
    """On a Unix socket, on TCP and with TLS, the bits are those of one process."""
    with listening(dataset) as pool:
        workers = [start(work, address, dataset, index) for index, address in enumerate(pool.addresses)]
        assert pool.gather(3, SECONDS)
        assert Training(pool, 3).run() == expected
        answered = pool.stats.answered
    assert set(answered) == {0, 1, 2}
    assert min(answered.values()) > 0
    for process in workers:
        process.join(20)
    assert [process.exitcode for process in workers] == [0, 0, 0]


@all_kinds
def test_server_accepts_nothing(dataset, kind):
    """A worker whose server does not read any more does not wait without end."""
    with listening(dataset) as pool:
        client = admit(pool, pool.addresses[kind], dataset, 0)
        client._link._silence = 0.05
        with pytest.raises(TimeoutError):
            send_without_end(client)
        client.close()


def send_without_end(client):
    while True:
        client._wire.send(bytes(LONGEST))
        client._link.flush()


@all_kinds
@pytest.mark.parametrize(("batch", "microbatch"), [(1, 1), (3, 1), (7, 2)])
def test_few_rows(dataset, threads, monkeypatch, kind, batch, microbatch):
    """The last microbatch is smaller than the others, or a step has only one row."""
    few = Plan(rows=PLAN.rows, batch=batch, microbatch=microbatch, epochs=1, seed=4, block=100, window=PLAN.rows)
    monkeypatch.setattr(sockets, "PLAN", few)
    alone = Training(LocalWorkerPool(sockets.worker(dataset)), 1).run(to=few.steps)
    again = Training(LocalWorkerPool(sockets.worker(dataset)), 3).run(to=few.steps)  # each step in several units
    assert again == alone
    with listening(dataset) as pool:
        workers = [threads.submit(work, pool.addresses[kind], dataset, index) for index in range(2)]
        assert pool.gather(2, SECONDS)
        assert Training(pool, 2).run(to=few.steps) == alone
    assert sum(working.result() for working in workers) >= few.steps


def test_no_server(dataset, tmp_path):
    with pytest.raises(ConnectionError, match=r"worker 2 cannot reach the server at .*nowhere.*FileNotFoundError"):
        join(str(tmp_path / "nowhere"), dataset, 2)


def test_server_hangs_up(dataset, threads):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        joining = threads.submit(join, listener.getsockname(), dataset)
        listener.accept()[0].close()
        with pytest.raises(ConnectionError, match=r"worker 0 .*127\.0\.0\.1"):
            joining.result()


@all_kinds
def test_released_while_busy(dataset, threads, kind):
    """No server receives its answer, as if the pool had been killed."""
    computing, closed = threading.Event(), threading.Event()

    class Slow(Worker):
        def compute(self, unit, weights, out):
            row_stats = super().compute(unit, weights, out)
            computing.set()
            assert closed.wait(SECONDS)
            return row_stats

    with listening(dataset) as pool:
        slow = Slow(Dataset(dataset), PLAN, SHAPE)
        working = threads.submit(lambda: run_worker(slow, join(pool.addresses[kind], dataset)))
        assert pool.gather(1, SECONDS)
        sockets.hand_out(pool, Node(0, 1))
        assert computing.wait(SECONDS)
    closed.set()
    assert working.result(SECONDS) <= 1


def test_error_of_a_worker(pool, dataset, tmp_path, threads):
    """The run ends with it: its class and its message."""
    copy = Path(shutil.copytree(dataset, tmp_path / "copy"))
    worker = VerifyingWorker(Dataset(copy), PLAN, SHAPE)
    shard = copy / Manifest.read(copy).shards[1].file
    shard.write_bytes(shard.read_bytes()[:-1] + b"!")
    serving = threads.submit(lambda: run_worker(worker, join(pool.addresses[0], dataset, 7)))
    assert pool.gather(1, SECONDS)
    with pytest.raises(DatasetError, match=f"^worker 7 on here: {re.escape(str(shard))} is damaged"):
        Training(pool, 1).run()
    with pytest.raises(DatasetError, match=f"^{re.escape(str(shard))} is damaged"):
        serving.result()


def test_nothing_is_pickled(pool, dataset, threads, expected, monkeypatch):
    def refuse(*_):
        raise AssertionError("a message is pickled")

    monkeypatch.setattr(pickle, "dumps", refuse)
    monkeypatch.setattr(pickle, "loads", refuse)
    monkeypatch.setattr(connection._ForkingPickler, "dumps", refuse)
    monkeypatch.setattr(connection._ForkingPickler, "loads", refuse)
    for index, address in enumerate(pool.addresses):
        threads.submit(work, address, dataset, index)
    assert pool.gather(3, SECONDS)
    assert Training(pool, 3).run() == expected
    assert min(pool.stats.answered.values()) > 0


def test_closed_descriptors(pool, dataset):
    def descriptors():
        gc.collect()
        return len(list(Path("/proc/self/fd").iterdir()))

    sockets.admit(pool, pool.addresses[0], dataset, 0).close()
    while pool.count:
        pool.gather(9, 0.01)
    before = descriptors()
    for number in range(1, 6):
        sockets.admit(pool, pool.addresses[0], dataset, number).close()
    while pool.count:
        pool.gather(9, 0.01)
    assert descriptors() == before
