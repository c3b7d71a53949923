"""The epoch order: a permutation, a function of (seed, epoch) only, in the memory of a window."""

import tracemalloc

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from ddmlp.plan.epoch_order import EpochOrder

numbers = st.tuples(
    st.integers(1, 400), st.integers(1, 60), st.integers(1, 500), st.integers(0, 2**64 - 1), st.integers(0, 2**31)
)  # rows, block, window, seed, epoch


def test_simple():
    order = EpochOrder(rows=12, block=3, window=6, seed=1, epoch=0)
    assert order[0:12].tolist() == [8, 7, 0, 2, 6, 1, 5, 9, 10, 11, 4, 3]
    assert order[5:7].tolist() == [1, 5]
    assert order[5:7].dtype == np.intp


@given(numbers)
@example((1, 1, 1, 0, 0))
@example((400, 60, 1, 2**64 - 1, 2**31))
def test_permutation(arguments):
    """Every row occurs exactly once."""
    rows = arguments[0]
    assert sorted(EpochOrder(*arguments)[0:rows].tolist()) == list(range(rows))


@given(numbers, st.data())
def test_slices_in_any_order(arguments, data):
    rows = arguments[0]
    whole = EpochOrder(*arguments)[0:rows].tolist()
    order = EpochOrder(*arguments)
    places = st.tuples(st.integers(0, rows - 1), st.integers(1, rows)).map(lambda span: slice(span[0], sum(span)))
    for span in data.draw(st.lists(places, min_size=1, max_size=8)):
        span = slice(span.start, min(span.stop, rows))
        assert order[span].tolist() == whole[span]


def test_epochs_and_seeds_differ():
    orders = [EpochOrder(300, 10, window, seed, epoch) for window in (50, 300) for seed in (0, 1) for epoch in (0, 1)]
    assert len({tuple(order[0:300].tolist()) for order in orders}) == 8


@given(numbers)
def test_windows_have_whole_blocks(arguments):
    rows, block, window, _, _ = arguments
    order = EpochOrder(*arguments)[0:rows]
    most = max(1, window // block) if rows > window else -(-rows // block)
    begin = 0
    while begin < rows:
        end = begin + most * block
        if (rows - 1) // block in order[begin:end] // block:
            end -= -rows % block  # this window has the last block, which is shorter
        blocks = np.unique(order[begin:end] // block)
        assert len(blocks) <= most
        assert sum(min(block, rows - index * block) for index in blocks.tolist()) == len(order[begin:end])
        begin = end


@given(st.integers(1, 300), st.integers(1, 400), st.integers(1, 400), st.integers(0, 100), st.integers(0, 9))
def test_one_window(rows, block, more, seed, epoch):
    """The order depends on neither block nor window."""
    one = EpochOrder(rows, block, rows, seed, epoch)
    other = EpochOrder(rows, 1, rows + more, seed, epoch)
    assert one[0:rows].tolist() == other[0:rows].tolist()


def test_rows_are_mixed():
    """Blocks are mixed among the windows, and the rows within each window."""
    order = EpochOrder(10_000, 100, 1_000, seed=3, epoch=0)[0:10_000]
    windows = order.reshape(10, 1_000)
    assert all(len(np.unique(window // 100)) == 10 for window in windows)
    assert all(len(np.unique(window[:100] // 100)) >= 8 for window in windows), "each block is spread over its window"
    assert len({tuple(np.unique(window // 100)) for window in windows} & {tuple(range(10))}) == 0
    assert abs(np.corrcoef(np.arange(10_000), order)[0, 1]) < 0.3


def test_memory_of_a_window():
    """A million rows are visited in the memory of one window."""
    rows, window = 1_000_000, 8_000
    tracemalloc.start()
    try:
        order = EpochOrder(rows, 1_000, window, seed=0, epoch=0)
        seen = sum(len(order[start : start + 64]) for start in range(0, rows, 64))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert seen == rows
    assert window * 8 < peak < 10 * window * 8 < rows


def test_shuffled_once(monkeypatch):
    shuffled = []
    shuffle = EpochOrder._shuffle
    monkeypatch.setattr(EpochOrder, "_shuffle", lambda order, window: shuffled.append(window) or shuffle(order, window))
    order = EpochOrder(1_000, 10, 100, seed=0, epoch=0)
    for start in range(0, 1_000, 7):
        order[start : min(start + 7, 1_000)]
    assert shuffled == list(range(10))
