"""Sums and means over steps, and the events made from them."""

import dataclasses
import math
from collections import Counter
from unittest import mock

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec.structs import replace

from ddmlp.inference.evaluation import Evaluation
from ddmlp.plan.plan import Plan
from ddmlp.plan.row_stats import RowStats
from ddmlp.runs.checkpoint import Header, PrequentialState
from ddmlp.runs.events import Epoch, Lost, Progress, Queue, Queues, Saved, Started, read_event
from ddmlp.runs.json_text import from_json, to_json
from ddmlp.runs.measures import PrequentialError, Staleness
from ddmlp.training import metrics
from ddmlp.training.metrics import RECORDS_PER_EPOCH, Journal, Prequential, Stretch
from ddmlp.training.step_loop import WaitTimes
from ddmlp.training.worker_pool import EXITED, LostWorker, PoolStats

BEGIN = Header(train_seconds=0.0, staleness={})
ONE = PoolStats(workers=1)


def plan_of(steps_per_epoch, epochs=2):
    """A plan with batches of 10 rows; the last one of an epoch has 5."""
    rows = 10 * steps_per_epoch - 5
    return Plan(rows, batch=10, microbatch=5, epochs=epochs, seed=0, block=10, window=rows)


def journal_at(step=0, complaints=(), follow=False, **header):
    return Journal(follow, step, replace(BEGIN, **header), list(complaints))


def again(header):
    """A checkpoint's header after it was written and read."""
    return from_json(to_json(header), Header)


def events_of(journal):
    return journal.report()[1]


def steps_noted(plan, start=0, last=None):
    """The steps of the progress events of a run from `start` to `last`."""
    journal, last = journal_at(start), plan.steps if last is None else last
    for step in range(start + 1, last + 1):
        journal.applied(RowStats(10, 0, 1.0, 1, 1.0), 0.5)
        journal.progress(step, plan, ONE, WaitTimes(), last=step == last)
    return [event.step for event in events_of(journal) if isinstance(event, Progress)]


def test_simple():
    stretch = Stretch()
    stretch.record_step(RowStats(30, 0, 60.0, 3, 1.0), seconds=0.5, staleness=2)
    stretch.record_step(RowStats(10, 0, 20.0, 1, 1.0), seconds=0.5, staleness=0)
    assert (stretch.error, stretch.mistaken, stretch.speed) == pytest.approx((2.0, 0.1, 40.0))
    assert stretch.staleness == {0: 1, 2: 1}


def test_no_rows_no_mean():
    assert math.isnan(Stretch().error)
    assert math.isnan(Stretch().mistaken)
    assert Stretch().speed == 0


def test_start_event():
    assert events_of(journal_at(3, complaints=["a", "b"])) == [Started(3, ["a", "b"])]


def test_stretch_of_a_report():
    journal = journal_at()
    journal.applied(RowStats(10, 0, 5.0, 2, 1.0), 0.5, 3)
    journal.applied(RowStats(10, 0, 3.0, 1, 1.0), 1.5, 3)
    stretch, events = journal.report()
    assert (stretch, len(events)) == (Stretch(20, 8.0, 3, 2.0, Counter({3: 2})), 1)
    journal.applied(RowStats(5, 0, 1.0, 0, 1.0), 0.25)
    journal.checkpoint(3, 0.125, "c" * 64)
    assert journal.report() == (
        Stretch(5, 1.0, 0, 0.25, Counter({0: 1})),
        [Saved(3, 0.125, "c" * 64)],
    )
    assert journal.report() == (Stretch(), [])


def test_stretch_of_progress():
    plan, journal = plan_of(4), journal_at(train_seconds=100.0)
    pool = PoolStats(workers=3, depth=2, high_water=5, unread=1, unread_high_water=2, reissued=1, waited=0.625)
    waits = WaitTimes(results=1.0, full_queue=0.75)
    journal.applied(RowStats(10, 0, 5.0, 2, 1.0), 2.0, 7)
    journal.progress(1, plan, pool, waits, last=False)
    journal.report()
    for staleness in (0, 2, 2):
        journal.applied(RowStats(10, 0, 4.0, 1, 1.0), 0.5, staleness)
    journal.progress(6, plan, pool, waits, last=False)
    assert events_of(journal) == [
        Progress(
            step=6,
            epoch=1.5,
            rows=55,
            error=0.4,
            mistakes=0.1,
            speed=20.0,
            seconds=103.5,
            staleness=Staleness(4 / 3, 2, {0: 1, 2: 2}),
            workers=3,
            queues=Queues(units=Queue(2, 5, 0.75), gradients=Queue(1, 2, 0.625)),
            waited=1.0,
            reissued=1,
        )
    ]


def test_reports_and_progress():
    journal = journal_at()
    journal.applied(RowStats(10, 0, 5.0, 2, 1.0), 1.0)
    journal.report()
    journal.applied(RowStats(10, 0, 3.0, 2, 1.0), 1.0)
    journal.progress(2, plan_of(4), ONE, WaitTimes(), last=False)
    assert events_of(journal)[0].error == 0.4


@pytest.mark.parametrize("steps", [1, RECORDS_PER_EPOCH - 1, RECORDS_PER_EPOCH, RECORDS_PER_EPOCH + 1, 237, 938])
def test_records_of_an_epoch(steps):
    noted = steps_noted(plan_of(steps))
    for epoch in range(2):
        mine = [step for step in noted if epoch * steps < step <= (epoch + 1) * steps]
        assert min(steps, RECORDS_PER_EPOCH) / 2 < len(mine) <= RECORDS_PER_EPOCH
        assert mine[-1] == (epoch + 1) * steps


