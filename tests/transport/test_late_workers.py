"""Late workers, over real sockets: others do their work, their answers are compared, and what they read is kept."""

import numpy as np
import pytest

from ddmlp.config import Timeouts
from ddmlp.errors import TrainingError
from ddmlp.nn.weights import Weights
from ddmlp.transport.client import run_worker
from tests.support.sockets import PLAN, SECONDS, SHAPE, SLOTS, Training, admit, all_kinds, work, worker

GOOD = 9  # the number of the worker that is in time


@pytest.fixture
def training(pool, dataset, threads):
    """A training with units for two, and a worker that is in time."""
    threads.submit(work, pool.addresses[0], dataset, GOOD)
    assert pool.gather(1, SECONDS)
    return Training(pool, 2)


def catch_up(training):
    """Take the late answers."""
    while training.queue.overdue:
        training.take_late_answers()


def test_simple(pool, dataset, threads, expected, training):
    late = admit(pool, pool.addresses[0], dataset, 0)
    training.run(to=1)
    assert (training.queue.overdue, training.queue.compared) == (1, 0)
    assert training.queue.reissued >= 1
    threads.submit(run_worker, worker(dataset), late)
    catch_up(training)
    assert training.queue.compared == 1
    assert training.run() == expected


@all_kinds
@pytest.mark.parametrize("more", [False, True], ids=["one unit", "its credit"])
def test_late_weights_kept(pool, dataset, threads, expected, training, kind, more):
    training.schedule.count = 4 if more else 2
    late = admit(pool, pool.addresses[kind], dataset, 0)
    training.run(to=2 * SLOTS)
    assert training.queue.overdue == 1
    units = late.units()
    held = [next(units) for _ in range(1 + more)]
    assert {unit.version for unit, _ in held} == {0}
    for _, weights in held:
        assert weights.flat.tobytes() == Weights.draw(SHAPE, PLAN.seed).flat.tobytes()
    for unit, weights in held:
        late.answer(unit, worker(dataset).compute(unit, weights, late.gradient()))
    catch_up(training)
    assert training.queue.compared == len(held)
    training.queue._stragglers._timeouts = Timeouts(overdue=3_600)  # from here on it is never late
    threads.submit(run_worker, worker(dataset), late)
    assert training.run() == expected
    assert pool.stats.answered[0] > len(held), "a worker that has caught up gets units again"


@all_kinds
def test_late_answer_differs(pool, dataset, training, kind):
    late = admit(pool, pool.addresses[kind], dataset, 0)
    training.run(to=2)
    unit, weights = next(late.units())
    row_stats = worker(dataset).compute(unit, weights, late.gradient())
    late.gradient().flat.view(np.uint32)[7] ^= 1
    late.answer(unit, row_stats)
    differ = rf"workers {GOOD} and 0 .* step 0, microbatches {unit.node.lo} to "
    with pytest.raises(TrainingError, match=differ):
        catch_up(training)
    assert training.queue.compared == 0
    late.close()


def test_late_row_stats_differ(pool, dataset, training):
    late = admit(pool, pool.addresses[0], dataset, 0)
    training.run(to=2)
    unit, weights = next(late.units())
    row_stats = worker(dataset).compute(unit, weights, late.gradient())
    late.answer(unit, row_stats._replace(mistakes=row_stats.mistakes + 1))
    with pytest.raises(TrainingError, match=f"workers {GOOD} and 0 "):
        catch_up(training)
    late.close()


@all_kinds
def test_no_slot_is_free(pool, dataset, threads, expected, training, kind):
    """Workers that do not answer keep a slot each; if there is none left, the oldest answer will not be compared. No
    worker is lost because it is slow."""
    late = []
    for step in range(SLOTS):
        late.append(admit(pool, pool.addresses[kind], dataset, step))
        training.run(to=step + 1)
    assert training.queue.overdue == SLOTS
    training.run(to=PLAN.steps - 1)
    for link in late:
        threads.submit(run_worker, worker(dataset), link)
    catch_up(training)
    assert training.queue.compared == SLOTS - 1, "the others' weights are still there"
    assert training.run() == expected
    assert pool.count == SLOTS + 1
    assert pool.stats.lost == 0


@all_kinds
def test_late_worker_ends(pool, dataset, expected, training, kind):
    late = admit(pool, pool.addresses[kind], dataset, 0)
    training.run(to=3)
    assert training.queue.overdue == 1
    late.close()
    assert training.run() == expected
    while pool.count > 1:
        training.take_late_answers()
    assert (training.queue.overdue, training.queue.compared) == (0, 0)


def test_answer_given_twice(pool, dataset, expected, training):
    late = admit(pool, pool.addresses[0], dataset, 0)
    training.run(to=2)
    unit, weights = next(late.units())
    for _ in range(2):
        late.answer(unit, worker(dataset).compute(unit, weights, late.gradient()))
    while pool.count > 1:
        training.take_late_answers()
    assert training.queue.compared == 1
    assert training.run() == expected
    late.close()
