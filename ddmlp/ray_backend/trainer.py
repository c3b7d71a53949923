"""The trainer on Ray: a server actor on the driver's node, which is restarted if it dies, and a group of workers.

Ray places the actors and carries the few calls of the driver. The messages of a step go through neither Ray nor the
driver: server and workers are connected directly (ddmlp/transport).
"""

import logging
import os
import secrets
import signal
import time
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from msgspec import structs

from ddmlp.errors import ClusterError, ServerLostError
from ddmlp.ray_backend.actors import ServerActor
from ddmlp.ray_backend.attendance import Attendance, Roll
from ddmlp.ray_backend.certificates import make_credentials
from ddmlp.ray_backend.cluster import INSTALLED, NEVER_AGAIN, ActorLostError, Cluster, get_answer
from ddmlp.ray_backend.endpoint import Endpoint
from ddmlp.ray_backend.losses import CAUSES
from ddmlp.ray_backend.prometheus import RayMetrics
from ddmlp.ray_backend.server_group import ServerGroup
from ddmlp.ray_backend.socket_folder import SocketFolder
from ddmlp.ray_backend.supervised import BESIDE
from ddmlp.ray_backend.worker_group import WorkerGroup
from ddmlp.runs.events import Event, Lost
from ddmlp.runs.lag import read_lag
from ddmlp.training.job import Job
from ddmlp.training.report import Report
from ddmlp.training.worker_pool import EXITED
from ddmlp.transport import protocol
from ddmlp.transport.tls import Credentials

log = logging.getLogger(__name__)

WATCH_SECONDS = 1.0  # between checks of the workers while they join
SILENT_SECONDS = 2.0  # without an answer from the server, after which it is pinged
# The labels for Prometheus.
WORKERS = {cause: "worker" if cause == EXITED else f"{cause} worker" for cause in CAUSES}


