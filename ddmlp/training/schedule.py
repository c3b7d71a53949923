"""The schedule: which steps are begun when, and which version of the weights each reads. What the modes differ in."""

from collections.abc import Iterator

from ddmlp.plan.plan import Plan, Update
from ddmlp.training.job import Job


class Schedule:
    """Synchronous: with a delay of D, step s is begun at version s - D, reads it, and is applied to version s; D is
    mostly 0. So what is computed follows from the plan.

    Asynchronous: as many steps are open as there are workers, unless the bound allows fewer; a step is begun as soon
    as there is room for it, and reads the newest version. So a gradient is mostly as old as there are other workers:
    more open steps would keep the workers no busier than a synchronous step does, and make it older. Where a
    checkpoint or the end of an epoch is due, the steps that are open are brought to their end first: only then is the
    version a position of the plan.
    """

    def __init__(self, job: Job, step: int) -> None:
        """Go on at the position `step`."""
        self._delay, self._asynchronous, self._window = job.config.delay, job.config.asynchronous, job.window
        self._stop, self._every = job.stop_after, job.checkpoint_every
        self._next = step  # that is begun next

    def goal(self, plan: Plan) -> int:
        """The position to come to, as far as it is known."""
        return plan.steps if self._stop is None else min(plan.steps, self._stop)

    def finished(self, plan: Plan, version: int) -> bool:
        """Whether it is come to, and there is nothing behind it."""
        return version >= self.goal(plan) and (plan.ended or (self._stop is not None and version >= self._stop))

    def steps_to_begin(self, plan: Plan, version: int, started: int, workers: int) -> Iterator[Update]:
        """The steps to be begun now, where so many are open already and there are so many workers."""
        goal, window = self.goal(plan), self._window
        if self._asynchronous:
            goal = min(goal, self.next_checkpoint(plan, version))
            window = min(window, max(1, workers))
        while self._next < goal and started < window:
            yield Update(self._next, version if self._asynchronous else max(0, self._next - self._delay))
            self._next += 1
            started += 1

    def parts(self, workers: int) -> int:
        """For how many workers a step is to be cut: where steps do not wait for each other, one computes all of it."""
        return 1 if self._asynchronous else max(1, workers)

    def versions_read(self, version: int) -> range:
        """The versions up to `version` that steps will read which are not applied at that position."""
        return range(max(0, version - self._delay), version + 1)

    def checkpoint_due(self, plan: Plan, version: int) -> bool:
        """Whether a checkpoint is due at that position."""
        return 0 in [version % every for every in self._intervals(plan)]

    def next_checkpoint(self, plan: Plan, version: int) -> int:
        """The first position behind that one at which a checkpoint is due, or the goal where that comes before."""
        goal = self.goal(plan)
        ends = [version - version % every + every for every in self._intervals(plan)]
        return min(ends if goal <= version else [*ends, goal])

    def _intervals(self, plan: Plan) -> tuple[int, int]:
        return plan.steps_per_epoch, self._every
