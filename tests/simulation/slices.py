"""The servers of slices, if a run has several servers, and their processes."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ddmlp.nn.optimizer import SGD
from ddmlp.ray_backend.endpoint import ServerAddress
from ddmlp.training.slices import cut, slice_shape
from ddmlp.training.weight_slice import WeightSlice
from ddmlp.transport.slice_server import SliceServer
from ddmlp.transport.socket_pool import SLOTS
from tests.simulation.network import DRIVER, Address
from tests.simulation.scheduler import Process
from tests.simulation.worker import hello

if TYPE_CHECKING:
    from tests.simulation.cluster import Cluster

PING = 2.0  # seconds between pings
CHECKED = 16  # turns of the loop of a server, of which one is checked


@dataclass(eq=False)
class SliceProcess:
    """What the process of a server does, as a SliceActor. number: of its slice; address: once it listens."""

    cluster: "Cluster"
    secret: bytes
    number: int
    host: str
    address: ServerAddress | None = None
    process: Process = field(init=False)
    answered: float = 0.0  # when it has answered a ping
    part: WeightSlice = field(init=False)
    server: SliceServer = field(init=False)

    def run(self) -> None:
        cluster = self.cluster
        job, dataset, port = cluster.job, cluster.dataset, cluster.number()
        shape = slice_shape(cut(job.shape(dataset.manifest), job.servers)[self.number])
        self.part = WeightSlice(shape, SGD(job.config))
        addresses: list[Address] = [f"/server-{port}", (DRIVER, port)] if self.host == "here" else [(self.host, port)]
        greeting = hello(-1, self.host, job, dataset)
        self.server = SliceServer(self.part, shape, greeting, self.secret, addresses, job.timeouts)
        self.address = ServerAddress.of(self.server.addresses)
        look, turns = self.server._connections.look, iter(range(1 << 60))

        def checked() -> object:
            if next(turns) % CHECKED == 0:
                self._check()
            return look()

        self.server._connections.look = checked  # type: ignore[assignment, method-assign]
        self.server.serve()

    def _check(self) -> None:
        """What the server keeps in memory is bounded."""
        part, connections, job = self.part, self.server._connections, self.cluster.job
        listener = connections._listener
        ends = self.cluster.network.accepted(self.process)
        assert ends == len(listener._listeners) + len(listener._guests) + len(connections.peers), f"{ends} are open"
        assert len(part._weights._slots) <= SLOTS + job.window, f"{len(part._weights._slots)} versions are kept"
        assert len(part._open) <= job.window, f"{len(part._open)} steps are open"
        for peer in connections.peers.values():
            unsent = sum(map(len, peer.wire._outgoing))
            assert unsent <= part._pool._shape.size * 4 + 200 * 64, f"{unsent} bytes wait to be sent to {peer.worker}"


class SliceProcesses:
    """The servers of slices, as a ServerGroup starts and watches them. A run with one server has none of these."""

    def __init__(self, cluster: "Cluster") -> None:
        self._cluster = cluster
        self.running: list[SliceProcess] = []

    @property
    def addresses(self) -> tuple[ServerAddress, ...]:
        """Where they listen, once all do."""
        return tuple(each.address for each in self.running if each.address is not None)

    @property
    def listen(self) -> bool:
        return len(self.addresses) == len(self.running)

    def start(self, secret: bytes) -> None:
        """Start all, the first one on the driver's host."""
        cluster, count = self._cluster, self._cluster.job.servers
        for number in range(count if count > 1 else 0):
            host = "here" if number == 0 else self._place()
            each = SliceProcess(cluster, secret, number, host)
            each.process = cluster.scheduler.spawn(f"slice {number}", host, each.run)
            each.answered = cluster.scheduler.now
            self.running.append(each)
        if self.running:
            self._ping(self.running)

    def close(self) -> None:
        """Kill those that can be reached. The others end once the connection with the coordinator has."""
        running, self.running = self.running, []
        for each in running:
            self._kill(each)

    def of(self, process: Process) -> bool:
        """Whether a process is one of these."""
        return any(each.process is process for each in self.running)

    def _place(self) -> str:
        cluster = self._cluster
        host = f"host-{cluster.draw.randrange(3)}" if cluster.draw.random() < cluster.scenario.far else "here"
        lost = host in cluster.lost_hosts or cluster.network.is_cut(host)
        return cluster.new_host() if lost else host

    def _kill(self, each: SliceProcess) -> None:
        if not self._cluster.network.is_cut(each.host):
            self._cluster.world.kill(each.process)

    def _ping(self, asked: list[SliceProcess]) -> None:
        """Notice servers that do not answer, as long as these are running."""
        cluster = self._cluster
        now = cluster.scheduler.now
        if self.running is not asked:
            return
        for each in asked:
            if each.process.paused_until <= now and not cluster.network.is_cut(each.host):
                each.answered = now
            elif now > each.answered + cluster.job.timeouts.ping:
                self._kill(each)
                cluster.lose_servers()
                return
        cluster.scheduler.after(PING, lambda: self._ping(asked))
