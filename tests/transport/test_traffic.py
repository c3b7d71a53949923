"""The numbers of messages and bytes that a step sends."""

import pytest

from ddmlp.config import Timeouts
from ddmlp.transport.frames import FrameSocket
from tests.support.sockets import PLAN, SECONDS, SHAPE, Training, all_kinds, listening, work

FRAME = 250  # bytes of a message without arrays, at most


@all_kinds
@pytest.mark.usefixtures("never_packed")
def test_simple(dataset, threads, monkeypatch, kind):
    """Each worker gets the weights once, and sends the sum of a unit."""
    sent: list[int] = []

    def send(self, frame, array=None):
        sent.extend([len(frame)] if array is None else [len(frame), array.nbytes])
        before(self, frame, array)

    before = FrameSocket.send
    with listening(dataset, Timeouts(overdue=3_600)) as pool:  # no worker is overdue, however busy the machine is
        workers = [threads.submit(work, pool.addresses[kind], dataset, index) for index in range(2)]
        assert pool.gather(2, SECONDS)
        training = Training(pool, 2)
        training.run(to=2)
        monkeypatch.setattr(FrameSocket, "send", send)
        training.run(to=6)
        monkeypatch.undo()
    assert [working.result() > 0 for working in workers] == [True, True]
    units = sum(len(PLAN.units_for(step, (1, 1))) for step in range(2, 6))
    arrays = [size for size in sent if size >= FRAME]
    assert len(sent) - len(arrays) == 2 * units, "a unit, and an answer"
    weights = SHAPE.size * 4
    assert set(arrays) <= {weights}
    assert len(arrays) <= (kind > 0) * (units + 2 * 4), "shared memory sends none"
    assert (len(arrays) >= units) == (kind > 0)
