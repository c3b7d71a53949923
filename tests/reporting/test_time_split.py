"""The time of training, cut into parts that add up."""

from collections import Counter
from itertools import pairwise

import pytest

from ddmlp.reporting.time_split import TimeSplit
from ddmlp.runs.events import Progress, Queue, Records, Saved, Started


def line(seconds, waited, starved=0.0, workers=1):
    gradients = Queue(0, 0, starved)
    return Progress(1, 1, 1.0, 0.5, 1.0, seconds, workers, waited, Queue(0, 1, 0.0), gradients, Counter({0: 1}), None)


def split(*lines, follow=False):
    return TimeSplit.of(Records(list(lines)), follow=follow)


def test_simple():
    # Two workers wait 4 of 2 x 10 seconds, so each is busy for 8, and the server waits for 9.
    assert split(line(1, 1, 1, 2), line(11, 10, 5, 2)) == TimeSplit(seconds=10, server=1, arithmetic=8, messages=1)


def test_in_one_process_all_waiting_is_arithmetic():
    assert split(line(1, 0.5), line(3, 2)) == TimeSplit(seconds=2, server=0.5, arithmetic=1.5, messages=0)


def test_arithmetic_that_the_server_did_not_wait_for_is_not_counted():
    assert split(line(0, 0, 1, 2), line(10, 4, 2, 2)) == TimeSplit(seconds=10, server=6, arithmetic=4, messages=0)


def test_workers_that_did_nothing_but_wait_did_no_arithmetic():
    assert split(line(0, 0, 0, 1), line(10, 4, 30, 1)) == TimeSplit(seconds=10, server=6, arithmetic=0, messages=4)


def test_where_rows_are_still_coming_waiting_is_one():
    assert split(line(0, 0, 1, 2), line(10, 4, 2, 2), follow=True) == TimeSplit(10, 6, 4, None)
    assert split(line(0, 0), line(10, 4), follow=True) == TimeSplit(10, 6, 4, 0)


def test_only_stretches_of_nothing_but_training_count():
    lines = [line(0, 0), line(2, 1), Saved(1, 9.0), line(50, 40), line(52, 41), Started(1, []), line(60, 1)]
    assert split(*lines) == TimeSplit(seconds=4, server=2, arithmetic=2, messages=0)


@pytest.mark.parametrize("lines", [[], [line(1, 1)], [line(1, 0), Saved(1, 0.5), line(2, 1)], [line(1, 0), line(1, 0)]])
def test_without_such_a_stretch_there_is_none(lines):
    assert split(*lines) is None


def test_the_parts_add_up():
    lines = [line(n, 0.75 * n, 0.5 * n, 3) for n in range(1, 20)]
    found = split(*lines)
    assert found.server + found.arithmetic + found.messages == pytest.approx(found.seconds)
    assert found.seconds == pytest.approx(sum(after.seconds - before.seconds for before, after in pairwise(lines)))
