"""Faults that strike a run from outside: signals to its processes, and cuts of its network."""

import os
import random
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tests.support.hosts import Hosts
from tests.support.processes import actors

WORKER, SERVER = b"ray::WorkerActor", b"ray::ServerActor"
SECONDS = 10.0  # for a signal to take effect
GONE, STOPPED = "ZX", "T"  # states of processes


class Strike(Protocol):
    """A fault, in words, and whether it is one of the server."""

    words: str
    server: bool

    def fire(self, chance: random.Random, /) -> bool:
        """Strike; returns whether that has had an effect. A fault that ends by itself has ended then."""


@dataclass(frozen=True)
class Signal:
    """A signal to a process of a run that this process has started.

    title: of the actors, of which one is chosen at random; seconds: after which a stopped process continues; None:
    never.
    """

    words: str
    title: bytes
    number: int
    seconds: float | None = None

    @property
    def server(self) -> bool:
        return self.title == SERVER

    def fire(self, chance: random.Random) -> bool:
        """Strike if there is such a process."""
        if not (found := running(self.title)):
            return False
        process = chance.choice(found)
        try:
            os.kill(process, self.number)
        except ProcessLookupError:
            return False
        fired = _reached(process, STOPPED if self.number == signal.SIGSTOP else GONE)
        if self.seconds is not None:
            time.sleep(self.seconds)  # the fault itself
            os.kill(process, signal.SIGCONT)
        return fired


@dataclass(frozen=True)
class Cut:
    """Two hosts that are cut off from each other for some seconds."""

    words: str
    hosts: Hosts
    one: int
    other: int
    seconds: float
    server: bool = False

    def fire(self, _: random.Random) -> bool:
        before = self._dropped()
        self.hosts("cut", self.one, self.other)
        time.sleep(self.seconds)  # the fault itself
        fired = self._dropped() > before
        self.hosts("heal")
        return fired

    def _dropped(self) -> int:
        return self.hosts.dropped(self.one, self.other) + self.hosts.dropped(self.other, self.one)


@dataclass(frozen=True)
class KillOn:
    """SIGKILL to the actors on a host that have this title."""

    words: str
    hosts: Hosts
    host: int
    title: bytes
    server: bool = False

    def fire(self, _: random.Random) -> bool:
        return self.hosts.on(self.host, ["pkill", "-KILL", "-f", f"^{self.title.decode()}"]).wait() == 0


def running(title: bytes) -> list[int]:
    """The actors with this title that are not stopped."""
    return [process for process in actors(title) if state_of(process) not in STOPPED + GONE]


def state_of(process: int) -> str:
    """The state of a process, a letter; X if it is gone."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "X"


def _reached(process: int, states: str) -> bool:
    """Whether a process soon has one of these states."""
    deadline = time.monotonic() + SECONDS
    while state_of(process) not in states and time.monotonic() < deadline:
        time.sleep(0.001)
    return state_of(process) in states
