"""The feed: the training data of a run, whether they are all there or still coming."""

import time

from ddmlp.dataset import Dataset
from ddmlp.job import Job
from ddmlp.verification import Verification

POLL_SECONDS = 0.05  # between looks whether there are new rows


class Feed:
    """The dataset, what the plan makes of it, and the verification of every shard."""

    def __init__(self, job: Job) -> None:
        """Raises DatasetError."""
        self.dataset = Dataset(job.data / "train")
        self.plan = job.plan(self.dataset.manifest)
        self.verification = Verification()
        self.verification.add(self.dataset.verify)
        self._looked = 0.0
        self._since: float | None = None  # when it was found that there is nothing more to train on

    @property
    def idle(self) -> float:
        """For how many seconds there has been nothing more to train on."""
        return 0.0 if self._since is None else time.monotonic() - self._since

    def look(self, step: int, seconds: float) -> bool:
        """See whether there are more rows, after a wait of at most `seconds`; whether there are. The first `step` steps
        are applied, and what they read is let go of."""
        now = time.monotonic()
        time.sleep(max(0.0, min(self._looked + POLL_SECONDS - now, seconds)))
        self._looked = time.monotonic()
        new, before = self.dataset.grow(), self.plan
        if new:
            self.verification.add(lambda: self.dataset.verify(new))
        self.plan = self.plan.on(self.dataset.manifest.rows, ended=self.dataset.manifest.ended)
        self.dataset.forget(self.plan.rows_before(step))
        if self.plan != before:
            self._since = None
        elif self._since is None:
            self._since = now
        return self.plan.steps > step or self.plan.ended
