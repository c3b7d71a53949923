"""Sums over steps and the means they give, and the events that are made of them."""

import json
import math
from collections import Counter
from unittest import mock

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ddmlp.inference.evaluation import Evaluation
from ddmlp.plan.plan import Plan
from ddmlp.plan.row_stats import RowStats
from ddmlp.training import metrics
from ddmlp.training.metrics import RECORDS_PER_EPOCH, Journal, Prequential, Stretch, spread
from ddmlp.training.step_loop import WaitTimes
from ddmlp.training.worker_pool import PoolStats

ONE = PoolStats(workers=1)


def plan_of(steps_per_epoch, epochs=2):
    """Batches of 10 rows, the last of an epoch of 5."""
    rows = 10 * steps_per_epoch - 5
    return Plan(rows, batch=10, microbatch=5, epochs=epochs, seed=0, block=10, window=rows)


def journal_at(step=0, about=None, complaints=(), follow=False):
    return Journal(follow, step, about or {}, list(complaints))


def events_of(journal):
    return journal.report()[1]


def steps_noted(plan, start=0, last=None):
    """The steps of the progress events of a run from `start` to `last`."""
    journal, last = journal_at(start), plan.steps if last is None else last
    for step in range(start + 1, last + 1):
        journal.applied(RowStats(10, 0, 1.0, 1), 0.5)
        journal.progress(step, plan, ONE, WaitTimes(), last=step == last)
    return [event["step"] for event in events_of(journal) if event["event"] == "progress"]


def test_simple():
    stretch = Stretch()
    stretch.add(RowStats(30, 0, 60.0, 3), seconds=0.5, staleness=2)
    stretch.add(RowStats(10, 0, 20.0, 1), seconds=0.5, staleness=0)
    assert (stretch.error, stretch.mistaken, stretch.speed) == pytest.approx((2.0, 0.1, 40.0))
    assert stretch.staleness == {0: 1, 2: 1}


def test_without_rows_there_is_no_mean():
    assert math.isnan(Stretch().error)
    assert math.isnan(Stretch().mistaken)
    assert Stretch().speed == 0


def test_a_journal_begins_with_a_start_that_says_what_was_wrong():
    assert events_of(journal_at(3, complaints=["a", "b"])) == [{"event": "start", "step": 3, "complaints": ["a", "b"]}]


def test_a_report_has_what_was_measured_and_what_happened_since_the_last():
    journal = journal_at()
    journal.applied(RowStats(10, 0, 5.0, 2), 0.5, 3)
    journal.applied(RowStats(10, 0, 3.0, 1), 1.5, 3)
    stretch, events = journal.report()
    assert (stretch, len(events)) == (Stretch(20, 8.0, 3, 2.0, Counter({3: 2})), 1)
    journal.applied(RowStats(5, 0, 1.0, 0), 0.25)
    journal.checkpoint(3, 0.125, "c" * 64)
    assert journal.report() == (
        Stretch(5, 1.0, 0, 0.25, Counter({0: 1})),
        [{"event": "checkpoint", "step": 3, "seconds": 0.125, "chain": "c" * 64}],
    )
    assert journal.report() == (Stretch(), [])


def test_progress_says_what_was_measured_since_the_last_and_what_the_queues_went_through():
    plan, journal = plan_of(4), journal_at(about={"train_seconds": 100.0})
    pool = PoolStats(workers=3, depth=2, high_water=5, unread=1, unread_high_water=2, reissued=1)
    waits = WaitTimes(results=1.0, full_queue=0.75, units=0.625)
    journal.applied(RowStats(10, 0, 5.0, 2), 2.0, 7)
    journal.progress(1, plan, pool, waits, last=False)
    journal.report()
    for staleness in (0, 2, 2):
        journal.applied(RowStats(10, 0, 4.0, 1), 0.5, staleness)
    journal.progress(6, plan, pool, waits, last=False)
    assert events_of(journal) == [
        {
            "event": "progress",
            "step": 6,
            "epoch": 1.5,
            "rows": 55,
            "error": 0.4,
            "mistakes": 0.1,
            "rows_per_second": 20.0,
            "seconds": 103.5,
            "staleness": {"mean": pytest.approx(4 / 3), "max": 2, "histogram": {"0": 1, "2": 2}},
            "workers": 3,
            "queues": {
                "units": {"depth": 2, "high_water": 5, "blocked_seconds": 0.75},
                "gradients": {"depth": 1, "high_water": 2, "blocked_seconds": 0.625},
            },
            "wait_seconds": 1.0,
            "reissued": 1,
        }
    ]


def test_reports_between_do_not_shorten_what_progress_is_of():
    journal = journal_at()
    journal.applied(RowStats(10, 0, 5.0, 2), 1.0)
    journal.report()
    journal.applied(RowStats(10, 0, 3.0, 2), 1.0)
    journal.progress(2, plan_of(4), ONE, WaitTimes(), last=False)
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


