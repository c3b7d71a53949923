"""The training data of a run, whether they are complete or still coming."""

import time
from functools import partial

from ddmlp.data.dataset import Dataset
from ddmlp.data.integrity import IntegrityChecker
from ddmlp.training.job import Job

POLL_SECONDS = 0.05  # between looks whether there are new rows


class TrainingData:
    """The dataset, what the plan makes of it, and the verification of every shard."""

    def __init__(self, job: Job) -> None:
        """Raises DatasetError."""
        self.dataset = Dataset(job.data / "train")
        self.plan = job.plan(self.dataset.manifest)
        self._verification = IntegrityChecker()
        self._enqueued = 0  # shards, to the verification
        self._polled = 0.0
        self._since: float | None = None  # when it was found that there is nothing more to train on
        self._enqueue_new_shards()

    @property
    def idle(self) -> float:
        """For how many seconds there has been nothing more to train on."""
        return 0.0 if self._since is None else time.monotonic() - self._since

    def poll(self, step: int, seconds: float) -> bool:
        """See whether there are more rows, after a wait of at most `seconds`; whether there are. The first `step` steps
        are applied, and what they read is let go of."""
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
        """Wait until every shard is verified, or `seconds` have passed; whether every shard is. Raises DatasetError."""
        self._enqueue_new_shards()
        return self._verification.wait(seconds)

    def verify_too(self, other: Dataset) -> None:
        """Have another dataset verified, too."""
        self._verification.submit(other.verify)

    def close(self) -> None:
        self._verification.close()

    def _enqueue_new_shards(self) -> None:
        """Have the shards verified that are new: also those that a worker on the same dataset has seen first."""
        shards = self.dataset.manifest.shards
        if new := shards[self._enqueued :]:
            self._enqueued = len(shards)
            self._verification.submit(partial(self.dataset.verify, new))
