"""A recomputation: steps of a run, done again in this process to see what they must have come to."""

from ddmlp.checkpoint import Checkpoint
from ddmlp.dataset import Dataset
from ddmlp.job import Job
from ddmlp.network import Weights
from ddmlp.plan import Node
from ddmlp.queues import Gradient, Unit
from ddmlp.server import ParameterServer
from ddmlp.worker import Worker


class Recomputation:
    """One worker and one server without a queue between: no other way to the weights is shorter."""

    def __init__(self, job: Job, dataset: Dataset, start: Checkpoint) -> None:
        """Go on from `start`, whose weights are not changed."""
        self.plan, shape = job.plan(dataset.manifest), start.weights.shape
        self._config = job.config
        self._worker = Worker(dataset, self.plan, shape)
        self._server = ParameterServer(shape, start.step, Weights(shape, start.weights.flat.copy()))
        self._next, self._gradient = Weights(shape), Weights(shape)

    @property
    def step(self) -> int:
        """The position: how many steps are applied."""
        return self._server.version

    @property
    def weights(self) -> Weights:
        return self._server.weights

    def advance(self) -> None:
        """Compute and apply a step."""
        step, server, before = self.step, self._server, self._server.weights
        unit = Unit(step, step, Node(0, self.plan.microbatches(step)))
        tally = self._worker.compute(unit, before, self._gradient)
        server.begin(unit.microbatches)
        server.receive(Gradient(unit, self._gradient.flat, tally, worker=0))
        server.apply(self._config.learning_rate(step, self.plan.steps) / self._config.batch, self._next)
        self._next = before
