"""A worker's process."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from ddmlp.data.dataset import Dataset
from ddmlp.errors import DatasetError
from ddmlp.nn.known_answer import KNOWN_ANSWER
from ddmlp.nn.weights import Weights
from ddmlp.plan.row_stats import RowStats
from ddmlp.ray_backend.endpoint import Endpoint
from ddmlp.training.job import Job
from ddmlp.training.messages import Unit
from ddmlp.training.pixel_stage import PixelStage
from ddmlp.training.worker import Worker
from ddmlp.transport import protocol
from ddmlp.transport.client import Client, run_worker
from tests.simulation.scheduler import Scheduler

AGAIN = 1.0  # seconds for which a released worker waits for another server


class FakeWorker(Worker):
    """A worker whose units take time; one on a host with a damaged copy of the data fails."""

    wait: Callable[[float], None]
    pace = 0.0
    damaged = False

    def compute(self, unit: Unit, weights: Weights, out: Weights) -> RowStats:
        self.wait(self.pace * unit.microbatches)
        if self.damaged:
            raise DatasetError("the copy of the data on this host is damaged")
        return super().compute(unit, weights, out)


def hello(number: int, host: str, job: Job, dataset: Dataset) -> protocol.Hello:
    """The hello of a worker, or, with the number -1, of the server; its length is the same on every machine."""
    data = dataset.manifest.identity(growing=job.config.follow)
    return protocol.Hello(number, protocol.VERSION, KNOWN_ANSWER, data, job.config.as_dict(), host=host)


def connect(endpoint: Endpoint, hello: protocol.Hello, job: Job, dataset: Dataset, *, far: bool) -> Client:
    """Connect to the server, or to the coordinator and all servers. far: from another host."""
    return endpoint.connect(hello, job.shape(dataset.manifest), job.timeouts, far=far)


@dataclass
class WorkerProcess:
    """What a worker's process does: it works for one server after another, as a WorkerActor.

    pace: seconds for a microbatch; far: whether it is on another host than the server.
    """

    scheduler: Scheduler
    job: Job
    dataset: Dataset
    endpoint: Callable[[], Endpoint | None]
    number: int
    host: str
    far: bool
    pace: float
    damaged: bool = False

    def run(self) -> None:
        before = None
        while True:
            seconds = math.inf if before is None else AGAIN
            self.scheduler.wait(seconds, lambda seen=before: self.endpoint() not in (None, seen))
            endpoint = self.endpoint()
            if endpoint in (None, before):
                return
            before = endpoint
            try:
                self._work(endpoint)
            except ConnectionError:
                continue

    def _work(self, endpoint: Endpoint) -> None:
        job, dataset = self.job, self.dataset
        client = connect(endpoint, hello(self.number, self.host, job, dataset), job, dataset, far=self.far)
        stage = PixelStage.of(job, dataset)
        worker = FakeWorker(dataset, job.plan(dataset.manifest), job.shape(dataset.manifest), job.timeouts, stage)
        worker.wait, worker.pace, worker.damaged = self.scheduler.wait, self.pace, self.damaged
        try:
            run_worker(worker, client)
        except DatasetError:
            assert self.damaged, "the data of a good worker are damaged"
