"""The trainer on Ray: the server and the workers as actors, placed, started, watched and let go.

Ray places the actors and carries the few calls of the driver. The messages of a step do not go through Ray or the
driver: server and workers talk to each other directly (hub.py, link.py).
"""

import secrets
import shutil
import tempfile
from collections.abc import Sequence
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
from ddmlp.trainer import Trainer
from ddmlp.worker import Worker

PLACE_SECONDS = 60
WATCH_SECONDS = 1.0
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

        def connect(shape: Shape) -> Hub:
            self.hub = Hub(shape, hello(-1, job, Dataset(job.data / "train")), secret, addresses)
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


class WorkerActor:
    """A worker in a process of its own."""

    def __init__(self, index: int) -> None:
        self.index = index

    def node(self) -> str:
        """The node that this worker is on."""
        import ray

        return str(ray.get_runtime_context().get_node_id())

    def serve(self, job: Job, address: wire.Address, secret: bytes) -> int:
        """Answer the server's units until there are no more; returns how many."""
        dataset = Dataset(job.data / "train")
        if not isinstance(address, str):
            dataset.verify()  # the server has verified its own node's copy, not this one's
        shape = job.shape(dataset.manifest)
        worker = Worker(dataset, job.plan(dataset.manifest), shape)
        return serve(worker, Link(address, secret, hello(self.index, job, dataset), shape))


class RemoteTrainer:
    """A trainer whose server and workers are actors; used as the local one is."""

    def __init__(self, job: Job, cluster: Cluster, *, place_seconds: float = PLACE_SECONDS) -> None:
        """Place and start the actors. Raises ClusterError where that does not come about within a bound, and what an
        actor raised; no actor is left then."""
        self._ray, self._cluster = cluster.ray, cluster
        self._folder = Path(tempfile.mkdtemp(prefix="ddmlp-"))
        self._actors: list[Any] = []
        self._serving: list[Any] = []
        try:
            self._start(job, place_seconds)
        except BaseException:
            self.close()
            raise

    def advance(self, seconds: float) -> Report:
        """Train for about so many seconds; see `Trainer.advance`."""
        report: Report = self._call(self._server.advance.remote(seconds))
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

    def _start(self, job: Job, place_seconds: float) -> None:
        ray = self._ray
        here = ray.get_runtime_context().get_node_id()
        share = self._cluster.share(job.workers)
        # A restarted process would have to be told what to do again, so restarts are not left to Ray.
        options = {"max_restarts": 0, "max_task_retries": 0}
        workers = [
            ray.remote(WorkerActor).options(num_cpus=share, **options).remote(index) for index in range(job.workers)
        ]
        self._actors += workers
        nodes = self._placed([worker.node.remote() for worker in workers], share, place_seconds)
        # The server is on this node, where the run's folder is. It needs no CPU of its own: while it computes, the
        # workers wait.
        beside = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(here, soft=False)
        addresses: list[wire.Address] = [str(self._folder / "server")]
        if any(node != here for node in nodes):
            addresses.append((ray.util.get_node_ip_address(), 0))
        secret = secrets.token_bytes(32)
        self._server = ray.remote(ServerActor).options(num_cpus=0, scheduling_strategy=beside, **options).remote()
        self._actors.append(self._server)
        self.step, self.complaints, found = self._call(self._server.start.remote(job, secret, addresses))
        self._serving = [
            worker.serve.remote(job, found[0] if node == here else found[1], secret)
            for worker, node in zip(workers, nodes, strict=True)
        ]
        self._gather(job.workers)

    def _placed(self, asked: list[Any], share: float, seconds: float) -> list[str]:
        """The node of each worker."""
        ready, missing = self._ray.wait(asked, num_returns=len(asked), timeout=seconds)
        if missing:
            raise ClusterError(
                f"{len(missing)} of {len(asked)} workers found no place within {seconds:g} s: each needs {share:g} "
                f"CPUs, and the cluster has {self._cluster.room()}; free some, or ask for fewer --workers"
            )
        nodes: list[str] = self._call(ready)
        return nodes

    def _gather(self, workers: int) -> None:
        """Wait until every worker has joined the server, bounded; a worker's own error comes first."""
        for _ in range(int(JOIN_SECONDS / WATCH_SECONDS)):
            joined = self._server.gather.remote(workers, WATCH_SECONDS)
            done, _ = self._ray.wait([joined, *self._serving], num_returns=1)
            if done[0] is not joined:
                self._call(done[0])
            elif self._call(joined):
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
