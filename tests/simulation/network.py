"""A network of fake sockets that accept, deliver and lose bytes as real ones may."""

import itertools
import math
import socket
from collections import deque
from collections.abc import Callable
from typing import Any

from tests.simulation.pipe import Link, Pipe
from tests.simulation.scheduler import Process, Scheduler

Address = str | tuple[str, int]
KEEPALIVE = 25.0  # seconds after which the system gives up a connection that passes nothing
RECORDED = 400  # the first bytes of a connection, which an attacker may have recorded
DRIVER = "server"  # the name of the driver's host, "here", in addresses
UNCUT = Link()  # of a host for itself, and of the driver's host: partitions are those of other hosts


class FakeSocket:
    """One end of a connection, or a listener; blocking only when it connects."""

    def __init__(self, family: int = socket.AF_INET) -> None:
        network = Network.current
        assert network is not None, "no network is simulated"
        self._network, self.family = network, family
        self.process = network.scheduler.current
        self.number = network.add(self)
        self.address: Address = ""
        self.backlog: deque[FakeSocket] | None = None  # of a listener
        self.incoming: Pipe | None = None
        self.outgoing: Pipe | None = None
        self.other: FakeSocket | None = None
        self.descriptors: deque[list[int]] = deque()
        self.recorded = bytearray()  # what this end has sent first
        self.client = self.closed = False

    # ---- as of socket.socket

    def fileno(self) -> int:
        return -1 if self.closed else self.number

    def setblocking(self, flag: bool) -> None:
        assert not flag

    def setsockopt(self, *_: int) -> None:
        assert self.family == socket.AF_INET

    def getsockname(self) -> Address:
        return self.address

    def bind(self, address: Address) -> None:
        self.address = address

    def listen(self, _backlog: int) -> None:
        self._network.listeners[self.address] = self
        self.backlog = deque()

    def connect(self, address: Address) -> None:
        self._network.connect(self, address, math.inf)

    def accept(self) -> "tuple[FakeSocket, Address]":
        assert self.backlog is not None
        if not self.backlog:
            raise BlockingIOError
        end = self.backlog.popleft()
        end.process = self._network.scheduler.current
        return end, ("10.0.0.1", end.number) if self.family == socket.AF_INET else ""

    def send(self, data: Any) -> int:
        network, pipe = self._network, self._check(self.outgoing)
        if network.scheduler.draw.random() < 0.05:
            network.scheduler.wait(0.0)  # another process runs first, or this one is killed here
            self._check(pipe)
        assert self.other is not None
        if self.other.closed:
            raise BrokenPipeError(32, "Broken pipe")
        if pipe.room() <= 0:
            raise BlockingIOError
        sent = bytes(data[: pipe.room()])
        pipe.put(sent)
        if len(self.recorded) < RECORDED:
            self.recorded += sent
        return len(sent)

    def sendmsg(self, parts: Any) -> int:
        return self.send(b"".join(parts))

    def recv(self, count: int) -> bytes:
        return self._check(self.incoming).take(count)

    def recv_into(self, view: memoryview) -> int:
        found = self.recv(len(view))
        view[: len(found)] = found
        return len(found)

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self._network.remove(self)
            if self.outgoing is not None:
                self.outgoing.ended = True
            for waiting in self.backlog or ():
                waiting.close()

    # ---- for the network

    def readable(self) -> bool:
        if self.closed:
            return False
        return self.incoming.arrived() if self.incoming is not None else bool(self.backlog)

    def writable(self) -> bool:
        pipe = self.outgoing
        return pipe is not None and (bool(pipe.broken) or pipe.room() > 0 or self.other is None or self.other.closed)

    def break_off(self, why: str) -> None:
        """Both ends find that the connection is broken."""
        for pipe in (self.incoming, self.outgoing):
            assert pipe is not None
            pipe.broken = why

    def _check(self, pipe: Pipe | None) -> Pipe:
        if self.closed or pipe is None:
            raise OSError(9, "Bad file descriptor")
        if pipe.broken:
            raise ConnectionResetError(104, pipe.broken)
        return pipe


