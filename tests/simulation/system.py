"""The modules `time`, `socket`, `select` and others, as processes of the simulation see them."""

import math
import secrets
import selectors
import socket
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from ddmlp.nn.weights import Floats, zeros
from tests.simulation.network import Address, FakeSocket, Network
from tests.simulation.scheduler import Process, Scheduler

POLLIN, POLLOUT = 1, 4
READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE
YIELD = 0.001  # seconds that pass while a process yields


def fake_time(scheduler: Scheduler) -> Any:
    def now() -> float:
        return scheduler.now

    return SimpleNamespace(monotonic=now, perf_counter=now, time=now, sleep=scheduler.wait)


def fake_os(scheduler: Scheduler) -> Any:
    return SimpleNamespace(sched_yield=lambda: scheduler.wait(YIELD))


def fake_secrets(scheduler: Scheduler) -> Any:
    return SimpleNamespace(**{**vars(secrets), "token_bytes": scheduler.draw.randbytes})


def fake_socket(network: Network) -> Any:
    """The module `socket`. Descriptors that are sent with bytes arrive with the first of them."""

    def create_server(address: Address, backlog: int) -> FakeSocket:
        end = FakeSocket()
        host, port = address
        end.bind((host, port or end.number))
        end.listen(backlog)
        return end

    def create_connection(address: Address, seconds: float) -> FakeSocket:
        end = FakeSocket()
        network.connect(end, address, seconds)
        return end

    def send_fds(end: FakeSocket, parts: list[bytes], descriptors: list[int]) -> int:
        assert end.other is not None
        end.other.descriptors.append([*descriptors])
        return end.send(b"".join(parts))

    def recv_fds(end: FakeSocket, count: int, _most: int) -> tuple[bytes, list[int], int, None]:
        return end.recv(count), end.descriptors.popleft() if end.descriptors else [], 0, None

    own = {
        "socket": FakeSocket,
        "create_server": create_server,
        "create_connection": create_connection,
        "send_fds": send_fds,
        "recv_fds": recv_fds,
        "getaddrinfo": lambda *_: [(0, 0, 0, "", ("10.0.0.1", 0))],  # any host is far
    }
    return SimpleNamespace(**{**vars(socket), **own})


class FakePoll:
    """select.poll. It returns ready sockets in any order."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._watched: dict[int, tuple[FakeSocket, int]] = {}

    def register(self, wire: Any, events: int) -> None:
        number = wire if isinstance(wire, int) else wire.fileno()
        self._watched[number] = self._network.sockets[number], events

    modify = register

    def unregister(self, wire: Any) -> None:
        del self._watched[wire if isinstance(wire, int) else wire.fileno()]

    def poll(self, milliseconds: float = math.inf) -> list[tuple[int, int]]:
        scheduler = self._network.scheduler
        if not (found := self._ready()):
            scheduler.wait(milliseconds / 1000, self._ready)
            found = self._ready()
        if len(found) > 1:
            scheduler.draw.shuffle(found)
        return found

    def _ready(self) -> list[tuple[int, int]]:
        found = []
        for number, (end, asked) in self._watched.items():
            ready = POLLIN if asked & POLLIN and end.readable() else 0
            if asked & POLLOUT and end.writable():
                ready |= POLLOUT
            if ready:
                found.append((number, ready))
        return found


def fake_select(network: Network) -> Any:
    return SimpleNamespace(poll=lambda: FakePoll(network), POLLIN=POLLIN, POLLOUT=POLLOUT)


class FakeSelector:
    """selectors.DefaultSelector. It returns ready sockets in any order."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._watched: dict[int, tuple[selectors.SelectorKey, FakeSocket]] = {}

    def register(self, wire: Any, events: int, data: Any = None) -> None:
        number = wire.fileno()
        assert number not in self._watched, "the socket is registered already"
        self._watched[number] = selectors.SelectorKey(wire, number, events, data), self._network.sockets[number]

    def modify(self, wire: Any, events: int, data: Any) -> None:
        self.unregister(wire)
        self.register(wire, events, data)

    def unregister(self, wire: Any) -> None:
        del self._watched[wire.fileno()]

    def select(self, seconds: float) -> list[tuple[selectors.SelectorKey, int]]:
        scheduler = self._network.scheduler
        found = self._ready()
        if seconds > 0 and not found:
            scheduler.wait(seconds, self._any)
            found = self._ready()
        elif found and scheduler.draw.random() < 0.1:
            scheduler.wait(0.0)
            found = self._ready()
        scheduler.draw.shuffle(found)
        return found

    def close(self) -> None:
        self._watched.clear()

    def _ready(self) -> list[tuple[selectors.SelectorKey, int]]:
        found = []
        for key, end in self._watched.values():
            read = READ if end.readable() else 0
            write = WRITE if key.events & WRITE and end.writable() else 0
            if events := key.events & (read | write):
                found.append((key, events))
        return found

    def _any(self) -> bool:
        for key, end in self._watched.values():  # noqa: SIM110  # the hottest loop of a simulation
            if end.readable() or (key.events & WRITE and end.writable()):
                return True
        return False


def fake_selectors(network: Network) -> Any:
    return SimpleNamespace(**{**vars(selectors), "DefaultSelector": lambda: FakeSelector(network)})


class Memory:
    """Shared memory: regions by their descriptors, which belong to processes."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._buffers: dict[int, list[Floats]] = {}
        self.open: list[tuple[Process | None, int]] = []

    def region(self) -> Any:
        """The class Region."""
        memory = self

        class FakeRegion:
            def __init__(self, descriptor: int, count: int, size: int) -> None:
                self.descriptor, self.count = descriptor, count
                self.buffers = memory._buffers[descriptor]
                assert (len(self.buffers), self.buffers[0].size) == (count, size)
                memory.open.append((memory._scheduler.current, descriptor))

            @classmethod
            def create(cls, count: int, size: int) -> "FakeRegion":
                descriptor = len(memory._buffers)
                memory._buffers[descriptor] = [zeros(size) for _ in range(count)]
                return cls(descriptor, count, size)

            def close(self) -> None:
                owner = memory._scheduler.current
                if owner is None or owner.alive:
                    memory.open.remove((owner, self.descriptor))

        return FakeRegion

    def bury(self, process: Process) -> None:
        """Close the descriptors of a process that was killed."""
        self.open = [each for each in self.open if each[0] is not process]


class FakeLock:
    """filelock.FileLock: it ends with its process."""

    holders: dict[str, Process | None]

    def __init__(self, scheduler: Scheduler, holders: dict[str, Process], path: Any) -> None:
        self._scheduler, self._holders, self._path = scheduler, holders, str(path)

    def acquire(self, **_: Any) -> None:
        process, holder = self._scheduler.current, self._holders.get(self._path)
        assert process is not None
        assert holder is None or not holder.alive, f"{self._path} is locked by {holder and holder.name}"
        self._holders[self._path] = process

    def release(self) -> None:
        self._holders.pop(self._path, None)


class FakeChecker:
    """IntegrityChecker, whose verification takes a while."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler, self._waiting = scheduler, []
        self._done = scheduler.now + scheduler.draw.choice((0.0, 0.0, 0.05, 2.0))

    def submit(self, verify: Callable[[], None]) -> None:
        self._waiting.append(verify)

    def wait(self, seconds: float | None = None) -> bool:
        left = self._done - self._scheduler.now
        if left > 0:
            self._scheduler.wait(left if seconds is None else min(seconds, left))
        if self._scheduler.now < self._done:
            return False
        while self._waiting:
            self._waiting.pop()()
        return True

    def close(self) -> None:
        self._waiting.clear()
