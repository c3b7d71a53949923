"""The trainer on Ray: the server and the workers as actors, placed, started, watched and let go.

Ray places the actors and carries the few calls of the driver. The messages of a step do not go through Ray or the
driver: server and workers talk to each other directly (hub.py, link.py).
"""

import secrets
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ddmlp import wire
from ddmlp.cluster import Cluster
from ddmlp.dataset import Dataset
from ddmlp.errors import ClusterError, DdmlpError
from ddmlp.hub import JOIN_SECONDS, Hub
from ddmlp.job import Job, Report
from ddmlp.link import Link, serve
from ddmlp.network import Shape
from ddmlp.numerics import fingerprint
from ddmlp.plan import Plan
from ddmlp.trainer import Trainer
from ddmlp.worker import Worker

PLACE_SECONDS = 60
WATCH_SECONDS = 1.0
MOST_DEATHS = 10  # of each worker, without a step between, before the run is given up
# A process that Ray starts again would have to be told what to do again, so that is not left to Ray.
NEVER_AGAIN: dict[str, Any] = {"max_restarts": 0, "max_task_retries": 0}
INSTALLED = "if this is at the start: every node needs this ddmlp, and the RAY_AUTH_MODE that its Ray was started with"


def hello(worker: int, job: Job, dataset: Dataset) -> wire.Hello:
    """What `worker` (-1: the server) says of itself when it meets the other end."""
    return wire.Hello(worker, wire.VERSION, fingerprint(), dataset.manifest.sha256(), job.config.as_dict())


class ServerActor:
    """The trainer, beside the weights, in a process of its own."""

    trainer: Trainer
    hub: Hub

    def start(
        self, job: Job, secret: bytes, addresses: Sequence[wire.Address]
    ) -> tuple[int, list[str], list[wire.Address]]:
        """The position, what was wrong with newer checkpoints, and where the workers can connect.

        Not in the constructor: an error there reaches the driver as an actor's death, in many lines.
        """

        def connect(dataset: Dataset, _plan: Plan, shape: Shape) -> Hub:
            self.hub = Hub(shape, hello(-1, job, dataset), secret, addresses)
            return self.hub

        self.trainer = Trainer(job, connect)
        return self.trainer.step, self.trainer.complaints, self.hub.addresses

    def gather(self, workers: int, seconds: float) -> bool:
        return self.hub.gather(workers, seconds)

    def advance(self, seconds: float) -> Report:
        return self.trainer.advance(seconds)

    def checkpoint(self) -> Path:
        return self.trainer.checkpoint()

    def finish(self) -> dict[str, Any]:
        return {**self.trainer.finish(), "answered": self.hub.answered}

    def close(self) -> None:
        self.trainer.close()


@dataclass(frozen=True)
class Meeting:
    """Where and how a worker meets the server: its node, its address for workers there and for others, the secret."""

    node: str
    local: wire.Address
    far: wire.Address | None
    secret: bytes

    def address(self, node: str) -> wire.Address:
        """The server's address for a worker on `node`."""
        address = self.local if node == self.node else self.far
        if address is None:
            raise ClusterError(f"node {node} joined after the run began on one node alone; go on by --resume")
        return address


class WorkerActor:
    """A worker in a process of its own."""

    def __init__(self, index: int) -> None:
        self.index = index

    def node(self) -> str:
        """The node that this worker is on."""
        import ray

        return str(ray.get_runtime_context().get_node_id())

    def serve(self, job: Job, meeting: Meeting) -> int:
        """Answer the server's units until there are no more; returns how many."""
        address = meeting.address(self.node())
        dataset = Dataset(job.data / "train")
        if address != meeting.local:
            dataset.verify()  # the server has verified its own node's copy, not this one's
        shape = job.shape(dataset.manifest)
        worker = Worker(dataset, job.plan(dataset.manifest), shape)
        return serve(worker, Link(address, meeting.secret, hello(self.index, job, dataset), shape))


