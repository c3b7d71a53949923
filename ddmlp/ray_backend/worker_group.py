"""The workers of a run on Ray: starts and places them, and replaces those that die."""

import logging
import os
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import count
from typing import Any

from ddmlp.errors import ClusterError, DdmlpError
from ddmlp.ray_backend.actors import WorkerActor
from ddmlp.ray_backend.cluster import NEVER_AGAIN, ActorLostError, Cluster, get_answer
from ddmlp.ray_backend.endpoint import Endpoint
from ddmlp.ray_backend.losses import Losses
from ddmlp.ray_backend.member import Member
from ddmlp.ray_backend.relays import Relay, Relays
from ddmlp.training.job import Job
from ddmlp.training.worker_pool import EXITED, REJECTED, UNRESPONSIVE, LostWorker

log = logging.getLogger(__name__)


class WorkerGroup:
    """The workers. Each executes one call at a time: `place`, which returns its node, or `work`, for one server.

    In a group of fixed size, all workers are started at once, and wait for CPUs as actors do. An elastic group lets Ray
    reserve a placement group for each worker, and starts the worker when that is ready: no actor waits for CPUs.

    Workers of another node work for the server through the relay of their node, if it has one.
    """

    worker_class = WorkerActor
    relays_class = Relays

    def __init__(self, cluster: Cluster, job: Job, listen: Callable[[], Endpoint]) -> None:
        """listen: returns the endpoint for workers on other nodes; lets the server listen for them, if it does not."""
        self._ray, self._cluster, self._job, self._listen = cluster.ray, cluster, job, listen
        self._here = cluster.here
        self._worker = self._ray.remote(self.worker_class)  # defined once: the driver keeps each definition
        self._calls: dict[Any, Member] = {}
        self._places: dict[Any, Any] = {}  # placement groups for missing workers, by the references that become ready
        self._free: list[Member] = []  # placed, and executing no call
        self._endpoint: Endpoint | None = None
        self._started = self._most = 0  # in all, and at a time
        self._relays = self.relays_class(cluster, job)
        self.losses = Losses(job.max_deaths)

    def start(self) -> None:
        """Start all workers, and wait until enough have a node, not counting replacements of rejected ones. Raises
        ClusterError if no further one starts for `Timeouts.place`: many workers take turns at few CPUs."""
        for _ in range(self._job.workers):
            self._add()
        seconds, least = self._job.timeouts.place, self._job.fewest
        while len(self._free) < max(1, least - self.losses.counts[REJECTED]):
            ready, _ = self._ray.wait([*self._places, *self._calls], num_returns=1, timeout=seconds)
            if not ready:
                raise ClusterError(
                    f"{least - len(self._free)} of {'at least ' * self._job.elastic}{least} workers have not started, "
                    f"and no further one has for {seconds:g} s: each needs {self._share:g} CPUs, and the cluster has "
                    f"{self._cluster.room()}; free some, or ask for fewer workers"
                )
            self._ended(ready[0])

    def connect_to(self, endpoint: Endpoint) -> None:
        """Let all workers work for a server; those that still work for the previous one follow when it has ended."""
        self._endpoint = endpoint
        self._relays.close()
        while self._free:
            self._send(self._free[-1])
            self._free.pop()

    def watch(self, asked: Any, seconds: float, others: Sequence[Any] = ()) -> bool:
        """Wait for the answer to the call `asked`; returns whether it came in time, and before any to `others`.
        Meanwhile workers that die are replaced, and placed workers start to work."""
        while True:
            own = *self._places, *self._calls, *self._relays.lives
            ready, _ = self._ray.wait([asked, *others, *own], num_returns=1, timeout=seconds)
            if not ready or ready[0] in others:
                return False
            if ready[0] is asked:
                return True
            self._ended(ready[0])

    def replace_released(self, lost: list[LostWorker], *, stepped: bool) -> None:
        """Replace the workers that the server has dropped. lost: the workers that it reports as lost.

        Call this once the server has answered. As it is alive, it has dropped each worker whose call has ended.
        """
        if stepped:
            self.losses.note_step()
        causes = {each.worker: each.cause for each in lost}
        for member in [*self._calls.values(), *self._free]:
            member.cause = causes.get(member.number, member.cause)
        while self._free:
            member = self._free.pop()
            if self._relays.lost(member.relay):
                self._send(member)
            else:
                self._replace(member, member.cause)

    def kill(self, numbers: list[int]) -> None:
        """Kill and replace unresponsive workers, without waiting for the end of their calls: Ray may wait a minute for
        a node without connection."""
        for call, member in list(self._calls.items()):
            if member.number in numbers:
                if member.node == self._here:  # Ray would ask it to end, and wait
                    with suppress(ProcessLookupError):
                        os.kill(member.process, signal.SIGKILL)
                del self._calls[call]
                self.losses.reason = "it did not answer"
                self._replace(member, UNRESPONSIVE)

    @property
    def working(self) -> list[int]:
        """The workers that were sent to a server, and are not released."""
        return [each.number for each in self._calls.values() if each.endpoint is not None]

    @property
    def placed(self) -> int:
        """The number of workers that have a node."""
        return sum(bool(member.node) for member in [*self._calls.values(), *self._free])

    def close(self) -> None:
        """Kill all workers and relays, and reserve nothing more."""
        self._relays.close()
        for place in self._places.values():
            self._ray.util.remove_placement_group(place)
        starting = {call: member for call, member in self._calls.items() if not member.node}
        for member in [*self._calls.values(), *self._free]:
            if member not in starting.values():
                self._release(member)
        if self._endpoint is not None and starting:  # without an endpoint, they are waiting for CPUs
            # Ray 2.60 can lose count of the CPUs of an actor that is killed while it is being started.
            self._ray.wait([*starting], num_returns=len(starting), timeout=self._job.timeouts.worker_start)
        for member in starting.values():
            self._release(member)
        self._calls, self._places, self._free = {}, {}, []

    @property
    def _share(self) -> float:
        """CPUs for a worker that is added now."""
        return self._cluster.share(self._job.fewest)

    def _add(self) -> None:
        """Add a worker: now, or when its placement group is ready."""
        selectors = self.losses.selectors
        if self._job.elastic:
            place = self._ray.util.placement_group([{"CPU": self._share}], bundle_label_selector=selectors)
            self._places[place.ready()] = place
        else:
            self._start({"num_cpus": self._share, "label_selector": selectors[0] if selectors else None})

    def _start(self, options: dict[str, Any], place: Any = None) -> None:
        """Start a worker with a new number."""
        actor = self._worker.options(**options, **NEVER_AGAIN).remote(self._started)
        used = {member.slot for member in [*self._calls.values(), *self._free]}
        slot = next(slot for slot in count() if slot not in used)
        self._calls[actor.place.remote()] = Member(self._started, slot, actor, place)
        self._started += 1
        self._most = max(self._most, len(self._calls) + len(self._free))

    def _ended(self, call: Any) -> None:
        """Handle a ready placement group, the end of a relay, or of a call: the worker is placed, released or dead."""
        if call in self._places:
            place = self._places.pop(call)
            there = self._ray.util.scheduling_strategies.PlacementGroupSchedulingStrategy(place)
            self._start({"num_cpus": place.bundle_specs[0]["CPU"], "scheduling_strategy": there}, place)
            return
        if call not in self._calls:
            self._relay_ended(*self._relays.ended(call))
            return
        member = self._calls.pop(call)
        self._free.append(member)  # for `close`, and for a server that starts meanwhile
        try:
            found = get_answer(self._ray, call)
        except ActorLostError as error:
            if self._endpoint is None:  # at the start it would happen again
                raise
            self._free.remove(member)
            self.losses.reason = str(error)
            self._replace(member, EXITED)
            return
        except (DdmlpError, OSError) as error:
            self._free.remove(member)
            self._reject(member, error)
            return
        if not member.node:
            member.node, member.process = found
            log.info("worker %d started: process %d, log worker-%d.log", member.number, member.process, member.slot)
        else:
            self.losses.reason = found
        if self._endpoint is not None and self._endpoint is not member.endpoint:
            self._send(member)
            self._free.remove(member)

    def _send(self, member: Member) -> None:
        """Let a worker work for the server."""
        far = member.node != self._here
        assert self._endpoint is not None, "no worker is sent before the server has started"
        if far and self._endpoint.far is None:
            self._endpoint = self._listen()
        member.endpoint = self._endpoint
        member.relay = self._relays.at(member.node, self._endpoint, self._share) if far else None
        relay = member.relay and member.relay.started
        self._calls[member.actor.work.remote(self._job, self._endpoint, far=far, slot=member.slot, relay=relay)] = (
            member
        )

    def _relay_ended(self, relay: Relay, error: Exception | None, reason: str) -> None:
        """Note the end of a relay. Its workers are sent to another one once released, unless it had an error."""
        self.losses.reason = f"relay {relay.number} on {self._cluster.host(relay.node)} has ended: {reason}"
        log.warning("%s", self.losses.reason)
        self.losses.note(self._most)
        if isinstance(error, DdmlpError | OSError):
            its = [each for each in [*self._calls.values(), *self._free] if each.relay is relay]
            self._calls = {call: member for call, member in self._calls.items() if member not in its}
            self._free = [member for member in self._free if member not in its]
            for member in its:
                self._reject(member, error)

    def _release(self, member: Member) -> None:
        self._ray.kill(member.actor)
        if member.place is not None:
            self._ray.util.remove_placement_group(member.place)

    def _reject(self, member: Member, error: DdmlpError | OSError) -> None:
        """Replace a worker that cannot work on its node. Raises its error if no worker and no other node are left."""
        member.node = member.node or self._cluster.node_of(member.actor)
        self.losses.reject(member.number, member.node, self._cluster.host(member.node), str(error))
        log.warning("worker %d is rejected, and its node gets no other: %s", member.number, str(error))
        for ready, place in list(self._places.items()):  # reserve again, on other nodes
            del self._places[ready]
            self._ray.util.remove_placement_group(place)
            self._add()
        if not self.losses.all_reject({*self._cluster.cpus_by_node}):
            self._replace(member, REJECTED)
        else:
            self._release(member)
            self.losses.counts[REJECTED] += 1
            if not self._calls and not self._free:
                raise error

    def _replace(self, member: Member, cause: str) -> None:
        self._release(member)  # its process may still run
        self._relays.keep({other.node for other in [*self._calls.values(), *self._free]})
        self.losses.counts[cause] += 1
        log.info("worker %d is replaced: %s: %s", member.number, cause, self.losses.reason)
        self.losses.note(self._most)
        self._add()
