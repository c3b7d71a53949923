"""Reads a run from its folder, checks that its files agree, and computes it again."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from ddmlp.data.dataset import Dataset
from ddmlp.data.manifest import NAME
from ddmlp.data.transform import Transform
from ddmlp.errors import RunError
from ddmlp.inference.saved_model import load_weights
from ddmlp.runs.checkpoint import Checkpoint, load_checkpoint
from ddmlp.runs.checkpoint_manager import check_trained_on
from ddmlp.runs.hash_chain import ChainEntry, HashChain
from ddmlp.runs.run import Run
from ddmlp.runs.update_log import UpdateLog
from ddmlp.training.figures import Figures
from ddmlp.training.job import Job
from ddmlp.training.recompute import Recomputation

Show = Callable[[int, int], None]  # called with the number of steps done, and of all steps


class RecordedRun:
    """A run as recorded in its folder: the hash chain, and the kept checkpoints by step.

    Parameters
    ----------
    path : Path
        The folder of the run.

    Raises
    ------
    RunError
        If the folder has no run or a run of another arithmetic, if a file is damaged, or if two files disagree.
    """

    def __init__(self, path: Path) -> None:
        self.run = Run(path)
        self.origin = self.run.require_arithmetic()
        with self.run:
            self.entries = self._read_chain()
            self.checkpoints = self._read_checkpoints()

    @property
    def steps(self) -> list[int]:
        """The steps of all checkpoints ever written, ascending."""
        return [entry.step for entry in self.entries]

    def open_dataset(self, data: Path | None) -> Dataset:
        """Open and verify the training data.

        Parameters
        ----------
        data : Path or None
            The folder that has `train`; None: the one that the run was trained on.

        Raises
        ------
        DatasetError
            If the dataset is missing or damaged.
        RunError
            If the data have been moved, or are not the dataset of this run.
        """
        if data is None and not self.origin.data.exists():
            raise RunError(
                f"{self.origin.data}, the data of {self.run.path}, does not exist; name the folder where they are now"
            )
        dataset = Dataset((data or self.origin.data) / "train")
        follow = self.origin.config.follow
        if dataset.manifest.identity(growing=follow) != self.origin.dataset_sha256:
            raise RunError(f"{dataset.path} is not the dataset that {self.run.path} was trained on")
        if follow and self.checkpoints:
            check_trained_on(self.checkpoints[max(self.checkpoints)], dataset.manifest, self.run)
        dataset.verify()
        return dataset

    def open_test(self, data: Path | None) -> Dataset | None:
        """Open and verify the test data. Returns None if there are none; the run does not record which they were."""
        path = (data or self.origin.data) / "test"
        if not (path / NAME).exists():
            return None
        dataset = Dataset(path)
        dataset.verify()
        return dataset

    def recomputation(
        self, dataset: Dataset, first: int, last: int, transform: Transform | None = None
    ) -> Recomputation:
        """A recomputation of the run up to step `last`, from the newest kept checkpoint at or before step `first`.

        transform: that of the run. Raises the errors of `PixelStage`.
        """
        updates = UpdateLog(self.run.updates).load(last) if self.origin.config.asynchronous else None
        job = replace(self._job, transform=transform)
        return Recomputation(job, dataset, self._start(dataset, first), updates)

    def figures(self, dataset: Dataset, test: Dataset | None, first: int) -> Figures:
        """A comparison of the run's recorded figures with such a recomputation."""
        chain = {entry.step: entry.digest for entry in self.entries}
        plan = self._job.plan(dataset.manifest)
        return Figures(self.run, self.origin.config, plan, self._start(dataset, first), chain, test)

    def first_difference(
        self, redone: Recomputation, last: int, show: Show, figures: Figures | None = None
    ) -> ChainEntry | None:
        """Advance `redone` to step `last`. Returns the first entry of the chain whose weights differ, or None.

        Raises RunError if one of the `figures` differs.
        """
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
        """The newest kept checkpoint at or before step `first`, or the beginning of the run."""
        before = [step for step in self.checkpoints if 0 < step <= first]
        if before:
            return self.checkpoints[max(before)]
        return Checkpoint(self.run.initial_weights(self.origin.config, self._job.shape(dataset.manifest)), 0)

    def _read_chain(self) -> list[ChainEntry]:
        """Read the entries of the chain. Raises RunError if the result or the model disagrees with the last one."""
        run = self.run
        entries = HashChain(run.chain, self.origin.fixed).entries()
        if not entries or entries[0].step != 0:
            raise RunError(f"{run.chain} has no entry for step 0, so the run cannot be verified from its beginning")
        if result := run.result():
            if (result.chain, result.weights_sha256) != (entries[-1].digest, entries[-1].weights_sha256):
                raise RunError(f"{run.path}/result.json does not match the last entry of {run.chain}")
            if load_weights(run.path).sha256() != entries[-1].weights_sha256:
                raise RunError(f"{run.path}/model.npz does not match the last entry of {run.chain}")
        return entries

    def _read_checkpoints(self) -> dict[int, Checkpoint]:
        """Read the kept checkpoints. Raises RunError if one of them is not in the chain."""
        due = {(entry.step, entry.weights_sha256, entry.digest) for entry in self.entries}
        found = {}
        for path in self.run.checkpoints.paths():
            checkpoint = load_checkpoint(path)
            if (checkpoint.step, checkpoint.weights.sha256(), checkpoint.header.chain) not in due:
                raise RunError(f"{path} does not match the entry of {self.run.chain} for step {checkpoint.step}")
            found[checkpoint.step] = checkpoint
        return found
