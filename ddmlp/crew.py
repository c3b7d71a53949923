"""The crew: the workers of a run on Ray, hired, placed, sent to the server, and replaced when they die."""

import os
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from ddmlp.actors import Meeting, WorkerActor
from ddmlp.cluster import NEVER_AGAIN, Cluster, one_line, ours
from ddmlp.errors import ClusterError
from ddmlp.job import Job

STARTING_SECONDS = 20
MOST_DEATHS = 10  # of each worker, without a step between, before the run is given up


@dataclass(eq=False)
class _Member:
    number: int
    actor: Any
    node: str = ""
    process: int = 0
    meeting: Meeting | None = None  # the one that it was sent to


class Crew:
    """So many workers, each in one call at a time: the one that finds its place, or the one that serves a server."""

    worker_class = WorkerActor

    def __init__(self, cluster: Cluster, job: Job, listen: Callable[[], Meeting]) -> None:
        """listen: has the server listen for workers on other nodes; returns the meeting with its address."""
        self._ray, self._cluster, self._job, self._listen = cluster.ray, cluster, job, listen
        self._here = cluster.here
        self._calls: dict[Any, _Member] = {}
        self._free: list[_Member] = []  # placed, and in no call
        self._meeting: Meeting | None = None
        self._hired = 0
        self._reason = ""
        self.deaths = 0
        self._without_step = 0
        for _ in range(job.workers):
            self._hire()

    def place(self, seconds: float) -> None:
        """Wait until every worker has a place, bounded."""
        ready, missing = self._ray.wait(list(self._calls), num_returns=len(self._calls), timeout=seconds)
        if missing:
            workers = len(ready) + len(missing)
            raise ClusterError(
                f"{len(missing)} of {workers} workers found no place within {seconds:g} s: each needs "
                f"{self._cluster.share(workers):g} CPUs, and the cluster has {self._cluster.room()}; free some, or "
                "ask for fewer --workers"
            )
        for call in ready:
            self._ended(call)

    def serve(self, meeting: Meeting) -> None:
        """Send everyone to the server that waits there. Who is still with the one before comes when that is gone."""
        self._meeting = meeting
        while self._free:
            self._send(self._free[-1])
            self._free.pop()

    def watch(self, asked: Any, seconds: float) -> bool:
        """Wait until the server has answered what was `asked`, replacing workers that die; whether it has in time."""
        while True:
            ready, _ = self._ray.wait([asked, *self._calls], num_returns=1, timeout=seconds)
            if not ready:
                return False
            if ready[0] is asked:
                return True
            self._ended(ready[0])

    def settle(self, *, stepped: bool) -> None:
        """The server is well: replace those that it has let go, because it could make no sense of them."""
        if stepped:
            self._without_step = 0
        while self._free:
            self._replace(self._free.pop())

    def dismiss(self, numbers: list[int]) -> None:
        """Kill workers that hang; they are replaced when their calls end."""
        for member in self._calls.values():
            if member.number in numbers:
                if member.node == self._here:  # Ray would ask it first, and wait
                    with suppress(ProcessLookupError):
                        os.kill(member.process, signal.SIGKILL)
                self._ray.kill(member.actor)

    def close(self) -> None:
        """Kill everyone."""
        starting = {call: member for call, member in self._calls.items() if not member.node}
        for member in [*self._calls.values(), *self._free]:
            if member not in starting.values():
                self._ray.kill(member.actor)
        if self._meeting is not None and starting:  # before, it is for want of room that they have no place
            # Ray 2.60 can lose count of the CPUs of an actor that is killed while it is being started.
            self._ray.wait([*starting], num_returns=len(starting), timeout=STARTING_SECONDS)
        for member in starting.values():
            self._ray.kill(member.actor)
        self._calls, self._free = {}, []

    def _hire(self) -> None:
        """A new worker, with a number of its own; it is placed when and where there is room."""
        options = {"num_cpus": self._cluster.share(self._job.workers), **NEVER_AGAIN}
        actor = self._ray.remote(self.worker_class).options(**options).remote(self._hired)
        self._calls[actor.place.remote()] = _Member(self._hired, actor)
        self._hired += 1

    def _ended(self, call: Any) -> None:
        """A worker's call has ended: it has a place, was let go by a server, or is dead."""
        member = self._calls.pop(call)
        self._free.append(member)
        try:
            found = ours(self._ray, call)
        except self._ray.exceptions.RayActorError as error:
            self._free.remove(member)
            if self._meeting is None:  # at the start: this is no accident
                raise
            self._reason = one_line(error)
            self._replace(member)
            return
        if not member.node:
            member.node, member.process = found
        else:
            self._reason = found
        if self._meeting is not None and self._meeting is not member.meeting:
            self._send(member)
            self._free.remove(member)

    def _send(self, member: _Member) -> None:
        """Have a worker serve the server of the meeting."""
        far = member.node != self._here
        assert self._meeting is not None, "nobody is sent before there is a server"
        if far and self._meeting.far is None:
            self._meeting = self._listen()
        member.meeting = self._meeting
        self._calls[member.actor.serve.remote(self._job, self._meeting, far=far)] = member

    def _replace(self, member: _Member) -> None:
        self._ray.kill(member.actor)  # it may only have stopped serving
        self.deaths += 1
        self._without_step += 1
        if self._without_step > MOST_DEATHS * self._job.workers:
            raise ClusterError(
                f"{self._without_step} workers have gone without a step between, the last one so: {self._reason}; "
                "go on by --resume"
            )
        self._hire()
