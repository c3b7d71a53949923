"""The server's process: trains on a pool, reports, and ends with a result or when it is asked to stop."""

import math
from contextlib import suppress
from typing import TYPE_CHECKING

from ddmlp.data.dataset import Dataset
from ddmlp.errors import ServerLostError
from ddmlp.nn.weights import Shape
from ddmlp.plan.plan import Plan
from ddmlp.ray_backend.actors import patient
from ddmlp.ray_backend.attendance import Roll
from ddmlp.ray_backend.endpoint import Endpoint
from ddmlp.runs.run import Run
from ddmlp.training.report import Report
from ddmlp.training.setup import build_trainer
from ddmlp.transport.slice_commands import SliceCommands
from ddmlp.transport.socket_pool import SocketWorkerPool
from tests.simulation.network import DRIVER, Address
from tests.simulation.worker import hello

if TYPE_CHECKING:
    from tests.simulation.cluster import Cluster

UNSENT = 2  # weights and messages that may wait to be sent to a worker


class ServerProcess:
    """What a server's process does, as a ServerActor and the session around it; if there are several servers, their
    coordinator's."""

    def __init__(self, cluster: "Cluster", number: int) -> None:
        self._cluster, self._number, self._job = cluster, number, cluster.job
        self.secret = cluster.draw.randbytes(32)
        self.pool: SocketWorkerPool
        self.closing = False
        self._commands: SliceCommands | None = None
        self.calls = 0  # that the driver has made

    @property
    def roll(self) -> Roll:
        """As of a ServerActor."""
        if not hasattr(self, "pool"):
            return Roll(0.0, [], [], 0)
        stats = self.pool.stats
        return Roll(stats.clock, [*stats.answered], stats.hung, 0)

    def run(self) -> None:
        """Train. A server that has lost another one ends."""
        with suppress(ServerLostError):
            self._train()

    def _train(self) -> None:
        cluster, run, slices = self._cluster, Run(self._job.run), self._cluster.slices
        cluster.note_call()
        if slices.running:
            cluster.scheduler.wait(math.inf, lambda: slices.listen)
        trainer = build_trainer(self._job, self._connect, self._reach if slices.running else None)
        assert trainer.step >= cluster.saved, f"checkpoint {cluster.saved} was reported; {trainer.step} is the newest"
        complaints = trainer._recorder._checkpoints.complaints
        assert not complaints, f"a crash has damaged a file: {complaints}"
        local, far = self.pool.addresses
        cluster.open(Endpoint(local, far, self.secret, servers=slices.addresses))
        while not (self.pool.gather(1, 1.0) or cluster.stopping):
            cluster.note_call()
            self._check()
            cluster.kill_missing()
        while True:
            cluster.note_call()
            report = trainer.advance(cluster.draw.choice((0.05, 0.2, 1.0)))
            run.record(report.events)
            self._check()
            cluster.note(report)
            if report.result is not None:
                run.write_result(report.result)
            elif cluster.stopping:
                cluster.note_call()
                trainer.checkpoint()
                cluster.note_saved(trainer.step)
            else:
                continue
            self.closing = True
            trainer.close()
            cluster.finish(report.result)
            return

    def _reach(self, dataset: Dataset, shape: Shape) -> SliceCommands:
        addresses = [each.reached(far=False) for each in self._cluster.slices.addresses]
        greeting = hello(-1, "here", self._job, dataset)
        self._commands = SliceCommands(addresses, self.secret, greeting, shape, self._job.timeouts)
        return self._commands

    def _connect(self, dataset: Dataset, _plan: Plan, shape: Shape) -> SocketWorkerPool:
        addresses: list[Address] = [f"/socket-{self._number}", (DRIVER, 0)]
        timeouts = self._job.timeouts if self._commands is None else patient(self._job, dataset)
        self.pool = SocketWorkerPool(
            shape,
            hello(-1, "here", self._job, dataset),
            self.secret,
            addresses,
            capacity=self._job.queue_capacity,
            window=self._job.window,
            timeouts=timeouts,
            cores=64,
            time_slice=3,
        )
        return self.pool

    def _check(self) -> None:
        """What the server keeps in memory is bounded."""
        pool = self.pool
        stats, listener = pool.stats, pool._connections._listener
        guests = listener._guests
        assert stats.depth <= stats.high_water <= self._job.queue_capacity, "more units are open than the queue holds"
        assert len(guests) <= 64, f"{len(guests)} handshakes are under way"
        ends = self._cluster.network.accepted(self._cluster.server)
        links = [] if self._commands is None else self._commands.links
        assert ends == len(listener._listeners) + len(guests) + len(pool._peers) + len(links), f"{ends} are open"
        assert len(pool._queue._firsts) <= self._job.queue_capacity + 8, "too many answers wait for a second one"
        array = pool._region.buffers[0].nbytes
        for peer in pool._peers.values():
            unsent = sum(map(len, peer.wire._outgoing))
            assert unsent <= UNSENT * (array + 200), f"{unsent} bytes wait to be sent to worker {peer.worker}"


__all__ = ["Report", "ServerProcess"]
