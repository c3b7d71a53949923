"""A recomputation: steps of a run, done again in this process to see what they must have come to."""

from collections import Counter
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ddmlp.data.dataset import Dataset
from ddmlp.nn.known_answer import check_arithmetic
from ddmlp.nn.weights import Weights
from ddmlp.runs.checkpoint import Checkpoint
from ddmlp.training.job import Job
from ddmlp.training.local_steps import LocalSteps
from ddmlp.training.loop import Applied


class Recomputation:
    """The steps of a run from a checkpoint on."""

    def __init__(self, job: Job, dataset: Dataset, start: Checkpoint, updates: NDArray[np.int64] | None = None) -> None:
        """Go on from `start`, whose weights are not changed; updates: the order of updates from the run's begin on (see
        `UpdateLog`), if it is not the plan's. Raises MachineError."""
        check_arithmetic()
        self._plan = job.plan(dataset.manifest)
        self._steps = LocalSteps(job.config, dataset, self._plan, start, updates)
        self.staleness: Counter[int] = Counter()  # of the updates done again

    @property
    def step(self) -> int:
        """The position: how many steps are applied."""
        return self._steps.step

    @property
    def weights(self) -> Weights:
        return self._steps.weights

    def advance(
        self, upto: int, show: Callable[[int], None], note: Callable[[int, Applied], None] = lambda *_: None
    ) -> None:
        """Compute and apply the next updates, up to the position `upto`; show: called with the position now and then;
        note: with each update, and the version that it was applied to.

        Raises TrainingError if the weights would not be finite.
        """
        while self.step < upto:
            version = self.step
            for now, applied in enumerate(self._steps.advance(self._plan, upto), version):
                self.staleness[now - applied.update.read] += 1
                note(now, applied)
            show(self.step)
