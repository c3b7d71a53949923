"""The schedule: when each step begins, and which version of the weights it reads. This is where the modes differ."""

from collections.abc import Iterator

from ddmlp.plan.plan import Plan, Update
from ddmlp.training.job import Job


class Schedule:
    """Decides which steps to begin.

    Synchronous: with a delay of D, step s begins at version s - D, reads that version, and is applied to version s. By
    default, D is 0. So the plan alone determines the result.

    Asynchronous: a step begins as soon as the number of open steps is below that of the workers, and within the bound;
    it reads the newest version. So the usual staleness is the number of the other workers. More open steps would raise
    it without keeping the workers busier. Before a checkpoint or the end of an epoch, all open steps are completed:
    only then is the version a position of the plan.
    """

    def __init__(self, job: Job, step: int) -> None:
        """Continue at the position `step`."""
        self._delay, self._asynchronous, self._window = job.config.delay, job.config.asynchronous, job.window
        self._stop, self._every = job.stop_after, job.checkpoint_every
        self._next = step  # the step to begin next

    def goal(self, plan: Plan) -> int:
        """The position to reach, as far as it is known."""
        return plan.steps if self._stop is None else min(plan.steps, self._stop)

    def finished(self, plan: Plan, version: int) -> bool:
        """Whether the final position is reached."""
        return version >= self.goal(plan) and (plan.ended or (self._stop is not None and version >= self._stop))

    def steps_to_begin(self, plan: Plan, version: int, started: int, workers: int) -> Iterator[Update]:
        """The steps to begin now; started: the number of open steps; workers: how many units can be computed
        at a time, each by a worker or by all of a relay."""
        goal, window = self.goal(plan), self._window
        if self._asynchronous:
            goal = min(goal, self.next_checkpoint(plan, version))
            window = min(window, max(1, workers))
        while self._next < goal and started < window:
            yield Update(self._next, version if self._asynchronous else max(0, self._next - self._delay))
            self._next += 1
            started += 1

    def parts(self, capacities: tuple[int, ...]) -> tuple[int, ...]:
        """The connections to divide a step among, by the numbers of their workers: one connection in asynchronous
        training, where steps run side by side."""
        return (1,) if self._asynchronous or not capacities else capacities

    def versions_read(self, version: int) -> range:
        """The versions, up to `version`, that later steps read."""
        return range(max(0, version - self._delay), version + 1)

    def checkpoint_due(self, plan: Plan, version: int) -> bool:
        """Whether a checkpoint is due at this version."""
        return 0 in [version % every for every in self._intervals(plan)]

    def next_checkpoint(self, plan: Plan, version: int) -> int:
        """The next position after `version` at which a checkpoint is due, or the goal if that comes first."""
        goal = self.goal(plan)
        ends = [version - version % every + every for every in self._intervals(plan)]
        return min(ends if goal <= version else [*ends, goal])

    def _intervals(self, plan: Plan) -> tuple[int, int]:
        return plan.steps_per_epoch, self._every
