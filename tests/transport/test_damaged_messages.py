"""Messages that do not arrive as they were sent."""

from itertools import product

import pytest

from ddmlp.training.worker_pool import EXITED
from ddmlp.transport import protocol
from tests.support.sockets import KINDS, SECONDS, Training, admit, packed, work, worker


@pytest.mark.parametrize(
    ("kind", "end"),
    [*product(range(3), [3, 60, -2, None])],
    ids=lambda value: (
        KINDS[value] if value in range(3) else {3: "head", 60: "frame", -2: "array", None: "flipped"}[value]
    ),
)
def test_damaged_answer(pool, dataset, threads, expected, kind, end):
    """An honest worker's answer that is cut off, or in which a bit flips on the way, never reaches the weights."""
    link = admit(pool, pool.addresses[kind], dataset, 0)
    threads.submit(work, pool.addresses[kind], dataset, 1)
    assert pool.gather(2, SECONDS)

    def answer_once():
        unit, weights = next(link.units())
        row_stats, array = worker(dataset).compute(unit, weights, link.gradient()), link.gradient().flat
        follows = array.nbytes * (kind > 0)
        sent = packed(protocol.pack_answer(unit, row_stats, 0, follows, 0.0), array if kind else None)
        damaged = sent[:-1] + bytes([sent[-1] ^ 64]) if end is None else sent[:end]
        link._wire._outgoing.append(memoryview(damaged))
        link._link.flush()
        if end is not None:
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
