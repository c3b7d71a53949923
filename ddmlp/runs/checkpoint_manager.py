"""What survives a crash: checkpoint, hash chain, row audit and order of updates, always of the same position."""

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
from msgspec import structs
from numpy.typing import NDArray

from ddmlp.data.manifest import Manifest
from ddmlp.errors import RunError
from ddmlp.nn.known_answer import check_mode
from ddmlp.nn.weights import Shape
from ddmlp.plan.plan import Update
from ddmlp.plan.row_audit import RowAudit
from ddmlp.plan.row_stats import RowStats
from ddmlp.runs.checkpoint import Checkpoint, DataPrefix, Header
from ddmlp.runs.hash_chain import HashChain
from ddmlp.runs.origin import Origin
from ddmlp.runs.run import Run
from ddmlp.runs.update_log import UpdateLog
from ddmlp.runs.versions import versions


class CheckpointManager:
    """Starts a run at its newest good checkpoint, or at step 0, and saves its checkpoints.

    Everything else in the folder is rewound to that checkpoint.

    Parameters
    ----------
    run
        The run's folder.
    origin
        What determines the run's result.
    data
        The manifest of the training data.
    keep
        How many checkpoints to keep.

    Raises
    ------
    RunError
        If a checkpoint belongs to another run, or if the order of updates does not reach it.
    """

    def __init__(self, run: Run, origin: Origin, data: Manifest, keep: int) -> None:
        self._run, self._config, self._keep = run, origin.config, keep
        # A checkpoint must agree with this to be resumed.
        self.origin = origin.fixed
        found, self.complaints = run.checkpoints.newest()
        if found:
            self._check_same_run(found, data)
        shape = Shape(data.pixels, origin.config.hidden, data.classes)
        self.start = found or Checkpoint(run.initial_weights(origin.config, shape), 0)
        self.saved = found.step if found else -1
        self._audit = _audit_of(found) if found else RowAudit()
        self._chain = HashChain(run.chain, self.origin)
        if broken := self._chain.rewind(self.start.step, found.header.chain if found else None):
            self.complaints.append(broken)
        self._updates = UpdateLog(run.updates) if origin.config.asynchronous else None
        if self._updates:
            self._updates.rewind(self.start.step)

    @property
    def chain(self) -> str:
        """Digest of the last entry of the hash chain."""
        return self._chain.digest

    def record_step(self, update: Update, row_stats: RowStats) -> None:
        """Record that a step was applied."""
        self._audit.record_step(row_stats)
        if self._updates:
            self._updates.append(update)

    def verify_rows(self, where: str, due: Iterable[NDArray[np.intp]]) -> None:
        """Raise TrainingError unless the rows applied in this epoch are exactly those in `due`, each once."""
        self._audit.verify(where, due)

    def begin_epoch(self) -> None:
        """Start a new row audit."""
        self._audit = RowAudit()

    def save(self, snapshot: Checkpoint, header: Header) -> None:
        """Write the order of updates, then the entry of the hash chain, then the checkpoint.

        Parameters
        ----------
        snapshot
            The position and its arrays; its header is replaced.
        header
            The measurements; the rest is filled in here.

        Raises
        ------
        MachineError
            If the processor's floating-point mode has changed, so that the weights may be wrong.
        OSError
            If a file cannot be written.
        """
        check_mode()  # weights that were rounded differently are never saved
        if self._updates:
            self._updates.commit()
        digest = self._chain.append(snapshot.step, snapshot.weights.sha256())
        header = structs.replace(header, **self.origin, chain=digest, ledger=self._audit.state, versions=versions())
        self._run.checkpoints.save(replace(snapshot, header=header), self._keep)
        self.saved = snapshot.step

    def _check_same_run(self, found: Checkpoint, data: Manifest) -> None:
        """Raise RunError if a checkpoint belongs to another run."""
        for name, ours in self.origin.items():
            if getattr(found.header, name) != ours:
                raise RunError(f"{self._run.checkpoints.folder} has a checkpoint of another run: its {name} differs")
        if self._config.follow:
            check_trained_on(found, data, self._run)


def _audit_of(checkpoint: Checkpoint) -> RowAudit:
    """Restore the row audit of a checkpoint. Raises RunError if the checkpoint has none."""
    if checkpoint.header.ledger is None:
        raise RunError("the newest checkpoint has no row audit (ledger): another version of ddmlp wrote it")
    return RowAudit.from_state(checkpoint.header.ledger)


def trained_on(data: Manifest, rows: int) -> DataPrefix:
    """Return the shards that hold the first `rows` rows."""
    shards = covering(data, rows)
    return DataPrefix(shards, data.prefix(shards).sha256() if shards else "")


def covering(data: Manifest, rows: int) -> int:
    """Return how many shards, from the first, hold the first `rows` rows."""
    ends = np.cumsum([0] + [shard.rows for shard in data.shards])
    return int(np.searchsorted(ends, rows))


def check_trained_on(checkpoint: Checkpoint, data: Manifest, run: Run) -> None:
    """Raise RunError if the dataset does not begin with the shards that a checkpoint was trained on."""
    prefix = checkpoint.header.data
    if prefix is None:
        raise RunError(f"{run.checkpoints.folder} has a checkpoint that does not say which shards it was trained on")
    if prefix.shards > len(data.shards) or (prefix.shards and data.prefix(prefix.shards).sha256() != prefix.sha256):
        raise RunError(
            f"the dataset does not begin with the {prefix.shards} shards that {run.path} was trained on up to step "
            f"{checkpoint.step}: it was rewritten; restore it, or begin another run"
        )
