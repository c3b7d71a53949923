"""A slice of the weights, as its server owns it: its versions, and the sums of the open steps."""

from collections.abc import Collection

from ddmlp.nn.optimizer import SGD
from ddmlp.nn.weights import Floats, Shape
from ddmlp.plan.reduction_tree import Node
from ddmlp.plan.row_stats import RowStats
from ddmlp.training.messages import Gradient, Unit
from ddmlp.training.reduction import BufferPool, Reduction
from ddmlp.training.unit_queue import different_gradients
from ddmlp.training.weight_store import WeightStore

NO_ROWS = RowStats(0, 0, 0.0, 0, 0.0)


class WeightSlice:
    """Adds slices of gradients, and applies the steps that the coordinator names: each makes the next version.

    Parameters
    ----------
    shape : Shape
        The shape of the slice; see `slice_shape`.
    optimizer : SGD
        Updates the slice.
    """

    def __init__(self, shape: Shape, optimizer: SGD) -> None:
        self.version = -1  # the newest one
        self._optimizer = optimizer
        self._weights = WeightStore(shape)
        self._pool = BufferPool(shape)
        self._kept: set[int] = set()  # versions that may still be read
        self._begun = -1  # the newest step begun
        self._open: dict[int, Reduction] = {}  # by step
        self._firsts: dict[Unit, tuple[int, int]] = {}  # worker and checksum of the first copy of each gradient

    def load(self, version: int, flat: Floats) -> None:
        """Copy the slice of a version, the newest one so far."""
        weights = self._weights.reserve(self._kept)
        assert weights is not None, "the store grows"
        weights.flat[:] = flat
        self._publish(version)

    def read(self, version: int) -> Floats | None:
        """The slice of a version; None if it was given up, which is so only if nothing computed from it counts."""
        return self._weights[version].flat if version in self._kept else None

    def begin(self, step: int, read: int, microbatches: int) -> None:
        """Open a step; steps begin in ascending order. See `Reduction`."""
        assert step > self._begun, f"step {step} begins after step {self._begun}"
        self._open[step] = Reduction(read, Node(0, microbatches), self._pool)
        self._begun = step

    def has_begun(self, step: int) -> bool:
        """Whether a step was begun: only then can a gradient be added to it."""
        return step <= self._begun

    def add(self, unit: Unit, flat: Floats, worker: int, checksum: int) -> None:
        """Add the slice of a gradient to the sum of its step. A second copy is compared with the first one, if it may
        still matter.

        flat is not used after the call. Raises TrainingError if the two copies differ, ValueError if the step has no
        such unit.
        """
        if (first := self._firsts.get(unit)) is not None:
            if first[1] != checksum:
                raise different_gradients(unit, first[0], worker)
        elif (step := self._open.get(unit.step)) is not None:
            if unit.version != step.read or not unit.node.is_in(step.root):
                raise ValueError(f"received a gradient of {unit}, version {unit.version}, which no step has")
            step.add_gradient(Gradient(unit, flat, NO_ROWS, worker))
            step.keep_halves()
            self._firsts[unit] = worker, checksum

    def apply(self, step: int, step_size: float, keep: Collection[int]) -> None:
        """Make the next version: dW = -step_size * the step's gradient, of which all parts were added.

        keep: the versions before it that may still be read; the others may be overwritten.
        """
        left, right, _ = self._open[step].halves
        source, target = self._weights[self.version], self._weights.reserve(keep)
        assert target is not None, "the store grows"
        self._optimizer.update(source, left, right, step_size, target)
        self._open.pop(step).release()
        self._kept.intersection_update(keep)
        self._publish(self.version + 1)
        self._firsts = {
            unit: first for unit, first in self._firsts.items() if unit.step in self._open or unit.version in self._kept
        }

    def _publish(self, version: int) -> None:
        self._weights.publish(version)
        self._kept.add(version)
        self.version = version
