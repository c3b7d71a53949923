"""The classes of the Ray actors: the parameter server and the workers, each in a separate process."""

import logging
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from ddmlp.config import Timeouts
from ddmlp.data.dataset import Dataset
from ddmlp.data.dataset_cache import PART
from ddmlp.data.manifest import Manifest, Shard
from ddmlp.errors import DdmlpError
from ddmlp.nn.known_answer import KNOWN_ANSWER, answer, machine
from ddmlp.nn.weights import Shape
from ddmlp.plan.plan import Plan
from ddmlp.ray_backend.attendance import Roll
from ddmlp.ray_backend.endpoint import Endpoint, ServerAddress
from ddmlp.ray_backend.server_data import open_data
from ddmlp.ray_backend.supervised import Supervised, add_log, remote_log
from ddmlp.runs.log_files import LogFile, logging_to
from ddmlp.runs.versions import versions
from ddmlp.training.job import Job
from ddmlp.training.pixel_stage import PixelStage
from ddmlp.training.report import Report
from ddmlp.training.setup import build_trainer
from ddmlp.training.trainer import Trainer
from ddmlp.training.worker import Worker
from ddmlp.transport import protocol
from ddmlp.transport.client import WorkerClient, run_worker
from ddmlp.transport.slice_commands import SliceCommands
from ddmlp.transport.socket_pool import SocketWorkerPool
from ddmlp.transport.tls import Credentials, Tls
from ddmlp.transport.unit_times import send_times

log = logging.getLogger(__name__)


def hello(worker: int, job: Job, dataset: Dataset) -> protocol.Hello:
    """The hello of a worker, made in the thread that computes; -1: of the server, which has checked its arithmetic."""
    return hello_about(worker, job, dataset.path, dataset.manifest)


def hello_about(worker: int, job: Job, path: Path, manifest: Manifest) -> protocol.Hello:
    """The same, of a process that has only the manifest of the dataset in the folder `path`."""
    data = manifest.identity(growing=job.config.follow)
    found = KNOWN_ANSWER if worker < 0 else answer()
    return protocol.Hello(
        worker,
        protocol.VERSION,
        found,
        data,
        job.config.as_dict(),
        machine=machine(),
        host=socket.gethostname(),
        versions=versions(),
        dataset=f"{path}, {manifest.rows:,} rows",
    )


def patient(job: Job, dataset: Dataset) -> Timeouts:
    """The timeouts of a coordinator: a worker has time for the transfer of the arrays to and from the
    servers, which the coordinator does not see."""
    timeouts = job.timeouts
    transfer = 4 * job.shape(dataset.manifest).size / timeouts.bytes_per_second
    return replace(timeouts, unresponsive=timeouts.unresponsive + 2 * transfer)