class RayTrainer:
    """A trainer whose server and workers are actors; its methods are those of `Trainer`."""

    server_class = ServerActor
    servers_class = ServerGroup
    group_class = WorkerGroup

    def __init__(self, job: Job, cluster: Cluster) -> None:
        """Place and start the actors. Raises ClusterError if that takes too long, and the error of an actor; then no
        actor is left."""
        self._ray, self._cluster, self._job = cluster.ray, cluster, job
        remote = cluster.ray.remote(concurrency_groups={BESIDE: 1})
        self._server_kind = remote(self.server_class)  # defined once: the driver keeps each definition
        self._folder = SocketFolder()
        self._servers = self.servers_class(cluster, job, self._folder.path)
        self._server: Any = None
        self._process: Any = None  # the server's
        self._endpoint: Endpoint
        self._certificates: Credentials | Path | None = None  # of the servers
        self._started = self._deaths = self._since_checkpoint = 0
        self._began = self.step = -1  # the step that the last server began at, and the last one reported
        self._attendance = Attendance(job.timeouts.join / 2)
        self._metrics = RayMetrics(job.run.name)
        self._group = self.group_class(cluster, job, self._listen)
        try:
            starting = self._start_server()  # it reads the data while the processes of the workers start
            self._group.start()
            self._connect(*starting)
            self._gather()
        except (ActorLostError, ServerLostError) as error:
            self.close()
            raise ClusterError(f"an actor has died: {error}; {INSTALLED}") from error
        except BaseException:
            self.close()
            raise

    def advance(self, seconds: float) -> Report:
        """Train for about `seconds`, and replace actors that die meanwhile; see `Trainer.advance`."""
        report: Report = self._ask("advance", seconds)
        self._group.replace_released(report.lost, stepped=report.step > self.step)
        self._group.kill(report.hung)
        if report.workers < len(self._group.working):
            self._replace_missing(self._ask("roll"))
        self.step = report.step
        return self._noted(report)

    def end(self) -> Report:
        """End the run here; see `Trainer.end`."""
        return self._noted(self._ask("end"))

    def checkpoint(self) -> Path:
        """Write a checkpoint; see `Trainer.checkpoint`. Raises ClusterError if the server dies meanwhile."""
        try:
            asked = self._server.checkpoint.remote()
            folder: Path = self._answer(asked)
        except (ActorLostError, ServerLostError):
            raise ClusterError("the server died before the checkpoint was written") from None
        return folder

    def close(self) -> None:
        """Kill all actors, whatever state they are in."""
        if self._server is not None:
            self._ray.kill(self._server)
            self._server = None
        self._servers.close()
        self._group.close()
        self._folder.remove()

    def _noted(self, report: Report) -> Report:
        """Add the lost workers that the server does not know to a report; also updates the metrics for Prometheus."""
        lost, known = self._group.losses.counts, {each.worker for each in report.lost}
        more: list[Event] = [
            Lost(step=report.step, **asdict(each)) for each in self._group.losses.rejected() if each.worker not in known
        ]
        report = replace(report, events=report.events + more)
        deaths = {**{WORKERS[cause]: lost[cause] for cause in CAUSES}, "server": self._deaths}
        self._metrics.show(report, deaths, read_lag(self._job.run))  # it is measured in the process of the ingest
        if report.result is None:
            return report
        result = structs.replace(
            report.result,
            worker_deaths=lost[EXITED],
            workers_lost={cause: lost[cause] for cause in CAUSES},
            server_deaths=self._deaths,
        )
        return replace(report, result=result)

    def _ask(self, method: str, *arguments: Any) -> Any:
        """The server's answer. Workers that die meanwhile are replaced; a server that dies is restarted, and asked
        again."""
        while True:
            try:
                self._servers.check()
                return self._answer(getattr(self._server, method).remote(*arguments))
            except (ActorLostError, ServerLostError) as error:
                self._restart_server(error)

    def _answer(self, asked: Any) -> Any:
        """The server's answer to the call `asked`; see `get_answer`. A server that does not answer a ping either, or
        is silent for too long, is killed."""
        timeouts, begin = self._job.timeouts, time.monotonic()
        while not self._group.watch(asked, SILENT_SECONDS, self._servers.lives):
            self._servers.check()
            if self._ray.wait([self._process], timeout=0)[0]:
                ping = self._server.roll.options(concurrency_group=BESIDE).remote()
                bound = 0.0
                if self._group.watch(ping, timeouts.ping):
                    bound = timeouts.server
                    self._replace_missing(get_answer(self._ray, ping))  # the call may wait for them
            else:
                bound = timeouts.place
            if time.monotonic() > begin + bound:
                self._kill_server()
                if not self._group.watch(asked, timeouts.death):
                    raise ClusterError(
                        f"Ray has not reported the server's death {timeouts.death:g} s after it was killed"
                    )
        return get_answer(self._ray, asked)

    def _replace_missing(self, roll: Roll) -> None:
        """Replace hung workers, and those that have not connected for long."""
        self._group.kill([*roll.hung, *self._attendance.missing(roll, self._group.working)])

    def _kill_server(self) -> None:
        """Kill the server, whatever state it is in."""
        log.warning("the server does not answer; it is killed")
        if self._ray.wait([self._process], timeout=0)[0]:  # Ray would ask it to end, and wait
            with suppress(ProcessLookupError, self._ray.exceptions.RayError):
                os.kill(self._ray.get(self._process), signal.SIGKILL)
        self._ray.kill(self._server)

    def _start_server(self) -> tuple[Any, Endpoint]:
        """Start a server at the newest checkpoint; returns the call that answers with its position, and its
        endpoint."""
        # The server runs on this node, which has the run's folder. It reserves no CPU: while it computes, the workers
        # wait.
        beside = self._ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(self._cluster.here, soft=False)
        options = {"num_cpus": 0, "scheduling_strategy": beside, **NEVER_AGAIN}
        self._server = self._server_kind.options(**options).remote()
        self._process = self._server.ping.remote()
        self._server.end_with.remote(self._folder.path)
        self._started += 1
        given: Credentials | Path | None = self._job.certificates
        self._certificates, clients = make_credentials() if given is None else (given, given)
        local = str(self._folder.path / f"server-{self._started}")
        endpoint = Endpoint(local, None, secrets.token_bytes(32), self._server, certificates=clients)
        servers = self._servers.start(endpoint.secret, self._server, self._started, self._certificates)
        starting = self._server.start.remote(
            self._job, endpoint.secret, [endpoint.local], *servers, certificates=clients
        )
        return starting, endpoint

    def _connect(self, starting: Any, endpoint: Endpoint) -> None:
        """Wait until the server has started, and send the workers to it."""
        step = self._answer(starting)
        if step > self._began:
            self._since_checkpoint = 0
        self._began = self.step = step
        self._endpoint = replace(endpoint, servers=self._servers.addresses())
        self._group.connect_to(self._endpoint)

    def _restart_server(self, error: Exception) -> None:
        """Restart the server. It repeats the steps since the newest checkpoint: with the same bits, unless the run is
        asynchronous."""
        while True:
            self._servers.find_lost()
            self._deaths += 1
            self._since_checkpoint += 1
            if self._since_checkpoint > self._job.max_deaths:
                raise ClusterError(
                    f"the server died {self._since_checkpoint} times since the last checkpoint; last error: {error}"
                ) from error
            log.warning("the server died, %d times since the last checkpoint: %s", self._since_checkpoint, str(error))
            self._ray.kill(self._server)
            self._servers.close()  # the others have versions that the checkpoint does not have
            try:
                self._connect(*self._start_server())
                log.info("the server was restarted at step %d", self.step)
                return
            except (ActorLostError, ServerLostError) as another:
                error = another

    def _listen(self) -> Endpoint:
        """Let the server also listen for workers on other nodes. It does not until one is placed there: a run on one
        node opens no port."""
        if self._endpoint.far is None:
            address: protocol.Address = (self._ray.util.get_node_ip_address(), 0)
            far = self._answer(self._server.listen.remote(address, self._certificates))
            self._endpoint = replace(self._endpoint, far=far)
        return self._endpoint

    def _gather(self) -> None:
        """Wait until enough workers have joined the server. Raises ClusterError if they do not join in time.

        The time in which they fetch data does not count.
        """
        join, parts, left = self._job.timeouts.join, 0, self._job.timeouts.join
        while left > 0:
            if self._ask("gather", min(self._job.fewest, max(1, self._group.placed)), WATCH_SECONDS):
                return
            left -= WATCH_SECONDS
            if parts != (parts := self._ask("roll").parts):
                left = join
        raise ClusterError(f"the workers did not reach the server within {join:g} s; can their nodes connect?")
