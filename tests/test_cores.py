"""The cores: each worker on its part of them."""

import os
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddmlp.cores import BINDS, CORES, NUMBERS, bind, part


def test_simple():
    assert [part([2, 3, 6, 7, 8], seat, 2) for seat in range(2)] == [[2, 3], [6, 7, 8]]


@given(st.sets(st.integers(0, 255), min_size=1), st.data())
def test_parts_are_alike_and_without_overlap(cores, data):
    numbers = sorted(cores)
    workers = data.draw(st.integers(1, len(numbers)))
    parts = [part(numbers, seat, workers) for seat in range(workers)]
    assert sorted(core for each in parts for core in each) == numbers
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.skipif(not BINDS, reason="this system binds no threads")
def test_a_thread_is_bound_and_no_other():
    found = []

    def look():
        for seat, workers in ((0, CORES + 1), (CORES - 1, CORES), (0, CORES)):
            bind(seat, workers)
            found.append(os.sched_getaffinity(0))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert found == [set(NUMBERS), {NUMBERS[-1]}, {NUMBERS[0]}], "not where there are too few, and also a second time"
    assert os.sched_getaffinity(0) == set(NUMBERS)
