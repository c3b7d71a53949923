"""The servers of a run on Ray that has several: starts them on the nodes, and notices if one dies or hangs."""

import logging
import os
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ddmlp.data.manifest import Manifest
from ddmlp.ray_backend.cluster import NEVER_AGAIN, ActorLostError, Cluster, get_answer
from ddmlp.ray_backend.endpoint import ServerAddress
from ddmlp.ray_backend.slice_actor import SliceActor
from ddmlp.ray_backend.supervised import BESIDE
from ddmlp.training.job import Job
from ddmlp.transport.tls import Credentials

log = logging.getLogger(__name__)

PING_SECONDS = 2.0  # between pings


@dataclass(eq=False)
class _Server:
    """A server. started, life: the answers to `start` and `serve`; ping: that to the newest ping, sent at `asked`."""

    number: int
    node: str
    actor: Any
    here: bool  # whether it is on this node
    started: Any
    life: Any
    ping: Any
    asked: float
    process: int = 0


class ServerGroup:
    """The servers, one on each node in turn, beginning with this one. A job with one server has none of these.

    They know nothing of each other: if one is lost, the trainer ends all, and starts others from the checkpoint.
    """

    slice_class = SliceActor

    def __init__(self, cluster: Cluster, job: Job, folder: Path) -> None:
        """folder: for the sockets of servers on this node."""
        self._ray, self._cluster, self._job, self._folder = cluster.ray, cluster, job, folder
        self._kind: Any = None
        self._servers: list[_Server] = []
        self._avoided: set[str] = set()  # nodes whose servers did not answer when some were lost

    def start(
        self, secret: bytes, coordinator: Any, generation: int, certificates: Credentials | Path | None = None
    ) -> list[Any]:
        """Start servers; returns references to the addresses of each. They listen for other nodes if there may be any.
        Raises DatasetError if the data are missing.

        generation: distinguishes their sockets from those of servers before; certificates: of the servers, see
        `Endpoint`.
        """
        if self._job.servers == 1:
            return []
        if self._kind is None:  # defined once: the driver keeps each definition
            self._kind = self._ray.remote(concurrency_groups={BESIDE: 1})(self.slice_class)
        nodes, manifest = self._nodes(), Manifest.read(self._job.data / "train")
        for number in range(self._job.servers):
            node = nodes[number % len(nodes)]
            here = node == self._cluster.here
            # Another node may be lost at this moment: then Ray takes the next best.
            there = self._ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(node, soft=not here)
            actor = self._kind.options(num_cpus=0, scheduling_strategy=there, **NEVER_AGAIN).remote()
            ping = actor.ping.remote()
            addresses: list[Any] = [str(self._folder / f"server-{generation}-{number + 1}")] if here else []
            if not self._cluster.own:
                addresses.append(("", 0))
            log_to = None if here else coordinator
            started = actor.start.remote(self._job, secret, addresses, number, manifest, log_to, certificates)
            if here:
                actor.end_with.remote(self._folder)
            life = actor.serve.remote()
            self._servers.append(_Server(number, node, actor, here, started, life, ping, time.monotonic()))
        return [server.started for server in self._servers]

    def addresses(self) -> tuple[ServerAddress, ...]:
        """Where workers reach each server, in the order of their slices."""
        return tuple(ServerAddress.of(get_answer(self._ray, server.started)) for server in self._servers)

    @property
    def lives(self) -> list[Any]:
        """References that become ready when a server has ended."""
        return [server.life for server in self._servers]

    def check(self) -> None:
        """Ping servers that were not pinged lately, without waiting, and kill one that does not answer in time.

        Raises ActorLostError if a server has ended or was killed, and the error of a server.
        """
        now, timeouts = time.monotonic(), self._job.timeouts
        for server in self._servers:
            if self._ray.wait([server.life], timeout=0)[0]:
                self._raise(server)
            if self._ray.wait([server.ping], timeout=0)[0]:
                if not server.process:
                    server.process = get_answer(self._ray, server.ping)
                if now > server.asked + PING_SECONDS:
                    server.ping = server.actor.ping.options(concurrency_group=BESIDE).remote()
                    server.asked = now
            elif now > server.asked + (bound := timeouts.ping if server.process else timeouts.place):
                log.warning("server %d does not answer; it is killed", server.number + 1)
                self._kill(server)
                raise ActorLostError(f"server {server.number + 1} did not answer a ping within {bound:g} s")

    def find_lost(self) -> None:
        """Raise the error of a server that has failed, if one ends soon: else it was only lost.

        The next servers are on nodes whose servers still answer: Ray may not know yet that a node is lost.
        """
        for life in self._ray.wait(self.lives, timeout=PING_SECONDS)[0] if self._servers else ():
            with suppress(ActorLostError):
                get_answer(self._ray, life)
        far = [server for server in self._servers if not server.here]
        pings = [server.actor.ping.options(concurrency_group=BESIDE).remote() for server in far]
        answered = self._ray.wait(pings, num_returns=len(pings), timeout=PING_SECONDS)[0] if pings else []
        self._avoided = {server.node for server in far}
        for server, ping in zip(far, pings, strict=True):
            with suppress(ActorLostError):
                if ping in answered:
                    get_answer(self._ray, ping)
                    self._avoided.discard(server.node)

    def close(self) -> None:
        """Kill all servers, whatever state they are in."""
        for server in self._servers:
            self._kill(server)
        self._servers = []

    def _nodes(self) -> Sequence[str]:
        """The nodes with CPUs, this one first."""
        here = self._cluster.here
        return [here, *sorted(self._cluster.cpus_by_node.keys() - self._avoided - {here})]

    def _raise(self, server: _Server) -> None:
        get_answer(self._ray, server.life)
        raise ActorLostError(f"server {server.number + 1} has ended")

    def _kill(self, server: _Server) -> None:
        if server.here and server.process:  # Ray would ask it to end, and wait
            with suppress(ProcessLookupError):
                os.kill(server.process, signal.SIGKILL)
        self._ray.kill(server.actor)
