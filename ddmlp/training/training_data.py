"""The training data of a run, whether they are complete or still arriving."""

import time
from datetime import UTC, datetime
from functools import partial

from ddmlp.data.dataset import Dataset
from ddmlp.data.integrity import IntegrityChecker
from ddmlp.training.job import Job

POLL_SECONDS = 0.05  # between checks for new rows


class TrainingData:
    """The dataset of a run, its plan, and the verification of its shards in the background."""

    def __init__(self, job: Job) -> None:
        """Open the dataset, and begin to verify it. Raises DatasetError if it is missing or damaged."""
        self.dataset = Dataset(job.data / "train")
        self.plan = job.plan(self.dataset.manifest)
        self._follow = job.config.follow
        self._verification = IntegrityChecker()
        self._enqueued = 0  # the number of shards given to the verification
        self._polled = 0.0
        self._since: float | None = None  # when the rows were first found to be used up
        self._enqueue_new_shards()

    @property
    def idle(self) -> float:
        """The number of seconds for which there have been no more rows to train on."""
        return 0.0 if self._since is None else time.monotonic() - self._since

    @property
    def bad_rows(self) -> int | None:
        """The number of rows of the stream that were put aside; None if it has no positions."""
        position = self.dataset.manifest.position
        return position.bad_rows if position else None

    def trained_to(self, step: int) -> datetime | None:
        """Return the event time that the first `step` steps reach, to within a shard; None if the rows have none.

        It is that of the newest message in the shards of which all rows were trained on.
        """
        found = self.dataset.manifest.time_at(self.plan.rows_before(step)) if self._follow else None
        return None if found is None else datetime.fromtimestamp(found / 1000, UTC)

    def poll(self, step: int, seconds: float) -> bool:
        """Check for more rows, after a wait of at most `seconds`, and release those that the first `step` steps read.

        Returns whether there is another step to train on, or the stream has ended.
        """
        now = time.monotonic()
        time.sleep(max(0.0, min(self._polled + POLL_SECONDS - now, seconds)))
        self._polled = time.monotonic()
        before = self.plan
        self.dataset.grow()
        self._enqueue_new_shards()
        self.plan = self.plan.extended_to(self.dataset.manifest.rows, ended=self.dataset.manifest.ended)
        self.dataset.forget(self.plan.rows_before(step))
        if self.plan != before:
            self._since = None
        elif self._since is None:
            self._since = now
        return self.plan.steps > step or self.plan.ended

    def wait_until_verified(self, seconds: float | None = None) -> bool:
        """Wait until every shard is verified, for at most `seconds`. Returns whether they are.

        Raises DatasetError if a shard is missing or damaged.
        """
        self._enqueue_new_shards()
        return self._verification.wait(seconds)

    def verify_too(self, other: Dataset) -> None:
        """Verify another dataset, too, in the background."""
        self._verification.submit(other.verify)

    def close(self) -> None:
        """End the verification."""
        self._verification.close()

    def _enqueue_new_shards(self) -> None:
        """Verify the new shards, including those that a worker with the same dataset object was first to see."""
        shards = self.dataset.manifest.shards
        if new := shards[self._enqueued :]:
            self._enqueued = len(shards)
            self._verification.submit(partial(self.dataset.verify, new))
