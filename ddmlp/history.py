"""The history of a run, as far as it survives: the checkpoints, their chain, the ledger and the order of updates, which
all belong to one position."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ddmlp.chain import Chain
from ddmlp.checkpoint import Checkpoint
from ddmlp.errors import RunError
from ddmlp.job import Job, fingerprint
from ddmlp.ledger import Ledger, Tally
from ddmlp.manifest import Manifest
from ddmlp.network import Weights
from ddmlp.numerics import libraries, versions
from ddmlp.run import Origin, Run
from ddmlp.updates import Update, Updates


class History:
    """Begins at the newest good checkpoint, to which all the rest is taken back, or at the beginning."""

    def __init__(self, run: Run, job: Job, data: Manifest) -> None:
        """Raises RunError where what is there is of another run."""
        self._run, self._job = run, job
        # What a checkpoint must have been computed from to be gone on with.
        self.origin = Origin(job.config, job.data, fingerprint(job.config, data)).fixed
        found, self.complaints = run.checkpoints.newest()
        if found:
            self._check(found, data)
        drawn = Weights.draw(job.shape(data), job.config.seed)
        self.start = found or Checkpoint(drawn, 0, {})
        self.saved = found.step if found else -1
        self._ledger = Ledger.of(found.about) if found else Ledger()
        self._chain = Chain(run.chain, self.origin)
        if broken := self._chain.rewind(self.start.step, self.start.about.get("chain")):
            self.complaints.append(broken)
        self._updates = Updates(run.updates) if job.config.asynchronous else None
        if self._updates:
            self._updates.rewind(self.start.step)

    @property
    def chain(self) -> str:
        """The digest of the last link."""
        return self._chain.digest

    def applied(self, update: Update, tally: Tally) -> None:
        """A step was applied."""
        self._ledger.add(tally)
        if self._updates:
            self._updates.add(update)

    def check(self, where: str, due: Iterable[NDArray[np.intp]]) -> None:
        """Raise TrainingError where the rows applied in the epoch are not those that are `due`, each of them once."""
        self._ledger.check(where, due)

    def begin_epoch(self) -> None:
        self._ledger = Ledger()

    def save(self, weights: Weights, step: int, earlier: list[Weights], about: dict[str, Any]) -> None:
        """Write a checkpoint of the position, and what goes with it: the order of updates before it, and the link."""
        if self._updates:
            self._updates.commit()
        digest = self._chain.append(step, weights.sha256())
        about = {**self.origin, **about, "chain": digest, **self._ledger.about(), "versions": versions()}
        self._run.checkpoints.save(Checkpoint(weights, step, about, tuple(earlier)), self._job.keep)
        self.saved = step

    def _check(self, found: Checkpoint, data: Manifest) -> None:
        """Raise RunError where a checkpoint is of another run; complain where another machine wrote it."""
        for name, ours in self.origin.items():
            if found.about.get(name) != ours:
                raise RunError(f"{self._run.checkpoints.folder} has a checkpoint of another run: its {name} differs")
        if self._job.config.follow:
            check_trained_on(found, data, self._run)
        theirs = found.about.get("versions", {})
        if other := {name: theirs.get(name) for name, ours in libraries().items() if theirs.get(name) != ours}:
            self.complaints.append(f"the checkpoint was computed with {other}: its last bits may not be those of here")


def trained_on(data: Manifest, rows: int) -> dict[str, Any]:
    """What a checkpoint says of the shards that its first `rows` rows came from, as JSON."""
    shards = covering(data, rows)
    return {"data": {"shards": shards, "sha256": data.prefix(shards).sha256() if shards else ""}}


def covering(data: Manifest, rows: int) -> int:
    """How many shards hold the first `rows` rows."""
    ends = np.cumsum([0] + [shard.rows for shard in data.shards])
    return int(np.searchsorted(ends, rows))


def check_trained_on(checkpoint: Checkpoint, data: Manifest, run: Run) -> None:
    """Raise RunError where the dataset does not begin with the shards that a checkpoint was trained on."""
    try:
        shards, expected = checkpoint.about["data"]["shards"], checkpoint.about["data"]["sha256"]
    except (KeyError, TypeError):
        raise RunError(f"{run.checkpoints.folder} has a checkpoint that does not say what it was trained on") from None
    if shards > len(data.shards) or (shards and data.prefix(shards).sha256() != expected):
        raise RunError(
            f"the dataset does not begin with the {shards} shards that {run.path} was trained on up to step "
            f"{checkpoint.step}: it was written anew; restore it, or begin another run"
        )
