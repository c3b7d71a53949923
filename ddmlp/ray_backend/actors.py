"""The server and the workers as they run in processes of their own: what a Ray actor is made of."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ddmlp.data.dataset import Dataset
from ddmlp.nn.weights import Shape
from ddmlp.numerics import arithmetic_fingerprint
from ddmlp.plan.plan import Plan
from ddmlp.training.job import Job
from ddmlp.training.report import Report
from ddmlp.training.trainer import Trainer
from ddmlp.training.worker import Worker
from ddmlp.transport import protocol
from ddmlp.transport.client import WorkerClient, serve
from ddmlp.transport.socket_pool import SocketWorkerPool


def hello(worker: int, job: Job, dataset: Dataset) -> protocol.Hello:
    """What `worker` (-1: the server) says of itself when it meets the other end."""
    data = dataset.manifest.identity(growing=job.config.follow)
    return protocol.Hello(worker, protocol.VERSION, arithmetic_fingerprint(), data, job.config.as_dict())


class ServerActor:
    """The trainer, beside the weights."""

    trainer: Trainer
    hub: SocketWorkerPool

    def start(self, job: Job, secret: bytes, addresses: Sequence[protocol.Address]) -> int:
        """Returns the position. Not in the constructor: an error there would reach the driver as an actor's death."""

        def connect(dataset: Dataset, _plan: Plan, shape: Shape) -> SocketWorkerPool:
            self.hub = SocketWorkerPool(shape, hello(-1, job, dataset), secret, addresses, window=job.window)
            return self.hub

        self.trainer = Trainer(job, connect)
        return self.trainer.step

    def listen(self, address: protocol.Address) -> protocol.Address:
        return self.hub.listen(address)

    def gather(self, workers: int, seconds: float) -> bool:
        return self.hub.gather(workers, seconds)

    def advance(self, seconds: float) -> Report:
        return self.trainer.advance(seconds)

    def end(self) -> Report:
        return self.trainer.end()

    def checkpoint(self) -> Path:
        return self.trainer.checkpoint()


@dataclass(frozen=True)
class Endpoint:
    """Where and how a worker meets the server: its address for workers on its node and for others, the secret."""

    local: protocol.Address
    far: protocol.Address | None
    secret: bytes


class WorkerActor:
    """A worker."""

    _dataset: Dataset | None = None

    def __init__(self, number: int) -> None:
        self._number = number

    def place(self) -> tuple[str, int]:
        """The node that this worker is on, and its process there."""
        import ray

        return str(ray.get_runtime_context().get_node_id()), os.getpid()

    def serve(self, job: Job, meeting: Endpoint, *, far: bool) -> str:
        """Answer the server's units until there are no more; returns why there are none."""
        # The server verifies its own node's copy, not that of another.
        dataset = self._dataset = self._dataset or Dataset(job.data / "train", verify=far)
        shape = job.shape(dataset.manifest)
        address = meeting.far if far else meeting.local
        assert address is not None, "a worker on another node is sent only where the server listens for it"
        try:
            link = WorkerClient(address, meeting.secret, hello(self._number, job, dataset), shape)
        except ConnectionError as error:
            return str(error)
        serve(Worker(dataset, job.plan(dataset.manifest), shape), link)
        return f"the server has let worker {self._number} go"
