"""The relays of a run on Ray: one on each node other than the server's that has room for several workers."""

import logging
from collections.abc import Collection
from dataclasses import dataclass
from itertools import count
from typing import Any

from ddmlp.data.manifest import Manifest
from ddmlp.errors import DdmlpError
from ddmlp.ray_backend.cluster import NEVER_AGAIN, ActorLostError, Cluster, get_answer
from ddmlp.ray_backend.endpoint import Endpoint
from ddmlp.ray_backend.relay_actor import RelayActor
from ddmlp.ray_backend.supervised import BESIDE
from ddmlp.training.job import Job

log = logging.getLogger(__name__)

PING_SECONDS = 2.0  # for the answer of a relay whose worker was released
CLOSE_SECONDS = 1.0  # for the end of relays whose server has ended


@dataclass(eq=False)
class Relay:
    """The relay of a node. started, life: the answers to `start`, which is the address, and `serve`."""

    number: int
    slot: int
    node: str
    actor: Any
    started: Any
    life: Any


class Relays:
    """The relays of one server. They end with it, and when no worker of their node is left."""

    relay_class = RelayActor

    def __init__(self, cluster: Cluster, job: Job) -> None:
        self._ray, self._cluster, self._job = cluster.ray, cluster, job
        self._kind: Any = None
        self._relays: dict[str, Relay] = {}  # by node
        self._started = 0

    @property
    def lives(self) -> list[Any]:
        """References that become ready when a relay has ended."""
        return [relay.life for relay in self._relays.values()]

    def at(self, node: str, endpoint: Endpoint, share: float) -> Relay | None:
        """The relay on a node, which is started if there is none; None if the node has no room for two workers.

        endpoint: of the server; share: CPUs for a worker.
        """
        if node in self._relays:
            return self._relays[node]
        if self._job.workers < 2 or self._cluster.cpus_by_node.get(node, 0.0) < 2 * share:
            return None
        if self._kind is None:  # defined once: the driver keeps each definition
            self._kind = self._ray.remote(concurrency_groups={BESIDE: 1})(self.relay_class)
        there = self._ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(node, soft=False)
        actor = self._kind.options(num_cpus=0, scheduling_strategy=there, **NEVER_AGAIN).remote()
        number, slots = self._started, {relay.slot for relay in self._relays.values()}
        self._started += 1
        slot = next(slot for slot in count() if slot not in slots)
        manifest = Manifest.read(self._job.data / "train")
        started = actor.start.remote(self._job, endpoint, manifest, number, slot)
        relay = self._relays[node] = Relay(number, slot, node, actor, started, actor.serve.remote())
        log.info("relay %d is started on %s, log relay-%d.log", number, self._cluster.host(node), slot)
        return relay

    def ended(self, life: Any) -> tuple[Relay, Exception | None, str]:
        """Remove the relay whose `life` is ready; returns it, its error, and why it has ended, in words."""
        relay = next(each for each in self._relays.values() if each.life == life)
        self._kill(relay)
        try:
            return relay, None, get_answer(self._ray, life)
        except ActorLostError as error:
            return relay, None, str(error)
        except (DdmlpError, OSError) as error:
            return relay, error, str(error)

    def lost(self, relay: Relay | None) -> bool:
        """Whether a relay has ended, as far as known, or does not answer: then it has not dropped its workers."""
        if relay is None:
            return False
        if self._relays.get(relay.node) is relay:
            try:
                get_answer(self._ray, relay.actor.ping.options(concurrency_group=BESIDE).remote(), PING_SECONDS)
            except ActorLostError:
                self._kill(relay)
            else:
                return bool(self._ray.wait([relay.life], timeout=0)[0])
        return True

    def keep(self, nodes: Collection[str]) -> None:
        """End the relays of all other nodes: they have no workers."""
        for relay in [*self._relays.values()]:
            if relay.node not in nodes:
                log.info("relay %d is released", relay.number)
                self._kill(relay)

    def close(self) -> None:
        """End all relays, whatever state they are in. The server has ended, so they do, too, and clean up."""
        if self._relays:
            self._ray.wait(self.lives, num_returns=len(self._relays), timeout=CLOSE_SECONDS)
        self.keep(())

    def _kill(self, relay: Relay) -> None:
        del self._relays[relay.node]
        self._ray.kill(relay.actor)
