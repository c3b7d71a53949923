"""The schedule: when each step begins, and which version it reads."""

import math
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ddmlp.config import TrainConfig
from ddmlp.plan.plan import Plan, Update
from ddmlp.plan.stream_plan import StreamPlan
from ddmlp.training.job import Job
from ddmlp.training.schedule import Schedule

PLAN = Plan(rows=95, batch=10, microbatch=5, epochs=3, seed=0, block=10, window=95)  # 10 steps per epoch
STREAM = StreamPlan(rows=95, batch=10, microbatch=5, epochs=1, seed=0, block=10, window=95, ended=False)

CAPACITIES = [(), (1,), (4, 1)]


def job_of(workers=1, every=1000, stop_after=None, **config):
    return Job(TrainConfig(batch=10, **config), Path(), Path(), workers, every, stop_after=stop_after)


def run(job, plan=PLAN, start=0, workers=1000, choose=min):
    """Begin and apply steps until none is open. Yields, after each beginning, the updates begun, the open steps and the
    version."""
    schedule, version, still = Schedule(job, start), start, []
    while True:
        begun = [*schedule.steps_to_begin(plan, version, len(still), workers)]
        still += [update.step for update in begun]
        yield begun, [*still], version
        if not still:
            return
        still.remove(choose(still))
        version += 1


def reads_of(job, **options):
    return [update for begun, _, _ in run(job, **options) for update in begun]


def test_simple():
    assert reads_of(job_of()) == [Update(step, step) for step in range(30)]
    assert [still for _, still, _ in run(job_of())] == [*([step] for step in range(30)), []]


@pytest.mark.parametrize("delay", [0, 1, 3, 29, 64])
@pytest.mark.parametrize("start", [0, 1, 7, 30])
@pytest.mark.parametrize("workers", [0, 1, 5])
def test_delay(delay, start, workers):
    """Step s reads version s - delay, for any number of workers and wherever the run resumes."""
    job = job_of(workers, every=4, delay=delay)
    assert reads_of(job, start=start, workers=1) == [Update(step, max(0, step - delay)) for step in range(start, 30)]
    for _, still, version in run(job, start=start):
        assert still == [*range(version, min(30, version + delay + 1))], "delay + 1 steps are open"


@pytest.mark.parametrize(("delay", "version", "reads"), [(0, 5, [5]), (2, 5, [3, 4, 5]), (2, 1, [0, 1]), (3, 0, [0])])
def test_versions_read(delay, version, reads):
    """The versions are those that later steps read."""
    schedule = Schedule(job_of(delay=delay), version)
    assert [*schedule.versions_read(version)] == reads
    to_come = {read for _, read in reads_of(job_of(delay=delay), start=version)}
    assert {read for read in to_come if read <= version} == {*reads}


@pytest.mark.parametrize(
    ("staleness", "most", "workers", "window"),
    [(1, 8, 8, 2), (3, 8, 8, 4), ("inf", 1, 1, 1), ("inf", 4, 4, 4), ("inf", 4, 3, 3), (3, 1, 1, 1), (5, 0, 1, 1)],
)
def test_open_steps(staleness, most, workers, window):
    """The bound and the number of workers limit the number of open steps."""
    counts = [len(still) for _, still, _ in run(job_of(most, staleness=staleness), workers=workers)]
    assert max(counts) == counts[0] == window


def test_fewer_workers():
    """If workers die, open steps stay open, and no more begin than for the remaining workers."""
    schedule = Schedule(job_of(6, staleness="inf"), 0)
    assert len([*schedule.steps_to_begin(PLAN, 0, 0, 6)]) == 6
    assert [*schedule.steps_to_begin(PLAN, 1, 5, 2)] == []
    assert [*schedule.steps_to_begin(PLAN, 5, 1, 2)] == [Update(6, 5)]


@given(
    st.sampled_from([1, 2, 5, "inf"]),
    st.integers(1, 4),
    st.integers(1, 13),
    st.integers(0, 30),
    st.one_of(st.none(), st.integers(0, 35)),
    st.randoms(use_true_random=False),
)
@example("inf", 4, 1, 0, None, None)
@example("inf", 4, 7, 3, 11, None)
def test_reads_asynchronous(staleness, workers, every, start, stop_after, random):
    """Steps read the newest version, and none is open when a checkpoint is due."""
    job = job_of(workers, every, stop_after, staleness=staleness)
    applied, goal = start, Schedule(job, start).goal(PLAN)
    begun_so_far = {*range(start)}
    for begun, still, version in run(job, start=start, choose=random.choice if random else max):
        assert all(update.read == version for update in begun)
        begun_so_far |= {update.step for update in begun}
        assert [*begun_so_far] == [*range(len(begun_so_far))], "in the order of the plan, each once"
        next_pause = min((version // n + 1) * n for n in (every, PLAN.steps_per_epoch))
        assert all(step < min(next_pause, goal) for step in still)
        applied = version
    assert applied == max(start, goal), "every step is applied"


def test_checkpoint_due():
    due = [version for version in range(31) if Schedule(job_of(every=4), 0).checkpoint_due(PLAN, version)]
    assert due == [0, 4, 8, 10, 12, 16, 20, 24, 28, 30]


@pytest.mark.parametrize("plan", [PLAN, STREAM])
@pytest.mark.parametrize("stop_after", [None, 7, 12])
def test_next_checkpoint(plan, stop_after):
    """The result is the next position at which a checkpoint is due, or the goal."""
    schedule = Schedule(job_of(every=4, stop_after=stop_after), 0)
    goal = schedule.goal(plan)
    for version in range(31):
        due = (later for later in count(version + 1) if later == goal or schedule.checkpoint_due(plan, later))
        assert schedule.next_checkpoint(plan, version) == next(due)


def test_parts():
    """In asynchronous training, one worker computes a whole step."""
    assert [Schedule(job_of(4), 0).parts(found) for found in CAPACITIES] == [(1,), (1,), (4, 1)]
    assert [Schedule(job_of(4, delay=2), 0).parts(found) for found in CAPACITIES] == [(1,), (1,), (4, 1)]
    assert [Schedule(job_of(4, staleness=2), 0).parts(found) for found in CAPACITIES] == [(1,)] * 3


@pytest.mark.parametrize(
    ("plan", "stop_after", "goal", "over"),
    [
        (PLAN, None, 30, 30),
        (PLAN, 12, 12, 12),
        (PLAN, 99, 30, 30),
        (PLAN, 0, 0, 0),
        (STREAM, None, 9, math.inf),
        (STREAM, 5, 5, 5),
        (STREAM, 9, 9, 9),
        (STREAM, 12, 9, math.inf),
        (replace(STREAM, ended=True), None, 10, 10),
        (replace(STREAM, ended=True), 12, 10, 10),
        (replace(STREAM, ended=True), 5, 5, 5),
    ],
)
def test_goal(plan, stop_after, goal, over):
    """The goal is the last known step; the run is finished if no more can follow."""
    schedule = Schedule(job_of(stop_after=stop_after), 0)
    assert schedule.goal(plan) == goal
    assert [schedule.finished(plan, version) for version in range(goal + 1)] == [False] * goal + [goal >= over]


@pytest.mark.parametrize("plan", [PLAN, STREAM, replace(STREAM, ended=True)])
def test_past_stop_after(plan):
    """A run that resumes past `stop_after` is finished."""
    assert Schedule(job_of(stop_after=5), 7).finished(plan, 7)
