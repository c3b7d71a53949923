"""The child process that is the driver of Ray: it answers the requests of `DriverProcess`, over a pipe.

If its raylet or its GCS dies, Ray's C++ ends the process of a driver. So the user's process is never one.
"""

import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from threading import Thread
from typing import Any, Literal, NamedTuple

from ddmlp.errors import ClusterError, DdmlpError
from ddmlp.ray_backend.choice import Choice
from ddmlp.ray_backend.cluster import Cluster, connect, one_line
from ddmlp.ray_backend.log_transfer import DirectLog
from ddmlp.ray_backend.trainer import RayTrainer
from ddmlp.runs.log_files import logging_to
from ddmlp.training.job import Job

log = logging.getLogger(__name__)

CROWDED = 0.25  # CPUs per worker, below which the user gets a warning
POLL_SECONDS = 0.25  # between checks that the parent process runs


class Message(NamedTuple):
    """note: a line for the user; log: a record of the logs; cluster: the addresses of Ray's GCS and of the raylet on
    this machine; answer and error: what a request returned or raised."""

    kind: Literal["note", "log", "cluster", "answer", "error"]
    value: Any


@contextmanager
def on_ray(job: Job, choice: Choice, dashboard: bool, send: Callable[[Message], None]) -> Iterator[RayTrainer]:
    """A trainer on Ray, closed at the end. A Ray that was started here ends with this process."""
    cluster = connect(choice, dashboard=dashboard)
    try:
        send(Message("cluster", (cluster.address, cluster.raylet)))
        log.info("Ray at %s (%s): %s", cluster.address, cluster.why, cluster.room())
        for line in notes(job, cluster, dashboard=dashboard):
            send(Message("note", line))
        trainer = RayTrainer(job, cluster)
        try:
            yield trainer
        finally:
            trainer.close()
    finally:
        if not cluster.own:
            cluster.leave()


def notes(job: Job, cluster: Cluster, *, dashboard: bool) -> Iterator[str]:
    """Lines about the cluster for the user."""
    name = "started a local Ray" if cluster.own else f"using the Ray at {cluster.address}"
    yield f"{name} ({cluster.why}): {cluster.room()}"
    if dashboard and cluster.own:
        yield f"dashboard: {cluster.dashboard} (its token: {os.environ['RAY_AUTH_TOKEN']})"
    if (share := cluster.share(job.fewest)) < 1:
        yield f"{job.fewest} workers share {cluster.cpus:g} CPUs: {share:g} each"
    if job.servers > 1 and cluster.nodes == 1:
        yield f"warning: {job.servers} servers on one machine are slower than one: arrays go through sockets"
    if share < CROWDED:
        yield "warning: with so few CPUs, workers are slower than one process, and each needs about 200 MB of memory"


def serve(connection: Connection) -> None:
    """Open the trainer of the first message, and answer requests until the parent sends None."""
    send = connection.send
    try:
        job, choice, dashboard = connection.recv()
        logs = DirectLog(lambda record: send(Message("log", record)))
        with logging_to(logs, job.log_level), on_ray(job, choice, dashboard, send) as trainer:
            send(Message("answer", trainer.step))
            while request := connection.recv():
                method, arguments = request
                try:
                    send(Message("answer", getattr(trainer, method)(*arguments)))
                except DdmlpError as error:
                    send(Message("error", error))
        send(Message("answer", None))
    except (DdmlpError, OSError) as error:
        send(Message("error", error))
    except Exception as error:  # Ray raises many kinds
        send(Message("error", ClusterError(f"the driver of Ray has failed: {one_line(error)}")))


def end_with(parent: int) -> None:
    """Kill this process group once the process `parent` has ended."""
    while os.getppid() == parent:
        time.sleep(POLL_SECONDS)
    os.killpg(0, signal.SIGKILL)


def main(descriptor: int, parent: int, program: str) -> None:
    """Run in the leader of a process group. program: the name of the script, which Ray shows."""
    sys.argv[:] = [program]
    Thread(target=end_with, args=[parent], daemon=True).start()
    with suppress(EOFError, OSError):  # the parent has ended
        serve(Connection(descriptor))
