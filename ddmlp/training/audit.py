"""Reads a run from its folder, checks it against itself, and computes it again."""

from collections.abc import Callable
from pathlib import Path

from ddmlp.data.dataset import Dataset
from ddmlp.data.manifest import NAME
from ddmlp.errors import RunError
from ddmlp.inference.model import load_weights
from ddmlp.runs.checkpoint import Checkpoint, load_checkpoint
from ddmlp.runs.checkpoint_manager import check_trained_on
from ddmlp.runs.hash_chain import ChainEntry, HashChain
from ddmlp.runs.run import Run
from ddmlp.runs.update_log import UpdateLog
from ddmlp.training.figures import Figures
from ddmlp.training.job import Job
from ddmlp.training.recompute import Recomputation

Show = Callable[[int, int], None]  # called with steps done and steps in all


class RecordedRun:
    """A run as its folder has it: the chain, which begins at step 0, and the checkpoints that are kept, by step."""

    def __init__(self, path: Path) -> None:
        """Raises RunError if the folder has no run, or one of another arithmetic, if a file is damaged, or if two files
        contradict each other."""
        self.run = Run(path)
        self.origin = self.run.require_arithmetic()
        with self.run:
            self.entries = self._read_chain()
            self.checkpoints = self._read_checkpoints()

    @property
    def steps(self) -> list[int]:
        """The steps of all checkpoints that were ever written, ascending."""
        return [entry.step for entry in self.entries]

    def open_dataset(self, data: Path | None) -> Dataset:
        """The training data, verified; data: their folder if the run does not find them any more.

        Raises DatasetError, and RunError if it is another dataset than the run's.
        """
        if data is None and not self.origin.data.exists():
            raise RunError(f"{self.origin.data}, the data of {self.run.path}, is gone; name its place by --data")
        dataset = Dataset((data or self.origin.data) / "train")
        follow = self.origin.config.follow
        if dataset.manifest.identity(growing=follow) != self.origin.dataset_sha256:
            raise RunError(f"{dataset.path} is not the dataset that {self.run.path} was trained on")
        if follow and self.checkpoints:
            check_trained_on(self.checkpoints[max(self.checkpoints)], dataset.manifest, self.run)
        dataset.verify()
        return dataset

    def open_test(self, data: Path | None) -> Dataset | None:
        """The test data, verified; None if there are none any more. A run does not say which they were."""
        path = (data or self.origin.data) / "test"
        if not (path / NAME).exists():
            return None
        dataset = Dataset(path)
        dataset.verify()
        return dataset

    def recomputation(self, dataset: Dataset, first: int, last: int) -> Recomputation:
        """A recomputation of the run up to step `last`, from the newest kept checkpoint that is not after `first`."""
        updates = UpdateLog(self.run.updates).load(last) if self.origin.config.asynchronous else None
        return Recomputation(self._job, dataset, self._start(dataset, first), updates)

    def figures(self, dataset: Dataset, test: Dataset | None, first: int) -> Figures:
        """A comparison of the figures of the run with those of such a recomputation."""
        chain = {entry.step: entry.digest for entry in self.entries}
        plan = self._job.plan(dataset.manifest)
        return Figures(self.run, self.origin.config, plan, self._start(dataset, first), chain, test)

    def first_difference(
        self, redone: Recomputation, last: int, show: Show, figures: Figures | None = None
    ) -> ChainEntry | None:
        """Go on with `redone` to step `last`; the first entry of the chain whose weights differ, if any does. Raises
        RunError for a figure that differs."""
        begin, due = redone.step, [entry for entry in self.entries if redone.step <= entry.step <= last]
        note = figures.record_step if figures else lambda *_: None
        for entry in due:
            redone.advance(entry.step, lambda step: show(step - begin, due[-1].step - begin), note)
            if redone.weights.sha256() != entry.weights_sha256:
                return entry
            if figures:
                figures.reach(entry.step, redone.weights)
        return None

    @property
    def _job(self) -> Job:
        return Job(self.origin.config, self.origin.data, self.run.path, workers=0, checkpoint_every=1)

    def _start(self, dataset: Dataset, first: int) -> Checkpoint:
        """The newest kept checkpoint that is not after `first`, or the beginning."""
        before = [step for step in self.checkpoints if 0 < step <= first]
        if before:
            return self.checkpoints[max(before)]
        return Checkpoint(self.run.initial_weights(self.origin.config, self._job.shape(dataset.manifest)), 0)

    def _read_chain(self) -> list[ChainEntry]:
        """The entries of the chain, which must agree with the result and the model."""
        run = self.run
        entries = HashChain(run.chain, self.origin.fixed).entries()
        if not entries or entries[0].step != 0:
            raise RunError(f"{run.chain} has no entry of step 0: there is nothing to verify from")
        if result := run.result():
            if (result.chain, result.weights_sha256) != (entries[-1].digest, entries[-1].weights_sha256):
                raise RunError(f"{run.path}/result.json is not what {run.chain} ends with")
            if load_weights(run.path).sha256() != entries[-1].weights_sha256:
                raise RunError(f"{run.path}/model.npz is not what {run.chain} ends with")
        return entries

    def _read_checkpoints(self) -> dict[int, Checkpoint]:
        """The checkpoints that are kept, each of which must be in the chain."""
        due = {(entry.step, entry.weights_sha256, entry.digest) for entry in self.entries}
        found = {}
        for path in self.run.checkpoints.paths():
            checkpoint = load_checkpoint(path)
            if (checkpoint.step, checkpoint.weights.sha256(), checkpoint.header.chain) not in due:
                raise RunError(f"{path} is not what {self.run.chain} has for step {checkpoint.step}")
            found[checkpoint.step] = checkpoint
        return found
