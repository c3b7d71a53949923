"""Recomputes steps of a run in this process, to find the weights that they must have produced."""

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
from ddmlp.training.pixel_stage import PixelStage


class Recomputation:
    """Computes the steps of a run again, starting at a checkpoint."""

    def __init__(self, job: Job, dataset: Dataset, start: Checkpoint, updates: NDArray[np.int64] | None = None) -> None:
        """Begin at `start`, whose weights are copied.

        updates: the order of all updates since the start of the run (see `UpdateLog`), if that is not the plan's.
        Raises MachineError if this machine does not compute the same bits as all others, and as `PixelStage` does.
        """
        check_arithmetic()
        self._plan = job.plan(dataset.manifest)
        self._steps = LocalSteps(job.config, dataset, self._plan, start, updates, PixelStage.of(job, dataset))
        self.staleness: Counter[int] = Counter()  # the number of recomputed updates, by staleness

    @property
    def step(self) -> int:
        """The position: how many steps are applied."""
        return self._steps.step

    @property
    def weights(self) -> Weights:
        """The newest version."""
        return self._steps.weights

    def advance(
        self, upto: int, show: Callable[[int], None], note: Callable[[int, Applied], None] = lambda *_: None
    ) -> None:
        """Compute and apply the next updates, up to the position `upto`.

        show: called from time to time with the position; note: called for each update, with the version that it was
        applied to. Raises TrainingError if the weights would no longer be finite.
        """
        while self.step < upto:
            version = self.step
            for now, applied in enumerate(self._steps.advance(self._plan, upto), version):
                self.staleness[now - applied.update.read] += 1
                note(now, applied)
            show(self.step)
