"""The cores: each worker on its part of them."""

import os
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddmlp.cores import BINDS, CORES, NUMBERS, bind, part


def test_simple():
    assert [part([2, 3, 6, 7, 8], seat, 2) for seat in range(4)] == [[2, 3], [6, 7, 8], [2, 3], [6, 7, 8]]


@given(st.sets(st.integers(0, 255), min_size=1), st.integers(1, 40))
def test_parts_are_alike_and_without_overlap_until_each_core_is_taken(cores, workers):
    numbers = sorted(cores)
    parts = [part(numbers, seat, workers) for seat in range(workers)]
    seats = min(workers, len(numbers))
    assert sorted(core for each in parts[:seats] for core in each) == numbers
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    assert all(each == parts[seat % seats] for seat, each in enumerate(parts))


@pytest.mark.skipif(not BINDS, reason="this system binds no threads")
def test_a_thread_is_bound_and_no_other():
    found = []

    def look():
        for seat in (1, 0):
            bind(seat, CORES)
            found.append(os.sched_getaffinity(0))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert found == [{NUMBERS[1 % CORES]}, {NUMBERS[0]}], "also the second time"
    assert os.sched_getaffinity(0) == set(NUMBERS)
