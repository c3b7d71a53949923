"""The driver of Ray: a process of its own that does what it is asked, and answers.

If its raylet or its GCS is gone, Ray's C++ ends the process that holds a driver. So no process of a user's is one.
"""

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
from ddmlp.ray_backend.trainer import RayTrainer
from ddmlp.training.job import Job

CROWDED = 0.25  # CPUs a worker
LOOK_SECONDS = 0.25  # between looks whether the process that started this one is there


class Message(NamedTuple):
    """What the driver says: a line for the user; where Ray's GCS and its raylet here are; the answer to what it was
    asked; or the error that this has come to."""

    kind: Literal["note", "cluster", "answer", "error"]
    value: Any


@contextmanager
def on_ray(job: Job, choice: Choice, dashboard: bool, send: Callable[[Message], None]) -> Iterator[RayTrainer]:
    """A trainer on Ray; nothing of it is left behind. A Ray of our own ends with this process."""
    cluster = connect(choice, dashboard=dashboard)
    try:
        send(Message("cluster", (cluster.address, cluster.raylet)))
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
    """What the user is told of the cluster."""
    name = "started a local Ray" if cluster.own else f"using the Ray at {cluster.address}"
    yield f"{name} ({cluster.why}): {cluster.room()}"
    if dashboard and cluster.own:
        yield f"dashboard: {cluster.dashboard} (it asks for this token: {os.environ['RAY_AUTH_TOKEN']})"
    if (share := cluster.share(job.fewest)) < 1:
        yield f"{job.fewest} workers share {cluster.cpus:g} CPUs: {share:g} each"
    if share < CROWDED:
        yield "warning: so many are slower than one process, and each needs about 200 MB of memory"


def serve(connection: Connection) -> None:
    """Open a trainer as the first message says, and answer the others until there are no more."""

    def send(message: Message) -> None:
        connection.send(message)

    try:
        job, choice, dashboard = connection.recv()
        with on_ray(job, choice, dashboard, send) as trainer:
            send(Message("answer", trainer.step))
            while asked := connection.recv():
                method, arguments = asked
                try:
                    send(Message("answer", getattr(trainer, method)(*arguments)))
                except DdmlpError as error:
                    send(Message("error", error))
        send(Message("answer", None))
    except (DdmlpError, OSError) as error:
        send(Message("error", error))
    except Exception as error:  # what Ray raises if it is not well
        send(Message("error", ClusterError(f"the driver of Ray has failed: {one_line(error)}")))


def end_with(parent: int) -> None:
    """Once that process has ended, end this one and all that it has started."""
    while os.getppid() == parent:
        time.sleep(LOOK_SECONDS)
    os.killpg(0, signal.SIGKILL)


def main(descriptor: int, parent: int, program: str) -> None:
    """The driver's process, which leads a group of its own. program: what Ray is to take it for."""
    sys.argv[:] = [program]
    Thread(target=end_with, args=[parent], daemon=True).start()
    with suppress(EOFError, OSError):  # whoever asks is gone
        serve(Connection(descriptor))