class RemoteTrainer:
    """A trainer whose server and workers are actors; used as the local one is."""

    def __init__(self, job: Job, cluster: Cluster, *, place_seconds: float = PLACE_SECONDS) -> None:
        """Place and start the actors. Raises ClusterError where that does not come about within a bound, and what an
        actor raised; no actor is left then."""
        self._ray, self._cluster, self._job = cluster.ray, cluster, job
        self._folder = Path(tempfile.mkdtemp(prefix="ddmlp-"))
        self._actors: list[Any] = []
        self._serving: dict[Any, Any] = {}  # the call that each worker is in, and the worker
        self._hired = self._deaths = self.step = 0
        self.complaints: list[str] = []
        try:
            self._start(place_seconds)
        except BaseException:
            self.close()
            raise

    def advance(self, seconds: float) -> Report:
        """Train for about so many seconds, replacing workers that die meanwhile; see `Trainer.advance`."""
        report: Report = self._watched(self._server.advance.remote(seconds))
        if report.step > self.step:
            self.step, self._deaths = report.step, 0
        return report

    def checkpoint(self) -> Path:
        folder: Path = self._call(self._server.checkpoint.remote())
        return folder

    def finish(self) -> dict[str, Any]:
        result: dict[str, Any] = self._call(self._server.finish.remote())
        return result

    def close(self) -> None:
        """Let the workers go, and leave no actor behind, whatever state they are in."""
        for actor in self._actors:
            self._ray.kill(actor)
        self._actors = []
        shutil.rmtree(self._folder, ignore_errors=True)

    def _start(self, place_seconds: float) -> None:
        ray, job = self._ray, self._job
        here = ray.get_runtime_context().get_node_id()
        workers = [self._hire() for _ in range(job.workers)]
        self._placed([worker.node.remote() for worker in workers], place_seconds)
        # The server is on this node, where the run's folder is. It needs no CPU of its own: while it computes, the
        # workers wait.
        beside = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(here, soft=False)
        self._server = ray.remote(ServerActor).options(num_cpus=0, scheduling_strategy=beside, **NEVER_AGAIN).remote()
        self._actors.append(self._server)
        addresses: list[wire.Address] = [str(self._folder / "server")]
        if self._cluster.nodes > 1:
            addresses.append((ray.util.get_node_ip_address(), 0))
        secret = secrets.token_bytes(32)
        self.step, self.complaints, found = self._call(self._server.start.remote(job, secret, addresses))
        self._meeting = Meeting(here, found[0], found[1] if len(found) > 1 else None, secret)
        self._serving = {worker.serve.remote(job, self._meeting): worker for worker in workers}
        self._gather(job.workers)

    def _hire(self) -> Any:
        """A new worker, with a number of its own."""
        options = {"num_cpus": self._cluster.share(self._job.workers), **NEVER_AGAIN}
        worker = self._ray.remote(WorkerActor).options(**options).remote(self._hired)
        self._hired += 1
        self._actors.append(worker)
        return worker

    def _watched(self, asked: Any) -> Any:
        """The server's answer; meanwhile a worker that dies is replaced, and one that fails says why."""
        while True:
            (done,), _ = self._ray.wait([asked, *self._serving], num_returns=1)
            if done is asked:
                return self._call(asked)
            left = self._serving.pop(done)
            self._actors.remove(left)
            self._ray.kill(left)  # it may only have stopped serving
            try:
                self._ray.get(done)  # without an error it was let go: the server could make no sense of it
            except self._ray.exceptions.RayActorError:
                pass
            except self._ray.exceptions.RayTaskError:
                self._call(done)
            self._deaths += 1
            if self._deaths > MOST_DEATHS * self._job.workers:
                raise ClusterError(f"{self._deaths} workers have died without a step between; go on by --resume")
            worker = self._hire()
            self._serving[worker.serve.remote(self._job, self._meeting)] = worker

    def _placed(self, asked: list[Any], seconds: float) -> None:
        """Wait until every worker has a place, bounded."""
        ready, missing = self._ray.wait(asked, num_returns=len(asked), timeout=seconds)
        if missing:
            raise ClusterError(
                f"{len(missing)} of {len(asked)} workers found no place within {seconds:g} s: each needs "
                f"{self._cluster.share(len(asked)):g} CPUs, and the cluster has {self._cluster.room()}; free some, or "
                "ask for fewer --workers"
            )
        self._call(ready)

    def _gather(self, workers: int) -> None:
        """Wait until every worker has joined the server, bounded."""
        for _ in range(int(JOIN_SECONDS / WATCH_SECONDS)):
            if self._watched(self._server.gather.remote(workers, WATCH_SECONDS)):
                return
        raise ClusterError(f"the workers did not reach the server within {JOIN_SECONDS} s; can their nodes connect?")

    def _call(self, asked: Any) -> Any:
        """The answer of an actor; raises what it raised, and ClusterError where it has died."""
        try:
            return self._ray.get(asked)
        except self._ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, DdmlpError | OSError):
                raise error.cause from None
            raise ClusterError(f"an actor failed: {_line(error.cause)}; {INSTALLED}") from error
        except self._ray.exceptions.RayActorError as error:
            raise ClusterError(f"an actor has died: {_line(error)}; go on by --resume, or, {INSTALLED}") from error


def _line(error: BaseException) -> str:
    """An error of Ray's in one line."""
    lines = [line for line in str(error).splitlines() if line.strip()] or [""]
    return f"{type(error).__name__}: {lines[0].strip()}"
