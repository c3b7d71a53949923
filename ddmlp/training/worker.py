"""The worker: computes units. A plain class, the same in this process and in a Ray actor."""

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

POLL_SECONDS = 0.05


class Worker:
    """Turns units into gradients: reads the rows, computes each microbatch, and adds up the unit's subtree."""

    def __init__(self, dataset: Dataset, plan: Plan, shape: Shape, timeouts: Timeouts | None = None) -> None:
        self.shape = shape
        self._dataset, self._plan, self._timeout = dataset, plan, (timeouts or Timeouts()).rows
        self._network = network_for(plan, shape)
        self._reader = BatchReader(dataset)

    def compute(self, unit: Unit, weights: Weights, out: Weights) -> RowStats:
        """The unit's gradient into `out`; returns what is counted of its rows. Raises DatasetError if they do not come
        to be seen within a bound, and MachineError."""
        check_mode()
        if unit.step >= self._plan.steps:
            self._wait_for_rows(unit)
        size = self._plan.microbatch
        rows = self._reader.read(self._plan, unit.step, unit.node.lo * size, unit.microbatches * size)
        counted = self._network.gradient(weights, rows.addresses, rows.labels, out)
        return RowStats(len(rows.labels), rows.fingerprints[0], *counted)

    def _wait_for_rows(self, unit: Unit) -> None:
        """Have the rows of a step that are published, and not seen here yet."""
        deadline, dataset = time.monotonic() + self._timeout, self._dataset
        while True:
            dataset.grow()
            self._plan = self._plan.extended_to(dataset.manifest.rows, ended=dataset.manifest.ended)
            if unit.step < self._plan.steps:
                dataset.forget(self._plan.rows_before(unit.step))
                return
            if time.monotonic() > deadline:
                raise DatasetError(
                    f"{dataset.path} has {len(dataset)} rows, expected those of step {unit.step}: what was published "
                    f"elsewhere is not visible here after {self._timeout:g} s; is it one folder for every node?"
                )
            time.sleep(POLL_SECONDS)


def network_for(plan: Plan, shape: Shape) -> Network:
    """A network with room for the steps of a plan."""
    rows = min(plan.batch, plan.rows) if plan.ended else plan.batch
    size = min(plan.microbatch, rows)
    return Network(shape, size, -(-rows // size))
