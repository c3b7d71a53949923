"""Sums over steps and the means they give, and the events that are made of them."""

import json
import math

import numpy as np
import pytest

from ddmlp.evaluate import Evaluation
from ddmlp.ledger import Tally
from ddmlp.metrics import RECORDS_PER_EPOCH, Journal, Stretch
from ddmlp.plan import Node, Plan
from ddmlp.queues import FIRST, Unit, UnitQueue


def plan_of(steps_per_epoch, epochs=2):
    """Batches of 10 rows, the last of an epoch of 5."""
    rows = 10 * steps_per_epoch - 5
    return Plan(rows, batch=10, microbatch=5, epochs=epochs, seed=0, block=10, window=rows)


def events_of(journal):
    return journal.report()[1]


def steps_noted(plan, start=0, last=None):
    """The steps of the progress events of a run from `start` to `last`."""
    journal, last = Journal(plan, start, 0.0, []), plan.steps if last is None else last
    for step in range(start + 1, last + 1):
        journal.applied(Tally(10, 0, 1.0, 1), 0.5)
        journal.progress(step, 1, UnitQueue(1), last=step == last)
    return [event["step"] for event in events_of(journal) if event["event"] == "progress"]


def test_simple():
    stretch = Stretch()
    stretch.add(Tally(30, 0, 60.0, 3), seconds=0.5)
    stretch.add(Tally(10, 0, 20.0, 1), seconds=0.5)
    assert (stretch.error, stretch.mistaken, stretch.speed) == pytest.approx((2.0, 0.1, 40.0))


def test_without_rows_there_is_no_mean():
    assert math.isnan(Stretch().error)
    assert math.isnan(Stretch().mistaken)
    assert Stretch().speed == 0


def test_a_journal_begins_with_a_start_that_says_what_was_wrong():
    assert events_of(Journal(plan_of(4), 3, 0.0, ["a", "b"])) == [
        {"event": "start", "step": 3, "complaints": ["a", "b"]}
    ]


def test_a_report_has_what_was_measured_and_what_happened_since_the_last():
    journal = Journal(plan_of(4), 0, 0.0, [])
    journal.applied(Tally(10, 0, 5.0, 2), 0.5)
    journal.applied(Tally(10, 0, 3.0, 1), 1.5)
    stretch, events = journal.report()
    assert (stretch, len(events)) == (Stretch(20, 8.0, 3, 2.0), 1)
    journal.applied(Tally(5, 0, 1.0, 0), 0.25)
    journal.checkpoint(3, 0.125, "c" * 64)
    assert journal.report() == (
        Stretch(5, 1.0, 0, 0.25),
        [{"event": "checkpoint", "step": 3, "seconds": 0.125, "chain": "c" * 64}],
    )
    assert journal.report() == (Stretch(), [])


def test_progress_says_what_was_measured_since_the_last_and_what_the_queue_went_through():
    journal, queue = Journal(plan_of(4), 0, 100.0, []), UnitQueue(2)
    for index in range(2):
        queue.put(Unit(0, 0, Node(index, index + 1)))
    queue.take(0)
    queue.reissue(FIRST)
    assert queue.take(1, FIRST) is not None
    journal.waited = 0.75
    journal.applied(Tally(10, 0, 5.0, 2), 2.0)
    journal.progress(1, 3, queue, last=False)
    journal.report()
    journal.applied(Tally(10, 0, 4.0, 1), 0.5)
    journal.progress(6, 3, queue, last=False)
    assert events_of(journal) == [
        {
            "event": "progress",
            "step": 6,
            "epoch": 1.5,
            "rows": 55,
            "error": 0.4,
            "mistakes": 0.1,
            "rows_per_second": 20.0,
            "seconds": 102.5,
            "workers": 3,
            "queue": {"high_water": 2, "reissued": 1, "wait_seconds": 0.75},
        }
    ]


def test_reports_between_do_not_shorten_what_progress_is_of():
    journal = Journal(plan_of(4), 0, 0.0, [])
    journal.applied(Tally(10, 0, 5.0, 2), 1.0)
    journal.report()
    journal.applied(Tally(10, 0, 3.0, 2), 1.0)
    journal.progress(2, 1, UnitQueue(1), last=False)
    assert events_of(journal)[0]["error"] == 0.4


@pytest.mark.parametrize("steps", [1, RECORDS_PER_EPOCH - 1, RECORDS_PER_EPOCH, RECORDS_PER_EPOCH + 1, 237, 938])
def test_each_epoch_has_so_many_records_and_no_more_and_one_at_its_end(steps):
    noted = steps_noted(plan_of(steps))
    for epoch in range(2):
        mine = [step for step in noted if epoch * steps < step <= (epoch + 1) * steps]
        assert min(steps, RECORDS_PER_EPOCH) / 2 < len(mine) <= RECORDS_PER_EPOCH
        assert mine[-1] == (epoch + 1) * steps


def test_a_run_that_goes_on_in_mid_epoch_notes_the_steps_it_would_have_noted():
    plan = plan_of(237)
    assert steps_noted(plan, start=101) == [step for step in steps_noted(plan) if step > 101]


def test_the_last_step_is_noted_wherever_it_is():
    assert steps_noted(plan_of(237), last=101) == [*range(5, 101, 5), 101]


def test_a_tested_epoch_says_how_well_and_all_events_are_json():
    journal = Journal(plan_of(4), 0, 1.5, [])
    journal.applied(Tally(35, 0, 5.0, 2), 2.0)
    journal.epoch(4, Evaluation(np.array([[3, 1], [0, 4]]), 0.25))
    found = events_of(journal)[1]
    assert found == {
        "event": "epoch",
        "step": 4,
        "epoch": 1,
        "test_error": 0.125,
        "test_cross_entropy": 0.25,
        "seconds": 3.5,
    }
    assert json.loads(json.dumps(found)) == found