class Network:
    """All sockets, and the links of the hosts."""

    current: "Network | None" = None

    def __init__(self, scheduler: Scheduler, link: Callable[[str], Link]) -> None:
        """link: makes the link of a host when it is first used."""
        self.scheduler = scheduler
        self.sockets: dict[int, FakeSocket] = {}
        self.listeners: dict[Address, FakeSocket] = {}
        self.links: dict[str, Link] = {}
        self.recordings: deque[bytes] = deque(maxlen=8)
        self.fired: set[str] = set()  # the kinds of faults that have happened
        self._numbers = itertools.count(100)
        self._link = link

    def add(self, end: FakeSocket) -> int:
        number = next(self._numbers)
        self.sockets[number] = end
        return number

    def remove(self, end: FakeSocket) -> None:
        del self.sockets[end.number]
        if self.listeners.get(end.address) is end:
            del self.listeners[end.address]
        if end.recorded:
            self.recordings.append(bytes(end.recorded))

    def link(self, host: str) -> Link:
        if host not in self.links:
            self.links[host] = self._link(host)
        return self.links[host]

    def connect(self, end: FakeSocket, address: Address, seconds: float) -> None:
        """Connect an end of the current process to a listener."""
        process, scheduler = self.scheduler.current, self.scheduler
        assert process is not None
        here, there = process.host, "here" if isinstance(address, str) or address[0] == DRIVER else address[0]
        link = self.link(there if here == "here" else here)
        mine, theirs = (UNCUT if host == "here" or here == there else self.link(host) for host in (here, there))
        scheduler.wait(scheduler.draw.random() * link.delay)
        held = max(mine.held_from, mine.held_to, theirs.held_from, theirs.held_to)
        if held > scheduler.now:
            scheduler.wait(min(seconds, held - scheduler.now))
            if held > scheduler.now:
                end.close()
                raise TimeoutError("timed out")
        listener = self.listeners.get(address)
        if listener is None or listener.backlog is None:
            end.close()
            raise ConnectionRefusedError(111, "Connection refused")
        server = FakeSocket(end.family)
        server.process = listener.process
        end.outgoing = server.incoming = Pipe(scheduler, link, mine, theirs, self.fired)
        server.outgoing = end.incoming = Pipe(scheduler, link, theirs, mine, self.fired)
        end.other, server.other, end.client = server, end, True
        listener.backlog.append(server)

    def connections(self, host: str | None = None) -> list[FakeSocket]:
        """The clients' ends of all connections, or of those with a host."""
        ends = [end for end in self.sockets.values() if end.client and end.other is not None]
        return [end for end in ends if host is None or host in (_host(end), _host(end.other))]

    def accepted(self, process: Process | None) -> int:
        """The number of open sockets of a process, without connections that it has not accepted yet."""
        ends = [end for end in self.sockets.values() if end.process is process]
        return len(ends) - sum(len(end.backlog or ()) for end in ends)

    def is_cut(self, host: str) -> bool:
        """Whether there is a partition between a host and others."""
        link = self.links.get(host, UNCUT)
        return max(link.held_from, link.held_to) > self.scheduler.now

    def partition(self, host: str, seconds: float, *, sent: bool, received: bool) -> None:
        """Nothing that a host sends, or nothing that it is to receive, passes for a while; after long, the connections
        are given up."""
        link, now = self.link(host), self.scheduler.now
        if sent:
            link.held_from = now + seconds
        if received:
            link.held_to = now + seconds
        self.scheduler.at(now + min(seconds, 1e6))
        if seconds > KEEPALIVE:
            cut = self.connections(host)
            self.scheduler.after(KEEPALIVE, lambda: [end.break_off("Connection timed out") for end in cut])
        self.fired.add("partition")

    def bury(self, process: Process) -> None:
        """Close all sockets of a process that has ended, as the system does."""
        for end in [end for end in self.sockets.values() if end.process is process]:
            if end.closed:
                continue
            unread = end.incoming is not None and end.incoming.arrived()
            end.close()
            if unread:  # the other end finds a reset
                end.break_off("Connection reset by peer")


def _host(end: FakeSocket) -> str:
    return end.process.host if end.process is not None else ""
