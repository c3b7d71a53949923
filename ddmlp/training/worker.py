"""The worker: computes units. A plain class, which a Ray actor also uses."""

import time

from ddmlp.config import Timeouts
from ddmlp.data.dataset import Dataset
from ddmlp.errors import DatasetError
from ddmlp.nn.known_answer import check_mode
from ddmlp.nn.network import Network
from ddmlp.nn.weights import Shape, Weights
from ddmlp.plan.plan import Plan
from ddmlp.plan.row_stats import RowStats
from ddmlp.training.batch_reader import BatchReader
from ddmlp.training.messages import Unit
from ddmlp.training.pixel_stage import PixelStage

POLL_SECONDS = 0.05  # between checks for published rows


class Worker:
    """Computes the gradients of units: reads the rows, computes each microbatch, and adds up the unit's subtree."""

    def __init__(
        self,
        dataset: Dataset,
        plan: Plan,
        shape: Shape,
        timeouts: Timeouts | None = None,
        stage: PixelStage | None = None,
    ) -> None:
        """stage: changes the pixels of the rows."""
        self.shape = shape
        self._dataset, self._plan, self._timeout = dataset, plan, (timeouts or Timeouts()).rows
        self._network = network_for(plan, shape)
        self.reader = BatchReader(dataset, stage)

    def compute(self, unit: Unit, weights: Weights, out: Weights) -> RowStats:
        """Compute the gradient of a unit.

        Parameters
        ----------
        unit : Unit
            The unit.
        weights : Weights
            The version of the weights that the unit names.
        out : Weights
            Receives the gradient.

        Returns
        -------
        RowStats
            The statistics of the unit's rows.

        Raises
        ------
        DatasetError
            If a shard is missing or damaged, or the rows do not become visible within the timeout `rows`.
        TrainingError
            If the transform of the run fails.
        MachineError
            If this thread's floating-point mode has changed.
        """
        check_mode()
        if unit.step >= self._plan.steps:
            self._wait_for_rows(unit)
        size = self._plan.microbatch
        rows = self.reader.read(self._plan, unit.step, unit.node.lo * size, unit.microbatches * size)
        counted = self._network.gradient(weights, rows.addresses, rows.labels, out)
        return RowStats(len(rows.labels), rows.fingerprints[0], *counted)

    def _wait_for_rows(self, unit: Unit) -> None:
        """Wait for rows of a step that are published, but not visible on this machine yet."""
        deadline, dataset = time.monotonic() + self._timeout, self._dataset
        while True:
            dataset.grow()
            self._plan = self._plan.extended_to(dataset.manifest.rows, ended=dataset.manifest.ended)
            if unit.step < self._plan.steps:
                dataset.forget(self._plan.rows_before(unit.step))
                return
            if time.monotonic() > deadline:
                raise DatasetError(
                    f"{dataset.path} has {len(dataset)} rows, expected those of step {unit.step}: rows published on "
                    f"another node are not visible on this one after {self._timeout:g} s; make sure that all nodes "
                    "share this folder"
                )
            time.sleep(POLL_SECONDS)


def network_for(plan: Plan, shape: Shape) -> Network:
    """A network with room for the steps of a plan."""
    rows = min(plan.batch, plan.rows) if plan.ended else plan.batch
    size = min(plan.microbatch, rows)
    return Network(shape, size, -(-rows // size), plan.gradient_bits)
