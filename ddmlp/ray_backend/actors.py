"""The classes of the Ray actors: the parameter server and the workers, each in a separate process."""

import logging
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread
from typing import Any, ClassVar

from ddmlp.data.dataset import Dataset
from ddmlp.errors import DdmlpError
from ddmlp.nn.known_answer import KNOWN_ANSWER, answer, machine
from ddmlp.nn.weights import Shape
from ddmlp.plan.plan import Plan
from ddmlp.ray_backend.log_transfer import BufferedLog
from ddmlp.ray_backend.socket_folder import wait_for_owner
from ddmlp.runs.log_files import LogFile, add_handler, logging_to
from ddmlp.runs.versions import versions
from ddmlp.training.job import Job
from ddmlp.training.report import Report
from ddmlp.training.setup import build_trainer
from ddmlp.training.trainer import Trainer
from ddmlp.training.worker import Worker
from ddmlp.transport import protocol
from ddmlp.transport.client import WorkerClient, run_worker
from ddmlp.transport.socket_pool import SocketWorkerPool

log = logging.getLogger(__name__)

BESIDE = "ping"  # the concurrency group of methods that run during another call
LOG_SECONDS = 10.0  # until a record that the server does not write is given up


def hello(worker: int, job: Job, dataset: Dataset) -> protocol.Hello:
    """The hello of a worker, made in the thread that computes; -1: of the server, which has checked its arithmetic."""
    data = dataset.manifest.identity(growing=job.config.follow)
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
        dataset=f"{dataset.path}, {len(dataset):,} rows",
    )


class ServerActor:
    """The trainer, in the process of the weights."""

    trainer: Trainer
    pool: SocketWorkerPool
    run: Path
    logs: dict[int, LogFile]  # of workers on other nodes, by their slots
    pool_options: ClassVar[dict[str, Any]] = {}  # of SocketWorkerPool, for tests

    def start(self, job: Job, secret: bytes, addresses: Sequence[protocol.Address]) -> int:
        """Build the trainer; returns its position.

        The constructor does not do this, because an error there would reach the driver as the death of an actor.
        """

        def connect(dataset: Dataset, _plan: Plan, shape: Shape) -> SocketWorkerPool:
            self.pool = SocketWorkerPool(
                shape,
                hello(-1, job, dataset),
                secret,
                addresses,
                capacity=job.queue_capacity,
                window=job.window,
                timeouts=job.timeouts,
                **self.pool_options,
            )
            return self.pool

        self.run, self.logs = job.run, {}
        add_handler(LogFile.of_run(job.run, "server"), job.log_level)
        self.trainer = build_trainer(job, connect)
        log.info("the server, process %d, begins at step %d", os.getpid(), self.trainer.step)
        return self.trainer.step

    def end_with(self, folder: Path) -> None:
        """End this process once the owner of a folder of sockets has ended.

        Ray also does so, but not if its GCS is dead; and until then no other process could resume the run.
        """

        def end() -> None:
            wait_for_owner(folder)
            os._exit(1)

        Thread(target=end, daemon=True).start()

    def ping(self) -> int:
        """The number of the process. A separate thread answers, also during another call."""
        return os.getpid()

    def write_log(self, slot: int, record: logging.LogRecord) -> None:
        """Write a record of a worker on another node, which cannot write to the run's folder."""
        if slot not in self.logs:
            self.logs[slot] = LogFile.of_run(self.run, f"worker-{slot}")
        self.logs[slot].handle(record)

    def listen(self, address: protocol.Address) -> protocol.Address:
        return self.pool.listen(address)

    def gather(self, workers: int, seconds: float) -> bool:
        return self.pool.gather(workers, seconds)

    def advance(self, seconds: float) -> Report:
        return self.trainer.advance(seconds)

    def end(self) -> Report:
        return self.trainer.end()

    def checkpoint(self) -> Path:
        return self.trainer.checkpoint()


@dataclass(frozen=True)
class Endpoint:
    """Where workers reach the server.

    local, far: its address for workers on its node, and for others; secret: of the run, which the workers must know;
    server: its actor, which writes the logs of workers on other nodes.
    """

    local: protocol.Address
    far: protocol.Address | None
    secret: bytes = field(repr=False)
    server: Any = None


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

    def work(self, job: Job, endpoint: Endpoint, *, far: bool, slot: int) -> str:
        """Answer units until the server releases this worker or cannot be reached; returns which, in words.

        far: whether the server is on another node; slot: the number of the log file, which a replacement continues.
        """
        with self._logging(job, endpoint, far, slot):
            log.info("worker %d on %s, process %d", self._number, socket.gethostname(), os.getpid())
            try:
                return self._work(job, endpoint, far=far)
            except Exception as error:
                log.error("worker %d ends: %s", self._number, str(error), exc_info=not isinstance(error, DdmlpError))
                raise

    @contextmanager
    def _logging(self, job: Job, endpoint: Endpoint, far: bool, slot: int) -> Iterator[None]:
        """Write the log of this worker to the run's folder, in the block."""
        if not far:
            handler: logging.Handler = LogFile.of_run(job.run, f"worker-{slot}")
        else:
            import ray

            write = endpoint.server.write_log.options(concurrency_group=BESIDE)
            handler = BufferedLog(lambda record: ray.get(write.remote(slot, record), timeout=LOG_SECONDS))
        with logging_to(handler, job.log_level):
            yield

    def _work(self, job: Job, endpoint: Endpoint, *, far: bool) -> str:
        # The server verifies only the copy on its node.
        dataset = self._dataset = self._dataset or Dataset(job.data / "train", verify=far)
        shape = job.shape(dataset.manifest)
        address = endpoint.far if far else endpoint.local
        assert address is not None, "the server listens for other nodes before a worker there is sent to it"
        try:
            client = self.client_class(address, endpoint.secret, hello(self._number, job, dataset), shape, job.timeouts)
        except ConnectionError as error:
            log.warning("%s", error)
            return str(error)
        run_worker(self.worker_class(dataset, job.plan(dataset.manifest), shape, job.timeouts), client)
        return f"the server has released worker {self._number}"