class ServerActor(Supervised):
    """The trainer, in the process of the weights; if there are several servers, of their coordinator."""

    trainer: Trainer
    pool: SocketWorkerPool
    dataset: Dataset
    parts_read = 0
    run: Path
    logs: dict[str, LogFile]  # of actors on other nodes, by their names
    pool_options: ClassVar[dict[str, Any]] = {}  # of SocketWorkerPool, for tests

    def start(
        self,
        job: Job,
        secret: bytes,
        addresses: Sequence[protocol.Address],
        *servers: Sequence[protocol.Address],
        certificates: Credentials | Path | None = None,
    ) -> int:
        """Build the trainer; returns its position.

        servers: the addresses of each server that has a slice of the weights; none: this process has the weights;
        certificates: to connect to those on other nodes, see `Endpoint`.

        The constructor does not do this, because an error there would reach the driver as the death of an actor.
        """

        places = [ServerAddress.of(each) for each in servers]

        def reach(dataset: Dataset, shape: Shape) -> SliceCommands:
            reached = [place.reached(far=False) for place in places]
            tls = None if certificates is None else Tls(certificates, server=False)
            return SliceCommands(reached, secret, hello(-1, job, dataset), shape, job.timeouts, tls)

        def connect(dataset: Dataset, _plan: Plan, shape: Shape) -> SocketWorkerPool:
            self.dataset = dataset
            self.pool = SocketWorkerPool(
                shape,
                hello(-1, job, dataset),
                secret,
                addresses,
                capacity=job.queue_capacity,
                window=job.window,
                timeouts=patient(job, dataset) if any(place.far for place in places) else job.timeouts,
                **self.pool_options,
            )
            return self.pool

        self.run, self.logs = job.run, {}
        add_log(job, "server")
        self.trainer = build_trainer(job, connect, reach if places else None)
        log.info("the server, process %d, begins at step %d", os.getpid(), self.trainer.step)
        return self.trainer.step

    def write_log(self, name: str, record: logging.LogRecord) -> None:
        """Write a record of an actor on another node, which does not reach the run's folder."""
        if name not in self.logs:
            self.logs[name] = LogFile.of_run(self.run, name)
        self.logs[name].handle(record)

    def manifest(self) -> Manifest:
        """The manifest of the training data, for a node that does not have them."""
        return self.dataset.manifest

    def read_part(self, shard: Shard, offset: int, size: int) -> bytes:
        """A part of a shard, for such a node; see `DatasetCache`."""
        self.parts_read += 1
        return self.dataset.read_part(shard, offset, min(size, PART))

    def listen(self, address: protocol.Address, certificates: Credentials | Path | None = None) -> protocol.Address:
        """Also accept workers at `address`. certificates: of this end; see `Endpoint`."""
        if certificates is None or not protocol.is_far(address):
            return self.pool.listen(address)
        return self.pool.listen(address, Tls(certificates, server=True))

    def roll(self) -> Roll:
        """What is known of the workers. A separate thread may answer, also during another call."""
        if not hasattr(self, "pool"):  # the server is still starting
            return Roll(0.0, [], [], 0)
        stats = self.pool.stats
        return Roll(stats.clock, [*stats.answered], stats.hung, self.parts_read)

    def gather(self, workers: int, seconds: float) -> bool:
        return self.pool.gather(workers, seconds)

    def advance(self, seconds: float) -> Report:
        return self.trainer.advance(seconds)

    def end(self) -> Report:
        return self.trainer.end()

    def checkpoint(self) -> Path:
        return self.trainer.checkpoint()


class WorkerActor:
    """A worker."""

    worker_class = Worker
    client_class = WorkerClient
    _dataset: Dataset | None = None

    def __init__(self, number: int) -> None:
        self._number = number

    def place(self) -> tuple[str, int]:
        """The node of this worker, and the number of its process."""
        import ray

        return str(ray.get_runtime_context().get_node_id()), os.getpid()

    def work(self, job: Job, endpoint: Endpoint, *, far: bool, slot: int, relay: str | None = None) -> str:
        """Answer units until the server releases this worker or cannot be reached; returns which, in words.

        far: whether the server is on another node; slot: the number of the log file, which a replacement continues;
        relay: the address of the relay on this node that units come from.
        """
        with self._logging(job, endpoint, far, slot):
            log.info("worker %d on %s, process %d", self._number, socket.gethostname(), os.getpid())
            try:
                return self._work(job, endpoint, far=far, relay=relay)
            except Exception as error:
                log.error("worker %d ends: %s", self._number, str(error), exc_info=not isinstance(error, DdmlpError))
                raise

    @contextmanager
    def _logging(self, job: Job, endpoint: Endpoint, far: bool, slot: int) -> Iterator[None]:
        """Write the log of this worker to the run's folder, in the block."""
        if not far:
            handler: logging.Handler = LogFile.of_run(job.run, f"worker-{slot}")
        else:
            handler = remote_log(endpoint.server, f"worker-{slot}")
        with logging_to(handler, job.log_level):
            yield

    def _work(self, job: Job, endpoint: Endpoint, *, far: bool, relay: str | None) -> str:
        if relay is not None:
            endpoint = replace(endpoint, local=relay, servers=())
        try:
            dataset = self._dataset = self._dataset or open_data(job, endpoint.server, far=far)
            shape, stage = job.shape(dataset.manifest), PixelStage.of(job, dataset)
            client = endpoint.connect(
                hello(self._number, job, dataset),
                shape,
                job.timeouts,
                far=far and relay is None,
                kind=self.client_class,
            )
        except ConnectionError as error:
            log.warning("%s", error)
            return str(error)
        worker = self.worker_class(dataset, job.plan(dataset.manifest), shape, job.timeouts, stage)
        if job.trace:
            send_times(worker, client, worker.reader)
        run_worker(worker, client)
        return f"the server has released worker {self._number}"
