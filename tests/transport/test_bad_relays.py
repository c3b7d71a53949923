"""Relays that hang, fail or send malformed messages."""

import time
from dataclasses import replace

import pytest

from ddmlp.config import MAX_WORKERS
from ddmlp.errors import DatasetError, TrainingError
from ddmlp.training.worker_pool import EXITED, UNRESPONSIVE, LostWorker, relay_number
from ddmlp.transport import protocol
from ddmlp.transport.protocol import Status
from tests.support.sockets import SECONDS, Training, admit, impatient, work


@impatient(overdue=0.02, unresponsive=0.05, first_unit=0.05, bytes_per_second=1e9)
def test_relay_hangs(pool, dataset, threads, expected):
    """All of its workers count as unresponsive: their node may be cut off."""
    client = admit_relay(pool, dataset, Status(2, {5: 0, 6: 0}))
    threads.submit(work, pool.addresses[0], dataset, 0)
    assert pool.gather(3, SECONDS)
    assert Training(pool, 2).run() == expected
    while pool.count > 1:
        pool.next_result(0.05)
    assert sorted(pool.stats.hung) == [5, 6]
    client.close()


def admit_relay(pool, dataset, status, index=0):
    """Let a relay join that reports a status; return its client."""
    client = admit(pool, pool.addresses[1], dataset, relay_number(index))
    client.report(status)
    while not pool._peers[relay_number(index)].workers:
        assert pool.serve(time.monotonic() + SECONDS)
    return client


def test_status_of_a_worker(pool, dataset, trains):
    """Only a relay may send one."""
    client = admit(pool, pool.addresses[1], dataset, 7)
    client.report(Status(2, {5: 0, 6: 0}))
    while pool.count:
        pool.gather(1_000, 0.01)
    (lost,) = pool.stats.newest_lost
    assert (lost.worker, lost.cause) == (7, EXITED)
    assert "kind b'S'" in lost.reason
    trains()
    client.close()


@pytest.mark.parametrize(
    "status",
    [Status(MAX_WORKERS + 1, {}), Status(-1, {}), Status(1, dict.fromkeys(range(MAX_WORKERS + 1), 0))],
    ids=["capacity", "negative", "workers"],
)
def test_bounds_of_a_status(pool, dataset, trains, caplog, status):
    client = admit(pool, pool.addresses[1], dataset, relay_number(0))
    client.report(status)
    while pool.connections:
        pool.gather(1_000, 0.01)
    assert "malformed answer from relay 0" in caplog.text
    trains()
    client.close()


def test_lost_worker_in_words(pool, dataset):
    """What another process says of a lost worker stays in one line, and has the host of the relay."""
    lost = LostWorker(5, "forged", UNRESPONSIVE, "two\nlines")
    client = admit_relay(pool, dataset, Status(1, {6: 3}, [lost], 2, 1))
    (found,) = pool.stats.newest_lost
    assert found == replace(lost, host="here", reason="two\\nlines")
    assert (pool.stats.reissued, pool.stats.compared, pool.stats.answered) == (2, 1, {6: 3})
    client.close()


@pytest.mark.parametrize(("error", "ends"), [(TrainingError("workers 5 and 6"), True), (DatasetError("row 5"), False)])
def test_error_of_a_relay(pool, dataset, threads, expected, error, ends):
    """Different gradients are an error of the run; data that are wrong may be an error of the node."""
    client = admit_relay(pool, dataset, Status(1, {6: 0}))
    client.fail(error)
    threads.submit(work, pool.addresses[0], dataset, 0)
    if ends:
        with pytest.raises(TrainingError, match=r"^relay 0 on here: workers 5 and 6$"):
            pool.gather(2, SECONDS)
    else:
        assert pool.gather(1, SECONDS)
        assert Training(pool, 1).run() == expected
        assert pool.stats.lost == 0
    client.close()


def test_short_status():
    """It is not shorter than an answer, which is read by one call."""
    frame = protocol.pack_status(Status(0, {}))
    assert len(frame) >= protocol.ANSWER_BYTES
    assert protocol.unpack_status(frame) == Status(0, {})
