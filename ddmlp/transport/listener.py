"""The door: where workers connect to the parameter server, prove who they are, and are let in."""

import socket
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, answer_challenge, deliver_challenge
from multiprocessing.reduction import send_handle

from ddmlp.errors import ClusterError
from ddmlp.nn.memory import zeros
from ddmlp.nn.weights import Floats, Shape
from ddmlp.training.messages import CREDITS
from ddmlp.transport import protocol
from ddmlp.transport.shared_memory import Region

HANDSHAKE_SECONDS = 10  # the longest that one may take
AT_A_TIME = 8  # handshakes
MOST = 64  # handshakes begun or waiting; who comes then is turned away


@dataclass
class Peer:
    """A worker, as the server sees it: slots of shared memory, or a buffer and the version that it was sent."""

    worker: int
    connection: Connection
    region: Region | None
    buffers: Sequence[Floats]
    version: int = -1
    answered: int = 0

    def close(self) -> None:
        self.connection.close()
        if self.region is not None:
            self.region.close()


class HandshakeListener:
    """Listens, and lets in each worker that knows the secret and would compute the same bits as everyone else.

    The handshakes run in threads of their own, so that somebody who connects and says nothing stops no training.
    """

    def __init__(
        self, shape: Shape, hello: protocol.Hello, secret: bytes, weights: Region, inside: Callable[[int], bool]
    ) -> None:
        """hello: what a worker must agree with; weights: what is shared with those on this machine; inside: whether
        there is a worker of that number already."""
        self._shape, self._hello, self._secret, self._weights, self._taken = shape, hello, secret, weights, inside
        self._threads = ThreadPoolExecutor(AT_A_TIME, thread_name_prefix="door")
        self._listeners: list[socket.socket] = []
        self._begun: set[Connection] = set()
        self._inside: deque[Peer] = deque()
        self._bell, self._ring = socket.socketpair()
        self._bell.setblocking(False)
        self._ring.setblocking(False)

    def open(self, address: protocol.Address) -> socket.socket:
        """Listen at `address`; returns the socket, at which `knock` is to be called when somebody is there."""
        try:
            listener = protocol.listen(address)
        except OSError as error:
            raise ClusterError(f"the server cannot listen at {address}: {error.strerror or error}") from None
        listener.setblocking(False)
        self._listeners.append(listener)
        return listener

    @property
    def bell(self) -> socket.socket:
        """Is readable when somebody is in."""
        return self._bell

    def knock(self, listener: socket.socket) -> None:
        """Begin the handshake with who waits at `listener`."""
        try:
            connection = Connection(listener.accept()[0].detach())
        except OSError:
            return  # gone again
        if len(self._begun) >= MOST:
            connection.close()
            return
        self._begun.add(connection)
        self._threads.submit(self._admit, connection, shared=listener.family == socket.AF_UNIX)

    def admitted(self) -> list[Peer]:
        """Who has come in since the last call."""
        with suppress(BlockingIOError):
            while self._bell.recv(1024):
                pass
        return [self._inside.popleft() for _ in range(len(self._inside))]

    def close(self) -> None:
        for listener in self._listeners:
            listener.close()
        for connection in list(self._begun):
            self._hang_up(connection)
        self._threads.shutdown()
        for peer in self._inside:
            peer.close()
        self._bell.close()
        self._ring.close()

    def _hang_up(self, connection: Connection) -> None:
        """End a handshake: its thread is told so, and closes the connection."""
        if connection in self._begun:
            with suppress(OSError), socket.socket(fileno=connection.fileno()) as view:
                try:
                    view.shutdown(socket.SHUT_RDWR)
                finally:
                    view.detach()

    def _admit(self, connection: Connection, *, shared: bool) -> None:
        """Let a worker in, or turn it away; one that does not finish the handshake is dropped."""
        region = None
        clock = threading.Timer(HANDSHAKE_SECONDS, self._hang_up, [connection])
        clock.start()
        try:
            protocol.bound_waits(connection)
            deliver_challenge(connection, self._secret)
            answer_challenge(connection, self._secret)
            hello = protocol.Hello.load(connection.recv_bytes(protocol.HELLO_BYTES))
            refused = self._hello.difference(hello)
            if refused is None and self._taken(hello.worker):
                refused = f"there is a worker {hello.worker} already"
            connection.send_bytes(protocol.Welcome(shared, self._weights.count, refused).dump())
            if refused is not None:
                raise OSError(refused)
            if shared:
                region = Region.create(CREDITS, self._shape.size)
                send_handle(connection, self._weights.descriptor, None)
                send_handle(connection, region.descriptor, None)
        except Exception:  # whatever a stranger can provoke in the standard library ends here
            self._begun.discard(connection)
            connection.close()
            if region is not None:
                region.close()
            return
        finally:
            clock.cancel()
            self._begun.discard(connection)
        buffers = region.buffers if region else [zeros((self._shape.size,))]
        self._inside.append(Peer(hello.worker, connection, region, buffers))
        with suppress(BlockingIOError):  # it rings already
            self._ring.send(b"!")
