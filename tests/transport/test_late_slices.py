"""Late workers with several servers: their answers are compared, or given up with the weights that they need."""

import pytest

from ddmlp.transport.client import run_worker
from tests.support.slices import join, training
from tests.support.sockets import PLAN, SECONDS, SLOTS, meet, worker


@pytest.fixture
def trained(dataset):
    """A training with units for two on two servers, and a worker, number 0, that is in time."""
    with training(dataset, 2, 1) as trained:
        trained.schedule.count = 2
        yield trained


def admit(trained, number):
    """Let a worker join that takes no unit yet; return its client."""
    pool = trained.pool
    client = meet(pool, join, pool.addresses[0], trained.group, 0, number)
    assert pool.gather(pool.count + (number not in pool.stats.answered), SECONDS)
    return client


def catch_up(trained):
    """Take the late answers."""
    while trained.queue.overdue:
        trained.take_late_answers()


def test_simple(trained, dataset, expected):
    """Both servers keep the weights that the late worker has not read yet."""
    late = admit(trained, 1)
    trained.run(to=3)
    assert trained.queue.overdue == 1
    trained.threads.submit(run_worker, worker(dataset), late)
    catch_up(trained)
    assert trained.queue.compared == 1
    assert trained.run() == expected


def test_weights_given_up(trained, dataset, expected):
    """Workers that do not answer keep a version each. The oldest one is given up if there is no room: its worker
    answers without a gradient, and is not lost."""
    late = []
    for step in range(SLOTS):
        late.append(admit(trained, step + 1))
        trained.run(to=step + 1)
    assert trained.queue.overdue == SLOTS
    trained.run(to=PLAN.steps - 1)
    assert [part.read(0) for part in trained.group.parts] == [None, None]
    for client in late:
        trained.threads.submit(run_worker, worker(dataset), client)
    catch_up(trained)
    assert trained.queue.compared == SLOTS - 1
    assert trained.run() == expected
    assert (trained.pool.count, trained.pool.stats.lost) == (SLOTS + 1, 0)