@pytest.mark.parametrize("steps", [1, 49, 50, 51, 237])
def test_the_next_record_is_the_next_step_that_is_noted_unless_the_epoch_ends_before(steps):
    plan = plan_of(steps)
    noted = steps_noted(plan)
    for step in range(plan.steps):
        end = step - step % steps + steps
        assert min(end, journal_at().next_record(step, plan)) == min(each for each in noted if each > step)


def test_the_last_step_is_noted_wherever_it_is():
    assert steps_noted(plan_of(237), last=101) == [*range(5, 101, 5), 101]


def test_a_tested_epoch_says_how_well_and_all_events_are_json():
    journal = journal_at(about={"train_seconds": 1.5})
    journal.applied(RowStats(35, 0, 5.0, 2), 2.0)
    journal.epoch(4, plan_of(4), Evaluation(np.array([[3, 1], [0, 4]]), 0.25, np.array([5])))
    found = events_of(journal)[1]
    assert found == {
        "event": "epoch",
        "step": 4,
        "epoch": 1,
        "test_error": 0.125,
        "test_cross_entropy": 0.25,
        "test_rows": 8,
        "seconds": 3.5,
    }
    assert json.loads(json.dumps(found)) == found


def test_the_spread_of_staleness():
    assert spread({2: 1, 0: 3}) == {"mean": 0.5, "max": 2, "histogram": {"0": 3, "2": 1}}
    assert list(spread({10: 1, 9: 1})["histogram"]) == ["9", "10"], "by number"
    assert spread({}) == {"mean": 0.0, "max": 0, "histogram": {}}


def test_the_staleness_of_all_updates_has_those_before():
    journal = journal_at(step=5, about={"staleness": {"0": 1, "3": 4}})
    journal.applied(RowStats(10, 0, 1.0, 0), 0.5, 3)
    journal.applied(RowStats(10, 0, 1.0, 0), 0.5, 4)
    assert journal.stale["histogram"] == {"0": 1, "3": 5, "4": 1}
    assert journal.report()[0].staleness == {3: 1, 4: 1}
    assert json.loads(json.dumps(journal.about()))["staleness"] == {"0": 1, "3": 5, "4": 1}


@mock.patch.object(metrics, "WINDOW", 25)
def test_the_prequential_error_is_over_the_newest_whole_steps_and_over_all():
    found = Prequential({})
    for rows, mistakes in [(10, 9), (10, 5), (10, 1)]:
        found.add(RowStats(rows, 0, 0.0, mistakes))
    assert found.found == {"window": 30, "error": 0.5, "overall": 0.5}
    found.add(RowStats(10, 0, 0.0, 0))
    assert found.found == {"window": 30, "error": 0.2, "overall": 0.375}
    found.add(RowStats(5, 0, 0.0, 4))
    assert found.found == {"window": 25, "error": 0.2, "overall": 19 / 45}
    found.add(RowStats(40, 0, 0.0, 4))
    assert found.found == {"window": 40, "error": 0.1, "overall": 23 / 85}


def newest(steps, window):
    """The newest steps of at least so many rows, or all of them."""
    taken = []
    while len(taken) < len(steps) and sum(rows for rows, _ in taken) < window:
        taken.append(steps[-1 - len(taken)])
    return taken


@settings(deadline=None, database=None, max_examples=200)
@given(
    st.lists(st.integers(1, 40).flatmap(lambda rows: st.tuples(st.just(rows), st.integers(0, rows)))),
    st.integers(0, 20),
)
@example([(10, 3), (15, 2), (25, 1)], 1)
def test_the_prequential_error_goes_on_exactly_after_a_checkpoint(steps, cut):
    found = Prequential({})
    for place, (rows, mistakes) in enumerate(steps):
        if place == cut:
            found = Prequential(json.loads(json.dumps(found.about())))
        with mock.patch.object(metrics, "WINDOW", 25):
            found.add(RowStats(rows, 0, 0.0, mistakes))
        (window, wrong), (total, mistaken) = (
            map(sum, zip(*taken, strict=True)) for taken in (newest(steps[: place + 1], 25), steps[: place + 1])
        )
        assert found.found == {"window": window, "error": wrong / window, "overall": mistaken / total}


def test_only_who_follows_tests_first():
    for follow in (False, True):
        journal = journal_at(follow=follow)
        journal.applied(RowStats(10, 0, 1.0, 4), 0.5)
        journal.progress(1, plan_of(4), ONE, WaitTimes(), last=True)
        assert [*journal.about()] == ["train_seconds", "staleness", "prequential"][: 2 + follow]
        assert ("prequential" in events_of(journal)[1]) == ("prequential" in journal.tested_first) == follow
        assert journal.prequential == pytest.approx(0.4 if follow else math.nan, nan_ok=True)


def test_a_journal_goes_on_with_what_it_says_of_itself():
    journal = journal_at(follow=True)
    journal.applied(RowStats(10, 0, 1.0, 4), 0.5)
    again = journal_at(1, json.loads(json.dumps(journal.about())), follow=True)
    for each in (journal, again):
        each.applied(RowStats(10, 0, 1.0, 1), 0.25)
    assert again.about() == journal.about()
    assert (again.seconds, again.prequential) == (0.75, 0.25)
