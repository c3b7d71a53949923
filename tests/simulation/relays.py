"""The relays of hosts, and their processes."""

from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from ddmlp.ray_backend.endpoint import Endpoint
from ddmlp.training.worker_pool import relay_number
from ddmlp.transport.relay import run_relay
from ddmlp.transport.socket_pool import SocketWorkerPool
from tests.simulation.scheduler import Process
from tests.simulation.worker import connect, hello

if TYPE_CHECKING:
    from tests.simulation.cluster import Cluster

AGAIN = 0.5  # seconds until a relay that has ended is replaced, at most


@dataclass(eq=False)
class RelayProcess:
    """What the process of a relay does, as a RelayActor. server: its endpoint; endpoint: of the relay, once it
    listens."""

    cluster: "Cluster"
    server: Endpoint
    host: str
    number: int
    endpoint: Endpoint | None = None
    process: Process = field(init=False)

    def run(self) -> None:
        cluster = self.cluster
        job, dataset = cluster.job, cluster.dataset
        shape, name = job.shape(dataset.manifest), relay_number(self.number)
        pool = SocketWorkerPool(
            shape,
            hello(-1, self.host, job, dataset),
            self.server.secret,
            [f"/relay-{self.number}"],
            capacity=job.queue_capacity,
            timeouts=job.timeouts,
            cores=64,
            time_slice=3,
        )
        (address,) = pool.addresses
        self.endpoint = replace(self.server, local=address, servers=())
        greeting = hello(name, self.host, job, dataset)
        try:
            run_relay(pool, partial(connect, self.server, greeting, job, dataset, far=True), shape)
        except ConnectionError:
            return  # the server cannot be reached


class RelayProcesses:
    """The relay of each host with workers other than the driver's, as the group of workers starts them."""

    def __init__(self, cluster: "Cluster") -> None:
        self._cluster = cluster
        self._relays: dict[str, RelayProcess] = {}  # by host

    @property
    def processes(self) -> list[Process]:
        return [each.process for each in self._relays.values() if each.process.alive]

    def endpoint(self, host: str) -> Endpoint | None:
        """Where the workers of a host connect to its relay; None if there is none that listens."""
        relay = self._relays.get(host)
        return relay.endpoint if relay is not None and relay.process.alive else None

    def start(self, host: str) -> None:
        """Start the relay of a host for the present server, unless there is one."""
        cluster, server = self._cluster, self._cluster.endpoint
        if server is None or cluster.result is not None:
            return
        before = self._relays.get(host)
        if before is not None and before.process.alive:
            if before.server is server:
                return
            cluster.world.kill(before.process)
        relay = self._relays[host] = RelayProcess(cluster, server, host, cluster.number())
        relay.process = cluster.scheduler.spawn(f"relay {relay.number}", host, relay.run)

    def start_all(self) -> None:
        """Start the relays of all hosts with workers, as soon as the current process waits."""
        self._cluster.scheduler.after(0.0, lambda: [self.start(host) for host in self._hosts()])

    def replace(self, process: Process) -> None:
        """Replace a relay that has ended, if its host still has workers."""

        def again() -> None:
            if process.host in self._hosts():
                self.start(process.host)

        if any(each.process is process for each in self._relays.values()):
            self._cluster.scheduler.after(self._cluster.draw.random() * AGAIN, again)

    def _hosts(self) -> list[str]:
        return sorted({each.host for each in self._cluster.workers.values()} - {"here"} - self._cluster.lost_hosts)
