"""The plan of a stream: each row once, in the order of arrival, however many rows arrive at a time."""

from collections.abc import Iterable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ddmlp.plan.stream_plan import PERIOD_ROWS, StreamPlan
from tests.support.units import microbatch_rows


def plan_of(rows: int, batch: int = 10, microbatch: int = 4, *, ended: bool = False) -> StreamPlan:
    return StreamPlan(rows, batch, microbatch, epochs=1, seed=0, block=10, window=50, ended=ended)


def rows_of(plan: StreamPlan, steps: Iterable[int]) -> list[list[int]]:
    """The rows of each microbatch."""
    return [microbatch_rows(plan, s, index).tolist() for s in steps for index in range(plan.microbatches(s))]


def test_simple():
    plan = plan_of(25)
    assert (plan.steps, plan.rows_before(2), plan.microbatches(1)) == (2, 20, 3)
    assert rows_of(plan, [1]) == [[10, 11, 12, 13], [14, 15, 16, 17], [18, 19]]
    ended = plan.extended_to(25, ended=True)
    assert (ended.steps, ended.rows_before(3), ended.microbatches(2)) == (3, 25, 2)
    assert rows_of(ended, [2]) == [[20, 21, 22, 23], [24]]
    assert plan.extended_to(31, ended=False).steps == 3
    assert plan.steps_per_epoch == PERIOD_ROWS // 10


@given(st.lists(st.integers(0, 40), min_size=1, max_size=8), st.integers(1, 30), st.integers(1, 40))
@example([5, 0, 5], 10, 4)
@example([7], 10, 4)
def test_any_portions(arrivals, batch, microbatch):
    """The microbatches are the same as if all rows had arrived at once: each row once, in order."""
    plan = plan_of(arrivals[0], batch, microbatch)
    found = rows_of(plan, range(plan.steps))
    for total, last in [(sum(arrivals[: n + 1]), n == len(arrivals) - 1) for n in range(len(arrivals))]:
        before, plan = plan, plan.extended_to(total, ended=last)
        assert last or plan.steps == total // batch, "a step begins when all its rows have arrived"
        found += rows_of(plan, range(before.steps, plan.steps))
    whole = plan_of(sum(arrivals), batch, microbatch, ended=True)
    assert found == rows_of(whole, range(whole.steps))
    assert [row for rows in found for row in rows] == [*range(sum(arrivals))]
    assert all(found)
    assert whole.rows_before(whole.steps) == sum(arrivals)


@given(st.integers(1, 400), st.integers(1, 30), st.integers(1, 60))
def test_periods(rows, batch, period):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ddmlp.plan.stream_plan.PERIOD_ROWS", period)
        plan = plan_of(rows, batch, ended=True)
        assert 0 < plan.steps_per_epoch * batch <= max(period, batch)
        for step in range(plan.steps + 1):
            due = [part.tolist() for part in plan.epoch_rows(step)]
            begin, end = plan.epoch_row_range(plan.epoch(step))
            assert [row for part in due for row in part] == [*range(begin, plan.rows_before(step))]
            assert step % plan.steps_per_epoch or plan.rows_before(step) == begin
            assert begin <= plan.rows_before(step) <= end
        spans = [plan.epoch_row_range(epoch) for epoch in range(plan.epoch(plan.steps) + 1)]
        assert [begin for begin, _ in spans] == [0, *(end for _, end in spans[:-1])]
        assert spans[-1][1] == rows
