"""The history of a run, as far as it survives: the checkpoints, their chain, the ledger and the order of updates, which
all belong to one position."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ddmlp.data.manifest import Manifest
from ddmlp.errors import RunError
from ddmlp.nn.weights import Shape, Weights
from ddmlp.numerics import libraries, versions
from ddmlp.plan.plan import Update
from ddmlp.plan.row_audit import RowAudit
from ddmlp.plan.row_stats import RowStats
from ddmlp.runs.checkpoint import Checkpoint
from ddmlp.runs.hash_chain import Chain
from ddmlp.runs.run import Origin, Run
from ddmlp.runs.update_log import UpdateLog


class CheckpointManager:
    """Begins at the newest good checkpoint, to which all the rest is taken back, or at the beginning."""

    def __init__(self, run: Run, origin: Origin, data: Manifest, keep: int) -> None:
        """data: the training data; keep: how many checkpoints. Raises RunError if what is there is of another run."""
        self._run, self._config, self._keep = run, origin.config, keep
        # What a checkpoint must have been computed from to be gone on with.
        self.origin = origin.fixed
        found, self.complaints = run.checkpoints.newest()
        if found:
            self._check(found, data)
        drawn = Weights.draw(Shape(data.pixels, origin.config.hidden, data.classes), origin.config.seed)
        self.start = found or Checkpoint(drawn, 0, {})
        self.saved = found.step if found else -1
        self._ledger = RowAudit.of(found.about) if found else RowAudit()
        self._chain = Chain(run.chain, self.origin)
        if broken := self._chain.rewind(self.start.step, self.start.about.get("chain")):
            self.complaints.append(broken)
        self._updates = UpdateLog(run.updates) if origin.config.asynchronous else None
        if self._updates:
            self._updates.rewind(self.start.step)

    @property
    def chain(self) -> str:
        """The digest of the last link."""
        return self._chain.digest

    def applied(self, update: Update, row_stats: RowStats) -> None:
        """A step was applied."""
        self._ledger.add(row_stats)
        if self._updates:
            self._updates.add(update)

    def check(self, where: str, due: Iterable[NDArray[np.intp]]) -> None:
        """Raise TrainingError where the rows applied in the epoch are not those that are `due`, each of them once."""
        self._ledger.check(where, due)

    def begin_epoch(self) -> None:
        self._ledger = RowAudit()

    def save(self, weights: Weights, step: int, earlier: list[Weights], about: dict[str, Any]) -> None:
        """Write a checkpoint of the position, and what goes with it: the order of updates before it, and the link."""
        if self._updates:
            self._updates.commit()
        digest = self._chain.append(step, weights.sha256())
        about = {**self.origin, **about, "chain": digest, **self._ledger.about(), "versions": versions()}
        self._run.checkpoints.save(Checkpoint(weights, step, about, tuple(earlier)), self._keep)
        self.saved = step

    def _check(self, found: Checkpoint, data: Manifest) -> None:
        """Raise RunError where a checkpoint is of another run; complain where another machine wrote it."""
        for name, ours in self.origin.items():
            if found.about.get(name) != ours:
                raise RunError(f"{self._run.checkpoints.folder} has a checkpoint of another run: its {name} differs")
        if self._config.follow:
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
