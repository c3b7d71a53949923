"""The trainer on Ray: its server as an actor beside the driver, started again when it dies, and its crew of workers.

Ray places the actors and carries the few calls of the driver. The messages of a step do not go through Ray or the
driver: server and workers talk to each other directly (hub.py, link.py).
"""

import secrets
import shutil
import tempfile
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import filelock

from ddmlp.errors import ClusterError
from ddmlp.ray_backend.actors import Endpoint, ServerActor
from ddmlp.ray_backend.cluster import INSTALLED, NEVER_AGAIN, Cluster, one_line, ours
from ddmlp.ray_backend.prometheus import RayMetrics
from ddmlp.ray_backend.worker_group import WorkerGroup
from ddmlp.training.job import Job
from ddmlp.training.report import Report
from ddmlp.transport import protocol
from ddmlp.transport.socket_pool import JOIN_SECONDS

PLACE_SECONDS = 60
SERVER_SECONDS = 600  # the longest that the server may be silent; a test of the weights or a checkpoint is one silence
WATCH_SECONDS = 1.0
MOST_DEATHS = 10  # of the server, without a newer checkpoint between, before the run is given up


class RayTrainer:
    """A trainer whose server and workers are actors; used as the local one is."""

    server_class = ServerActor
    crew_class = WorkerGroup

    def __init__(self, job: Job, cluster: Cluster, *, place_seconds: float = PLACE_SECONDS) -> None:
        """Place and start the actors. Raises ClusterError where that does not come about within a bound, and what an
        actor raised; no actor is left then."""
        self._ray, self._cluster, self._job = cluster.ray, cluster, job
        self._server_kind = cluster.ray.remote(self.server_class)  # once, as the crew's
        self._folder = _Folder()
        self._server: Any = None
        self._meeting: Endpoint
        self._started = self._deaths = self._since_checkpoint = 0
        self._began = self.step = -1  # the step that the last server began at, and the last one reported
        self._metrics = RayMetrics(job.run.name)
        self._crew = self.crew_class(cluster, job, self._listen)
        try:
            starting = self._start_server()  # it reads the data while the processes of the workers start
            self._crew.place(place_seconds)
            self._meet(*starting)
            self._gather()
        except cluster.ray.exceptions.RayActorError as error:
            self.close()
            raise ClusterError(f"an actor has died: {one_line(error)}; {INSTALLED}") from error
        except BaseException:
            self.close()
            raise

    def advance(self, seconds: float) -> Report:
        """Train for about so many seconds, replacing what dies meanwhile; see `Trainer.advance`."""
        report: Report = self._ask("advance", seconds)
        self._crew.settle(stepped=report.step > self.step)
        self._crew.dismiss(report.hung)
        self.step = report.step
        return self._noted(report)

    def end(self) -> Report:
        """Let this be the end; see `Trainer.end`."""
        return self._noted(self._ask("end"))

    def checkpoint(self) -> Path:
        """Write a checkpoint; see `Trainer.checkpoint`. Raises ClusterError where the server dies meanwhile."""
        try:
            asked = self._server.checkpoint.remote()
            self._crew.watch(asked, SERVER_SECONDS)
            folder: Path = ours(self._ray, asked)
        except self._ray.exceptions.RayActorError:
            raise ClusterError("the server has died before the checkpoint was written; go on by --resume") from None
        return folder

    def close(self) -> None:
        """Let the workers go, and leave no actor behind, whatever state they are in."""
        if self._server is not None:
            self._ray.kill(self._server)
            self._server = None
        self._crew.close()
        self._folder.remove()

    def _noted(self, report: Report) -> Report:
        """The report, shown to Prometheus; its result tells of deaths, too."""
        deaths = {"worker": self._crew.deaths, "server": self._deaths}
        self._metrics.show(report, deaths)
        if report.result is None:
            return report
        return replace(report, result={**report.result, **{f"{kind}_deaths": count for kind, count in deaths.items()}})

    def _ask(self, method: str, *arguments: Any) -> Any:
        """The server's answer. Meanwhile workers that die are replaced; a server that does is started again, and
        asked again."""
        while True:
            try:
                asked = getattr(self._server, method).remote(*arguments)
                if not self._crew.watch(asked, SERVER_SECONDS):
                    self._ray.kill(self._server)
                return ours(self._ray, asked)
            except self._ray.exceptions.RayActorError as error:
                self._revive(error)

    def _start_server(self) -> tuple[Any, Endpoint]:
        """Have a new server go on from the newest checkpoint: its position, once it is there, and where to meet it."""
        # The server is on this node, where the run's folder is. It needs no CPU of its own: while it computes, the
        # workers wait.
        beside = self._ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(self._cluster.here, soft=False)
        options = {"num_cpus": 0, "scheduling_strategy": beside, **NEVER_AGAIN}
        self._server = self._server_kind.options(**options).remote()
        self._started += 1
        meeting = Endpoint(str(self._folder.path / f"server-{self._started}"), None, secrets.token_bytes(32))
        return self._server.start.remote(self._job, meeting.secret, [meeting.local]), meeting

    def _meet(self, starting: Any, meeting: Endpoint) -> None:
        """Wait until the server is there, and send the workers to it."""
        step = ours(self._ray, starting)
        if step > self._began:
            self._since_checkpoint = 0
        self._began = self.step = step
        self._meeting = meeting
        self._crew.serve(meeting)

    def _revive(self, error: Exception) -> None:
        """Start the server again. It redoes the steps since its newest checkpoint, to the same bits."""
        while True:
            self._deaths += 1
            self._since_checkpoint += 1
            if self._since_checkpoint > MOST_DEATHS:
                raise ClusterError(
                    f"the server has died {self._since_checkpoint} times without a newer checkpoint between, at last "
                    f"so: {one_line(error)}; go on by --resume"
                ) from error
            self._ray.kill(self._server)
            try:
                self._meet(*self._start_server())
                return
            except self._ray.exceptions.RayActorError as another:
                error = another

    def _listen(self) -> Endpoint:
        """Have the server listen for workers on other nodes: only now has the user asked for more than this one."""
        if self._meeting.far is None:
            address: protocol.Address = (self._ray.util.get_node_ip_address(), 0)
            self._meeting = replace(self._meeting, far=ours(self._ray, self._server.listen.remote(address)))
        return self._meeting

    def _gather(self) -> None:
        """Wait until enough workers have joined the server, bounded."""
        for _ in range(int(JOIN_SECONDS / WATCH_SECONDS)):
            if self._ask("gather", self._job.fewest, WATCH_SECONDS):
                return
        raise ClusterError(f"the workers did not reach the server within {JOIN_SECONDS} s; can their nodes connect?")


class _Folder:
    """A folder for the server's sockets: its own user's only, and gone even if its owner is killed, at the latest when
    the next one is made."""

    def __init__(self) -> None:
        for left in Path(tempfile.gettempdir()).glob("ddmlp-*/lock"):
            with suppress(filelock.Timeout, OSError), filelock.FileLock(left).acquire(blocking=False):
                shutil.rmtree(left.parent)
        self.path = Path(tempfile.mkdtemp(prefix="ddmlp-"))
        self._lock = filelock.FileLock(self.path / "lock")  # which a dead process does not hold
        self._lock.acquire()

    def remove(self) -> None:
        self._lock.release()
        shutil.rmtree(self.path, ignore_errors=True)
