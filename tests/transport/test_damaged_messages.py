"""Messages that do not arrive as they were sent."""

import pytest

from ddmlp.training.worker_pool import EXITED
from ddmlp.transport import protocol
from tests.support.sockets import SECONDS, Training, admit, both_kinds, packed, work, worker


@both_kinds
@pytest.mark.parametrize("end", [3, 60, -2, None], ids=["head", "frame", "array", "flipped"])
def test_damaged_answer(pool, dataset, threads, expected, kind, end):
    """An honest worker's answer that is cut off, or in which a bit flips on the way, never reaches the weights."""
    link = admit(pool, pool.addresses[kind], dataset, 0)
    threads.submit(work, pool.addresses[kind], dataset, 1)
    assert pool.gather(2, SECONDS)

    def answer_once():
        unit, weights = next(link.units())
        row_stats, array = worker(dataset).compute(unit, weights, link.gradient()), link.gradient().flat
        follows = array.nbytes * kind
        sent = packed(protocol.pack_answer(unit, row_stats, 0, follows, 0.0), array if kind else None)
        link._wire.socket.setblocking(True)
        if end is None:
            link._wire.socket.sendall(sent[:-1] + bytes([sent[-1] ^ 64]))
        else:
            link._wire.socket.sendall(sent[:end])
            link.close()

    answering = threads.submit(answer_once)
    training = Training(pool, 2)
    assert training.run() == expected
    answering.result(SECONDS)
    while pool.count > 1:
        pool.gather(1_000, 0.01)
    (lost,) = pool.stats.newest_lost
    assert (lost.worker, lost.cause, "checksum" in lost.reason) == (0, EXITED, end is None)
    link.close()