def test_resumed_in_mid_epoch():
    plan = plan_of(237)
    assert steps_noted(plan, start=101) == [step for step in steps_noted(plan) if step > 101]


@pytest.mark.parametrize("steps", [1, 49, 50, 51, 237])
def test_next_record(steps):
    plan = plan_of(steps)
    noted = steps_noted(plan)
    for step in range(plan.steps):
        end = step - step % steps + steps
        assert min(end, journal_at().next_record(step, plan)) == min(each for each in noted if each > step)


def test_last_step():
    assert steps_noted(plan_of(237), last=101) == [*range(5, 101, 5), 101]


def test_lost_workers():
    journal = journal_at()
    journal.lost(3, [LostWorker(1, "far", EXITED, "its connection has ended")])
    lost = Lost(step=3, worker=1, host="far", cause="exited", reason="its connection has ended")
    assert events_of(journal) == [Started(0, []), lost]
    assert read_event(to_json(lost)) == lost


def test_units_of_each_worker():
    journal = journal_at()
    journal.applied(RowStats(10, 0, 1.0, 1, 1.0), 0.5)
    journal.progress(1, plan_of(2), dataclasses.replace(ONE, answered={0: 4, 3: 1}), WaitTimes(), last=True)
    written = to_json(events_of(journal)[-1])
    assert read_event(written).answered == {0: 4, 3: 1}


def test_epoch_event():
    journal = journal_at(train_seconds=1.5)
    journal.applied(RowStats(35, 0, 5.0, 2, 1.0), 2.0)
    journal.epoch(4, plan_of(4), Evaluation(np.array([[3, 1], [0, 4]]), 0.25, np.array([5])))
    assert events_of(journal)[1] == Epoch(step=4, epoch=1, error=0.125, cross_entropy=0.25, rows=8, seconds=3.5)


def test_staleness_of_all_updates():
    journal = journal_at(step=5, staleness={0: 1, 3: 4})
    journal.applied(RowStats(10, 0, 1.0, 0, 1.0), 0.5, 3)
    journal.applied(RowStats(10, 0, 1.0, 0, 1.0), 0.5, 4)
    assert journal.staleness == Staleness(19 / 7, 4, {0: 1, 3: 5, 4: 1})
    assert journal.report()[0].staleness == {3: 1, 4: 1}
    assert again(journal.header).staleness == {0: 1, 3: 5, 4: 1}


@mock.patch.object(metrics, "WINDOW", 25)
def test_prequential_error():
    found = Prequential(None)
    assert found.error is None
    for rows, mistakes in [(10, 9), (10, 5), (10, 1)]:
        found.record_step(RowStats(rows, 0, 0.0, mistakes, 1.0))
    assert found.error == PrequentialError(30, 0.5, 0.5)
    found.record_step(RowStats(10, 0, 0.0, 0, 1.0))
    assert found.error == PrequentialError(30, 0.2, 0.375)
    found.record_step(RowStats(5, 0, 0.0, 4, 1.0))
    assert found.error == PrequentialError(25, 0.2, 19 / 45)
    found.record_step(RowStats(40, 0, 0.0, 4, 1.0))
    assert found.error == PrequentialError(40, 0.1, 23 / 85)


def newest(steps, window):
    """The newest steps that have at least `window` rows together, or all of them."""
    taken = []
    while len(taken) < len(steps) and sum(rows for rows, _ in taken) < window:
        taken.append(steps[-1 - len(taken)])
    return taken


@given(
    st.lists(st.integers(1, 40).flatmap(lambda rows: st.tuples(st.just(rows), st.integers(0, rows)))),
    st.integers(0, 20),
)
@example([(10, 3), (15, 2), (25, 1)], 1)
def test_prequential_resumes(steps, cut):
    found = Prequential(None)
    for place, (rows, mistakes) in enumerate(steps):
        if place == cut:
            found = Prequential(from_json(to_json(found.state), PrequentialState))
        with mock.patch.object(metrics, "WINDOW", 25):
            found.record_step(RowStats(rows, 0, 0.0, mistakes, 1.0))
        (window, wrong), (total, mistaken) = (
            map(sum, zip(*taken, strict=True)) for taken in (newest(steps[: place + 1], 25), steps[: place + 1])
        )
        assert found.error == PrequentialError(window, wrong / window, mistaken / total)


def test_prequential_of_streams():
    for follow in (False, True):
        journal = journal_at(follow=follow)
        journal.applied(RowStats(10, 0, 1.0, 4, 1.0), 0.5)
        journal.progress(1, plan_of(4), ONE, WaitTimes(), last=True)
        due = PrequentialError(10, 0.4, 0.4) if follow else None
        assert events_of(journal)[1].prequential == journal.prequential == due
        assert journal.header.prequential == (PrequentialState(10, 4, [(10, 4)]) if follow else None)


def test_continues_from_header():
    journal = journal_at(follow=True)
    journal.applied(RowStats(10, 0, 1.0, 4, 1.0), 0.5)
    other = Journal(True, 1, again(journal.header), [])
    for each in (journal, other):
        each.applied(RowStats(10, 0, 1.0, 1, 1.0), 0.25)
    assert other.header == journal.header
    assert (other.seconds, other.prequential) == (0.75, PrequentialError(20, 0.25, 0.25))
