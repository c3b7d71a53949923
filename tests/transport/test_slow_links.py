"""Slow links: a worker behind one does not hold up the others, whichever way it is slow."""

import pytest

from ddmlp.config import Timeouts
from ddmlp.training.worker_pool import UNRESPONSIVE
from tests.support.slow_link import ENDLESS, slow_link
from tests.support.sockets import PLAN, SECONDS, Training, work

HELLO, WELCOME = 1_500, 300  # bytes that a handshake takes, and a little of an array more
ways = pytest.mark.parametrize("limits", [(HELLO, ENDLESS), (ENDLESS, WELCOME)], ids=["to server", "to worker"])
gaps = pytest.mark.parametrize("gap", [None, 0.01], ids=["never", "byte by byte"])


@pytest.fixture
def run(pool, dataset, threads, expected):
    """Trains with a good worker and one behind a slow link, which gets the first unit; checks the result."""

    def run(link):
        slow = threads.submit(work, link.address, dataset, 0)
        assert pool.gather(1, SECONDS)
        threads.submit(work, pool.addresses[1], dataset, 1)
        assert pool.gather(2, SECONDS)
        assert Training(pool, 2).run() == expected
        assert link.slow.wait(SECONDS)
        assert pool.stats.reissued > 0
        return slow

    return run


@ways
@gaps
def test_simple(pool, run, limits, gap):
    """The run still ends; no worker is lost."""
    with slow_link(pool.addresses[1], limits, gap) as link:
        slow = run(link)
        assert (pool.count, pool.stats.lost, pool.stats.overdue) == (2, 0, 1)
    assert slow.result(SECONDS) < PLAN.steps


@ways
@gaps
def test_message_bound(pool, run, limits, gap):
    """The worker is lost, with the reason."""
    with slow_link(pool.addresses[1], limits, gap) as link:
        slow = run(link)
        short = Timeouts(message=0.05, unresponsive=0.05, bytes_per_second=1e9)
        pool._connections._timeouts = pool._queue._stragglers._timeouts = short
        while pool.count > 1:
            assert pool.next_result(0.01) is None
        (lost,) = pool.stats.newest_lost
        assert (lost.worker, lost.host, lost.cause) == (0, "here", UNRESPONSIVE)
    assert slow.result(SECONDS) < PLAN.steps


def test_rate(pool, dataset, threads, expected):
    """A link that transfers everything, but slowly."""
    with slow_link(pool.addresses[1], rate=1e6) as link:
        threads.submit(work, link.address, dataset, 0)
        assert pool.gather(1, SECONDS)
        threads.submit(work, pool.addresses[1], dataset, 1)
        assert pool.gather(2, SECONDS)
        assert Training(pool, 2).run() == expected
        assert pool.stats.reissued > 0
        assert (pool.count, pool.stats.lost) == (2, 0)
