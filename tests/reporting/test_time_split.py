"""The time of training, split into parts that add up."""

from itertools import pairwise

import pytest

from ddmlp.reporting.time_split import TimeSplit
from ddmlp.runs.events import Queue, Queues, Saved, Started
from ddmlp.runs.records import Records
from tests.support.events import progress


def line(seconds, waited, starved=0.0, workers=1):
    queues = Queues(Queue(0, 1, 0.0), Queue(0, 0, starved))
    return progress(1, seconds=seconds, waited=waited, workers=workers, queues=queues)


def split(*lines, follow=False):
    return TimeSplit.from_records(Records(list(lines)), follow=follow)


def test_simple():
    # Two workers wait 4 of 2 x 10 seconds, so each is busy for 8, and the server waits for 9.
    assert split(line(1, 1, 1, 2), line(11, 10, 5, 2)) == TimeSplit(seconds=10, server=1, arithmetic=8, messages=1)


def test_one_process():
    assert split(line(1, 0.5), line(3, 2)) == TimeSplit(seconds=2, server=0.5, arithmetic=1.5, messages=0)


def test_hidden_arithmetic():
    assert split(line(0, 0, 1, 2), line(10, 4, 2, 2)) == TimeSplit(seconds=10, server=6, arithmetic=4, messages=0)


def test_idle_workers():
    assert split(line(0, 0, 0, 1), line(10, 4, 30, 1)) == TimeSplit(seconds=10, server=6, arithmetic=0, messages=4)


def test_follow():
    assert split(line(0, 0, 1, 2), line(10, 4, 2, 2), follow=True) == TimeSplit(10, 6, 4, None)
    assert split(line(0, 0), line(10, 4), follow=True) == TimeSplit(10, 6, 4, 0)


def test_only_training_counts():
    lines = [line(0, 0), line(2, 1), Saved(1, 9.0, ""), line(50, 40), line(52, 41), Started(1, []), line(60, 1)]
    assert split(*lines) == TimeSplit(seconds=4, server=2, arithmetic=2, messages=0)


@pytest.mark.parametrize(
    "lines", [[], [line(1, 1)], [line(1, 0), Saved(1, 0.5, ""), line(2, 1)], [line(1, 0), line(1, 0)]]
)
def test_no_stretch(lines):
    assert split(*lines) is None


def test_shares_add_up():
    lines = [line(n, 0.75 * n, 0.5 * n, 3) for n in range(1, 20)]
    found = split(*lines)
    assert found.server + found.arithmetic + found.messages == pytest.approx(found.seconds)
    assert found.seconds == pytest.approx(sum(after.seconds - before.seconds for before, after in pairwise(lines)))
    assert sum(found.shares.values()) == pytest.approx(1)
    assert split(line(0, 0, 1, 2), line(10, 4, 2, 2), follow=True).shares == {
        "server": 0.6,
        "waiting for gradients": 0.4,
    }
