"""Packed arrays of a connection: the same result, in fewer bytes, and what is malformed is rejected."""

from contextlib import suppress

import numpy as np
import pytest

from ddmlp.nn.packing import largest_packed
from ddmlp.plan.row_stats import RowStats
from ddmlp.training.messages import CREDITS
from ddmlp.transport import packed_arrays, protocol
from ddmlp.transport.packed_arrays import PackedArrays
from tests.support.sockets import PLAN, SECONDS, SHAPE, Training, admit, work

WHOLE = 4 * SHAPE.size


@pytest.fixture
def link(monkeypatch):
    """Makes all links seem to be slow, or fast; returns the list of the bytes of each gradient that is then sent."""

    def link(*, slow):
        monkeypatch.setattr(packed_arrays, "PACKING", 1e30 if slow else 0.0)
        sent, to_send = [], PackedArrays.to_send

        def counted(self, flat):
            found = to_send(self, flat)
            sent.append(found.nbytes)
            return found

        monkeypatch.setattr(PackedArrays, "to_send", counted)
        return sent

    return link


@pytest.mark.parametrize("kind", [1, pytest.param(2, marks=pytest.mark.slow)], ids=["tcp", "tls"])
@pytest.mark.parametrize("slow", [True, False])
def test_simple(pool, dataset, threads, expected, link, kind, slow):
    sent = link(slow=slow)
    for index in range(2):
        threads.submit(work, pool.addresses[kind], dataset, index)
    assert pool.gather(2, SECONDS)
    assert Training(pool, 2).run() == expected
    assert len(sent) >= 2 * PLAN.steps
    assert {nbytes < WHOLE / 4 for nbytes in sent} == {slow}


def test_shared_memory(pool, dataset, threads, expected, link):
    """It is never slow."""
    sent = link(slow=True)
    threads.submit(work, pool.addresses[0], dataset, 0)
    assert pool.gather(1, SECONDS)
    assert Training(pool, 1).run() == expected
    assert sent == []


@pytest.mark.parametrize(
    "follows", [0, 4, 6, 4 * largest_packed(SHAPE) + 4, WHOLE - 4, WHOLE + 4, 2**62], ids=lambda size: f"{size:,}"
)
def test_malformed(pool, dataset, threads, expected, follows):
    """A packed array of a wrong size, or of zeros that end too early."""
    faulty = admit(pool, pool.addresses[1], dataset, 0)
    threads.submit(work, pool.addresses[1], dataset, 1)
    assert pool.gather(2, SECONDS)

    def send_malformed():
        units = faulty.units()
        unit, _ = next(units)
        array = np.zeros(min(follows, WHOLE) // 4, np.float32)
        with suppress(OSError):
            faulty._wire.send(protocol.pack_answer(unit, RowStats(1, 2, 0.5, 0, 0.25), 0, follows, 0.0), array)
        return [*units]

    sending = threads.submit(send_malformed)
    assert Training(pool, 2).run() == expected
    while pool.count > 1:
        pool.gather(1_000, 0.01)
    assert [*pool.stats.answered] == [1]
    assert len(sending.result(SECONDS)) < CREDITS, "the connection was closed"
    faulty.close()


def test_links_speed(monkeypatch):
    """A link is slow if an array takes longer than packing would; one that is packed says nothing."""

    class Wire:
        def __init__(self):
            self.parts = 3

        def receive_array(self, out):
            now[0] += len(out) * 4 / rate
            self.parts -= 1
            out[:] = 0
            return self.parts <= 0

    now = [100.0]
    monkeypatch.setattr(packed_arrays.time, "monotonic", lambda: now[0])
    found, flat, wire = [], np.zeros(SHAPE.size, np.float32), Wire()
    arrays = PackedArrays(wire, SHAPE)
    for factor, follows in [(20, WHOLE), (0.5, 4 * SHAPE.rows), (0.5, WHOLE), (20, 4 * SHAPE.rows), (20, WHOLE)]:
        wire.parts, rate = 3, factor * packed_arrays.PACKING
        assert [arrays.receive(follows, flat) for _ in range(3)] == [False, False, True]
        found.append(arrays.slow)
    assert found == [False, False, True, True, False]
